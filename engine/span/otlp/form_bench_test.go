package otlp_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stoadb/stoa/bench/workload"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
)

// formShards is how many shards a small node has.
const formShards = 2

// formLoads are the loads whose forms are measured, with their spans.
func formLoads(b *testing.B) map[string]func() ([][]byte, int) {
	loads := map[string]func() ([][]byte, int){}
	for name := range benchFiles {
		loads[name] = func() ([][]byte, int) {
			requests, spans, _ := benchRequests(b, name)
			return requests, spans
		}
	}
	loads["shop"] = func() ([][]byte, int) { return shop(b, 50_000) }
	return loads
}

// shop is the workload of the targets.
func shop(tb testing.TB, spans int) (requests [][]byte, made int) {
	tb.Helper()
	c, err := workload.Preset("shop")
	if err != nil {
		tb.Fatal(err)
	}
	c.Spans = spans
	for request, err := range workload.Requests(c) {
		if err != nil {
			tb.Fatal(err)
		}
		requests = append(requests, slices.Clone(request))
	}
	return requests, spans
}

// batchesOf cuts requests for a node of some shards.
func batchesOf(tb testing.TB, requests [][]byte, shards int) (batches []*span.Batch) {
	tb.Helper()
	for _, request := range requests {
		parts, _ := mustCut(tb, request, shards)
		for _, p := range parts {
			batches = append(batches, p.Batch)
		}
	}
	return batches
}

// BenchmarkForm makes the form of batches, and batches of forms.
func BenchmarkForm(b *testing.B) {
	for name, load := range formLoads(b) {
		b.Run(name, func(b *testing.B) {
			requests, spans := load()
			batches := batchesOf(b, requests, formShards)
			var forms [][]byte
			size, packed := 0, 0
			for _, batch := range batches {
				forms = append(forms, batch.AppendBinary(nil))
				size += len(forms[len(forms)-1])
				packed += len(codec.AppendS2(nil, forms[len(forms)-1]))
			}
			b.Run("encode", func(b *testing.B) {
				b.ReportAllocs()
				var dst []byte
				for b.Loop() {
					for _, batch := range batches {
						dst = batch.AppendBinary(dst[:0])
					}
				}
				reportPerSpan(b, spans)
				b.ReportMetric(float64(size)/float64(spans), "B/span")
				b.ReportMetric(float64(packed)/float64(spans), "S2-B/span")
				b.ReportMetric(float64(spans)/float64(len(batches)), "spans/form")
			})
			b.Run("hash", func(b *testing.B) {
				for b.Loop() {
					for _, form := range forms {
						codec.HashBytes(form)
					}
				}
				reportPerSpan(b, spans)
			})
			b.Run("compress", func(b *testing.B) {
				var dst []byte
				for b.Loop() {
					for _, form := range forms {
						dst = codec.AppendS2(dst[:0], form)
					}
				}
				reportPerSpan(b, spans)
			})
			b.Run("decode", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					for _, form := range forms {
						if _, err := span.DecodeBatch(form, math.MaxInt32); err != nil {
							b.Fatal(err)
						}
					}
				}
				reportPerSpan(b, spans)
			})
			payloads := make([][]byte, len(batches)) // what the log's first version kept
			for i, batch := range batches {
				payloads[i] = otlp.AppendTraces(nil, rowsOf(batch))
			}
			b.Run("compress OTLP", func(b *testing.B) {
				var dst []byte
				for b.Loop() {
					for _, payload := range payloads {
						dst = codec.AppendS2(dst[:0], payload)
					}
				}
				reportPerSpan(b, spans)
			})
			b.Run("hash OTLP", func(b *testing.B) {
				for b.Loop() {
					for _, payload := range payloads {
						codec.HashBytes(payload)
					}
				}
				reportPerSpan(b, spans)
			})
			b.Run("walk", func(b *testing.B) {
				b.ReportAllocs()
				b.ResetTimer()
				for b.Loop() {
					for _, payload := range payloads {
						if _, _, err := otlp.Walk(payload); err != nil {
							b.Fatal(err)
						}
					}
				}
				reportPerSpan(b, spans)
			})
		})
	}
}
