package engine_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/stoadb/stoa/bench/workload"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// BenchmarkGet answers whole traces of the made workload out of the segments that flushes left, where
// some are split, and out of a memtable.
func BenchmarkGet(b *testing.B) {
	c, err := workload.Preset("shop")
	if err != nil {
		b.Fatal(err)
	}
	c.Spans = 200_000
	var parts []otlp.Part
	for request, err := range workload.Requests(c) {
		if err != nil {
			b.Fatal(err)
		}
		cut, _, err := otlp.Cut(slices.Clone(request), 1, func(span.TraceID) int { return 0 })
		if err != nil {
			b.Fatal(err)
		}
		parts = append(parts, cut...)
	}
	ctx := context.Background()
	for _, state := range []string{"memtable", "segments", "kept"} {
		pages := segment.NewPages(96 << 20)
		if state != "kept" {
			pages.ForgetMade()
		}
		o := engine.Options{MemtableBytesMax: 1 << 40, ManualCompaction: true, Pages: pages}
		if state != "memtable" {
			o.MemtableBytesMax = 24 << 20
		}
		s, _ := loaded(b, parts, o)
		if state != "memtable" {
			if err := s.Flush(ctx); err != nil {
				b.Fatal(err)
			}
		}
		for _, q := range []struct {
			name  string
			query span.Query
		}{{"slow", span.Query{StartMax: math.MaxUint64, Limit: 40, DurationMin: 1e9}}, {"middle", span.Query{StartMax: math.MaxUint64, Limit: 100, DurationMin: 1e8}}, {"newest", span.Query{StartMax: math.MaxUint64, Limit: 400}}} {
			found, err := s.Find(ctx, q.query)
			if err != nil {
				b.Fatal(err)
			}
			rows := 0
			for _, f := range found {
				if err := s.Rows(ctx, f.TraceID, func(span.Row) error { rows++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.Run(state+"/"+q.name, func(b *testing.B) {
				b.ReportAllocs()
				size := 0
				for b.Loop() {
					size = 0
					for _, f := range found {
						if err := s.Get(ctx, f.TraceID, func(chunk span.Chunk) error { size += len(chunk.Bytes); return nil }); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/span")
				b.ReportMetric(float64(rows)/float64(len(found)), "spans/trace")
				b.ReportMetric(float64(size)/float64(rows), "B/span")
			})
		}
		_ = s.Close()
	}
}
