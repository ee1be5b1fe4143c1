package raftstore_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/stoadb/stoa/cluster/raftstore"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openLog(t *testing.T, disk vfs.FS) *wal.Log {
	t.Helper()
	l, _, err := wal.Open(disk, "log", wal.Options{FileBytes: 64 << 10})
	check(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func openStore(t *testing.T, disk vfs.FS) (*wal.Log, *raftstore.Store) {
	t.Helper()
	l := openLog(t, disk)
	return l, raftstore.New(l.Stream(1))
}

func wantRange(t *testing.T, s *raftstore.Store, first, last uint64) {
	t.Helper()
	gotFirst, err := s.FirstIndex()
	check(t, err)
	gotLast, err := s.LastIndex()
	check(t, err)
	if gotFirst != first || gotLast != last {
		t.Fatalf("store holds %d to %d, want %d to %d", gotFirst, gotLast, first, last)
	}
}

func logs(from, through uint64) []*raft.Log {
	var all []*raft.Log
	for i := from; i <= through; i++ {
		all = append(all, &raft.Log{
			Index: i, Term: 1 + i/3, Type: raft.LogType(i % 6), Data: bytes.Repeat([]byte{byte(i)}, int(i)),
			AppendedAt: time.Unix(0, int64(i)),
		})
	}
	return all
}

// What raft's stores must do, by the comments on its interfaces and the tests that its
// own stores share.
func TestEmptyStoreHoldsZeroToZero(t *testing.T) {
	_, s := openStore(t, vfs.NewCrash(1))
	wantRange(t, s, 0, 0)
	for _, index := range []uint64{0, 1, 100} {
		if err := s.GetLog(index, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
			t.Fatalf("GetLog(%d): %v", index, err)
		}
	}
	check(t, s.DeleteRange(1, 100))
	if !s.IsMonotonic() {
		t.Fatal("gaps are not tolerated, and the store does not say so")
	}
}

func TestLogsComeBackAsStored(t *testing.T) {
	disk := vfs.NewCrash(1)
	l, s := openStore(t, disk)
	all := logs(1, 20)
	all[3].Extensions = []byte("middleware")
	all[4].AppendedAt = time.Time{}
	check(t, s.StoreLog(all[0]))
	check(t, s.StoreLogs(all[1:]))
	check(t, s.StoreLogs(nil))
	for range 2 { // also after a restart
		wantRange(t, s, 1, 20)
		for _, want := range all {
			var got raft.Log
			check(t, s.GetLog(want.Index, &got))
			same := cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) })
			if diff := cmp.Diff(*want, got, same); diff != "" {
				t.Fatal(diff)
			}
			if want.AppendedAt.IsZero() != got.AppendedAt.IsZero() {
				t.Fatal("the zero time did not stay zero")
			}
		}
		if err := s.GetLog(21, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
			t.Fatalf("GetLog behind the end: %v", err)
		}
		check(t, l.Close())
		l, s = openStore(t, disk)
	}
}

func TestGapsAreRefused(t *testing.T) {
	_, s := openStore(t, vfs.NewCrash(1))
	check(t, s.StoreLogs(logs(5, 7))) // an empty store begins anywhere: after a snapshot
	wantRange(t, s, 5, 7)
	if err := s.StoreLogs(logs(9, 9)); err == nil {
		t.Fatal("a gap was stored")
	}
	wantRange(t, s, 5, 7)
}

func TestDeleteRange(t *testing.T) {
	for _, c := range []struct {
		name          string
		from, through uint64
		first, last   uint64
	}{
		{"prefix", 1, 4, 5, 10},
		{"prefix from in front of the first", 0, 4, 5, 10},
		{"suffix", 7, 10, 1, 6},
		{"suffix beyond the last", 7, 99, 1, 6},
		{"everything", 1, 10, 0, 0},
		{"everything and more", 0, 99, 0, 0},
		{"behind the last", 11, 20, 1, 10},
		{"nothing", 5, 4, 1, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := vfs.NewCrash(1)
			l, s := openStore(t, disk)
			check(t, s.StoreLogs(logs(1, 10)))
			check(t, s.DeleteRange(c.from, c.through))
			for range 2 {
				wantRange(t, s, c.first, c.last)
				for i := uint64(1); i <= 10; i++ {
					err := s.GetLog(i, new(raft.Log))
					if there := c.first <= i && i <= c.last; there != (err == nil) || !there && !errors.Is(err, raft.ErrLogNotFound) {
						t.Fatalf("GetLog(%d): %v", i, err)
					}
				}
				check(t, l.Close())
				l, s = openStore(t, disk)
			}
			check(t, s.StoreLogs(logs(c.last+1, c.last+3))) // a new leader's entries
			if c.last == 0 {
				c.first = 1
			}
			wantRange(t, s, c.first, c.last+3)
		})
	}
	_, s := openStore(t, vfs.NewCrash(1))
	check(t, s.StoreLogs(logs(1, 10)))
	if err := s.DeleteRange(4, 6); err == nil {
		t.Fatal("deleted the middle")
	}
}

func TestStableStore(t *testing.T) {
	disk := vfs.NewCrash(1)
	l, s := openStore(t, disk)
	if _, err := s.Get([]byte("none")); err == nil || err.Error() != "not found" {
		t.Fatalf("missing key: %v", err)
	}
	if v, err := s.GetUint64([]byte("none")); v != 0 || err == nil || err.Error() != "not found" {
		t.Fatalf("missing number: %d, %v", v, err)
	}
	check(t, s.Set([]byte("LastVoteCand"), []byte("other")))
	check(t, s.Set([]byte("LastVoteCand"), []byte("node")))
	check(t, s.Set([]byte("empty"), nil))
	check(t, s.SetUint64([]byte("CurrentTerm"), 1<<63+5))
	for range 2 { // vote and term outlive a kill
		if v, err := s.Get([]byte("LastVoteCand")); string(v) != "node" || err != nil {
			t.Fatalf("%q, %v", v, err)
		}
		if v, err := s.Get([]byte("empty")); len(v) != 0 || err != nil {
			t.Fatalf("%q, %v", v, err)
		}
		if v, err := s.GetUint64([]byte("CurrentTerm")); v != 1<<63+5 || err != nil {
			t.Fatalf("%d, %v", v, err)
		}
		if _, err := s.GetUint64([]byte("LastVoteCand")); err == nil {
			t.Fatal("a name was read as a number")
		}
		killed := disk.KillCopy()
		_ = l.Close()
		disk = killed
		l, s = openStore(t, disk)
	}
}

// A staged commit index reaches the disk with the entries stored next, not before, and
// is never beyond the last of them.
func TestCommitIndexIsPersistedWithTheNextEntries(t *testing.T) {
	disk := vfs.NewCrash(1)
	l, s := openStore(t, disk)
	want := func(index uint64) {
		t.Helper()
		got, err := s.GetCommitIndex()
		check(t, err)
		if got != index {
			t.Fatalf("commit index %d, want %d", got, index)
		}
	}
	want(0)
	check(t, s.StoreLogs(logs(1, 5)))
	check(t, s.StageCommitIndex(4))
	want(0)
	check(t, s.StoreLogs(logs(6, 6)))
	want(4)
	check(t, s.StageCommitIndex(6))
	check(t, l.Close())
	l, s = openStore(t, disk)
	want(4)
	check(t, s.DeleteRange(3, 6))
	want(2)
	check(t, l.Close())
}
