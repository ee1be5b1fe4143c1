package cluster_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
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
