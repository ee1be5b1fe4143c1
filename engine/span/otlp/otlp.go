// Package otlp is the wire side of engine/span: OTLP trace bytes become batches, rows
// become OTLP bytes again. It reads protobuf by hand, straight into columns.
//
// The flow in: Cut takes an export request apart by shard. The tokenizer (wire.go) gives
// the fields of a message, the cutter (cut.go) finds each span's place, the walker
// (walk.go, attribute.go, envelope.go) appends the span to the batch of its part. Walk
// reads a whole message into one batch.
//
// The flow out: AppendTraces gives back exactly what came in, Encoder the form for
// readers: valid UTF-8, ids of legal length, messages of limited size. Both put encoded
// spans under their envelopes by an assembly (assembly.go).
//
// The guide is what proto.Unmarshal understands: fields in any order, singular fields
// given twice (the last one counts, messages merge), unknown fields and known ones of
// another wire type (kept raw). What has no column stands in a residue. Exceptions, all
// counted: the limits of limits.go, spans without proper ids, and fields above the span
// that are unknown to us.
//
// The package starts no goroutines.
package otlp

import (
	"fmt"

	"github.com/stoadb/stoa/engine/span"
)

// Counts tells what a walk met. Spans are those kept; the rest counts occurrences.
type Counts struct {
	Spans          int // kept
	DroppedTraceID int // spans dropped: trace id zero, or neither 16 nor 8 bytes
	DroppedSpanID  int // spans dropped: span id zero, or not 8 bytes
	NestedTooDeep  int // values replaced by TooDeep
	TruncatedValues,
	TruncatedKeys int
	InvalidUTF8    int // texts kept as they are, given out with U+FFFD
	EndBeforeStart int // spans whose duration is searched as 0; see span.Duration
}

// Add adds other to c.
func (c *Counts) Add(other Counts) {
	c.Spans += other.Spans
	c.DroppedTraceID += other.DroppedTraceID
	c.DroppedSpanID += other.DroppedSpanID
	c.NestedTooDeep += other.NestedTooDeep
	c.TruncatedValues += other.TruncatedValues
	c.TruncatedKeys += other.TruncatedKeys
	c.InvalidUTF8 += other.InvalidUTF8
	c.EndBeforeStart += other.EndBeforeStart
}

// Dropped is how many spans were not kept.
func (c Counts) Dropped() int { return c.DroppedTraceID + c.DroppedSpanID }

// invalid turns what is wrong with the bytes into the package's error.
func invalid(err *wireError) error {
	return fmt.Errorf("%w: OTLP trace data: offset %d: %s", span.ErrInvalid, err.offset, err.what)
}
