package bench_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/vfs"
)

// BenchmarkSettle writes real traces into a store of this process, from four writers,
// and settles it: the whole way of a span but for the network, so that
// -cpuprofile shows where its time goes. It is ns per span, waiting for the disk
// included.
func BenchmarkSettle(b *testing.B) {
	for _, name := range []string{"HotROD", "TrainTicket", "TrainTicket-logs"} {
		b.Run(name, func(b *testing.B) {
			files := recorded(b, name)
			spans := 0
			var requests [][]byte
			for request, err := range counting(bench.Requests(files...), &spans) {
				if err != nil {
					b.Fatal(err)
				}
				requests = append(requests, request)
			}
			b.ReportAllocs()
			for b.Loop() {
				settle(b, requests)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(spans), "ns/span")
		})
	}
}

func settle(b *testing.B, requests [][]byte) {
	ctx := context.Background()
	disk, err := vfs.NewOS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	store, err := cluster.Open(ctx, cluster.Options{FS: disk, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			for i := writer; i < len(requests); i += 4 {
				if _, err := store.Write(ctx, requests[i]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	for _, step := range []func(context.Context) error{store.Settle, store.Close} {
		if err := step(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
