package bench_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/bench/workload"
)

// made is a small workload.
func made(t testing.TB, spans int) *bench.Source {
	t.Helper()
	c, err := workload.Preset("shop")
	if err != nil {
		t.Fatal(err)
	}
	c.Spans, c.Services, c.Pods, c.RequestSpans = spans, 6, 9, 100
	return bench.FromWorkload(c)
}

// receiver answers exports over gRPC: answer gives the error of the nth call.
type receiver struct {
	collectorv1.UnimplementedTraceServiceServer
	calls  atomic.Int64
	answer func(call int64) error
	// rejects is how many spans of each request are rejected; nil is two.
	rejects *int64
}

func (r *receiver) Export(context.Context, *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	if err := r.answer(r.calls.Add(1)); err != nil {
		return nil, err
	}
	rejected := int64(2)
	if r.rejects != nil {
		rejected = *r.rejects
	}
	return &collectorv1.ExportTraceServiceResponse{PartialSuccess: &collectorv1.ExportTracePartialSuccess{RejectedSpans: rejected}}, nil
}

func (r *receiver) serve(t testing.TB) string {
	t.Helper()
	return served(t, func(server *grpc.Server) { collectorv1.RegisterTraceServiceServer(server, r) })
}

// served is the address of a gRPC server, until the test ends.
func served(t testing.TB, register func(*grpc.Server)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	register(server)
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); done.Wait() })
	return listener.Addr().String()
}

// refused asks to come again after a millisecond.
func refused(t testing.TB, code codes.Code) error {
	t.Helper()
	s, err := status.New(code, "not now").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}

// TestLoadComesAgainWhereACollectorDoes, and nowhere else.
func TestLoadComesAgainWhereACollectorDoes(t *testing.T) {
	for what, c := range map[string]struct {
		refusal error
		again   bool
	}{
		"exhausted, with a delay":    {refused(t, codes.ResourceExhausted), true},
		"unavailable, with a delay":  {refused(t, codes.Unavailable), true},
		"exhausted, without":         {status.Error(codes.ResourceExhausted, "too large"), false},
		"unavailable, no patience":   {status.Error(codes.Unavailable, "gone"), false},
		"invalid, even with a delay": {refused(t, codes.InvalidArgument), false},
	} {
		r := &receiver{answer: func(call int64) error {
			if call <= 3 {
				return c.refusal
			}
			return nil
		}}
		waits := 0
		loaded, err := bench.Loading{Target: r.serve(t), Connections: 1, Waiting: func(error) { waits++ }}.Send(t.Context(), made(t, 500).Requests())
		switch {
		case !c.again:
			if err == nil || waits > 0 || loaded.Requests > 0 {
				t.Errorf("%s: %v, %d waits, %+v", what, err, waits, loaded)
			}
		case err != nil || loaded.Retries != 3 || waits != 3 || loaded.Spans != 500 || loaded.Rejected != 2*int64(loaded.Requests) || len(loaded.Exports) != loaded.Requests:
			t.Errorf("%s: %v, %d waits, %+v", what, err, waits, loaded)
		}
	}
}

// TestRejectedSpansAreNotLoaded: who follows a load hears of those accepted, and no server
// rejects more of a request than it has.
func TestRejectedSpansAreNotLoaded(t *testing.T) {
	for rejects, want := range map[int64]int64{2: 2, 0: 0, -5: 0, 1 << 40: 100} {
		r := &receiver{answer: func(int64) error { return nil }, rejects: &rejects}
		var told int64
		loaded, err := bench.Loading{Target: r.serve(t), Connections: 1, Told: func(spans int64) { told = spans }}.Send(t.Context(), made(t, 100).Requests())
		if err != nil || loaded.Spans != 100 || loaded.Rejected != min(want*int64(loaded.Requests), 100) || told != loaded.Spans-loaded.Rejected {
			t.Errorf("%d rejected of each request: %+v, told %d, %v", rejects, loaded, told, err)
		}
	}
}

// TestLoadOverHTTP: the same bytes, the same retries.
func TestLoadOverHTTP(t *testing.T) {
	var want, got int64
	for request := range made(t, 2_000).Requests() {
		want += int64(len(request))
	}
	var mu sync.Mutex
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		calls++
		switch {
		case err != nil || r.URL.Path != "/v1/traces" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf":
			w.WriteHeader(http.StatusBadRequest)
		case calls == 2:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			got += int64(len(body))
			_, _ = w.Write([]byte{0x0a, 2, 0x08, 3}) // partial_success { rejected_spans: 3 }
		}
	}))
	defer server.Close()
	loaded, err := bench.Loading{Target: server.URL, Connections: 2}.Send(t.Context(), made(t, 2_000).Requests())
	if err != nil || got != want || loaded.Bytes != want || loaded.Retries != 1 || loaded.Rejected != 3*int64(loaded.Requests) {
		t.Errorf("%v: %d bytes received, %d sent, %+v", err, got, want, loaded)
	}
	if _, err := (bench.Loading{Target: server.URL + "/elsewhere", Connections: 1}).Send(t.Context(), made(t, 200).Requests()); err == nil ||
		!strings.Contains(err.Error(), "400") {
		t.Errorf("a wrong path: %v", err)
	}
	for _, target := range []string{"localhost", "ftp://localhost/v1/traces", ":"} {
		if _, err := (bench.Loading{Target: target, Connections: 1}).Send(t.Context(), made(t, 200).Requests()); err == nil {
			t.Errorf("target %q was taken", target)
		}
	}
}

// TestAPacedLoadSendsNoFaster than it was told; a stall is charged to all that waited.
func TestAPacedLoadSendsNoFaster(t *testing.T) {
	r := &receiver{answer: func(call int64) error {
		if call == 1 {
			time.Sleep(300 * time.Millisecond)
		}
		return nil
	}}
	loaded, err := bench.Loading{Target: r.serve(t), Connections: 1, SpansASecond: 10_000}.Send(t.Context(), made(t, 4_000).Requests())
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Took < 350*time.Millisecond {
		t.Errorf("4,000 spans at 10,000 a second took %v", loaded.Took)
	}
	late := 0
	for _, took := range loaded.Exports {
		if took > 50*time.Millisecond {
			late++
		}
	}
	if late < 10 {
		t.Errorf("%d of %d requests waited for the one that stalled", late, len(loaded.Exports))
	}
}

// TestALoadEndsWithItsContext, and tells of a source that fails.
func TestALoadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := &receiver{answer: func(int64) error { cancel(); return nil }}
	if _, err := (bench.Loading{Target: r.serve(t), Connections: 3}).Send(ctx, made(t, 50_000).Requests()); err == nil {
		t.Error("no error")
	}
	missing := bench.FromFiles(filepath.Join(t.TempDir(), "none"))
	if _, err := (bench.Loading{Target: r.serve(t), Connections: 3}).Send(t.Context(), missing.Requests()); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a file that is missing: %v", err)
	}
}

// TestFolderBytesAddsUpFiles, but for folders that do not count.
func TestFolderBytesAddsUpFiles(t *testing.T) {
	folder := t.TempDir()
	for name, size := range map[string]int{"a": 10, "log/b": 1000, "shard/c": 5, "shard/log/d": 70} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if sum, err := bench.FolderBytes(folder, "log"); err != nil || sum.Bytes != 15 || sum.Allocated < 15 {
		t.Errorf("%+v, %v", sum, err)
	}
	if sum, err := bench.FolderBytes(folder); err != nil || sum.Bytes != 1085 {
		t.Errorf("%+v, %v", sum, err)
	}
	if _, err := bench.FolderBytes(filepath.Join(folder, "none")); err == nil {
		t.Error("a folder that is missing has bytes")
	}
}

// TestALoadRunReadsWhatTheServerUsed: this process stands for it.
func TestALoadRunReadsWhatTheServerUsed(t *testing.T) {
	r := &receiver{answer: func(int64) error { return nil }}
	run := bench.LoadRun{Loading: bench.Loading{Target: r.serve(t), Connections: 2}, PID: os.Getpid(), Folder: t.TempDir()}
	record, err := run.Run(t.Context(), made(t, 20_000).Requests())
	if err != nil {
		t.Fatal(err)
	}
	if record.Spans != 20_000 || record.Accepted.AnonBytes < 1<<20 || record.Settled.Seconds < record.Accepted.Seconds || record.SettledBy != "not waited for" {
		t.Errorf("%+v", record)
	}
	run.PID = 1 << 30
	if _, err := run.Run(t.Context(), made(t, 100).Requests()); err == nil {
		t.Error("a process that is not there was read")
	}
}
