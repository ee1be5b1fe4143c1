package engine_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// TestFewRowsAreFoundByTheirValues: operations with few and with many of a row group's spans, and tags
// whose values stand with the rows as numbers, as texts that repeat and that do not, twice in a span, or
// with some spans only, in an event too, are found as the model finds them, and no row is read for
// those that stand once.
func TestFewRowsAreFoundByTheirValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 2)
	w.options.MemtableBytesMax = 1 << 30
	w.mustOpen()
	w.flushServed(fewLoad())
	if err := w.shard.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.eachSegment(func(s *segment.Segment) {
		templates, err := s.Templates(span.SpanLevel)
		if err != nil || len(templates.Own) < 3 {
			t.Errorf("values of columns %v stand with rows: %v", slices.Collect(maps.Keys(templates.Own)), err)
		}
	})
	tags := [][]span.Tag{
		nil,
		{{Key: "status", Value: "7"}}, {{Key: "status", Value: "1000"}}, {{Key: "route", Value: "route 3"}}, {{Key: "route", Value: "nowhere"}},
		{{Key: "order", Value: "order 2960"}}, {{Key: "order", Value: "order 4961"}}, {{Key: "order", Value: "order 4004"}}, {{Key: "twice", Value: "last 5"}}, {{Key: "twice", Value: "first 5"}},
		{{Key: "late", Value: "1"}}, {{Key: "status", Value: "7"}, {Key: "route", Value: "route 7"}},
		{{Key: "status", Value: "7"}, {Key: "error", Value: "true"}}, {{Key: "route", Value: "route 3"}, {Key: "late", Value: "1"}},
	}
	for _, service := range []string{"", "a", "b"} {
		for _, operation := range []string{"", "often", "rare", "rarest"} {
			for _, some := range tags {
				for _, shortest := range []uint64{0, 300, 950} {
					w.wantServed(service, operation, some, shortest)
				}
			}
		}
	}
	q := span.AllTime()
	q.Service, q.Name, q.Tags, q.DurationMin, q.Explain = "a", "rare", []span.Tag{{Key: "status", Value: "10"}}, 900, new(span.Explain)
	found, err := w.shard.Find(context.Background(), q)
	if e := q.Explain.Explained(); err != nil || len(found) == 0 || e.RowsRead > 0 || e.RowsByTemplate < int64(len(found)) {
		t.Errorf("%d traces, %+v, %v", len(found), e, err)
	}
}

// fewLoad is a row group and a half of spans: of "rare" one in forty, of "rarest" three.
func fewLoad() (load []servedSpan) {
	text := func(number int, key, value string) []byte {
		return field(number, field(1, []byte(key)), field(2, field(1, []byte(value))))
	}
	for i := range 6000 {
		s := servedSpan{service: string(rune('a' + i%2)), pod: fmt.Sprint(i % 6), name: "often", kind: 2, failed: i%11 == 0}
		if i%40 < 2 {
			s.name = "rare"
		}
		if i%2000 == 7 {
			s.name = "rarest"
		}
		number := i / 40
		s.fields = slices.Concat(
			field(9, field(1, []byte("status")), field(2, varint(3, uint64(i*7919%90)))),
			text(9, "route", fmt.Sprint("route ", i*31%14)), text(9, "order", fmt.Sprint("order ", i)),
			text(9, "twice", fmt.Sprint("first ", i*13%17)), text(9, "twice", fmt.Sprint("last ", i*13%17)))
		if number%3 == 0 {
			s.fields = append(s.fields, field(9, field(1, []byte("late")), field(2, varint(3, uint64(i*3%7))))...)
		}
		if number%4 == 0 {
			s.fields = append(s.fields, field(11, field(2, []byte("e")), text(3, "route", fmt.Sprint("route ", number%5)))...)
		}
		load = append(load, s)
	}
	return load
}
