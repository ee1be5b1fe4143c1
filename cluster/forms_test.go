package cluster_test

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/internal/vfs"
)

// lateSegments is a disk on which a segment is begun only once the gate is open.
type lateSegments struct {
	*vfs.Crash
	gate chan struct{}
}

func (d lateSegments) Create(name string) (vfs.File, error) {
	if strings.HasSuffix(name, ".seg") {
		<-d.gate
	}
	return d.Crash.Create(name)
}

// fromTheLog opens what a kill leaves of the disk, without the segments: everything is read
// from the log.
func fromTheLog(t *testing.T, disk *vfs.Crash) *cluster.Store {
	t.Helper()
	killed := disk.KillCopy()
	folders, err := killed.List(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if !strings.HasPrefix(folder, "shard-") {
			continue
		}
		names, err := killed.List(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if err := killed.Remove(path.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	o := small(killed)
	o.MemtableBytesMax = 1 << 20
	return open(t, o)
}

// writers write requests at once, and note what was acknowledged and who gave up.
type writers struct {
	mu    sync.Mutex
	acked [][]byte
	gone  int // whose context ended first
	all   sync.WaitGroup
}

func (w *writers) write(ctx context.Context, t *testing.T, s *cluster.Store, request []byte) (done chan struct{}) {
	done = make(chan struct{})
	w.all.Go(func() {
		defer close(done)
		_, err := s.Write(ctx, request)
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case err == nil:
			w.acked = append(w.acked, request)
		case errors.Is(err, context.Canceled):
			w.gone++
		default:
			t.Errorf("Write: %v", err)
		}
	})
	return done
}

// The memory of a form is given back once nobody looks at it: neither the log, nor a copy that
// shares its outcome, nor the round that takes what somebody left who gave up. So the log has
// what was sent, although freed memory is overwritten at once (export_test.go) and serves the
// next writers.
func TestTheLogHasEveryFormAsItWasSent(t *testing.T) {
	const times = 8
	for seed := range uint64(times) {
		if everyFormIsAsItWasSent(t, 11+seed) || t.Failed() {
			return
		}
	}
	t.Fatalf("nobody could give up, %d times", times)
}

// soon reports whether something came to be within some seconds.
func soon(holds func() bool) bool {
	for deadline := time.Now().Add(5 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// everyFormIsAsItWasSent reports whether writers gave up. Who leads a round that freezes one more shard than may wait
// for its flush waits himself, and cannot: then the gate is opened, and others have to try again.
func everyFormIsAsItWasSent(t *testing.T, seed uint64) (gaveUp bool) {
	g := enginetest.NewGenerator(seed, 40)
	disk := lateSegments{Crash: vfs.NewCrash(1), gate: make(chan struct{})}
	s := open(t, small(disk))
	openGate := sync.OnceFunc(func() { close(disk.gate) })
	var sent [][]byte
	request := func() []byte {
		r := enginetest.Payload(g.Spans(40))
		sent = append(sent, r)
		return r
	}
	ctx, giveUp := context.WithCancel(context.Background())
	var leaving, staying writers
	defer func() { // before the store closes
		openGate()
		giveUp()
		leaving.all.Wait()
		staying.all.Wait()
	}()

	// One writer after the other, until a shard is held: its flush waits for the gate.
	behind := -1
	for behind < 0 {
		done := leaving.write(ctx, t, s, request())
		if !soon(func() bool {
			behind = slices.IndexFunc([]int{0, 1, 2}, func(shard int) bool { return cluster.Held(s, shard) })
			select {
			case <-done:
				return true
			default:
				return behind >= 0
			}
		}) {
			return false
		}
	}

	// Writers who will give up, each with a copy of what he sends; one copy stays. What they
	// have for the shard waits to be encoded.
	for i := range 12 {
		r := request()
		leaving.write(ctx, t, s, r)
		if i%2 == 0 {
			staying.write(context.Background(), t, s, r)
		} else {
			leaving.write(ctx, t, s, r)
		}
	}
	if !soon(func() bool { return s.Stats().Groups[behind].QueuedBytes > 0 }) {
		return false
	}
	giveUp()
	stuck := time.AfterFunc(20*time.Second, openGate)
	leaving.all.Wait()
	if gaveUp = stuck.Stop(); gaveUp && leaving.gone < 12 {
		t.Fatalf("%d writers gave up, %d did not: nothing was in flight", leaving.gone, len(leaving.acked))
	}
	holdsBetween(t, fromTheLog(t, disk.Crash), modelOf(t, leaving.acked), modelOf(t, sent))

	// Others come, into memory that was freed, and all is applied.
	for range 12 {
		staying.write(context.Background(), t, s, request())
	}
	openGate()
	staying.send(t, s, sent) // what was given up is on its way, or there
	sameAnswers(t, s, modelOf(t, sent), g, 10)
	sameAnswers(t, fromTheLog(t, disk.Crash), modelOf(t, sent), g, 10)
	return gaveUp
}

// send writes requests once those before are done, and waits for them.
func (w *writers) send(t *testing.T, s *cluster.Store, requests [][]byte) {
	w.all.Wait()
	for _, r := range requests {
		w.write(context.Background(), t, s, r)
	}
	w.all.Wait()
}
