package api

import (
	"context"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// Store is what api serves. Every method may be called from any number of goroutines,
// returns promptly with ctx.Err() when ctx ends, and marks its errors with the kinds of
// engine/span (ErrInvalid, ErrUnavailable, ErrTooMuch).
type Store interface {
	Writer
	TraceReader
	Catalog
}

// Writer takes spans.
type Writer interface {
	// Write stores an OTLP ExportTraceServiceRequest. A nil error means that every span
	// not counted as dropped is durable. The request's bytes may be reused by the caller
	// once Write returned.
	Write(ctx context.Context, request []byte) (otlp.Counts, error)
}

// TraceReader answers by search and by id.
type TraceReader interface {
	// Find gives at most q.Limit traces in the order of span.Found.
	Find(ctx context.Context, q span.Query) ([]span.Found, error)
	// Get calls yield with the trace as OTLP TracesData messages, each under
	// otlp.ChunkBytesMax, in the order of span.Compare; not at all where the id is
	// unknown.
	Get(ctx context.Context, id span.TraceID, yield func(chunk span.Chunk) error) error
	// Summaries gives the summaries of the traces that Find gives, in that order.
	Summaries(ctx context.Context, q span.Query) ([]span.Summary, error)
	// SummariesOf gives the summaries of traces that Find gave, in their order, without
	// those that are gone meanwhile.
	SummariesOf(ctx context.Context, found []span.Found) ([]span.Summary, error)
	// FindSpans yields the spans on which q holds, in its order, at most q.Limit, and tells
	// whether there are more. They belong to yield.
	FindSpans(ctx context.Context, q span.SpanQuery, yield func(f span.FoundSpan) error) (more bool, err error)
}

// Catalog answers what there is.
type Catalog interface {
	// Services gives the distinct service names, sorted.
	Services(ctx context.Context) ([]string, error)
	// Operations gives the distinct (name, kind) of a service, sorted; every service
	// for "".
	Operations(ctx context.Context, service string) ([]span.Operation, error)
	// Edges gives the calls whose callee starts in [startMin, startMax], unix
	// nanoseconds, sorted by parent then child; edges from a service to itself
	// included.
	Edges(ctx context.Context, startMin, startMax uint64) ([]span.Edge, error)
}

// Questions hears of the questions in flight: Begin of each when it is admitted, and End when it
// is answered or given up. One whose peer is slow to send it or to take the answer is not in flight
// meanwhile.
type Questions interface {
	Begin()
	End()
}

// Operator is what the admin port may ask for.
type Operator interface {
	// Flush writes every memtable to a segment; returns when the manifest names them.
	Flush(ctx context.Context) error
	// Compact merges the segments of each shard and window into one, or into few where one could not hold them.
	Compact(ctx context.Context) error
	// Settle flushes, and merges until the policy of merges asks for nothing more.
	Settle(ctx context.Context) error
	// Ready is nil when the store serves well; else why not (said by /ready).
	Ready() error
}
