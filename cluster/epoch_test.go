package cluster_test

import (
	"encoding/hex"
	"errors"
	"testing"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/codec"
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
