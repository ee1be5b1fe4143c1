package segment

import (
	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// attrColumn is one decoded attribute column, read front to back.
type attrColumn struct {
	values []uint64
	key    span.TextID
	kind   span.ValueType
	at     int
}

// attributes restores n lists of attributes of a level into dst, and calls end(i) after
// list i. Lists without the asked keys are empty.
func (g *groupReader) attributes(level span.Level, end func(i int), dst *[]span.Attr, n int) {
	cols := columnsOf(level)
	payload := g.page(cols.shape)
	if payload == nil {
		for i := range n {
			end(i)
		}
		return
	}
	columns := uint32(colFixed + len(g.s.columns))
	s, err := decodeShapes(payload, n, columns)
	if err != nil {
		g.fail(cols.shape, err)
		return
	}
	uses, ok := s.uses(columns)
	if !ok {
		g.fail(cols.shape, codec.Corrupt("more than %d attributes in a row group", groupValuesMax))
		return
	}
	mapped := g.mapColumn(cols.first, uses[cols.first])
	read := make([]*attrColumn, columns)
	total := 0
	g.values = g.values[:0]
	for id, count := range uses {
		if id >= colFixed && count > 0 {
			if read[id] = g.attrColumn(uint32(id), level, count); read[id] != nil {
				total += count
			}
		} else if count > 0 && uint32(id) != cols.first {
			g.fail(cols.shape, codec.Corrupt("column %d in a shape", id))
		}
	}
	if g.err != nil {
		return
	}
	*dst = make([]span.Attr, 0, total+len(mapped))
	narrowed := narrow(s.lists, read, cols.first)
	for i, code := range s.codes {
		for _, id := range narrowed[code] {
			if id == cols.first {
				if a := mapped[0]; g.p.Keys == nil || g.p.Keys[string(g.textOf(a.Key))] {
					*dst = append(*dst, a)
				}
				mapped = mapped[1:]
				continue
			}
			c := read[id]
			*dst = append(*dst, span.Attr{Value: c.values[c.at], Key: c.key, Type: c.kind})
			c.at++
		}
		end(i)
	}
}

// narrow leaves of each shape the columns that are read.
func narrow(lists [][]uint32, read []*attrColumn, mapColumn uint32) [][]uint32 {
	out := make([][]uint32, len(lists))
	for i, list := range lists {
		kept := make([]uint32, 0, len(list))
		for _, id := range list {
			if id == mapColumn || read[id] != nil {
				kept = append(kept, id)
			}
		}
		out[i] = kept
	}
	return out
}

func (g *groupReader) textOf(id span.TextID) []byte {
	if id == 0 {
		return nil
	}
	return g.text.Text[g.text.Ends[id-1]:g.text.Ends[id]]
}

// attrColumn decodes the n values of an attribute column; nil where it was not asked for.
func (g *groupReader) attrColumn(id uint32, level span.Level, n int) *attrColumn {
	c := g.s.columns[id-colFixed]
	if c.level != level {
		g.fail(id, codec.Corrupt("column of level %d in a shape of level %d", c.level, level))
		return nil
	}
	if g.p.Keys != nil && !g.p.Keys[c.key] {
		return nil
	}
	payload := g.page(id)
	if payload == nil {
		g.fail(id, codec.Corrupt("column %d has values and no page", id))
		return nil
	}
	out := &attrColumn{key: span.TextID(g.text.Add([]byte(c.key))), kind: c.kind}
	at := len(g.values)
	if c.kind.HasText() {
		g.values = decodeTexts(g, id, g.values, payload, n)
	} else {
		r := codec.NewReader(payload)
		g.values = column.DecodeInts(g.values, r, n)
		g.whole(id, r)
	}
	out.values = g.values[at:] // stays good when g.values moves: nobody writes to it again
	return out
}

// mapColumn decodes the n attributes of a map column.
func (g *groupReader) mapColumn(first uint32, n int) []span.Attr {
	if n == 0 || g.err != nil {
		return nil
	}
	attrs := make([]span.Attr, n)
	for i, key := range g.texts(int(first+mapKey), n) {
		attrs[i].Key = key
	}
	withText := 0
	for i, kind := range g.integers(int(first+mapType), n) {
		if kind >= span.ValueTypes {
			g.fail(first+mapType, codec.Corrupt("attribute type %d", kind))
			return nil
		}
		if attrs[i].Type = span.ValueType(kind); attrs[i].Type.HasText() {
			withText++
		}
	}
	texts := g.texts(int(first+mapText), withText)
	numbers := g.integers(int(first+mapNumber), n-withText)
	for i := range attrs {
		if a := &attrs[i]; a.Type.HasText() {
			a.Value, texts = uint64(texts[0]), texts[1:]
		} else {
			a.Value, numbers = numbers[0], numbers[1:]
		}
	}
	return attrs
}

// ends turns the counts of a column into ends, and gives their sum.
func (g *groupReader) ends(col int) ([]uint32, int) {
	out, sum := make([]uint32, g.group.Rows), uint64(0)
	for i, count := range g.integers(col, g.group.Rows) {
		if sum += count; count > groupValuesMax || sum > groupValuesMax {
			g.fail(uint32(col), codec.Corrupt("%d events or links in a row group", sum))
			return out, 0
		}
		out[i] = uint32(sum)
	}
	return out, int(sum)
}

func (g *groupReader) events() {
	b := g.b
	ends, n := g.ends(colEventCount)
	b.EventEnds = ends
	if n == 0 || g.err != nil {
		return
	}
	b.Events = make([]span.Event, n)
	for i, offset := range g.integers(colEventTime, n) {
		b.Events[i].Time = offset
	}
	starts, at := g.integers(colStart, g.group.Rows), uint32(0)
	for row, end := range ends {
		for ; at < end; at++ {
			b.Events[at].Time += starts[row]
		}
	}
	for i, v := range uint32s[uint32](g, colEventDropped, n) {
		b.Events[i].Dropped = v
	}
	for i, id := range g.texts(colEventName, n) {
		b.Events[i].Name = id
	}
	for i, id := range g.texts(colEventResidue, n) {
		b.Events[i].Residue = id
	}
	g.attributes(span.EventLevel, func(i int) { b.Events[i].AttrEnd = uint32(len(b.EventAttrs)) }, &b.EventAttrs, n)
}

func (g *groupReader) links() {
	b := g.b
	ends, n := g.ends(colLinkCount)
	b.LinkEnds = ends
	if n == 0 || g.err != nil {
		return
	}
	b.Links = make([]span.Link, n)
	ids := g.raw(colLinkTraceID, n, 16)
	for i := range b.Links {
		copy(b.Links[i].TraceID[:], ids[i*16:])
	}
	ids = g.raw(colLinkSpanID, n, 8)
	for i := range b.Links {
		copy(b.Links[i].SpanID[:], ids[i*8:])
	}
	for i, v := range uint32s[uint32](g, colLinkDropped, n) {
		b.Links[i].Dropped = v
	}
	for i, v := range uint32s[uint32](g, colLinkFlags, n) {
		b.Links[i].Flags = v
	}
	for i, id := range g.texts(colLinkTraceState, n) {
		b.Links[i].TraceState = id
	}
	for i, id := range g.texts(colLinkResidue, n) {
		b.Links[i].Residue = id
	}
	g.attributes(span.LinkLevel, func(i int) { b.Links[i].AttrEnd = uint32(len(b.LinkAttrs)) }, &b.LinkAttrs, n)
}
