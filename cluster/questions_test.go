package cluster_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/internal/vfs"
)

// numberedTraces is a request of n spans of as many traces, from the first on.
func numberedTraces(first, n int) []byte {
	list := make([]enginetest.Sized, n)
	for i := range list {
		list[i] = enginetest.Sized{Trace: first + i, At: uint64(first+i) * 1_000_000, Bytes: 10}
	}
	return enginetest.SizedPayload(list...)
}

// While a question is in flight half of the turns are left for requests: who finds them taken waits
// until his context ends. Without a question he does not, and a walk that began beside one leaves
// its turn.
func TestRequestsLeaveHalfOfTheTurnsToQuestions(t *testing.T) {
	questions, shared := cluster.NewQuestions(), cluster.NewShared()
	o := small(vfs.NewCrash(1))
	o.Shared, o.Questions = shared, questions
	store := open(t, o)
	half, all := cluster.WriterTurns(shared)
	if half != max(1, all/2) {
		t.Errorf("%d of %d turns are left beside questions", half, all)
	}
	write(t, store, enginetest.Numbered(1))
	questions.Begin()
	for i := range 2 * all {
		write(t, store, enginetest.Numbered(2+i)) // each leaves its turn
	}
	free := cluster.TakeTurnsBesideQuestions(shared)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Write(ended, enginetest.Numbered(100)); !errors.Is(err, context.Canceled) {
		t.Fatalf("beside a question, without a turn: %v", err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := store.Write(context.Background(), enginetest.Numbered(101))
		waiting <- err
	}()
	questions.End()
	write(t, store, enginetest.Numbered(102))
	free()
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	questions.Begin()
	defer questions.End()
	freeAll := cluster.TakeWriterTurns(shared)
	if _, err := store.Write(ended, enginetest.Numbered(103)); !errors.Is(err, context.Canceled) {
		t.Fatalf("without any turn: %v", err)
	}
	freeAll()
	write(t, store, enginetest.Numbered(103)) // who gave up has left the turn beside questions
}

// A round works for all of its shards at once, and while questions are in flight on half of the
// processors; all are done then too.
func TestARoundLeavesHalfOfTheProcessorsToQuestions(t *testing.T) {
	half, processors := cluster.WriterTurns(cluster.NewShared())
	for _, ask := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			questions, gate := cluster.NewQuestions(), make(chan struct{})
			shards := make([]*fakeShard, 2*processors+1)
			parts := make([][]engine.Part, len(shards))
			for i := range shards {
				shards[i] = newFakeShard(&fakeLog{})
				shards[i].gate = gate
				parts[i] = []engine.Part{partOf(uint64(i), 512<<10)}
			}
			group := newDirectBeside(questions, shards...)
			want := len(shards)
			if ask {
				questions.Begin()
				want = half
			}
			done := make(chan error, 1)
			go func() { done <- group.Propose(context.Background(), parts) }()
			for left := len(shards); left > 0; left-- {
				synctest.Wait()
				inside := 0
				for _, s := range shards {
					inside += int(s.inside.Load())
				}
				if inside != min(want, left) {
					t.Errorf("asked %v: %d shards at once with %d left, want %d", ask, inside, left, min(want, left))
				}
				gate <- struct{}{}
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			group.Close()
		})
	}
}

// However many questions there are and however long they take, what is written is taken, flushed and
// merged; one that waits for the flush itself is no exception.
func TestNothingStandsStillUnderEndlessQuestions(t *testing.T) {
	questions := cluster.NewQuestions()
	o := small(vfs.NewCrash(1))
	o.Questions = questions
	store := open(t, o)
	questions.Begin() // for ever
	ctx, stop := context.WithCancel(t.Context())
	var asking, writing sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for ctx.Err() == nil {
				questions.Begin()
				if _, err := store.Services(context.Background()); err != nil {
					t.Error(err)
				}
				questions.End()
			}
		})
	}
	const writers, requests, spans = 4, 4, 700
	for w := range writers {
		writing.Go(func() {
			for i := range requests {
				if _, err := store.Write(context.Background(), numberedTraces((w*requests+i)*spans, spans)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	for _, work := range []func(context.Context) error{store.Flush, store.Settle, store.Compact} {
		if err := work(t.Context()); err != nil {
			t.Error(err)
		}
	}
	rows, merges := int64(0), 0
	for i, shard := range store.Stats().Shards {
		rows, merges = rows+shard.SegmentRows, merges+shard.Merges
		if shard.Segments != 1 {
			t.Errorf("shard %d has %d segments after compaction", i, shard.Segments)
		}
	}
	if rows != writers*requests*spans || merges == 0 {
		t.Errorf("%d rows after %d merges, want %d", rows, merges, writers*requests*spans)
	}
	stop()
	asking.Wait()
	shut(t, store)
}

// A flush and a merge wait while a question is in flight, and go on when the last has ended; without
// one they do not wait at all. The time is not that of a clock: it goes on only where all wait.
func TestFlushAndMergeWaitForQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		questions := cluster.NewQuestions()
		o := small(vfs.NewCrash(1))
		o.Shards, o.MemtableBytesMax, o.Questions = 1, 64<<20, questions
		store := open(t, o)
		const rows = 10 * engine.StretchRows
		next := 0
		took := func(work func(context.Context) error) time.Duration {
			begin := time.Now()
			if err := work(context.Background()); err != nil {
				t.Fatal(err)
			}
			return time.Since(begin)
		}
		add := func() {
			write(t, store, numberedTraces(next, rows))
			next += rows
		}
		add()
		if d := took(store.Flush); d != 0 {
			t.Errorf("without questions a flush waited %v", d)
		}
		add()
		questions.Begin()
		whole := took(store.Flush)
		if whole == 0 {
			t.Error("a flush did not wait for a question")
		}
		if d := took(store.Compact); d == 0 {
			t.Error("a merge did not wait for a question")
		}
		add()
		questions.Begin()
		go func() {
			time.Sleep(whole / 4)
			questions.End()
			time.Sleep(whole / 4)
			questions.End()
		}()
		if d := took(store.Flush); d != whole/4*2 {
			t.Errorf("a flush waited %v for questions of %v, for an endless one %v", d, whole/2, whole)
		}
		if d := took(store.Compact); d != 0 {
			t.Errorf("after the last question a merge waited %v", d)
		}
		shut(t, store)
	})
}
