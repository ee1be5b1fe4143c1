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
	for _, preset := range []string{"shop", "storm"} {
		loads[preset] = func() ([][]byte, int) { return made(b, preset, 50_000) }
	}
	return loads
}

// made gives the requests of a made workload: shop, that of the targets, or another.
func made(tb testing.TB, preset string, spans int) ([][]byte, int) {
	tb.Helper()
	c, err := workload.Preset(preset)
	if err != nil {
		tb.Fatal(err)
	}
	c.Spans = spans
	var requests [][]byte
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

// BenchmarkForm makes the form of batches, and batches of forms; and does what the log's first
// version did with the same spans as OTLP.
func BenchmarkForm(b *testing.B) {
	for name, load := range formLoads(b) {
		b.Run(name, func(b *testing.B) {
			requests, spans := load()
			batches := batchesOf(b, requests, formShards)
			var forms, payloads [][]byte
			for _, batch := range batches {
				forms = append(forms, batch.AppendBinary(nil))
				payloads = append(payloads, otlp.AppendTraces(nil, rowsOf(batch)))
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
				reportBytes(b, forms, spans)
			})
			eachForm(b, "decode", forms, spans, func(form []byte) error {
				_, err := span.DecodeBatch(form, math.MaxInt32)
				return err
			})
			eachForm(b, "walk", payloads, spans, func(payload []byte) error {
				_, _, err := otlp.Walk(payload)
				return err
			})
			var dst []byte
			compress := func(content []byte) error {
				dst = codec.AppendS2(dst[:0], content)
				return nil
			}
			hash := func(content []byte) error {
				codec.HashBytes(content)
				return nil
			}
			eachForm(b, "compress", forms, spans, compress)
			eachForm(b, "compress OTLP", payloads, spans, compress)
			eachForm(b, "hash", forms, spans, hash)
			eachForm(b, "hash OTLP", payloads, spans, hash)
		})
	}
}

// eachForm measures what is done with each form, or payload.
func eachForm(b *testing.B, name string, forms [][]byte, spans int, do func([]byte) error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, form := range forms {
				if err := do(form); err != nil {
					b.Fatal(err)
				}
			}
		}
		reportPerSpan(b, spans)
	})
}

// reportBytes tells how long forms are, as they are and under S2.
func reportBytes(b *testing.B, forms [][]byte, spans int) {
	size, packed := 0, 0
	for _, form := range forms {
		size += len(form)
		packed += len(codec.AppendS2(nil, form))
	}
	b.ReportMetric(float64(size)/float64(spans), "B/span")
	b.ReportMetric(float64(packed)/float64(spans), "S2-B/span")
	b.ReportMetric(float64(spans)/float64(len(forms)), "spans/form")
}
