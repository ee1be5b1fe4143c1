package bench_test

import (
	"context"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/bench/workload"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// storeAsker asks a store of this process: what an answer costs without a network.
type storeAsker struct {
	bench.Asker // what is not asked here
	store       *cluster.Store
}

func (a storeAsker) GetTraces(ctx context.Context, ids []span.TraceID, yield func(chunk []byte) error) error {
	for _, id := range ids {
		if err := a.store.Get(ctx, id, func(chunk span.Chunk) error { return yield(chunk.Bytes) }); err != nil {
			return err
		}
	}
	return nil
}

func (a storeAsker) FindTraces(ctx context.Context, q span.Query, yield func(chunk []byte) error) error {
	found, err := a.store.Find(ctx, q)
	ids := make([]span.TraceID, len(found))
	for i := range found {
		ids[i] = found[i].TraceID
	}
	if err != nil {
		return err
	}
	return a.GetTraces(ctx, ids, yield)
}

func (a storeAsker) Summaries(ctx context.Context, q span.Query) ([]span.Summary, error) {
	return a.store.Summaries(ctx, q)
}

// madeStore is a store of this process with the spans of a workload, in two shards, each
// flushed and compacted: decision 0024 says how else a store may be settled.
func madeStore(b *testing.B, c workload.Config) *cluster.Store {
	b.Helper()
	ctx := context.Background()
	disk, err := vfs.NewOS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	store, err := cluster.Open(ctx, cluster.Options{FS: disk, Now: time.Now, Shards: 2, AnswersAnew: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close(ctx) })
	for request, err := range workload.Requests(c) {
		if err == nil {
			_, err = store.Write(ctx, request)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, step := range []func(context.Context) error{store.Flush, store.Compact} {
		if err := step(ctx); err != nil {
			b.Fatal(err)
		}
	}
	return store
}

// BenchmarkMadeSearches asks the classes of the mix of a store of this process that holds the
// preset shop, STOA_BENCH_SPANS spans of it (500,000). Each question is asked once before, and
// its answer compared.
func BenchmarkMadeSearches(b *testing.B) {
	config, err := workload.Preset("shop")
	if err != nil {
		b.Fatal(err)
	}
	config.Spans = 500_000
	if n, err := strconv.Atoi(os.Getenv("STOA_BENCH_SPANS")); err == nil && n > 0 {
		config.Spans = n
	}
	mix, err := bench.NewMix(workload.Requests(config), bench.MixOptions{})
	if err != nil {
		b.Fatal(err)
	}
	asker := storeAsker{store: madeStore(b, config)}
	for _, class := range mix.Classes {
		switch class.Name {
		case "services", "operations", "graph":
			continue // no search, and no trace
		}
		b.Run(class.Name, func(b *testing.B) { askMade(b, asker, class) })
	}
}

func askMade(b *testing.B, asker bench.Asker, class bench.Class) {
	ctx := context.Background()
	for i := range class.Questions {
		if _, err := class.Ask(ctx, asker, i); err != nil {
			b.Fatal(err)
		}
		if _, wrong := class.Check(i); wrong != nil {
			b.Fatalf("question %d: %v", i, wrong)
		}
	}
	b.ReportAllocs()
	var took []time.Duration
	before := cpuTime(b)
	for i := 0; b.Loop(); i++ {
		from := time.Now()
		if _, err := class.Ask(ctx, asker, i); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(from))
	}
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1000/float64(len(took)), "cpu-us/op")
	slices.Sort(took)
	microseconds := func(rank int) float64 { return float64(took[rank].Nanoseconds()) / 1000 }
	b.ReportMetric(microseconds(len(took)/2), "p50-us")
	b.ReportMetric(microseconds((len(took)*99-1)/100), "p99-us") // of fewer than 100 runs that is the longest
}

// cpuTime is what this process has used of its processors.
func cpuTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
