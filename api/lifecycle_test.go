package api_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// storageServices are what the storage port serves.
var storageServices = []string{
	"grpc.health.v1.Health",
	"grpc.reflection.v1.ServerReflection",
	"grpc.reflection.v1alpha.ServerReflection",
	"jaeger.storage.v1.DependenciesReaderPlugin",
	"jaeger.storage.v1.PluginCapabilities",
	"jaeger.storage.v1.SpanReaderPlugin",
	"jaeger.storage.v1.SpanWriterPlugin",
	"jaeger.storage.v1.StreamingSpanWriterPlugin",
	"jaeger.storage.v2.Capabilities",
	"jaeger.storage.v2.DependencyReader",
	"jaeger.storage.v2.TraceReader",
	"opentelemetry.proto.collector.trace.v1.TraceService",
}

func TestHealthIsServingForEachServiceUntilTheDrain(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	server := start(t, &scripted{find: func(context.Context, span.Query) ([]span.Found, error) {
		close(entered)
		<-release
		return []span.Found{{TraceID: id(1)}}, nil
	}}, api.Options{})
	health := healthv1.NewHealthClient(server.connection)
	check := func(want healthv1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for _, service := range append([]string{""}, storageServices...) {
			answer, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
			if err != nil || answer.GetStatus() != want {
				t.Errorf("%q: %v, %v, want %v", service, answer, err, want)
			}
		}
	}
	check(healthv1.HealthCheckResponse_SERVING)
	if _, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "nobody"}); status.Code(err) != codes.NotFound {
		t.Errorf("unknown service: %v", err)
	}
	watch, err := health.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := watch.Recv(); err != nil || answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("watch: %v, %v", answer, err)
	}

	// A call that runs when the drain begins ends well; the watch hears of the drain.
	running := make(chan error, 1)
	go func() {
		ids, err := server.FindTraceIDs(context.Background(), span.AllTime())
		if len(ids) != 1 {
			err = errors.Join(err, fmt.Errorf("%d ids", len(ids)))
		}
		running <- err
	}()
	<-entered
	stopped := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		server.Stop(ctx)
		close(stopped)
	}()
	if answer, err := watch.Recv(); err != nil || answer.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("watch while draining: %v, %v", answer, err)
	}
	close(release)
	if err := <-running; err != nil {
		t.Errorf("call during the drain: %v", err)
	}
	cancel() // the watch would hold the drain
	<-stopped
	if _, err := server.FindTraceIDs(t.Context(), span.AllTime()); !errors.Is(err, span.ErrUnavailable) {
		t.Errorf("call after Stop: %v", err)
	}
}

func reflect(t *testing.T, stream reflectionv1.ServerReflection_ServerReflectionInfoClient, request *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
	t.Helper()
	if err := stream.Send(request); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// TestReflectionTellsAllServices and the files of each, so that a tool can call them.
func TestReflectionTellsAllServices(t *testing.T) {
	server := start(t, &scripted{}, api.Options{})
	onOTLP := slices.DeleteFunc(slices.Clone(storageServices), func(s string) bool { return strings.HasPrefix(s, "jaeger.") })
	for address, want := range map[string][]string{server.storage: storageServices, server.otlp: onOTLP} {
		stream, err := reflectionv1.NewServerReflectionClient(connect(t, address)).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		list := reflect(t, stream, &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
		var names []string
		for _, service := range list.GetListServicesResponse().GetService() {
			names = append(names, service.GetName())
		}
		slices.Sort(names)
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("services (-want +got):\n%s", diff)
		}
		for _, name := range names {
			answer := reflect(t, stream, &reflectionv1.ServerReflectionRequest{
				MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name},
			})
			files := answer.GetFileDescriptorResponse().GetFileDescriptorProto()
			if len(files) == 0 {
				t.Errorf("%s: %v", name, answer)
			}
			for _, file := range files {
				descriptor := &descriptorpb.FileDescriptorProto{}
				if err := proto.Unmarshal(file, descriptor); err != nil {
					t.Error(err)
				}
				for _, imported := range descriptor.GetDependency() {
					answer := reflect(t, stream, &reflectionv1.ServerReflectionRequest{
						MessageRequest: &reflectionv1.ServerReflectionRequest_FileByFilename{FileByFilename: imported},
					})
					if answer.GetErrorResponse() != nil {
						t.Errorf("%s imports %s: %v", descriptor.GetName(), imported, answer)
					}
				}
			}
		}
	}
}

// TestOTLPPortTakesSpansOnly: what reads is not on it.
func TestOTLPPortTakesSpansOnly(t *testing.T) {
	server := start(t, &scripted{services: []string{"s"}}, api.Options{})
	_, err := storagev2.NewTraceReaderClient(connect(t, server.otlp)).GetServices(t.Context(), &storagev2.GetServicesRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("GetServices on the OTLP port: %v", err)
	}
	writer, err := client.Dial(t.Context(), server.otlp)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := writer.Export(t.Context(), requestOf(t, trace(id(1), "s", 1))); err != nil {
		t.Error(err)
	}
}

// TestPanicIsOneCallsFailure: counted, Internal, and the server serves on.
func TestPanicIsOneCallsFailure(t *testing.T) {
	server := start(t, &scripted{
		write: func(context.Context, []byte) (otlp.Counts, error) { panic("write") },
		get: func(_ context.Context, _ span.TraceID, yield func(span.Chunk) error) error {
			if err := yield(span.Chunk{Bytes: []byte("\x0a\x00")}); err != nil {
				return err
			}
			panic("get")
		},
		find:     func(context.Context, span.Query) ([]span.Found, error) { panic("find") },
		services: []string{"alive"},
	}, api.Options{})
	_, write := server.Export(t.Context(), nil)
	_, find := server.FindTraceIDs(t.Context(), span.AllTime())
	get := server.GetTraces(t.Context(), []span.TraceID{id(1)}, func([]byte) error { return nil })
	for name, err := range map[string]error{"write": write, "find": find, "get": get} {
		if status.Code(err) != codes.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
	if services, err := server.Services(t.Context()); err != nil || len(services) != 1 {
		t.Errorf("after the panics: %v, %v", services, err)
	}
	stats := server.Stats()
	if stats.Panics != 3 || stats.BytesInFlight != 0 || stats.QueriesRunning != 0 {
		t.Errorf("stats %+v", stats)
	}
	if stats.Calls[api.Call{Method: collectorv1.TraceService_Export_FullMethodName, Code: "Internal"}] != 1 ||
		stats.Calls[api.Call{Method: storagev2.TraceReader_GetServices_FullMethodName, Code: "OK"}] != 1 {
		t.Errorf("calls %v", stats.Calls)
	}
}

// TestReaderThatStopsIsCut: it holds a bounded number of chunks, its call ends, and the
// store's view is let go.
func TestReaderThatStopsIsCut(t *testing.T) {
	var sent atomic.Int64
	ended := make(chan struct{})
	server := start(t, &scripted{get: func(_ context.Context, _ span.TraceID, yield func(span.Chunk) error) error {
		chunk := make([]byte, 1<<20)
		for {
			if err := yield(span.Chunk{Bytes: chunk}); err != nil {
				close(ended)
				return err
			}
			sent.Add(1)
		}
	}}, api.Options{PeerTimeMax: 300 * time.Millisecond})
	before := runtime.NumGoroutine()
	err := server.GetTraces(t.Context(), []span.TraceID{id(1)}, func([]byte) error {
		<-ended // takes one chunk, and no more until the store is told to stop
		return nil
	})
	if status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "take a message") {
		t.Errorf("cut reader: %v", err)
	}
	if sent.Load() > 4 {
		t.Errorf("%d MiB were sent into a reader that takes one", sent.Load())
	}
	if stats := server.Stats(); stats.PeersCut != 1 || stats.QueriesRunning != 0 {
		t.Errorf("stats %+v", stats)
	}
	for try := 0; runtime.NumGoroutine() > before+2; try++ {
		if try == 100 {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestWriterThatStopsIsCut: headers and no message, or half of one.
func TestWriterThatStopsIsCut(t *testing.T) {
	server := start(t, &scripted{}, api.Options{PeerTimeMax: 200 * time.Millisecond, BytesInFlightMax: 1 << 20})
	for _, method := range []string{collectorv1.TraceService_Export_FullMethodName, storagev2.TraceReader_FindTraces_FullMethodName, storagev2.TraceReader_GetServices_FullMethodName} {
		for _, body := range []string{"", "\x00\x00\x00\x10\x00half"} {
			err := callSlowly(t, server.storage, method, body)
			if status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("%s after %q: %v", method, body, err)
			}
		}
	}
	if stats := server.Stats(); stats.PeersCut != 6 || stats.BytesInFlight != 0 || stats.QueriesRunning != 0 {
		t.Errorf("stats %+v", stats)
	}
}

// TestQueryLimitsAreNamed: too long and too many.
func TestQueryLimitsAreNamed(t *testing.T) {
	entered := make(chan struct{}, 10)
	server := start(t, &scripted{
		find: func(ctx context.Context, _ span.Query) ([]span.Found, error) {
			entered <- struct{}{}
			<-ctx.Done()
			return nil, fmt.Errorf("shard 3: %w", ctx.Err())
		},
		write: func(ctx context.Context, _ []byte) (otlp.Counts, error) {
			<-ctx.Done()
			return otlp.Counts{}, ctx.Err()
		},
	}, api.Options{WorkTimeMax: 200 * time.Millisecond, QueriesMax: 2})
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := server.FindTraceIDs(context.Background(), span.AllTime())
			errs <- err
		}()
		<-entered
	}
	_, err := server.Services(t.Context())
	if _, again := client.RetryAfter(err); !again || !errors.Is(err, span.ErrUnavailable) || !strings.Contains(err.Error(), "2 queries") {
		t.Errorf("third query: %v", err)
	}
	for range 2 {
		if err := <-errs; !errors.Is(err, span.ErrTooMuch) || !strings.Contains(err.Error(), "WorkTimeMax") {
			t.Errorf("long query: %v", err)
		}
	}
	if _, err := server.Services(t.Context()); err != nil {
		t.Errorf("after the long ones: %v", err)
	}
	if _, err := server.Export(t.Context(), nil); !errors.Is(err, span.ErrUnavailable) {
		t.Errorf("long write: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := server.FindTraceIDs(ctx, span.AllTime()); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a caller's own deadline: %v", err)
	}
}

func TestDialTellsThatNobodyAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	if _, err := client.Dial(t.Context(), address); !errors.Is(err, span.ErrUnavailable) || !strings.Contains(err.Error(), address) {
		t.Errorf("dial: %v", err)
	}
}
