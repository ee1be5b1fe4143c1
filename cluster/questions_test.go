package cluster_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
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

// processorsLeft tells what is left to walks and rounds of so many processors beside so many questions.
var processorsLeft = []struct{ processors, questions, left int }{
	{1, 0, 1}, {1, 1, 1}, {2, 0, 2}, {2, 1, 1}, {2, 9, 1}, {3, 1, 1}, {4, 1, 2}, {4, 2, 1},
	{16, 0, 16}, {16, 1, 14}, {16, 2, 12}, {16, 7, 2}, {16, 8, 1}, {16, 100, 1},
}

// Each question in flight is left two processors, and requests one at least; all when none is in
// flight any more, even those who wait then.
func TestRequestsLeaveTwoProcessorsToEachQuestion(t *testing.T) {
	for _, c := range processorsLeft {
		synctest.Test(t, func(t *testing.T) {
			cluster.SetProcessors(t, c.processors)
			questions, shared := cluster.NewQuestions(), cluster.NewShared()
			for range c.questions {
				questions.Begin()
			}
			var inside atomic.Int64
			var all sync.WaitGroup
			release := make(chan struct{})
			for range c.processors + 1 {
				all.Go(func() {
					leave, err := cluster.TakeTurn(context.Background(), shared, questions)
					if err != nil {
						t.Error(err)
						return
					}
					inside.Add(1)
					<-release
					leave()
				})
			}
			synctest.Wait()
			if n := int(inside.Load()); n != c.left {
				t.Errorf("%d processors, %d questions: %d walks at once, want %d", c.processors, c.questions, n, c.left)
			}
			for range c.questions {
				questions.End()
			}
			synctest.Wait()
			if n := int(inside.Load()); n != c.processors {
				t.Errorf("%d processors, %d questions have ended: %d walks at once", c.processors, c.questions, n)
			}
			close(release)
			all.Wait()
		})
	}
}

// A round works for all of its shards at once, and while questions are in flight on the processors
// that they leave; all are done then too.
func TestARoundLeavesTwoProcessorsToEachQuestion(t *testing.T) {
	for _, c := range processorsLeft {
		synctest.Test(t, func(t *testing.T) {
			cluster.SetProcessors(t, c.processors)
			questions, gate := cluster.NewQuestions(), make(chan struct{})
			shards := make([]*fakeShard, c.processors+1)
			parts := make([][]engine.Part, len(shards))
			for i := range shards {
				shards[i] = newFakeShard(&fakeLog{})
				shards[i].gate = gate
				parts[i] = []engine.Part{partOf(uint64(i), 512<<10)}
			}
			group := newDirectBeside(questions, shards...)
			want := len(shards)
			if c.questions > 0 {
				want = c.left
			}
			for range c.questions {
				questions.Begin()
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
					t.Errorf("%d processors, %d questions: %d shards at once with %d left, want %d",
						c.processors, c.questions, inside, left, min(want, left))
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

// A write waits while a question is in flight and another has the turn that is left, and goes on when
// End comes; beside a question that never ends it goes on after a rest of three times what the walk
// before it took, which has a bound. The time is not that of a clock: it goes on only where all wait.
func TestAWriteWaitsForQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster.SetProcessors(t, 2)
		questions, shared := cluster.NewQuestions(), cluster.NewShared()
		o := small(vfs.NewCrash(1))
		o.Shared, o.Questions = shared, questions
		store := open(t, o)
		walk := func() (leave func()) {
			leave, err := cluster.TakeTurn(t.Context(), shared, questions)
			if err != nil {
				t.Fatal(err)
			}
			return leave
		}
		var written atomic.Bool
		begin := func(i int) (done chan struct{}) {
			written.Store(false)
			done = make(chan struct{})
			go func() {
				defer close(done)
				write(t, store, enginetest.Numbered(i))
				written.Store(true)
			}()
			synctest.Wait()
			return done
		}

		questions.Begin()
		leave := walk()
		done := begin(1)
		time.Sleep(time.Hour)
		if written.Load() {
			t.Error("a write did not wait for its turn beside a question")
		}
		questions.End()
		if synctest.Wait(); !written.Load() {
			t.Error("a write waited when no question was in flight any more")
		}
		<-done
		leave()
		time.Sleep(time.Second) // the rest after it is over
		if begin(2); !written.Load() {
			t.Error("a write waited without questions")
		}

		questions.Begin() // for ever
		for i, c := range []struct{ walked, rest time.Duration }{
			{4 * time.Millisecond, 12 * time.Millisecond}, {time.Minute, 50 * time.Millisecond},
		} {
			leave := walk()
			done := begin(10 + i)
			time.Sleep(c.walked)
			leave()
			left := time.Now()
			if <-done; time.Since(left) != c.rest {
				t.Errorf("after a walk of %v a write waited %v, want %v", c.walked, time.Since(left), c.rest)
			}
		}
		shut(t, store)
	})
}

// Beside questions that never end requests are walked in the order in which they came, a quarter of
// the time; one that gives up makes nobody wait.
func TestRequestsKeepTheirOrderBesideQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster.SetProcessors(t, 2)
		questions, shared := cluster.NewQuestions(), cluster.NewShared()
		questions.Begin() // for ever
		const requests, walked, period = 20, 2 * time.Millisecond, 8 * time.Millisecond
		begin, next := time.Now(), 0
		var all sync.WaitGroup
		for i := range requests {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			givesUp := i%3 == 1
			all.Go(func() {
				leave, err := cluster.TakeTurn(ctx, shared, questions)
				if givesUp {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("request %d gave up: %v", i, err)
					}
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				if waited := time.Since(begin); waited != time.Duration(next)*period {
					t.Errorf("request %d was walked after %v, want %v", i, waited, time.Duration(next)*period)
				}
				next++
				time.Sleep(walked)
				leave()
			})
			synctest.Wait() // so it stands behind those before it
			if givesUp {
				cancel()
			}
		}
		all.Wait()
	})
}

// What a round works beside a question is rested for as well, and the rest goes on when the question has
// ended; what is worked without one is not rested for.
func TestARestFollowsARoundBesideQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster.SetProcessors(t, 2)
		questions, shared := cluster.NewQuestions(), cluster.NewShared()
		shard := newFakeShard(&fakeLog{})
		shard.gate = make(chan struct{})
		group := newDirectBeside(questions, shard)
		next := uint64(0)
		round := func(d time.Duration) {
			done := make(chan error, 1)
			next++
			go func() { done <- group.Propose(context.Background(), [][]engine.Part{{partOf(next, 10)}}) }()
			time.Sleep(d)
			shard.gate <- struct{}{}
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		rest := func() time.Duration {
			begin := time.Now()
			leave, err := cluster.TakeTurn(context.Background(), shared, questions)
			if err != nil {
				t.Fatal(err)
			}
			leave()
			return time.Since(begin)
		}
		round(5 * time.Millisecond)
		questions.Begin()
		if d := rest(); d != 0 {
			t.Errorf("after a round without questions a walk rested %v", d)
		}
		round(5 * time.Millisecond)
		round(5 * time.Millisecond)
		if d := rest(); d != 30*time.Millisecond { // the second has worked for 5 ms of the first one's
			t.Errorf("after two rounds of 5 ms a walk rested %v", d)
		}
		round(5 * time.Millisecond)
		go func() {
			time.Sleep(time.Millisecond)
			questions.End()
		}()
		if d := rest(); d != 15*time.Millisecond {
			t.Errorf("after a round of 5 ms and the question's end 1 ms later a walk rested %v", d)
		}
		questions.Begin()
		go func() {
			time.Sleep(3 * time.Millisecond)
			questions.End()
		}()
		round(5 * time.Millisecond)
		if d := rest(); d != 15*time.Millisecond {
			t.Errorf("after a round of 5 ms, 3 of them beside a question, a walk rested %v", d)
		}
		round(5 * time.Millisecond)
		if d := rest(); d != 0 {
			t.Errorf("after the last question a walk rested %v", d)
		}
		group.Close()
	})
}

// However many questions there are and however long they take, what is written is taken, flushed and
// merged.
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
