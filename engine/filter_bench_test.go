package engine_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/vfs"
)

// filterCase is a question of the benchmarks.
type filterCase struct {
	name string
	q    span.Query
}

// filterQueries are what somebody types into a search page, over HotROD and TrainTicket:
// equality, order, negation, events, patterns and words, rare and frequent. The first asks by
// tag what the second asks by filter. The limit is that of Jaeger's page.
func filterQueries(limit int) []filterCase {
	attr := func(key string) span.Attribute { return span.Attribute{Unqualified: true, Key: key} }
	event := func(key string) span.Attribute { return span.Attribute{Level: span.EventLevel, Key: key} }
	equal := func(left span.Operand, right span.Constant) span.Filter {
		return span.Comparison{Op: span.Equal, Left: left, Right: right}
	}
	greater := func(left span.Operand, right span.Constant) span.Filter {
		return span.Comparison{Op: span.Greater, Left: left, Right: right}
	}
	and := func(parts ...span.Filter) span.Filter { return span.And{Parts: parts} }
	service := equal(span.ResourceService, span.OfString("frontend"))
	failed := equal(span.SpanStatus, span.OfString("error"))
	all := func(filter span.Filter) span.Query {
		return span.Query{StartMax: 1<<64 - 1, Limit: limit, Filter: filter}
	}
	legacy := all(nil)
	legacy.Service, legacy.Tags = "frontend", []span.Tag{{Key: "http.response.status_code", Value: "200"}}
	return []filterCase{
		{"legacy", legacy},
		{"equal", all(and(service, equal(attr("http.response.status_code"), span.Untyped("200"))))},
		{"service", all(service)},
		{"slow or failed", all(span.Or{Parts: []span.Filter{greater(span.SpanDuration, span.OfDuration(100_000_000)), failed}})},
		{"slow and not ok", all(and(greater(span.SpanDuration, span.OfDuration(1_000_000_000)), span.Not{Part: failed}))},
		{"own value", all(equal(attr("url.full"), span.Untyped("http://0.0.0.0:8083/route?dropoff=577%2C322&pickup=452%2C326")))},
		{"some event", all(span.Some{Level: span.EventLevel, Part: and(
			greater(span.EventTimeSinceStart, span.OfDuration(1_000_000)), equal(event("level"), span.Untyped("error")))})},
		{"rare value", all(equal(attr("http.response.status_code"), span.Untyped("599")))},
		{"regex", all(span.Regex{Reference: attr("url.full"), Pattern: "customer=(123|567)"})},
		{"phrase", all(span.Phrase{Attribute: event("message"), Words: []string{"redis", "timeout"}})},
		{"not equal", all(and(span.Comparison{Op: span.NotEqual, Left: attr("http.response.status_code"), Right: span.OfInt(200)}, service))},
	}
}

// realShards are all recordings of the shared set in four shards, flushed and merged, as a
// store holds them.
func realShards(b *testing.B) (shards []*engine.Shard, spans int) {
	b.Helper()
	const count = 4
	disk, err := vfs.NewOS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	pages := engine.Options{FS: disk, ManualCompaction: true, Pages: segment.NewPages(512 << 20)}
	for i := range count {
		o := pages
		o.Dir = string(rune('a' + i))
		s, err := engine.Open(o)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		shards = append(shards, s)
	}
	seqs := make([]uint64, count)
	for _, file := range []string{hotrod, nezha, nezhaLogs, "zipkin-fixtures.otlp.zst"} {
		eachRequest(b, file, func(request []byte) {
			parts, _, err := otlp.Cut(request, count, func(id span.TraceID) int { return int(id[15]) % count })
			if err != nil {
				b.Fatal(err)
			}
			for _, p := range parts {
				seqs[p.Shard]++
				e := &engine.Entry{Received: 1_767_225_600_000_000_000, Parts: []engine.Part{engine.NewPart(p.Batch, p.Bytes)}}
				if _, err := shards[p.Shard].Apply(seqs[p.Shard], e); err != nil {
					b.Fatal(err)
				}
				spans += p.Spans
			}
		})
	}
	for _, s := range shards {
		if err := s.Flush(context.Background()); err != nil {
			b.Fatal(err)
		}
		if err := s.Compact(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	return shards, spans
}

// BenchmarkFilters asks four shards one after another, so what it takes is CPU time; spans/op
// is what they hold. It is warm: pages are open.
func BenchmarkFilters(b *testing.B) {
	shards, spans := realShards(b)
	for _, limit := range []int{20, span.TracesFoundMax} {
		name := "newest 20/"
		if limit > 20 {
			name = "all/"
		}
		for _, c := range filterQueries(limit) {
			b.Run(name+c.name, func(b *testing.B) { askFilter(b, shards, c.q, spans) })
		}
	}
}

func askFilter(b *testing.B, shards []*engine.Shard, q span.Query, spans int) {
	b.ReportAllocs()
	ask := func(q span.Query) (found int) {
		for _, s := range shards {
			list, err := s.Find(context.Background(), q)
			if err != nil {
				b.Fatal(err)
			}
			found += len(list)
		}
		return found
	}
	explained := q
	explained.Explain = new(span.Explain)
	found := ask(explained) // opens the pages, too
	var took []time.Duration
	for b.Loop() {
		from := time.Now()
		ask(q)
		took = append(took, time.Since(from))
	}
	slices.Sort(took)
	milliseconds := func(rank int) float64 { return float64(took[rank].Microseconds()) / 1000 }
	b.ReportMetric(milliseconds(len(took)/2), "p50-ms")
	b.ReportMetric(milliseconds((len(took)*99-1)/100), "p99-ms") // of fewer than 100 runs that is the longest
	b.ReportMetric(float64(explained.Explain.RowsRead.Load()), "read")
	b.ReportMetric(float64(found), "traces")
	b.ReportMetric(float64(spans), "spans/op")
}

// BenchmarkFilterRows asks a memtable, where nothing is read or decoded, and the slow
// evaluator beside it.
func BenchmarkFilterRows(b *testing.B) {
	parts := realParts(b, hotrod)
	s, spans := loaded(b, parts, engine.Options{MemtableBytesMax: 1 << 40, ManualCompaction: true})
	for _, c := range filterQueries(span.TracesFoundMax)[1:] {
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
