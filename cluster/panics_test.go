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
			time.Sleep(10 * time.Millisecond) // the other has panicked long ago
			other.gate <- struct{}{}
		}()
		parts := [][]engine.Part{{partOf(1, 512<<10)}, {partOf(2, 512<<10)}}
		wantCaught(t, "panickingShard.Apply", func() { _ = group.Propose(t.Context(), parts) })
		if n := len(other.hashes()); n != 1 {
			t.Errorf("shard %d panicked: the other has applied %d parts when that was told", panics, n)
		}
		if err := propose(group, partOf(3, 10)); !errors.Is(err, span.ErrUnavailable) {
			t.Errorf("after the panic a request was answered %v", err)
		}
		group.Close()
	}
}

// A panic in a goroutine of a shard that is held is that of one who waits for it; what that shard has
// not decided is refused.
func TestAPanicInAHeldShardIsThatOfWhoWaits(t *testing.T) {
	shard, other := newFakeShard(&fakeLog{}), newFakeShard(&fakeLog{})
	shard.behind.Store(true)
	group := cluster.NewDirect(at0, nil, cluster.DirectShard{Log: shard.log, Shard: panickingShard{shard}},
		cluster.DirectShard{Log: other.log, Shard: other})
	wantCaught(t, "panickingShard.Apply", func() { _ = propose(group, partOf(1, 10)) })
	for range 2 { // it is told once
		if err := propose(group, partOf(2, 10)); !errors.Is(err, span.ErrUnavailable) {
			t.Errorf("after the panic a request was answered %v", err)
		}
	}
	group.Close()
}

// A panic in a round that nobody waits for is that of who proposes next.
func TestAPanicWithoutALeaderIsThatOfWhoComesNext(t *testing.T) {
	shard := newFakeShard(&fakeLog{})
	group := cluster.NewDirect(at0, nil, cluster.DirectShard{Log: shard.log, Shard: panickingShard{shard}})
	if err := group.Tick(0); err != nil {
		t.Fatal(err)
	}
	group.Close() // the tick's round has ended
	wantCaught(t, "panickingShard.Apply", func() {
		waitUntil(t, "a panic is told", func() bool { return propose(group, partOf(1, 10)) == nil })
	})
	if err := propose(group, partOf(2, 10)); !errors.Is(err, span.ErrUnavailable) {
		t.Errorf("after the panic a request was answered %v", err)
	}
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
