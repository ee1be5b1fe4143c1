package workload_test

import (
	"testing"

	"github.com/stoadb/stoa/bench/workload"
)

// BenchmarkRequests is what making spans costs.
func BenchmarkRequests(b *testing.B) {
	const spans = 100_000
	for _, name := range workload.PresetNames() {
		b.Run(name, func(b *testing.B) {
			c := preset(b, name, spans)
			bytes := 0
			b.ReportAllocs()
			for b.Loop() {
				for request, err := range workload.Requests(c) {
					if err != nil {
						b.Fatal(err)
					}
					bytes += len(request)
				}
			}
			b.SetBytes(int64(bytes / b.N))
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/spans, "ns/span")
			b.ReportMetric(float64(bytes)/float64(b.N)/spans, "OTLP-B/span")
		})
	}
}
