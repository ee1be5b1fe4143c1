package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/vfs"
)

// wantAnswers wants of each trace the bytes that its rows, read whole, are encoded to. It gives how
// many traces there are.
func wantAnswers(t *testing.T, s *engine.Shard) int {
	t.Helper()
	ctx := context.Background()
	found, err := s.Find(ctx, span.AllTime())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		var want, got []byte
		into := func(dst *[]byte) func(chunk []byte) error {
			return func(chunk []byte) error {
				*dst = append(fmt.Appendf(*dst, "%d:", len(chunk)), chunk...)
				return nil
			}
		}
		e := otlp.NewEncoder(into(&want))
		if err := s.Rows(ctx, f.TraceID, e.Add); err != nil {
			t.Fatal(err)
		}
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
		for again := range 3 { // made, made and kept, as it was kept
			got = got[:0]
			if err := s.Get(ctx, f.TraceID, func(chunk span.Chunk) error { return into(&got)(chunk.Bytes) }); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want, got) {
				t.Fatalf("trace %s is answered in %d bytes, its rows come to %d others (answer %d)", f.TraceID, len(got), len(want), again)
			}
		}
	}
	return len(found)
}

// TestRealTracesAreAnsweredAsTheirRowsAre: out of a memtable, out of many segments in which traces are
// split and spans stand twice, and out of merged ones.
func TestRealTracesAreAnsweredAsTheirRowsAre(t *testing.T) {
	for _, file := range []string{hotrod, nezha, nezhaLogs, "jaeger-integration-fixtures.otlp.zst", "zipkin-fixtures.otlp.zst"} {
		t.Run(file, func(t *testing.T) {
			var requests [][]byte
			eachRequest(t, file, func(request []byte) { requests = append(requests, request) })
			most := 60
			if testing.Short() {
				most = 20
			}
			requests = requests[:min(len(requests), most)]
			s, err := engine.Open(engine.Options{
				FS: vfs.NewCrash(1), Dir: worldDir, ManualCompaction: true, MemtableBytesMax: 1 << 30, Pages: segment.NewPages(16 << 20),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			seq, traces := uint64(0), 0
			apply := func(request []byte) {
				seq++
				applyRequest(t, s, seq, request)
			}
			for i, request := range requests {
				apply(request)
				if i%3 == 0 && i > 0 {
					apply(append(bytes.Clone(requests[i-1]), request...)) // again, in other company
				}
				if i%max(len(requests)/4, 1) == 0 {
					traces += wantAnswers(t, s)
					if err := s.Flush(context.Background()); err != nil {
						t.Fatal(err)
					}
					traces += wantAnswers(t, s)
				}
			}
			traces += wantAnswers(t, s)
			for _, step := range []func(context.Context) error{s.Flush, s.Compact} {
				if err := step(context.Background()); err != nil {
					t.Fatal(err)
				}
				traces += wantAnswers(t, s)
			}
			if traces < 6 {
				t.Errorf("%d answers", traces)
			}
		})
	}
}

// alike is a request of one span, number i of a trace; spans of one number differ in content alone.
func alike(t *testing.T, i, version int) []byte {
	t.Helper()
	text := func(value string) *commonv1.AnyValue {
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: value}}
	}
	one := &tracev1.Span{
		TraceId: bytes.Repeat([]byte{7}, 16), SpanId: []byte{1, 2, 3, 4, 5, 6, 7, byte(i)}, Name: "same", Kind: 2,
		StartTimeUnixNano: uint64(1000 + i/2), EndTimeUnixNano: uint64(2000 + i),
		Attributes: []*commonv1.KeyValue{{Key: "fixed", Value: text("value")}, {Key: "version", Value: text(fmt.Sprint("v", version))}},
	}
	resource := &resourcev1.Resource{Attributes: []*commonv1.KeyValue{{Key: "service.name", Value: text("s")}}}
	raw, err := proto.Marshal(&tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{{
		Resource: resource, ScopeSpans: []*tracev1.ScopeSpans{{Spans: []*tracev1.Span{one}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestSpansThatDifferInContentAloneAreAllAnswered: of one start, id and kind, in several segments and
// a memtable, between others; and copies once.
func TestSpansThatDifferInContentAloneAreAllAnswered(t *testing.T) {
	for seed := range uint64(seeds(t, 20)) {
		random := rand.New(rand.NewPCG(seed, 3))
		s, err := engine.Open(engine.Options{FS: vfs.NewCrash(1), Dir: worldDir, ManualCompaction: true, MemtableBytesMax: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		type content struct{ number, version int }
		sent, seq := map[content]bool{}, uint64(0)
		versions := 1 + random.IntN(3) // 1: all that comes again is a copy
		for range 4 {
			for range 1 + random.IntN(40) {
				c := content{random.IntN(60), 0}
				if random.IntN(4) == 0 {
					c.version = random.IntN(versions)
				}
				seq++
				applyRequest(t, s, seq, append(alike(t, c.number, c.version), alike(t, 100+int(seq%20), 0)...))
				sent[c], sent[content{100 + int(seq%20), 0}] = true, true
			}
			wantAnswers(t, s)
			if err := s.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
			if n := wantAnswers(t, s); n != 1 {
				t.Fatalf("%d traces", n)
			}
			spans := 0
			err := s.Get(context.Background(), span.TraceID(bytes.Repeat([]byte{7}, 16)), func(chunk span.Chunk) error {
				spans += spansIn(t, [][]byte{chunk.Bytes})
				return nil
			})
			if err != nil || spans != len(sent) {
				t.Fatalf("seed %d: %d spans, want %d (%v)", seed, spans, len(sent), err)
			}
		}
		_ = s.Close()
	}
}
