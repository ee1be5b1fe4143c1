package wal_test

import (
	"errors"
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
