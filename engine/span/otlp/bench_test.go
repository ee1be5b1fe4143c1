package otlp_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// HotROD's own exporters send some 20 spans a request; joined is the same as a collector
// would batch it.
var benchFiles = map[string]string{"hotrod": dataFiles[0], "hotrod-joined": dataFiles[0], "trainticket": dataFiles[1], "logs": dataFiles[2]}

const joinedBytes = 512 << 10

// benchRequests gives the first spans of a file and how many they are.
func benchRequests(b *testing.B, name string) (requests [][]byte, spans, size int) {
	for _, request := range requestsOf(b, benchFiles[name], 1000) {
		_, counts := mustCut(b, request, 1)
		spans += counts.Spans
		size += len(request)
		if last := len(requests) - 1; name == "hotrod-joined" && last >= 0 && len(requests[last]) < joinedBytes {
			requests[last] = slices.Concat(requests[last], request) // protobuf merges by concatenation
			continue
		}
		requests = append(requests, request)
		if spans > 50_000 {
			break
		}
	}
	return requests, spans, size
}

func reportPerSpan(b *testing.B, spans int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(spans), "ns/span")
}

func BenchmarkCut(b *testing.B) {
	for name := range benchFiles {
		for _, shards := range []int{1, 4} {
			b.Run(fmt.Sprintf("%s/shards=%d", name, shards), func(b *testing.B) {
				requests, spans, size := benchRequests(b, name)
				place := placeBy(shards)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				var memory, parts int
				for b.Loop() {
					memory, parts = 0, 0
					for _, request := range requests {
						cut, _, err := otlp.Cut(request, shards, place)
						if err != nil {
							b.Fatal(err)
						}
						for _, p := range cut {
							memory += p.Batch.MemoryBytes()
							parts++
						}
					}
				}
				reportPerSpan(b, spans)
				b.ReportMetric(float64(memory)/float64(spans), "batch-B/span")
				b.ReportMetric(float64(spans)/float64(parts), "spans/part")
			})
		}
	}
}

func BenchmarkProtoUnmarshal(b *testing.B) {
	for name := range benchFiles {
		b.Run(name, func(b *testing.B) {
			requests, spans, size := benchRequests(b, name)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				for _, request := range requests {
					if err := proto.Unmarshal(request, &tracev1.TracesData{}); err != nil {
						b.Fatal(err)
					}
				}
			}
			reportPerSpan(b, spans)
		})
	}
}

func BenchmarkAppendTraces(b *testing.B) {
	for name := range benchFiles {
		b.Run(name, func(b *testing.B) {
			requests, spans, size := benchRequests(b, name)
			var parts []otlp.Part
			for _, request := range requests {
				cut, _ := mustCut(b, request, 1)
				parts = append(parts, cut...)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			var dst []byte
			for b.Loop() {
				for _, p := range parts {
					dst = otlp.AppendTraces(dst[:0], rowsOf(p.Batch))
				}
			}
			reportPerSpan(b, spans)
		})
	}
}

func BenchmarkEncoder(b *testing.B) {
	for name := range benchFiles {
		b.Run(name, func(b *testing.B) {
			requests, spans, size := benchRequests(b, name)
			var rows []span.Row
			for _, request := range requests {
				cut, _ := mustCut(b, request, 1)
				for _, p := range cut {
					rows = append(rows, rowsOf(p.Batch)...)
				}
			}
			slices.SortStableFunc(rows, func(x, y span.Row) int {
				return cmp.Or(x.TraceID().Compare(y.TraceID()), cmp.Compare(x.Start(), y.Start()))
			})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				e := otlp.NewEncoder(func([]byte) error { return nil })
				for _, r := range rows {
					if err := e.Add(r); err != nil {
						b.Fatal(err)
					}
				}
				if err := e.Flush(); err != nil {
					b.Fatal(err)
				}
			}
			reportPerSpan(b, spans)
		})
	}
}
