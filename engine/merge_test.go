package engine_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// fewMerge is a policy that merges three small segments.
var fewMerge = compaction.Policy{MergeMin: 3, MergeMax: 4, RowsMax: 1 << 20, BytesMax: 1 << 30}

// windowsOf tells how many segments each window has, oldest first.
func (w *world) windowsOf() (counts []int) {
	w.t.Helper()
	infos, err := w.shard.Infos()
	if err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(infos, func(a, b segment.Info) int { return int(a.Windows[0] - b.Windows[0]) })
	last := int64(-1)
	for _, info := range infos {
		if info.Windows[0] != last {
			counts, last = append(counts, 0), info.Windows[0]
		}
		counts[len(counts)-1]++
	}
	return counts
}

// TestSettleMergesWhatThePolicyAsksForAndNoMore: of a window that is over one segment is left, of
// the one at hand less than make a merge; what was applied stands in segments. It is the same
// whether the shard merges by itself meanwhile or not.
func TestSettleMergesWhatThePolicyAsksForAndNoMore(t *testing.T) {
	for _, manual := range []bool{true, false} {
		w := newWorld(t, 21, 6)
		w.options.MemtableBytesMax, w.options.ManualCompaction, w.options.Compaction = 1<<30, manual, fewMerge
		w.mustOpen()
		for flush, request := range w.deliveries(w.gen.Spans(60))[:12] {
			if flush == 4 {
				w.received += 2 * segment.WindowNanos
			}
			if err := w.append(request); err != nil {
				t.Fatal(err)
			}
			if flush == 11 { // the last one is for Settle to flush
				break
			}
			if err := w.shard.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if before := w.windowsOf(); manual && !slices.Equal(before, []int{4, 7}) {
			t.Fatalf("segments by window: %v", before)
		}
		if err := w.shard.Settle(context.Background()); err != nil {
			t.Fatal(err)
		}
		infos, err := w.shard.Infos()
		if err != nil {
			t.Fatal(err)
		}
		if plan, ok := compaction.Pick(fewMerge, infos, w.received); ok {
			t.Errorf("manual %v: the policy asks for more: %+v", manual, plan)
		}
		after, stats := w.windowsOf(), w.shard.Stats()
		if after[0] != 1 || after[1] > 2 || manual && after[1] != 2 || stats.MemtableRows+stats.Frozen > 0 {
			t.Errorf("manual %v: segments by window %v, %+v", manual, after, stats)
		}
		merges := stats.Merges
		if err := w.shard.Settle(context.Background()); err != nil || w.shard.Stats().Merges != merges {
			t.Errorf("settled twice: %d merges, then %d: %v", merges, w.shard.Stats().Merges, err)
		}
		w.check(5)
		if err := w.restart(2); err != nil {
			t.Fatal(err)
		}
		w.check(5)
	}
}

// TestSettleTellsWhatFailed of a flush and of a merge, leaves nothing behind, and does the rest
// once there is room.
func TestSettleTellsWhatFailed(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, 22, 6)
	w.options.MemtableBytesMax, w.options.Compaction = 1<<30, fewMerge
	w.mustOpen()
	for i := range 4 {
		if err := w.append(enginetest.Numbered(i)); err != nil {
			t.Fatal(err)
		}
		w.disk.SetFree(100)
		errorIs(t, w.shard.Settle(ctx), syscall.ENOSPC)
		w.disk.SetFree(-1)
		if err := w.shard.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.windowsOf(); !slices.Equal(got, []int{4}) {
		t.Fatalf("segments by window: %v", got)
	}
	w.disk.SetFree(100)
	errorIs(t, w.shard.Settle(ctx), syscall.ENOSPC)
	errorIs(t, w.shard.Ready(), syscall.ENOSPC)
	w.check(3)
	w.disk.SetFree(-1)
	if err := w.shard.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	if got := w.windowsOf(); !slices.Equal(got, []int{1}) || w.shard.Ready() != nil {
		t.Fatalf("segments by window: %v; ready: %v", got, w.shard.Ready())
	}
	w.check(3)
	noStrays(t, w)
}

// TestCompactKeepsWhatAMergeMayHold: windows whose tables are more than the policy has a merge hold are merged as far as
// that allows, and those after them into one; nothing fails, and to compact again does nothing.
func TestCompactKeepsWhatAMergeMayHold(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, 23, 6)
	w.options.MemtableBytesMax = 1 << 30
	w.mustOpen()
	for i, request := range w.deliveries(w.gen.Spans(60))[:12] {
		if i == 9 {
			w.received += 2 * segment.WindowNanos
		}
		if err := w.append(request); err != nil {
			t.Fatal(err)
		}
		if err := w.shard.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	infos, err := w.shard.Infos()
	if err != nil {
		t.Fatal(err)
	}
	first, last := int64(0), int64(0)
	for _, info := range infos {
		if info.Windows[0] == segment.WindowOf(w.received) {
			last += info.TableBytes
		} else {
			first += info.TableBytes
		}
	}
	before := w.windowsOf()
	if before[0] < 6 || before[1] < 3 || first <= last {
		t.Fatalf("segments by window: %v, tables of %d bytes in the first, %d in the last", before, first, last)
	}
	w.options.Compaction = compaction.DefaultPolicy()
	w.options.Compaction.TablesMax = last
	if err := w.restart(0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.shard.Compact(ctx); err != nil {
			t.Fatal(err)
		}
		got := w.windowsOf()
		if got[0] < 2 || got[0] >= before[0]-1 || got[1] != 1 {
			t.Fatalf("segments by window: %v", got)
		}
	}
	stats := w.shard.Stats()
	if infos, err = w.shard.Infos(); err != nil || stats.MergeFailures > 0 || w.shard.Ready() != nil {
		t.Fatalf("%+v, %v, ready: %v", stats, err, w.shard.Ready())
	}
	for _, info := range infos {
		if info.TableBytes > w.options.Compaction.TablesMax {
			t.Errorf("%s has tables of %d bytes, at most %d", info.Name, info.TableBytes, w.options.Compaction.TablesMax)
		}
	}
	w.check(5)
	if err := w.shard.Compact(ctx); err != nil || w.shard.Stats().Merges != stats.Merges {
		t.Errorf("compacted again: %d merges, then %d, %v", stats.Merges, w.shard.Stats().Merges, err)
	}
}

// heldFS stops who makes a segment while held is set: entered says so, and release lets go.
type heldFS struct {
	vfs.FS
	held             atomic.Bool
	entered, release chan struct{}
}

func (f *heldFS) Create(name string) (vfs.File, error) {
	if f.held.Load() && strings.HasSuffix(name, ".seg") {
		f.entered <- struct{}{}
		<-f.release
	}
	return f.FS.Create(name)
}

// heldStore opens an empty store on a disk that can be held.
func heldStore(t *testing.T) (*vfs.Crash, *heldFS, *engine.Shard) {
	t.Helper()
	disk := vfs.NewCrash(1)
	held := &heldFS{FS: disk, entered: make(chan struct{}), release: make(chan struct{})}
	s, err := engine.Open(engine.Options{FS: held, Dir: worldDir, ManualCompaction: true, Compaction: fewMerge})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if held.held.CompareAndSwap(true, false) { // the test gave up: nobody is held for ever
			go func() {
				for range held.entered {
				}
			}()
			close(held.release)
		}
		s.Close()
	})
	return disk, held, s
}

// applyNumbered applies the request of a number as the entry after it.
func applyNumbered(t *testing.T, s *engine.Shard, number int) {
	t.Helper()
	applyRequest(t, s, uint64(number+1), enginetest.Numbered(number))
}

// applyRequest applies an entry of one request.
func applyRequest(t *testing.T, s *engine.Shard, seq uint64, request []byte) {
	t.Helper()
	part := engine.Part{Hash: codec.HashBytes(request), Bytes: len(request), Request: request}
	if _, err := s.Apply(seq, &engine.Entry{Received: int64(time.Hour), Parts: []engine.Part{part}}); err != nil {
		t.Fatal(err)
	}
}

// TestFlushTellsOfNoTryBegunBeforeIt: one that was under way when Flush was asked fails for want
// of room, and the next one, with room, is what Flush answers by.
func TestFlushTellsOfNoTryBegunBeforeIt(t *testing.T) {
	ctx := context.Background()
	disk, held, s := heldStore(t)
	flush := func() chan error {
		done := make(chan error, 1)
		go func() { done <- s.Flush(ctx) }()
		return done
	}
	held.held.Store(true)
	disk.SetFree(100)
	applyNumbered(t, s, 0)
	first := flush()
	<-held.entered
	held.release <- struct{}{}
	errorIs(t, <-first, syscall.ENOSPC)
	applyNumbered(t, s, 1)
	if _, err := s.Apply(3, &engine.Entry{Received: int64(time.Hour)}); err != nil { // a tick: try again
		t.Fatal(err)
	}
	<-held.entered
	second := flush()
	for s.Stats().Frozen < 2 {
		runtime.Gosched()
	}
	applyNumbered(t, s, 3) // waits until the second Flush knows what it waits for
	held.release <- struct{}{}
	<-held.entered
	disk.SetFree(-1)
	held.held.Store(false)
	close(held.release)
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.FlushFailures != 2 || st.Segments != 2 {
		t.Errorf("%+v", st)
	}
}

// TestWaitingForAMergeEndsWithItsContext, also where the merge belongs to somebody else; the
// merge goes on.
func TestWaitingForAMergeEndsWithItsContext(t *testing.T) {
	_, disk, s := heldStore(t)
	ctx := context.Background()
	for number := range 3 {
		applyNumbered(t, s, number)
		if err := s.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	disk.held.Store(true)
	settled := make(chan error, 1)
	go func() { settled <- s.Settle(ctx) }()
	<-disk.entered
	for what, ask := range map[string]func(context.Context) error{"settle": s.Settle, "compact": s.Compact} {
		impatient, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- ask(impatient) }()
		cancel()
		if err := <-done; err == nil {
			t.Errorf("%s: no error", what)
		} else {
			errorIs(t, err, context.Canceled)
		}
	}
	disk.held.Store(false)
	close(disk.release)
	if err := <-settled; err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Segments != 1 || st.Merges != 1 {
		t.Errorf("%+v", st)
	}
}
