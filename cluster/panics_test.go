package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
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

// wantCaught looks whether work panicked, with the stack of the code that did.
func wantCaught(t *testing.T, where string, work func()) {
	t.Helper()
	caught := invariant.Caught(work)
	switch {
	case caught == nil:
		t.Error("the panic was swallowed")
	case !strings.Contains(caught.Error(), "wrong code") || !strings.Contains(caught.Stack, where):
		t.Errorf("caught %v", caught)
	}
}

// A panic in one shard of a large round, whichever goroutine works on it, is that of who leads it, when
// the other shard is done; nobody waits behind it.
func TestAPanicInALargeRoundIsTheLeaders(t *testing.T) {
	cluster.SetProcessors(t, 2)
	for panics := range 2 {
		members, shards := make([]cluster.DirectShard, 2), make([]*fakeShard, 2)
		for i := range shards {
			shards[i] = newFakeShard(&fakeLog{})
			members[i] = cluster.DirectShard{Log: shards[i].log, Shard: shards[i]}
		}
		members[panics].Shard = panickingShard{shards[panics]}
		other := shards[1-panics]
		other.gate = make(chan struct{})
		group := cluster.NewDirect(at0, nil, members...)
		go func() {
			waitUntil(t, "the other shard is at work", func() bool { return other.inside.Load() == 1 })
			wantFailed(t, group) // before the round has ended
			other.gate <- struct{}{}
		}()
		parts := [][]engine.Part{{partOf(1, 512<<10)}, {partOf(2, 512<<10)}}
		wantCaught(t, "panickingShard.Apply", func() { _ = group.Propose(t.Context(), parts) })
		if n := len(other.hashes()); n != 1 {
			t.Errorf("shard %d panicked: the other has applied %d parts when that was told", panics, n)
		}
		wantFailed(t, group)
		group.Close()
	}
}

// wantFailed looks whether the groups have failed by a panic, and refuse who proposes now, who had
// no part in it.
func wantFailed(t *testing.T, group *cluster.Direct) {
	t.Helper()
	select {
	case <-group.Failed():
	case <-time.After(10 * time.Second):
		t.Error("the groups have not failed")
		return
	}
	if err := group.Err(); !errors.Is(err, span.ErrUnavailable) || !strings.Contains(err.Error(), "wrong code") {
		t.Errorf("the groups failed with %v", err)
	}
	for n := range uint64(2) {
		if err := propose(group, partOf(100+n, 10)); !errors.Is(err, span.ErrUnavailable) {
			t.Errorf("after the panic a request was answered %v", err)
		}
	}
	if err := group.Tick(0); !errors.Is(err, span.ErrUnavailable) {
		t.Errorf("after the panic a tick was answered %v", err)
	}
}

// A panic in a goroutine of a shard that is held is nobody's who waits: they are refused, those with
// parts that another shard has stored too, and may send again.
func TestAPanicInAHeldShardRefusesWhoWaits(t *testing.T) {
	shard, other := newFakeShard(&fakeLog{}), newFakeShard(&fakeLog{})
	shard.behind.Store(true)
	shard.gate = make(chan struct{})
	group := cluster.NewDirect(at0, nil, cluster.DirectShard{Log: shard.log, Shard: waitingShard{shard}},
		cluster.DirectShard{Log: other.log, Shard: other})
	answers := make(chan error)
	for n := range uint64(2) {
		go func() {
			answers <- group.Propose(context.Background(), [][]engine.Part{{partOf(n, 10)}, {partOf(n, 10)}})
		}()
	}
	waitUntil(t, "the other shard has both parts", func() bool { return len(other.hashes()) == 2 })
	if err := group.Err(); err != nil {
		t.Errorf("before the panic: %v", err)
	}
	close(shard.gate)
	for range 2 {
		if err := <-answers; !errors.Is(err, span.ErrUnavailable) {
			t.Errorf("who waited was answered %v", err)
		}
	}
	wantFailed(t, group)
	group.Close()
}

// waitingShard waits for its gate before it panics.
type waitingShard struct{ *fakeShard }

func (s waitingShard) Apply(uint64, *engine.Entry) (engine.Applied, error) {
	<-s.gate
	invariant.Check(false, "wrong code")
	return engine.Applied{}, nil
}

// A panic in a round that nobody waits for is nobody's: who comes next is refused.
func TestAPanicWithoutALeaderRefusesWhoComesNext(t *testing.T) {
	shard := newFakeShard(&fakeLog{})
	group := cluster.NewDirect(at0, nil, cluster.DirectShard{Log: shard.log, Shard: panickingShard{shard}})
	if err := group.Tick(0); err != nil {
		t.Fatal(err)
	}
	wantFailed(t, group)
	group.Close()
	wantFailed(t, group)
}

// forgetfulShard panics while a request is queued, once.
type forgetfulShard struct {
	*fakeShard
	panics *atomic.Bool
}

func (s forgetfulShard) Seen(hash codec.Hash, now int64) bool {
	invariant.Check(!s.panics.CompareAndSwap(true, false), "wrong code")
	return s.fakeShard.Seen(hash, now)
}

// A panic while a request is queued leaves nobody waiting for it to lead: what it has queued in other
// shards is stored, and those who come next are served.
func TestAPanicWhileQueuedLeavesNobodyWaiting(t *testing.T) {
	first, second := newFakeShard(&fakeLog{}), newFakeShard(&fakeLog{})
	shard := forgetfulShard{second, new(atomic.Bool)}
	shard.panics.Store(true)
	group := cluster.NewDirect(at0, nil, cluster.DirectShard{Log: first.log, Shard: first},
		cluster.DirectShard{Log: second.log, Shard: shard})
	parts := [][]engine.Part{{partOf(1, 10)}, {partOf(1, 10)}}
	wantCaught(t, "forgetfulShard.Seen", func() { _ = group.Propose(t.Context(), parts) })
	waitUntil(t, "what was queued is stored", func() bool { return len(first.hashes()) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := group.Propose(ctx, [][]engine.Part{{partOf(2, 10)}, {partOf(2, 10)}}); err != nil {
		t.Errorf("after the panic a request was answered %v", err)
	}
	if n := len(first.hashes()); n != 2 {
		t.Errorf("%d of 2 parts are stored", n)
	}
	group.Close()
}

// undecidedShard panics when it is asked whether Apply would wait.
type undecidedShard struct{ *fakeShard }

func (undecidedShard) Behind(int64, int, int64) bool {
	invariant.Check(false, "wrong code")
	return false
}

// A panic where a round asks which shards to hold is the leader's, and all of his parts are decided
// once: nobody waits, Close neither, though another shard was to be held.
func TestAPanicBesideAShardToBeHeldLeavesNobodyWaiting(t *testing.T) {
	first, second := newFakeShard(&fakeLog{}), newFakeShard(&fakeLog{})
	first.behind.Store(true)
	first.gate = make(chan struct{}) // never opens: whoever applies waits for ever
	group := cluster.NewDirect(at0, nil, cluster.DirectShard{Log: first.log, Shard: first},
		cluster.DirectShard{Log: second.log, Shard: undecidedShard{second}})
	parts := [][]engine.Part{{partOf(1, 10)}, {partOf(1, 10)}}
	wantCaught(t, "undecidedShard.Behind", func() { _ = group.Propose(t.Context(), parts) })
	wantFailed(t, group)
	group.Close()
}

// A walk that panics leaves its turn to the next.
func TestAWalkThatPanicsLeavesItsTurn(t *testing.T) {
	cluster.SetProcessors(t, 2)
	o := small(vfs.NewCrash(1))
	o.Shared = cluster.NewShared()
	store := open(t, o)
	restore := cluster.PanicInWalks()
	defer restore()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		wantCaught(t, "PanicInWalks", func() {
			if _, err := store.Write(ctx, enginetest.Numbered(1)); err != nil {
				t.Errorf("a turn was not left: %v", err)
			}
		})
		cancel()
	}
	restore()
	if !t.Failed() { // else nobody leaves a turn
		write(t, store, enginetest.Numbered(1))
	}
}

// faultyDisk is one whose reads of one shard's files are wrong code, once armed; those of others wait
// until that has panicked, and a little longer.
type faultyDisk struct {
	vfs.FS
	fault  atomic.Pointer[fault]
	inside atomic.Int32 // other reads
}

type fault struct {
	shard  string
	failed chan struct{}
	once   sync.Once
}

func (d *faultyDisk) Open(name string) (vfs.File, error) {
	f, err := d.FS.Open(name)
	return &faultyFile{f, d, name}, err
}

type faultyFile struct {
	vfs.File
	disk *faultyDisk
	name string
}

func (f *faultyFile) ReadAt(b []byte, offset int64) (int, error) {
	if fault := f.disk.fault.Load(); fault != nil && strings.HasPrefix(f.name, "shard-") {
		if strings.HasPrefix(f.name, fault.shard) {
			defer fault.once.Do(func() { close(fault.failed) })
			for range 10_000 { // until another read has begun
				if f.disk.inside.Load() > 0 {
					break
				}
				time.Sleep(time.Millisecond)
			}
			invariant.Check(false, "wrong code")
		}
		f.disk.inside.Add(1)
		defer f.disk.inside.Add(-1)
		<-fault.failed
		time.Sleep(10 * time.Millisecond)
	}
	return f.File.ReadAt(b, offset)
}

// A panic in a read of any shard is the caller's, when the reads of the others have ended.
func TestAPanicInAReadIsTheCallers(t *testing.T) {
	disk := &faultyDisk{FS: vfs.NewCrash(1)}
	o := small(disk)
	o.Shards, o.PagesBytesMax = 2, 1 // each read asks the disk
	store := open(t, o)
	for i := range 40 {
		write(t, store, enginetest.Numbered(i))
	}
	if err := store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	query := span.Query{StartMax: math.MaxUint64, Limit: 100}
	for panics := range 2 {
		disk.fault.Store(&fault{shard: fmt.Sprintf("shard-%03d", panics), failed: make(chan struct{})})
		wantCaught(t, "faultyFile).ReadAt", func() {
			_, err := store.Find(t.Context(), query)
			t.Errorf("shard %d did not panic: %v", panics, err)
		})
		if n := disk.inside.Load(); n != 0 {
			t.Errorf("shard %d panicked: %d reads go on", panics, n)
		}
		disk.fault.Store(nil)
		if found, err := store.Find(t.Context(), query); err != nil || len(found) != 40 {
			t.Errorf("after a panic in shard %d: %d traces, %v", panics, len(found), err)
		}
	}
	shut(t, store)
}
