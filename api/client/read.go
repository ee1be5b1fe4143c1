package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

// GetTraces calls yield with the chunks of the traces, TracesData messages of one trace
// each; a trace's chunks follow one another. A chunk is valid until yield returns.
func (c *Client) GetTraces(ctx context.Context, ids []span.TraceID, yield func(chunk []byte) error) error {
	request := &storagev2.GetTracesRequest{}
	for i := range ids {
		request.Query = append(request.Query, &storagev2.GetTraceParams{TraceId: ids[i][:]})
	}
	return c.chunks(ctx, storagev2.TraceReader_GetTraces_FullMethodName, request, yield)
}

// FindTraces calls yield with the chunks of the traces found, newest trace first; see
// GetTraces.
func (c *Client) FindTraces(ctx context.Context, q span.Query, yield func(chunk []byte) error) error {
	request := &storagev2.FindTracesRequest{Query: parameters(q)}
	return c.chunks(ctx, storagev2.TraceReader_FindTraces_FullMethodName, request, yield)
}

// chunks reads a stream of messages as bytes.
func (c *Client) chunks(ctx context.Context, method string, request proto.Message, yield func(chunk []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // frees the stream where yield wants no more
	stream, err := c.connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return kindOf(err)
	}
	if err := stream.SendMsg(request); err != nil && !errors.Is(err, io.EOF) { // EOF: the error waits in RecvMsg
		return kindOf(err)
	}
	if err := stream.CloseSend(); err != nil {
		return kindOf(err)
	}
	for {
		message := &wire.Message{}
		if err := stream.RecvMsg(message); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return kindOf(err)
		}
		err := yield(message.Bytes())
		message.Free()
		if err != nil {
			return err
		}
	}
}

// FindTraceIDs gives the ids of the traces found, newest first.
func (c *Client) FindTraceIDs(ctx context.Context, q span.Query) ([]span.TraceID, error) {
	answer, err := c.traces.FindTraceIDs(ctx, &storagev2.FindTraceIDsRequest{Query: parameters(q)})
	if err != nil {
		return nil, kindOf(err)
	}
	ids := make([]span.TraceID, len(answer.GetTraceIds()))
	for i, found := range answer.GetTraceIds() {
		if len(found.GetTraceId()) != len(ids[i]) {
			return nil, fmt.Errorf("server answered a trace id of %d bytes", len(found.GetTraceId()))
		}
		copy(ids[i][:], found.GetTraceId())
	}
	return ids, nil
}

// Summaries gives the summaries of the traces found, newest first.
func (c *Client) Summaries(ctx context.Context, q span.Query) ([]span.Summary, error) {
	summaries, _, err := c.summaries(ctx, q)
	return summaries, err
}

// ExplainedSummaries is Summaries and what the search did. Servers that do not tell are an
// error, with the summaries beside it.
func (c *Client) ExplainedSummaries(ctx context.Context, q span.Query) ([]span.Summary, span.Explained, error) {
	summaries, trailer, err := c.summaries(metadata.AppendToOutgoingContext(ctx, wire.ExplainHeader, "1"), q)
	if err != nil {
		return nil, span.Explained{}, err
	}
	var explained span.Explained
	told := trailer.Get(wire.ExplainHeader)
	if len(told) == 0 {
		return summaries, explained, errors.New("the server does not explain searches")
	}
	if err := json.Unmarshal([]byte(told[0]), &explained); err != nil {
		return summaries, explained, fmt.Errorf("server answered an explanation %q: %w", told[0], err)
	}
	return summaries, explained, nil
}

func (c *Client) summaries(ctx context.Context, q span.Query) ([]span.Summary, metadata.MD, error) {
	stream, err := c.traces.FindTraceSummaries(ctx, &storagev2.FindTraceSummariesRequest{Query: parameters(q)})
	if err != nil {
		return nil, nil, kindOf(err)
	}
	var summaries []span.Summary
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return summaries, stream.Trailer(), nil
		} else if err != nil {
			return nil, nil, kindOf(err)
		}
		for _, message := range chunk.GetSummaries() {
			summaries = append(summaries, summaryOf(message))
		}
	}
}

func summaryOf(message *storagev2.TraceSummary) span.Summary {
	s := span.Summary{
		RootService: message.GetRootServiceName(),
		RootName:    message.GetRootOperationName(),
		HasRoot:     message.GetRootServiceName() != "" || message.GetRootOperationName() != "",
		Start:       message.GetMinStartTimeUnixNano(),
		End:         message.GetMaxEndTimeUnixNano(),
		Spans:       int(message.GetSpanCount()),
		Errors:      int(message.GetErrorSpanCount()),
		Orphans:     int(message.GetOrphanSpanCount()),
	}
	copy(s.TraceID[:], message.GetTraceId())
	for _, service := range message.GetServices() {
		s.Services = append(s.Services, span.ServiceCount{
			Service: service.GetName(), Spans: int(service.GetSpanCount()), Errors: int(service.GetErrorSpanCount()),
		})
	}
	return s
}

// Services gives the service names, sorted.
func (c *Client) Services(ctx context.Context) ([]string, error) {
	answer, err := c.traces.GetServices(ctx, &storagev2.GetServicesRequest{})
	if err != nil {
		return nil, kindOf(err)
	}
	return answer.GetServices(), nil
}

// Operations gives the span names and kinds of a service, of all for ""; sorted.
func (c *Client) Operations(ctx context.Context, service string) ([]span.Operation, error) {
	answer, err := c.traces.GetOperations(ctx, &storagev2.GetOperationsRequest{Service: service})
	if err != nil {
		return nil, kindOf(err)
	}
	operations := make([]span.Operation, len(answer.GetOperations()))
	for i, operation := range answer.GetOperations() {
		kind, ok := wire.KindNumber(operation.GetSpanKind())
		if !ok {
			return nil, fmt.Errorf("server answered a span kind %q", operation.GetSpanKind())
		}
		operations[i] = span.Operation{Service: service, Name: operation.GetName(), Kind: kind}
	}
	return operations, nil
}

// Dependencies gives the edges of the service graph whose callee starts in
// [startMin, startMax], unix nanoseconds.
func (c *Client) Dependencies(ctx context.Context, startMin, startMax uint64) ([]span.Edge, error) {
	answer, err := c.dependencies.GetDependencies(ctx, &storagev2.GetDependenciesRequest{
		StartTime: timestamp(startMin), EndTime: timestamp(startMax),
	})
	if err != nil {
		return nil, kindOf(err)
	}
	edges := make([]span.Edge, len(answer.GetDependencies()))
	for i, d := range answer.GetDependencies() {
		edges[i] = span.Edge{Parent: d.GetParent(), Child: d.GetChild(), Calls: d.GetCallCount()}
	}
	return edges, nil
}

// parameters spells a query; tags go as strings, as Jaeger's UI sends them.
func parameters(q span.Query) *storagev2.TraceQueryParameters {
	p := &storagev2.TraceQueryParameters{
		ServiceName:   q.Service,
		OperationName: q.Name,
		StartTimeMin:  timestamp(q.StartMin),
		StartTimeMax:  timestamp(q.StartMax),
		DurationMin:   duration(q.DurationMin),
		DurationMax:   duration(q.DurationMax),
		SearchDepth:   int32(min(q.Limit, math.MaxInt32)),
	}
	for _, tag := range q.Tags {
		p.Attributes = append(p.Attributes, &storagev2.KeyValue{
			Key: tag.Key, Value: &storagev2.AnyValue{Value: &storagev2.AnyValue_StringValue{StringValue: tag.Value}},
		})
	}
	if q.Filter != nil {
		p.Filter = filterCall(q.Filter)
	}
	return p
}

func timestamp(nanos uint64) *timestamppb.Timestamp {
	return &timestamppb.Timestamp{Seconds: int64(nanos / uint64(time.Second)), Nanos: int32(nanos % uint64(time.Second))}
}

func duration(nanos uint64) *durationpb.Duration {
	if nanos == 0 {
		return nil
	}
	return &durationpb.Duration{Seconds: int64(nanos / uint64(time.Second)), Nanos: int32(nanos % uint64(time.Second))}
}
