package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"testing"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// written is an entry and the commit that holds it.
type written struct {
	entry  wal.Entry
	file   string
	commit int
}

// entriesOnly writes a log of three streams, one entry to a commit, and closes it.
func entriesOnly(t *testing.T) (disk *vfs.Crash, streams [3][]written) {
	t.Helper()
	disk = vfs.NewCrash(5)
	l, _, err := wal.Open(disk, dir, wal.Options{FileBytes: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 5))
	for i := range 24 {
		shard := r.IntN(len(streams))
		payload := make([]byte, 300+r.IntN(3000))
		for j := range payload {
			payload[j] = byte(r.Uint32()) | 1
		}
		e := wal.Entry{Seq: uint64(len(streams[shard]) + 1), Term: 1, Type: 3, Payload: payload, AppendedAt: int64(i)}
		if err := l.Stream(uint32(shard)).Append(e); err != nil {
			t.Fatal(err)
		}
		streams[shard] = append(streams[shard], written{entry: e})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range namesOf(t, disk) {
		whole := content(t, disk, name)
		starts, _ := commitsOf(whole)
		for _, list := range streams {
			for i := range list {
				if at := bytes.Index(whole, list[i].entry.Payload); at >= 0 {
					n := 0
					for n < len(starts) && starts[n] < at {
						n++
					}
					list[i].file, list[i].commit = name, starts[n-1]
				}
			}
		}
	}
	return disk, streams
}

func namesOf(t *testing.T, disk vfs.FS) []string {
	t.Helper()
	names, err := disk.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// renewed surveys a log, renews it, and moves out what has to go.
func renewed(t *testing.T, disk vfs.FS, flushed []uint64) *wal.Remains {
	t.Helper()
	r, err := wal.Survey(disk, dir, flushed, func(uint32, wal.Entry, bool) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	err = r.Renew(func(_ uint32, seq uint64) wal.Entry { return wal.Entry{Seq: seq, Term: 1, Type: 5} })
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range r.Files {
		if i < len(r.Files)-1 || i == 0 {
			// For as long as one is there that holds a commit the log is refused, and surveyed as the new one.
			again, err := wal.Survey(disk, dir, flushed, func(uint32, wal.Entry, bool) bool { return true })
			if err != nil || !again.Renewed || !slices.Equal(again.Files, r.Files[i:]) {
				t.Fatalf("before %s goes: %+v, %v", name, again, err)
			}
		}
		if err := errors.Join(disk.Rename(name, path.Base(name)), disk.SyncDir("."), disk.SyncDir(dir)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// keeps checks that a log opens, and that streams hold the entries up to which wants says and no others.
func keeps(t *testing.T, disk vfs.FS, streams [3][]written, flushed []uint64, wants func(shard int) uint64) {
	t.Helper()
	l, rec, err := wal.Open(disk, dir, wal.Options{FileBytes: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if !rec.Clean {
		t.Error("the new log does not look closed")
	}
	for shard := range streams {
		s, want := l.Stream(uint32(shard)), wants(shard)
		if s.Last() != max(want, flushed[shard]) || s.Last() > 0 && s.First() > flushed[shard]+1 {
			t.Fatalf("shard %d holds Seq %d to %d, want %d", shard, s.First(), s.Last(), want)
		}
		for seq := flushed[shard] + 1; seq <= want; seq++ {
			got, err := s.Read(seq)
			e := streams[shard][seq-1].entry
			if err != nil || !bytes.Equal(got.Payload, e.Payload) || got.Term != e.Term || got.Type != e.Type || got.AppendedAt != e.AppendedAt {
				t.Fatalf("shard %d Seq %d: another entry, %v", shard, seq, err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if found := damages(t, disk); found != "" {
		t.Fatalf("a renewed log: %s", found)
	}
}

// TestARenewedLogKeepsWhatFollows: whatever bit is flipped, of each stream the entries stay in front of the
// one in the damaged commit, all where none of it is there, and what segments hold makes no hole.
func TestARenewedLogKeepsWhatFollows(t *testing.T) {
	whole, streams := entriesOnly(t)
	flips := 0
	for _, name := range namesOf(t, whole) {
		b := content(t, whole, name)
		starts, end := commitsOf(b)
		for bit := int64(3); bit < int64(end)*8; bit += 8*611 + 1 {
			for _, flushed := range [][]uint64{{0, 0, 0}, {3, 0, 2}} {
				disk := whole.KillCopy()
				disk.FlipBit(path.Join(dir, name), bit)
				n := 0
				for n < len(starts) && int64(starts[n]) <= bit/8 {
					n++
				}
				r := renewed(t, disk, flushed)
				lost := 0
				keeps(t, disk, streams, flushed, func(shard int) uint64 {
					for i, e := range streams[shard] {
						if e.file == name && e.commit == starts[n-1] && e.entry.Seq > flushed[shard] {
							lost++
							return uint64(i)
						}
					}
					return uint64(len(streams[shard]))
				})
				if len(r.Unread) != 1 || r.Unread[0].File != path.Join(dir, name) || r.Unread[0].Offset != int64(starts[n-1]) || lost > 1 {
					t.Fatalf("%s bit %d: unread %+v", name, bit, r.Unread)
				}
				for shard, s := range r.Streams {
					if last := uint64(len(streams[shard])); s.Last < last && s.Known != last && lost == 0 {
						t.Fatalf("%s bit %d: shard %d known to Seq %d of %d", name, bit, shard, s.Known, last)
					}
				}
				flips++
			}
		}
	}
	t.Logf("%d flips", flips)
}

// TestARenewedLogWithoutFiles: each file is missing, all in front of it, and all behind.
func TestARenewedLogWithoutFiles(t *testing.T) {
	whole, streams := entriesOnly(t)
	names := namesOf(t, whole)
	if len(names) < 4 {
		t.Fatalf("%d files", len(names))
	}
	for _, flushed := range [][]uint64{{0, 0, 0}, {3, 0, 2}, {30, 0, 40}} {
		for i := range names {
			for what, missing := range map[string][]string{"one": names[i : i+1], "front": names[:i+1], "end": names[i:]} {
				t.Run(fmt.Sprint(flushed, i, what), func(t *testing.T) {
					disk := whole.KillCopy()
					for _, name := range missing {
						if err := errors.Join(disk.Remove(path.Join(dir, name)), disk.SyncDir(dir)); err != nil {
							t.Fatal(err)
						}
					}
					renewed(t, disk, flushed)
					keeps(t, disk, streams, flushed, func(shard int) uint64 {
						for i, e := range streams[shard] {
							if slices.Contains(missing, e.file) && e.entry.Seq > flushed[shard] {
								return uint64(i)
							}
						}
						return uint64(len(streams[shard]))
					})
				})
			}
		}
	}
}

// TestASurveyRefusesWhatItWouldGuess: a newer version's log, and that of a folder with more shards.
func TestASurveyRefusesWhatItWouldGuess(t *testing.T) {
	disk, _ := entriesOnly(t)
	if _, err := wal.Survey(disk, dir, []uint64{0}, func(uint32, wal.Entry, bool) bool { return true }); err == nil {
		t.Error("a stream of a shard that the folder does not have")
	}
	name := namesOf(t, disk)[0]
	b := content(t, disk, name)
	b[7]++
	crc := codec.CRC(b[:60])
	b[60], b[61], b[62], b[63] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
	put(t, disk, name, b)
	if _, err := wal.Survey(disk, dir, []uint64{0, 0, 0}, func(uint32, wal.Entry, bool) bool { return true }); !errors.Is(err, codec.ErrVersion) {
		t.Errorf("a newer log: %v", err)
	}
}

// TestARenewedLogKeepsStableKeysAndBacks: what raft would rely on.
func TestARenewedLogKeepsStableKeysAndBacks(t *testing.T) {
	disk := vfs.NewCrash(1)
	l, _, err := wal.Open(disk, dir, wal.Options{FileBytes: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	s := l.Stream(0)
	entry := func(seq, term uint64) wal.Entry { return wal.Entry{Seq: seq, Term: term, Payload: make([]byte, 3000)} }
	if err := errors.Join(
		s.Append(entry(1, 1), entry(2, 1), entry(3, 1)), s.Set([]byte("CurrentTerm"), []byte("1")),
		s.TruncateBack(3), s.Set([]byte("CurrentTerm"), []byte("2")), s.Append(entry(3, 2), entry(4, 2)), l.Close(),
	); err != nil {
		t.Fatal(err)
	}
	renewed(t, disk, []uint64{0})
	if l, _, err = wal.Open(disk, dir, wal.Options{FileBytes: 8 << 10}); err != nil {
		t.Fatal(err)
	}
	s = l.Stream(0)
	third, err := s.Read(3)
	term, ok := s.Get([]byte("CurrentTerm"))
	if err != nil || third.Term != 2 || s.First() != 1 || s.Last() != 4 || !ok || string(term) != "2" {
		t.Errorf("Seq %d to %d, the third of term %d (%v), term %q", s.First(), s.Last(), third.Term, err, term)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestARenewedLogIsGuardedToItsEnd: a bit of it is noticed as one of a closed log is.
func TestARenewedLogIsGuardedToItsEnd(t *testing.T) {
	disk, _ := entriesOnly(t)
	renewed(t, disk, []uint64{0, 0, 0})
	names := namesOf(t, disk)
	name := names[len(names)-1]
	starts, _ := commitsOf(content(t, disk, name))
	if len(names) != 1 || len(starts) != 3 { // state, entries, end
		t.Fatalf("%q, %d commits", names, len(starts))
	}
	for _, at := range []int{starts[0] + 9, starts[0] + 70, starts[1] + 9, starts[1] + 70, starts[2] - 4096} {
		hurt := disk.KillCopy()
		hurt.FlipBit(path.Join(dir, name), int64(at)*8)
		if _, _, err := opened(t, hurt, wal.Options{FileBytes: 16 << 10}); !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("offset %d: %v", at, err)
		}
	}
}
