package api_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/api/pb/expressionv1"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/api/wire"
)

// methods are all that takes a request of ours.
var methods = []string{
	collectorv1.TraceService_Export_FullMethodName,
	storagev2.TraceReader_GetTraces_FullMethodName,
	storagev2.TraceReader_FindTraces_FullMethodName,
	storagev2.TraceReader_FindTraceIDs_FullMethodName,
	storagev2.TraceReader_FindTraceSummaries_FullMethodName,
	storagev2.TraceReader_FindSpans_FullMethodName,
	storagev2.TraceReader_GetServices_FullMethodName,
	storagev2.TraceReader_GetOperations_FullMethodName,
	storagev2.DependencyReader_GetDependencies_FullMethodName,
	storagev2.Capabilities_GetCapabilities_FullMethodName,
	storagev1.SpanWriterPlugin_WriteSpan_FullMethodName,
	storagev1.SpanWriterPlugin_Close_FullMethodName,
	storagev1.StreamingSpanWriterPlugin_WriteSpanStream_FullMethodName,
	storagev1.SpanReaderPlugin_GetTrace_FullMethodName,
	storagev1.SpanReaderPlugin_FindTraces_FullMethodName,
	storagev1.SpanReaderPlugin_FindTraceIDs_FullMethodName,
	storagev1.SpanReaderPlugin_GetServices_FullMethodName,
	storagev1.SpanReaderPlugin_GetOperations_FullMethodName,
	storagev1.DependenciesReaderPlugin_GetDependencies_FullMethodName,
	storagev1.PluginCapabilities_Capabilities_FullMethodName,
	storagev1.ArchiveSpanWriterPlugin_WriteArchiveSpan_FullMethodName,
	storagev1.ArchiveSpanReaderPlugin_GetArchiveTrace_FullMethodName,
}

// seeds are whole requests, one at least for each method.
func seeds(t testing.TB) [][]byte {
	one := id(1)
	search := &storagev2.TraceQueryParameters{
		ServiceName: "s", OperationName: "o", Attributes: []*storagev2.KeyValue{text("k", "v"), {Key: "n", Value: &storagev2.AnyValue{
			Value: &storagev2.AnyValue_ArrayValue{ArrayValue: &storagev2.ArrayValue{Values: []*storagev2.AnyValue{text("", "x").GetValue()}}},
		}}},
		StartTimeMin: &timestamppb.Timestamp{Seconds: 1}, SearchDepth: 3,
	}
	filtered := &storagev2.TraceQueryParameters{Filter: &expressionv1.Call{Op: "eq"}, Pagination: &storagev2.Pagination{PageSize: 3, PageToken: "x"}}
	searching := &storagev2.TraceQueryParameters{Filter: quantified[1].filter.GetCall(), SearchDepth: 3}
	list := [][]byte{requestOf(t, trace(one, "s", 2))}
	for _, message := range []proto.Message{
		&storagev2.GetTracesRequest{Query: []*storagev2.GetTraceParams{{TraceId: one[:]}, {TraceId: one[:8]}}},
		&storagev2.FindTracesRequest{Query: search},
		&storagev2.FindTracesRequest{Query: filtered},
		&storagev2.FindTracesRequest{Query: searching},
		&storagev2.GetOperationsRequest{Service: "s", SpanKind: "server"},
		&storagev2.GetDependenciesRequest{StartTime: &timestamppb.Timestamp{Seconds: 5}},
		&storagev2.FindSpansRequest{Query: &storagev2.SpanQueryParameters{}},
		&storagev1.WriteSpanRequest{Span: firstSpan(one, 1)},
		&storagev1.GetTraceRequest{TraceId: one[:], StartTime: &timestamppb.Timestamp{Seconds: 1}},
		&storagev1.FindTracesRequest{Query: &storagev1.TraceQueryParameters{Tags: map[string]string{"k": "v"}, StartTimeMax: &timestamppb.Timestamp{Seconds: 9}, NumTraces: 4}},
	} {
		b, err := proto.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	return list
}

// tryRequest sends the bytes as a method's request: whatever they are, the answer is
// the method's own or a refusal, and the server lives.
func tryRequest(t *testing.T, server *running, method string, request []byte) {
	t.Helper()
	stream, err := server.connection.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, method, grpc.ForceCodecV2(wire.Codec{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(wire.NewMessage(request)); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		err = stream.RecvMsg(&wire.Message{})
	}
	switch code := status.Code(err); {
	case err.Error() == "EOF":
	case method == storagev1.SpanReaderPlugin_GetTrace_FullMethodName && code == codes.NotFound:
	case !slices.Contains([]codes.Code{codes.InvalidArgument, codes.ResourceExhausted, codes.Unimplemented}, code):
		t.Errorf("%s(%x): %v", method, request, err)
	}
	if panics := server.Stats().Panics; panics != 0 {
		t.Fatalf("%s(%x): a panic", method, request)
	}
}

// TestNoRequestHarmsTheServer sends every seed to every method, whole and damaged.
func TestNoRequestHarmsTheServer(t *testing.T) {
	server := start(t, memory(), api.Options{})
	random := rand.New(rand.NewPCG(3, 4))
	for _, method := range methods {
		for _, seed := range seeds(t) {
			tryRequest(t, server, method, seed)
			for range 40 {
				damaged := slices.Clone(seed)
				for range 1 + random.IntN(4) {
					switch at := random.IntN(len(damaged)); random.IntN(3) {
					case 0:
						damaged[at] ^= 1 << random.IntN(8)
					case 1:
						damaged = damaged[:at+1]
					default:
						damaged = slices.Insert(damaged, at, byte(random.Uint32()))
					}
				}
				tryRequest(t, server, method, damaged)
			}
		}
	}
}

func FuzzRequest(f *testing.F) {
	for i := range methods {
		for _, seed := range seeds(f) {
			f.Add(uint8(i), seed)
		}
	}
	server := start(f, memory(), api.Options{})
	f.Fuzz(func(t *testing.T, method uint8, request []byte) {
		if len(request) > 1<<20 {
			t.Skip()
		}
		tryRequest(t, server, methods[int(method)%len(methods)], request)
	})
}

// FuzzFrame sends bytes where gRPC's frames should be.
func FuzzFrame(f *testing.F) {
	for i := range methods {
		f.Add(uint8(i), "", frame(false, seeds(f)[0]))
		f.Add(uint8(i), "gzip", frame(true, seeds(f)[0]))
		f.Add(uint8(i), "zstd", frame(true, seeds(f)[0]))
		f.Add(uint8(i), "nonsense", []byte{1, 0, 0})
	}
	server := start(f, memory(), api.Options{})
	f.Fuzz(func(t *testing.T, method uint8, encoding string, body []byte) {
		if !slices.Contains([]string{"", "gzip", "zstd", "identity"}, encoding) {
			encoding = "nonsense" // header values that HTTP itself refuses prove nothing
		}
		_ = call(t, server.storage, methods[int(method)%len(methods)], encoding, body)
		if panics := server.Stats().Panics; panics != 0 {
			t.Fatalf("%d: a panic", method)
		}
	})
}
