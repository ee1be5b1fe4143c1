package cluster_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/internal/vfs"
)

// flushedStore is a store with some flushed segments, and what was written to it.
func flushedStore(t *testing.T, o cluster.Options) (*cluster.Store, *enginetest.Generator, *enginetest.Model) {
	t.Helper()
	s := open(t, o)
	g, m := enginetest.NewGenerator(5, 9), enginetest.NewModel()
	for range 3 {
		request := enginetest.Payload(g.Spans(60))
		if _, err := m.Add(request); err != nil {
			t.Fatal(err)
		}
		write(t, s, request)
		if err := s.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return s, g, m
}

// TestAStartFindsTheRoomThatAKilledMergeTook: what it left fills the disk, and a start makes a log file.
func TestAStartFindsTheRoomThatAKilledMergeTook(t *testing.T) {
	disk := vfs.NewCrash(1)
	o := small(disk)
	_, g, m := flushedStore(t, o)
	const stray = "shard-000/00000099.seg"
	for _, left := range []bool{true, false} {
		killed := disk.KillCopy()
		if left {
			f, err := killed.Create(stray)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Preallocate(1 << 20); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		killed.SetFree(8 << 10)
		o.FS = killed
		if !left {
			if s, err := cluster.Open(context.Background(), o); !vfs.Full(err) {
				t.Errorf("a start without room: %v, %v", s, err)
			}
			continue
		}
		s := open(t, o)
		sameAnswers(t, s, m, g, 5)
		names, err := killed.List("shard-000")
		if err != nil || slices.Contains(names, "00000099.seg") {
			t.Errorf("the stray is still there: %q, %v", names, err)
		}
		shut(t, s)
	}
}

// TestAMergeLeavesTheReserve: it writes its inputs once more before they go, and what it would take of the reserve
// flushes and the log need.
func TestAMergeLeavesTheReserve(t *testing.T) {
	disk := vfs.NewCrash(1)
	o := small(disk)
	o.Shards, o.ReserveBytes = 1, 4<<20
	s, g, m := flushedStore(t, o)
	before := s.Stats().Shards[0].Segments
	if before < 2 {
		t.Fatalf("%d segments, nothing to merge", before)
	}
	disk.SetFree(4<<20 + 1<<10)
	if err := s.Compact(context.Background()); err == nil || !strings.Contains(err.Error(), "almost full") {
		t.Errorf("a merge into the reserve: %v", err)
	}
	if now := s.Stats().Shards[0].Segments; now != before {
		t.Errorf("%d segments became %d", before, now)
	}
	if err := s.Ready(); err != nil {
		t.Errorf("a merge waits for room, and the node is not ready: %v", err)
	}
	sameAnswers(t, s, m, g, 5)
	disk.SetFree(8 << 20)
	if err := s.Compact(context.Background()); err != nil {
		t.Error(err)
	}
	if now := s.Stats().Shards[0].Segments; now >= before {
		t.Errorf("%d segments are still %d", before, now)
	}
	sameAnswers(t, s, m, g, 5)
}

// TestVerifyAsksWhatAStartAsks: a log that ends before the segments do, or begins behind them, is damage to both.
func TestVerifyAsksWhatAStartAsks(t *testing.T) {
	disk := vfs.NewCrash(1)
	o := small(disk)
	s, _, _ := flushedStore(t, o)
	shut(t, s)
	names, err := disk.List("log")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	whole := disk.KillCopy()
	for _, name := range names {
		if err := disk.Remove("log/" + name); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		disk    *vfs.Crash
		damaged bool
	}{{whole, false}, {disk, true}} {
		var damages []string
		if _, err := cluster.Verify(c.disk, func(damage error) { damages = append(damages, damage.Error()) }); err != nil {
			t.Fatal(err)
		}
		o.FS = c.disk
		opened, openErr := cluster.Open(context.Background(), o)
		if openErr == nil {
			shut(t, opened)
		}
		if (len(damages) > 0) != c.damaged || (openErr != nil) != c.damaged {
			t.Errorf("verify tells %q, a start %v", damages, openErr)
		}
		if c.damaged && !strings.Contains(damages[0], "log files are missing") {
			t.Errorf("verify tells %q", damages)
		}
	}
}
