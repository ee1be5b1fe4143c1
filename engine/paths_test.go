package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// checkPaths compares the shard's paths with the model's, which writes out every way.
func (w *world) checkPaths(q span.PathQuery) *span.Paths {
	w.t.Helper()
	paths := span.NewPaths()
	if err := w.shard.Paths(context.Background(), q, paths); err != nil {
		w.t.Fatalf("paths %+v: %v", q, err)
	}
	got := make(map[string]span.Path)
	for _, p := range paths.First(paths.Len()) {
		key := enginetest.PathText(p)
		if _, twice := got[key]; twice {
			w.t.Fatalf("paths %+v: one stands twice: %+v", q, p)
		}
		got[key] = p
	}
	want, deeper := w.model.Paths(q)
	if diff := cmp.Diff(want, got); diff != "" || deeper != paths.Deeper {
		w.t.Fatalf("paths %+v, %d deeper, want %d (-want +got):\n%s", q, paths.Deeper, deeper, diff)
	}
	return paths
}

// called is a span of a service; ids are numbers, parent 0 is none.
type called struct {
	trace, id, parent uint64
	service, name     string
	kind              tracev1.Span_SpanKind
}

const calledAt = 1_767_225_600_000_000_000

// calls makes a request of spans, which start a microsecond after one another.
func calls(t *testing.T, spans ...called) []byte {
	t.Helper()
	var traces tracev1.TracesData
	for i, c := range spans {
		s := &tracev1.Span{
			TraceId: binary.BigEndian.AppendUint64(make([]byte, 8), c.trace), SpanId: binary.BigEndian.AppendUint64(nil, c.id), Name: c.name, Kind: c.kind,
			StartTimeUnixNano: calledAt + uint64(i)*1000, EndTimeUnixNano: calledAt + 1e9,
		}
		if c.parent > 0 {
			s.ParentSpanId = binary.BigEndian.AppendUint64(nil, c.parent)
		}
		service := &commonv1.KeyValue{Key: "service.name", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: c.service}}}
		traces.ResourceSpans = append(traces.ResourceSpans, &tracev1.ResourceSpans{
			Resource:   &resourcev1.Resource{Attributes: []*commonv1.KeyValue{service}},
			ScopeSpans: []*tracev1.ScopeSpans{{Spans: []*tracev1.Span{s}}},
		})
	}
	request, err := proto.Marshal(&traces)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// eachForm asks in memory, in one segment, in two, and merged.
func (w *world) eachForm(requests [][]byte, ask func()) {
	w.t.Helper()
	w.mustOpen()
	for i, request := range requests {
		if err := w.append(request); err != nil {
			w.t.Fatal(err)
		}
		ask()
		if err := w.shard.Flush(context.Background()); err != nil {
			w.t.Fatal(err)
		}
		if i%2 == 1 {
			ask()
		}
	}
	if err := w.shard.Compact(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	ask()
}

// A path has the hops that Jaeger's page draws: roots, other services, servers. It is counted
// once for each leaf, and in each trace.
func TestPathsAreThoseThatAPageDraws(t *testing.T) {
	const server, client, internal = tracev1.Span_SPAN_KIND_SERVER, tracev1.Span_SPAN_KIND_CLIENT, tracev1.Span_SPAN_KIND_INTERNAL
	w := newWorld(t, 1, 1)
	trace := func(n uint64) []called {
		return []called{
			{n, 1, 0, "web", "page", server},
			{n, 2, 1, "web", "prepare", internal},
			{n, 3, 2, "web", "call shop", client},
			{n, 4, 3, "shop", "order", server},
			{n, 5, 4, "shop", "SELECT", client}, // no hop: the service is the same
			{n, 6, 4, "shop", "INSERT", client},
			{n, 7, 4, "bank", "pay", server},
			{n, 8, 7, "bank", "check", server}, // a call to itself is a hop
			{n, 9, 1, "web", "ad", internal},   // not through shop
		}
	}
	second := trace(2)[:6]
	lost := []called{ // its root did not come: shop is the root then, and starts a path
		{3, 4, 3, "shop", "order", server}, {3, 7, 4, "bank", "pay", server},
		{3, 20, 21, "shop", "order", server}, {3, 21, 20, "shop", "order", server}, {3, 22, 21, "shop", "order", server}, // in a circle: nowhere
	}
	all := [][]byte{calls(t, trace(1)...), calls(t, second...), calls(t, lost...), calls(t, trace(1)...)}
	w.eachForm(all, func() {
		for _, q := range []span.PathQuery{
			{Service: "shop"}, {Service: "shop", Name: "order"}, {Service: "shop", Name: "SELECT"}, {Service: "bank", Inner: true}, {Service: "nobody"}, {Service: ""},
			{Service: "shop", Name: "SELECT", Inner: true}, {Service: "web", Name: "ad"}, {Service: "shop", StartMin: calledAt + 4000},
		} {
			q.StartMax = math.MaxUint64
			w.checkPaths(q)
		}
	})
	paths := w.checkPaths(span.PathQuery{Service: "shop", StartMax: math.MaxUint64}).First(10)
	text := ""
	for _, p := range paths {
		text += fmt.Sprintln(p.Calls, p.Traces, p.Hops)
	}
	const want = `4 2 [{web page} {shop order}]
1 1 [{shop order} {bank pay}]
1 1 [{web page} {shop order} {bank pay} {bank check}]
`
	if text != want {
		t.Errorf("paths\n%swant\n%s", text, want)
	}
}

// A path of more hops than are told is cut there, and says so; one whose focal hop would not be
// in it is only counted. The time it takes grows with the spans, not with the lengths of paths.
func TestDeepPathsAreCut(t *testing.T) {
	w := newWorld(t, 1, 1)
	var comb []called // a chain of servers, each with a leaf of its own
	const n = 20_000
	for i := range uint64(n) {
		kind := tracev1.Span_SPAN_KIND_SERVER
		name := fmt.Sprint("n", i/1000)
		switch i + 1 {
		case span.PathHopsMax:
			name = "the last"
		case span.PathHopsMax + 1:
			name = "too deep"
		}
		comb = append(comb, called{1, 2*i + 2, 2 * i, fmt.Sprint("s", i%3), name, kind}, called{1, 2*i + 3, 2*i + 2, "leaf", "leaf", kind})
	}
	if err := func() error { w.mustOpen(); return w.append(calls(t, comb...)) }(); err != nil {
		t.Fatal(err)
	}
	ask := func(service, name string) *span.Paths {
		paths := span.NewPaths()
		if err := w.shard.Paths(context.Background(), span.PathQuery{Service: service, Name: name, StartMax: math.MaxUint64}, paths); err != nil {
			t.Fatal(err)
		}
		return paths
	}
	check := func() {
		t.Helper()
		paths := ask("s0", "n0")
		first := paths.First(1)[0]
		// Of the leaves, those below the hops 1 to PathHopsMax-1 have whole paths.
		if !first.IsCut || len(first.Hops) != span.PathHopsMax || first.Calls != n-span.PathHopsMax+1 || paths.Len() != span.PathHopsMax || paths.Deeper != 0 {
			t.Errorf("cut %t after %d hops, %d calls; %d paths, %d deeper", first.IsCut, len(first.Hops), first.Calls, paths.Len(), paths.Deeper)
		}
		if paths := ask("s1", "the last"); paths.Len() != 1 || paths.First(1)[0].Calls != n-span.PathHopsMax+1 || paths.Deeper != 0 {
			t.Errorf("%d paths to the last hop that is told, %d deeper", paths.Len(), paths.Deeper)
		}
		if paths := ask("s2", "too deep"); paths.Len() != 0 || paths.Deeper != n-span.PathHopsMax {
			t.Errorf("%d paths to the first hop that is not told, %d deeper", paths.Len(), paths.Deeper)
		}
		if paths := ask("s1", "n10"); paths.Len() != 0 || paths.Deeper != n-10_000 {
			t.Errorf("%d paths to a focal hop too deep to be told, %d deeper, want %d", paths.Len(), paths.Deeper, n-10_000)
		}
	}
	check()
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	check()
}

// More paths than are gathered are refused, not cut.
func TestTooManyPathsAreRefused(t *testing.T) {
	w := newWorld(t, 3, 3)
	w.mustOpen()
	for i := range span.PathNodesMax/5000 + 1 {
		var request []byte
		for j := range 5000 {
			request = append(request, enginetest.Numbered(5000*i+j)...)
		}
		w.apply(request)
	}
	q := span.PathQuery{StartMax: math.MaxUint64, Service: "numbered"}
	errorIs(t, w.shard.Paths(context.Background(), q, span.NewPaths()), span.ErrTooMuch)
	q.Name = "span 7"
	paths := span.NewPaths()
	if err := w.shard.Paths(context.Background(), q, paths); err != nil || paths.Len() != 1 {
		t.Errorf("%d paths, %v", paths.Len(), err)
	}
}
