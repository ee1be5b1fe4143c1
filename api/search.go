package api

import (
	"context"
	"fmt"
	"math"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

// find asks the store. A limit beyond what one answer may hold is fine as long as the
// answer is not: it is refused then, never shortened.
func (r traceReader) find(ctx context.Context, parameters *storagev2.TraceQueryParameters) ([]span.Found, error) {
	q, err := queryOf(r.server.tenant, parameters)
	if err != nil {
		return nil, err
	}
	return r.findQuery(ctx, q)
}

func (r traceReader) findQuery(ctx context.Context, q span.Query) ([]span.Found, error) {
	if isEmpty(q) {
		return nil, nil
	}
	wanted := q.Limit
	q.Limit = min(q.Limit, tracesMax)
	told := r.server.explaining(ctx, &q)
	found, err := r.server.store.Find(ctx, q)
	told()
	if err != nil {
		return nil, err
	}
	return found, checkFound(len(found), wanted)
}

// isEmpty tells of ranges that nothing lies in.
func isEmpty(q span.Query) bool {
	return q.StartMin > q.StartMax || q.DurationMax > 0 && q.DurationMin > q.DurationMax
}

// findPage is find for a page: where there is more, next is the token for it. Of a page of
// tracesMax that is not known: the one after it may be empty.
func (r traceReader) findPage(ctx context.Context, q span.Query) (found []span.Found, next string, err error) {
	if isEmpty(q) {
		return nil, "", nil
	}
	size := q.Limit
	q.Limit = min(size+1, tracesMax)
	told := r.server.explaining(ctx, &q)
	found, err = r.server.store.Find(ctx, q)
	told()
	if err != nil {
		return nil, "", err
	}
	if len(found) > size || len(found) == tracesMax {
		found = found[:size]
		next = nextTraces(r.server.tenant, &q, found)
	}
	return found, next, nil
}

// checkFound refuses an answer that is full where more was wanted: there may be more.
func checkFound(found, wanted int) error {
	if found >= tracesMax && wanted > tracesMax {
		return fmt.Errorf("%w: the search finds %d traces or more, and an answer holds at most that many (TracesFoundMax): narrow the time range",
			span.ErrTooMuch, tracesMax)
	}
	return nil
}

// FindTraceIDs answers in one message, which holds tracesMax ids with room to spare. The
// optional time ranges are left out: GetTraces here has no use for them.
func (r traceReader) FindTraceIDs(ctx context.Context, request *storagev2.FindTraceIDsRequest) (*storagev2.FindTraceIDsResponse, error) {
	var found []span.Found
	next := ""
	q, err := queryOf(r.server.tenant, request.GetQuery())
	switch {
	case err != nil:
	case request.GetQuery().GetPagination() != nil:
		found, next, err = r.findPage(ctx, q)
	default:
		found, err = r.findQuery(ctx, q)
	}
	if err != nil {
		return nil, err
	}
	answer := &storagev2.FindTraceIDsResponse{TraceIds: make([]*storagev2.FoundTraceID, len(found)), NextPageToken: next}
	for i := range found {
		answer.TraceIds[i] = &storagev2.FoundTraceID{TraceId: found[i].TraceID[:]}
	}
	return answer, checkAnswer(answer, "trace ids")
}

// summaries answers a search, or a page of it.
func (r traceReader) summaries(ctx context.Context, p *storagev2.TraceQueryParameters) (summaries []span.Summary, next string, err error) {
	q, err := queryOf(r.server.tenant, p)
	if err != nil || isEmpty(q) {
		return nil, "", err
	}
	if p.GetPagination() != nil {
		found, next, err := r.findPage(ctx, q)
		if err != nil || len(found) == 0 {
			return nil, "", err
		}
		summaries, err = r.server.store.SummariesOf(ctx, found)
		return summaries, next, err
	}
	wanted := q.Limit
	q.Limit = min(q.Limit, tracesMax)
	told := r.server.explaining(ctx, &q)
	summaries, err = r.server.store.Summaries(ctx, q)
	told()
	if err != nil {
		return nil, "", err
	}
	return summaries, "", checkFound(len(summaries), wanted)
}

// FindTraceSummaries sends the summaries in as many messages as it takes, with the token for
// the next page on the last.
func (r traceReader) FindTraceSummaries(request *storagev2.FindTraceSummariesRequest, stream grpc.ServerStreamingServer[storagev2.FindTraceSummariesResponse]) error {
	summaries, next, err := r.summaries(stream.Context(), request.GetQuery())
	if err != nil {
		return err
	}
	chunk, chunkBytes := &storagev2.FindTraceSummariesResponse{}, 0
	for i := range summaries {
		summary := summaryMessage(&summaries[i])
		size := proto.Size(summary) + fieldBytesMax
		if size > answerBytesMax {
			return fmt.Errorf("%w: the summary of trace %v takes %d bytes, a message holds at most %d", span.ErrTooMuch, summaries[i].TraceID, size, answerBytesMax)
		}
		if chunkBytes+size > answerBytesMax {
			if err := stream.Send(chunk); err != nil {
				return err
			}
			chunk, chunkBytes = &storagev2.FindTraceSummariesResponse{}, 0
		}
		chunk.Summaries = append(chunk.Summaries, summary)
		chunkBytes += size
	}
	if chunk.NextPageToken = next; len(chunk.GetSummaries()) == 0 && next == "" {
		return nil
	}
	return stream.Send(chunk)
}

// fieldBytesMax is the tag and the length before a message inside a message.
const fieldBytesMax = 6

func summaryMessage(s *span.Summary) *storagev2.TraceSummary {
	message := &storagev2.TraceSummary{
		TraceId:              s.TraceID[:],
		RootServiceName:      wire.Text(s.RootService),
		RootOperationName:    wire.Text(s.RootName),
		MinStartTimeUnixNano: s.Start,
		MaxEndTimeUnixNano:   s.End,
		SpanCount:            count32(s.Spans),
		ErrorSpanCount:       count32(s.Errors),
		OrphanSpanCount:      count32(s.Orphans),
		Services:             make([]*storagev2.ServiceSummary, len(s.Services)),
	}
	for i, service := range s.Services {
		message.Services[i] = &storagev2.ServiceSummary{
			Name: wire.Text(service.Service), SpanCount: count32(service.Spans), ErrorSpanCount: count32(service.Errors),
		}
	}
	return message
}

// count32 is a count as the protocol has it.
func count32(n int) int32 { return int32(min(n, math.MaxInt32)) }

// checkAnswer refuses a single message that a client could not receive.
func checkAnswer(answer proto.Message, what string) error {
	if size := proto.Size(answer); size > answerBytesMax {
		return fmt.Errorf("%w: the list of %s takes %d bytes, an answer holds at most %d (ChunkBytesMax)", span.ErrTooMuch, what, size, answerBytesMax)
	}
	return nil
}
