package engine_test

import (
	"context"
	"errors"
	"math"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// TestTablesAreReadNewestFirst, each after a pause, and not again; those that the shard wrote itself not either.
func TestTablesAreReadNewestFirst(t *testing.T) {
	w := inSegments(t, 53, 4)
	fs, s := onBrokenDisk(t, w)
	var events []string
	happens := func(event string) {
		if len(events) == 0 || events[len(events)-1] != event {
			events = append(events, event)
		}
	}
	fs.before = func(name string, _ int64) error {
		happens(path.Base(name))
		return nil
	}
	read := func() { s.ReadTables(context.Background(), func() { happens("pause") }) }
	read()
	names := segmentNames(t, w)
	slices.Reverse(names)
	want := []string{"pause"}
	for _, name := range names {
		want = append(want, name, "pause")
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("tables are read in another order (-want +got):\n%s", diff)
	}
	events = nil
	if read(); !slices.Equal(events, []string{"pause"}) {
		t.Errorf("what was read is read again: %v", events)
	}
	if err := s.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	events = nil
	if read(); !slices.Equal(events, []string{"pause"}) {
		t.Errorf("what was checked when it was written is read again: %v", events)
	}
	_ = s.Close()
}

// TestTheBackgroundChecksWhatIsReadForEachUse: terms, keys, hashes and what stands in texts, which no table is of.
func TestTheBackgroundChecksWhatIsReadForEachUse(t *testing.T) {
	w := inSegments(t, 55, 2)
	name := segmentNames(t, w)[0]
	found := map[string]bool{} // places of sections
	for {
		flip, damage := bitOfRest(t, w, name, found)
		if damage == "" {
			break
		}
		w.mustOpen()
		flip() // now: a start reads the hashes of a window, and would refuse them
		w.shard.ReadTables(context.Background(), func() {})
		if err := w.shard.Ready(); !errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), damage) {
			t.Errorf("ready: %v, want %s", err, damage)
		}
		_ = w.shard.Close()
		flip()
	}
	if len(found) < 3 {
		t.Errorf("damage of %d sections is found: %v", len(found), found)
	}
}

// bitOfRest finds a bit of a section that is no table, and not among those known by where they begin; no damage
// where there is none.
func bitOfRest(t *testing.T, w *world, name string, known map[string]bool) (flip func(), damage string) {
	t.Helper()
	flip, damage = findBit(t, w, name, func(f *segment.File) error {
		err := damageOfRest(f)
		if err == nil {
			return nil
		}
		place, _, _ := strings.Cut(err.Error(), ": corrupt")
		if known[place] {
			return nil
		}
		known[place] = true
		return err
	})
	if damage != "" {
		flip() // back, until the folder is open
	}
	return flip, damage
}

// damageOfRest is what Check says where the tables are right.
func damageOfRest(f *segment.File) error {
	if _, err := f.Segment(); err != nil {
		return nil
	}
	return f.Check()
}

// TestWhatIsWrittenIsCheckedBeforeItCounts: where a section of a new segment is not what was written, a flush or a merge
// fails, leaves no file, drops nothing of what it was made of, and is done by the next try.
func TestWhatIsWrittenIsCheckedBeforeItCounts(t *testing.T) {
	tables := func(f *segment.File) error { _, err := f.Segment(); return err }
	for _, try := range []func(f *segment.File) error{tables, damageOfRest} {
		synctest.Test(t, func(t *testing.T) { writesDamaged(t, try) })
	}
}

func writesDamaged(t *testing.T, try func(f *segment.File) error) {
	ctx := context.Background()
	w, requests := smallWorld(t, 56)
	w.options.MemtableBytesMax, w.options.MemtableAge = 1<<30, 365*24*time.Hour
	fs, s := onBrokenDisk(t, w)
	w.shard = s
	var armed atomic.Bool
	known, damages := map[string]bool{}, int32(0)
	fs.before = func(name string, _ int64) error { // of one flush or merge at a time
		if !known[name] && armed.Load() {
			damagedBit(t, w, path.Base(name), try)
			damages++
		}
		known[name] = true
		return nil
	}
	for i, r := range requests {
		if err := w.append(r); err != nil {
			t.Fatal(err)
		}
		if i == len(requests)/2 {
			if err := s.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	for step, write := range []func() error{func() error { return s.Flush(ctx) }, func() error { return s.Compact(ctx) }} {
		synctest.Wait()
		names := segmentNames(t, w)
		armed.Store(true)
		err := write()
		synctest.Wait() // a flush may have been tried again
		armed.Store(false)
		if !errors.Is(err, codec.ErrCorrupt) || damages == 0 {
			t.Fatalf("step %d: %v, %d damaged", step, err, damages)
		}
		if now := segmentNames(t, w); !slices.Equal(now, names) {
			t.Errorf("step %d: segments %v, before %v", step, now, names)
		}
		w.check(2)
		if err := write(); err != nil {
			t.Fatalf("step %d, again: %v", step, err)
		}
		if now := segmentNames(t, w); step == 0 && len(now) <= len(names) || step == 1 && len(now) >= len(names) {
			t.Errorf("step %d: segments %v, before %v", step, now, names)
		}
		w.check(2)
		damages = 0
	}
	_ = s.Close()
}

// TestTablesOfOneSegmentAtATimeAreRead on a node: of no shard while those of another's are.
func TestTablesOfOneSegmentAtATimeAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := engine.NewGate()
		var shards [2]*engine.Shard
		var disks [2]*brokenFS
		reading, release := make(chan struct{}), make(chan struct{})
		for i := range shards {
			w := inSegments(t, 57+uint64(i), 2)
			w.options.Gate = gate
			disks[i], shards[i] = onBrokenDisk(t, w)
		}
		var once atomic.Bool
		disks[0].before = func(string, int64) error {
			if once.CompareAndSwap(false, true) {
				close(reading)
				<-release
			}
			return nil
		}
		opened := disks[1].reads.Load()
		go shards[0].ReadTables(context.Background(), func() {})
		<-reading
		go shards[1].ReadTables(context.Background(), func() {})
		synctest.Wait()
		if reads := disks[1].reads.Load(); reads != opened {
			t.Errorf("%d reads beside those of another shard", reads-opened)
		}
		if _, err := shards[1].Find(context.Background(), span.AllTime()); err != nil || disks[1].reads.Load() == opened {
			t.Errorf("a question waits for no turn: %v", err)
		}
		close(release)
		synctest.Wait()
		for i, s := range shards {
			before := disks[i].reads.Load()
			if s.ReadTables(context.Background(), func() {}); disks[i].reads.Load() != before {
				t.Errorf("tables of shard %d were not read", i)
			}
			_ = s.Close()
		}
	})
}

// TestCloseWhileTablesAreRead ends the reading with the segment at which it is, and leaves no file open: the folder may
// be opened again.
func TestCloseWhileTablesAreRead(t *testing.T) {
	w := inSegments(t, 54, 4)
	for stop := range int32(60) {
		fs, s := onBrokenDisk(t, w)
		reached, closed, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
		reads, touched := int32(0), map[string]bool{}
		fs.before = func(name string, _ int64) error {
			touched[name] = true
			if reads++; reads == stop+1 {
				close(reached)
				<-closed
				clear(touched)
				touched[name] = true
			}
			return nil
		}
		go func() {
			defer close(done)
			s.ReadTables(context.Background(), func() {})
		}()
		select {
		case <-reached:
		case <-done: // there are no more reads
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		close(closed)
		<-done
		if reads > stop && len(touched) != 1 {
			t.Errorf("closed at read %d: %d segments are read", stop, len(touched))
		}
		if open := fs.open.Load(); open != 0 {
			t.Errorf("closed at read %d: %d files are open", stop, open)
		}
		if _, err := s.Find(context.Background(), span.AllTime()); !errors.Is(err, engine.ErrClosed) {
			t.Fatalf("after close: %v", err)
		}
	}
	w.mustOpen()
	w.check(2)
	_ = w.shard.Close()
}

// TestAllAtOnceLeavesNoFileOpen: tables are read in the background, by questions and by a merge, and in some rounds a
// close comes between.
func TestAllAtOnceLeavesNoFileOpen(t *testing.T) {
	ctx := context.Background()
	for round := range seeds(t, 6) {
		w := inSegments(t, 70+uint64(round), 5)
		fs, s := onBrokenDisk(t, w)
		ok := func(err error) {
			if err != nil && !errors.Is(err, engine.ErrClosed) {
				t.Error(err)
			}
		}
		var all sync.WaitGroup
		all.Go(func() { s.ReadTables(ctx, func() {}) })
		all.Go(func() { ok(s.Compact(ctx)) })
		for range 2 {
			all.Go(func() {
				ok(s.Edges(ctx, span.EdgeQuery{StartMax: math.MaxUint64}, span.NewEdges()))
				_, err := s.Services(ctx)
				ok(err)
				_, err = s.Find(ctx, span.AllTime())
				ok(err)
			})
			all.Go(func() {
				for _, id := range w.model.TraceIDs() {
					ok(s.Get(ctx, id, func(span.Chunk) error { return nil }))
					_, _ = s.Ready(), s.Stats() // of a closed shard too
				}
			})
		}
		if round%2 == 0 {
			all.Go(func() { ok(s.Close()) })
		}
		all.Wait()
		ok(s.Close())
		if n := fs.open.Load(); n != 0 {
			t.Errorf("round %d: %d files are open after all", round, n)
		}
	}
}
