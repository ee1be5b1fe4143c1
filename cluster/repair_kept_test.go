package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// TestRepairKeepsSegmentsThatNoManifestNames where one goes: a start would remove them, and what a merge
// had read may be all that is left of what it wrote.
func TestRepairKeepsSegmentsThatNoManifestNames(t *testing.T) {
	w := newRepairWorld(t)
	disk := w.disk.KillCopy()
	w.damages(t)["a segment's footer"](disk)
	content := []byte("what a merge had read")
	for _, name := range []string{"shard-001/00000099.seg", "shard-002/00000099.seg"} {
		if err := vfs.ReplaceFile(disk, name, content); err != nil {
			t.Fatal(err)
		}
	}
	r := planned(t, disk)
	if len(r.Strays) != 1 || r.Strays[0] != "shard-001/00000099.seg" {
		t.Errorf("strays of the shard that loses a segment: %q", r.Strays)
	}
	m := w.left(r)
	if err := errors.Join(r.Do(context.Background(), time.Unix(1, 0), func(string) {}), r.Close()); err != nil {
		t.Fatal(err)
	}
	w.serves(t, disk, m)
	if got := w.content(t, disk, r.Aside()+"/shard-001/00000099.seg"); !bytes.Equal(got, content) {
		t.Errorf("aside stands %q", got)
	}
}

// TestARepairedLogThatIsDamagedIsNotAllThereIs: a repair was stopped when its log had its name, and a commit of that
// is damaged then. The old files still hold what stays.
func TestARepairedLogThatIsDamagedIsNotAllThereIs(t *testing.T) {
	w := newRepairWorld(t)
	once := w.disk.KillCopy()
	w.damages(t)["a bit of the log behind what segments hold"](once)
	stopped := once.KillCopy()
	r := planned(t, once)
	m := w.left(r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r = planned(t, stopped)
	err := r.Do(ctx, time.Unix(1, 0), func(step string) {
		if strings.Contains(step, "write the new log") {
			stop()
		}
	})
	if err = errors.Join(err, r.Close()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	files := filesBelow(t, stopped, "log")
	renewed := files[len(files)-1]
	stopped.FlipBit(renewed, int64(len(w.content(t, stopped, renewed)))/2*8)
	r = planned(t, stopped)
	if r.Log == nil || r.Log.Stopped {
		t.Errorf("the damaged log counts as one that a repair made: %+v", r.Log)
	}
	if err := errors.Join(r.Do(context.Background(), time.Unix(2, 0), func(string) {}), r.Close()); err != nil {
		t.Fatal(err)
	}
	w.serves(t, stopped, m)
}

// TestRepairTellsOfShardsWhoseLogIsGone, also where nothing of them was ever flushed.
func TestRepairTellsOfShardsWhoseLogIsGone(t *testing.T) {
	disk := vfs.NewCrash(5)
	s := open(t, repairOptions(disk))
	write(t, s, enginetest.Payload(enginetest.NewGenerator(5, 9).Spans(40)))
	killed := disk.KillCopy()
	shut(t, s)
	for _, name := range filesBelow(t, killed, "log") {
		if err := killed.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	r, err := cluster.PlanRepair(killed, true, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Needed() || r.Log == nil {
		t.Fatalf("a log that is gone is no damage: %+v", r)
	}
	for _, lost := range r.Log.Streams {
		if !lost.Begins || lost.Anew != 0 {
			t.Errorf("of shard %d nothing is told: %+v", lost.Shard, lost)
		}
	}
	if err := errors.Join(r.Close(), repaired(killed)); err != nil {
		t.Fatal(err)
	}
	shut(t, open(t, repairOptions(killed)))
}

// TestALedgerOfALaterVersionHasAChecksum, or is damaged.
func TestALedgerOfALaterVersionHasAChecksum(t *testing.T) {
	ledger := cluster.AppendImports(nil, map[codec.Hash]uint64{{1}: 7})
	later := bytes.Clone(ledger)
	later[8] ^= 4
	if _, err := cluster.DecodeImports("imports", later); !errors.Is(err, codec.ErrCorrupt) || errors.Is(err, codec.ErrVersion) {
		t.Errorf("a flipped bit: %v", err)
	}
	sum := codec.CRC(later[:len(later)-4])
	later = append(later[:len(later)-4], byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
	if _, err := cluster.DecodeImports("imports", later); !errors.Is(err, codec.ErrVersion) {
		t.Errorf("a later version: %v", err)
	}
}

// TestARepairBehindAKilledOneOutlivesAPowerCut: what the first renamed and had no time to sync is what the second
// builds upon. No power cut takes more than was told.
func TestARepairBehindAKilledOneOutlivesAPowerCut(t *testing.T) {
	w := newRepairWorld(t)
	damaged := w.disk.KillCopy()
	for _, what := range []string{"a bit of the log behind what segments hold", "a segment's footer"} {
		w.damages(t)[what](damaged)
	}
	r := planned(t, damaged)
	m := w.left(r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	stride := 5
	if os.Getenv("STOA_TEST_SEEDS") != "" {
		stride = 1
	}
	for k := 1; ; k += stride {
		disk := damaged.KillCopy()
		disk.StopAt(k)
		stopped := repaired(disk) != nil
		killed := disk.KillCopy()
		if err := repaired(killed); err != nil {
			t.Fatalf("behind one that was killed at call %d: %v", k, err)
		}
		for range 4 {
			image := killed.Crash()
			s, err := cluster.Open(t.Context(), repairOptions(image))
			refused := err != nil // the first was killed behind its last rename, and the second had nothing to do
			if refused {
				if err := repaired(image); err != nil {
					t.Fatalf("a repair killed at call %d, another, a power cut, and one more: %v", k, err)
				}
				s = open(t, repairOptions(image))
			}
			if refused || k%10 == 1 {
				sameAnswers(t, s, m, w.gen, 5)
			}
			shut(t, s)
		}
		if !stopped {
			break
		}
	}
}
