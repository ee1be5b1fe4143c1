package api

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/api/jaegerv1"
	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// version1Services are jaeger.storage.v1, for Jaeger 1 and 2.0 to 2.5.
func version1Services() []*grpc.ServiceDesc {
	return []*grpc.ServiceDesc{
		asStreams(storagev1.SpanReaderPlugin_ServiceDesc), asStreams(storagev1.DependenciesReaderPlugin_ServiceDesc),
		asStreams(storagev1.PluginCapabilities_ServiceDesc), version1Writer(), version1StreamWriter(),
	}
}

// addVersion1 adds what serves them; and the two services of an archive where there is one.
func (s *Server) addVersion1() {
	reader := version1Reader{server: s, second: traceReader{server: s}}
	s.implementations[storagev1.SpanReaderPlugin_ServiceDesc.ServiceName] = reader
	s.implementations[storagev1.DependenciesReaderPlugin_ServiceDesc.ServiceName] = reader
	s.implementations[storagev1.PluginCapabilities_ServiceDesc.ServiceName] = reader
	s.implementations[storagev1.SpanWriterPlugin_ServiceDesc.ServiceName] = s
	s.implementations[storagev1.StreamingSpanWriterPlugin_ServiceDesc.ServiceName] = s
	if s.archive != nil {
		s.implementations[storagev1.ArchiveSpanReaderPlugin_ServiceDesc.ServiceName] = archiveReader{archive: version1Reader{server: s.archive}}
		s.implementations[storagev1.ArchiveSpanWriterPlugin_ServiceDesc.ServiceName] = s.archive
	}
}

// version1Reader is SpanReaderPlugin, DependenciesReaderPlugin and PluginCapabilities.
// Its questions are those of version 2 in other words, and are asked as such.
type version1Reader struct {
	storagev1.UnimplementedSpanReaderPluginServer
	storagev1.UnimplementedDependenciesReaderPluginServer
	storagev1.UnimplementedPluginCapabilitiesServer
	server *Server
	second traceReader
}

// version1Stream is what the stubs call a stream of spans.
type version1Stream = grpc.ServerStreamingServer[storagev1.SpansResponseChunk]

// Capabilities tells of the archive, and nothing of streams although they are served:
// Jaeger 1.76 opens one under the context of an OTLP batch, ends it with the batch, and
// writes on into it; the sender is not told of the spans that are lost so (api/e2e sees it).
// A span alone is acknowledged when it is durable.
func (r version1Reader) Capabilities(context.Context, *storagev1.CapabilitiesRequest) (*storagev1.CapabilitiesResponse, error) {
	hasArchive := r.server.archive != nil
	return &storagev1.CapabilitiesResponse{ArchiveSpanReader: hasArchive, ArchiveSpanWriter: hasArchive}, nil
}

// traceNotFound is the text by which Jaeger's client knows the answer, beside the code.
const traceNotFound = "trace not found"

// GetTrace sends a trace, or the one error that means there is none. The times beside
// the id are hints that we do not need.
func (r version1Reader) GetTrace(request *storagev1.GetTraceRequest, stream version1Stream) error {
	id, err := traceIDOf(request.GetTraceId())
	if err != nil {
		return err
	}
	spans, err := r.send(id, stream)
	if err == nil && spans == 0 {
		return status.Error(codes.NotFound, traceNotFound)
	}
	return err
}

// FindTraces sends whole traces, newest first, each one's chunks in a row: Jaeger takes a
// trace that comes back for another one.
func (r version1Reader) FindTraces(request *storagev1.FindTracesRequest, stream version1Stream) error {
	found, err := r.second.find(stream.Context(), secondOf(request.GetQuery()))
	if err != nil {
		return err
	}
	for _, one := range found {
		if _, err := r.send(one.TraceID, stream); err != nil {
			return err
		}
	}
	return nil
}

// FindTraceIDs gives ids of 16 bytes.
func (r version1Reader) FindTraceIDs(ctx context.Context, request *storagev1.FindTraceIDsRequest) (*storagev1.FindTraceIDsResponse, error) {
	found, err := r.second.find(ctx, secondOf(request.GetQuery()))
	if err != nil {
		return nil, err
	}
	answer := &storagev1.FindTraceIDsResponse{TraceIds: make([][]byte, len(found))}
	for i := range found {
		answer.TraceIds[i] = found[i].TraceID[:]
	}
	return answer, checkAnswer(answer, "trace ids")
}

// GetServices is that of version 2.
func (r version1Reader) GetServices(ctx context.Context, _ *storagev1.GetServicesRequest) (*storagev1.GetServicesResponse, error) {
	names, err := r.server.services(ctx)
	if err != nil {
		return nil, err
	}
	answer := &storagev1.GetServicesResponse{Services: names}
	return answer, checkAnswer(answer, "services")
}

// GetOperations is that of version 2, with the names once more in the deprecated field,
// for readers that know no other.
func (r version1Reader) GetOperations(ctx context.Context, request *storagev1.GetOperationsRequest) (*storagev1.GetOperationsResponse, error) {
	operations, err := r.server.operations(ctx, request.GetService(), request.GetSpanKind())
	if err != nil {
		return nil, err
	}
	answer := &storagev1.GetOperationsResponse{Operations: make([]*storagev1.Operation, len(operations))}
	for i, o := range operations {
		answer.Operations[i] = &storagev1.Operation{Name: o.name, SpanKind: o.kind}
		answer.OperationNames = append(answer.OperationNames, o.name)
	}
	answer.OperationNames = slices.Compact(answer.GetOperationNames()) // sorted by name
	return answer, checkAnswer(answer, "operations")
}

// GetDependencies is that of version 2.
func (r version1Reader) GetDependencies(ctx context.Context, request *storagev1.GetDependenciesRequest) (*storagev1.GetDependenciesResponse, error) {
	edges, err := r.server.edges(ctx, request.GetStartTime(), request.GetEndTime())
	if err != nil {
		return nil, err
	}
	answer := &storagev1.GetDependenciesResponse{Dependencies: make([]*apiv2.DependencyLink, len(edges))}
	for i, edge := range edges {
		answer.Dependencies[i] = &apiv2.DependencyLink{Parent: edge.Parent, Child: edge.Child, CallCount: edge.Calls, Source: dependencySource}
	}
	return answer, checkAnswer(answer, "dependencies")
}

// secondOf says a search in the words of version 2.
func secondOf(q *storagev1.TraceQueryParameters) *storagev2.TraceQueryParameters {
	second := &storagev2.TraceQueryParameters{
		ServiceName: q.GetServiceName(), OperationName: q.GetOperationName(),
		StartTimeMin: q.GetStartTimeMin(), StartTimeMax: q.GetStartTimeMax(),
		DurationMin: q.GetDurationMin(), DurationMax: q.GetDurationMax(),
		SearchDepth: q.GetNumTraces(),
	}
	for _, key := range slices.Sorted(maps.Keys(q.GetTags())) {
		second.Attributes = append(second.Attributes, &storagev2.KeyValue{
			Key: key, Value: &storagev2.AnyValue{Value: &storagev2.AnyValue_StringValue{StringValue: q.GetTags()[key]}},
		})
	}
	return second
}

// send sends one trace in messages of limited size and gives the number of its spans.
func (r version1Reader) send(id span.TraceID, stream version1Stream) (spans int, err error) {
	sender := spanSender{stream: stream}
	err = r.server.store.Get(stream.Context(), id, func(chunk span.Chunk) error {
		if chunk.Buffer != nil {
			defer codec.Buffers.Put(chunk.Buffer)
		}
		return jaegerv1.Spans(chunk.Bytes, func(s *apiv2.Span) error {
			spans++
			return sender.add(s)
		})
	})
	if err != nil {
		return spans, err
	}
	return spans, sender.flush()
}

// spanSender gathers spans as bytes of a SpansResponseChunk. In version 1 each span has
// its process with it: one chunk of OTLP may become many messages.
type spanSender struct {
	stream  version1Stream
	message []byte
}

// spansField is SpansResponseChunk.spans.
const spansField = 1

func (s *spanSender) add(one *apiv2.Span) error {
	jaegerv1.Shorten(one, answerBytesMax-fieldBytesMax)
	before := len(s.message)
	s.message = protowire.AppendTag(s.message, spansField, protowire.BytesType)
	s.message = protowire.AppendVarint(s.message, uint64(proto.Size(one)))
	var err error
	if s.message, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(s.message, one); err != nil {
		return err
	}
	if len(s.message) <= answerBytesMax {
		return nil
	}
	last := bytes.Clone(s.message[before:])
	s.message = s.message[:before]
	if err := s.flush(); err != nil {
		return err
	}
	s.message = append(s.message, last...)
	return nil
}

// flush sends what is gathered; nothing where there is nothing.
func (s *spanSender) flush() error {
	if len(s.message) == 0 {
		return nil
	}
	message := wire.NewMessage(s.message)
	s.message = s.message[:0]
	if err := s.stream.SendMsg(message); err != nil {
		return err // the message is left to the collector: a send cut off may still read it
	}
	message.Free()
	return nil
}
