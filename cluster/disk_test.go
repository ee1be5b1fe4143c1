package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/cluster/raftstore"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// flushedStore is a store with some flushed segments, and what was written to it.
func flushedStore(t *testing.T, o cluster.Options) (*cluster.Store, *enginetest.Generator, *enginetest.Model) {
	t.Helper()
	s := open(t, o)
	g, m := enginetest.NewGenerator(5, 9), enginetest.NewModel()
	for range 3 {
		request := enginetest.Payload(g.Spans(60))
		if _, err := m.Add(request); err != nil {
			t.Fatal(err)
		}
		write(t, s, request)
		if err := s.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return s, g, m
}

// TestWhatAKilledMergeLeftMakesRoomToStart: it fills the disk, and a start makes a log file.
func TestWhatAKilledMergeLeftMakesRoomToStart(t *testing.T) {
	disk := vfs.NewCrash(1)
	o := small(disk)
	_, g, m := flushedStore(t, o)
	killed := disk.KillCopy()
	f, err := killed.Create("shard-000/00000099.seg")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Preallocate(1<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	killed.SetFree(8 << 10)
	o.FS = killed
	if s, err := cluster.Open(t.Context(), o); !vfs.Full(err) {
		t.Fatalf("a start without room: %v, %v", s, err)
	}
	for _, want := range []int{1, 0} {
		if removed, err := cluster.RemoveStrays(killed, slog.New(slog.DiscardHandler)); err != nil || removed != want {
			t.Fatalf("%d strays removed, want %d: %v", removed, want, err)
		}
	}
	sameAnswers(t, open(t, o), m, g, 5)
	if removed, err := cluster.RemoveStrays(killed, slog.New(slog.DiscardHandler)); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("%d strays removed beside a store that is open: %v", removed, err)
	}
}

// TestNoStrayIsASegmentAfterAPowerCut: a merge is killed anywhere, strays are removed, and a power cut follows. What goes
// is named by no manifest that may come back.
func TestNoStrayIsASegmentAfterAPowerCut(t *testing.T) {
	base := vfs.NewCrash(1)
	o := small(base)
	o.Shards, o.TablesAfter = 1, make(chan struct{})
	s, g, m := flushedStore(t, o)
	shut(t, s)
	removed := 0
	for k := 1; ; k++ {
		disk := base.KillCopy()
		o.FS = disk
		s := open(t, o)
		disk.StopAt(k)
		err := s.Compact(t.Context())
		killed := disk.KillCopy()
		_ = s.Close(t.Context())
		if err == nil {
			break
		}
		n, err := cluster.RemoveStrays(killed, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		removed += n
		for range 8 {
			o.FS = killed.Crash()
			s, err := cluster.Open(t.Context(), o)
			if err != nil {
				t.Fatalf("killed at call %d of a merge, then %d strays removed: %v", k, n, err)
			}
			shut(t, s)
		}
		if k%16 == 0 {
			sameAnswers(t, open(t, o), m, g, 5)
		}
	}
	if removed == 0 {
		t.Error("no merge left anything")
	}
}

// TestStraysStayInAFolderThatAStartRefuses: with another manifest in the place of the shard's, all segments would be strays.
func TestStraysStayInAFolderThatAStartRefuses(t *testing.T) {
	disk := vfs.NewCrash(1)
	o := small(disk)
	s, _, _ := flushedStore(t, o)
	shut(t, s)
	manifests := make(map[string][]byte)
	for _, shard := range []string{"shard-000", "shard-001"} {
		b, err := vfs.ReadFile(disk, shard+"/MANIFEST", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		manifests[shard] = b
	}
	damaged := bytes.Clone(manifests["shard-000"])
	damaged[len(damaged)/2] ^= 1
	for name, manifest := range map[string][]byte{"of another shard": manifests["shard-001"], "damaged": damaged, "a segment is gone": manifests["shard-000"]} {
		copied := disk.KillCopy()
		err := errors.Join(vfs.ReplaceFile(copied, "shard-000/00000099.seg", nil), vfs.ReplaceFile(copied, "shard-000/MANIFEST", manifest))
		if name == "a segment is gone" {
			err = errors.Join(err, copied.Remove("shard-000/00000001.seg"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if removed, err := cluster.RemoveStrays(copied, slog.New(slog.DiscardHandler)); removed != 0 || err != nil {
			t.Errorf("%s: %d files removed, %v", name, removed, err)
		}
		var damages []string
		if _, err := cluster.Verify(copied, func(damage error) { damages = append(damages, damage.Error()) }); err != nil || name == "damaged" && len(damages) != 1 {
			t.Errorf("%s: verify tells of one damaged manifest: %q, %v", name, damages, err)
		}
	}
}

// TestAMergeLeavesTheReserve: it writes its inputs once more before they go, and what it would take of the reserve
// flushes and the log need.
func TestAMergeLeavesTheReserve(t *testing.T) {
	disk := vfs.NewCrash(1)
	o := small(disk)
	o.Shards, o.ReserveBytes = 1, 4<<20
	s, g, m := flushedStore(t, o)
	before := s.Stats().Shards[0].Segments
	if before < 2 {
		t.Fatalf("%d segments, nothing to merge", before)
	}
	disk.SetFree(4<<20 + 1<<10)
	if err := s.Compact(context.Background()); err == nil || !strings.Contains(err.Error(), "almost full") {
		t.Errorf("a merge into the reserve: %v", err)
	}
	if now := s.Stats().Shards[0].Segments; now != before {
		t.Errorf("%d segments became %d", before, now)
	}
	if err := s.Ready(); err != nil {
		t.Errorf("a merge waits for room, and the node is not ready: %v", err)
	}
	sameAnswers(t, s, m, g, 5)
	disk.SetFree(8 << 20)
	if err := s.Compact(context.Background()); err != nil {
		t.Error(err)
	}
	if now := s.Stats().Shards[0].Segments; now >= before {
		t.Errorf("%d segments are still %d", before, now)
	}
	sameAnswers(t, s, m, g, 5)
}

// TestVerifyAsksWhatAStartAsks: a log that ends before the segments do, or begins behind them, or has an entry that
// nobody can read, is damage to both.
func TestVerifyAsksWhatAStartAsks(t *testing.T) {
	disk := vfs.NewCrash(1)
	o := small(disk)
	beats := make(chan time.Time)
	o.Shards, o.Heartbeat = 1, beats
	s, g, _ := flushedStore(t, o)
	early := disk.KillCopy()
	for range 3 {
		write(t, s, enginetest.Payload(g.Spans(60)))
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // what is flushed goes from the log's front
		beats <- time.Unix(1, 0)
	}
	shut(t, s)
	for name, c := range map[string]struct {
		early  bool // changed is the early folder
		change func(*vfs.Crash) error
		damage string
	}{
		"whole":        {false, func(*vfs.Crash) error { return nil }, ""},
		"no log":       {false, func(d *vfs.Crash) error { return replaceLog(d, vfs.NewCrash(1)) }, "log files are missing"},
		"a later log":  {true, func(d *vfs.Crash) error { return replaceLog(d, disk) }, "entries between are missing"},
		"an early log": {false, func(d *vfs.Crash) error { return replaceLog(d, early) }, "log files are missing"},
		"an entry of a later version": {false, func(d *vfs.Crash) error {
			log, _, err := wal.Open(d, "log", o.Log)
			if err != nil {
				return err
			}
			stream := log.Stream(0)
			return errors.Join(stream.Append(raftstore.CommandEntry(stream.Last()+1, []byte{99}, 1)), log.Close())
		}, codec.ErrVersion.Error()},
	} {
		from := disk
		if c.early {
			from = early
		}
		changed := from.KillCopy()
		if err := c.change(changed); err != nil {
			t.Fatal(err)
		}
		var damages []string
		if _, err := cluster.Verify(changed, func(damage error) { damages = append(damages, damage.Error()) }); err != nil {
			t.Fatal(err)
		}
		o.FS = changed
		s, err := cluster.Open(t.Context(), o)
		if err == nil {
			shut(t, s)
		}
		if (err == nil) != (c.damage == "") || len(damages) != min(len(c.damage), 1) {
			t.Errorf("%s: verify tells %q, a start %v", name, damages, err)
		}
		if err != nil && (!strings.Contains(err.Error(), c.damage) || !strings.Contains(damages[0], c.damage)) {
			t.Errorf("%s: verify tells %q, a start %v, want %q", name, damages, err, c.damage)
		}
	}
}

// replaceLog puts the log of another folder in the place of a folder's.
func replaceLog(folder, other *vfs.Crash) error {
	names, err := folder.List("log")
	for _, name := range names {
		err = errors.Join(err, folder.Remove("log/"+name))
	}
	names, _ = other.List("log") // nothing where there is none
	for _, name := range names {
		b, readErr := vfs.ReadFile(other, "log/"+name, 1<<30)
		err = errors.Join(err, readErr, vfs.ReplaceFile(folder, "log/"+name, b))
	}
	return err
}
