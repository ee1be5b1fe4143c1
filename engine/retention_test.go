package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/segment"
)

// numbered applies one-span requests in one entry of the world's time, and flushes.
func (w *world) numbered(from, to int) {
	w.t.Helper()
	var parts [][]byte
	for i := from; i < to; i++ {
		parts = append(parts, enginetest.Numbered(i))
	}
	w.apply(parts...)
	if err := w.shard.Flush(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// TestAFewWrongTimesDoNotStopRetention: entries of a clock that had not been set yet stand
// in 1970, and go with the rest.
func TestAFewWrongTimesDoNotStopRetention(t *testing.T) {
	w := newWorld(t, 11, 3)
	w.options.Retention = 24 * time.Hour
	w.mustOpen()
	now := w.received
	w.received = int64(time.Second)
	w.numbered(0, 1)
	w.received = now
	w.numbered(1, 4)
	if err := w.restart(0); err != nil {
		t.Fatal(err)
	}
	if dropped, err := w.shard.DropExpired(now + int64(time.Hour)); err != nil || dropped != 1 {
		t.Fatalf("dropped %d, %v; want the segment of 1970", dropped, err)
	}
	if dropped, err := w.shard.DropExpired(now + int64(26*time.Hour)); err != nil || dropped != 1 {
		t.Fatalf("dropped %d, %v; want the other one", dropped, err)
	}
}

// TestRetentionGoesOnAfterALongPause: a node that was off for 500 days, or asleep for
// five, drops what is old once most of its rows came after the pause.
func TestRetentionGoesOnAfterALongPause(t *testing.T) {
	day := int64(24 * time.Hour)
	for name, pause := range map[string]struct {
		days    int64
		restart bool
	}{"off": {500, true}, "asleep": {5, false}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 12, 3)
			w.options.Retention = 24 * time.Hour
			w.mustOpen()
			w.numbered(0, 2)
			if _, err := w.shard.DropExpired(w.received); err != nil {
				t.Fatal(err)
			}
			w.received += pause.days * day
			if pause.restart {
				if err := w.restart(0); err != nil {
					t.Fatal(err)
				}
			}
			w.numbered(2, 4)
			if dropped, err := w.shard.DropExpired(w.received); err == nil || dropped > 0 {
				t.Fatalf("dropped %d on the word of half the rows", dropped)
			}
			w.numbered(4, 5)
			if dropped, err := w.shard.DropExpired(w.received); err != nil || dropped != 1 {
				t.Fatalf("dropped %d, %v; want what came before the pause", dropped, err)
			}
		})
	}
}

// TestAClockOnceAheadClosesNoWindow: after one entry of the year 2100 a shard merges about as often as without it, before
// and after a start, and a disk budget leaves the window that is written to alone.
func TestAClockOnceAheadClosesNoWindow(t *testing.T) {
	ctx := context.Background()
	merges := func(ahead time.Duration, restart bool) int {
		w := newWorld(t, 14, 3)
		w.options.Compaction = compaction.Policy{MergeMin: 6, MergeMax: 8, RowsMax: 1 << 20, BytesMax: 1 << 30, OldWindowsMax: 48}
		w.mustOpen()
		now, number := w.received, 0
		apply := func(received int64) {
			w.received = received
			w.numbered(number, number+1)
			if number++; w.shard.Settle(ctx) != nil {
				t.Fatal("not settled")
			}
		}
		apply(now - 10*segment.WindowNanos)
		apply(now)
		if ahead > 0 {
			apply(now + int64(ahead))
		}
		if restart {
			if err := w.restart(0); err != nil {
				t.Fatal(err)
			}
		}
		before := w.shard.Stats().Merges
		for i := range 30 {
			apply(now + int64(i)*int64(time.Second))
		}
		infos, err := w.shard.Infos()
		if err != nil {
			t.Fatal(err)
		}
		through, over := engine.OverBudget(0, infos)
		if window := segment.WindowOf(now); !over || through != window-10 {
			t.Errorf("%v ahead: all through window %d go, %v; want %d before that which is written to", ahead, through, over, window-10)
		}
		return w.shard.Stats().Merges - before
	}
	for _, restart := range []bool{false, true} {
		usual := merges(0, restart)
		if usual == 0 {
			t.Fatal("no merge at all")
		}
		for _, ahead := range []time.Duration{300 * 24 * time.Hour, 74 * 365 * 24 * time.Hour} {
			if got := merges(ahead, restart); got > usual+1 {
				t.Errorf("after an entry %v ahead %d merges, without it %d; restart %v", ahead, got, usual, restart)
			}
		}
	}
}
