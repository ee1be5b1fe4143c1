package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	collector "github.com/stoadb/stoa/api/pb/collectorv1"
	storage "github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/bench"
)

// killsDefault is how often the quick suite kills; `make kill` asks for a thousand.
const killsDefault = 40

// kills reads STOA_TEST_KILLS.
func kills(t *testing.T) int {
	text := os.Getenv("STOA_TEST_KILLS")
	if text == "" {
		if testing.Short() {
			return 5
		}
		return killsDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("STOA_TEST_KILLS=%q: %v", text, err)
	}
	return n
}

// TestSIGKILLLosesNothingAcknowledged kills the real binary under load, again and again,
// while it also flushes and compacts. What a sender was not told to be safe it sends
// again, as a collector does. In the end every acknowledged span is there exactly once.
func TestSIGKILLLosesNothingAcknowledged(t *testing.T) {
	folder := t.TempDir()
	seed := uint64(1)
	random := rand.New(rand.NewPCG(seed, 0))
	l := &load{sent: map[string]map[string]string{}}
	cycles := kills(t)
	for cycle := range cycles {
		server := startServer(t, folder)
		l.check(t, dial(t, server.Storage), 200, random)
		stop := make(chan struct{})
		var workers sync.WaitGroup
		for worker := range 4 {
			workers.Add(1)
			go func() {
				defer workers.Done()
				l.run(dial(t, server.Storage), rand.New(rand.NewPCG(seed, uint64(cycle*100+worker+1))), stop)
			}()
		}
		workers.Add(1)
		go func() {
			defer workers.Done()
			nudge(server, stop)
		}()
		time.Sleep(time.Duration(50+random.IntN(700)) * time.Millisecond)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		close(stop)
		workers.Wait()
	}
	server := startServer(t, folder)
	conn := dial(t, server.Storage)
	if err := l.resend(conn); err != nil {
		t.Fatalf("sending again what was in doubt: %v", err)
	}
	l.check(t, conn, -1, random)
	if l.acknowledged == 0 || l.doubted == 0 {
		t.Fatalf("the load proved nothing: %d batches acknowledged, %d in doubt at a kill", l.acknowledged, l.doubted)
	}
	t.Logf("%d kills, %d traces, %d batches acknowledged, %d in doubt at a kill and sent again", cycles, len(l.sent), l.acknowledged, l.doubted)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
}

// nudge asks for flushes and compactions until stopped, so that a kill finds them under
// way; most of its last calls die with the server.
func nudge(server *bench.Server, stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(60 * time.Millisecond):
		}
		_ = server.Ask(context.Background(), []string{"/flush", "/settle", "/compact"}[i%3])
	}
}

// load is what senders know: which spans of which traces were acknowledged, and which
// batches are in doubt.
type load struct {
	mu                    sync.Mutex
	sent                  map[string]map[string]string // trace id -> span id -> content, of what was acknowledged
	doubt                 []*collector.ExportTraceServiceRequest
	acknowledged, doubted int
}

// run sends batches until the server is gone or stop is closed.
func (l *load) run(conn *grpc.ClientConn, random *rand.Rand, stop <-chan struct{}) {
	if l.resend(conn) != nil {
		return
	}
	for {
		select {
		case <-stop:
			return
		default:
		}
		early, late := batchPair(random)
		copies := 1 + random.IntN(3)
		for _, request := range []*collector.ExportTraceServiceRequest{early, late} {
			for range copies {
				if l.send(conn, request) != nil {
					return
				}
			}
		}
	}
}

func (l *load) send(conn *grpc.ClientConn, request *collector.ExportTraceServiceRequest) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := collector.NewTraceServiceClient(conn).Export(ctx, request)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.doubt = append(l.doubt, request)
		l.doubted++
		return err
	}
	l.acknowledged++
	for _, rs := range request.ResourceSpans {
		for _, s := range rs.ScopeSpans[0].Spans {
			id := string(s.TraceId)
			if l.sent[id] == nil {
				l.sent[id] = map[string]string{}
			}
			l.sent[id][string(s.SpanId)] = content(s)
		}
	}
	return nil
}

// resend sends what is in doubt; what fails again stays in doubt.
func (l *load) resend(conn *grpc.ClientConn) error {
	l.mu.Lock()
	again := l.doubt
	l.doubt = nil
	l.mu.Unlock()
	for i, request := range again {
		if err := l.send(conn, request); err != nil {
			l.mu.Lock()
			l.doubt = append(l.doubt, again[i+1:]...)
			l.mu.Unlock()
			return err
		}
	}
	return nil
}

// check compares traces as the server has them with what was acknowledged: most of them
// chosen by chance, or all for -1. Spans in doubt may be there too, once.
func (l *load) check(t *testing.T, conn *grpc.ClientConn, most int, random *rand.Rand) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := sortedKeys(l.sent)
	random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	if most >= 0 {
		ids = ids[:min(most, len(ids))]
	}
	if len(ids) == 0 {
		return
	}
	found := map[string]map[string][]string{}
	for part := range slices.Chunk(ids, 1000) {
		fetchSpans(t, conn, part, found)
	}
	for _, id := range ids {
		for spanID, sent := range l.sent[id] {
			if got := found[id][spanID]; len(got) != 1 || got[0] != sent {
				t.Errorf("trace %x: acknowledged span %x is there %d times, or changed", id, spanID, len(got))
			}
		}
		for spanID, got := range found[id] {
			if len(got) != 1 {
				t.Errorf("trace %x: span %x is there %d times", id, spanID, len(got))
			}
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// content is a span as text, to compare what was sent with what came back.
func content(s *trace.Span) string {
	return fmt.Sprint(s.Name, s.StartTimeUnixNano, s.EndTimeUnixNano, s.Attributes[0].Key, s.Attributes[0].Value.GetIntValue(), len(s.Attributes))
}

// fetchSpans adds the spans of traces to found: trace id -> span id -> contents.
func fetchSpans(t *testing.T, conn *grpc.ClientConn, ids []string, found map[string]map[string][]string) {
	t.Helper()
	request := new(storage.GetTracesRequest)
	for _, id := range ids {
		request.Query = append(request.Query, &storage.GetTraceParams{TraceId: []byte(id)})
		found[id] = map[string][]string{}
	}
	stream, err := storage.NewTraceReaderClient(conn).GetTraces(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, rs := range chunk.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					spans := found[string(s.TraceId)]
					spans[string(s.SpanId)] = append(spans[string(s.SpanId)], content(s))
				}
			}
		}
	}
}

// batchPair makes two requests that share their traces: a trace's spans come in parts.
func batchPair(random *rand.Rand) (early, late *collector.ExportTraceServiceRequest) {
	spans := [2][]*trace.Span{}
	for range 5 {
		var traceID [16]byte
		binary.BigEndian.PutUint64(traceID[:8], random.Uint64())
		binary.BigEndian.PutUint64(traceID[8:], random.Uint64()|1)
		start := uint64(time.Now().UnixNano()) - random.Uint64N(uint64(time.Hour))
		for i := range 2 + random.IntN(20) {
			var spanID [8]byte
			binary.BigEndian.PutUint64(spanID[:], random.Uint64()|1)
			spans[i%2] = append(spans[i%2], &trace.Span{
				TraceId: traceID[:], SpanId: spanID[:], Name: fmt.Sprintf("step %d", i),
				StartTimeUnixNano: start + uint64(i)*1000, EndTimeUnixNano: start + uint64(i)*1000 + random.Uint64N(1e6),
				Attributes: []*common.KeyValue{{Key: "order.id", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: random.Int64()}}}},
			})
		}
	}
	wrap := func(list []*trace.Span) *collector.ExportTraceServiceRequest {
		return &collector.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{
			Resource: &resource.Resource{Attributes: []*common.KeyValue{
				{Key: "service.name", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "shop"}}},
			}},
			ScopeSpans: []*trace.ScopeSpans{{Spans: list}},
		}}}
	}
	return wrap(spans[0]), wrap(spans[1])
}
