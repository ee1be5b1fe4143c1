package segment

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
)

// ReadGroup reads the columns of row group i that p asks for: row k of the batch is row
// FirstRow + k of the segment. The batch owns its memory. Its tables hold the resources and
// scopes that the group uses. A damaged page is codec.ErrCorrupt with file and offset.
//
// The pages are read near ones in one call, and not kept: who reads whole groups comes by
// each of them once.
func (s *Segment) ReadGroup(i int, p Projection) (*span.Batch, error) {
	r := s.reader(i, 0, s.groups[i].Rows, p)
	defer r.done()
	r.fetch()
	if p.All {
		r.origin = &origin{s: s, group: r.group, number: i}
		r.b.Origin = r.origin
		r.bare = p.Bare && r.group.isPlain()
	}
	return r.read()
}

// ReadStarts gives the starts of the rows of row group i, in the memory of dst: no other column is
// decoded, and no rows are made. Nothing is kept.
func (s *Segment) ReadStarts(i int, dst []uint64) ([]uint64, error) {
	scan, done := s.scanOnce(i, Projection{Times: true})
	defer done()
	return scan.Starts(dst, nil)
}

// ReadRows reads rows [from, to) of row group i, as ReadGroup does. It unpacks what these
// rows need, of pages that stay with Pages for the next read.
func (s *Segment) ReadRows(i, from, to int, p Projection) (*span.Batch, error) {
	return s.readRows(i, from, to, p, nil)
}

// readRows is ReadRows, with attributes written into memory that was another batch's.
func (s *Segment) readRows(i, from, to int, p Projection, into []byte) (*span.Batch, error) {
	r := s.reader(i, from, to, p)
	defer r.done()
	r.write, r.into = p.All && p.Keys == nil && p.Write != nil, into
	batch, err := r.read()
	if p.Pages != nil {
		p.Pages.Read += r.opened.Read
		p.Pages.Kept += r.opened.Kept
	}
	return batch, err
}

// rowReader reads rows of one row group. Its methods note the first error in err and go on
// with nothing, so that each step reads as one line.
type rowReader struct {
	s        *Segment
	group    *groupRef
	from, to int
	p        Projection
	b        *span.Batch
	err      error

	origin *origin
	bare   bool
	write  bool              // attributes of spans, see Projection.Write
	into   []byte            // where to
	scopes map[uint32]uint32 // places in the batch

	opened PageCounts

	plan  []pageRef // of a whole group: what was read at once
	bytes [][]byte
	*buffers
}

// buffers are what one read needs and the next one can use again; nothing in a batch
// points into them.
type buffers struct {
	pages    []byte
	ints     []uint64
	text     column.Table
	ownText  column.Table  // of attributes that are written: no batch has it
	keys     []span.TextID // by attribute column: its key in the batch + 1
	keysUsed []uint32
	itemBuffers

	textPlaces []span.TextID // of values in text
	textCounts []uint64      // of values by text
}

var readBuffers = codec.Held[buffers]{New: func() *buffers { return &buffers{ownText: column.NewTable()} }, Most: buffersHeldMax}

func (s *Segment) reader(i, from, to int, p Projection) *rowReader {
	s.checkOpen()
	return &rowReader{s: s, group: &s.groups[i], from: from, to: to, p: p.normal(), b: new(span.Batch), buffers: readBuffers.Get()}
}

// checkOpen is one look for each page, so it makes no arguments for what it never says.
func (s *Segment) checkOpen() {
	if s.closed.Load() {
		invariant.Check(false, "segment %s is read after its close", s.info.Name)
	}
}

func (r *rowReader) done() {
	for _, id := range r.keysUsed {
		r.keys[id] = 0
	}
	r.keysUsed = r.keysUsed[:0]
	r.itemBuffers.forget()
	r.ownText.Forget()
	if cap(r.pages)+8*cap(r.ints)+4*cap(r.textPlaces)+8*cap(r.textCounts)+r.text.MemoryBytes()+r.ownText.MemoryBytes()+r.itemBuffers.memoryBytes() <= keptBytesMax {
		readBuffers.Put(r.buffers)
	}
}

func (r *rowReader) read() (*span.Batch, error) {
	if r.text.Ends == nil {
		r.text.Take(0)
	}
	r.traceIDs()
	r.resources()
	r.times()
	r.spans()
	if r.p.Identity {
		r.ids()
	}
	if r.p.All {
		r.b.Residues = r.texts(colResidue, r.group.Rows, r.from, r.to)
	}
	if r.p.Events {
		r.events()
	}
	if r.p.Links {
		r.links()
	}
	if r.plan == nil {
		r.b.Text, r.b.TextEnd = r.text.Copy()
	} else {
		r.b.Text, r.b.TextEnd = r.text.Take(0)
	}
	if r.err != nil {
		return nil, r.err
	}
	return r.b, nil
}

func (r *rowReader) rows() int { return r.to - r.from }

// fail notes an error of the page of a column, with its place in the file.
func (r *rowReader) fail(col uint32, err error) {
	if r.err != nil {
		return
	}
	offset := r.group.offset
	if page, ok := r.group.find(col); ok {
		offset += int64(page.offset)
	}
	r.err = codec.At(fmt.Errorf("column %s: %w", r.s.columnName(col), err), r.s.info.Name, offset)
}

// fetch reads the pages of the projection, and makes room for their texts.
func (r *rowReader) fetch() {
	r.fetchPages()
	textBytes := 0
	for i, page := range r.plan {
		if r.s.isText(page.column) {
			textBytes += column.PayloadBytes(r.bytes[i], len(r.bytes[i]))
		}
	}
	r.text.Take(min(textBytes, groupBytesMax))
}

// fetchPages reads the pages of the projection, near ones in one call.
func (r *rowReader) fetchPages() {
	r.plan = r.s.plan(r.group, r.p)
	total := 0
	for first := 0; first < len(r.plan); {
		last := r.lastNear(first)
		total += int(r.plan[last].offset + r.plan[last].length - r.plan[first].offset)
		first = last + 1
	}
	if cap(r.pages) < total {
		r.pages = make([]byte, total)
	}
	buffer := r.pages[:total]
	r.bytes = make([][]byte, len(r.plan))
	for first := 0; first < len(r.plan) && r.err == nil; {
		last := r.lastNear(first)
		begin := r.plan[first].offset
		read := buffer[:r.plan[last].offset+r.plan[last].length-begin]
		buffer = buffer[len(read):]
		r.err = r.s.readAt(read, r.group.offset+int64(begin))
		for ; first <= last; first++ {
			page := r.plan[first]
			r.bytes[first] = read[page.offset-begin:][:page.length]
		}
	}
}

// lastNear gives the last page of the plan that is read in one call with first.
func (r *rowReader) lastNear(first int) int {
	last := first
	for last+1 < len(r.plan) && r.plan[last+1].offset <= r.plan[last].offset+r.plan[last].length+gapBytesMax {
		last++
	}
	return last
}

// page gives the opened page of a column; nil where there is none, which stands for zeros,
// and after an error.
func (r *rowReader) page(col uint32, open func(payload []byte) (*page, error)) *page {
	ref, ok := r.group.find(col)
	if !ok || r.err != nil {
		return nil
	}
	if r.plan == nil {
		p, kept, err := r.s.opened(sectionRef{r.group.offset + int64(ref.offset), ref.length}, open)
		if err != nil {
			r.err = err
			return nil
		}
		if kept {
			r.opened.Kept++
		} else {
			r.opened.Read++
		}
		return p
	}
	i, ok := slices.BinarySearchFunc(r.plan, col, func(p pageRef, col uint32) int { return cmp.Compare(p.column, col) })
	if !ok {
		return nil
	}
	payload, _, err := column.OpenPage(r.bytes[i], nil)
	var p *page
	if err == nil {
		p, err = open(payload)
	}
	if err != nil {
		r.fail(col, err)
		return nil
	}
	return p
}

// integers gives values [from, to) of the n of a column, until the next call.
func (r *rowReader) integers(col uint32, n, from, to int) []uint64 {
	r.ints = r.appendIntegers(r.ints[:0], col, n, from, to)
	return r.ints
}

// appendIntegers appends what integers gives.
func (r *rowReader) appendIntegers(dst []uint64, col uint32, n, from, to int) []uint64 {
	p := r.page(col, func(payload []byte) (*page, error) { return openInts(payload, n) })
	if p != nil {
		decoded, err := p.ints.Decode(dst, from, to)
		if err == nil {
			return decoded
		}
		r.fail(col, err)
	}
	return appendZeros(dst, to-from)
}

// texts gives texts [from, to) of the n of a column.
func (r *rowReader) texts(col uint32, n, from, to int) []span.TextID {
	return appendTexts(r, make([]span.TextID, 0, to-from), col, n, from, to)
}

// appendTexts appends the ids of texts [from, to) of the n of a column.
func appendTexts[ID ~uint32 | ~uint64](r *rowReader, dst []ID, col uint32, n, from, to int) []ID {
	return appendTextsTo(r, &r.text, dst, col, n, from, to)
}

// appendTextsTo is appendTexts for another table than the batch's.
func appendTextsTo[ID ~uint32 | ~uint64](r *rowReader, table *column.Table, dst []ID, col uint32, n, from, to int) []ID {
	p := r.page(col, func(payload []byte) (*page, error) { return openTexts(payload, n) })
	if p != nil {
		decoded, err := column.DecodeTexts(dst, table, p.texts, from, to)
		if err == nil {
			return decoded
		}
		r.fail(col, err)
	}
	return appendZeros(dst, to-from)
}

func appendZeros[T ~uint32 | ~uint64](dst []T, n int) []T {
	dst = slices.Grow(dst, n)
	clear(dst[len(dst) : len(dst)+n])
	return dst[:len(dst)+n]
}

// raw gives the bytes of fixed-width values [from, to) of the n of a column; zeros where
// there is no page.
func (r *rowReader) raw(col uint32, n, width, from, to int) []byte {
	p := r.page(col, func(payload []byte) (*page, error) { return openRaw(payload, n, width) })
	if p == nil {
		return make([]byte, (to-from)*width)
	}
	return p.payload[from*width : to*width]
}

// traceIDs fills the ids from the trace table.
func (r *rowReader) traceIDs() {
	t, rows, first := &r.s.traces, r.rows(), r.group.FirstRow+r.from
	r.b.TraceIDs = make([]span.TraceID, rows)
	for row, order := 0, t.orderAt(first); row < rows; order++ {
		i := t.byRow[order]
		end := min(int(t.first[i]+t.rows[i])-first, rows)
		for ; row < end; row++ {
			r.b.TraceIDs[row] = t.ids[i]
		}
	}
}

// resources fills the table of resources that the rows have, and their positions in it.
func (r *rowReader) resources() {
	positions := make([]uint32, len(r.group.resources)) // + 1
	used := uint32(0)
	r.b.ResourceIDs = make([]uint32, r.rows())
	for row, code := range r.integers(colResource, r.group.Rows, r.from, r.to) {
		if code >= uint64(len(positions)) {
			r.fail(colResource, codec.Corrupt("resource %d of %d", code, len(positions)))
			return
		}
		if positions[code] == 0 {
			if !r.bare {
				addResource(r.b, r.asked(resourceOf(r.s.resources, r.group.resources[code])).copied(r.s.resources, r.addText))
			}
			if r.write {
				r.b.ResourceMarks = append(r.b.ResourceMarks, r.mark(r.group.resources[code]))
			}
			if r.origin != nil {
				r.origin.resources = append(r.origin.resources, r.group.resources[code])
			}
			used++
			positions[code] = used
		}
		r.b.ResourceIDs[row] = positions[code] - 1
	}
}

// mark names a resource or scope of the segment among those of all.
func (r *rowReader) mark(id uint32) uint64 { return r.s.own.number<<32 | uint64(id) }

// asked gives what the projection asks for of a resource or scope.
func (r *rowReader) asked(e envelope) envelope {
	if r.p.Services && !r.p.All {
		return envelope{texts: [4]span.TextID{e.texts[0]}}
	}
	if r.p.Messages {
		e.attrs = nil
	}
	return e
}

func (r *rowReader) addText(text []byte) span.TextID { return span.TextID(r.text.Add(text)) }

func (r *rowReader) times() {
	if !r.p.Times {
		return
	}
	n := r.group.Rows
	r.b.Starts = append(make([]uint64, 0, r.rows()), r.integers(colStart, n, r.from, r.to)...)
	r.b.Ends = append(make([]uint64, 0, r.rows()), r.integers(colDuration, n, r.from, r.to)...)
	for i, start := range r.b.Starts {
		r.b.Ends[i] += start
	}
}

// ids fills span ids and parent ids, in memory that the batch may have for them. A parent stands as the
// distance to its row.
func (r *rowReader) ids() {
	b, n, rows := r.b, r.group.Rows, r.rows()
	b.SpanIDs, b.ParentIDs = slices.Grow(b.SpanIDs, rows)[:rows], slices.Grow(b.ParentIDs, rows)[:rows]
	clear(b.ParentIDs)
	ids := r.page(colSpanID, func(payload []byte) (*page, error) { return openRaw(payload, n, 8) })
	if ids == nil {
		r.fail(colSpanID, codec.Corrupt("no span ids"))
		return
	}
	for i := range b.SpanIDs {
		copy(b.SpanIDs[i][:], ids.payload[(r.from+i)*8:])
	}
	literals := 0
	parents := r.integers(colParent, n, r.from, r.to)
	for i, v := range parents {
		switch v {
		case parentNone:
		case parentLiteral:
			literals++
		default:
			v -= parentRow
			parent := int64(r.from+i) - (int64(v>>1) ^ -int64(v&1))
			if parent < 0 || parent >= int64(n) {
				r.fail(colParent, codec.Corrupt("parent of row %d is row %d", r.from+i, parent))
				return
			}
			copy(b.ParentIDs[i][:], ids.payload[parent*8:])
		}
	}
	if literals > 0 {
		r.literalParents(parents)
	}
}

// literalParents fills the parent ids that stand elsewhere; rows are those in the reader's
// range. Which of the literals are theirs tells the count of those before.
func (r *rowReader) literalParents(parents []uint64) {
	parents = slices.Clone(parents)
	before := 0
	for _, v := range r.integers(colParent, r.group.Rows, 0, r.from) {
		if v == parentLiteral {
			before++
		}
	}
	p := r.page(colParentID, func(payload []byte) (*page, error) { return openRaw(payload, len(payload)/8, 8) })
	for i, v := range parents {
		if v != parentLiteral {
			continue
		}
		if p == nil || (before+1)*8 > len(p.payload) {
			r.fail(colParentID, codec.Corrupt("parent id %d of %d bytes", before, r.group.Rows))
			return
		}
		copy(r.b.ParentIDs[i][:], p.payload[before*8:])
		before++
	}
}
