package engine_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// TestTheLogIsDurableBeforeSegmentsGoSoFar: while the log cannot be synced, Flushed stands
// still in memory and on the disk, for spans and for ticks.
func TestTheLogIsDurableBeforeSegmentsGoSoFar(t *testing.T) {
	w := newWorld(t, 13, 3)
	unwell := errors.New("injected: the log cannot be synced")
	var mu sync.Mutex
	var syncErr error
	synced := 0
	w.options.SyncLog = func() error {
		mu.Lock()
		defer mu.Unlock()
		synced++
		return syncErr
	}
	set := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		syncErr = err
	}
	ctx := context.Background()
	w.mustOpen()
	for _, parts := range [][][]byte{{enginetest.Numbered(1)}, nil} {
		before := w.shard.Flushed()
		set(unwell)
		w.apply(parts...)
		errorIs(t, w.shard.Flush(ctx), unwell)
		if got := w.shard.Flushed(); got != before {
			t.Fatalf("flushed through %d without the log, before %d", got, before)
		}
		if err := w.restart(0); err != nil {
			t.Fatal(err)
		}
		if got := w.shard.Flushed(); got != before {
			t.Fatalf("the manifest says %d without the log, before %d", got, before)
		}
		set(nil)
		if err := w.shard.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if got := w.shard.Flushed(); got != w.seq {
			t.Fatalf("flushed through %d, want %d", got, w.seq)
		}
	}
	if synced < 4 {
		t.Fatalf("the log was synced %d times", synced)
	}
	noStrays(t, w)
}

// TestManyFlushesSaveEachQuarantinedPartOnce: parts that a full disk kept out of the
// quarantine get there when several callers flush at once.
func TestManyFlushesSaveEachQuarantinedPartOnce(t *testing.T) {
	for round := range seeds(t, 30) {
		w := newWorld(t, uint64(round), 3)
		w.mustOpen()
		w.disk.SetFree(0)
		var parts [][]byte
		for i := range 8 {
			parts = append(parts, []byte{0xff, byte(i)})
		}
		if did := w.apply(parts...); did.Quarantined != len(parts) {
			t.Fatalf("%+v", did)
		}
		w.disk.SetFree(-1)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := w.shard.Flush(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, p := range parts {
			name := worldDir + "/quarantine/" + codec.HashBytes(p).String() + ".form"
			if _, err := vfs.ReadFile(w.disk, name, 1<<10); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.shard.Quarantined(); got != len(parts) {
			t.Fatalf("%d in quarantine, want %d", got, len(parts))
		}
		_ = w.shard.Close()
	}
}
