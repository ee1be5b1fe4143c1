package segment

import (
	"math"
	"math/bits"
	"slices"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
)

// What a search looks at before it reads rows: templates, which of them a row group has,
// the filters of columns, and the rows of a group that have a value.

// The types of an attribute of a template whose value stands with each row: in a column that
// may have filters (Attr.Value is the column), or in one that has none.
const (
	OpenFiltered = span.ValueType(span.ValueTypes) + iota
	OpenOther
)

// Templates are the templates of a level, as a batch with a row for each: of spans with
// their names, kinds, status, scopes and attributes, of events and links with their
// attributes, as a list a row too. An attribute whose value is not in the template has
// one of the Open types. The batch is shared and not to be changed.
type Templates struct {
	*span.Batch
	// Of each template: it may have any attribute besides (in the map column), its status
	// message and trace state stand with the row.
	Mapped, OpenMessage, OpenState []bool
	MappedIDs                      []uint32 // those that are Mapped, ascending
	// Own gives, by attribute column, the templates whose value stands with the row.
	Own map[uint32][]uint32

	byOperation []uint32 // of spans: all templates, by name, kind and number
	names       nameTable
	groups      templateGroups // of spans
}

func (t *Templates) memoryBytes() int {
	bytes := t.Batch.MemoryBytes() + 3*t.Len() + 4*(cap(t.MappedIDs)+cap(t.byOperation)) + t.names.memoryBytes() + 8*cap(t.groups.rows)
	for _, templates := range t.Own {
		bytes += ownTemplatesBytes + 4*cap(templates)
	}
	return bytes
}

// Templates gives the templates of a level that row groups share. They stay, once told, as long as
// the segment is open: every search over all time asks every segment for them, so that those of many
// segments would push each other out of Pages, each time.
func (s *Segment) Templates(level span.Level) (*Templates, error) {
	if t := s.told[level].Load(); t != nil {
		return t, nil
	}
	t, err := s.tellTemplates(s.templates[level])
	if err != nil {
		return nil, err
	}
	if !s.told[level].CompareAndSwap(nil, t) {
		return s.told[level].Load(), nil
	}
	s.memory.Add(int64(t.memoryBytes()))
	return t, nil
}

// tellTemplates makes a batch of a table.
func (s *Segment) tellTemplates(table *templateTable) (*Templates, error) {
	n := table.len()
	t := &Templates{Batch: new(span.Batch), Mapped: make([]bool, n), OpenMessage: make([]bool, n), OpenState: make([]bool, n), Own: map[uint32][]uint32{}}
	b := t.Batch
	texts := column.NewTable()
	texts.Text = append(texts.Text, table.texts.Text...)
	texts.Ends = append(texts.Ends[:0], table.texts.Ends...)
	b.TraceIDs, b.AttrEnds, b.Names = make([]span.TraceID, n), make([]uint32, n), make([]span.TextID, n)
	b.Kinds, b.StatusCodes, b.ScopeIDs = make([]int32, n), make([]int32, n), make([]uint32, n)
	b.StatusMessages, b.TraceStates = make([]span.TextID, n), make([]span.TextID, n)
	keys, attrs := make([]span.TextID, len(s.columns)), span.AttrInterner{}
	for i := range n {
		if table.level == span.SpanLevel {
			scalars := table.scalarsAt(uint32(i))
			b.Kinds[i], b.StatusCodes[i], b.ScopeIDs[i] = int32(scalars[scalarKind]), int32(scalars[scalarStatusCode]), scalars[scalarScope]
		}
		for _, slot := range table.slotsOf(uint32(i)) {
			switch {
			case isMapped(table.level, slot.column):
				if !t.Mapped[i] {
					t.Mapped[i], t.MappedIDs = true, append(t.MappedIDs, uint32(i))
				}
			case slot.column >= colFixed:
				c := s.columns[slot.column-colFixed]
				if keys[slot.column-colFixed] == 0 {
					keys[slot.column-colFixed] = span.TextID(texts.Add([]byte(c.key)))
				}
				a := span.Attr{Value: slot.value, Key: keys[slot.column-colFixed], Type: c.kind}
				if slot.own {
					if a.Type, a.Value = OpenOther, uint64(slot.column); hasFilter(c.kind) {
						a.Type = OpenFiltered
					}
					if own := t.Own[slot.column]; len(own) == 0 || own[len(own)-1] != uint32(i) {
						t.Own[slot.column] = append(own, uint32(i))
					}
				}
				b.AttrIDs = append(b.AttrIDs, attrs.ID(b, a))
			case slot.column == colStatusMessage:
				b.StatusMessages[i], t.OpenMessage[i] = span.TextID(slot.value), slot.own
			case slot.column == colTraceState || slot.column == colLinkTraceState:
				b.TraceStates[i], t.OpenState[i] = span.TextID(slot.value), slot.own
			default:
				b.Names[i] = span.TextID(slot.value)
			}
		}
		b.AttrEnds[i] = uint32(len(b.AttrIDs))
	}
	b.Text, b.TextEnd = texts.Text, texts.Ends
	b.Scopes, b.ScopeAttrs = nil, nil
	if table.level == span.SpanLevel {
		t.sortOperations()
		t.groups = s.tellGroups()
	}
	return t, nil
}

// TemplatesWhole reports, by level, whether every template is among those that Templates
// gives: whether no row group has its own.
func (s *Segment) TemplatesWhole() (whole [span.Levels]bool) {
	for _, level := range levels {
		whole[level] = !slices.ContainsFunc(s.groups, func(g groupRef) bool { return g.local[level] > 0 })
	}
	return whole
}

// ColumnsOf gives the attribute columns of a key on a level.
func (s *Segment) ColumnsOf(level span.Level, key string) []uint32 { return s.byKey[level][key] }

// ColumnType is the type of an attribute column's values.
func (s *Segment) ColumnType(id uint32) span.ValueType { return s.columns[id-colFixed].kind }

// Terms are the terms of a segment's templates, with errors that name the file.
type Terms struct {
	*index.Terms
	file   string
	offset int64
}

func (t Terms) at(err error) error {
	if err == nil {
		return nil
	}
	return codec.At(err, t.file, t.offset)
}

// Lookup is that of index.Terms.
func (t Terms) Lookup(column uint32, text []byte) (found index.Postings, exact bool, err error) {
	found, exact, err = t.Terms.Lookup(column, text)
	return found, exact, t.at(err)
}

// Each is that of index.Terms.
func (t Terms) Each(column uint32, visit func(text []byte, p index.Postings) error) error {
	return t.at(t.Terms.Each(column, visit))
}

// Terms gives the terms of the segment's templates. Strings, ints and bools are there, as
// text, and names of spans and events under NameColumn.
func (s *Segment) Terms() (Terms, error) {
	return s.termsAt(s.refs[sectionTerms], s.templatesMost())
}

// termsAt gives the terms of a section, which are of so many templates.
func (s *Segment) termsAt(ref sectionRef, templates int) (Terms, error) {
	p, _, err := s.opened(ref, func(payload []byte) (*page, error) {
		terms, err := index.OpenTerms(payload, templates)
		if err != nil {
			return nil, err
		}
		return &page{terms: terms, bytes: terms.MemoryBytes()}, nil
	})
	if err != nil {
		return Terms{}, err
	}
	return Terms{p.terms, s.info.Name, ref.offset}, nil
}

// NameColumn is under which column terms tell the names of a level.
func NameColumn(level span.Level) uint32 {
	if level == span.EventLevel {
		return colEventName
	}
	return colName
}

// Filters gives, by row group, what values of a column stand with the rows and in templates of
// the group's own: nil for a group that has none. ok is false where nothing is known of the column. Values of more than
// 256 bytes are not told of.
func (s *Segment) Filters(id uint32) (filters []*index.Filter, ok bool, err error) {
	i, ok := slices.BinarySearchFunc(s.filters, id, func(f filterRef, id uint32) int { return int(f.column) - int(id) })
	if !ok {
		return nil, false, nil
	}
	p, _, err := s.opened(s.filters[i].sectionRef, func(payload []byte) (*page, error) {
		filters, err := decodeFilters(payload, len(s.groups))
		p := &page{filters: filters, bytes: 8 * len(s.groups)}
		for _, f := range filters {
			if f != nil {
				p.bytes += f.MemoryBytes()
			}
		}
		return p, err
	})
	if err != nil {
		return nil, false, err
	}
	return p.filters, true, nil
}

// GroupScan looks into one row group without making rows. It serves one goroutine.
type GroupScan struct {
	rowReader
	items *itemReader // of spans, once somebody asked for them

	scanBuffers
}

// scanBuffers are the memory of looks at values, from one to the next.
type scanBuffers struct{ positions, owners, marked, perCode []uint32 }

// Scan looks into row group i; what it opens stays with Pages.
func (s *Segment) Scan(i int) *GroupScan {
	g := new(GroupScan)
	s.ScanInto(g, i)
	return g
}

// ScanInto makes g, the zero GroupScan or one that is done with, what Scan gives, with the memory
// that it has.
func (s *Segment) ScanInto(g *GroupScan, i int) {
	group := &s.groups[i]
	*g = GroupScan{rowReader: rowReader{s: s, group: group, to: group.Rows}, scanBuffers: g.scanBuffers}
}

// Forget lets go of the row group, and keeps the memory.
func (g *GroupScan) Forget() {
	*g = GroupScan{scanBuffers: g.scanBuffers}
}

// PageCounts tells how many pages were read from the file for this scan, and how many were
// open already.
func (g *GroupScan) PageCounts() PageCounts { return g.opened }

// Resources gives the resources that the group's rows have, ascending, and how long the
// longest row of each is, as span.Duration counts.
func (g *GroupScan) Resources() (ids []uint32, longest []uint64) {
	return g.group.resources, g.group.longest
}

// Templates gives the shared templates of a level that the group has, ascending. whole is
// false where the group has others of its own besides.
func (g *GroupScan) Templates(level span.Level) (shared []uint32, whole bool) {
	return g.group.templates[level], g.group.local[level] == 0
}

// Mapped reports whether items of a level have attributes in the map column.
func (g *GroupScan) Mapped(level span.Level) bool {
	_, mapped := g.group.find(columnsOf(level).first + mapType)
	return mapped
}

// ResourceCodes gives the positions in Resources of the rows whose bit is set; dst has room
// for all rows then, and any values for the others. No bits at all stand for every row.
func (g *GroupScan) ResourceCodes(dst, rows []uint64) ([]uint64, error) {
	return g.values(dst, colResource, rows, uint64(len(g.group.resources)))
}

// values gives a column of integers with one for each row, all of them below a bound if that is
// not 0. It unpacks the stretches of rows in which some bit is set, or where these are few the rows'
// alone, and leaves anything elsewhere.
func (g *GroupScan) values(dst []uint64, col uint32, rows []uint64, bound uint64) ([]uint64, error) {
	n := g.group.Rows
	dst = slices.Grow(dst[:0], n)[:n]
	p := g.page(col, func(payload []byte) (*page, error) { return openInts(payload, n) })
	if p == nil {
		clear(dst)
		return dst, g.err
	}
	most := uint64(math.MaxUint64)
	if bound > 0 {
		most = bound - 1
	}
	if rows == nil {
		return dst, g.unpack(dst, col, &p.ints, 0, n, most)
	}
	for word := 0; word < len(rows); word += 2 {
		pair := [2]uint64{0: rows[word]}
		if word+1 < len(rows) {
			pair[1] = rows[word+1]
		}
		set := bits.OnesCount64(pair[0]) + bits.OnesCount64(pair[1])
		switch from := word * 64; {
		case set == 0:
		case set > fewOfStretch:
			if err := g.unpack(dst, col, &p.ints, from, min(from+stretchRows, n), most); err != nil {
				return dst, err
			}
		default:
			for k, left := range pair {
				for ; left != 0; left &= left - 1 {
					row := from + 64*k + bits.TrailingZeros64(left)
					if err := g.unpack(dst, col, &p.ints, row, row+1, most); err != nil {
						return dst, err
					}
				}
			}
		}
	}
	return dst, nil
}

// unpack fills dst[from:to], of which none may be greater than most.
func (g *GroupScan) unpack(dst []uint64, col uint32, ints *column.Ints, from, to int, most uint64) error {
	if _, err := ints.Decode(dst[:from], from, to); err != nil {
		g.fail(col, err)
		return g.err
	}
	for _, v := range dst[from:to] {
		if v > most {
			g.fail(col, codec.Corrupt("value %d of %d", v, most+1))
			return g.err
		}
	}
	return nil
}

// stretchRows are unpacked together: as many as a mini-block has, two words of bits. Of fewOfStretch
// rows or fewer each is unpacked for itself.
const (
	stretchRows  = 128
	fewOfStretch = 3
)

// Starts gives the starts of the rows whose bit is set, as ResourceCodes does.
func (g *GroupScan) Starts(dst, rows []uint64) ([]uint64, error) {
	return g.values(dst, colStart, rows, 0)
}

// Lengths gives their end - start, wrapping.
func (g *GroupScan) Lengths(dst, rows []uint64) ([]uint64, error) {
	return g.values(dst, colDuration, rows, 0)
}

// LengthsBetween gives the rows whose end - start, wrapping, is in [low, high].
func (g *GroupScan) LengthsBetween(dst []uint32, low, high uint64) ([]uint32, error) {
	p := g.page(colDuration, func(payload []byte) (*page, error) { return openInts(payload, g.group.Rows) })
	if g.err != nil {
		return dst, g.err
	}
	if p == nil {
		if low == 0 {
			for row := range g.group.Rows {
				dst = append(dst, uint32(row))
			}
		}
		return dst, nil
	}
	dst, err := p.ints.RowsBetween(dst, low, high)
	if err != nil {
		g.fail(colDuration, err)
	}
	return dst, g.err
}

// Items gives the code of each span, event or link of the group: a position in Templates,
// or beyond them one of its own.
func (g *GroupScan) Items(level span.Level) ([]uint32, error) {
	it, _ := g.open(level)
	if it == nil {
		return nil, g.err
	}
	return it.items.codes, nil
}

// OwnNamed appends to dst, for each of the templates of spans that are the group's own, whether
// it has the name; all have "".
func (g *GroupScan) OwnNamed(dst []bool, name string) ([]bool, error) {
	if g.group.local[span.SpanLevel] == 0 {
		return dst, nil
	}
	it, _ := g.open(span.SpanLevel)
	if it == nil {
		return dst, g.err
	}
	for i := range it.items.local.len() {
		dst = append(dst, name == "" || string(it.items.local.nameOf(uint32(i))) == name)
	}
	return dst, nil
}

// Longest gives, by code, how long the spans of a template last at most, those that end before they
// start left out.
func (g *GroupScan) Longest() ([]uint64, error) {
	it, _ := g.open(span.SpanLevel)
	if it == nil {
		return nil, g.err
	}
	if known := it.items.longest.Load(); known != nil {
		return *known, nil
	}
	lengths, err := g.Lengths(nil, nil)
	if err != nil {
		return nil, err
	}
	longest := make([]uint64, len(it.items.counts))
	for row, code := range it.items.codes {
		if length := lengths[row]; length > longest[code] && length <= math.MaxInt64 {
			longest[code] = length
		}
	}
	it.items.longest.Store(&longest)
	return longest, nil
}

// open opens a level; ends are where each row's items end, nil for spans.
func (g *GroupScan) open(level span.Level) (it *itemReader, ends []uint32) {
	if level == span.SpanLevel {
		if g.items == nil {
			g.items = g.openCodes(level, g.group.Rows)
		}
		return g.items, nil
	}
	col := uint32(colEventCount)
	if level == span.LinkLevel {
		col = colLinkCount
	}
	p := g.page(col, func(payload []byte) (*page, error) { return openEnds(payload, g.group.Rows) })
	if p == nil {
		return nil, nil
	}
	return g.openCodes(level, int(p.ends[len(p.ends)-1])), p.ends
}

// Rows marks the rows of items in marked: rows is a set of bits.
func markRows(rows []uint64, ends []uint32, marked []uint32) {
	row := 0
	for _, item := range marked {
		if ends == nil {
			row = int(item)
		}
		for ends != nil && ends[row] <= item {
			row++
		}
		rows[row/64] |= 1 << (row % 64)
	}
}

// MarkTemplates sets the bits of the rows that have a span, event or link of a template
// that holds says yes to, by its position in Templates.
func (g *GroupScan) MarkTemplates(rows []uint64, level span.Level, holds func(code int) bool) error {
	it, ends := g.open(level)
	if it == nil {
		return g.err
	}
	asked, any := make([]bool, len(it.items.counts)), false
	for code, count := range it.items.counts {
		asked[code] = count > 0 && holds(code)
		any = any || asked[code]
	}
	if !any {
		return nil
	}
	var marked []uint32
	for i, code := range it.items.codes {
		if asked[code] {
			marked = append(marked, uint32(i))
		}
	}
	markRows(rows, ends, marked)
	return nil
}
