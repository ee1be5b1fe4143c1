package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/engine/span"
)

// hostile is a span with 1,200 events and a text of 32 KiB.
func hostile(t *testing.T) []byte {
	t.Helper()
	text := func(k, v string) *commonv1.KeyValue {
		return &commonv1.KeyValue{Key: k, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: v}}}
	}
	s := &tracev1.Span{
		TraceId: []byte("sixteen bytes id"), SpanId: []byte("eight by"), Name: "x",
		StartTimeUnixNano: 1_767_225_600_000_000_000, EndTimeUnixNano: 1_767_225_600_000_000_500,
		Attributes: []*commonv1.KeyValue{text("text", strings.Repeat("a", 1<<15))},
	}
	for i := range 1_200 {
		s.Events = append(s.Events, &tracev1.Span_Event{Name: "e", Attributes: []*commonv1.KeyValue{text("a", fmt.Sprint("a", i)), text("b", fmt.Sprint("b", i))}})
		s.Links = append(s.Links, &tracev1.Span_Link{TraceId: s.TraceId, SpanId: s.SpanId, Attributes: []*commonv1.KeyValue{text("a", fmt.Sprint("c", i))}})
	}
	request, err := proto.Marshal(&tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{{
		Resource:   &resourcev1.Resource{Attributes: []*commonv1.KeyValue{text("service.name", "s")}},
		ScopeSpans: []*tracev1.ScopeSpans{{Spans: []*tracev1.Span{s}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// hostileFilters take long on that one row, each in another way, and hold on nothing.
func hostileFilters() map[string]span.Filter {
	a, b := span.Attribute{Level: span.EventLevel, Key: "a"}, span.Attribute{Level: span.EventLevel, Key: "b"}
	text := span.Attribute{Key: "text", Unqualified: true}
	var patterns, orders []span.Filter
	for i := range 5 {
		patterns = append(patterns, span.Regex{Reference: text, Pattern: fmt.Sprintf("(a?){400}%db", i)})
	}
	for i := range 400 {
		orders = append(orders, span.Comparison{Op: span.Less, Left: b, Right: span.OfString(fmt.Sprint("a", i))})
	}
	return map[string]span.Filter{
		"pairs":         span.Comparison{Op: span.Equal, Left: a, Right: b},
		"pairs, orders": span.Comparison{Op: span.Greater, Left: a, Right: b},
		"some in some": span.Some{Level: span.EventLevel, Part: span.Some{Level: span.LinkLevel, Part: span.Comparison{
			Op: span.Equal, Left: span.Attribute{Level: span.LinkLevel, Key: "a"}, Right: b}}},
		"patterns": span.Or{Parts: patterns},
		"leaves":   span.Or{Parts: orders},
	}
}

// TestAFilterEndsWithItsQuestion, wherever in a row it is: every question about one row looks
// at its context often, ends with its error, and says the truth when nobody ends it.
func TestAFilterEndsWithItsQuestion(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: filters that take as long as filters may")
	}
	w := newWorld(t, 1, 1)
	w.mustOpen()
	w.apply(hostile(t))
	var key span.SpanKey
	err := w.shard.Spans(context.Background(), span.AllTime(), func(row span.Row) error {
		key = span.KeyOf(row)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"memtable", "segment"} {
		for name, filter := range hostileFilters() {
			t.Run(state+", "+name, func(t *testing.T) {
				q := span.Query{StartMax: math.MaxUint64, Filter: filter, Limit: 1}
				asks := map[string]func(ctx context.Context) error{
					"find": func(ctx context.Context) error { _, err := w.shard.Find(ctx, q); return err },
					"spans at": func(ctx context.Context) error {
						_, _, err := w.shard.SpansAt(ctx, span.SpanQuery{Query: q}, []span.SpanKey{key}, 1<<20)
						return err
					},
					"spans": func(ctx context.Context) error {
						return w.shard.Spans(ctx, q, func(row span.Row) error { return nil })
					},
				}
				for what, ask := range asks {
					left := 5 // some looks come before the row: at its group, at its source
					if err := ask(fading{context.Background(), &left}); !errors.Is(err, context.Canceled) {
						t.Errorf("%s ends with %v", what, err)
					}
				}
				found, err := w.shard.Find(context.Background(), q)
				if err != nil || len(found) != 0 {
					t.Errorf("%d traces, %v", len(found), err)
				}
			})
		}
		if err := w.shard.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLongTextsMatchAsShortOnesDo: a long text is matched as a stream, by the same pattern.
func TestLongTextsMatchAsShortOnesDo(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: patterns that take as long as patterns may")
	}
	w := newWorld(t, 1, 1)
	w.mustOpen()
	w.apply(hostile(t))
	text := span.Attribute{Level: span.SpanLevel, Key: "text"}
	for _, state := range []string{"memtable", "segment"} {
		for pattern, want := range map[string]int{
			"(a?){400}b": 0, "(a|b){300}(a?){300}": 1, "(aa|c){300}.{99}": 1, "(a{30}){30}[^a]": 0, `(\pL){200}\pN|(a?){200}aa`: 1,
		} {
			if work := span.PatternSteps(pattern) << 15; work <= 1<<21 {
				t.Errorf("%s takes %d steps: not matched as a stream", pattern, work)
			}
			found, err := w.shard.Find(context.Background(), span.Query{StartMax: math.MaxUint64, Filter: span.Regex{Reference: text, Pattern: pattern}})
			if err != nil || len(found) != want {
				t.Errorf("%s, %s: %d traces, %v; want %d", state, pattern, len(found), err, want)
			}
		}
		if err := w.shard.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFiltersOfTooMuchAreRefused: all lists of one, all patterns of one.
func TestFiltersOfTooMuchAreRefused(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.mustOpen()
	key := span.Attribute{Key: "k", Unqualified: true}
	list := func(n int) span.Filter {
		values := make([]span.Constant, n)
		for i := range values {
			values[i] = span.Untyped(fmt.Sprint(i))
		}
		return span.In{Reference: key, Values: values}
	}
	pattern := span.Regex{Reference: key, Pattern: "(ab){600}"}
	for name, c := range map[string]struct {
		filter span.Filter
		ok     bool
	}{
		"a long list":           {list(span.ConstantsMax), true},
		"a longer list":         {list(span.ConstantsMax + 1), false},
		"two lists":             {span.Or{Parts: []span.Filter{list(1), span.Not{Part: list(span.ConstantsMax)}}}, false},
		"patterns":              {span.And{Parts: []span.Filter{pattern, pattern}}, true},
		"patterns of 20,000":    {span.Some{Level: span.EventLevel, Part: span.And{Parts: []span.Filter{pattern, pattern, pattern, pattern, pattern, pattern, pattern}}}, false},
		"a not in of long list": {span.NotIn{Reference: key, Values: list(span.ConstantsMax + 1).(span.In).Values}, false},
	} {
		_, err := w.shard.Find(context.Background(), span.Query{StartMax: math.MaxUint64, Filter: c.filter})
		if c.ok != (err == nil) || err != nil && !errors.Is(err, span.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
