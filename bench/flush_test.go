package bench_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stoadb/stoa/bench/workload"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/vfs"
)

// BenchmarkFlush is what flushing the made workload's memtables costs, in processor time of all
// threads: sort, templates, columns, cells and index, without the walk and the log before it.
// It needs no quiet machine, unlike ns/op, which is all else with it.
func BenchmarkFlush(b *testing.B) {
	for _, name := range []string{"shop", "storm", "norepeat"} {
		b.Run(name, func(b *testing.B) {
			c, err := workload.Preset(name)
			if err != nil {
				b.Fatal(err)
			}
			c.Spans = 80_000
			if testing.Short() {
				c.Spans = 5_000
			}
			var requests [][]byte
			for request, err := range workload.Requests(c) {
				if err != nil {
					b.Fatal(err)
				}
				requests = append(requests, request)
			}
			var used time.Duration
			for b.Loop() {
				used += flushed(b, requests)
			}
			b.ReportMetric(float64(used.Nanoseconds())/float64(b.N)/float64(c.Spans), "cpu-ns/span")
		})
	}
}

// flushed writes the requests to a new store and gives the processor time of its flush.
func flushed(b *testing.B, requests [][]byte) time.Duration {
	ctx := context.Background()
	disk, err := vfs.NewOS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	store, err := cluster.Open(ctx, cluster.Options{FS: disk, Now: time.Now, Shards: 1})
	if err != nil {
		b.Fatal(err)
	}
	for _, request := range requests {
		if _, err := store.Write(ctx, request); err != nil {
			b.Fatal(err)
		}
	}
	before := processorTime(b)
	if err := store.Flush(ctx); err != nil {
		b.Fatal(err)
	}
	used := processorTime(b) - before
	if err := store.Close(ctx); err != nil {
		b.Fatal(err)
	}
	return used
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
