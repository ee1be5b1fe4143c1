package engine_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// asFilter spells a query by a filter alone.
func asFilter(q span.Query) span.Filter {
	var parts []span.Filter
	if q.Service != "" {
		parts = append(parts, span.Comparison{Op: span.Equal, Left: span.ResourceService, Right: span.OfString(q.Service)})
	}
	if q.Name != "" {
		parts = append(parts, span.Comparison{Op: span.Equal, Left: span.OfString(q.Name), Right: span.SpanName})
	}
	for _, tag := range q.Tags {
		parts = append(parts, tag)
	}
	parts = append(parts, span.Comparison{Op: span.GreaterOrEqual, Left: span.SpanDuration, Right: span.OfDuration(int64(q.DurationMin))})
	if q.DurationMax != 0 {
		parts = append(parts, span.Comparison{Op: span.LessOrEqual, Left: span.SpanDuration, Right: span.OfDuration(int64(q.DurationMax))})
	}
	if q.Filter != nil {
		parts = append(parts, q.Filter)
	}
	return span.And{Parts: parts}
}

// TestTagsInAFilterMeanWhatTheyMeanBesideOne: a query without a filter and its spelling as one
// find the same, whether what the query can ask itself is lifted out of the filter or stands
// where it cannot be.
func TestTagsInAFilterMeanWhatTheyMeanBesideOne(t *testing.T) {
	t.Parallel()
	never := span.Exists{Reference: span.Attribute{Level: span.LinkLevel, Key: "never there"}}
	found := 0
	for seed := range uint64(seeds(t, 20)) {
		w := newWorld(t, seed, 2+int(seed%9))
		w.mustOpen()
		if err := w.append(w.deliveries(w.gen.Spans(60))...); err != nil {
			t.Fatal(err)
		}
		for _, reach := range []func() error{
			func() error { return nil },
			func() error { return w.shard.Flush(context.Background()) },
			func() error { return w.shard.Compact(context.Background()) },
		} {
			if err := reach(); err != nil {
				t.Fatal(err)
			}
			for range 60 {
				q := w.gen.Query(w.model)
				if int64(q.DurationMin) < 0 || int64(q.DurationMax) < 0 {
					continue // no filter can say it, and no span lasts so long
				}
				want := w.model.Find(q)
				found += min(1, len(want))
				filter := asFilter(q)
				bare := span.Query{StartMin: q.StartMin, StartMax: q.StartMax, Limit: q.Limit, After: q.After}
				for _, spelled := range []span.Filter{
					filter,
					span.Or{Parts: []span.Filter{never, filter}},
					span.Not{Part: span.Not{Part: filter}},
				} {
					bare.Filter = spelled
					got, err := w.shard.Find(context.Background(), bare)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
						t.Fatalf("%+v\nas %v (-want +got):\n%s", q, spelled, diff)
					}
				}
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d queries found anything", found)
	}
}

// spellings are questions over the recordings: by the fields of a query, in the plain form, and
// as expressions that say the same.
var spellings = []struct {
	q     span.Query
	texts []string
}{
	{span.Query{Service: "frontend", Tags: []span.Tag{{Key: "http.response.status_code", Value: "200"}}}, []string{
		"service=frontend http.response.status_code=200", "service = frontend and http.response.status_code = 200",
		"not (service != frontend or not http.response.status_code=200)", `( and(eq(resource.service, "frontend"), tag("http.response.status_code", "200")) )`,
	}},
	{span.Query{Tags: []span.Tag{{Key: "error", Value: "true"}}}, []string{"error=true", "error = true", "not not error=true", "(error=true or error in (true))"}},
	{span.Query{Tags: []span.Tag{{Key: "error", Value: "false"}, {Key: "span.kind", Value: "Server"}}}, []string{
		"error=false span.kind=Server", `error=false and "span.kind" = SERVER`, `not(not error=false or not "span.kind"=server)`,
	}},
	{span.Query{Name: "HTTP GET /route", DurationMin: 50_000_000, DurationMax: 900_000_000}, []string{
		`name="HTTP GET /route" minDuration=50ms maxDuration=900ms`, `operation = "HTTP GET /route" and span.duration >= 50ms span.duration <= 0.9s`,
		`not (name != "HTTP GET /route" or span.duration < 50ms or span.duration > 900ms)`,
	}},
	{span.Query{Tags: []span.Tag{{Key: "level", Value: "error"}}}, []string{"level=error", "level = error", "level=error or level=error"}},
	{span.Query{Tags: []span.Tag{{Key: "resource.service.name", Value: "redis-manual"}}}, []string{
		"resource.service.name=redis-manual", `"resource.service.name" = redis-manual`, "resource.service.name = redis-manual",
	}},
	{span.Query{Service: "ts-order-service", Tags: []span.Tag{{Key: "event", Value: "log"}}}, []string{
		"service=ts-order-service event=log", "service=ts-order-service and event = log", `(resource.service = ts-order-service and not not some(event, event.name = log))`,
	}},
	{span.Query{Service: "ts-order-service", Tags: []span.Tag{{Key: "otel.status_code", Value: "error"}}}, []string{
		"service=ts-order-service otel.status_code=error", "(service=ts-order-service) otel.status_code = ERROR", "service in (ts-order-service) and span.status = error",
	}},
}

// TestSpellingsOfAQuestionFindTheSame over real traces, in memory, flushed and merged.
func TestSpellingsOfAQuestionFindTheSame(t *testing.T) {
	for _, file := range []string{hotrod, nezhaLogs, "zipkin-fixtures.otlp.zst"} {
		parts := realParts(t, file)
		if testing.Short() {
			parts = parts[:min(len(parts), 200)]
		}
		s, _ := loaded(t, parts, engine.Options{ManualCompaction: true, MemtableBytesMax: 1 << 30})
		found := 0
		for _, reach := range []func(context.Context) error{
			func(context.Context) error { return nil }, s.Flush, s.Compact,
		} {
			if err := reach(context.Background()); err != nil {
				t.Fatal(err)
			}
			for _, c := range spellings {
				for _, limit := range []int{20, span.TracesFoundMax} {
					c.q.StartMax, c.q.Limit = 1<<64-1, limit
					want, err := s.Find(context.Background(), c.q)
					if err != nil {
						t.Fatal(err)
					}
					found += len(want)
					for _, text := range c.texts {
						q, err := span.ParseQuery(text, time.Unix(0, 0))
						if err != nil {
							t.Fatalf("%s: %v", text, err)
						}
						q.Limit = limit
						if got, err := s.Find(context.Background(), q); err != nil || !slices.Equal(got, want) {
							t.Errorf("%s: %s finds %d traces, want %d, %v", file, text, len(got), len(want), err)
						}
					}
				}
			}
		}
		if found == 0 {
			t.Errorf("%s: nothing was found: the questions show nothing", file)
		}
	}
}

// TestADurationThatWrapsIsNone, also where a filter asks for it by the lengths that stand packed.
func TestADurationThatWrapsIsNone(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.mustOpen()
	w.apply(enginetest.Wrapping())
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	for op, want := range map[span.Comparator]uint64{span.Greater: 2, span.GreaterOrEqual: 2, span.Less: 1, span.LessOrEqual: 1} {
		longer := span.Comparison{Op: op, Left: span.SpanDuration, Right: span.OfDuration(500_000_000)}
		never := span.Exists{Reference: span.SpanParentSpanID}
		for _, filter := range []span.Filter{longer, span.Or{Parts: []span.Filter{never, longer}}, span.Not{Part: span.Not{Part: longer}}} {
			q := span.AllTime()
			q.Filter = filter
			found, err := w.shard.Find(context.Background(), q)
			if err != nil || len(found) != 1 || found[0].TraceID[15] != byte(want) {
				t.Errorf("%v: %v, %v, want trace %d", filter, found, err, want)
			}
		}
	}
}
