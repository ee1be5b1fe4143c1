package index

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
)

// The dictionary of terms says which templates have a value in a column. It stands as
//
//	columns v       of each: id - the one before v (of the first: id), terms v
//	directory       of each block: bytes v; unless it is a column's first: separator length v, separator
//	blocks          up to 16 terms of one column each, one block after another:
//	  of each term  bytes shared with the term before v (0 for the first), length of the rest v, the rest,
//	                its postings
//
// Columns ascend by id, terms by text. A separator is the shortest text above the block
// before that is not above its own block's first term. So a lookup goes through the
// separators in memory and then reads one block.
//
// A term holds the first TermBytesMax bytes of a text. One of TermBytesMax bytes stands for
// all texts that begin with it: its templates may have another of them, and whoever asks has
// to look. Shorter terms are exact.

const blockTerms = 16

// TermsBuilder gathers terms, in any order and as often as they come. One goroutine uses it.
type TermsBuilder struct {
	columns     map[uint32]map[string]*Term
	memoryBytes int
}

// Term is a term of a TermsBuilder: who adds to it again and again need not look for it.
type Term struct{ templates []uint32 }

// NewTermsBuilder is empty.
func NewTermsBuilder() *TermsBuilder {
	return &TermsBuilder{columns: map[uint32]map[string]*Term{}}
}

// Add says that a template, below TemplatesMax, has the text in the column, and gives its term.
func (b *TermsBuilder) Add(column uint32, text []byte, template uint32) *Term {
	text = text[:min(len(text), TermBytesMax)]
	terms := b.columns[column]
	if terms == nil {
		terms = map[string]*Term{}
		b.columns[column] = terms
		b.memoryBytes += columnMemoryBytes
	}
	term := terms[string(text)]
	if term == nil {
		term = &Term{make([]uint32, 0, 1)}
		terms[string(text)] = term
		b.memoryBytes += termMemoryBytes + len(text)
	}
	b.AddTo(term, template)
	return term
}

// AddTo says that a template, below TemplatesMax, has the text of a term.
func (b *TermsBuilder) AddTo(term *Term, template uint32) {
	invariant.Check(template < TemplatesMax, "template %d", template)
	list := term.templates
	if n := len(list); n > 0 && list[n-1] == template {
		return
	}
	if n := len(list); n > 0 && n == cap(list) { // copies go before the list grows for them
		slices.Sort(list)
		list = slices.Compact(list)
		b.memoryBytes -= 4 * cap(list)
		list = slices.Grow(list, 1+len(list)/2)
		b.memoryBytes += 4 * cap(list)
	}
	term.templates = append(list, template)
}

// MemoryBytes is about what the builder takes.
func (b *TermsBuilder) MemoryBytes() int { return b.memoryBytes }

// What a term and a column take in memory beside the text and the templates: their place in
// a map, half of it empty, a pointer, a list's header and its first template.
const (
	termMemoryBytes   = 88
	columnMemoryBytes = 400
)

// AppendBinary appends the dictionary. The same terms give the same bytes.
func (b *TermsBuilder) AppendBinary(dst []byte) []byte {
	type term struct {
		text      string
		templates []uint32
	}
	columns := make([]uint32, 0, len(b.columns))
	for column := range b.columns {
		columns = append(columns, column)
	}
	slices.Sort(columns)
	dst = binary.AppendUvarint(dst, uint64(len(columns)))
	var directory, blocks []byte
	before := uint32(0)
	for _, column := range columns {
		terms := make([]term, 0, len(b.columns[column]))
		for text, t := range b.columns[column] {
			slices.Sort(t.templates)
			t.templates = slices.Compact(t.templates)
			terms = append(terms, term{text, t.templates})
		}
		slices.SortFunc(terms, func(a, b term) int { return strings.Compare(a.text, b.text) })
		dst = binary.AppendUvarint(dst, uint64(column-before))
		dst = binary.AppendUvarint(dst, uint64(len(terms)))
		before = column
		for from := 0; from < len(terms); from += blockTerms {
			at, last := len(blocks), ""
			for _, t := range terms[from:min(from+blockTerms, len(terms))] {
				shared := sharedBytes(last, t.text)
				blocks = binary.AppendUvarint(blocks, uint64(shared))
				blocks = codec.AppendLengthBytes(blocks, []byte(t.text[shared:]))
				blocks = appendPostings(blocks, t.templates)
				last = t.text
			}
			directory = binary.AppendUvarint(directory, uint64(len(blocks)-at))
			if from > 0 {
				first := terms[from].text
				separator := first[:sharedBytes(terms[from-1].text, first)+1]
				directory = codec.AppendLengthBytes(directory, []byte(separator))
			}
		}
	}
	return append(append(dst, directory...), blocks...)
}

func sharedBytes(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// Terms is a view of a dictionary's bytes. Any number of goroutines may ask it.
type Terms struct {
	templates int
	columns   []termColumn
	blocks    []termBlock
}

// MemoryBytes is what the terms hold, their part of the payload with them.
func (t *Terms) MemoryBytes() int {
	bytes := termColumnBytes * len(t.columns)
	for i := range t.blocks {
		bytes += termBlockBytes + len(t.blocks[i].data) + len(t.blocks[i].separator)
	}
	return bytes
}

// What an entry takes on a 64-bit machine.
const (
	termColumnBytes = 32
	termBlockBytes  = 48
	filterBytes     = 144
)

type termColumn struct {
	id          uint32
	terms       int
	first, last int // blocks, last excluded
}

type termBlock struct {
	data      []byte
	separator []byte
}

// OpenTerms reads columns and directory of what AppendBinary wrote over templates below the
// given number. It keeps data, which must not change. Anything else is codec.ErrCorrupt, now
// or when its block is read.
func OpenTerms(data []byte, templates int) (*Terms, error) {
	r := codec.NewReader(data)
	t := &Terms{templates: templates}
	if templates < 0 || templates > TemplatesMax {
		r.Fail("terms over %d templates", templates)
	}
	t.readColumns(r)
	lengths := t.readDirectory(r)
	for i, length := range lengths {
		t.blocks[i].data = r.Bytes(length)
	}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the terms", r.Len())
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	return t, nil
}

func (t *Terms) readColumns(r *codec.Reader) {
	t.columns = make([]termColumn, r.Count(2))
	id, blocks := uint64(0), uint64(0)
	for i := range t.columns {
		difference, terms := r.Uvarint(), r.Uvarint()
		// A term takes four bytes in its block at least, with its postings.
		if id += difference; id > 1<<32-1 || difference > 1<<32-1 || i > 0 && difference == 0 || terms == 0 || terms > uint64(r.Len()/4) {
			r.Fail("column %d of %d terms after %d", id, terms, difference)
			return
		}
		first := blocks
		if blocks += (terms + blockTerms - 1) / blockTerms; blocks > uint64(r.Len()/5) { // 1 in the directory, 4 for a term
			r.Fail("%d blocks of terms in %d bytes", blocks, r.Len())
			return
		}
		t.columns[i] = termColumn{uint32(id), int(terms), int(first), int(blocks)}
	}
	t.blocks = make([]termBlock, blocks)
}

func (t *Terms) readDirectory(r *codec.Reader) (lengths []int) {
	if r.Err() != nil {
		return nil
	}
	lengths = make([]int, len(t.blocks))
	for _, column := range t.columns {
		for i := column.first; i < column.last; i++ {
			lengths[i] = r.Count(1)
			if i == column.first {
				continue
			}
			t.blocks[i].separator = r.LengthBytes()
			if r.Err() == nil && bytes.Compare(t.blocks[i].separator, t.blocks[i-1].separator) <= 0 {
				r.Fail("separators of column %d do not ascend", column.id)
			}
		}
	}
	return lengths
}

// Columns gives the columns that have terms, ascending.
func (t *Terms) Columns() []uint32 {
	columns := make([]uint32, len(t.columns))
	for i, column := range t.columns {
		columns[i] = column.id
	}
	return columns
}

// Lookup gives the templates that have a text in a column. They are exact, also where they
// are none, unless the text is of TermBytesMax bytes or more: then they have a text that
// begins as this one does. A failure is codec.ErrCorrupt.
func (t *Terms) Lookup(column uint32, text []byte) (found Postings, exact bool, err error) {
	exact = len(text) < TermBytesMax
	text = text[:min(len(text), TermBytesMax)]
	c, ok := t.find(column)
	if !ok {
		return Postings{}, exact, nil
	}
	// The last block whose separator is not above the text: the first has none.
	blocks := t.blocks[c.first+1 : c.last]
	after, same := slices.BinarySearchFunc(blocks, text, func(b termBlock, text []byte) int {
		return bytes.Compare(b.separator, text)
	})
	if same {
		after++
	}
	block := c.first + after
	r := newTermReader(t.blocks[block].data)
	for range c.termsOf(block) {
		order := 1 // a failure ends the search
		if r.next() {
			order = bytes.Compare(r.text, text)
		}
		if order == 0 {
			found = readPostings(r.Reader, t.templates)
		}
		if order >= 0 {
			break
		}
		skipPostings(r.Reader)
	}
	return found, exact, r.Err()
}

// Each visits a column's terms in order, with their templates, until visit fails. The text
// is visit's until it returns; one of TermBytesMax bytes may be the beginning of others.
func (t *Terms) Each(column uint32, visit func(text []byte, p Postings) error) error {
	c, ok := t.find(column)
	if !ok {
		return nil
	}
	for block := c.first; block < c.last; block++ {
		r := newTermReader(t.blocks[block].data)
		for i := range c.termsOf(block) {
			ok := r.next()
			if ok && i == 0 && bytes.Compare(r.text, t.blocks[block].separator) < 0 {
				r.Fail("a block of column %d begins below its separator", column)
			}
			p := readPostings(r.Reader, t.templates)
			if r.Err() != nil {
				return r.Err()
			}
			if block+1 < c.last && bytes.Compare(r.text, t.blocks[block+1].separator) >= 0 {
				return codec.Corrupt("a block of column %d reaches into the next", column)
			}
			if err := visit(r.text, p); err != nil {
				return err
			}
		}
		if r.Len() > 0 {
			return codec.Corrupt("%d bytes after a block of column %d", r.Len(), column)
		}
	}
	return nil
}

func (t *Terms) find(column uint32) (termColumn, bool) {
	i, ok := slices.BinarySearchFunc(t.columns, column, func(c termColumn, id uint32) int { return cmp.Compare(c.id, id) })
	if !ok {
		return termColumn{}, false
	}
	return t.columns[i], true
}

func (c termColumn) termsOf(block int) int {
	return min(blockTerms, c.terms-(block-c.first)*blockTerms)
}

// termReader reads a block term by term.
type termReader struct {
	*codec.Reader
	text  []byte
	begun bool
}

func newTermReader(block []byte) termReader {
	return termReader{Reader: codec.NewReader(block), text: make([]byte, 0, TermBytesMax)}
}

// next reads the next term's text, and leaves its postings to come. Texts must ascend.
func (r *termReader) next() bool {
	shared := r.Uvarint()
	rest := r.LengthBytes()
	switch {
	case r.Err() != nil:
		return false
	case shared > uint64(len(r.text)) || int(shared)+len(rest) > TermBytesMax:
		r.Fail("a term shares %d of %d bytes and has %d more", shared, len(r.text), len(rest))
		return false
	case r.begun && bytes.Compare(rest, r.text[shared:]) <= 0:
		r.Fail("terms do not ascend")
		return false
	}
	r.text, r.begun = append(r.text[:shared], rest...), true
	return true
}
