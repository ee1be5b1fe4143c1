// Package span holds the words of Stoa: a Batch of spans as columns, a Row in it, the
// Query that chooses rows, and what answers are made of (Summary, Edge, Operation).
//
// One type flows through all rooms: the walker (engine/span/otlp) fills a Batch from
// OTLP bytes, the memtable keeps batches as they are, a segment takes rows from
// batches and gives its row groups back as batches, the encoder turns rows into OTLP
// bytes again. A Batch holds everything that OTLP can say of a span, exactly: what has
// no column of its own stands in a row's residue as raw wire bytes.
//
// The package starts no goroutines and knows neither disk nor clock.
package span

import "unsafe" // for the size of a Batch alone

// TextID names bytes in a batch's text table. 0 is the empty string, in every batch.
// Equal bytes may stand under several ids.
type TextID uint32

// ValueType is the OTLP type of an attribute's value. The numbers are stored.
type ValueType uint8

// The value types. Attr.Value holds: the bits of the int64 or float64, 0 or 1 for a
// bool, a TextID for all types that carry bytes, 0 for the two empty ones.
const (
	NoValue      ValueType = iota // a KeyValue without value
	EmptyValue                    // an AnyValue with no field set
	StringValue                   // text
	BoolValue                     //
	IntValue                      //
	DoubleValue                   // IEEE bits, NaN payloads kept
	BytesValue                    // bytes
	ArrayValue                    // the ArrayValue message, raw
	MapValue                      // the KeyValueList message, raw
	RawValue                      // an AnyValue message that no other type holds exactly, raw
	RawAttribute                  // a whole KeyValue message with parts unknown to us, raw; Key is set for search
	ValueTypes   = iota
)

// HasText reports whether Attr.Value is a TextID.
func (t ValueType) HasText() bool {
	return t == StringValue || t >= BytesValue
}

// Attr is one attribute.
type Attr struct {
	Value uint64
	Key   TextID
	Type  ValueType
}

// Level says where an attribute stands. The numbers are stored.
type Level uint8

// The five levels.
const (
	SpanLevel Level = iota
	ResourceLevel
	ScopeLevel
	EventLevel
	LinkLevel
	Levels = iota
)

// Resource is one distinct (resource, schema URL) of a batch. Message holds the
// Resource message as received (merged by concatenation where it came in parts);
// Present tells an empty message from none. The attributes stand flattened in
// Batch.ResourceAttrs, up to AttrEnd, from the previous resource's AttrEnd.
type Resource struct {
	Message   TextID
	SchemaURL TextID
	Service   TextID // the last service.name attribute, as text; empty where there is none
	AttrEnd   uint32
	Present   bool
}

// Scope is one distinct (instrumentation scope, schema URL); see Resource.
type Scope struct {
	Message   TextID
	SchemaURL TextID
	Name      TextID
	Version   TextID
	AttrEnd   uint32
	Present   bool
}

// Event is one span event.
type Event struct {
	Time    uint64 // unix nanoseconds
	Name    TextID
	AttrEnd uint32 // in Batch.EventAttrs
	Dropped uint32
	Residue TextID // raw fields of the Event message without a column
}

// Link is one span link. An id of odd length stands in Residue, its column is zero.
type Link struct {
	TraceID    TraceID
	SpanID     SpanID
	TraceState TextID
	AttrEnd    uint32 // in Batch.LinkAttrs
	Dropped    uint32
	Flags      uint32
	Residue    TextID
}

// Batch is spans as columns: entry i of every per-row slice belongs to row i. Lists
// (attributes, events, links) of all rows stand one after another; the End column
// gives where a row's part ends, its begin is the end of the row before. A published
// batch is never changed: any number of goroutines may read it, and columns of zeros may be
// memory that batches share.
//
// Spans of one program have most attributes in common, so a span's list is of positions in a
// table of attributes, 4 bytes each. Equal attributes may stand under several of them: who fills
// a batch need not search (AttrInterner does).
//
// A batch made by a partial read of a segment may leave columns nil that were not
// asked for (see engine/segment); the walker fills all.
type Batch struct {
	Text    []byte   // all text, one after another
	TextEnd []uint32 // by TextID: end in Text; entry 0 is 0

	Resources     []Resource
	ResourceAttrs []Attr
	Scopes        []Scope
	ScopeAttrs    []Attr

	TraceIDs       []TraceID
	SpanIDs        []SpanID
	ParentIDs      []SpanID // zero where there is none, or an odd one (see Residues)
	Starts         []uint64 // unix nanoseconds, as on the wire
	Ends           []uint64 // unix nanoseconds, as on the wire; may lie before the start
	Names          []TextID
	Kinds          []int32 // SpanKind; unknown numbers kept
	StatusCodes    []int32 // StatusCode; unknown numbers kept
	StatusMessages []TextID
	StatusPresent  []bool // an empty Status message is not the same as none
	TraceStates    []TextID
	Flags          []uint32
	DroppedAttrs   []uint32
	DroppedEvents  []uint32
	DroppedLinks   []uint32
	ResourceIDs    []uint32 // position in Resources
	ScopeIDs       []uint32 // position in Scopes
	AttrEnds       []uint32 // in AttrIDs
	EventEnds      []uint32 // in Events
	LinkEnds       []uint32 // in Links
	Residues       []TextID // raw fields of the Span message without a column, in wire order

	// Origin is left here by what made the batch, for itself to know it again; nobody else
	// looks at it. nil says nothing.
	Origin any

	Attrs      []Attr   // of spans, nearly each once
	AttrIDs    []uint32 // position in Attrs
	Events     []Event
	EventAttrs []Attr
	Links      []Link
	LinkAttrs  []Attr

	// Written has the attributes of spans as an AttrWriter wrote them, with their ends by row: instead
	// of AttrEnds, AttrIDs and Attrs, in batches that were read so (see engine/segment).
	Written     []byte
	WrittenEnds []uint32

	// ResourceMarks and ScopeMarks, where they are not nil, name what the entries of the two tables
	// hold: equal marks of any batches of this process stand for equal resources, or scopes. What is
	// equal may have several.
	ResourceMarks, ScopeMarks []uint64
}

// SpanKind numbers of OTLP.
const (
	KindUnspecified = 0
	KindInternal    = 1
	KindServer      = 2
	KindClient      = 3
	KindProducer    = 4
	KindConsumer    = 5
)

// StatusCode numbers of OTLP.
const (
	StatusUnset = 0
	StatusOK    = 1
	StatusError = 2
)

// Len is the number of rows.
func (b *Batch) Len() int { return len(b.TraceIDs) }

// Bytes gives the bytes of id, as a slice of the batch.
func (b *Batch) Bytes(id TextID) []byte {
	if id == 0 {
		return nil
	}
	return b.Text[b.TextEnd[id-1]:b.TextEnd[id]]
}

// TextBytes is the length of a text.
func (b *Batch) TextBytes(id TextID) int {
	if id == 0 {
		return 0
	}
	return int(b.TextEnd[id] - b.TextEnd[id-1])
}

// String gives a copy of the bytes of id.
func (b *Batch) String(id TextID) string { return string(b.Bytes(id)) }

// AddText appends text to the table and names it; it does not look for an equal one
// (Interner does). Empty text is id 0.
func (b *Batch) AddText(text []byte) TextID {
	if len(b.TextEnd) == 0 {
		b.TextEnd = append(b.TextEnd, 0)
	}
	if len(text) == 0 {
		return 0
	}
	b.Text = append(b.Text, text...)
	b.TextEnd = append(b.TextEnd, uint32(len(b.Text)))
	return TextID(len(b.TextEnd) - 1)
}

// AddAttr appends an attribute to the table and to the list of the row under way; it does not
// look for an equal one (AttrInterner does).
func (b *Batch) AddAttr(a Attr) {
	b.AttrIDs = append(b.AttrIDs, uint32(len(b.Attrs)))
	b.Attrs = append(b.Attrs, a)
}

// ResourceAttrsOf gives the flattened attributes of resource i.
func (b *Batch) ResourceAttrsOf(i uint32) []Attr {
	from := uint32(0)
	if i > 0 {
		from = b.Resources[i-1].AttrEnd
	}
	return b.ResourceAttrs[from:b.Resources[i].AttrEnd]
}

// ScopeAttrsOf gives the flattened attributes of scope i.
func (b *Batch) ScopeAttrsOf(i uint32) []Attr {
	from := uint32(0)
	if i > 0 {
		from = b.Scopes[i-1].AttrEnd
	}
	return b.ScopeAttrs[from:b.Scopes[i].AttrEnd]
}

// Bounds gives the smallest and the largest start of the batch's rows; an empty batch
// has (1, 0).
func (b *Batch) Bounds() (minStart, maxStart uint64) {
	if len(b.Starts) == 0 {
		return 1, 0
	}
	minStart, maxStart = b.Starts[0], b.Starts[0]
	for _, start := range b.Starts {
		minStart, maxStart = min(minStart, start), max(maxStart, start)
	}
	return minStart, maxStart
}

// MemoryBytes is what the batch holds in memory, by capacity, itself included: small
// batches are many. Columns that batches share count for nothing.
func (b *Batch) MemoryBytes() int {
	rows := cap(b.TraceIDs)*16 + (cap(b.SpanIDs)+cap(b.ParentIDs)+cap(b.Starts)+cap(b.Ends))*8 +
		ownBytes(zeroTexts[:], b.Names, b.StatusMessages, b.TraceStates, b.Residues) +
		ownBytes(zeroEnums[:], b.Kinds, b.StatusCodes) + ownBytes(zeroFlags[:], b.StatusPresent) +
		ownBytes(zeroNumbers[:], b.Flags, b.DroppedAttrs, b.DroppedEvents, b.DroppedLinks,
			b.ResourceIDs, b.ScopeIDs, b.AttrEnds, b.EventEnds, b.LinkEnds)
	lists := (cap(b.Attrs)+cap(b.EventAttrs)+cap(b.LinkAttrs)+cap(b.ResourceAttrs)+cap(b.ScopeAttrs))*16 +
		cap(b.AttrIDs)*4 + cap(b.Events)*24 + cap(b.Links)*48
	return int(unsafe.Sizeof(*b)) + rows + lists + cap(b.Text) + cap(b.Written) + (cap(b.TextEnd)+cap(b.WrittenEnds))*4 + (cap(b.Resources)+cap(b.Scopes))*24 + (cap(b.ResourceMarks)+cap(b.ScopeMarks))*8
}
