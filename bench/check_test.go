package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/bench/workload"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/vfs"
)

// exact is what is compared without any tolerance.
type exact struct {
	Spans       int    `json:"spans"`
	DiskBytes   int64  `json:"disk_bytes"`                         // compacted, without the log
	Allocations uint64 `json:"allocations_a_1000_spans,omitempty"` // until acknowledged; of the shop alone
	Cells       cells  `json:"cells"`                              // of compacted segments
}

// cells are how many segments there are, and how many of them have cells: without those,
// questions about rates and the service graph read rows, which no byte or answer tells.
type cells struct {
	Segments   int `json:"segments"`
	Edges      int `json:"with_cells_of_edges"`
	Operations int `json:"with_cells_of_operations"`
}

// cellsIn counts those of a folder that nobody has open.
func cellsIn(t *testing.T, folder string) (sum cells) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".seg" {
			return err
		}
		disk, err := vfs.NewOS(filepath.Dir(path))
		if err != nil {
			return err
		}
		s, err := segment.Open(disk, entry.Name())
		if err != nil {
			return err
		}
		defer s.Close()
		edges, err1 := s.EdgeCells()
		operations, err2 := s.OperationCells()
		sum.Segments++
		if edges != nil && edges.Len() > 0 {
			sum.Edges++
		}
		if operations != nil && operations.Len() > 0 {
			sum.Operations++
		}
		return errors.Join(err1, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// written writes a workload into a store of this process, one request after the other,
// compacts it and closes it: which merges the policy has done depends on when their turn came, and
// bytes that are compared exactly must not.
func written(t *testing.T, requests [][]byte) (folder string, disk int64, allocations uint64) {
	t.Helper()
	ctx := context.Background()
	folder = t.TempDir()
	disks, err := vfs.NewOS(folder)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, time.January, 1, 1, 0, 0, 0, time.UTC)
	store, err := cluster.Open(ctx, cluster.Options{FS: disks, Shards: 1, Now: func() time.Time { return now }})
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
	return folder, sum.Bytes, after.Mallocs - before.Mallocs
}

var update = flag.Bool("update", false, "write testdata/exact.json again")

const exactFile = "testdata/exact.json"

// TestBytesAndAllocationsOfASpanAreTheStoredOnes is the part of the gate against
// regressions that needs no quiet machine: what 20,000 made spans take on the disk, to the
// byte, how often writing a thousand of them allocates, and which segments have cells. Times
// are for make bench-check. Whoever changes them on purpose says so and runs it with -update.
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
			t.Errorf("%s: %s, stored are %s", name, got[name], want[name])
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
	return e.Spans == other.Spans && e.DiskBytes == other.DiskBytes && more <= allocationsSlack && e.Cells == other.Cells
}

// String shows the cells as they stand in the file.
func (e exact) String() string {
	b, _ := json.Marshal(e) // numbers are always JSON
	return string(b)
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
	folder, disk, _ := written(t, held)
	if name != "shop" {
		return exact{Spans: spans, DiskBytes: disk, Cells: cellsIn(t, folder)}
	}
	least := uint64(math.MaxUint64)
	for range 3 {
		_, again, allocations := written(t, held)
		if again != disk {
			t.Errorf("%s: the same requests took %d bytes, then %d", name, disk, again)
		}
		least = min(least, allocations)
	}
	return exact{spans, disk, (least*1000 + spans/2) / spans, cellsIn(t, folder)}
}
