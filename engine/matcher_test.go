package engine_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// tagCases are tags asked of the span of enginetest.Telling.
var tagCases = []struct {
	key, value string
	holds      bool
}{
	{"http.status_code", "500", true},
	{"http.status_code", "0500", false},
	{"http.status_code", "500.0", false},
	{"twice", "last", true},
	{"twice", "first", false},
	{"ratio", "2.5", true},
	{"whole", "3", true},
	{"whole", "3.0", false},
	{"raw", "AQID", true},
	{"list", `[1,"a"]`, true},
	{"empty", "", true},
	{"missing", "", false},
	{"flag", "false", true},
	{"flag", "true", false},
	{"service.name", "shop", true},
	{"zone", "eu", true},
	{"resource.zone", "eu", true},
	{"resource.zone", "us", false},
	{"resource.http.status_code", "500", false},
	{"built", "true", true},
	{"exception.type", "Timeout", true},
	{"attempt", "2", true},
	{"why", "batch", true},
	{"event", "exception", true},
	{"event", "retry", true},
	{"event", "other", false},
	{"event", "", false},
	{"error", "true", true},
	{"error", "false", false},
	{"span.kind", "server", true},
	{"span.kind", "SERVER", true},
	{"span.kind", "client", false},
	{"span.status", "error", true},
	{"span.status", "ok", false},
	{"otel.status_code", "ERROR", true},
	{"otel.status_code", "UNSET", false},
	{"otel.status_description", "card refused", true},
	{"otel.status_description", "", false},
	{"w3c.tracestate", "vendor=1", true},
	{"otel.scope.name", "tracer", true},
	{"otel.scope.version", "1.2", true},
	{"scope.version", "1.2", true},
	{"scope.name", "tracer", true},
	{"scope.name", "a real attribute", true},
	{"scope.name", "other", false},
	{"Zone", "eu", false},
}

// TestTagsHoldAsJaegerSays: one span, every kind of tag, in memory and in a segment.
func TestTagsHoldAsJaegerSays(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.mustOpen()
	w.apply(enginetest.Telling())
	ask := func(tags ...span.Tag) bool {
		t.Helper()
		found, err := w.shard.Find(context.Background(), span.Query{StartMax: math.MaxUint64, Limit: 5, Tags: tags})
		if err != nil {
			t.Fatal(err)
		}
		return len(found) == 1
	}
	for _, state := range []string{"memtable", "segment"} {
		for _, c := range tagCases {
			t.Run(fmt.Sprintf("%s: %s=%s", state, c.key, c.value), func(t *testing.T) {
				if got := ask(span.Tag{Key: c.key, Value: c.value}); got != c.holds {
					t.Fatalf("holds: %v", got)
				}
				// Together with tags that hold on other levels of the same span.
				with := []span.Tag{{Key: "zone", Value: "eu"}, {Key: c.key, Value: c.value}, {Key: "attempt", Value: "2"}}
				if got := ask(with...); got != c.holds {
					t.Fatalf("holds among others: %v", got)
				}
			})
		}
		if err := w.shard.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRangesAreInclusive at both ends, of start and of duration.
func TestRangesAreInclusive(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.mustOpen()
	w.apply(enginetest.Telling())
	const start, duration = 1_767_225_600_000_000_000, 2_000_000
	cases := []struct {
		q     span.Query
		holds bool
	}{
		{span.Query{StartMin: start, StartMax: start}, true},
		{span.Query{StartMin: start + 1, StartMax: math.MaxUint64}, false},
		{span.Query{StartMax: start - 1}, false},
		{span.Query{StartMax: math.MaxUint64, DurationMin: duration, DurationMax: duration}, true},
		{span.Query{StartMax: math.MaxUint64, DurationMin: duration + 1}, false},
		{span.Query{StartMax: math.MaxUint64, DurationMax: duration - 1}, false},
		{span.Query{StartMax: math.MaxUint64, Service: "shop", Name: "buy"}, true},
		{span.Query{StartMax: math.MaxUint64, Service: "sho"}, false},
		{span.Query{StartMax: math.MaxUint64, Name: "buys"}, false},
	}
	for _, state := range []string{"memtable", "segment"} {
		for i, c := range cases {
			c.q.Limit = 1
			found, err := w.shard.Find(context.Background(), c.q)
			if err != nil || (len(found) == 1) != c.holds {
				t.Errorf("%s, case %d: found %v, %v", state, i, found, err)
			}
		}
		if err := w.shard.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAsManyTagsAsASearchMayHaveAllCount, the last one too.
func TestAsManyTagsAsASearchMayHaveAllCount(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.mustOpen()
	w.apply(enginetest.Telling())
	tags := make([]span.Tag, span.TagsMax)
	for i := range tags {
		tags[i] = span.Tag{Key: "zone", Value: "eu"}
	}
	q := span.Query{StartMax: math.MaxUint64, Limit: 5, Tags: tags}
	if found, err := w.shard.Find(context.Background(), q); err != nil || len(found) != 1 {
		t.Errorf("%d traces, %v", len(found), err)
	}
	tags[len(tags)-1].Value = "us"
	if found, err := w.shard.Find(context.Background(), q); err != nil || len(found) != 0 {
		t.Errorf("the last tag does not hold: %d traces, %v", len(found), err)
	}
}
