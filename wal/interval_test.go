package wal_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// interval is so long that only what needs a sync gets one.
const interval = time.Minute

// After Sync a power cut takes nothing of what was appended before it, and a log that
// syncs every commit anyway does not sync once more.
func TestSyncMakesDurableWhatWasAppended(t *testing.T) {
	for _, every := range []time.Duration{0, interval} {
		for seed := range uint64(50) {
			disk := vfs.NewCrash(seed)
			l, _, err := wal.Open(disk, dir, wal.Options{FileBytes: 1 << 20, SyncInterval: every})
			if err != nil {
				t.Fatal(err)
			}
			s := l.Stream(1)
			for seq := uint64(1); seq <= 10; seq++ {
				if err := s.Append(wal.Entry{Seq: seq, Payload: payloadOf(seq)}); err != nil {
					t.Fatal(err)
				}
			}
			syncs := l.Stats().Syncs
			for range 3 {
				if err := l.Sync(); err != nil {
					t.Fatal(err)
				}
			}
			want := uint64(0)
			if every > 0 {
				want = 1 // the second finds nothing to do
			}
			if got := l.Stats().Syncs - syncs; got != want {
				t.Fatalf("interval %v: %d syncs, want %d", every, got, want)
			}
			cut := disk.Crash()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if err := l.Sync(); err != nil {
				t.Fatalf("a closed log has nothing to sync: %v", err)
			}
			if l, _, err = wal.Open(cut, dir, wal.Options{FileBytes: 1 << 20}); err != nil {
				t.Fatal(err)
			}
			if last := l.Stream(1).Last(); last != 10 {
				t.Fatalf("interval %v seed %d: a power cut after Sync left Seq %d of 10", every, seed, last)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A Sync that fails poisons the log, and is not tried again.
func TestFailedSyncPoisons(t *testing.T) {
	disk := vfs.NewCrash(1)
	l, _, err := wal.Open(disk, dir, wal.Options{FileBytes: 1 << 20, SyncInterval: interval})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Stream(1).Append(wal.Entry{Seq: 1}); err != nil {
		t.Fatal(err)
	}
	disk.FailAt(1, syscall.EIO)
	for range 2 {
		if err := l.Sync(); !errors.Is(err, wal.ErrPoisoned) || !errors.Is(err, syscall.EIO) {
			t.Fatalf("failed sync: %v", err)
		}
	}
	mustBePoisoned(t, "failed sync", l)
	if err := l.Close(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("close: %v", err)
	}
}

// With a sync interval a power cut at any call takes at most the end: what is left is
// what the log held after some step since the last Sync, also where files were deleted
// from the front; a kill takes nothing. Never is a start refused.
func TestSyncIntervalLosesOnlyTheEnd(t *testing.T) {
	steps := flushes()
	o := wal.Options{FileBytes: 32 << 10, SyncInterval: interval}
	disk := vfs.NewCrash(1)
	runUnsynced(t, disk, steps, o)
	var dropped, lost int
	for k := 1; k <= disk.Calls(); k++ {
		if testing.Short() && k%5 != 0 {
			continue
		}
		disk := vfs.NewCrash(uint64(k))
		disk.StopAt(k)
		afterKill, afterCut := runUnsynced(t, disk, steps, o)
		for i, image := range []*vfs.Crash{disk.KillCopy(), disk.Crash(), disk.Crash(), disk.Crash()} {
			name, allowed := fmt.Sprintf("stop at call %d, power cut %d", k, i), afterCut
			if i == 0 {
				name, allowed = fmt.Sprintf("kill at call %d", k), afterKill
			}
			files, err := image.List(dir)
			if err == nil && len(files) > 0 && files[0] != "0000000000000001.log" {
				dropped++
			}
			l, _, err := wal.Open(image, dir, o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if found := match(t, name, l, allowed); found.String() != allowed[len(allowed)-1].String() {
				lost++
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if dropped < 20 || lost < 20 {
		t.Fatalf("%d images without the first file, %d with a lost end: the workload is too small", dropped, lost)
	}
}

// flushes is a list of steps in which all streams give up all they hold, again and
// again, so that files go in the middle of an interval.
func flushes() []step {
	r := rand.New(rand.NewPCG(5, 5))
	m := newModel()
	var steps []step
	add := func(st step) {
		m.apply(st)
		steps = append(steps, st)
	}
	for range 6 {
		for range 14 {
			add(randomStep(r, &m))
		}
		for shard := range uint32(shards) {
			if last := m[shard].last; last > 0 {
				add(step{shard: shard, what: "front", seq: last})
			}
		}
	}
	return steps
}

// runUnsynced takes the steps until one fails, with a Sync now and then, and returns
// what a kill and what a power cut may leave.
func runUnsynced(t *testing.T, disk *vfs.Crash, steps []step, o wal.Options) (afterKill, afterCut []model) {
	t.Helper()
	m := newModel()
	l, _, err := wal.Open(disk, dir, o)
	if err != nil {
		return []model{m}, []model{m}
	}
	defer func() { _ = l.Close() }()
	afterCut = []model{m}
	for i, st := range steps {
		next := m.clone()
		next.apply(st)
		if do(l, st) != nil {
			mustBePoisoned(t, "stopped", l)
			return []model{m, next}, append(afterCut, next)
		}
		m = next
		afterCut = append(afterCut, m)
		if i%25 == 24 {
			if l.Sync() != nil {
				return []model{m}, afterCut
			}
			afterCut = []model{m}
		}
	}
	return []model{m}, afterCut
}
