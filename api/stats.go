package api

import (
	"errors"
	"maps"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// Call names the calls of one method that ended in one way.
type Call struct {
	Method string // full, as "/jaeger.storage.v2.TraceReader/GetTraces"
	Code   string // gRPC status code, as "OK"
}

// Stats counts since the server was made, but for what is said to be a level.
type Stats struct {
	Calls map[Call]uint64

	Exports         uint64            // written: durable
	ExportsInvalid  uint64            // refused: not decodable, or too long
	ExportsOverload uint64            // refused: bytes in flight
	ExportsFailed   uint64            // not received, or the store failed
	BytesReceived   uint64            // of written and refused requests, after decompression
	SpansAccepted   uint64            //
	SpansDropped    map[string]uint64 // spans, by reason
	SpansChanged    map[string]uint64 // values, by what was done to them
	BytesInFlight   int64             // level: of requests not yet answered
	QueriesRunning  int64             // level
	PeersCut        uint64            // calls ended because the peer stopped
	Panics          uint64
}

type counters struct {
	mu    sync.Mutex
	calls map[Call]uint64
	spans otlp.Counts // of written requests

	exports, exportsInvalid, exportsOverload, exportsFailed atomic.Uint64
	bytesReceived, cutPeers, panics                         atomic.Uint64
}

func (c *counters) countCall(method string, code codes.Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = map[Call]uint64{}
	}
	c.calls[Call{method, code.String()}]++
}

// countNotReceived counts a request that did not come whole: the writer's mistake, or
// its going away.
func (c *counters) countNotReceived(err error) {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.ResourceExhausted:
		c.exportsInvalid.Add(1)
	default:
		c.exportsFailed.Add(1)
	}
}

func (c *counters) countExport(size int64, counts otlp.Counts, err error) {
	c.bytesReceived.Add(uint64(size))
	switch {
	case err == nil:
		c.exports.Add(1)
		c.mu.Lock()
		c.spans.Add(counts)
		c.mu.Unlock()
	case errors.Is(err, span.ErrInvalid):
		c.exportsInvalid.Add(1)
	default:
		c.exportsFailed.Add(1)
	}
}

// countDropped counts the spans of a refused request, which stored nothing.
func (c *counters) countDropped(counts otlp.Counts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans.DroppedTraceID += counts.DroppedTraceID
	c.spans.DroppedSpanID += counts.DroppedSpanID
}

// Stats gives the counters as they stand.
func (s *Server) Stats() Stats {
	c := &s.stats
	c.mu.Lock()
	calls, counts := maps.Clone(c.calls), c.spans
	c.mu.Unlock()
	dropped := map[string]uint64{}
	for _, reason := range droppedReasons(counts) {
		dropped[reason.name] = uint64(reason.spans)
	}
	return Stats{
		Calls:           calls,
		Exports:         c.exports.Load(),
		ExportsInvalid:  c.exportsInvalid.Load(),
		ExportsOverload: c.exportsOverload.Load(),
		ExportsFailed:   c.exportsFailed.Load(),
		BytesReceived:   c.bytesReceived.Load(),
		SpansAccepted:   uint64(counts.Spans),
		SpansDropped:    dropped,
		SpansChanged: map[string]uint64{
			"nested_too_deep":  uint64(counts.NestedTooDeep),
			"value_truncated":  uint64(counts.TruncatedValues),
			"key_truncated":    uint64(counts.TruncatedKeys),
			"invalid_utf8":     uint64(counts.InvalidUTF8),
			"end_before_start": uint64(counts.EndBeforeStart),
		},
		BytesInFlight:  s.writes.used.Load(),
		QueriesRunning: s.queries.used.Load(),
		PeersCut:       c.cutPeers.Load(),
		Panics:         c.panics.Load(),
	}
}
