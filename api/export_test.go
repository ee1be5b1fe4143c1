package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// TestOKOnlyAfterTheWriteReturned holds a write back, and no answer comes.
func TestOKOnlyAfterTheWriteReturned(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	server := start(t, &scripted{write: func(context.Context, []byte) (otlp.Counts, error) {
		close(entered)
		<-release
		return otlp.Counts{Spans: 1}, nil
	}}, api.Options{})
	var durable atomic.Bool
	answered := make(chan error, 1)
	request := requestOf(t, trace(id(1), "s", 1))
	go func() {
		_, err := server.Export(context.Background(), request)
		if !durable.Load() {
			err = errors.Join(err, errors.New("answered before the write returned"))
		}
		answered <- err
	}()
	<-entered
	if inFlight := server.Stats().BytesInFlight; inFlight != int64(len(request)) {
		t.Errorf("%d bytes in flight, sent %d", inFlight, len(request))
	}
	durable.Store(true)
	close(release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if stats := server.Stats(); stats.BytesInFlight != 0 || stats.Exports != 1 || stats.SpansAccepted != 1 || stats.BytesReceived != uint64(len(request)) {
		t.Errorf("stats after: %+v", stats)
	}
}

// TestRequestsPassAsTheyAre with both ports, by a plain client of OTLP's own messages,
// plain, gzipped and in zstd.
func TestRequestsPassAsTheyAre(t *testing.T) {
	var got atomic.Pointer[[]byte]
	server := start(t, &scripted{write: func(_ context.Context, request []byte) (otlp.Counts, error) {
		kept := bytes.Clone(request)
		got.Store(&kept)
		return otlp.Counts{}, nil
	}}, api.Options{})
	message := &collectorv1.ExportTraceServiceRequest{ResourceSpans: []*tracev1.ResourceSpans{trace(id(1), "a\u00e9", 2_000), trace(id(2), "b", 1)}}
	want, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{server.storage, server.otlp} {
		writer := collectorv1.NewTraceServiceClient(connect(t, address))
		for _, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor("gzip")}, {grpc.UseCompressor("zstd")}} {
			answer, err := writer.Export(t.Context(), message, options...)
			if err != nil || answer.GetPartialSuccess() != nil {
				t.Fatalf("%s, %v: %v, %v", address, options, answer, err)
			}
			if !bytes.Equal(want, *got.Load()) {
				t.Errorf("%s, %v: the store sees other bytes", address, options)
			}
		}
	}
}

func TestDroppedSpansAreReported(t *testing.T) {
	server := start(t, &scripted{}, api.Options{})
	resource := trace(id(1), "s", 5)
	spans := resource.GetScopeSpans()[0].GetSpans()
	spans[1].TraceId = make([]byte, 16)
	spans[2].TraceId = []byte("odd")
	spans[3].SpanId = nil
	rejected, err := server.Export(t.Context(), requestOf(t, resource))
	if err != nil {
		t.Fatal(err)
	}
	if rejected.Spans != 3 || !strings.Contains(rejected.Reason, "2 with a trace id") || !strings.Contains(rejected.Reason, "1 with a span id") {
		t.Errorf("rejected %+v", rejected)
	}
	stats := server.Stats()
	if stats.SpansAccepted != 2 || stats.SpansDropped["trace_id"] != 2 || stats.SpansDropped["span_id"] != 1 {
		t.Errorf("stats %+v", stats)
	}
}

// TestUndecodableRequestsAreInvalidArgument cuts a request at every byte: what is not a
// whole message is refused as the writer's mistake, and nothing panics.
func TestUndecodableRequestsAreInvalidArgument(t *testing.T) {
	server := start(t, &scripted{}, api.Options{})
	request := requestOf(t, trace(id(1), "s", 2))
	refused := 0
	for cut := range len(request) + 1 {
		_, err := server.Export(t.Context(), request[:cut])
		switch {
		case errors.Is(err, span.ErrInvalid):
			refused++
		case err != nil:
			t.Fatalf("cut at %d: %v", cut, err)
		case cut != 0 && cut != len(request):
			t.Errorf("cut at %d: accepted", cut)
		}
	}
	if stats := server.Stats(); stats.ExportsInvalid != uint64(refused) || stats.Panics != 0 {
		t.Errorf("stats %+v", stats)
	}
	_, err := server.Export(t.Context(), []byte("\x0anot protobuf at all"))
	if !errors.Is(err, span.ErrInvalid) {
		t.Errorf("garbage: %v", err)
	}
	if _, again := client.RetryAfter(err); again {
		t.Error("a bad request is asked for again")
	}
}

func TestTooLargeIsResourceExhaustedBombOrNot(t *testing.T) {
	var writes atomic.Int64
	server := start(t, &scripted{write: func(context.Context, []byte) (otlp.Counts, error) {
		writes.Add(1)
		return otlp.Counts{}, nil
	}}, api.Options{})
	check := func(name string, err error) {
		t.Helper()
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: %v", name, err)
		}
		if _, again := client.RetryAfter(err); again {
			t.Errorf("%s: asked for again", name)
		}
	}
	_, err := server.Export(t.Context(), make([]byte, otlp.RequestBytesMax+1))
	check("plain", err)
	for _, name := range []string{"gzip", "zstd"} {
		bomb := &bytes.Buffer{}
		w, err := encoding.GetCompressor(name).Compress(bomb)
		if err == nil {
			_, err = w.Write(make([]byte, otlp.RequestBytesMax+1))
		}
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		if bomb.Len() > 1<<20 {
			t.Fatalf("the %s bomb has %d bytes", name, bomb.Len())
		}
		check(name, call(t, server.storage, collectorv1.TraceService_Export_FullMethodName, name, frame(true, bomb.Bytes())))
	}
	if writes.Load() != 0 {
		t.Errorf("%d writes reached the store", writes.Load())
	}
	if _, err := server.Export(t.Context(), make([]byte, otlp.RequestBytesMax)); err != nil {
		t.Errorf("a request of the largest size: %v", err)
	}
	if inFlight := server.Stats().BytesInFlight; inFlight != 0 {
		t.Errorf("%d bytes in flight in the end", inFlight)
	}
}

// TestOverloadIsUnavailableWithAWait: beyond the budget of bytes, a writer is told to
// come again later, and not all writers at the same time.
func TestOverloadIsUnavailableWithAWait(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{}, 10)
	random := atomic.Int64{}
	server := start(t, &scripted{write: func(context.Context, []byte) (otlp.Counts, error) {
		entered <- struct{}{}
		<-release
		return otlp.Counts{}, nil
	}}, api.Options{
		BytesInFlightMax: 4 << 20,
		Random:           func() float64 { return float64(random.Add(1)%10) / 10 },
	})
	large := make([]byte, 3<<20)
	results := make(chan error, 1)
	go func() {
		_, err := server.Export(context.Background(), large)
		results <- err
	}()
	<-entered
	delays := map[string]bool{}
	for _, size := range []int{2 << 20, 1<<20 + 1, 64 << 20} {
		_, err := server.Export(t.Context(), large[:min(size, len(large))])
		delay, again := client.RetryAfter(err)
		if !errors.Is(err, span.ErrUnavailable) || !again || delay <= 0 {
			t.Errorf("%d bytes: %v, again %v", size, err, again)
		}
		delays[delay.String()] = true
	}
	if len(delays) != 3 {
		t.Errorf("the waits are not spread: %v", delays)
	}
	if got := server.Stats(); got.ExportsOverload != 3 || got.BytesInFlight != 3<<20 {
		t.Errorf("stats %+v", got)
	}
	small := make(chan error, 1)
	go func() {
		_, err := server.Export(context.Background(), large[:1<<10])
		small <- err
	}()
	<-entered // one that fits is served meanwhile
	close(release)
	if err := errors.Join(<-results, <-small); err != nil {
		t.Error(err)
	}
	// A request larger than the whole budget is served alone.
	if _, err := server.Export(t.Context(), make([]byte, 8<<20)); err != nil {
		t.Errorf("8 MiB alone: %v", err)
	}
}

// TestStoreErrorsBecomeTheRightCodes for writers and for readers.
func TestStoreErrorsBecomeTheRightCodes(t *testing.T) {
	var failure atomic.Pointer[error]
	fail := func() error { return *failure.Load() }
	server := start(t, &scripted{
		write: func(context.Context, []byte) (otlp.Counts, error) { return otlp.Counts{}, fail() },
		get:   func(context.Context, span.TraceID, func(span.Chunk) error) error { return fail() },
		find:  func(context.Context, span.Query) ([]span.Found, error) { return nil, fail() },
	}, api.Options{})
	for _, c := range []struct {
		err         error
		write, read codes.Code
		again       bool // both
	}{
		{fmt.Errorf("part 3: %w", span.ErrInvalid), codes.InvalidArgument, codes.InvalidArgument, false},
		{fmt.Errorf("disk full: %w", span.ErrUnavailable), codes.Unavailable, codes.Unavailable, true},
		{fmt.Errorf("traces: %w", span.ErrTooMuch), codes.ResourceExhausted, codes.ResourceExhausted, false},
		{context.Canceled, codes.Canceled, codes.Canceled, false},
		{fmt.Errorf("late: %w", context.DeadlineExceeded), codes.DeadlineExceeded, codes.DeadlineExceeded, false},
		{errors.New("surprise"), codes.Unavailable, codes.Internal, false},
	} {
		failure.Store(&c.err)
		_, write := server.Export(t.Context(), nil)
		get := server.GetTraces(t.Context(), []span.TraceID{id(1)}, func([]byte) error { return nil })
		_, find := server.FindTraceIDs(t.Context(), span.AllTime())
		if status.Code(write) != c.write || status.Code(get) != c.read || status.Code(find) != c.read {
			t.Errorf("%v: write %v, get %v, find %v", c.err, write, get, find)
		}
		if _, again := client.RetryAfter(write); again != (c.write == codes.Unavailable) {
			t.Errorf("%v: write again %v", c.err, again)
		}
		if !strings.Contains(status.Convert(get).Message(), c.err.Error()) {
			t.Errorf("%v: reader is told %q", c.err, status.Convert(get).Message())
		}
	}
}

func TestPatientWriterComesAgain(t *testing.T) {
	var tries atomic.Int64
	server := start(t, &scripted{write: func(context.Context, []byte) (otlp.Counts, error) {
		if tries.Add(1) < 3 {
			return otlp.Counts{}, span.ErrUnavailable
		}
		return otlp.Counts{}, nil
	}}, api.Options{Random: func() float64 { return 0 }})
	waits := 0
	_, err := server.ExportPatiently(t.Context(), nil, func(refusal error) {
		waits++
		if !errors.Is(refusal, span.ErrUnavailable) {
			t.Errorf("it waits because of %v", refusal)
		}
	})
	if err != nil || tries.Load() != 3 || waits != 2 {
		t.Errorf("%d tries, %d waits, %v", tries.Load(), waits, err)
	}
}
