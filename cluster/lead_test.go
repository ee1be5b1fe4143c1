package cluster_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
	"github.com/stoadb/stoa/internal/vfs"
)

// A leader ends its round whatever becomes of its context, because others may be in it
// and nobody else would. It knows the outcome then, and says it.
func TestLeaderWhoseContextEndsFinishesItsRound(t *testing.T) {
	log := &fakeLog{gate: make(chan error)}
	shard := newFakeShard(log)
	group := newDirect(shard)
	ctx, cancel := context.WithCancel(context.Background())
	leader, other := make(chan error, 1), make(chan error, 1)
	go func() { leader <- group.Propose(ctx, [][]engine.Part{{partOf(1, 10)}}) }()
	waitUntil(t, "the append is in flight", func() bool { return log.waiting.Load() == 1 })
	cancel()
	go func() { other <- propose(group, partOf(1, 10), partOf(2, 10)) }()
	waitUntil(t, "the second request is in flight", func() bool { return group.Stats(0).Parts == 3 })
	log.gate <- nil
	log.gate <- nil
	if err := <-leader; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("the leader was answered %v", err)
	}
	if err := <-other; err != nil {
		t.Errorf("the other was answered %v", err)
	}
	group.Close()
	if got := shard.hashes(); len(got) != 2 {
		t.Errorf("%d parts applied", len(got))
	}
}

// One who gives up while he waits is answered at once, and his part is not lost: where
// nobody else waits, it needs no request to be finished.
func TestPartsOfOneWhoGivesUpAreFinished(t *testing.T) {
	log := &fakeLog{gate: make(chan error)}
	shard := newFakeShard(log)
	group := newDirect(shard)
	ctx, cancel := context.WithCancel(context.Background())
	leader, waiter := make(chan error, 1), make(chan error, 1)
	go func() { leader <- propose(group, partOf(1, 10)) }()
	waitUntil(t, "the append is in flight", func() bool { return log.waiting.Load() == 1 })
	go func() { waiter <- group.Propose(ctx, [][]engine.Part{{partOf(2, 10)}}) }()
	waitUntil(t, "the second request waits", func() bool { return group.Stats(0).Parts == 2 })
	cancel()
	if err := <-waiter; !errors.Is(err, context.Canceled) {
		t.Errorf("the waiter was answered %v", err)
	}
	log.gate <- nil
	if err := <-leader; err != nil {
		t.Errorf("the leader was answered %v", err)
	}
	log.gate <- nil // nobody waits for this round
	group.Close()
	if got := shard.hashes(); len(got) != 2 {
		t.Errorf("%d parts applied", len(got))
	}
}

// Requests that give up at any moment, as chosen leaders and as copies too, leave nothing
// behind that is stuck or lost.
func TestLeadOutlivesThoseWhoGiveUp(t *testing.T) {
	log := &fakeLog{gate: make(chan error)}
	shards := []*fakeShard{newFakeShard(log), newFakeShard(&fakeLog{})}
	group := newDirect(shards...)
	stop := make(chan struct{})
	var syncs, all sync.WaitGroup
	syncs.Go(func() {
		for {
			select {
			case log.gate <- nil:
			case <-stop:
				close(log.gate)
				return
			}
		}
	})
	const requests = 5000
	for n := range uint64(requests) {
		parts := [][]engine.Part{{partOf(n, 10), partOf(n/2, 10)}, {partOf(n, 10)}}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(3000))*time.Microsecond)
			defer cancel()
			if err := group.Propose(ctx, parts); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("request %d: %v", n, err)
			}
		})
	}
	all.Wait()
	group.Close()
	close(stop)
	syncs.Wait()
	want := make(map[codec.Hash]bool)
	for n := range uint64(requests) {
		want[partOf(n, 10).Hash] = true
	}
	for _, shard := range shards {
		checkLog(t, shard.log, shard, want)
	}
}

// A shard whose flush is behind keeps only those waiting who need it, and what comes for
// it meanwhile stays behind what it holds.
func TestShardThatIsHeldKeepsNoOtherWaiting(t *testing.T) {
	slow, quick := newFakeShard(&fakeLog{}), newFakeShard(&fakeLog{})
	slow.gate = make(chan struct{})
	slow.behind.Store(true)
	group := newDirect(slow, quick)
	answers := make(chan error, 4)
	send := func(parts [][]engine.Part) { go func() { answers <- group.Propose(context.Background(), parts) }() }
	send([][]engine.Part{{partOf(1, 10)}, {partOf(1, 10)}})
	waitUntil(t, "the slow shard applies", func() bool { return slow.inside.Load() == 1 })
	waitUntil(t, "the quick one has applied", func() bool { return len(quick.hashes()) == 1 })
	for n := range uint64(100) {
		if err := group.Propose(context.Background(), [][]engine.Part{nil, {partOf(10+n, 10)}}); err != nil {
			t.Fatal(err)
		}
	}
	send([][]engine.Part{{partOf(2, 10), partOf(1, 10)}, {partOf(2, 10)}})
	waitUntil(t, "the second request waits", func() bool { return group.Stats(0).Parts == 3 && len(quick.hashes()) == 102 })
	if slow.log.Last() != 1 {
		t.Errorf("%d entries in the log of a shard that is held", slow.log.Last())
	}
	select {
	case err := <-answers:
		t.Fatalf("answered %v before it was applied", err)
	default:
	}
	slow.behind.Store(false)
	close(slow.gate)
	for range 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	group.Close()
	for _, s := range []*fakeShard{slow, quick} {
		if s.failure != nil {
			t.Error(s.failure)
		}
	}
}

// A leader that waits in Apply, against expectation, goes on when the flush has ended, and
// so does everybody behind it.
func TestLeaderThatWaitsInApplyGoesOn(t *testing.T) {
	slow, quick := newFakeShard(&fakeLog{}), newFakeShard(&fakeLog{})
	slow.gate = make(chan struct{})
	group := newDirect(slow, quick)
	const requests = 50
	answers := make(chan error, requests)
	for n := range uint64(requests) {
		go func() {
			answers <- group.Propose(context.Background(), [][]engine.Part{{partOf(n, 10)}, {partOf(n, 10)}})
		}()
	}
	waitUntil(t, "a leader waits in Apply", func() bool { return slow.inside.Load() == 1 })
	if err := group.Tick(1); err != nil {
		t.Error(err)
	}
	close(slow.gate)
	for range requests {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	group.Close()
	if len(slow.hashes()) != requests || len(quick.hashes()) != requests {
		t.Errorf("%d and %d parts applied of %d", len(slow.hashes()), len(quick.hashes()), requests)
	}
}

// Thousands at once on one shard are all answered, in few appends.
func TestThousandsOfWritersShareAppends(t *testing.T) {
	log := &fakeLog{gate: make(chan error)}
	shard := newFakeShard(log)
	group := newDirect(shard)
	const writers, each = 2000, 5
	want := make(map[codec.Hash]bool)
	var all sync.WaitGroup
	for n := range uint64(writers) {
		for i := range uint64(each) {
			want[partOf(n*each+i, 20).Hash] = true
		}
		all.Go(func() {
			for i := range uint64(each) {
				if err := propose(group, partOf(n*each+i, 20)); err != nil {
					t.Errorf("writer %d: %v", n, err)
				}
			}
		})
	}
	waitUntil(t, "all write", func() bool { return group.Stats(0).Parts == writers })
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	for running := true; running; time.Sleep(time.Millisecond) { // what a disk takes
		select {
		case log.gate <- nil:
		case <-done:
			running = false
		}
	}
	group.Close()
	checkLog(t, log, shard, want)
	if log.appends > writers*each/20 {
		t.Errorf("%d appends for %d parts of %d writers at once", log.appends, writers*each, writers)
	}
}

// Close under load refuses what comes and decides what came before: an OK is in the log
// and applied, and nothing moves after Close has returned.
func TestCloseUnderLoadDecidesEverything(t *testing.T) {
	for range 50 {
		shards := []*fakeShard{newFakeShard(&fakeLog{}), newFakeShard(&fakeLog{})}
		group := newDirect(shards...)
		var ok atomic.Int64
		var all sync.WaitGroup
		for writer := range uint64(20) {
			all.Go(func() {
				for i := uint64(0); ; i++ {
					p := partOf(writer<<32|i, 20)
					err := group.Propose(context.Background(), [][]engine.Part{{p}, {p}})
					if errors.Is(err, span.ErrUnavailable) {
						return
					}
					if err != nil {
						t.Error(err)
					}
					ok.Add(1)
				}
			})
		}
		time.Sleep(time.Millisecond)
		group.Close()
		applied := []int{len(shards[0].hashes()), len(shards[1].hashes())}
		all.Wait()
		for i, s := range shards {
			if int64(applied[i]) != ok.Load() || len(s.hashes()) != applied[i] || s.failure != nil {
				t.Fatalf("shard %d: %d acknowledged, %d applied when Close returned, %d later; %v", i, ok.Load(), applied[i], len(s.hashes()), s.failure)
			}
		}
	}
}

// After a failed append those who were in it and those who wait behind it get the error,
// on every shard, and no other append is tried.
func TestFailedAppendAnswersAllWhoWait(t *testing.T) {
	log := &fakeLog{gate: make(chan error)}
	shards := []*fakeShard{newFakeShard(&fakeLog{}), newFakeShard(log)}
	group := newDirect(shards...)
	const behind = 100
	answers := make(chan error, behind+1)
	send := func(n uint64) {
		go func() {
			answers <- group.Propose(context.Background(), [][]engine.Part{{partOf(n, 10)}, {partOf(n, 10)}})
		}()
	}
	send(0)
	waitUntil(t, "the append is in flight", func() bool { return log.waiting.Load() == 1 })
	for n := range uint64(behind) {
		send(n + 1)
	}
	waitUntil(t, "the others wait", func() bool { return group.Stats(1).Parts == behind+1 })
	failure := errors.New("EIO")
	log.gate <- failure
	for range behind + 1 {
		if err := <-answers; !errors.Is(err, span.ErrUnavailable) || !errors.Is(err, failure) {
			t.Errorf("answered %v", err)
		}
	}
	if err := propose(group, partOf(1000, 10)); !errors.Is(err, failure) {
		t.Errorf("after the failure: %v", err)
	}
	if err := group.Tick(0); !errors.Is(err, failure) {
		t.Errorf("a tick after the failure: %v", err)
	}
	group.Close()
	if n := len(shards[0].hashes()) + len(shards[1].hashes()); n != 0 || log.appends != 0 {
		t.Errorf("%d parts applied, %d appends", n, log.appends)
	}
}

// A request that comes alone costs one commit of the log, whatever number of shards it
// is cut for.
func TestLoneRequestIsOneCommit(t *testing.T) {
	o := small(vfs.NewCrash(1))
	o.MemtableBytesMax = 1 << 20
	s := open(t, o)
	defer shut(t, s)
	if s.Shards() < 2 {
		t.Fatalf("%d shards", s.Shards())
	}
	g := enginetest.NewGenerator(3, 40)
	before := s.Stats()
	const requests = 20
	for range requests {
		write(t, s, enginetest.Payload(g.Spans(60)))
	}
	after := s.Stats()
	if got := after.Log.Groups - before.Log.Groups; got != requests {
		t.Errorf("%d commits for %d requests one after another", got, requests)
	}
	if got := after.Log.Entries - before.Log.Entries; got <= requests {
		t.Errorf("%d entries: the requests were not cut", got)
	}
}

// BenchmarkPropose is what the way from request to log and back costs without a disk: 4
// parts of a small request, one for each of 4 shards, from so many callers at once.
func BenchmarkPropose(b *testing.B) {
	for _, callers := range []int{1, 4, 64} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			var shards []*fakeShard
			for range 4 {
				shards = append(shards, newFakeShard(&fakeLog{}))
			}
			group := newDirect(shards...)
			var next atomic.Uint64
			b.ReportAllocs()
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for n := next.Add(1); n <= uint64(b.N); n = next.Add(1) {
						parts := make([][]engine.Part, 4)
						for i := range parts {
							parts[i] = []engine.Part{partOf(n, 2000)}
						}
						if err := group.Propose(context.Background(), parts); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			group.Close()
		})
	}
}

// A panic in the round of a leader fails that round for all who are in it, and everybody
// after: whoever serves the request may survive the panic, and nobody waits for a leader who
// is gone.
func TestAPanicOfTheLeaderLeavesNobodyWaiting(t *testing.T) {
	log := &fakeLog{}
	group := cluster.NewDirect(at0, nil, cluster.DirectShard{Log: log, Shard: panickingShard{newFakeShard(log)}})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = propose(group, partOf(1, 10)) // panics
	}()
	if err := propose(group, partOf(2, 10)); !errors.Is(err, span.ErrUnavailable) {
		t.Errorf("after the panic a request was answered %v", err)
	}
	group.Close()
}

// panickingShard is wrong code in Apply.
type panickingShard struct{ *fakeShard }

func (panickingShard) Apply(uint64, *engine.Entry) (engine.Applied, error) {
	invariant.Check(false, "wrong code")
	return engine.Applied{}, nil
}
