package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// TestFiltersAnswerAsTheRulesSay compares compiled filters with the slow evaluator, which
// shares no code with them, on random spans: in memory, flushed, and merged.
func TestFiltersAnswerAsTheRulesSay(t *testing.T) {
	t.Parallel()
	worlds, filters := seeds(t, 24), 300 // times three states: 21,600 cases
	matching := 0
	for seed := range uint64(worlds) {
		w := newWorld(t, seed, 2+int(seed%9))
		w.mustOpen()
		states := []struct {
			name  string
			reach func() error
		}{
			{"memtable", func() error { return w.append(w.deliveries(w.gen.Spans(40))...) }},
			{"flushed", func() error {
				if err := w.append(w.deliveries(w.gen.Spans(20))...); err != nil {
					return err
				}
				return w.shard.Flush(context.Background())
			}},
			{"compacted", func() error { return w.shard.Compact(context.Background()) }},
		}
		for _, state := range states {
			if err := state.reach(); err != nil {
				t.Fatal(err)
			}
			for range filters {
				q := span.AllTime()
				q.Filter = w.gen.Filter(w.model)
				matching += min(1, w.checkSpans(q)) // a failure prints the filter
			}
		}
	}
	if all := worlds * filters * 3; matching < all/4 || matching > all*9/10 {
		t.Errorf("%d of %d filters match anything: the generator shows little", matching, all)
	}
}

// TestAnEngineRefusesWhatIsNoFilter, whoever made it: nothing panics, nothing is guessed.
func TestAnEngineRefusesWhatIsNoFilter(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.mustOpen()
	w.apply(enginetest.Telling())
	deep := span.Filter(span.Exists{Reference: span.SpanName})
	for range span.FilterDepthMax - 1 {
		deep = span.Not{Part: deep}
	}
	many := make([]span.Filter, span.FilterNodesMax)
	for i := range many {
		many[i] = span.Exists{Reference: span.Attribute{Key: fmt.Sprint(i)}}
	}
	ask := func(f span.Filter) error {
		_, err := w.shard.Find(context.Background(), span.Query{StartMax: math.MaxUint64, Filter: f})
		return err
	}
	for _, fine := range []span.Filter{deep, span.Or{Parts: many[1:]}} {
		if err := ask(fine); err != nil {
			t.Errorf("%.60s...: %v", fine, err)
		}
	}
	name := span.SpanName
	for i, bad := range []span.Filter{
		span.And{},
		span.Or{Parts: []span.Filter{nil, nil}},
		span.Not{},
		&span.Not{Part: span.Exists{Reference: name}},
		span.Not{Part: deep},
		span.Or{Parts: many},
		span.Some{Level: span.SpanLevel, Part: span.Exists{Reference: name}},
		span.Some{Level: span.EventLevel},
		span.Some{Level: span.EventLevel, Part: span.Some{Level: span.EventLevel, Part: span.Exists{Reference: name}}},
		span.Exists{},
		span.Exists{Reference: span.NoField},
		span.Exists{Reference: span.Field(200)},
		span.Exists{Reference: span.Attribute{Level: 9, Key: "k"}},
		span.Comparison{},
		span.Comparison{Op: 77, Left: name, Right: span.Untyped("")},
		span.Comparison{Op: span.Equal, Left: name},
		span.Comparison{Op: span.Equal, Left: name, Right: span.OfInt(1)},
		span.Comparison{Op: span.Equal, Left: name, Right: span.SpanDuration},
		span.Comparison{Op: span.Greater, Left: span.SpanDuration, Right: span.Untyped("2s")},
		span.Comparison{Op: span.Greater, Left: span.SpanKind, Right: span.OfString("server")},
		span.Comparison{Op: span.Less, Left: span.OfBool(true), Right: span.Attribute{Key: "k"}},
		span.Comparison{Op: span.Less, Left: span.Attribute{Key: "k"}, Right: span.SpanStatus},
		span.In{Reference: name},
		span.In{Reference: span.SpanStartTime, Values: []span.Constant{span.Untyped("x")}},
		span.NotIn{Values: []span.Constant{span.Untyped("x")}},
		span.Regex{Reference: span.SpanDuration, Pattern: "2"},
		span.Regex{Reference: name, Pattern: "("},
		span.Phrase{},
		span.FullText{Words: []string{"two words"}},
	} {
		if err := ask(bad); !errors.Is(err, span.ErrInvalid) {
			t.Errorf("%d, %v: error %v", i, bad, err)
		}
	}
}

// TestAFilterStandsBesideTheOtherConditions of a query, on the same span.
func TestAFilterStandsBesideTheOtherConditions(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.mustOpen()
	w.apply(enginetest.Telling())
	holds := span.Comparison{Op: span.GreaterOrEqual, Left: span.Attribute{Key: "http.status_code"}, Right: span.Untyped("500")}
	for _, state := range []string{"memtable", "segment"} {
		for _, c := range []struct {
			q    span.Query
			want int
		}{
			{span.Query{StartMax: math.MaxUint64, Service: "shop", Filter: holds}, 1},
			{span.Query{StartMax: math.MaxUint64, Service: "shops", Filter: holds}, 0},
			{span.Query{StartMax: math.MaxUint64, Service: "shop", Filter: span.Not{Part: holds}}, 0},
			{span.Query{StartMax: 5, Filter: holds}, 0},
			{span.Query{StartMax: math.MaxUint64, Tags: []span.Tag{{Key: "zone", Value: "us"}}, Filter: holds}, 0},
			{span.Query{StartMax: math.MaxUint64, Tags: []span.Tag{{Key: "zone", Value: "eu"}}, Name: "buy", Filter: holds}, 1},
		} {
			if found, err := w.shard.Find(context.Background(), c.q); err != nil || len(found) != c.want {
				t.Errorf("%s, %+v: %d found, %v", state, c.q, len(found), err)
			}
		}
		if err := w.shard.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTemplatesAnswerFilters: what a template, a resource, a row group or a column decides,
// either way, is answered without reading a row; what stands with the row alone is read.
func TestTemplatesAnswerFilters(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.mustOpen()
	for i := range 40 {
		if err := w.append(enginetest.NumberedAt(i, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.append(enginetest.Telling()); err != nil {
		t.Fatal(err)
	}
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	compare := func(op span.Comparator, left span.Operand, right span.Constant) span.Filter {
		return span.Comparison{Op: op, Left: left, Right: right}
	}
	status := span.Attribute{Unqualified: true, Key: "http.status_code"}
	never := compare(span.Equal, span.Attribute{Level: span.EventLevel, Key: "nothing"}, span.Untyped("x"))
	service := compare(span.Equal, span.ResourceService, span.OfString("shop"))
	for _, c := range []struct {
		what   string
		filter span.Filter
		reads  bool
	}{
		{"a resource", service, false},
		{"no resource", compare(span.Equal, span.ResourceService, span.OfString("nobody")), false},
		{"not a resource", span.Not{Part: service}, false},
		{"kind and status", span.Or{Parts: []span.Filter{
			compare(span.Equal, span.SpanKind, span.OfString("server")), compare(span.NotEqual, span.SpanStatus, span.OfString("error")),
		}}, false},
		{"an attribute", compare(span.GreaterOrEqual, status, span.Untyped("500")), false},
		{"a key", span.Exists{Reference: status}, false},
		{"no key", span.Exists{Reference: span.Attribute{Unqualified: true, Key: "nothing"}}, false},
		{"a name by pattern", span.Regex{Reference: span.SpanName, Pattern: "span [0-3]"}, false},
		{"a time", compare(span.Greater, span.SpanStartTime, span.OfInstant(0, 5)), false},
		{"a length", compare(span.LessOrEqual, span.SpanDuration, span.OfDuration(1)), false},
		{"not a length", span.Not{Part: compare(span.Greater, span.SpanDuration, span.OfDuration(1))}, false},
		{"no event", span.Some{Level: span.EventLevel, Part: never}, false},
		{"an id", compare(span.NotEqual, span.SpanSpanID, span.OfString("0000000000000001")), true},
		{"an id, where the resource fails", span.And{Parts: []span.Filter{
			compare(span.NotEqual, span.SpanSpanID, span.OfString("0000000000000001")), compare(span.Equal, span.ResourceService, span.OfString("nobody")),
		}}, false},
	} {
		explain := new(span.Explain)
		q := span.Query{StartMax: math.MaxUint64, Limit: 100, Filter: c.filter, Explain: explain}
		found, err := w.shard.Find(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w.model.Find(q), found); diff != "" && len(found) > 0 {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
		if read := explain.RowsRead.Load(); read > 0 != c.reads {
			t.Errorf("%s: %d rows read, %d decided before", c.what, read, explain.RowsByTemplate.Load())
		}
	}
}

// TestFiltersOnWhatStandsWithTheRow: on values that templates do not hold, of keys that come
// twice, and on keys beyond the columns.
func TestFiltersOnWhatStandsWithTheRow(t *testing.T) {
	const spans = 4800 // with a key each: more than a segment has columns
	w := newWorld(t, 1, 1)
	w.options.MemtableBytesMax = 64 << 20
	w.mustOpen()
	if err := w.append(enginetest.Varied(spans)); err != nil {
		t.Fatal(err)
	}
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	attr := func(key string) span.Reference { return span.Attribute{Unqualified: true, Key: key} }
	equal := func(key string, c span.Constant) span.Filter {
		return span.Comparison{Op: span.Equal, Left: attr(key), Right: c}
	}
	said := span.Attribute{Level: span.EventLevel, Key: "text"}
	many := make([]span.Constant, 40)
	for i := range many {
		many[i] = span.OfInt(int64(i) * 1000)
	}
	some := []span.Filter{
		equal("own", span.Untyped("value 0")), // stands there, and does not count
		equal("own", span.Untyped("value 1")),
		equal("own", span.OfString("value 4800")),
		equal("own", span.OfInt(3)),
		span.Not{Part: equal("own", span.Untyped("value 9"))},
		equal("number", span.Untyped("42")),
		equal("number", span.OfInt(4799)),
		equal("number", span.OfInt(4800)),
		equal("number", span.OfString("42")),
		span.Comparison{Op: span.NotEqual, Left: attr("number"), Right: span.OfInt(42)},
		span.In{Reference: attr("number"), Values: many},
		span.NotIn{Reference: attr("number"), Values: many[:3]},
		span.Comparison{Op: span.Less, Left: attr("number"), Right: span.Untyped("5.5")},
		span.Regex{Reference: attr("own"), Pattern: "lue 12.0"},
		span.Comparison{Op: span.Equal, Left: said, Right: span.Untyped("it was 17")},
		span.Some{Level: span.EventLevel, Part: span.Phrase{Attribute: said, Words: []string{"was", "18"}}},
		span.Comparison{Op: span.Greater, Left: span.SpanDuration, Right: span.OfDuration(2_000_000)},
	}
	for _, i := range []int{0, 17, 2000, 4500, spans - 1, spans} {
		key := fmt.Sprint("key ", i)
		some = append(some, span.Exists{Reference: attr(key)}, span.Not{Part: span.Exists{Reference: attr(key)}}, equal(key, span.Untyped("here")))
	}
	for _, filter := range some {
		q := span.AllTime()
		q.Limit, q.Filter = span.TracesFoundMax, filter
		found, err := w.shard.Find(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		if want := w.model.Find(q); !slices.Equal(found, want) {
			t.Errorf("%v: %d found, want %d", filter, len(found), len(want))
		}
		w.checkSpans(q)
	}
}

// TestColumnsAnswerFilters: what a filter asks of values that stand with the row, or with an
// event, is looked for in their columns. No row is read for it.
func TestColumnsAnswerFilters(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.options.MemtableBytesMax = 64 << 20
	w.mustOpen()
	if err := w.append(enginetest.Varied(400)); err != nil {
		t.Fatal(err)
	}
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	number := span.Attribute{Level: span.SpanLevel, Key: "number"}
	said := span.Attribute{Level: span.EventLevel, Key: "text"}
	many := make([]span.Constant, 40)
	for i := range many {
		many[i] = span.OfInt(int64(i) * 10)
	}
	for _, filter := range []span.Filter{
		span.Comparison{Op: span.Equal, Left: number, Right: span.OfInt(7)},
		span.Comparison{Op: span.Less, Left: number, Right: span.Untyped("5.5")},
		span.In{Reference: number, Values: many},
		span.NotIn{Reference: number, Values: many},
		span.Regex{Reference: said, Pattern: "was [0-9]7"},
		span.Phrase{Attribute: said, Words: []string{"was", "18"}},
		span.Not{Part: span.FullText{Attribute: said, Words: []string{"18", "it"}}},
		span.Some{Level: span.EventLevel, Part: span.And{Parts: []span.Filter{
			span.Phrase{Attribute: said, Words: []string{"it", "was"}},
			span.Comparison{Op: span.GreaterOrEqual, Left: span.EventTimeSinceStart, Right: span.OfDuration(0)},
		}}},
		span.Comparison{Op: span.Less, Left: span.EventTime, Right: span.OfInstant(0, 0)},
	} {
		q := span.AllTime()
		q.Limit, q.Filter, q.Explain = span.TracesFoundMax, filter, new(span.Explain)
		found, err := w.shard.Find(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		if want := w.model.Find(q); !slices.Equal(found, want) {
			t.Errorf("%v: %d found, want %d", filter, len(found), len(want))
		}
		if n := q.Explain.RowsRead.Load(); n > 0 {
			t.Errorf("%v: %d rows read, %d found", filter, n, len(found))
		}
	}
}

// fading is a context that is canceled after some looks at it.
type fading struct {
	context.Context
	left *int
}

func (f fading) Err() error {
	if *f.left == 0 {
		return context.Canceled
	}
	*f.left--
	return nil
}

// TestASearchThroughAColumnCanBeCanceled, not only between row groups: a pattern on long texts
// may take its time.
func TestASearchThroughAColumnCanBeCanceled(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.options.MemtableBytesMax = 64 << 20
	w.mustOpen()
	if err := w.append(enginetest.Varied(4000)); err != nil {
		t.Fatal(err)
	}
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	q := span.AllTime()
	q.Filter = span.Regex{Reference: span.Attribute{Level: span.EventLevel, Key: "text"}, Pattern: "was 1.7"}
	looks := 0
	for ; ; looks++ {
		left := looks
		found, err := w.shard.Find(fading{context.Background(), &left}, q)
		if err == nil {
			if len(found) == 0 {
				t.Error("nothing was found")
			}
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if looks < 10 {
		t.Errorf("4000 values are looked through with %d looks at the context", looks)
	}
}
