package cluster_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// inFolder gives a folder with some segments in each of three shards, closed.
func inFolder(t *testing.T, seed uint64) *vfs.Crash {
	t.Helper()
	disk := vfs.NewCrash(seed)
	s := open(t, small(disk))
	for n := range 3 {
		write(t, s, numberedTraces(n*200, 200))
		if err := s.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, s)
	return disk
}

// tableBytes is what the tables of all segments take.
func tableBytes(t *testing.T, disk vfs.FS) (bytes int64) {
	t.Helper()
	eachSegment(t, disk, func(name string) {
		s, err := segment.Open(disk, name)
		if err != nil {
			t.Fatal(err)
		}
		bytes += s.MemoryBytes()
		s.Close()
	})
	return bytes
}

func eachSegment(t *testing.T, disk vfs.FS, visit func(name string)) {
	t.Helper()
	for _, dir := range []string{"shard-000", "shard-001", "shard-002"} {
		names, err := disk.List(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".seg") {
				visit(dir + "/" + name)
			}
		}
	}
}

// TestTablesAreReadAfterAStart though nobody asks; while questions are in flight each segment waits for them, for
// a while, and a close comes between.
func TestTablesAreReadAfterAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := inFolder(t, 1)
		whole, segments := tableBytes(t, disk), 0
		eachSegment(t, disk, func(string) { segments++ })
		o := small(disk)
		s := open(t, o)
		synctest.Wait()
		if got := s.TableBytes(); got != whole {
			t.Errorf("tables of %d bytes are read, there are %d", got, whole)
		}
		shut(t, s)

		o.Questions = cluster.NewQuestions()
		o.Questions.Begin()
		s = open(t, o)
		synctest.Wait()
		at := s.TableBytes()
		if at >= whole {
			t.Fatal("all tables were read beside a question")
		}
		for range segments + 3 { // beside one that never ends, one segment after the other
			time.Sleep(50 * time.Millisecond)
			synctest.Wait()
			now := s.TableBytes()
			if now < at {
				t.Fatalf("tables took %d bytes, now %d", at, now)
			}
			at = now
		}
		if at != whole {
			t.Errorf("tables of %d bytes are read beside a question, there are %d", at, whole)
		}
		shut(t, s)

		s = open(t, o)
		synctest.Wait()
		shut(t, s) // in the first pause
		o.Questions.End()
		s = open(t, o)
		synctest.Wait()
		if got := s.TableBytes(); got != whole {
			t.Errorf("opened again, tables of %d bytes are read, there are %d", got, whole)
		}
		shut(t, s)
	})
}

// TestADamagedTableIsToldWithoutAQuestion: the folder opens, and Ready soon names the file and the place.
func TestADamagedTableIsToldWithoutAQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := inFolder(t, 2)
		damaged := ""
		eachSegment(t, disk, func(name string) {
			for bit := int64(0); damaged == ""; bit += 1001 {
				disk.FlipBit(name, bit)
				f, err := segment.OpenFile(disk, name, nil)
				if err == nil {
					if f.Check() != nil {
						damaged = name
					}
					f.Close()
				}
				if damaged == "" {
					disk.FlipBit(name, bit)
				}
			}
		})
		s := open(t, small(disk))
		synctest.Wait()
		if err := s.Ready(); !errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), damaged+": offset ") {
			t.Errorf("ready: %v, want %s", err, damaged)
		}
		write(t, s, numberedTraces(5000, 10)) // it takes writes all the same
		shut(t, s)
	})
}

// failingReads is a file system of which reads of segments fail while they are told to, and counts those.
type failingReads struct {
	vfs.FS
	fails  atomic.Bool
	failed atomic.Int32
}

type failingFile struct {
	vfs.File
	disk *failingReads
}

func (d *failingReads) Open(name string) (vfs.File, error) {
	f, err := d.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".seg") {
		return f, err
	}
	return failingFile{f, d}, nil
}

func (f failingFile) ReadAt(p []byte, offset int64) (int, error) {
	if f.disk.fails.Load() {
		f.disk.failed.Add(1)
		return 0, syscall.EIO
	}
	return f.File.ReadAt(p, offset)
}

// TestADiskThatFailsIsToldUntilItDoesNot: tables that it did not give are asked for again, ever more seldom but once a
// minute, and no more when they are there or the store closes.
func TestADiskThatFailsIsToldUntilItDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &failingReads{FS: inFolder(t, 3)}
		whole, segments := tableBytes(t, disk), 0
		eachSegment(t, disk, func(string) { segments++ })
		o := small(disk)
		o.Questions = cluster.NewQuestions()
		o.Questions.Begin() // no table is read before the disk fails
		s := open(t, o)
		disk.fails.Store(true)
		o.Questions.End()
		synctest.Wait()
		if err := s.Ready(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("ready, while the disk fails: %v", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if tries := int(disk.failed.Load()) / segments; tries < 60 || tries > 70 {
			t.Errorf("%d tries in an hour", tries)
		}
		disk.fails.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := s.Ready(); err != nil {
			t.Errorf("ready, after the disk failed: %v", err)
		}
		if got := s.TableBytes(); got != whole {
			t.Errorf("tables of %d bytes are read, there are %d", got, whole)
		}
		shut(t, s)

		disk.failed.Store(0)
		o.Questions.Begin()
		s = open(t, o)
		disk.fails.Store(true)
		o.Questions.End()
		synctest.Wait()
		tries := disk.failed.Load()
		if shut(t, s); tries == 0 || disk.failed.Load() != tries {
			t.Errorf("%d reads failed before the close, then %d", tries, disk.failed.Load())
		}
	})
}

// TestACloseWaitsForNoPause of who reads tables, in none of many shards.
func TestACloseWaitsForNoPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := small(vfs.NewCrash(9))
		o.Shards = 16
		o.Questions = cluster.NewQuestions()
		o.Questions.Begin()
		s := open(t, o)
		synctest.Wait()
		begin := time.Now()
		shut(t, s)
		if took := time.Since(begin); took >= 50*time.Millisecond {
			t.Errorf("a close beside a question took %v", took)
		}
	})
}

// TestTablesAreReadWhenTheyMayBe: not before who opened several stores says so, and a close does not wait for him.
func TestTablesAreReadWhenTheyMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := inFolder(t, 4)
		whole := tableBytes(t, disk)
		o := small(disk)
		after := make(chan struct{})
		o.TablesAfter = after
		s := open(t, o)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := s.TableBytes(); got >= whole {
			t.Error("tables are read already")
		}
		shut(t, s)
		s = open(t, o)
		close(after)
		synctest.Wait()
		if got := s.TableBytes(); got != whole {
			t.Errorf("tables of %d bytes are read, there are %d", got, whole)
		}
		shut(t, s)
	})
}
