package engine_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// TestFiltersAreRightBeyondWhatAJudgeTellsApart: more classes of resources than it has, values
// longer than filters of columns know, more events than templates.
func TestFiltersAreRightBeyondWhatAJudgeTellsApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1)
	w.options.MemtableBytesMax = 256 << 20
	w.mustOpen()
	if err := w.append(enginetest.Crowded()); err != nil {
		t.Fatal(err)
	}
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	equal := func(left span.Operand, text string) span.Filter {
		return span.Comparison{Op: span.Equal, Left: left, Right: span.OfString(text)}
	}
	has := func(bit int) span.Filter {
		return span.Exists{Reference: span.Attribute{Level: span.ResourceLevel, Key: fmt.Sprint("bit ", bit)}}
	}
	some := func(part span.Filter) span.Filter { return span.Some{Level: span.EventLevel, Part: part} }
	long, short := span.Attribute{Level: span.SpanLevel, Key: "long"}, span.Attribute{Level: span.SpanLevel, Key: "short"}
	var bits []span.Filter
	for bit := range enginetest.CrowdedBits {
		bits = append(bits,
			span.And{Parts: []span.Filter{has(bit), span.Exists{Reference: span.SpanName}, equal(short, fmt.Sprint("v", bit*1000+450))}},
			span.And{Parts: []span.Filter{has(bit), span.Comparison{Op: span.Greater, Left: span.SpanDuration, Right: span.OfDuration(99_000 - int64(bit))}}})
	}
	exactly := func(resource int) span.Filter {
		var parts []span.Filter
		for bit := range enginetest.CrowdedBits {
			// Beside what is not of the resource, each bit is judged for itself.
			part := span.Filter(span.And{Parts: []span.Filter{has(bit), span.Exists{Reference: span.SpanName}}})
			if resource>>bit&1 == 0 {
				part = span.Not{Part: part}
			}
			parts = append(parts, part)
		}
		return span.And{Parts: parts}
	}
	for _, c := range []struct {
		filter span.Filter
		want   int // traces; below 0 where the model alone tells
	}{
		{equal(long, enginetest.CrowdedLong(77)), 1},
		{equal(long, enginetest.CrowdedLong(8877)), 1},
		{equal(long, enginetest.CrowdedLong(9000)), 0},
		{equal(short, "v8877"), 1},
		{equal(span.EventName, "event 8876"), 1},
		{equal(span.EventName, "event 3"), 1},
		{some(span.And{Parts: []span.Filter{equal(span.EventName, "event 8876"), equal(span.Attribute{Level: span.EventLevel, Key: "e"}, "0")}}), 1},
		{some(span.And{Parts: []span.Filter{equal(span.EventName, "event 8876"), equal(span.Attribute{Level: span.EventLevel, Key: "e"}, "1")}}), 0},
		{some(span.Not{Part: span.Regex{Reference: span.EventName, Pattern: "event [1-9]"}}), 1},
		{span.Or{Parts: bits}, -1},
		{span.Not{Part: span.Or{Parts: bits}}, -1},
		{exactly(0), 100},
		{exactly(63), 100},
		{exactly(64), 100},
		{span.And{Parts: []span.Filter{exactly(89), equal(short, "v8950")}}, 1},
		{span.And{Parts: []span.Filter{exactly(88), equal(short, "v8950")}}, 0},
		{span.Not{Part: exactly(77)}, 8900},
	} {
		q := span.AllTime()
		q.Limit, q.Filter = span.TracesFoundMax, c.filter
		found, err := w.shard.Find(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		if want := w.model.Find(q); !slices.Equal(found, want) || c.want >= 0 && len(want) != c.want {
			t.Errorf("%.100v: %d found, want %d", c.filter, len(found), len(want))
		}
	}
}
