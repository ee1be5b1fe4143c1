package engine_test

import (
	"slices"
	"testing"

	"github.com/stoadb/stoa/bench/workload"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// entryLoads are the requests of some 50,000 spans.
var entryLoads = map[string]func(testing.TB) [][]byte{
	"hotrod":      func(tb testing.TB) [][]byte { return firstRequests(tb, hotrod) },
	"trainticket": func(tb testing.TB) [][]byte { return firstRequests(tb, nezha) },
	"shop":        shopRequests,
}

const entrySpans = 50_000

func firstRequests(tb testing.TB, file string) (requests [][]byte) {
	spans := 0
	eachRequest(tb, file, func(request []byte) {
		if spans >= entrySpans {
			return
		}
		_, counts, err := otlp.Walk(request)
		if err != nil {
			tb.Fatal(err)
		}
		spans += counts.Spans
		requests = append(requests, request)
	})
	return requests
}

// shopRequests is the workload of the targets.
func shopRequests(tb testing.TB) (requests [][]byte) {
	c, err := workload.Preset("shop")
	if err != nil {
		tb.Fatal(err)
	}
	c.Spans = entrySpans
	for request, err := range workload.Requests(c) {
		if err != nil {
			tb.Fatal(err)
		}
		requests = append(requests, slices.Clone(request))
	}
	return requests
}

// BenchmarkEntry does what a write costs before the log has it: requests are cut for two
// shards, and what a shard gets of one becomes an entry.
func BenchmarkEntry(b *testing.B) {
	const shards = 2
	place := func(id span.TraceID) int { return int(id[15]) % shards }
	for name, load := range entryLoads {
		b.Run(name, func(b *testing.B) {
			requests := load(b)
			b.ReportAllocs()
			b.ResetTimer()
			var buffer []byte
			var spans, size, entries int
			for b.Loop() {
				spans, size, entries = 0, 0, 0
				for _, request := range requests {
					cut, counts, err := otlp.Cut(request, shards, place)
					if err != nil {
						b.Fatal(err)
					}
					spans += counts.Spans
					for _, p := range cut {
						part := engine.NewPart(p.Batch, p.Bytes)
						entry := engine.Entry{Received: 1, Parts: []engine.Part{part}}
						buffer = entry.AppendBinary(buffer[:0])
						part.FreeForm()
						size += len(buffer)
						entries++
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(spans), "ns/span")
			b.ReportMetric(float64(size)/float64(spans), "B/span")
			b.ReportMetric(float64(spans)/float64(entries), "spans/entry")
		})
	}
}
