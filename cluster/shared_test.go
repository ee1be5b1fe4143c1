package cluster_test

import (
	"context"
	"testing"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// TestDividedStoresTakeTogetherWhatOneTakes, but for the log's files, which have a least size;
// what has no bound gets none.
func TestDividedStoresTakeTogetherWhatOneTakes(t *testing.T) {
	whole := cluster.Options{DiskBudget: 1 << 40}.Divided(1)
	if whole.MemtableBytes != 192<<20 || whole.PagesBytesMax != 96<<20 || whole.SplitCellsBytesMax != 48<<20 || whole.LogBytesMax != 1<<30 || whole.Log.FileBytes != wal.FileBytesDefault || whole.DiskBudget != 1<<40 {
		t.Errorf("one has %+v", whole)
	}
	for n := 1; n <= 64; n++ {
		part := cluster.Options{DiskBudget: 1 << 40}.Divided(n)
		for what, sizes := range map[string][2]int64{
			"memtables": {part.MemtableBytes, whole.MemtableBytes}, "pages": {int64(part.PagesBytesMax), int64(whole.PagesBytesMax)},
			"split cells": {int64(part.SplitCellsBytesMax), int64(whole.SplitCellsBytesMax)},
			"log":         {part.LogBytesMax, whole.LogBytesMax}, "disk budget": {part.DiskBudget, whole.DiskBudget}, "log files": {part.Log.FileBytes, whole.Log.FileBytes},
		} {
			if together := sizes[0] * int64(n); together > sizes[1] || together < sizes[1]-int64(n) {
				t.Errorf("%d stores, %s: %d together, one has %d", n, what, together, sizes[1])
			}
		}
	}
	small := cluster.Options{MemtableBytesMax: 8 << 20, LogBytesMax: 64 << 20, Log: wal.Options{FileBytes: 4 << 20}}.Divided(64)
	if small.MemtableBytesMax != 128<<10 || small.Log.FileBytes != 1<<20 || small.LogBytesMax != 2<<20 || small.DiskBudget != 0 {
		t.Errorf("a 64th of little is %+v", small)
	}
}

// TestStoresThatShareTurnsCloseInAnyOrder, with work under way in both.
func TestStoresThatShareTurnsCloseInAnyOrder(t *testing.T) {
	shared := cluster.NewShared()
	var stores []*cluster.Store
	for seed := range uint64(2) {
		store, err := cluster.Open(t.Context(), cluster.Options{FS: vfs.NewCrash(seed), Shards: 2, ReserveBytes: -1, Shared: shared, Log: wal.Options{FileBytes: 1 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, store)
	}
	for _, store := range stores {
		done := make(chan error, 2)
		go func() { done <- stores[1].Compact(context.Background()) }()
		go func() { done <- stores[1].Settle(context.Background()) }()
		if err := store.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for range 2 {
			<-done // of a store that is closed meanwhile it may be an error
		}
	}
}
