package engine_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// sealedWorld is a shard of small memtables whose segments are told as they come.
type sealedWorld struct {
	*world
	told []string
	rows []int
}

func newSealedWorld(t *testing.T) *sealedWorld {
	w := &sealedWorld{world: newWorld(t, 1, 1)}
	w.options.MemtableBytesMax, w.options.FirstMemtableBytesMax = 40_000, 10_000
	w.mustOpen()
	return w
}

// note waits for the flush that is due, and notes what it wrote.
func (w *sealedWorld) note() {
	w.t.Helper()
	w.waitForFlushes()
	var segments []segment.Info
	infos, err := w.shard.Infos()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, info := range infos {
		if info.Generation == 0 {
			segments = append(segments, info)
		}
	}
	slices.SortFunc(segments, func(a, b segment.Info) int { return int(a.FirstSeq) - int(b.FirstSeq) })
	for _, info := range segments {
		line := fmt.Sprintf("window %d, Seq %d to %d: %d bytes, %08x", info.Windows[0], info.FirstSeq, info.LastSeq, info.Bytes, info.CRC)
		if !slices.Contains(w.told, line) {
			w.told, w.rows = append(w.told, line), append(w.rows, info.Rows)
		}
	}
}

// seals applies entries of three windows, with one that the clock goes back to, and gives the
// segments in the order they came, and their rows. Before entry restartAt the shard is opened
// anew; where merges is true its segments are merged before that.
func seals(t *testing.T, entries, restartAt, how int, merges bool) ([]string, []int) {
	w := newSealedWorld(t)
	window := int64(segment.WindowNanos)
	for i := range entries {
		if i == restartAt {
			if merges {
				if err := w.shard.Compact(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.restart(how); err != nil {
				t.Fatal(err)
			}
			w.note()
		}
		at := []int64{0, 1, 0, 1, 2}[i*5/entries]
		w.received = 1_767_225_600_000_000_000 + at*window
		if err := w.append(enginetest.Numbered(1000 + i)); err != nil {
			t.Fatal(err)
		}
		w.note()
	}
	return w.told, w.rows
}

// TestTheFirstMemtableOfAWindowSealsEarly: at its own bound, the others at theirs, and one of a
// window that was there before is no first one.
func TestTheFirstMemtableOfAWindowSealsEarly(t *testing.T) {
	told, rows := seals(t, 300, -1, 0, false)
	// A part counts some 2 KiB, so 10,000 bytes are 5 of them and 40,000 are 19.
	want := []int{5, 19, 19, 17, 5, 19, 19, 17, 19, 19, 19, 3, 19, 19, 19, 3, 5, 19, 19}
	if !slices.Equal(rows, want) {
		t.Fatalf("rows %v, want %v: %s", rows, want, strings.Join(told, "\n"))
	}
}

// TestARestartChangesNoSeal: wherever a shard is closed, killed or loses power, merged or not,
// the same entries give the same segments.
func TestARestartChangesNoSeal(t *testing.T) {
	const entries = 150
	want, _ := seals(t, entries, -1, 0, false)
	if len(want) < 8 {
		t.Fatalf("%d segments only", len(want))
	}
	for at := range entries {
		for how := range 3 {
			if testing.Short() && (at+how)%5 != 0 {
				continue
			}
			merges := (at+how)%2 == 0
			if got, _ := seals(t, entries, at, how, merges); !slices.Equal(got, want) {
				t.Fatalf("restart before entry %d, way %d, merged %v:\n%s\nwithout it:\n%s",
					at, how, merges, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

// roomOfTwo opens two shards of one gate that together may hold less than they seal at, and a
// frozen one each. Each flush waits until release is called and fails with flushErr, if any.
func roomOfTwo(t *testing.T, flushErr error, rooms ...int64) (shards [2]*engine.Shard, apply func(shard int) <-chan error, release func()) {
	gate, released := engine.NewGate(), make(chan struct{})
	flush := func() error {
		<-released
		return flushErr
	}
	if rooms == nil {
		rooms = []int64{30_000, 30_000}
	}
	for i := range shards {
		s, err := engine.Open(engine.Options{
			FS: vfs.NewCrash(1), Dir: "shard", Shard: uint32(i), Gate: gate, ManualCompaction: true, SyncLog: flush,
			MemtableBytesMax: 40_000, RoomBytes: rooms[i],
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		shards[i] = s
	}
	release = sync.OnceFunc(func() { close(released) })
	t.Cleanup(release) // before the shards close, which waits for a flush
	var seq [2]uint64
	return shards, func(shard int) <-chan error {
		seq[shard]++
		e := &engine.Entry{Received: 1, Parts: []engine.Part{partOf(enginetest.Numbered(1000 + int(seq[shard])))}}
		done := make(chan error, 1)
		go func(seq uint64) {
			_, err := shards[shard].Apply(seq, e)
			done <- err
		}(seq[shard])
		return done
	}, release
}

// comes gives what Apply ends with.
func comes(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("Apply waits for ever")
		return nil
	}
}

// freezeFirst applies to the first shard until it has a frozen memtable.
func freezeFirst(t *testing.T, shards [2]*engine.Shard, apply func(int) <-chan error) {
	t.Helper()
	for shards[0].Stats().Frozen == 0 {
		if err := comes(t, apply(0)); err != nil {
			t.Fatal(err)
		}
	}
}

// fill applies to the named shards in turn until one is behind. It then applies once more, and gives
// what tells the end of that.
func fill(t *testing.T, shards [2]*engine.Shard, apply func(int) <-chan error, turn ...int) (waiting <-chan error) {
	t.Helper()
	for i := range 100 {
		shard := turn[i%len(turn)]
		if shards[shard].Behind(1, 1, 1) {
			return apply(shard)
		}
		if err := comes(t, apply(shard)); err != nil {
			t.Fatal(err)
		}
		if held := shards[0].Stats().MemtableBytes + shards[1].Stats().MemtableBytes; held > 70_000 {
			t.Fatalf("%d bytes, 60,000 and a part are the bound", held)
		}
	}
	t.Fatal("nobody is behind")
	return nil
}

// TestApplyWaitsWhereTheRoomIsTaken: memtables of all shards hold no more than they may while a
// flush is due, and Apply goes on when it has ended.
func TestApplyWaitsWhereTheRoomIsTaken(t *testing.T) {
	shards, apply, release := roomOfTwo(t, nil)
	freezeFirst(t, shards, apply)
	waiting := fill(t, shards, apply, 1, 0)
	select {
	case err := <-waiting:
		t.Fatalf("Apply did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	held := shards[0].Stats().MemtableBytes + shards[1].Stats().MemtableBytes
	if held < 60_000 {
		t.Errorf("Apply waits at %d bytes", held)
	}
	for i, s := range shards {
		if !s.Behind(1, 1, 1) {
			t.Errorf("shard %d is not behind", i)
		}
	}
	release()
	if err := comes(t, waiting); err != nil {
		t.Fatal(err)
	}
}

// TestNobodyWaitsForRoomInVain: neither where the flush fails, nor on a shard that is closed, nor
// for one that is.
func TestNobodyWaitsForRoomInVain(t *testing.T) {
	unwell := errors.New("injected: the log cannot be synced")
	t.Run("flush fails", func(t *testing.T) {
		shards, apply, release := roomOfTwo(t, unwell)
		release()
		for range 60 {
			for shard := range shards {
				if err := comes(t, apply(shard)); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	for name, mine := range map[string]bool{"own shard closes": true, "the other closes": false} {
		t.Run(name, func(t *testing.T) {
			shards, apply, release := roomOfTwo(t, nil)
			freezeFirst(t, shards, apply)
			waiting := fill(t, shards, apply, 1)
			closes := 0
			if mine {
				closes = 1
			}
			closed := make(chan error, 1)
			go func() { closed <- shards[closes].Close() }()
			if mine {
				errorIs(t, comes(t, waiting), engine.ErrClosed)
			} else if err := comes(t, waiting); err != nil {
				t.Fatal(err)
			}
			release()
			if err := <-closed; err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestWhoWaitsOnAShardThatClosesIsTold: also where the shard gives nothing back, as it has neither
// room nor rows.
func TestWhoWaitsOnAShardThatClosesIsTold(t *testing.T) {
	shards, apply, _ := roomOfTwo(t, nil, 60_000, 0)
	freezeFirst(t, shards, apply)
	for !shards[0].Behind(1, 1, 1) {
		if err := comes(t, apply(0)); err != nil {
			t.Fatal(err)
		}
	}
	waiting := apply(1)
	select {
	case err := <-waiting:
		t.Fatalf("Apply did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if err := shards[1].Close(); err != nil {
		t.Fatal(err)
	}
	errorIs(t, comes(t, waiting), engine.ErrClosed)
}

// heldFile is a disk on which the file made next, once holds is set, is made when it is released.
type heldFile struct {
	*vfs.Crash
	mu    sync.Mutex
	holds chan struct{}
	at    chan struct{} // closed when it holds
}

func (d *heldFile) Create(name string) (vfs.File, error) {
	d.mu.Lock()
	holds := d.holds
	d.holds = nil
	d.mu.Unlock()
	if holds != nil {
		close(d.at)
		<-holds
	}
	return d.Crash.Create(name)
}

// TestAMergeKeepsNoMemtable: what is flushed while a merge is under way leaves memory, though it was
// there when the merge began.
func TestAMergeKeepsNoMemtable(t *testing.T) {
	disk := &heldFile{Crash: vfs.NewCrash(1), at: make(chan struct{})}
	s, err := engine.Open(engine.Options{FS: disk, Dir: "shard", ManualCompaction: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	seq := uint64(0)
	apply := func() weak.Pointer[span.Batch] {
		seq++
		p := partOf(enginetest.Numbered(int(seq)))
		if _, err := s.Apply(seq, &engine.Entry{Received: 1, Parts: []engine.Part{p}}); err != nil {
			t.Fatal(err)
		}
		return weak.Make(p.Batch)
	}
	flush := func() {
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		apply()
		flush()
	}
	batch := apply()
	release := make(chan struct{})
	disk.mu.Lock()
	disk.holds = release
	disk.mu.Unlock()
	merged := make(chan error, 1)
	go func() { merged <- s.Compact(t.Context()) }()
	<-disk.at
	flush()
	for i := 0; batch.Value() != nil; i++ {
		if i == 100 {
			t.Error("a flushed batch is still in memory")
			break
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	close(release)
	if err := <-merged; err != nil {
		t.Fatal(err)
	}
}
