package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/cluster/raftstore"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// repairWorld is a folder of three shards as a kill leaves it: two segments each, a ledger, a
// part in quarantine, and a log of many files that goes back to its beginning.
type repairWorld struct {
	disk   *vfs.Crash
	gen    *enginetest.Generator
	pieces []map[uint64]*span.Batch // of each shard, by Seq
	logs   []string                 // files of the log that hold commits
}

const (
	repairShards = 3
	ledgerOf     = 7 // records that the ledger tells of
)

func repairOptions(disk vfs.FS) cluster.Options {
	o := small(disk)
	o.MemtableBytesMax, o.Log.FileBytes = 1<<20, 16<<10
	return o
}

func newRepairWorld(t *testing.T) *repairWorld {
	t.Helper()
	w := &repairWorld{disk: vfs.NewCrash(3), gen: enginetest.NewGenerator(3, 25)}
	o := repairOptions(w.disk)
	poison := w.gen.Spans(1)
	o.CheckPart = func(b *span.Batch) error {
		if b.Len() == 1 && b.TraceIDs[0] == poison[0].TraceID {
			return errors.New("injected")
		}
		return nil
	}
	s := open(t, o)
	write(t, s, enginetest.Payload(poison))
	for _, requests := range []int{6, 6, 14} {
		if err := s.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		for range requests {
			write(t, s, enginetest.Payload(w.gen.Spans(25)))
		}
	}
	if err := s.Imports().SetRecords([16]byte{1}, ledgerOf); err != nil {
		t.Fatal(err)
	}
	w.disk = w.disk.KillCopy()
	shut(t, s)
	w.pieces = piecesOf(t, w.disk.KillCopy(), poison[0].TraceID)
	for _, name := range filesBelow(t, w.disk, "log") {
		if content := w.content(t, w.disk, name); bytes.HasPrefix(content, []byte("STOALOG")) {
			w.logs = append(w.logs, name)
		}
	}
	if len(w.logs) < 8 || len(filesBelow(t, w.disk, "shard-001")) < 3 {
		t.Fatalf("too little for these tests: %q", filesBelow(t, w.disk, "."))
	}
	return w
}

// piecesOf reads a whole log, but for the part that stands in quarantine.
func piecesOf(t *testing.T, disk vfs.FS, poison span.TraceID) []map[uint64]*span.Batch {
	t.Helper()
	l, _, err := wal.Open(disk, "log", wal.Options{FileBytes: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	pieces := make([]map[uint64]*span.Batch, repairShards)
	for shard := range pieces {
		pieces[shard] = make(map[uint64]*span.Batch)
		stream := l.Stream(uint32(shard))
		if stream.First() != 1 {
			t.Fatalf("the log of shard %d begins at Seq %d", shard, stream.First())
		}
		err := stream.Scan(1, func(e wal.Entry) error {
			if !raftstore.IsCommand(e) {
				return nil
			}
			entry, err := engine.DecodeEntry(bytes.Clone(e.Payload))
			if err != nil || len(entry.Parts) != 1 {
				t.Fatalf("shard %d Seq %d: %v", shard, e.Seq, err)
			}
			b, err := batchOf(entry.Parts[0])
			if err == nil && (b.Len() != 1 || b.TraceIDs[0] != poison) {
				pieces[shard][e.Seq] = b
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return pieces
}

// filesBelow are the files in a folder, those of folders in it too.
func filesBelow(t *testing.T, disk vfs.FS, dir string) (files []string) {
	t.Helper()
	names, err := disk.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		name = path.Join(dir, name)
		if _, err := disk.List(name); errors.Is(err, fs.ErrNotExist) {
			files = append(files, name)
		} else {
			files = append(files, filesBelow(t, disk, name)...)
		}
	}
	return files
}

func (w *repairWorld) content(t *testing.T, disk vfs.FS, name string) []byte {
	t.Helper()
	b, err := vfs.ReadFile(disk, name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// everything is the content of all files, but for the lock's.
func (w *repairWorld) everything(t *testing.T, disk vfs.FS) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range filesBelow(t, disk, ".") {
		if name != "lock" {
			all[name] = string(w.content(t, disk, name))
		}
	}
	return all
}

// damages are ways to hurt a folder, in the order of their names.
func (w *repairWorld) damages(t *testing.T) map[string]func(disk *vfs.Crash) {
	remove := func(disk *vfs.Crash, names ...string) {
		for _, name := range names {
			if err := disk.Remove(name); err != nil {
				t.Fatal(err)
			}
			if err := disk.SyncDir(path.Dir(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(disk *vfs.Crash, name string, fromEnd int64) {
		disk.FlipBit(name, (int64(len(w.content(t, disk, name)))-fromEnd)*8+3)
	}
	n := len(w.logs)
	middle := func(disk *vfs.Crash, name string) { flip(disk, name, int64(len(w.content(t, disk, name)))/2) }
	var quarantined string
	for _, name := range filesBelow(t, w.disk, ".") {
		if strings.Contains(name, "/quarantine/") {
			quarantined = name
		}
	}
	all := map[string]func(disk *vfs.Crash){
		"a bit of the log behind what segments hold": func(disk *vfs.Crash) { middle(disk, w.logs[n-3]) },
		"a bit of the log that segments hold":        func(disk *vfs.Crash) { middle(disk, w.logs[0]) },
		"the first commit of a log file":             func(disk *vfs.Crash) { disk.FlipBit(w.logs[n-3], 70*8) },
		"bits of three log files": func(disk *vfs.Crash) {
			for _, name := range []string{w.logs[1], w.logs[n-4], w.logs[n-2]} {
				middle(disk, name)
			}
		},
		"a log file in the middle is missing": func(disk *vfs.Crash) { remove(disk, w.logs[n-3]) },
		"the first log file is missing":       func(disk *vfs.Crash) { remove(disk, w.logs[0]) },
		"log files up to the last are missing": func(disk *vfs.Crash) {
			remove(disk, w.logs[:n-1]...)
		},
		"the log ends before segments do": func(disk *vfs.Crash) { remove(disk, w.logs[1:]...) },
		"the log is missing":              func(disk *vfs.Crash) { remove(disk, w.logs...) },
		"the folder of the log is missing": func(disk *vfs.Crash) {
			remove(disk, w.logs...)
			remove(disk, "log")
		},
		"a segment's footer":   func(disk *vfs.Crash) { flip(disk, "shard-001/00000002.seg", 60) },
		"a segment is missing": func(disk *vfs.Crash) { remove(disk, "shard-000/00000001.seg") },
		"a segment cut off": func(disk *vfs.Crash) {
			b := w.content(t, disk, "shard-002/00000001.seg")
			if err := vfs.ReplaceFile(disk, "shard-002/00000001.seg", b[:len(b)/2]); err != nil {
				t.Fatal(err)
			}
		},
		"the ledger": func(disk *vfs.Crash) { flip(disk, "imports", 2) },
		"a part in quarantine": func(disk *vfs.Crash) {
			flip(disk, quarantined, 2)
		},
	}
	all["everything"] = func(disk *vfs.Crash) {
		for _, what := range []string{"bits of three log files", "a segment's footer", "a segment is missing", "a segment cut off", "a part in quarantine", "the ledger"} {
			all[what](disk)
		}
	}
	return all
}

// left is what the store holds once what a plan tells is gone.
func (w *repairWorld) left(r *cluster.Repair) *enginetest.Model {
	gone := func(shard int, seq uint64) bool {
		if r.Log != nil {
			lost := r.Log.Streams[shard]
			if lost.First > 0 && seq >= lost.First && seq <= lost.Last || lost.Anew > 0 && seq > lost.Anew {
				return true
			}
		}
		return slices.ContainsFunc(r.Segments, func(s *engine.DamagedSegment) bool {
			return path.Dir(s.File) == shardName(shard) && seq >= s.FirstSeq && seq <= s.LastSeq
		})
	}
	m := enginetest.NewModel()
	for shard, pieces := range w.pieces {
		for _, seq := range slices.Sorted(maps.Keys(pieces)) {
			if !gone(shard, seq) {
				m.AddBatch(pieces[seq])
			}
		}
	}
	return m
}

func shardName(shard int) string { return []string{"shard-000", "shard-001", "shard-002"}[shard] }

func planned(t *testing.T, disk vfs.FS) *cluster.Repair {
	t.Helper()
	r, err := cluster.PlanRepair(disk, false, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// repaired plans and repairs.
func repaired(disk vfs.FS) error {
	r, err := cluster.PlanRepair(disk, false, func(error) {})
	if err != nil {
		return err
	}
	if r.Needed() {
		err = r.Do(context.Background(), time.Date(2026, 12, 1, 20, 0, 0, 0, time.UTC), func(string) {})
	}
	return errors.Join(err, r.Close())
}

// nothingIsDeleted checks that every file of before stands where it was, or as it was where a
// repair has put it.
func (w *repairWorld) nothingIsDeleted(t *testing.T, disk vfs.FS, before map[string]string, started bool) {
	t.Helper()
	after := w.everything(t, disk)
	for name, content := range before {
		found := after[name] == content || started && path.Base(name) == "MANIFEST" && after[name] != "" // which flushes change
		for other, moved := range after {
			if at := strings.Split(other, "/"); at[0] == cluster.RepairedFolder && strings.Join(at[2:], "/") == name {
				found = found || moved == content
			}
		}
		if !found {
			t.Errorf("%s is neither where it was nor in repaired", name)
		}
	}
}

// serves checks that a start goes well and answers as the model does, takes what is new, and
// goes well again.
func (w *repairWorld) serves(t *testing.T, disk *vfs.Crash, m *enginetest.Model) {
	t.Helper()
	s := open(t, repairOptions(disk))
	sameAnswers(t, s, m, w.gen, 5)
	m = m.Clone()
	for range 3 {
		request := enginetest.Payload(w.gen.Spans(20))
		write(t, s, request)
		if _, err := m.Add(request); err != nil {
			t.Fatal(err)
		}
	}
	killed := disk.KillCopy()
	shut(t, s)
	for _, next := range []*vfs.Crash{killed, disk} {
		s = open(t, repairOptions(next))
		sameAnswers(t, s, m, w.gen, 5)
		shut(t, s)
		if _, err := cluster.Verify(next, func(damage error) { t.Errorf("verify: %v", damage) }); err != nil {
			t.Error(err)
		}
	}
}

// TestRepairDropsWhatItTellsAndNothingElse: of each damage, a start is refused before; the plan
// changes nothing; and after the repair the store holds every span but those that were told, and
// every byte that went out can still be looked at.
func TestRepairDropsWhatItTellsAndNothingElse(t *testing.T) {
	w := newRepairWorld(t)
	all := w.damages(t)
	for _, what := range slices.Sorted(maps.Keys(all)) {
		t.Run(what, func(t *testing.T) {
			disk := w.disk.KillCopy()
			all[what](disk)
			if _, err := cluster.Open(context.Background(), repairOptions(disk.KillCopy())); err == nil && what != "a part in quarantine" {
				t.Fatal("a start is not refused")
			}
			before := w.everything(t, disk)
			r := planned(t, disk)
			if !maps.Equal(w.everything(t, disk), before) {
				t.Error("planning changed a file")
			}
			want := w.left(r)
			lost := w.left(&cluster.Repair{}).Spans() - want.Spans()
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if err := repaired(disk); err != nil {
				t.Fatal(err)
			}
			w.nothingIsDeleted(t, disk, before, false)
			r = planned(t, disk)
			if r.Needed() {
				t.Errorf("%d damages are left", r.Damages)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			w.serves(t, disk, want)
			t.Logf("%d spans lost, %d left", lost, want.Spans())
		})
	}
}

// TestRepairStoppedAnywhereComesToTheSameEnd: a kill and a power cut at every call of a repair leave a
// folder that a start refuses, or that holds what a whole repair leaves; the next repair comes to that.
func TestRepairStoppedAnywhereComesToTheSameEnd(t *testing.T) {
	w := newRepairWorld(t)
	all := w.damages(t)
	for _, what := range []string{"everything", "the log is missing", "a log file in the middle is missing", "the first log file is missing"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			damaged := w.disk.KillCopy()
			all[what](damaged)
			before := w.everything(t, damaged)
			whole := damaged.KillCopy()
			r := planned(t, whole)
			want, reads := w.left(r), whole.Calls()
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			whole = damaged.KillCopy()
			if err := repaired(whole); err != nil {
				t.Fatal(err)
			}
			calls, step := whole.Calls(), 5
			switch {
			case testing.Short():
				step = 17
			case os.Getenv("STOA_TEST_SEEDS") != "":
				step = 1
			}
			refused, started := 0, 0
			for k := calls; k > reads-step; k -= step { // earlier ones only read
				disk := damaged.KillCopy()
				disk.StopAt(k)
				_ = repaired(disk)
				for _, left := range []*vfs.Crash{disk.KillCopy(), disk.Crash()} {
					start := left.KillCopy()
					s, err := cluster.Open(context.Background(), repairOptions(start))
					if err != nil {
						refused++
					} else {
						started++
						sameTraces(t, s, want)
						shut(t, s)
						w.nothingIsDeleted(t, start, before, true) // as a stray, or a log file that is stale
					}
					if err := repaired(left); err != nil {
						t.Fatalf("stopped at call %d of %d: the next repair: %v", k, calls, err)
					}
					w.nothingIsDeleted(t, left, before, false)
					s = open(t, repairOptions(left))
					sameTraces(t, s, want)
					shut(t, s)
					if t.Failed() {
						t.Fatalf("stopped at call %d of %d", k, calls)
					}
				}
			}
			if refused == 0 || started == 0 {
				t.Errorf("%d starts were refused, %d went well", refused, started)
			}
			t.Logf("%d calls, %d of them to plan: %d starts refused, %d went well", calls, reads, refused, started)
		})
	}
}

func sameTraces(t *testing.T, s *cluster.Store, m *enginetest.Model) {
	t.Helper()
	spans := 0
	err := s.Spans(context.Background(), span.AllTime(), func(span.Row) error {
		spans++
		return nil
	})
	if err != nil || spans != m.Spans() {
		t.Fatalf("%d spans, %v; want %d", spans, err, m.Spans())
	}
	for _, id := range m.TraceIDs() {
		if got, want := traceOf(t, s, id), modelTraceOf(t, m, id); !slices.Equal(got, want) {
			t.Fatalf("trace %v: %d spans, want %d", id, len(got), len(want))
		}
	}
}
