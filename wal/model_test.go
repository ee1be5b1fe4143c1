package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

const (
	dir    = "log"
	shards = 4
)

var keys = []string{"CurrentTerm", "LastVoteCand"}

// model is the slow truth: what a log must hold, in plain maps.
type model [shards]modelStream

type modelStream struct {
	first, last    uint64
	entries        map[uint64]wal.Entry
	keys           map[string]string
	staged, commit uint64
}

func (m model) clone() model {
	for i := range m {
		s := &m[i]
		entries, values := map[uint64]wal.Entry{}, map[string]string{}
		for k, v := range s.entries {
			entries[k] = v
		}
		for k, v := range s.keys {
			values[k] = v
		}
		s.entries, s.keys = entries, values
	}
	return m
}

// step is one call on one stream.
type step struct {
	shard   uint32
	what    string // append, front, back, set, commit
	entries []wal.Entry
	seq     uint64
	key     string
	value   string
}

func (m *model) apply(st step) {
	s := &m[st.shard]
	switch st.what {
	case "append":
		for _, e := range st.entries {
			if s.last == 0 {
				s.first = e.Seq
			}
			s.last, s.entries[e.Seq] = e.Seq, e
			s.commit = max(s.commit, s.staged)
		}
	case "front":
		for ; s.first <= st.seq && s.first <= s.last && s.last > 0; s.first++ {
			delete(s.entries, s.first)
		}
	case "back":
		for ; s.last >= st.seq && s.last >= s.first && s.last > 0; s.last-- {
			delete(s.entries, s.last)
		}
	case "set":
		s.keys[st.key] = st.value
	case "commit":
		s.staged = max(s.staged, st.seq)
	}
	if len(s.entries) == 0 {
		s.first, s.last = 0, 0
	}
}

func do(l *wal.Log, st step) error {
	s := l.Stream(st.shard)
	switch st.what {
	case "append":
		return s.Append(st.entries...)
	case "front":
		return s.TruncateFront(st.seq)
	case "back":
		return s.TruncateBack(st.seq)
	case "set":
		return s.Set([]byte(st.key), []byte(st.value))
	default:
		s.SetCommit(st.seq)
		return nil
	}
}

// randomStep is a step that the model allows now.
func randomStep(r *rand.Rand, m *model) step {
	st := step{shard: uint32(r.IntN(shards))}
	s := &m[st.shard]
	switch n := r.IntN(20); {
	case n == 0:
		st.what, st.seq = "front", s.first+r.Uint64N(s.last-s.first+2)
	case n == 1:
		st.what, st.seq = "back", max(1, s.last-r.Uint64N(s.last-s.first+2))
	case n == 2:
		st.what, st.key, st.value = "set", keys[r.IntN(len(keys))], strconv.Itoa(r.IntN(1000))
	case n == 3:
		st.what, st.seq = "commit", s.last
	default:
		st.what = "append"
		seq := s.last + 1
		if s.last == 0 {
			seq = 1 + r.Uint64N(1000)
		}
		for i := range 1 + r.Uint64N(4) {
			e := wal.Entry{Seq: seq + i, Term: 1 + r.Uint64N(9), Type: uint8(r.IntN(6)), AppendedAt: r.Int64()}
			e.Payload = randomBytes(r, r.IntN(1+[]int{20, 400, 5000}[r.IntN(3)]))
			if r.IntN(8) == 0 {
				e.Extensions = randomBytes(r, 1+r.IntN(9))
			}
			st.entries = append(st.entries, e)
		}
	}
	return st
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func newModel() model { return model{}.clone() }

// String is everything that a log can be asked.
func (m model) String() string {
	var b strings.Builder
	for shard := range m {
		s := &m[shard]
		fmt.Fprintf(&b, "shard %d: %d to %d, commit %d\n", shard, s.first, s.last, s.commit)
		for _, key := range keys {
			value, ok := s.keys[key]
			fmt.Fprintf(&b, "  %s=%q %v\n", key, value, ok)
		}
		for seq := s.first; seq <= s.last && s.last > 0; seq++ {
			fmt.Fprintln(&b, entryString(s.entries[seq]))
		}
	}
	return b.String()
}

func entryString(e wal.Entry) string {
	return fmt.Sprintf("  Seq %d term %d type %d at %d ext %x payload of %d: %v",
		e.Seq, e.Term, e.Type, e.AppendedAt, e.Extensions, len(e.Payload), codec.HashBytes(e.Payload))
}

// dump asks a log everything, once by Scan and once by Read.
func dump(t testing.TB, l *wal.Log) string {
	t.Helper()
	var b strings.Builder
	for shard := range uint32(shards) {
		s := l.Stream(shard)
		fmt.Fprintf(&b, "shard %d: %d to %d, commit %d\n", shard, s.First(), s.Last(), s.Commit())
		for _, key := range keys {
			value, ok := s.Get([]byte(key))
			fmt.Fprintf(&b, "  %s=%q %v\n", key, value, ok)
		}
		next := s.First()
		err := s.Scan(0, func(e wal.Entry) error {
			line := entryString(e)
			again, err := s.Read(next)
			if err != nil || entryString(again) != line {
				t.Fatalf("shard %d: Read(%d) is %v, %v; Scan says %s", shard, next, again, err, line)
			}
			next++
			b.WriteString(line + "\n")
			return nil
		})
		if err != nil {
			t.Fatalf("shard %d: %v", shard, err)
		}
		for _, seq := range []uint64{0, s.First() - 1, s.Last() + 1} {
			if _, err := s.Read(seq); !errors.Is(err, wal.ErrNotFound) {
				t.Fatalf("shard %d: Read(%d) outside: %v", shard, seq, err)
			}
		}
	}
	return b.String()
}

// seeds is how many seeds a model test runs: few by default, many by make model.
func seeds(t testing.TB, few int) uint64 {
	if s := os.Getenv("STOA_TEST_SEEDS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		few = max(1, few/10)
	}
	return uint64(few)
}

// A log behaves like the model through any number of lives, each ended by a clean
// shutdown, a kill, a power cut or an error at a random call: it holds what was
// acknowledged, and of the step in flight all or nothing. With a sync interval a power
// cut may take it back to any step since the last sync that was asked for.
func TestModelWithCrashes(t *testing.T) {
	for seed := range seeds(t, 150) {
		lives(t, seed, 0)
		lives(t, seed, interval)
	}
}

func lives(t *testing.T, seed uint64, every time.Duration) {
	r := rand.New(rand.NewPCG(seed, 1))
	disk := vfs.NewCrash(seed)
	options := wal.Options{FileBytes: []int64{8 << 10, 32 << 10, 1 << 20}[r.IntN(3)], SyncInterval: every}
	acked := newModel()
	allowed := []model{acked}
	for life := range 6 {
		name := fmt.Sprintf("seed %d interval %v life %d", seed, every, life)
		l, _, err := wal.Open(disk, dir, options)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		acked = match(t, name, l, allowed)
		ending := r.IntN(4)
		if at := 1 + r.IntN(150); ending == 0 {
			disk.StopAt(at)
		} else if ending == 1 {
			disk.FailAt(at, []error{syscall.EIO, syscall.ENOSPC}[r.IntN(2)])
		}
		afterKill, afterCut, err := live(r, l, acked, every > 0)
		switch {
		case err != nil:
			mustBePoisoned(t, name, l)
			_ = l.Close()
		case ending == 2:
			if err := l.Close(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			afterCut = afterKill
		}
		after := disk.KillCopy()
		allowed = afterKill
		if r.IntN(2) == 0 {
			after, allowed = disk.Crash(), afterCut
		}
		_ = l.Close() // ends the goroutine; what it writes concerns nobody any more
		disk = after
		if r.IntN(3) == 0 {
			var cut bool
			if disk, cut = interruptedOpen(r, disk, options); cut {
				allowed = afterCut
			}
		}
	}
}

// live takes steps until one fails or there are enough. It returns what the next life
// may find after a kill, the last step or also the one in flight, and after a power
// cut: the same, or where the log was opened unsynced, any step since the last Sync.
func live(r *rand.Rand, l *wal.Log, m model, unsynced bool) (afterKill, afterCut []model, err error) {
	afterCut = []model{m}
	for range r.IntN(60) {
		st := randomStep(r, &m)
		if st.what == "append" && r.IntN(40) == 0 {
			st.entries[0].Payload = randomBytes(r, 50_000) // bigger than a file
		}
		next := m.clone()
		next.apply(st)
		if err := do(l, st); err != nil {
			return []model{m, next}, append(afterCut, next), err
		}
		m = next
		afterCut = append(afterCut, m)
		if unsynced && r.IntN(15) == 0 {
			if err := l.Sync(); err != nil {
				return []model{m}, afterCut, err
			}
			afterCut = []model{m}
		}
		if !unsynced {
			afterCut = []model{m}
		}
	}
	return []model{m}, afterCut, nil
}

// match finds the model that the log is equal to.
func match(t *testing.T, name string, l *wal.Log, allowed []model) model {
	t.Helper()
	got := dump(t, l)
	for _, m := range allowed {
		if got == m.String() {
			m = m.clone()
			for i := range m {
				m[i].staged = 0 // a note that no entry carried is gone
			}
			return m
		}
	}
	t.Fatalf("%s: the log holds\n%s\nacknowledged was\n%s", name, got, allowed[0])
	return model{}
}

func mustBePoisoned(t *testing.T, name string, l *wal.Log) {
	t.Helper()
	select {
	case <-l.Poisoned():
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: not poisoned", name)
	}
	if !errors.Is(l.Err(), wal.ErrPoisoned) {
		t.Fatalf("%s: Err is %v", name, l.Err())
	}
	if err := l.Stream(0).Set([]byte("k"), nil); !errors.Is(err, wal.ErrPoisoned) {
		t.Fatalf("%s: accepted after the poison: %v", name, err)
	}
}

// interruptedOpen lets a recovery die half way; the next one finds what it left.
// It tells whether that death was a power cut.
func interruptedOpen(r *rand.Rand, disk *vfs.Crash, options wal.Options) (after *vfs.Crash, cut bool) {
	if at := 1 + r.IntN(30); r.IntN(2) == 0 {
		disk.FailAt(at, syscall.EIO)
	} else {
		disk.StopAt(at)
	}
	l, _, err := wal.Open(disk, dir, options)
	after = disk.KillCopy()
	if cut = r.IntN(2) == 0; cut {
		after = disk.Crash()
	}
	if err == nil {
		_ = l.Close()
	}
	return after, cut
}

func TestAppendsMustFollowEachOther(t *testing.T) {
	l, _, err := wal.Open(vfs.NewCrash(1), dir, wal.Options{FileBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	s := l.Stream(1)
	if err := s.Append(wal.Entry{Seq: 0}); !errors.Is(err, wal.ErrOrder) {
		t.Fatalf("Seq 0: %v", err)
	}
	if err := s.Append(wal.Entry{Seq: 7}, wal.Entry{Seq: 8}); err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{7, 8, 10} {
		if err := s.Append(wal.Entry{Seq: seq}); !errors.Is(err, wal.ErrOrder) {
			t.Fatalf("Seq %d after 8: %v", seq, err)
		}
	}
	if err := s.Append(wal.Entry{Seq: 9}, wal.Entry{Seq: 11}); !errors.Is(err, wal.ErrOrder) || s.Last() != 8 {
		t.Fatalf("a gap inside an append: %v, last %d", err, s.Last())
	}
	if err := s.Append(wal.Entry{Seq: 9, Payload: bytes.Repeat([]byte("x"), 10)}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(wal.Entry{Seq: 10}); !errors.Is(err, wal.ErrClosed) {
		t.Fatalf("append after Close: %v", err)
	}
	if _, err := s.Read(9); !errors.Is(err, wal.ErrClosed) {
		t.Fatalf("read after Close: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatalf("second Close: %v", err)
	}
}
