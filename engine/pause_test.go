package engine_test

import (
	"context"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/internal/vfs"
)

// A flush and a merge pause after each stretch of rows, also of one long trace; a flush does so once more
// while it finds the templates of eight stretches.
func TestFlushAndMergePauseAfterEachStretch(t *testing.T) {
	const stretches = 8
	for name, request := range map[string]func(i int) []byte{
		"one trace":   func(i int) []byte { return enginetest.Long(i*engine.StretchRows, engine.StretchRows) },
		"many traces": func(i int) []byte { return sizedTraces(i*engine.StretchRows, engine.StretchRows) },
	} {
		var pauses atomic.Int32
		s, err := engine.Open(engine.Options{FS: vfs.NewCrash(1), Dir: worldDir, ManualCompaction: true, Pause: func() { pauses.Add(1) }})
		if err != nil {
			t.Fatal(err)
		}
		for segment := range 2 {
			for i := range stretches {
				seq := segment*stretches + i + 1
				if _, err := s.Apply(uint64(seq), &engine.Entry{Received: 1, Parts: []engine.Part{partOf(request(seq))}}); err != nil {
					t.Fatal(err)
				}
			}
			pauses.Store(0)
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			// A long trace goes to the writer whole.
			if got := pauses.Load(); got == 0 || name == "many traces" && got != stretches+1 {
				t.Errorf("%s: a flush of %d stretches paused %d times", name, stretches, got)
			}
		}
		pauses.Store(0)
		if err := s.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := pauses.Load(); got == 0 {
			t.Errorf("%s: a merge of %d stretches did not pause", name, 2*stretches)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// While a write waits for a flush, that of another shard of the node included, flushes go on
// without a pause.
func TestAFlushThatAWriteWaitsForDoesNotPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pauses atomic.Int32
		goOn := make(chan struct{})
		gate := engine.NewGate()
		part := partOf(sizedTraces(0, 8*engine.StretchRows))
		shards := make([]*engine.Shard, 2)
		for i := range shards {
			var err error
			shards[i], err = engine.Open(engine.Options{
				FS: vfs.NewCrash(1), Dir: worldDir, Gate: gate, ManualCompaction: true, MemtableBytesMax: int64(part.Bytes),
				Pause: func() { pauses.Add(1); <-goOn },
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		apply := func(shard, seq int) {
			p := partOf(sizedTraces(seq*8*engine.StretchRows, 8*engine.StretchRows))
			if _, err := shards[shard].Apply(uint64(seq), &engine.Entry{Received: 1, Parts: []engine.Part{p}}); err != nil {
				t.Error(err)
			}
		}
		apply(0, 1) // is frozen, and its flush pauses
		synctest.Wait()
		apply(1, 1) // is frozen, and its flush waits for the other's turn to end
		done := make(chan struct{})
		go func() { apply(1, 2); close(done) }() // waits for that
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("the write did not wait")
		default:
		}
		if got := pauses.Load(); got != 1 {
			t.Fatalf("%d pauses before the write waits", got)
		}
		goOn <- struct{}{}
		<-done
		synctest.Wait()
		// The last memtable's flush has nobody who waits for it.
		if got := pauses.Load(); got != 2 {
			t.Errorf("%d pauses, 2 without those beside a write that waits", got)
		}
		close(goOn)
		for _, s := range shards {
			if err := s.Flush(context.Background()); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// fillSegments flushes so many segments of so many rows.
func fillSegments(t *testing.T, s *engine.Shard, segments, rows int) {
	t.Helper()
	for range segments {
		fillSegment(t, s, rows, 1)
	}
}

// fillSegment flushes one, of rows that came then.
func fillSegment(t *testing.T, s *engine.Shard, rows int, received int64) {
	t.Helper()
	seq := s.Applied() + 1
	entry := &engine.Entry{Received: received, Parts: []engine.Part{partOf(sizedTraces(int(seq)*10_000, rows))}}
	if _, err := s.Apply(seq, entry); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A merge goes on without a pause where more than 24 segments have met none yet.
func TestAMergeDoesNotPauseWhereSegmentsPileUp(t *testing.T) {
	for segments, pauses := range map[int]bool{24: true, 25: false} {
		var paused atomic.Int32
		s, err := engine.Open(engine.Options{FS: vfs.NewCrash(1), Dir: worldDir, ManualCompaction: true, Pause: func() { paused.Add(1) }})
		if err != nil {
			t.Fatal(err)
		}
		fillSegments(t, s, segments, 2*engine.StretchRows/segments+1)
		paused.Store(0)
		if err := s.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := paused.Load() > 0; got != pauses {
			t.Errorf("merging %d segments paused: %v, want %v", segments, got, pauses)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// pausingShards are two of one gate, whose flushes and merges tell of each pause and go on when told.
func pausingShards(t *testing.T, o engine.Options) (shards [2]*engine.Shard, paused [2]chan struct{}, goOn chan struct{}) {
	goOn = make(chan struct{})
	o.Gate = engine.NewGate()
	for i := range shards {
		paused[i] = make(chan struct{}, 1000)
		o.FS, o.Dir, o.Shard, o.ManualCompaction = vfs.NewCrash(1), worldDir, uint32(i), true
		o.Pause = func() { paused[i] <- struct{}{}; <-goOn }
		s, err := engine.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		shards[i] = s
	}
	return shards, paused, goOn
}

// A merge goes on without a pause while one of another shard waits for it, in which segments pile up: when
// it begins to wait or later. It pauses while others wait, and while nobody does.
func TestAMergeThatKeepsSegmentsPiledUpDoesNotPause(t *testing.T) {
	for name, c := range map[string]struct {
		segments, later int
		waits, pauses   bool
	}{
		"few wait": {24, 0, true, true}, "many wait": {25, 0, true, false}, "many come while it waits": {20, 5, true, false},
		"many, and none waits": {25, 0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shards, paused, goOn := pausingShards(t, engine.Options{})
				go func() { // no flush waits
					for range 12 {
						goOn <- struct{}{}
					}
				}()
				fillSegments(t, shards[0], 2, 6*engine.StretchRows)
				fillSegments(t, shards[1], c.segments, 10)
				synctest.Wait()
				before := len(paused[0])
				done := make(chan error, 2)
				go func() { done <- shards[0].Compact(context.Background()) }()
				synctest.Wait() // it pauses
				if c.waits {
					go func() { done <- shards[1].Compact(context.Background()) }()
					synctest.Wait()
				} else {
					done <- nil
				}
				fillSegments(t, shards[1], c.later, 10)
				goOn <- struct{}{}
				synctest.Wait()
				if got := len(paused[0]) - before; got > 1 != c.pauses {
					t.Errorf("a merge paused %d times, want more than once: %v", got, c.pauses)
				}
				close(goOn)
				for range 2 {
					if err := <-done; err != nil {
						t.Error(err)
					}
				}
				for _, s := range shards {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// Who drops segments waits for no merge of another shard, though one of the own shard waits for that.
func TestDroppingSegmentsWaitsForNoMergeOfAnotherShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shards, _, goOn := pausingShards(t, engine.Options{Compaction: fewMerge})
		go func() {
			for range 12 {
				goOn <- struct{}{}
			}
		}()
		fillSegments(t, shards[0], 2, 6*engine.StretchRows)
		fillSegments(t, shards[1], 3, 10)
		synctest.Wait()
		done := make(chan error, 3)
		go func() { done <- shards[0].Compact(context.Background()) }()
		synctest.Wait() // it pauses
		go func() { done <- shards[1].Compact(context.Background()) }()
		go func() { done <- shards[1].Settle(context.Background()) }()
		synctest.Wait()
		if len(done) > 0 {
			t.Fatal("a merge did not wait for its place")
		}
		dropped := make(chan int, 1)
		go func() {
			n, err := shards[1].DropThrough(math.MaxInt64)
			if err != nil {
				t.Error(err)
			}
			dropped <- n
		}()
		synctest.Wait()
		select {
		case n := <-dropped:
			if n != 3 {
				t.Errorf("%d segments dropped, want 3", n)
			}
		default:
			t.Error("who drops segments waits for a merge of another shard")
		}
		close(goOn)
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		for _, s := range shards {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// While a write waits for room that a flush will give, which is another bound than that of its shard's
// own frozen memtable, flushes go on without a pause.
func TestAFlushThatAWriteWaitsForRoomForDoesNotPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		part := partOf(sizedTraces(0, 8*engine.StretchRows))
		// Two memtables of a part are sealed alone; what both shards hold may be one and a half.
		shards, paused, goOn := pausingShards(t, engine.Options{MemtableBytesMax: int64(part.Bytes), RoomBytes: int64(part.Bytes) * 3 / 4})
		apply := func(shard, seq, rows int) {
			p := partOf(sizedTraces(seq*8*engine.StretchRows, rows))
			if _, err := shards[shard].Apply(uint64(seq), &engine.Entry{Received: 1, Parts: []engine.Part{p}}); err != nil {
				t.Error(err)
			}
		}
		apply(0, 1, 8*engine.StretchRows) // is frozen, and its flush pauses
		synctest.Wait()
		apply(1, 1, 6*engine.StretchRows) // there is room for it still, but no more behind it
		done := make(chan struct{})
		go func() { apply(1, 2, 1); close(done) }()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("the write did not wait")
		default:
		}
		if got := len(paused[0]); got != 1 {
			t.Fatalf("%d pauses before the write waits", got)
		}
		goOn <- struct{}{}
		synctest.Wait()
		select {
		case <-done:
		default:
			t.Error("a flush pauses while a write waits for the room that it gives")
		}
		close(goOn)
		<-done
		for _, s := range shards {
			if err := s.Flush(context.Background()); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// sizedTraces is a request of n small spans of as many traces.
func sizedTraces(first, n int) []byte {
	list := make([]enginetest.Sized, n)
	for i := range list {
		list[i] = enginetest.Sized{Trace: first + i, At: uint64(first+i) * 1000, Bytes: 10}
	}
	return enginetest.SizedPayload(list...)
}
