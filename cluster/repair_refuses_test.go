package cluster_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/internal/vfs"
)

// TestRepairRefusesToGuess: it changes nothing, and says why.
func TestRepairRefusesToGuess(t *testing.T) {
	w := newRepairWorld(t)
	early := vfs.NewCrash(4)
	s := open(t, repairOptions(early))
	write(t, s, enginetest.Payload(w.gen.Spans(40)))
	if err := s.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	old := w.content(t, early, "shard-001/MANIFEST")
	write(t, s, enginetest.Payload(w.gen.Spans(40)))
	write(t, s, enginetest.Payload(w.gen.Spans(40)))
	shut(t, s) // flushes, and gives up the log's front
	for _, c := range []struct {
		what, says string
		disk       *vfs.Crash
		damage     func(disk *vfs.Crash) error
	}{
		{"an epoch record", "epoch: offset", w.disk, func(disk *vfs.Crash) error { disk.FlipBit("epoch", 70); return nil }},
		{"a manifest", "shard-001/MANIFEST: offset", w.disk, func(disk *vfs.Crash) error { disk.FlipBit("shard-001/MANIFEST", 300); return nil }},
		{"no manifest", "shard-001/MANIFEST: offset 0", w.disk, func(disk *vfs.Crash) error { return disk.Remove("shard-001/MANIFEST") }},
		{"another shard's manifest", "manifest of shard 0", w.disk, func(disk *vfs.Crash) error {
			return vfs.ReplaceFile(disk, "shard-001/MANIFEST", w.content(t, disk, "shard-000/MANIFEST"))
		}},
		{"an older manifest", "bring back the right one", early, func(disk *vfs.Crash) error {
			return vfs.ReplaceFile(disk, "shard-001/MANIFEST", old)
		}},
		{"no folder of a shard", "bring back the right one", early, func(disk *vfs.Crash) error {
			names, err := disk.List("shard-001")
			for _, name := range names {
				err = errors.Join(err, disk.Remove("shard-001/"+name))
			}
			return err
		}},
		{"another manifest of the same flushes", "bring back the right one", w.disk, func(disk *vfs.Crash) error {
			// As of before a merge of 1 and 2 into 3.
			return errors.Join(disk.Rename("shard-001/00000001.seg", "shard-001/00000003.seg"), disk.Remove("shard-001/00000002.seg"))
		}},
		{"a log of more shards", "the log of another folder", early, func(disk *vfs.Crash) error {
			disk.FlipBit(filesBelow(t, disk, "log")[0], 200*8)
			return vfs.ReplaceFile(disk, "epoch", cluster.Epoch{Shards: 2, Hash: "xxh3-64(tenant,0,trace-id)"}.AppendBinary(nil))
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			disk := c.disk.KillCopy()
			if err := c.damage(disk); err != nil {
				t.Fatal(err)
			}
			before := w.everything(t, disk)
			r, err := cluster.PlanRepair(disk, true, func(error) {})
			if !errors.Is(err, cluster.ErrNoRepair) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%+v, %v", r, err)
			}
			if !maps.Equal(w.everything(t, disk), before) {
				t.Error("it changed a file")
			}
			if _, err := cluster.PlanRepair(disk, true, func(error) {}); errors.Is(err, vfs.ErrLocked) {
				t.Error("it did not let go of the folder")
			}
		})
	}
}

// TestRepairTakesNoFailureForDamage: a disk that fails at any call of the plan takes nothing away.
func TestRepairTakesNoFailureForDamage(t *testing.T) {
	w := newRepairWorld(t)
	disk := w.disk.KillCopy()
	if err := planned(t, disk).Close(); err != nil {
		t.Fatal(err)
	}
	told := 0
	for k := 1; k <= disk.Calls(); k++ {
		failing := w.disk.KillCopy()
		failing.FailAt(k, errors.New("input/output error"))
		r, err := cluster.PlanRepair(failing, false, func(error) {})
		if err != nil {
			told++
			continue
		}
		if r.Needed() {
			t.Errorf("call %d failed: %d damages", k, r.Damages)
		}
		_ = r.Close() // which may be the call that fails
	}
	if told < disk.Calls()/2 {
		t.Errorf("%d failures of %d were told", told, disk.Calls())
	}
}

// TestRepairOnAFullDiskLosesNothing: it ends where the room does, and goes on when there is some.
func TestRepairOnAFullDiskLosesNothing(t *testing.T) {
	w := newRepairWorld(t)
	disk := w.disk.KillCopy()
	w.damages(t)["everything"](disk)
	before := w.everything(t, disk)
	r := planned(t, disk)
	want := w.left(r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, free := range []int64{0, 5000} {
		disk.SetFree(free)
		if err := repaired(disk); !vfs.Full(err) {
			t.Errorf("%d bytes free: %v", free, err)
		}
		w.nothingIsDeleted(t, disk, before, false)
	}
	for _, name := range filesBelow(t, disk, "log") {
		if strings.HasSuffix(name, vfs.NewSuffix) {
			t.Errorf("%s is left, which takes room", name)
		}
	}
	disk.SetFree(-1)
	if err := repaired(disk); err != nil {
		t.Fatal(err)
	}
	w.nothingIsDeleted(t, disk, before, false)
	w.serves(t, disk, want)
}

// TestRepairEndsBetweenSteps when it is cancelled, and the next one goes on.
func TestRepairEndsBetweenSteps(t *testing.T) {
	w := newRepairWorld(t)
	damaged := w.disk.KillCopy()
	w.damages(t)["everything"](damaged)
	before := w.everything(t, damaged)
	r := planned(t, damaged)
	want := w.left(r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	stops := 0
	for ended := false; !ended; stops++ {
		disk := damaged.KillCopy()
		ctx, cancel := context.WithCancel(context.Background())
		r, left := planned(t, disk), stops
		err := r.Do(ctx, time.Unix(1, 0), func(string) {
			if left--; left < 0 {
				cancel()
			}
		})
		if ended = left >= 0; !ended && !errors.Is(err, context.Canceled) && stops < 5 {
			t.Errorf("cancelled at step %d: %v", stops, err)
		}
		cancel()
		if err := errors.Join(r.Close(), repaired(disk)); err != nil {
			t.Fatal(err)
		}
		w.nothingIsDeleted(t, disk, before, false)
		s := open(t, repairOptions(disk))
		sameTraces(t, s, want)
		shut(t, s)
	}
	if stops < 20 {
		t.Errorf("%d steps", stops)
	}
}
