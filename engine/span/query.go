package span

import "math"

// Query chooses traces: those with at least one span on which everything asked holds.
// The zero value of a field asks nothing, but for the limits of time.
type Query struct {
	// StartMin and StartMax bound the span's start, inclusive, in unix nanoseconds.
	StartMin, StartMax uint64
	// Service is the resource's service.name and Name the span's name; empty is any.
	Service, Name string
	// Tags all hold on the span, each at any level: span, resource, scope, one of the
	// events or links; see Tag.
	Tags []Tag
	// DurationMin and DurationMax bound the duration, inclusive, in nanoseconds;
	// DurationMax 0 is no bound.
	DurationMin, DurationMax uint64
	// Filter holds on the span too; nil asks nothing.
	Filter Filter
	// Limit is how many traces to answer, exactly where there are as many; 0 and less is
	// LimitDefault.
	Limit int
	// Scan reads and matches every row of the shard and passes over nothing: no index, range
	// or limit saves it work. It is slow, and what searches are compared with.
	Scan bool
	// After, where set, passes over all traces up to this one in the order of answers, even
	// those that have a match behind it: a walk of pages that goes on from the last trace
	// of each shows none twice while spans arrive. A key only rises, so what rises above the
	// place during a walk was shown already, or its matches changed.
	After *Found
	// Explain, where set, is told what the search did.
	Explain *Explain
	// Together, where set, is what the searches of other shards for the same answer have found;
	// Shard is the number of this one there. The answer may lack what cannot be among the first
	// Limit traces of all.
	Together *Together
	Shard    int
}

// LimitOrDefault is the number of traces that Limit asks for.
func (q Query) LimitOrDefault() int {
	if q.Limit <= 0 {
		return LimitDefault
	}
	return q.Limit
}

// Tag is one key=value of a legacy search, and a Filter too. It holds where an attribute of
// the key, of the span, its resource, its scope, one of its events or links, has the value,
// compared as text; or where the key has a meaning of its own that holds: error, span.kind,
// span.status and otel.status_code, otel.status_description, w3c.tracestate, scope.name and
// scope.version with otel. before them or without, event, and resource. before a key of the
// resource. Inside Some it looks at the one event (link).
type Tag struct{ Key, Value string }

// AllTime is the query without any condition, with the default limit.
func AllTime() Query { return Query{StartMax: math.MaxUint64, Limit: LimitDefault} }

// Found is one trace of a search's answer.
type Found struct {
	TraceID TraceID
	// Start is the latest start among the trace's matching spans: the order key.
	Start uint64
}

// Before is the order of answers: newest first, then trace id.
func (f Found) Before(other Found) bool {
	if f.Start != other.Start {
		return f.Start > other.Start
	}
	return f.TraceID.Compare(other.TraceID) < 0
}

// Summary tells of a whole trace without its spans.
type Summary struct {
	TraceID     TraceID
	RootService string // of the earliest span without a parent
	RootName    string
	HasRoot     bool
	Start       uint64 // smallest start, unix nanoseconds
	End         uint64 // largest end, unix nanoseconds
	Spans       int
	Errors      int // spans with status Error
	Orphans     int // spans whose parent id is set but absent
	Services    []ServiceCount
}

// Chunk is a part of an answer: one message, not to be changed.
type Chunk struct {
	Bytes []byte
	Stays bool // as it is, for as long as anybody likes; else until who it was given to returns
	// Buffer, where set, is the one of codec.Buffers that Bytes stand in. Who is given the chunk owns it: Bytes
	// are good until he puts it back, or for ever if he leaves it to the collector.
	Buffer *[]byte
}

// ServiceCount is one service's part in a trace; lists of it are sorted by Service.
type ServiceCount struct {
	Service string
	Spans   int
	Errors  int
}

// Operation is a distinct (service, span name, kind).
type Operation struct {
	Service, Name string
	Kind          int32
}

// Limits of searches: one that asks for more is refused, never silently cut.
const (
	LimitDefault   = 100    // traces, where the asker names none
	TracesFoundMax = 20_000 // traces in one answer: what a client can page through
	TagsMax        = 64     // tags of one query: those that hold are bits of one word
)
