package segment

import (
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// spans fills what stands in the templates of spans.
func (r *rowReader) spans() {
	b, rows := r.b, r.rows()
	it := r.openLevel(span.SpanLevel, r.group.Rows, r.from, r.to)
	if it == nil {
		r.fail(colTemplate, codec.Corrupt("no templates of spans"))
		return
	}
	if r.bare {
		r.bareKinds(it)
		return
	}
	if r.write && r.err == nil && it.writeAttrs() {
		it.outlines()
		return
	}
	b.ScopeIDs = make([]uint32, rows)
	if r.p.Names {
		b.Names = make([]span.TextID, rows)
	}
	if r.p.Identity {
		b.Kinds, b.StatusCodes = make([]int32, rows), make([]int32, rows)
		b.StatusMessages, b.StatusPresent = make([]span.TextID, rows), make([]bool, rows)
	}
	if r.p.All {
		b.TraceStates, b.Flags = make([]span.TextID, rows), make([]uint32, rows)
		b.DroppedAttrs, b.DroppedEvents, b.DroppedLinks = make([]uint32, rows), make([]uint32, rows), make([]uint32, rows)
	}
	if r.p.Attrs {
		b.AttrEnds = make([]uint32, rows)
		b.AttrIDs = make([]uint32, 0, it.total()) // this compiles all templates
		b.Attrs = append(make([]span.Attr, 0, len(b.Attrs)+it.totalOwn()), b.Attrs...)
	}
	lastScope, lastIn := ^uint32(0), uint32(0)
	it.eachSpan(func(i int, col uint32, id span.TextID) {
		switch col {
		case colName:
			b.Names[i] = id
		case colStatusMessage:
			b.StatusMessages[i] = id
		default:
			b.TraceStates[i] = id
		}
	}, func(i int, scalars []uint32) {
		if scope := scalars[scalarScope]; scope != lastScope {
			lastScope, lastIn = scope, r.scopeIn(scope)
		}
		b.ScopeIDs[i] = lastIn
		if r.p.Identity {
			b.Kinds[i], b.StatusCodes[i] = int32(scalars[scalarKind]), int32(scalars[scalarStatusCode])
			b.StatusPresent[i] = scalars[scalarStatusPresent] != 0
		}
		if r.p.All {
			b.Flags[i], b.DroppedAttrs[i] = scalars[scalarFlags], scalars[scalarDroppedAttrs]
			b.DroppedEvents[i], b.DroppedLinks[i] = scalars[scalarDroppedEvents], scalars[scalarDroppedLinks]
		}
		if r.p.Attrs {
			b.AttrEnds[i] = uint32(len(b.AttrIDs))
		}
	})
}

// scopeIn gives the place of a scope in the batch, where it puts it at first.
func (r *rowReader) scopeIn(scope uint32) uint32 {
	at, ok := r.scopes[scope]
	if ok {
		return at
	}
	b := r.b
	at = uint32(len(b.Scopes))
	if r.scopes == nil {
		r.scopes = map[uint32]uint32{}
	}
	r.scopes[scope] = at
	if r.origin != nil {
		r.origin.scopes = append(r.origin.scopes, scope)
	}
	if b.ResourceMarks != nil {
		b.ScopeMarks = append(b.ScopeMarks, r.mark(scope))
	}
	if r.p.Services && !r.p.All {
		addScope(b, envelope{})
	} else {
		addScope(b, r.asked(scopeOf(r.s.scopes, scope)).copied(r.s.scopes, r.addText))
	}
	return at
}

// counted gives where the rows' events or links stand among those of the group, with their
// ends from the first of them; n is how many there are in the group.
func (r *rowReader) counted(col uint32) (ends []uint32, from, to, n int) {
	ends = make([]uint32, r.rows())
	p := r.page(col, func(payload []byte) (*page, error) { return openEnds(payload, r.group.Rows) })
	if p == nil {
		return ends, 0, 0, 0
	}
	if r.from > 0 {
		from = int(p.ends[r.from-1])
	}
	for i, end := range p.ends[r.from:r.to] {
		ends[i] = end - uint32(from)
		to = int(end)
	}
	return ends, from, max(to, from), int(p.ends[len(p.ends)-1])
}

func (r *rowReader) events() {
	b := r.b
	ends, from, to, n := r.counted(colEventCount)
	b.EventEnds = ends
	if from == to || r.err != nil {
		return
	}
	it := r.openLevel(span.EventLevel, n, from, to)
	if it == nil {
		return // before there is memory for so many
	}
	b.Events = make([]span.Event, to-from)
	for i, offset := range r.integers(colEventTime, n, from, to) {
		b.Events[i].Time = offset
	}
	starts, at := r.integers(colStart, r.group.Rows, r.from, r.to), uint32(0)
	for row, end := range ends {
		for ; at < end; at++ {
			b.Events[at].Time += starts[row]
		}
	}
	for i, id := range r.texts(colEventResidue, n, from, to) {
		b.Events[i].Residue = id
	}
	if r.bare {
		return
	}
	b.EventAttrs = make([]span.Attr, 0, it.total())
	it.each(&b.EventAttrs, func(i int, _ uint32, id span.TextID) { b.Events[i].Name = id }, func(i int, scalars []uint32) {
		b.Events[i].Dropped = scalars[scalarEventDropped]
		b.Events[i].AttrEnd = uint32(len(b.EventAttrs))
	})
}

func (r *rowReader) links() {
	b := r.b
	ends, from, to, n := r.counted(colLinkCount)
	b.LinkEnds = ends
	if from == to || r.err != nil {
		return
	}
	it := r.openLevel(span.LinkLevel, n, from, to)
	if it == nil {
		return
	}
	b.Links = make([]span.Link, to-from)
	ids := r.raw(colLinkTraceID, n, 16, from, to)
	for i := range b.Links {
		copy(b.Links[i].TraceID[:], ids[i*16:])
	}
	ids = r.raw(colLinkSpanID, n, 8, from, to)
	for i := range b.Links {
		copy(b.Links[i].SpanID[:], ids[i*8:])
	}
	for i, id := range r.texts(colLinkResidue, n, from, to) {
		b.Links[i].Residue = id
	}
	if r.bare {
		return
	}
	b.LinkAttrs = make([]span.Attr, 0, it.total())
	it.each(&b.LinkAttrs, func(i int, _ uint32, id span.TextID) { b.Links[i].TraceState = id }, func(i int, scalars []uint32) {
		b.Links[i].Dropped, b.Links[i].Flags = scalars[scalarLinkDropped], scalars[scalarLinkFlags]
		b.Links[i].AttrEnd = uint32(len(b.LinkAttrs))
	})
}
