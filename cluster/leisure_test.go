package cluster_test

import (
	"context"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// slowDisk is one whose reads of segments wait, once it is told so, until it is told to go on.
type slowDisk struct {
	vfs.FS
	slow   atomic.Bool
	inside atomic.Int32 // reads that wait
	goOn   chan struct{}
}

func (d *slowDisk) Open(name string) (vfs.File, error) {
	f, err := d.FS.Open(name)
	return &slowFile{f, d, name}, err
}

type slowFile struct {
	vfs.File
	disk *slowDisk
	name string
}

func (f *slowFile) ReadAt(b []byte, offset int64) (int, error) {
	if f.disk.slow.Load() && strings.HasPrefix(f.name, "shard-") {
		f.disk.inside.Add(1)
		<-f.disk.goOn
		f.disk.inside.Add(-1)
	}
	return f.File.ReadAt(b, offset)
}

// What is asked at leisure reads in half of the slots: however much of it waits for the disk, others
// are answered. One whose time ends while it waits for a place leaves nothing behind.
func TestReadsAtLeisureLeaveHalfOfTheSlots(t *testing.T) {
	const processors, questions = 2, 9
	cluster.SetProcessors(t, processors)
	disk := &slowDisk{FS: vfs.NewCrash(1), goOn: make(chan struct{})}
	o := small(disk)
	o.Shards, o.PagesBytesMax, o.Shared = 1, 1, cluster.NewShared() // each read asks the disk
	store := open(t, o)
	for i := range 40 {
		write(t, store, enginetest.Numbered(i))
	}
	if err := store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	query := span.Query{StartMax: math.MaxUint64, Limit: 100}
	disk.slow.Store(true)
	var group sync.WaitGroup
	for range questions {
		group.Go(func() {
			if found, err := store.Find(span.AtLeisure(t.Context()), query); err != nil || len(found) != 40 {
				t.Errorf("at leisure: %d traces, %v", len(found), err)
			}
		})
	}
	waitUntil(t, "as many read as may", func() bool { return disk.inside.Load() == processors })
	late, cancel := context.WithTimeout(span.AtLeisure(t.Context()), 10*time.Millisecond)
	if found, err := store.Find(late, query); err == nil {
		t.Errorf("without a place: %d traces", len(found))
	}
	cancel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 2 * processors { // each leaves its slot
		if services, err := store.Services(ctx); err != nil || len(services) != 1 {
			t.Errorf("beside them: %v, %v", services, err)
		}
	}
	if n := disk.inside.Load(); n != processors {
		t.Errorf("%d reads at leisure, at most %d", n, processors)
	}
	close(disk.goOn)
	group.Wait()
}
