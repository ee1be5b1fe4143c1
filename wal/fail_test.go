package wal_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"sync"
	"syscall"
	"testing"

	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// workload is a fixed list of steps that rotates files, drops some, truncates both
// ways and sets keys.
func workload() []step {
	r := rand.New(rand.NewPCG(3, 3))
	m := newModel()
	var steps []step
	for range 45 {
		st := randomStep(r, &m)
		m.apply(st)
		steps = append(steps, st)
	}
	for shard := range uint32(shards) { // gives up files in the middle of the run
		st := step{shard: shard, what: "front", seq: m[shard].last}
		m.apply(st)
		steps = append(steps, st)
	}
	for range 10 {
		st := randomStep(r, &m)
		m.apply(st)
		steps = append(steps, st)
	}
	return steps
}

// run opens a log and takes the steps until one fails. It returns what may be found
// afterwards.
func run(t *testing.T, name string, disk *vfs.Crash, steps []step) []model {
	t.Helper()
	acked := newModel()
	l, _, err := wal.Open(disk, dir, wal.Options{FileBytes: 16 << 10})
	if err != nil {
		return []model{acked}
	}
	defer func() { _ = l.Close() }()
	for i, st := range steps {
		next := acked.clone()
		next.apply(st)
		if err := do(l, st); err != nil {
			if !errors.Is(err, wal.ErrPoisoned) {
				t.Fatalf("%s: step %d: %v", name, i, err)
			}
			mustBePoisoned(t, name, l)
			for _, later := range steps[i:] { // fail-stop: nothing is accepted, reading goes on
				if err := do(l, later); err == nil && later.what != "commit" {
					t.Fatalf("%s: accepted %s after the poison", name, later.what)
				}
			}
			if !errors.Is(err, vfs.ErrCrashed) {
				dump(t, l)
			}
			return []model{acked, next}
		}
		acked = next
	}
	return []model{acked}
}

// An error at every call of the file system in turn: the log is poisoned, accepts
// nothing more, and after a restart holds all that was acknowledged, and of the step
// that failed all or nothing. The restart is one after a kill, and after power cuts.
func TestErrorAtEveryCall(t *testing.T) {
	steps := workload()
	disk := vfs.NewCrash(1)
	run(t, "without an error", disk, steps)
	calls := disk.Calls()
	if files, err := disk.List(dir); err != nil || calls < 200 || files[0] == "0000000000000001.log" {
		t.Fatalf("%d calls, files %v, %v: the workload is too small", calls, files, err)
	}
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC, vfs.ErrCrashed} {
		for k := 1; k <= calls; k++ {
			if testing.Short() && k%7 != 0 {
				continue
			}
			name := fmt.Sprintf("%v at call %d", cause, k)
			disk := vfs.NewCrash(uint64(k))
			if errors.Is(cause, vfs.ErrCrashed) {
				disk.StopAt(k)
			} else {
				disk.FailAt(k, cause)
			}
			allowed := run(t, name, disk, steps)
			images := []*vfs.Crash{disk.KillCopy()}
			for range 3 {
				images = append(images, disk.Crash())
			}
			for i, image := range images {
				l, _, err := wal.Open(image, dir, wal.Options{FileBytes: 16 << 10})
				if err != nil {
					t.Fatalf("%s, image %d: %v", name, i, err)
				}
				match(t, fmt.Sprintf("%s, image %d", name, i), l, allowed)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// Of one group commit that a power cut tears, any subset of sectors may survive: the
// group is there whole or dropped whole, and all before it is there.
func TestPowerCutLeavesAnySubsetOfSectors(t *testing.T) {
	var whole, torn int
	for seed := range uint64(1000) {
		disk := vfs.NewCrash(seed)
		r := rand.New(rand.NewPCG(seed, 2))
		l, _, err := wal.Open(disk, dir, wal.Options{FileBytes: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		acked := newModel()
		for seq := range uint64(3) {
			st := step{what: "append", entries: []wal.Entry{{Seq: seq + 1, Payload: randomBytes(r, 3000)}}}
			acked.apply(st)
			if err := do(l, st); err != nil {
				t.Fatal(err)
			}
		}
		next := acked.clone()
		st := step{what: "append", entries: []wal.Entry{{Seq: 4, Payload: randomBytes(r, 5000)}, {Seq: 5, Payload: randomBytes(r, 900)}}}
		next.apply(st)
		disk.StopAt(2) // the write is done, the sync is not
		if err := do(l, st); err == nil {
			t.Fatal("acknowledged without a sync")
		}
		_ = l.Close()
		after, rec, err := wal.Open(disk.Crash(), dir, wal.Options{FileBytes: 64 << 10})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		found := match(t, fmt.Sprintf("seed %d", seed), after, []model{acked, next})
		if found[0].last == 5 {
			whole++
		} else if rec.TornBytes > 0 {
			torn++
		}
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if whole == 0 || torn < 100 {
		t.Fatalf("%d groups whole, %d torn: the cuts are not where they should be", whole, torn)
	}
}

// Files that no stream needs are deleted from the front, and FrontHolder names the
// shard that keeps the oldest one.
func TestFilesAreDroppedFromTheFront(t *testing.T) {
	disk := vfs.NewCrash(1)
	l, _, err := wal.Open(disk, dir, wal.Options{FileBytes: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	idle, busy := l.Stream(2), l.Stream(1)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(idle.Append(wal.Entry{Seq: 1, Payload: []byte("keeps the front")}))
	for seq := uint64(1); seq <= 40; seq++ {
		check(busy.Append(wal.Entry{Seq: seq, Payload: make([]byte, 3000)}))
	}
	check(busy.TruncateFront(39))
	before := l.Stats()
	if shard, bytes := l.FrontHolder(); shard != 2 || bytes != before.Bytes || before.Files < 10 {
		t.Fatalf("front held by %d, %d bytes; %+v", shard, bytes, before)
	}
	check(idle.TruncateFront(1))
	if after := l.Stats(); after.Files > 2 || after.Bytes > before.Bytes/4 {
		t.Fatalf("after the flush of the front holder: %+v", after)
	}
	if _, err := idle.Read(1); !errors.Is(err, wal.ErrNotFound) {
		t.Fatalf("read of a dropped entry: %v", err)
	}
	if e, err := busy.Read(40); err != nil || len(e.Payload) != 3000 {
		t.Fatalf("read of the one left: %v", err)
	}
	if shard, _ := l.FrontHolder(); shard != 1 {
		t.Fatalf("front held by %d", shard)
	}
	check(l.Close())
	l, rec, err := wal.Open(disk, dir, wal.Options{FileBytes: 16 << 10})
	check(err)
	if s := l.Stream(1); !rec.Clean || s.First() != 40 || s.Last() != 40 || l.Stream(2).Last() != 0 {
		t.Fatalf("after restart: %+v, %d to %d", rec, s.First(), s.Last())
	}
	check(l.Close())
}

// Many streams append, read and truncate at once; all they were told is kept.
func TestManyStreamsAtOnce(t *testing.T) {
	const streams, entries = 8, 200
	disk, err := vfs.NewOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := wal.Options{FileBytes: 256 << 10}
	l, _, err := wal.Open(disk, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for shard := range uint32(streams) {
		group.Go(func() { appendAll(t, l.Stream(shard), entries) })
	}
	group.Wait()
	st := l.Stats()
	if st.Entries != streams*entries || st.Groups >= streams*entries {
		t.Errorf("%+v: entries did not share group commits", st)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, rec, err := wal.Open(disk, dir, o)
	if err != nil || !rec.Clean {
		t.Fatal(rec, err)
	}
	for shard := range uint32(streams) {
		s := l.Stream(shard)
		if s.First() != entries/2+1 || s.Last() != entries {
			t.Errorf("shard %d holds %d to %d", shard, s.First(), s.Last())
		}
		checkPayloads(t, s)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := wal.Verify(disk, dir, func(d wal.Damage) { t.Error(d) }, nil); err != nil {
		t.Fatal(err)
	}
}

// appendAll keeps several appends of one stream in flight and reads behind them.
func appendAll(t *testing.T, s *wal.Stream, entries uint64) {
	for seq := uint64(1); seq <= entries; {
		var flight []wal.Pending
		for range 4 {
			p, err := s.Queue(wal.Entry{Seq: seq, Payload: payloadOf(seq)})
			if err != nil {
				t.Error(err)
				return
			}
			flight = append(flight, p)
			seq++
		}
		for _, p := range flight {
			if err := p.Wait(); err != nil {
				t.Error(err)
				return
			}
		}
		if s.Last() < seq-1 {
			t.Errorf("acknowledged %d, last is %d", seq-1, s.Last())
		}
		if seq%40 == 1 {
			checkPayloads(t, s)
			if err := s.TruncateFront(seq / 2); err != nil {
				t.Error(err)
			}
		}
	}
}

func payloadOf(seq uint64) []byte { return fmt.Appendf(nil, "%0*d", 100+seq%900, seq) }

func checkPayloads(t *testing.T, s *wal.Stream) {
	t.Helper()
	err := s.Scan(0, func(e wal.Entry) error {
		if string(e.Payload) != string(payloadOf(e.Seq)) {
			return fmt.Errorf("entry %d holds %q", e.Seq, e.Payload)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// An entry rots on the disk while the log is open: reading it names the place.
func TestRotIsNoticedWhenRead(t *testing.T) {
	disk := vfs.NewCrash(1)
	l, _, err := wal.Open(disk, dir, wal.Options{FileBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	s := l.Stream(1)
	if err := s.Append(wal.Entry{Seq: 1, Payload: make([]byte, 100)}); err != nil {
		t.Fatal(err)
	}
	disk.FlipBit(path.Join(dir, "0000000000000001.log"), (4096+64+52+50)*8)
	_, err = s.Read(1)
	if err == nil {
		t.Fatal("read a rotten entry")
	}
	namesPlace(t, err, "0000000000000001.log", (4096+64+52+50)*8)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
