package segment

import (
	"sync"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
)

// ReadGroup reads the columns of row group i that p asks for: row k of the batch is row
// FirstRow + k of the segment. The batch owns its memory. Its tables hold the resources and
// scopes that the group uses. A damaged page is codec.ErrCorrupt with file and offset.
func (s *Segment) ReadGroup(i int, p Projection) (*span.Batch, error) {
	invariant.Check(!s.closed.Load(), "segment %s is read after its close", s.info.Name)
	p = p.normal()
	g := &groupReader{s: s, group: &s.groups[i], p: p, b: new(span.Batch), buffers: readBuffers.Get().(*buffers)}
	err := g.read()
	g.b.Text, g.b.TextEnd = g.text.Take(0)
	if cap(g.pages)+cap(g.scratch)+8*(cap(g.ints)+cap(g.values)) <= keptBytesMax {
		readBuffers.Put(g.buffers)
	}
	if err != nil {
		return nil, err
	}
	return g.b, nil
}

// buffers are what one read needs and the next one can use again; nothing in a batch
// points into them.
type buffers struct {
	pages, scratch []byte
	ints, values   []uint64
	text           column.Table
}

var readBuffers = sync.Pool{New: func() any { return new(buffers) }}

// groupReader reads one row group. Its methods note the first error in err and go on with
// nothing, so that each step reads as one line.
type groupReader struct {
	s     *Segment
	group *groupRef
	p     Projection
	b     *span.Batch
	*buffers

	plan  []pageRef
	bytes [][]byte // of the plan's pages, in buffers.pages
	err   error
}

func (g *groupReader) read() error {
	g.fetch()
	g.traceIDs()
	g.tables()
	g.rows()
	if g.p.Attrs {
		g.b.AttrEnds = make([]uint32, g.group.Rows)
		g.attributes(span.SpanLevel, func(i int) { g.b.AttrEnds[i] = uint32(len(g.b.Attrs)) }, &g.b.Attrs, g.group.Rows)
	}
	if g.p.Events {
		g.events()
	}
	if g.p.Links {
		g.links()
	}
	return g.err
}

// fail notes an error of the page of a column, with its place in the file.
func (g *groupReader) fail(col uint32, err error) {
	if g.err != nil {
		return
	}
	offset := g.group.offset
	if page, ok := g.group.find(col); ok {
		offset += int64(page.offset)
	}
	g.err = codec.At(err, g.s.info.Name, offset)
}

// fetch reads the pages of the plan, near ones in one call.
func (g *groupReader) fetch() {
	g.plan = g.s.plan(g.group, g.p)
	total := 0
	for first := 0; first < len(g.plan); {
		last := g.lastNear(first)
		total += int(g.plan[last].offset + g.plan[last].length - g.plan[first].offset)
		first = last + 1
	}
	if cap(g.pages) < total {
		g.pages = make([]byte, total)
	}
	buffer := g.pages[:total]
	g.bytes = make([][]byte, len(g.plan))
	for first := 0; first < len(g.plan) && g.err == nil; {
		last := g.lastNear(first)
		begin := g.plan[first].offset
		read := buffer[:g.plan[last].offset+g.plan[last].length-begin]
		buffer = buffer[len(read):]
		g.err = g.s.readAt(read, g.group.offset+int64(begin))
		for ; first <= last; first++ {
			page := g.plan[first]
			g.bytes[first] = read[page.offset-begin:][:page.length]
		}
	}
	textBytes := 0
	for i, page := range g.plan {
		if g.s.isText(page.column) {
			textBytes += column.PayloadBytes(g.bytes[i])
		}
	}
	g.text.Take(min(textBytes, groupBytesMax))
}

// lastNear gives the last page of the plan that is read in one call with first.
func (g *groupReader) lastNear(first int) int {
	last := first
	for last+1 < len(g.plan) && g.plan[last+1].offset <= g.plan[last].offset+g.plan[last].length+gapBytesMax {
		last++
	}
	return last
}

// page gives the checked payload of a column's page, until the next call; nil where there
// is none, which stands for zeros.
func (g *groupReader) page(col uint32) []byte {
	low, high := 0, len(g.plan)
	for low < high {
		if middle := (low + high) / 2; g.plan[middle].column < col {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if g.err != nil || low == len(g.plan) || g.plan[low].column != col {
		return nil
	}
	payload, scratch, err := column.OpenPage(g.bytes[low], g.scratch)
	g.scratch = scratch
	if err != nil {
		g.fail(col, err)
		return nil
	}
	return payload
}

// integers gives n values of a fixed column, until the next call.
func (g *groupReader) integers(col int, n int) []uint64 {
	payload := g.page(uint32(col))
	if payload == nil {
		if cap(g.ints) < n {
			g.ints = make([]uint64, 0, n)
		}
		g.ints = g.ints[:n]
		clear(g.ints)
		return g.ints
	}
	r := codec.NewReader(payload)
	g.ints = column.DecodeInts(g.ints[:0], r, n)
	g.whole(uint32(col), r)
	if g.err != nil {
		return make([]uint64, n)
	}
	return g.ints
}

// whole notes an error of r, or bytes that it left.
func (g *groupReader) whole(col uint32, r *codec.Reader) {
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the column", r.Len())
	}
	if r.Err() != nil {
		g.fail(col, r.Err())
	}
}

// texts gives n texts of a fixed column.
func (g *groupReader) texts(col int, n int) []span.TextID {
	ids := make([]span.TextID, 0, n)
	if payload := g.page(uint32(col)); payload != nil {
		ids = decodeTexts(g, uint32(col), ids, payload, n)
	}
	if g.err != nil {
		return make([]span.TextID, n)
	}
	return ids[:n]
}

// decodeTexts appends the positions of all n texts of a payload.
func decodeTexts[ID ~uint32 | ~uint64](g *groupReader, col uint32, dst []ID, payload []byte, n int) []ID {
	texts, err := column.OpenTexts(payload, n)
	if err == nil {
		dst, err = column.DecodeTexts(dst, &g.text, texts, 0, n)
	}
	if err != nil {
		g.fail(col, err)
	}
	return dst
}

// uint32s gives n values of a fixed column that stand in 32 bits.
func uint32s[T ~int32 | ~uint32](g *groupReader, col, n int) []T {
	out := make([]T, n)
	for i, v := range g.integers(col, n) {
		if v>>32 != 0 {
			g.fail(uint32(col), codec.Corrupt("value %d in a column of 32 bits", v))
			break
		}
		out[i] = T(uint32(v))
	}
	return out
}

// raw gives the bytes of n fixed-width values; zeros where there is no page.
func (g *groupReader) raw(col, n, width int) []byte {
	payload := g.page(uint32(col))
	if payload == nil {
		return make([]byte, n*width)
	}
	if len(payload) != n*width {
		g.fail(uint32(col), codec.Corrupt("%d values of %d bytes in %d bytes", n, width, len(payload)))
		return make([]byte, n*width)
	}
	return payload
}

// traceIDs fills the ids from the trace table.
func (g *groupReader) traceIDs() {
	t, rows := &g.s.traces, g.group.Rows
	g.b.TraceIDs = make([]span.TraceID, rows)
	order := t.orderAt(g.group.FirstRow)
	for row := 0; row < rows; order++ {
		i := t.byRow[order]
		end := min(int(t.first[i]+t.rows[i])-g.group.FirstRow, rows)
		for ; row < end; row++ {
			g.b.TraceIDs[row] = t.ids[i]
		}
	}
}

// tables fills the resources and scopes of the group, and the rows' positions in them.
func (g *groupReader) tables() {
	add := func(text []byte) span.TextID { return span.TextID(g.text.Add(text)) }
	one := func(col int, count int, copyEntry func(id uint32)) []uint32 {
		r := codec.NewReader(g.page(uint32(col)))
		n := r.Uvarint()
		if n > uint64(g.group.Rows) {
			r.Fail("%d entries for %d rows", n, g.group.Rows)
			n = 0
		}
		ids := column.DecodeInts(nil, r, int(n))
		g.ints = column.DecodeInts(g.ints[:0], r, g.group.Rows)
		g.whole(uint32(col), r)
		local := make([]uint32, g.group.Rows)
		if g.err != nil {
			return local
		}
		for _, id := range ids {
			if id >= uint64(count) {
				g.fail(uint32(col), codec.Corrupt("entry %d of %d", id, count))
				return local
			}
			copyEntry(uint32(id))
		}
		for row, code := range g.ints {
			if code >= n {
				g.fail(uint32(col), codec.Corrupt("code %d of %d", code, n))
				return local
			}
			local[row] = uint32(code)
		}
		return local
	}
	resources, scopes := g.s.resources, g.s.scopes
	g.b.ResourceIDs = one(colResource, len(resources.Resources), func(id uint32) {
		addResource(g.b, resourceOf(resources, id).copied(resources, add))
	})
	g.b.ScopeIDs = one(colScope, len(scopes.Scopes), func(id uint32) {
		addScope(g.b, scopeOf(scopes, id).copied(scopes, add))
	})
}

// rows fills the columns with one value a row.
func (g *groupReader) rows() {
	b, n := g.b, g.group.Rows
	if g.p.Times {
		b.Starts = append(make([]uint64, 0, n), g.integers(colStart, n)...)
		b.Ends = append(make([]uint64, 0, n), g.integers(colDuration, n)...)
		for i, start := range b.Starts {
			b.Ends[i] += start
		}
	}
	if g.p.Names {
		b.Names = g.texts(colName, n)
	}
	if g.p.Identity {
		g.identity()
	}
	if !g.p.All {
		return
	}
	b.TraceStates = g.texts(colTraceState, n)
	b.Residues = g.texts(colResidue, n)
	b.Flags = uint32s[uint32](g, colFlags, n)
	b.DroppedAttrs = uint32s[uint32](g, colDroppedAttrs, n)
	b.DroppedEvents = uint32s[uint32](g, colDroppedEvents, n)
	b.DroppedLinks = uint32s[uint32](g, colDroppedLinks, n)
}

// identity fills ids, kinds and status. A parent stands as the distance to its row.
func (g *groupReader) identity() {
	b, n := g.b, g.group.Rows
	b.Kinds = uint32s[int32](g, colKind, n)
	b.StatusCodes = uint32s[int32](g, colStatusCode, n)
	b.StatusMessages = g.texts(colStatusMessage, n)
	b.StatusPresent = make([]bool, n)
	for i, v := range g.integers(colStatusPresent, n) {
		b.StatusPresent[i] = v != 0
	}
	b.SpanIDs, b.ParentIDs = make([]span.SpanID, n), make([]span.SpanID, n)
	ids := g.raw(colSpanID, n, 8)
	for i := range b.SpanIDs {
		copy(b.SpanIDs[i][:], ids[i*8:])
	}
	parents := g.integers(colParent, n)
	literals := 0
	for i, v := range parents {
		switch v {
		case parentNone:
		case parentLiteral:
			literals++
		default:
			v -= parentRow
			parent := int64(i) - (int64(v>>1) ^ -int64(v&1))
			if parent < 0 || parent >= int64(n) {
				g.fail(colParent, codec.Corrupt("parent of row %d is row %d", i, parent))
				return
			}
			b.ParentIDs[i] = b.SpanIDs[parent]
		}
	}
	if literals == 0 {
		return
	}
	raw := g.raw(colParentID, literals, 8)
	for i, v := range parents {
		if v == parentLiteral {
			copy(b.ParentIDs[i][:], raw)
			raw = raw[8:]
		}
	}
}
