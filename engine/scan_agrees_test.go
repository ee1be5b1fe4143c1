package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// scattered makes spans and questions at random, of few or many keys, names and traces: what repeats and
// what does not, so that row groups have templates in common, of their own, and keys in the map column.
type scattered struct {
	*rand.Rand
	keys, names, traces int
	isOdd               bool // values have every type, some twice or none
}

func newScattered(seed uint64) *scattered {
	s := &scattered{Rand: rand.New(rand.NewPCG(seed, 11))}
	s.keys, s.names, s.traces = []int{20, 300, 6000}[seed%3], []int{3, 30, 400}[s.IntN(3)], []int{3, 60, 1500}[s.IntN(3)]
	s.isOdd = seed%2 == 0
	return s
}

// few is a number below n, mostly a small one.
func (s *scattered) few(n int) int { return s.IntN(1 + s.IntN(n)) }

func textValue(text string) *commonv1.AnyValue {
	return &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: text}}
}

func (s *scattered) value() *commonv1.AnyValue {
	switch k := s.IntN(12); {
	case k < 5:
		return textValue(fmt.Sprint("v", s.few(40)))
	case k < 8:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: int64(s.few(50)) - 3}}
	case k < 9:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_BoolValue{BoolValue: s.IntN(2) == 0}}
	case k < 10:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_DoubleValue{DoubleValue: float64(s.IntN(4))}}
	case !s.isOdd:
		return textValue(fmt.Sprint("u", s.IntN(100_000)))
	case k < 11:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: &commonv1.ArrayValue{Values: []*commonv1.AnyValue{textValue("x")}}}}
	default:
		return []*commonv1.AnyValue{nil, {}, {Value: &commonv1.AnyValue_BytesValue{BytesValue: []byte{255}}}, textValue("")}[s.IntN(4)]
	}
}

func (s *scattered) attrs(most int) (list []*commonv1.KeyValue) {
	for range s.IntN(most + 1) {
		list = append(list, &commonv1.KeyValue{Key: fmt.Sprint("k", s.few(s.keys)), Value: s.value()})
	}
	return list
}

// request is of some spans, in resources and scopes that come again.
func (s *scattered) request(spans int) []byte {
	d := &tracev1.TracesData{}
	for spans > 0 {
		resource := &resourcev1.Resource{Attributes: s.attrs(2)}
		if s.IntN(20) > 0 {
			resource.Attributes = append(resource.Attributes, &commonv1.KeyValue{Key: "service.name", Value: textValue(fmt.Sprint("s", s.few(6)))})
		}
		scope := &tracev1.ScopeSpans{Scope: &commonv1.InstrumentationScope{Name: fmt.Sprint("sc", s.IntN(3))}}
		if s.IntN(4) == 0 {
			scope.Scope.Attributes = s.attrs(1)
		}
		for range 1 + s.IntN(min(spans, 30)) {
			scope.Spans = append(scope.Spans, s.span())
			spans--
		}
		d.ResourceSpans = append(d.ResourceSpans, &tracev1.ResourceSpans{Resource: resource, ScopeSpans: []*tracev1.ScopeSpans{scope}})
	}
	raw, err := proto.Marshal(d)
	if err != nil {
		panic(err)
	}
	return raw
}

func (s *scattered) span() *tracev1.Span {
	trace, id := make([]byte, 16), make([]byte, 8)
	binary.BigEndian.PutUint32(trace[12:], uint32(1+s.IntN(s.traces)))
	binary.BigEndian.PutUint32(id[4:], uint32(1+s.IntN(1<<s.IntN(20))))
	start, end := s.times()
	out := &tracev1.Span{
		TraceId: trace, SpanId: id, Name: fmt.Sprint("n", s.few(s.names)), Kind: tracev1.Span_SpanKind(s.IntN(4)),
		StartTimeUnixNano: start, EndTimeUnixNano: end, Attributes: s.attrs(6),
	}
	out.Attributes = append(out.Attributes, &commonv1.KeyValue{Key: "fast", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: int64(s.IntN(300))}}})
	if s.IntN(8) == 0 {
		out.Events = append(out.Events, &tracev1.Span_Event{Name: fmt.Sprint("e", s.IntN(3)), TimeUnixNano: start + 5, Attributes: s.attrs(2)})
	}
	if s.IntN(12) == 0 {
		out.Links = append(out.Links, &tracev1.Span_Link{TraceId: trace, SpanId: id, Attributes: s.attrs(2)})
	}
	if s.IntN(5) == 0 {
		out.Status = &tracev1.Status{Code: tracev1.Status_StatusCode(s.IntN(3)), Message: []string{"", "m", fmt.Sprint("m", s.IntN(1000))}[s.IntN(3)]}
	}
	if s.IntN(10) == 0 {
		out.TraceState = fmt.Sprint("ts=", s.IntN(3000))
	}
	return out
}

// times are near each other, but some that end before they start, or at the ends of all time.
func (s *scattered) times() (start, end uint64) {
	start = uint64(1_000_000 + s.IntN(5000))
	if s.IntN(30) == 0 {
		start = uint64(s.IntN(3000))
	}
	switch s.IntN(60) {
	case 0:
		return start, start - uint64(s.IntN(100))
	case 1:
		return start, start + math.MaxInt64 + uint64(s.IntN(3)) - 1
	case 2:
		return start, math.MaxUint64
	case 3:
		return math.MaxUint64 - uint64(s.IntN(5)), uint64(s.IntN(3000))
	}
	return start, start + uint64(s.few(3000))
}

func (s *scattered) tag() span.Tag {
	switch s.IntN(10) {
	case 0:
		return span.Tag{Key: "event", Value: fmt.Sprint("e", s.IntN(4))}
	case 1:
		return span.Tag{Key: "error", Value: fmt.Sprint(s.IntN(2) == 0)}
	case 2:
		return []span.Tag{{Key: "span.kind", Value: "server"}, {Key: "otel.status_description", Value: "m"}, {Key: "w3c.tracestate", Value: "ts=5"}, {Key: "otel.scope.name", Value: "sc1"}}[s.IntN(4)]
	case 3, 4, 5:
		return span.Tag{Key: "fast", Value: fmt.Sprint(s.IntN(300))}
	}
	return span.Tag{Key: fmt.Sprint("k", s.few(s.keys)), Value: []string{fmt.Sprint("v", s.IntN(10)), fmt.Sprint(s.IntN(20) - 3), "true", "1", ""}[s.IntN(5)]}
}

func (s *scattered) query() span.Query {
	q := span.AllTime()
	q.Limit = []int{5, 20, 1000}[s.IntN(3)]
	if s.IntN(2) == 0 {
		q.Service = fmt.Sprint("s", s.IntN(7))
	}
	if s.IntN(2) == 0 {
		q.Name = fmt.Sprint("n", s.few(s.names))
	}
	for range s.IntN(3) {
		q.Tags = append(q.Tags, s.tag())
	}
	if s.IntN(3) == 0 {
		q.DurationMin = []uint64{uint64(s.IntN(3000)), uint64(s.IntN(3000)), math.MaxInt64 - uint64(s.IntN(3))}[s.IntN(3)]
	}
	if s.IntN(4) == 0 {
		q.DurationMax = []uint64{uint64(1 + s.IntN(3000)), uint64(1 + s.IntN(3000)), math.MaxUint64 - uint64(s.IntN(3))}[s.IntN(3)]
	}
	if s.IntN(3) == 0 {
		q.StartMin = uint64(1_000_000 + s.IntN(5000))
	}
	if s.IntN(3) == 0 {
		q.StartMax = uint64(1_000_000 + s.IntN(6000))
	}
	if s.IntN(6) == 0 {
		q.Filter = span.Comparison{Op: span.GreaterOrEqual, Left: span.SpanDuration, Right: span.Constant{Type: span.DurationConstant, Int: int64(s.IntN(3000))}}
	}
	return q
}

// TestFindGivesWhatAScanGives: whatever is left out by tables, templates, row groups and filters, what is
// found is what looking at every row finds, in memtables and in segments before and after a merge; and
// every trace is answered as its rows are.
func TestFindGivesWhatAScanGives(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			load := newScattered(seed)
			pages := segment.NewPages([]int{0, 1 << 20, 64 << 20}[seed%3])
			s, err := engine.Open(engine.Options{FS: vfs.NewCrash(1), Dir: worldDir, ManualCompaction: true, MemtableBytesMax: 1 << 30, Pages: pages})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			found := 0
			ask := func(queries int) {
				t.Helper()
				for range queries {
					found += wantScanned(t, s, load.query())
				}
			}
			copied := load.request(40)
			for seq, spans := range scatteredSpans {
				applyRequest(t, s, uint64(seq+1), append(load.request(spans), copied...))
				ask(3)
				if err := s.Flush(context.Background()); err != nil {
					t.Fatal(err)
				}
				ask(25)
			}
			wantAnswers(t, s)
			if err := s.Compact(context.Background()); err != nil {
				t.Fatal(err)
			}
			ask(30)
			if answers := wantAnswers(t, s); answers < 3 || found < 15 {
				t.Errorf("%d traces, %d questions that find some", answers, found)
			}
		})
	}
}

// scatteredSpans are few and many: the merged segment has two row groups.
var scatteredSpans = [3]int{2000, 500, 2000}

// wantScanned compares what is found with what a scan finds; it gives 1 where that is something.
func wantScanned(t *testing.T, s *engine.Shard, q span.Query) int {
	t.Helper()
	got, err := s.Find(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	q.Scan = true
	want, err := s.Find(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%+v: %d traces found, %d by scan:\n%v\n%v", q, len(got), len(want), got, want)
	}
	return min(len(got), 1)
}
