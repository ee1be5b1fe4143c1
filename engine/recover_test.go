package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
	"github.com/stoadb/stoa/internal/vfs"
)

// brokenFS panics at one of the reads of segments, or has a function called before each that may fail it, and
// counts those that are open.
type brokenFS struct {
	vfs.FS
	panicAt     int32
	before      func(name string, offset int64) error
	reads, open atomic.Int32
}

func (f *brokenFS) Open(name string) (vfs.File, error) {
	file, err := f.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".seg") {
		return file, err
	}
	f.open.Add(1)
	return &brokenFile{file, f, name}, nil
}

type brokenFile struct {
	vfs.File
	fs   *brokenFS
	name string
}

func (f *brokenFile) ReadAt(p []byte, off int64) (int, error) {
	if f.fs.reads.Add(1) == f.fs.panicAt {
		panic("boom")
	}
	if f.fs.before != nil {
		if err := f.fs.before(f.name, off); err != nil {
			return 0, err
		}
	}
	return f.File.ReadAt(p, off)
}

func (f *brokenFile) Close() error {
	f.fs.open.Add(-1)
	return f.File.Close()
}

// closedWorld is a closed shard of so many segments.
func closedWorld(t *testing.T, segments int) *world {
	w := newWorld(t, 31, 3)
	w.mustOpen()
	for i := range segments {
		if err := w.append(enginetest.Numbered(i)); err != nil {
			t.Fatal(err)
		}
		if err := w.shard.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.shard.Close()
	return w
}

// A panic at any read of a start comes to who opens the shard, and no segment stays open. The folder opens
// when nothing panics any more.
func TestAPanicWhileSegmentsAreOpenedIsTheCallers(t *testing.T) {
	w := closedWorld(t, 5)
	panics := 0
	for ; ; panics++ {
		fs := &brokenFS{FS: w.disk, panicAt: int32(panics + 1)}
		options := w.options
		options.FS = fs
		var s *engine.Shard
		var err error
		caught := invariant.Caught(func() { s, err = engine.Open(options) })
		if caught == nil {
			if err != nil {
				t.Fatal(err)
			}
			_ = s.Close()
		} else if caught.Cause != "boom" || !strings.Contains(caught.Stack, "brokenFile") {
			t.Fatal(caught)
		}
		if open := fs.open.Load(); open != 0 {
			t.Fatalf("a panic at read %d leaves %d segments open", panics+1, open)
		}
		if caught == nil {
			break
		}
	}
	if panics < 5*3 {
		t.Errorf("%d reads of 5 segments", panics)
	}
	w.mustOpen()
	w.check(3)
}

// Where all segments are missing, which takes no time to see, the first is named however those who open
// them overtake each other.
func TestOfMissingSegmentsTheFirstIsNamed(t *testing.T) {
	w := closedWorld(t, 6)
	names, err := w.disk.List(worldDir)
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".seg") })
	for _, name := range names {
		if err := w.disk.Remove(worldDir + "/" + name); err != nil {
			t.Fatal(err)
		}
	}
	for range 50_000 {
		if err := w.open(); !errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), slices.Min(names)) {
			t.Fatalf("%v, want %s named", err, slices.Min(names))
		}
	}
}
