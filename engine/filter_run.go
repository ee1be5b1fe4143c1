package engine

import (
	"encoding/hex"
	"math"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// filterRun is a compiled filter on one batch at a time. It serves one goroutine; buffers
// are kept from batch to batch. What depends on the resource alone, or on the scope alone,
// is worked out once for each of them and batch (see memoNode), and what is known of a key
// once for each TextID: a batch has few of all three, and many rows.
type filterRun struct {
	filter *compiledFilter
	effort *effort
	batch  *span.Batch

	keyOf []uint16 // by TextID: keyUnasked, keyOther, or keyAsked + its number
	memos [][]verdict

	pos   int
	event int64 // the event that Some binds, or nothing
	link  int64

	tested filterValue // by a testLeaf: here, or it would be allocated for every value
	ids    [2][32]byte // hex of ids, for the left and the right value
	texts  [2][]byte   // the same for bytes, arrays and maps as text
	ticked []bool      // see wordsTest
}

// unbound is where Some binds no element.
const unbound = -1

// The states of filterRun.keyOf.
const (
	keyUnasked  = iota // not looked at in this batch
	keyNotInUse        // no reference has it
	keyInUse           // the first reference's key
)

// verdict is what is known of a node for one resource or scope.
type verdict uint8

const (
	notYet verdict = iota
	holdsNot
	holdsTrue
)

// run makes a filterRun without a batch.
func (f *compiledFilter) run(e *effort) *filterRun {
	return &filterRun{filter: f, effort: e, event: unbound, link: unbound, memos: make([][]verdict, f.memos)}
}

// bind readies the run for the rows of b, which has all columns that the filter needs.
func (r *filterRun) bind(b *span.Batch) {
	r.batch = b
	r.keyOf = cleared(r.keyOf, len(b.TextEnd)+1)
	for i := range r.memos {
		r.memos[i] = cleared(r.memos[i], max(len(b.Resources), len(b.Scopes)))
	}
}

// holds reports whether the filter holds on a row of the bound batch.
func (r *filterRun) holds(pos int) bool {
	r.pos = pos
	return r.filter.root.holds(r)
}

// source is a reference on one level: an unqualified one is two of them.
type source struct {
	level span.Level
	field span.Field // NoField for an attribute
	key   uint16     // the attribute's, its number among the filter's keys
}

// elements gives the range of what the source's level means now: one thing for a span, a
// resource, a scope and a bound element, the positions of all elements otherwise.
func (r *filterRun) elements(level span.Level) (begin, end uint32) {
	row := span.Row{Batch: r.batch, Pos: r.pos}
	switch level {
	case span.EventLevel:
		if r.event != unbound {
			return uint32(r.event), uint32(r.event) + 1
		}
		return row.EventRange()
	case span.LinkLevel:
		if r.link != unbound {
			return uint32(r.link), uint32(r.link) + 1
		}
		return row.LinkRange()
	}
	return 0, 1
}

// value reads the source at element i; ok is false where it has none. The side says which
// buffers a text made for this may use.
func (r *filterRun) value(s *source, i uint32, side int) (v filterValue, ok bool) {
	if s.field != span.NoField {
		return r.fieldValue(s.field, i, side)
	}
	if s.level == span.SpanLevel {
		return r.spanValue(s.key)
	}
	attrs := r.attrs(s.level, i)
	r.spendOn(len(attrs))
	for at := len(attrs) - 1; at >= 0; at-- {
		if r.isKey(attrs[at].Key, s.key) {
			return attrValue(r.batch, attrs[at]), true
		}
	}
	return v, false
}

// spanValue is value for an attribute of the span.
func (r *filterRun) spanValue(key uint16) (v filterValue, ok bool) {
	ids, attrs := span.Row{Batch: r.batch, Pos: r.pos}.AttrIDs(), r.batch.Attrs
	r.spendOn(len(ids))
	for at := len(ids) - 1; at >= 0; at-- {
		if a := &attrs[ids[at]]; r.isKey(a.Key, key) {
			return attrValue(r.batch, *a), true
		}
	}
	return v, false
}

// spendOn spends what so many attributes cost beyond a look.
func (r *filterRun) spendOn(attrs int) {
	if attrs > attrsOfALook {
		r.effort.spend(attrs / attrsOfALook)
	}
}

// has reports whether the source has a value at element i.
func (r *filterRun) has(s *source, i uint32) bool {
	_, ok := r.value(s, i, 0)
	return ok
}

// attrs gives the attributes of a resource, a scope, an event or a link.
func (r *filterRun) attrs(level span.Level, i uint32) []span.Attr {
	switch level {
	case span.ResourceLevel:
		return r.batch.ResourceAttrsOf(r.batch.ResourceIDs[r.pos])
	case span.ScopeLevel:
		return r.batch.ScopeAttrsOf(r.batch.ScopeIDs[r.pos])
	case span.EventLevel:
		return r.batch.EventAttrsOf(i)
	default:
		return r.batch.LinkAttrsOf(i)
	}
}

// learnKey finds out which of the filter's keys a text is.
func (r *filterRun) learnKey(id span.TextID) uint16 {
	state := uint16(keyNotInUse)
	if key, ok := r.filter.keys[string(r.batch.Bytes(id))]; ok {
		state = keyInUse + key
	}
	r.keyOf[id] = state
	return state
}

// attrValue is the value of an attribute.
func attrValue(b *span.Batch, a span.Attr) filterValue {
	t, bits, data := a.Type, a.Value, []byte(nil)
	switch t {
	case span.StringValue, span.BytesValue:
		data = b.Bytes(span.TextID(a.Value))
	case span.RawValue, span.RawAttribute:
		t, bits, data = otlp.Meaning(b, a)
	}
	switch t {
	case span.StringValue:
		return filterValue{kind: textKind, text: data}
	case span.BoolValue:
		return filterValue{kind: boolKind, bits: bits}
	case span.IntValue:
		return filterValue{kind: intKind, bits: bits}
	case span.DoubleValue:
		return filterValue{kind: doubleKind, bits: bits, attr: a}
	case span.BytesValue:
		return filterValue{kind: bytesKind, text: data, attr: a}
	case span.ArrayValue:
		return filterValue{kind: arrayKind, attr: a}
	case span.MapValue:
		return filterValue{kind: mapKind, attr: a}
	}
	return filterValue{kind: emptyKind, attr: a}
}

// spell gives the text of an attribute's value as a legacy search compares it.
func (r *filterRun) spell(side int, v *filterValue) []byte {
	r.texts[side] = otlp.AppendText(r.texts[side][:0], r.batch, v.attr)
	r.effort.spendBytes(len(r.texts[side]))
	return r.texts[side]
}

// fieldValue is the value of a field.
func (r *filterRun) fieldValue(f span.Field, i uint32, side int) (v filterValue, ok bool) {
	b, pos := r.batch, r.pos
	switch f {
	case span.SpanTraceID:
		return r.hexValue(b.TraceIDs[pos][:], side), true
	case span.SpanSpanID:
		return r.hexValue(b.SpanIDs[pos][:], side), true
	case span.SpanParentSpanID:
		return r.hexValue(b.ParentIDs[pos][:], side), !b.ParentIDs[pos].IsZero()
	case span.SpanTraceState:
		return textIfAny(b.Bytes(b.TraceStates[pos]))
	case span.SpanName:
		return filterValue{kind: textKind, text: b.Bytes(b.Names[pos])}, true
	case span.SpanKind:
		return wordValue(kindTexts, b.Kinds[pos])
	case span.SpanStartTime:
		return filterValue{kind: instantKind, bits: b.Starts[pos]}, true
	case span.SpanEndTime:
		return filterValue{kind: instantKind, bits: b.Ends[pos]}, true
	case span.SpanStatus:
		return wordValue(statusTexts, b.StatusCodes[pos])
	case span.SpanStatusMessage:
		return textIfAny(b.Bytes(b.StatusMessages[pos]))
	case span.SpanDuration:
		return filterValue{kind: durationKind, bits: span.Duration(b.Starts[pos], b.Ends[pos])}, true
	}
	return r.otherField(f, i, side)
}

// otherField is fieldValue for the fields that are not the span's own.
func (r *filterRun) otherField(f span.Field, i uint32, side int) (v filterValue, ok bool) {
	b := r.batch
	row := span.Row{Batch: b, Pos: r.pos} // whose resource or scope a batch may lack, see judge
	switch f {
	case span.ResourceService:
		return textIfAny(b.Bytes(row.Resource().Service))
	case span.ResourceSchemaURL:
		return textIfAny(b.Bytes(row.Resource().SchemaURL))
	case span.ScopeName:
		return textIfAny(b.Bytes(row.Scope().Name))
	case span.ScopeVersion:
		return textIfAny(b.Bytes(row.Scope().Version))
	case span.ScopeSchemaURL:
		return textIfAny(b.Bytes(row.Scope().SchemaURL))
	case span.EventName:
		return filterValue{kind: textKind, text: b.Bytes(b.Events[i].Name)}, true
	case span.EventTime:
		return filterValue{kind: instantKind, bits: b.Events[i].Time}, true
	case span.EventTimeSinceStart:
		return filterValue{kind: durationKind, bits: uint64(sinceStart(b.Events[i].Time, b.Starts[r.pos]))}, true
	case span.LinkTraceID:
		return r.hexValue(b.Links[i].TraceID[:], side), true
	case span.LinkSpanID:
		return r.hexValue(b.Links[i].SpanID[:], side), true
	case span.LinkTraceState:
		return filterValue{kind: textKind, text: b.Bytes(b.Links[i].TraceState)}, true
	}
	return v, false
}

// sinceStart is t - start, or the nearest that an int64 holds.
func sinceStart(t, start uint64) int64 {
	if t >= start {
		return int64(min(t-start, math.MaxInt64))
	}
	if start-t > math.MaxInt64 {
		return math.MinInt64
	}
	return -int64(start - t)
}

func (r *filterRun) hexValue(id []byte, side int) filterValue {
	n := hex.Encode(r.ids[side][:], id)
	return filterValue{kind: textKind, text: r.ids[side][:n]}
}

// textIfAny is a text of which the empty one means "not set".
func textIfAny(text []byte) (filterValue, bool) {
	return filterValue{kind: textKind, text: text}, len(text) > 0
}

var kindTexts, statusTexts = textsOf(span.KindWords), textsOf(span.StatusWords)

func textsOf(words []string) [][]byte {
	texts := make([][]byte, len(words))
	for i, word := range words {
		texts[i] = []byte(word)
	}
	return texts
}

func wordValue(words [][]byte, number int32) (v filterValue, ok bool) {
	if number < 0 || int(number) >= len(words) {
		return v, false
	}
	return filterValue{kind: textKind, text: words[number]}, true
}
