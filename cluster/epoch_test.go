package cluster_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

var golden4 = cluster.Epoch{Shards: 4, Hash: "xxh3-64(tenant,0,trace-id)"}

// goldenEpoch are the bytes of docs/format/epoch.md.
const goldenEpoch = "53544f4145504348" + // magic STOAEPCH
	"01000000" + // version 1
	"04000000" + // 4 shards
	"1a" + "787868332d36342874656e616e742c302c74726163652d696429" + // the hash's name
	"d4aab1df" // CRC-32C

func TestEpochRecordKeepsItsBytes(t *testing.T) {
	b := golden4.AppendBinary(nil)
	if got := hex.EncodeToString(b); got != goldenEpoch {
		t.Errorf("bytes\n%s, want\n%s", got, goldenEpoch)
	}
	if e, err := cluster.DecodeEpoch("epoch", b); err != nil || e != golden4 {
		t.Errorf("DecodeEpoch = %+v, %v", e, err)
	}
}

func TestEpochRecordReportsEveryCutAndFlip(t *testing.T) {
	b := golden4.AppendBinary(nil)
	for cut := range len(b) {
		if _, err := cluster.DecodeEpoch("epoch", b[:cut]); !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	for bit := range len(b) * 8 {
		flipped := append([]byte(nil), b...)
		flipped[bit/8] ^= 1 << (bit % 8)
		_, err := cluster.DecodeEpoch("epoch", flipped)
		// A flipped version may look like one of the future.
		if isVersion := bit/8 >= 8 && bit/8 < 12; !errors.Is(err, codec.ErrCorrupt) && !(isVersion && errors.Is(err, codec.ErrVersion)) {
			t.Errorf("bit %d flipped: %v", bit, err)
		}
	}
	if _, err := cluster.DecodeEpoch("epoch", append(b, 0)); !errors.Is(err, codec.ErrCorrupt) {
		t.Errorf("a byte more: %v", err)
	}
}

// TestFolderOfOthersStaysAsItIs: neither a start nor verify leaves a name in it.
func TestFolderOfOthersStaysAsItIs(t *testing.T) {
	for _, c := range []struct {
		names     []string
		mustExist bool
		foreign   bool // else the folder is made
	}{
		{nil, false, false}, {nil, true, true},
		{[]string{"lock", "epoch.new", "lost+found", "repaired"}, false, false}, {[]string{"lock", "epoch.new"}, true, true},
		{[]string{"x.txt"}, false, true}, {[]string{"x.txt"}, true, true}, {[]string{"lock", "log"}, false, true},
	} {
		disk := vfs.NewCrash(1)
		for _, name := range c.names {
			if err := vfs.ReplaceFile(disk, name, nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := cluster.Verify(disk, func(error) {}); !errors.Is(err, cluster.ErrForeign) {
			t.Errorf("%q: Verify says %v", c.names, err)
		}
		o := small(disk)
		o.MustExist = c.mustExist
		s, err := cluster.Open(t.Context(), o)
		if (err != nil) != c.foreign || (err != nil && !errors.Is(err, cluster.ErrForeign)) {
			t.Errorf("%q, must exist %t: Open says %v", c.names, c.mustExist, err)
		}
		if err == nil {
			shut(t, s)
			continue
		}
		names, err := disk.List(".")
		if err != nil || !slices.Equal(names, slices.Sorted(slices.Values(c.names))) {
			t.Errorf("%q, must exist %t: afterwards it holds %q, %v", c.names, c.mustExist, names, err)
		}
	}
}

// A new folder has half as many shards as there are processors, rounded up, 1 to 16.
func TestShardsOfANewFolderByProcessors(t *testing.T) {
	for processors, want := range map[int]int{1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 16: 8, 31: 16, 32: 16, 256: 16} {
		t.Run(fmt.Sprint(processors), func(t *testing.T) {
			cluster.SetProcessors(t, processors)
			o := small(vfs.NewCrash(1))
			o.Shards = 0
			if s := open(t, o); s.Shards() != want || cluster.ShardsDefault() != want {
				t.Errorf("%d shards, default %d, want %d", s.Shards(), cluster.ShardsDefault(), want)
			}
		})
	}
}
