package api

import (
	"errors"
	"fmt"
	"strings"

	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// export serves one OTLP request:
//  1. refuse at once where too many bytes are in flight, before receiving anything
//  2. receive the bytes, counting them as they arrive and inflate, or refuse
//  3. write; the answer is OK only when the spans are durable
//  4. tell what was dropped. Jaeger does not look, other writers do
func (s *Server) export(stream *call) error {
	if !s.writes.take(receiveStepBytes) {
		return s.overloaded()
	}
	held := &holding{budget: &s.writes, bytes: receiveStepBytes}
	defer held.release()

	request := &wire.Message{}
	err := stream.receive(request, requestBytesMax, held)
	if errors.Is(err, errNoRoom) {
		return s.overloaded()
	}
	if err != nil {
		s.stats.countNotReceived(err)
		s.complain("export not received", "error", err)
		return err
	}
	defer request.Free()
	size := int64(len(request.Bytes()))
	held.settle(size)

	counts, err := s.store.Write(stream.Context(), request.Bytes())
	s.stats.countExport(size, counts, err)
	if err != nil {
		s.complain("export refused", "bytes", size, "error", err)
		return err
	}
	answer := &collectorv1.ExportTraceServiceResponse{}
	if dropped := counts.Dropped(); dropped > 0 {
		answer.PartialSuccess = &collectorv1.ExportTracePartialSuccess{
			RejectedSpans: int64(dropped), ErrorMessage: droppedMessage(counts),
		}
	}
	return stream.SendMsg(answer)
}

func (s *Server) overloaded() error {
	s.stats.exportsOverload.Add(1)
	if s.tenant != "" { // the number would tell of others
		return s.refuse("overloaded: too many bytes of requests are in flight")
	}
	return s.refuse("overloaded: %d bytes of requests are in flight", s.writes.used.Load())
}

// droppedMessage says in English why spans were rejected.
func droppedMessage(counts otlp.Counts) string {
	var reasons []string
	for _, dropped := range droppedReasons(counts) {
		if dropped.spans > 0 {
			reasons = append(reasons, fmt.Sprintf("%d with %s", dropped.spans, dropped.text))
		}
	}
	return "spans dropped: " + strings.Join(reasons, ", ")
}

// droppedReason is one reason to drop a span.
type droppedReason struct {
	name, text string
	spans      int
}

func droppedReasons(counts otlp.Counts) []droppedReason {
	return []droppedReason{
		{"trace_id", "a trace id that is zero or neither 8 nor 16 bytes", counts.DroppedTraceID},
		{"span_id", "a span id that is zero or not 8 bytes", counts.DroppedSpanID},
	}
}
