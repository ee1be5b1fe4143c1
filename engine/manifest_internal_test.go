package engine

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/internal/codec"
)

// goldenManifest pins the format byte by byte; see manifest.
const goldenManifest = "" +
	"53544f414d414e49" + // "STOAMANI"
	"01000000" + // version
	"2c000000" + // body bytes
	"51f219e8" + // CRC-32C of the body
	"03" + // shard
	"0461636d65" + // tenant "acme"
	"ac02" + // flushed Seq 300
	"07" + // next file number
	"02" + // segments
	"0130" + "e807" + "04030201" + "0a" + "01" + "6400" + // "0": 1,000 bytes, checksum, 10 rows, Seq 1 to 100, generation 0
	"0930303030303030362e" + "8020" + "ffffffff" + "8101" + "65" + "ac0203" // rows 129, Seq 101 to 300, generation 3

func TestGoldenManifest(t *testing.T) {
	m := &manifest{shard: 3, tenant: "acme", flushed: 300, nextFile: 7, segments: []segmentEntry{
		{name: "0", bytes: 1000, crc: 0x01020304, rows: 10, firstSeq: 1, lastSeq: 100},
		{name: "00000006.", bytes: 4096, crc: 0xffffffff, rows: 129, firstSeq: 101, lastSeq: 300, generation: 3},
	}}
	data := m.appendBinary(nil)
	if got := hex.EncodeToString(data); got != goldenManifest {
		t.Fatalf("the format changed:\n got %s\nwant %s", got, goldenManifest)
	}
	got, err := decodeManifest("MANIFEST", data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got, cmp.AllowUnexported(manifest{}, segmentEntry{})); diff != "" {
		t.Fatal(diff)
	}
}

// TestANewerManifestIsNotDamage: it is refused by its version.
func TestANewerManifestIsNotDamage(t *testing.T) {
	data, _ := hex.DecodeString(strings.Replace(goldenManifest, "01000000", "02000000", 1))
	if _, err := decodeManifest("MANIFEST", data); !errors.Is(err, codec.ErrVersion) {
		t.Fatalf("got %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	data, _ := hex.DecodeString(goldenManifest)
	f.Add(data)
	f.Fuzz(func(t *testing.T, body []byte) {
		// Most inputs would die at the checksum; the body gets a right one.
		m := append([]byte(nil), data[:12]...)
		m = append(m, byte(len(body)), byte(len(body)>>8), byte(len(body)>>16), byte(len(body)>>24))
		crc := codec.CRC(body)
		m = append(m, byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24))
		got, err := decodeManifest("MANIFEST", append(m, body...))
		if err != nil {
			return
		}
		if _, err := decodeManifest("MANIFEST", got.appendBinary(nil)); err != nil {
			t.Fatal(err)
		}
	})
}
