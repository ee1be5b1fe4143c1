package engine_test

import (
	"context"
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

// sizedTraces is a request of n small spans of as many traces.
func sizedTraces(first, n int) []byte {
	list := make([]enginetest.Sized, n)
	for i := range list {
		list[i] = enginetest.Sized{Trace: first + i, At: uint64(first+i) * 1000, Bytes: 10}
	}
	return enginetest.SizedPayload(list...)
}

// A merge goes on without a pause where segments that none has met yet pile up.
func TestAMergeDoesNotPauseWhereSegmentsPileUp(t *testing.T) {
	for segments, pauses := range map[int]bool{20: true, 30: false} {
		var paused atomic.Int32
		s, err := engine.Open(engine.Options{FS: vfs.NewCrash(1), Dir: worldDir, ManualCompaction: true, Pause: func() { paused.Add(1) }})
		if err != nil {
			t.Fatal(err)
		}
		rows := 2*engine.StretchRows/segments + 1
		for i := range segments {
			entry := &engine.Entry{Received: 1, Parts: []engine.Part{partOf(sizedTraces(i*rows, rows))}}
			if _, err := s.Apply(uint64(i+1), entry); err != nil {
				t.Fatal(err)
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
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
