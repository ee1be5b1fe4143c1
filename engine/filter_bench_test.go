package engine_test

import (
	"context"
	"testing"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// filterQueries are questions over the HotROD spans; the first asks by filter what the
// legacy search beside it asks by tag.
func filterQueries() []struct {
	name string
	q    span.Query
} {
	attr := func(key string) span.Attribute { return span.Attribute{Unqualified: true, Key: key} }
	service := span.Comparison{Op: span.Equal, Left: span.ResourceService, Right: span.OfString("frontend")}
	all := func(filter span.Filter) span.Query {
		return span.Query{StartMax: 1<<64 - 1, Limit: span.TracesFoundMax, Filter: filter}
	}
	legacy := all(nil)
	legacy.Service, legacy.Tags = "frontend", []span.Tag{{Key: "http.response.status_code", Value: "200"}}
	return []struct {
		name string
		q    span.Query
	}{
		{"legacy", legacy},
		{"equal", all(span.And{Parts: []span.Filter{service, span.Comparison{Op: span.Equal, Left: attr("http.response.status_code"), Right: span.Untyped("200")}}})},
		{"slow", all(span.Or{Parts: []span.Filter{
			span.Comparison{Op: span.Greater, Left: span.SpanDuration, Right: span.OfDuration(100_000_000)},
			span.Comparison{Op: span.Equal, Left: span.SpanStatus, Right: span.OfString("error")},
		}})},
		{"service", all(service)},
		{"some", all(span.Some{Level: span.EventLevel, Part: span.And{Parts: []span.Filter{
			span.Comparison{Op: span.Greater, Left: span.EventTimeSinceStart, Right: span.OfDuration(1_000_000)},
			span.Comparison{Op: span.Equal, Left: span.Attribute{Level: span.EventLevel, Key: "level"}, Right: span.Untyped("error")},
		}}})},
		{"regex", all(span.Regex{Reference: attr("url.full"), Pattern: "customer=(123|567)"})},
		{"phrase", all(span.Phrase{Attribute: span.Attribute{Level: span.EventLevel, Key: "message"}, Words: []string{"redis", "timeout"}})},
	}
}

// BenchmarkFilters asks one segment; spans/op is what it holds.
func BenchmarkFilters(b *testing.B) {
	s, spans := loaded(b, realParts(b, hotrod), engine.Options{ManualCompaction: true})
	if err := s.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	if err := s.Compact(context.Background()); err != nil {
		b.Fatal(err)
	}
	for _, c := range filterQueries() {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			found := 0
			for b.Loop() {
				list, err := s.Find(context.Background(), c.q)
				if err != nil {
					b.Fatal(err)
				}
				found = len(list)
			}
			b.ReportMetric(float64(found), "traces")
			b.ReportMetric(float64(spans), "spans/op")
		})
	}
}

// BenchmarkFilterRows asks a memtable, where nothing is read or decoded, and the slow
// evaluator beside it.
func BenchmarkFilterRows(b *testing.B) {
	parts := realParts(b, hotrod)
	s, spans := loaded(b, parts, engine.Options{MemtableBytesMax: 1 << 40, ManualCompaction: true})
	for _, c := range filterQueries()[1:] {
		b.Run("compiled/"+c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Find(context.Background(), c.q); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*spans), "ns/span")
		})
		b.Run("rules/"+c.name, func(b *testing.B) {
			for b.Loop() {
				for _, part := range parts {
					for pos := range part.Batch.Len() {
						enginetest.Holds(c.q.Filter, span.Row{Batch: part.Batch, Pos: pos})
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*spans), "ns/span")
		})
	}
}
