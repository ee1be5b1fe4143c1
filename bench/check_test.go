package bench_test

import (
	"context"
	"encoding/json"
	"flag"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/bench/workload"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/vfs"
)

// exact is what is compared without any tolerance.
type exact struct {
	Spans       int    `json:"spans"`
	DiskBytes   int64  `json:"disk_bytes"`                         // settled, without the log
	Allocations uint64 `json:"allocations_a_1000_spans,omitempty"` // until acknowledged; of the shop alone
}

// written writes a workload into a store of this process, one request after the other,
// until it is settled.
func written(t *testing.T, requests [][]byte) (disk int64, allocations uint64) {
	t.Helper()
	ctx := context.Background()
	folder := t.TempDir()
	fs, err := vfs.NewOS(folder)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, time.January, 1, 1, 0, 0, 0, time.UTC)
	store, err := cluster.Open(ctx, cluster.Options{FS: fs, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, request := range requests {
		if _, err := store.Write(ctx, request); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	for _, step := range []func(context.Context) error{store.Flush, store.Compact, store.Close} {
		if err := step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := bench.FolderBytes(folder, "log")
	if err != nil {
		t.Fatal(err)
	}
	return sum.Bytes, after.Mallocs - before.Mallocs
}

var update = flag.Bool("update", false, "write testdata/exact.json again")

const exactFile = "testdata/exact.json"

// TestBytesAndAllocationsOfASpanAreTheStoredOnes is the part of the gate against
// regressions that needs no quiet machine: what 20,000 made spans take on the disk, to the
// byte, and how often writing a thousand of them allocates. Times are for make
// bench-check. Whoever changes them on purpose says so and runs it with -update.
func TestBytesAndAllocationsOfASpanAreTheStoredOnes(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: the race detector allocates too")
	}
	b, err := os.ReadFile(exactFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	want := make(map[string]exact)
	if err == nil {
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
	}
	got := make(map[string]exact)
	for _, name := range workload.PresetNames() {
		got[name] = exactOf(t, name)
		if !got[name].isAs(want[name]) && !*update {
			t.Errorf("%s: %+v, stored are %+v", name, got[name], want[name])
		}
	}
	if len(want) != len(got) && !*update {
		t.Errorf("%d workloads stored, %d made", len(want), len(got))
	}
	if *update {
		b, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(exactFile, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// allocationsSlack is how many allocations of a thousand spans are the runtime's own:
// they come and go with its goroutines, and no code of ours is told apart by them.
const allocationsSlack = 2

// isAs tells whether two figures are the same.
func (e exact) isAs(other exact) bool {
	more := max(e.Allocations, other.Allocations) - min(e.Allocations, other.Allocations)
	return e.Spans == other.Spans && e.DiskBytes == other.DiskBytes && more <= allocationsSlack
}

// exactOf writes a preset's spans. Those of the shop are written again and again: the
// first time fills pools, and of the others the least counts.
func exactOf(t *testing.T, name string) exact {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties pools
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const spans = 20_000
	c, err := workload.Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	c.Spans = spans
	held, err := bench.Hold(workload.Requests(c))
	if err != nil {
		t.Fatal(err)
	}
	disk, _ := written(t, held)
	if name != "shop" {
		return exact{Spans: spans, DiskBytes: disk}
	}
	least := uint64(math.MaxUint64)
	for range 3 {
		again, allocations := written(t, held)
		if again != disk {
			t.Errorf("%s: the same requests took %d bytes, then %d", name, disk, again)
		}
		least = min(least, allocations)
	}
	return exact{spans, disk, (least*1000 + spans/2) / spans}
}
