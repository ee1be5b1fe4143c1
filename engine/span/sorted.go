package span

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// SpanField is what found spans can be ordered by.
type SpanField uint8

// The fields of an order.
const (
	OrderStart SpanField = iota
	OrderDuration
	OrderTraceID
	OrderSpanID
	OrderFields = iota
)

// SpanOrder is one term of an order.
type SpanOrder struct {
	Field      SpanField
	Descending bool
}

// FullOrder gives the order that the terms of a question mean: those of the default that it
// does not name come behind them (start descending, trace id, span id), and the duration at
// last, so that only copies of a span's key are equal under it.
func FullOrder(terms []SpanOrder) []SpanOrder {
	full := slices.Clone(terms)
	for _, term := range [...]SpanOrder{{OrderStart, true}, {OrderTraceID, false}, {OrderSpanID, false}, {OrderDuration, false}} {
		if !slices.ContainsFunc(full, func(known SpanOrder) bool { return known.Field == term.Field }) {
			full = append(full, term)
		}
	}
	return full
}

// SpanKey is where a span stands among found ones. Two different spans may have one key:
// ties are in the order of Tie, a hash of what the span is.
type SpanKey struct {
	Start, Duration uint64 // unix nanoseconds, nanoseconds
	TraceID         TraceID
	SpanID          SpanID
}

// KeyOf gives the key of a row that has ids and times.
func KeyOf(r Row) SpanKey {
	return SpanKey{Start: r.Start(), Duration: r.Duration(), TraceID: r.TraceID(), SpanID: r.SpanID()}
}

// Compare orders keys by a full order.
func (k *SpanKey) Compare(other *SpanKey, order []SpanOrder) int {
	for _, term := range order {
		c := 0
		switch term.Field {
		case OrderStart:
			c = cmp.Compare(k.Start, other.Start)
		case OrderDuration:
			c = cmp.Compare(k.Duration, other.Duration)
		case OrderTraceID:
			c = k.TraceID.Compare(other.TraceID)
		case OrderSpanID:
			c = k.SpanID.Compare(other.SpanID)
		}
		if term.Descending {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// SpanPlace is a place between found spans: behind the one of this key and tie.
type SpanPlace struct {
	SpanKey
	Tie uint64
}

// SpanPlaceBytes is the length of a place in bytes.
const SpanPlaceBytes = 8 + 8 + 16 + 8 + 8

// AppendBinary appends the place: start, duration, trace id, span id, tie, all big endian.
func (p *SpanPlace) AppendBinary(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, p.Start)
	dst = binary.BigEndian.AppendUint64(dst, p.Duration)
	dst = append(append(dst, p.TraceID[:]...), p.SpanID[:]...)
	return binary.BigEndian.AppendUint64(dst, p.Tie)
}

// SpanPlaceOf reads what AppendBinary wrote, of SpanPlaceBytes.
func SpanPlaceOf(b []byte) (p SpanPlace) {
	p.Start, p.Duration = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	copy(p.TraceID[:], b[16:])
	copy(p.SpanID[:], b[32:])
	p.Tie = binary.BigEndian.Uint64(b[40:])
	return p
}

// SpanQuery chooses spans: those on which the query holds. Query.Limit is how many to
// answer, 1 to SpansFoundMax.
type SpanQuery struct {
	Query
	// Order is a full order; see FullOrder.
	Order []SpanOrder
	// Behind, where set, passes over all spans up to the place.
	Behind *SpanPlace
}

// FoundSpan is one span of an answer.
type FoundSpan struct {
	SpanPlace
	// Traces is the span with its resource and scope as an OTLP TracesData message, shorter
	// than a chunk of an answer.
	Traces []byte
}

// SpansFoundMax bounds the spans of one answer.
const SpansFoundMax = 20_000
