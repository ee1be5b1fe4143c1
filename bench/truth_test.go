package bench_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// truthOf is the truth over requests.
func truthOf(t testing.TB, tags []span.Tag, requests [][]byte) *bench.Truth {
	t.Helper()
	truth, err := bench.NewTruth(tags)
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range requests {
		if err := truth.Add(request); err != nil {
			t.Fatal(err)
		}
	}
	return truth
}

// TestTruthOfTwoTracesByHand: the test's own two traces, of which everything is known.
func TestTruthOfTwoTracesByHand(t *testing.T) {
	failed, order, service := span.Tag{Key: "error", Value: "true"}, span.Tag{Key: "order", Value: "1"}, span.Tag{Key: "service.name", Value: "till"}
	truth := truthOf(t, []span.Tag{failed, order, service}, [][]byte{encoded(t, small())})
	one, two := span.TraceID(traceOf(1)), span.TraceID(traceOf(2))
	all := span.AllTime()
	ask := func(change func(q *span.Query)) []span.Found {
		t.Helper()
		q := all
		change(&q)
		found, err := truth.Find(q)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for what, c := range map[string]struct {
		got, want []span.Found
	}{
		"newest first":   {ask(func(*span.Query) {}), []span.Found{{TraceID: two, Start: begin + 4*second}, {TraceID: one, Start: begin + 3*second}}},
		"exact limit":    {ask(func(q *span.Query) { q.Limit = 1 }), []span.Found{{TraceID: two, Start: begin + 4*second}}},
		"by service":     {ask(func(q *span.Query) { q.Service = "shop" }), []span.Found{{TraceID: two, Start: begin + 2*second}, {TraceID: one, Start: begin + second}}},
		"no service":     {ask(func(q *span.Query) { q.Service = "none" }), nil},
		"no name":        {ask(func(q *span.Query) { q.Name = "none" }), nil},
		"errors":         {ask(func(q *span.Query) { q.Tags = []span.Tag{failed} }), []span.Found{{TraceID: two, Start: begin + 4*second}}},
		"tag":            {ask(func(q *span.Query) { q.Tags = []span.Tag{order} }), []span.Found{{TraceID: one, Start: begin + 3*second}}},
		"tag of above":   {ask(func(q *span.Query) { q.Tags = []span.Tag{order, service} }), []span.Found{{TraceID: one, Start: begin + 2*second}}},
		"both never":     {ask(func(q *span.Query) { q.Tags = []span.Tag{order, failed} }), []span.Found{}},
		"long enough":    {ask(func(q *span.Query) { q.DurationMin, q.Limit = second, 1 }), []span.Found{{TraceID: two, Start: begin + 4*second}}},
		"too long":       {ask(func(q *span.Query) { q.DurationMin = second + 1 }), []span.Found{}},
		"short enough":   {ask(func(q *span.Query) { q.DurationMax = second - 1 }), []span.Found{}},
		"a closed range": {ask(func(q *span.Query) { q.StartMin, q.StartMax = begin+second, begin+second }), []span.Found{{TraceID: one, Start: begin + second}}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %v, not %v", what, c.got, c.want)
		}
	}
	want := span.Summary{
		TraceID: two, RootService: "shop", RootName: "work", HasRoot: true, Start: begin + 2*second, End: begin + 5*second, Spans: 3, Errors: 3,
		Services: []span.ServiceCount{{Service: "bank", Spans: 1, Errors: 1}, {Service: "shop", Spans: 1, Errors: 1}, {Service: "till", Spans: 1, Errors: 1}},
	}
	if got := truth.Summary(two); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("summary %+v, not %+v", got, want)
	}
	if got := truth.Largest(1); !slices.Equal(got, []span.TraceID{one}) {
		t.Errorf("largest: %v", got)
	}
	if _, ok := truth.Trace(span.TraceID{9}); ok {
		t.Error("a trace that was never sent")
	}
	if _, err := truth.Find(span.Query{Tags: []span.Tag{{Key: "order", Value: "3"}}}); err == nil {
		t.Error("a tag that the truth was not told of is answered")
	}
	if _, err := bench.NewTruth(make([]span.Tag, 65)); err == nil {
		t.Error("more tags than bits")
	}
}

// TestTruthAgreesWithTheStore on real traces, amplified: two ways to the same answers, so
// that a difference in a benchmark is news of the one or the other.
func TestTruthAgreesWithTheStore(t *testing.T) {
	requests := hold(t, bench.Requests(recorded(t, "Zipkin")...))
	hotrod := hold(t, bench.Requests(recorded(t, "HotROD")...))
	rare, err := bench.RareTags(hotrod[:200], "param.driverID", 3, 10)
	if err != nil || len(rare) != 10 {
		t.Fatalf("%d rare tags, %v", len(rare), err)
	}
	tags := append([]span.Tag{{Key: "error", Value: "true"}, {Key: "http.response.status_code", Value: "500"}, {Key: "zipkin.shared", Value: "true"}}, rare...)
	sent := amplify(t, bench.Amplification{Times: 2, Seed: 8}, append(hotrod[:200:200], requests...)...)
	truth := truthOf(t, tags, sent)
	ctx := context.Background()
	store, err := cluster.Open(ctx, cluster.Options{FS: vfs.NewCrash(1), Now: time.Now, Log: wal.Options{FileBytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close(ctx) }() // nothing of it is kept
	for _, request := range sent {
		if _, err := store.Write(ctx, request); err != nil {
			t.Fatal(err)
		}
	}
	picks := bench.NewPicks(truth, 1)
	queries := append(picks.Windows(20, time.Second, 20), picks.Slow(50, 0.1, 20)...)
	queries = append(queries, bench.Tagged("", tags, 20)...)
	queries = append(queries, madeOfSpans(t, truth, picks, tags)...)
	queries = append(queries, span.Query{StartMax: math.MaxUint64, Limit: 10_000})
	for _, q := range queries {
		want, err := truth.Find(q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := store.Find(ctx, q)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v: %d traces, not %d, %v", q, len(got), len(want), err)
		}
		summaries, err := store.Summaries(ctx, q)
		if err != nil || len(summaries) != len(want) {
			t.Fatalf("%+v: %d summaries, %v", q, len(summaries), err)
		}
		for i := range want {
			if right := truth.Summary(want[i].TraceID); fmt.Sprint(summaries[i]) != fmt.Sprint(right) {
				t.Errorf("summary %+v, not %+v", summaries[i], right)
			}
		}
	}
	edges, err := store.Edges(ctx, 0, math.MaxInt64)
	edges = slices.DeleteFunc(edges, func(e span.Edge) bool { return e.Parent == e.Child })
	if want := truth.Edges(); err != nil || len(want) < 10 || !slices.Equal(edges, want) {
		t.Errorf("edges %v, not %v, %v", edges, want, err)
	}
	for _, id := range truth.TraceIDs() {
		var traces []bench.Trace
		err := store.Get(ctx, id, func(chunk span.Chunk) (err error) {
			traces, err = bench.AppendTraces(traces, chunk.Bytes)
			return err
		})
		if want, _ := truth.Trace(id); err != nil || !slices.Equal(traces, []bench.Trace{want}) {
			t.Errorf("trace %v: %+v, not %+v, %v", id, traces, want, err)
		}
	}
	compareNames(t, truth, store)
}

// madeOfSpans are searches that find at least the span that they were made of.
func madeOfSpans(t *testing.T, truth *bench.Truth, picks *bench.Picks, tags []span.Tag) []span.Query {
	t.Helper()
	queries := slices.Concat(picks.Owned(tags, 20), picks.Narrow(20, tags[1], 20), picks.Failures(20, tags[0], time.Second, 20))
	if len(queries) < len(tags)+20 {
		t.Errorf("%d searches of three kinds", len(queries))
	}
	for _, q := range queries {
		if found, err := truth.Find(q); err != nil || len(found) == 0 {
			t.Errorf("%+v was made of a span, and finds %d, %v", q, len(found), err)
		}
	}
	return queries
}

// TestEdgesOfSharedIDsByHand: of an id that a CLIENT and a SERVER share, the SERVER half
// was called by the CLIENT half, and a child of the id by the SERVER half.
func TestEdgesOfSharedIDsByHand(t *testing.T) {
	data := &tracev1.TracesData{}
	for i, s := range []struct {
		service    string
		id, parent int
		kind       tracev1.Span_SpanKind
	}{
		{"front", 1, 0, tracev1.Span_SPAN_KIND_SERVER}, {"proxy", 2, 1, tracev1.Span_SPAN_KIND_CLIENT}, {"back", 2, 1, tracev1.Span_SPAN_KIND_SERVER},
		{"store", 3, 2, tracev1.Span_SPAN_KIND_INTERNAL}, {"store", 4, 3, tracev1.Span_SPAN_KIND_INTERNAL}, {"lost", 5, 9, tracev1.Span_SPAN_KIND_SERVER},
	} {
		one := &tracev1.Span{
			TraceId: traceOf(1), SpanId: spanOf(s.id), Kind: s.kind, Name: s.service,
			StartTimeUnixNano: begin + uint64(i), EndTimeUnixNano: begin + second,
		}
		if s.parent != 0 {
			one.ParentSpanId = spanOf(s.parent)
		}
		service := &commonv1.KeyValue{Key: "service.name", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: s.service}}}
		data.ResourceSpans = append(data.ResourceSpans, &tracev1.ResourceSpans{
			Resource:   &resourcev1.Resource{Attributes: []*commonv1.KeyValue{service}},
			ScopeSpans: []*tracev1.ScopeSpans{{Spans: []*tracev1.Span{one}}},
		})
	}
	want := []span.Edge{{Parent: "back", Child: "store", Calls: 1}, {Parent: "front", Child: "proxy", Calls: 1}, {Parent: "proxy", Child: "back", Calls: 1}}
	if got := truthOf(t, nil, [][]byte{encoded(t, data)}).Edges(); !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}

func compareNames(t *testing.T, truth *bench.Truth, store *cluster.Store) {
	t.Helper()
	services, err := store.Services(context.Background())
	if err != nil || !slices.Equal(services, truth.Services()) {
		t.Errorf("services: %q, not %q, %v", services, truth.Services(), err)
	}
	for _, service := range services {
		if service == "" {
			continue // that asks for the operations of all
		}
		operations, err := store.Operations(context.Background(), service)
		if err != nil || len(operations) != len(truth.Operations(service)) {
			t.Errorf("operations of %s: %v, not %v, %v", service, operations, truth.Operations(service), err)
		}
	}
}

// TestWrongAnswersAreCounted: every class finds the real binary right where the truth is
// that of what was sent, and wrong where one request more or less was, or one span is
// another.
func TestWrongAnswersAreCounted(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: builds and runs the real binary")
	}
	ctx := context.Background()
	server, err := bench.StartServer(ctx, binary(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	sent := amplify(t, bench.Amplification{Times: 2, Seed: 8, Gap: time.Minute}, encoded(t, small()))
	more := amplify(t, bench.Amplification{Times: 3, Seed: 8, Gap: time.Minute}, encoded(t, small()))
	other := small()
	spansIn(other)[3].EndTimeUnixNano++ // the newest trace's second span
	spansIn(other)[3].Name = "rest"
	other.ResourceSpans[0].Resource.Attributes[0].Value = other.ResourceSpans[1].Resource.Attributes[0].Value
	if _, err := bench.Load(ctx, server.Storage, 1, bench.Held(sent)); err != nil {
		t.Fatal(err)
	}
	for name, truth := range map[string]*bench.Truth{
		"as sent":       truthOf(t, handTags, sent),
		"one less":      truthOf(t, handTags, sent[:1]),
		"one more":      truthOf(t, handTags, more),
		"other content": truthOf(t, handTags, amplify(t, bench.Amplification{Times: 2, Seed: 8, Gap: time.Minute}, encoded(t, other))),
	} {
		for _, class := range handClasses(t, truth) {
			alone, err := bench.Measure(ctx, server.Storage, class, 5)
			if err != nil {
				t.Fatal(err)
			}
			together, err := bench.Measuring{Address: server.Storage, Clients: 3, Questions: 10, Warm: 2}.Class(ctx, class)
			if err != nil {
				t.Fatal(err)
			}
			if alone.Asked != bench.WarmQuestions+5 || together.Asked != 3*2+10 {
				t.Errorf("%s: %d questions asked, not 15, and %d, not 16", class.Name, alone.Asked, together.Asked)
			}
			if len(alone.Times) < 5-alone.Wrong || len(alone.Times) > min(5, 15-alone.Wrong) || len(together.Times) < 10-together.Wrong || len(together.Times) > min(10, 16-together.Wrong) {
				t.Errorf("%s: %d times of 5 questions, %d of 10, where %d and %d are wrong", class.Name, len(alone.Times), len(together.Times), alone.Wrong, together.Wrong)
			}
			if (alone.Wrong == 0) != (together.Wrong == 0) {
				t.Errorf("%s: %d wrong for one client, %d for three", class.Name, alone.Wrong, together.Wrong)
			}
			measured := alone
			right := name == "as sent" || strings.HasPrefix(class.Name, "absent") || name != "other content" && class.Name == "names"
			if right != (measured.Wrong == 0) || right != (measured.FirstWrong == nil) {
				t.Errorf("%s, truth %s: %d wrong, %v", class.Name, name, measured.Wrong, measured.FirstWrong)
			}
		}
	}
}

var handTags = []span.Tag{{Key: "order", Value: "2"}}

// handClasses are one class of each kind; those called names depend on names alone.
func handClasses(t *testing.T, truth *bench.Truth) []bench.Class {
	t.Helper()
	all := truth.TraceIDs()
	get, err1 := bench.TruthGet("get", truth, append(all, idsOfCopies(t)...))
	absent, err2 := bench.TruthGet("absent", truth, bench.NewPicks(truth, 1).Absent(5))
	find, err3 := bench.TruthFind("find", truth, bench.Tagged("", handTags, 20))
	summaries, err4 := bench.TruthSummaries("summaries", truth, bench.Tagged("", handTags, 20))
	findAny, err5 := bench.TruthFindAny("find any", truth, bench.Tagged("", handTags, 20))
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return []bench.Class{get, absent, find, findAny, summaries, bench.TruthServices("names", truth), bench.TruthOperations("names", truth), bench.TruthGraph("graph", truth)}
}

// idsOfCopies are the trace ids of three copies, whatever a truth knows of them.
func idsOfCopies(t *testing.T) (ids []span.TraceID) {
	t.Helper()
	for _, request := range amplify(t, bench.Amplification{Times: 3, Seed: 8, Gap: time.Minute}, encoded(t, small())) {
		for _, s := range spansIn(decoded(t, request))[:2] {
			ids = append(ids, span.TraceID(s.TraceId))
		}
	}
	return ids
}

// TestAClassWithoutAnswersIsRefused: it would measure less than its name says.
func TestAClassWithoutAnswersIsRefused(t *testing.T) {
	truth := truthOf(t, handTags, [][]byte{encoded(t, small())})
	if _, err := bench.TruthFind("empty", truth, []span.Query{{Service: "none", StartMax: math.MaxUint64}}); err == nil {
		t.Error("a search that nothing answers")
	}
	if _, err := bench.TruthSummaries("empty", truth, nil); err == nil {
		t.Error("no searches")
	}
	if _, err := bench.TruthGet("empty", truth, nil); err == nil {
		t.Error("no ids")
	}
	if err := truth.Add(bytes.Repeat([]byte{0xff}, 20)); err == nil {
		t.Error("a request that is none")
	}
}

// TestRareTagsAreRare, and stand where they were looked for.
func TestRareTagsAreRare(t *testing.T) {
	request := encoded(t, small())
	tags, err := bench.RareTags([][]byte{request}, "order", 1, 5)
	if want := []span.Tag{{Key: "order", Value: "1"}, {Key: "order", Value: "2"}}; err != nil || !slices.Equal(tags, want) {
		t.Errorf("%v, %v", tags, err)
	}
	if tags, err = bench.RareTags([][]byte{request}, "order", 0, 5); err != nil || tags != nil {
		t.Errorf("in no trace: %v, %v", tags, err)
	}
}
