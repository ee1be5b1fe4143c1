package span

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// Row is one span: a position in a batch.
type Row struct {
	Batch *Batch
	Pos   int
}

// from is where row pos's part of a list begins.
func from(ends []uint32, pos int) uint32 {
	if pos == 0 {
		return 0
	}
	return ends[pos-1]
}

// TraceID of the span.
func (r Row) TraceID() TraceID { return r.Batch.TraceIDs[r.Pos] }

// SpanID of the span.
func (r Row) SpanID() SpanID { return r.Batch.SpanIDs[r.Pos] }

// ParentID of the span, zero for a root.
func (r Row) ParentID() SpanID { return r.Batch.ParentIDs[r.Pos] }

// Start in unix nanoseconds.
func (r Row) Start() uint64 { return r.Batch.Starts[r.Pos] }

// End in unix nanoseconds, as received.
func (r Row) End() uint64 { return r.Batch.Ends[r.Pos] }

// Duration in nanoseconds as searched; see Duration.
func (r Row) Duration() uint64 { return Duration(r.Start(), r.End()) }

// Duration is end - start in nanoseconds; 0 where the end lies before the start or
// the difference exceeds an int64.
func Duration(start, end uint64) uint64 {
	if end < start || end-start > math.MaxInt64 {
		return 0
	}
	return end - start
}

// Kind is the OTLP SpanKind number.
func (r Row) Kind() int32 { return r.Batch.Kinds[r.Pos] }

// StatusCode is the OTLP StatusCode number.
func (r Row) StatusCode() int32 { return r.Batch.StatusCodes[r.Pos] }

// Name of the span, as a slice of the batch.
func (r Row) Name() []byte { return r.Batch.Bytes(r.Batch.Names[r.Pos]) }

// Resource of the span.
func (r Row) Resource() *Resource { return &r.Batch.Resources[r.Batch.ResourceIDs[r.Pos]] }

// Scope of the span.
func (r Row) Scope() *Scope { return &r.Batch.Scopes[r.Batch.ScopeIDs[r.Pos]] }

// Service is the resource's service.name, as a slice of the batch.
func (r Row) Service() []byte { return r.Batch.Bytes(r.Resource().Service) }

// AttrIDs gives the positions in Batch.Attrs of the span's attributes, in the order received.
func (r Row) AttrIDs() []uint32 {
	return r.Batch.AttrIDs[from(r.Batch.AttrEnds, r.Pos):r.Batch.AttrEnds[r.Pos]]
}

// AppendAttrs appends the attributes of the span, in the order received.
func (r Row) AppendAttrs(dst []Attr) []Attr {
	ids, table := r.AttrIDs(), r.Batch.Attrs
	at := len(dst)
	dst = slices.Grow(dst, len(ids))[:at+len(ids)]
	list := dst[at:]
	for i, id := range ids {
		list[i] = table[id]
	}
	return dst
}

// EventRange gives the positions of the span's events in Batch.Events.
func (r Row) EventRange() (begin, end uint32) {
	return from(r.Batch.EventEnds, r.Pos), r.Batch.EventEnds[r.Pos]
}

// LinkRange gives the positions of the span's links in Batch.Links.
func (r Row) LinkRange() (begin, end uint32) {
	return from(r.Batch.LinkEnds, r.Pos), r.Batch.LinkEnds[r.Pos]
}

// EventAttrsOf gives the attributes of event i.
func (b *Batch) EventAttrsOf(i uint32) []Attr {
	begin := uint32(0)
	if i > 0 {
		begin = b.Events[i-1].AttrEnd
	}
	return b.EventAttrs[begin:b.Events[i].AttrEnd]
}

// LinkAttrsOf gives the attributes of link i.
func (b *Batch) LinkAttrsOf(i uint32) []Attr {
	begin := uint32(0)
	if i > 0 {
		begin = b.Links[i-1].AttrEnd
	}
	return b.LinkAttrs[begin:b.Links[i].AttrEnd]
}

// Compare is the order of a trace's rows: start, span id, kind, content. Zero means the
// same span, received twice. Both rows belong to one trace and hold all columns.
func Compare(a, b Row) int {
	if c := CompareOutlines(a, b); c != 0 || a == b {
		return c
	}
	var contentA, contentB [1 << 10]byte // most spans fit: no allocation for a duplicate
	return bytes.Compare(AppendContent(contentA[:0], a), AppendContent(contentB[:0], b))
}

// CompareOutlines is Compare as far as start, span id and kind tell, which is nearly always; zero
// where the content decides.
func CompareOutlines(a, b Row) int {
	if c := cmp.Compare(a.Start(), b.Start()); c != 0 {
		return c
	}
	return cmp.Or(a.SpanID().Compare(b.SpanID()), cmp.Compare(a.Kind(), b.Kind()))
}

// AppendContent appends a byte string that is equal for two rows if and only if they
// are the same span: all of resource, schema URLs, scope and span, attributes in order.
// It serves comparison; nothing stores it.
func AppendContent(dst []byte, r Row) []byte {
	b, pos := r.Batch, r.Pos
	text := func(id TextID) {
		t := b.Bytes(id)
		dst = append(binary.AppendUvarint(dst, uint64(len(t))), t...)
	}
	number := func(values ...uint64) {
		for _, v := range values {
			dst = binary.AppendUvarint(dst, v)
		}
	}
	attrs := func(list []Attr) {
		number(uint64(len(list)))
		for i := range list {
			dst = appendAttrContent(dst, b, &list[i])
		}
	}
	flag := func(set bool) {
		if set {
			dst = append(dst, 1)
		} else {
			dst = append(dst, 0)
		}
	}
	resource, scope := r.Resource(), r.Scope()
	flag(resource.Present)
	text(resource.Message)
	text(resource.SchemaURL)
	flag(scope.Present)
	text(scope.Message)
	text(scope.SchemaURL)
	dst = append(dst, b.TraceIDs[pos][:]...)
	dst = append(dst, b.SpanIDs[pos][:]...)
	dst = append(dst, b.ParentIDs[pos][:]...)
	number(b.Starts[pos], b.Ends[pos], uint64(uint32(b.Kinds[pos])), uint64(uint32(b.StatusCodes[pos])))
	flag(b.StatusPresent[pos])
	number(uint64(b.Flags[pos]), uint64(b.DroppedAttrs[pos]), uint64(b.DroppedEvents[pos]), uint64(b.DroppedLinks[pos]))
	text(b.Names[pos])
	text(b.StatusMessages[pos])
	text(b.TraceStates[pos])
	text(b.Residues[pos])
	ids := r.AttrIDs()
	number(uint64(len(ids)))
	for _, id := range ids {
		dst = appendAttrContent(dst, b, &b.Attrs[id])
	}
	begin, end := r.EventRange()
	number(uint64(end - begin))
	for i := begin; i < end; i++ {
		e := b.Events[i]
		number(e.Time, uint64(e.Dropped))
		text(e.Name)
		text(e.Residue)
		attrs(b.EventAttrsOf(i))
	}
	begin, end = r.LinkRange()
	number(uint64(end - begin))
	for i := begin; i < end; i++ {
		l := b.Links[i]
		dst = append(append(dst, l.TraceID[:]...), l.SpanID[:]...)
		number(uint64(l.Dropped), uint64(l.Flags))
		text(l.TraceState)
		text(l.Residue)
		attrs(b.LinkAttrsOf(i))
	}
	return dst
}

// appendAttrContent is AppendContent for an attribute.
func appendAttrContent(dst []byte, b *Batch, a *Attr) []byte {
	text := func(id TextID) {
		t := b.Bytes(id)
		dst = append(binary.AppendUvarint(dst, uint64(len(t))), t...)
	}
	text(a.Key)
	dst = append(dst, byte(a.Type))
	if a.Type.HasText() {
		text(TextID(a.Value))
	} else {
		dst = binary.AppendUvarint(dst, a.Value)
	}
	return dst
}
