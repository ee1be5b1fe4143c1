package engine

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/stoadb/stoa/internal/codec"
)

const printedManifest = `       0      8  magic "STOAMANI"
       8      4  manifest version 1
      12      4  body of 44 bytes
      16      4  CRC-32C of the body: e819f251
      20      1  shard 3
      21      5  tenant "acme"
      26      2  flushed up to Seq 300
      28      1  next file number 7
      29      1  2 segments
      30      2  segment 0: name "0"
      32      2    file bytes 1000
      34      4    checksum 01020304
      38      1    rows 10
      39      1    first Seq 1
      40      1    last Seq 100
      41      1    generation 0
      42     10  segment 1: name "00000006."
      52      2    file bytes 4096
      54      4    checksum ffffffff
      58      2    rows 129
      60      1    first Seq 101
      61      2    last Seq 300
      63      1    generation 3
`

// TestAManifestIsPrintedPartByPart, and a damaged one as far as it can be read.
func TestAManifestIsPrintedPartByPart(t *testing.T) {
	data, _ := hex.DecodeString(goldenManifest)
	var out bytes.Buffer
	if err := PrintManifest(&out, "MANIFEST", data, 0); err != nil || out.String() != printedManifest {
		t.Errorf("%v\n%s", err, out.String())
	}
	for cut := range data {
		out.Reset()
		if err := PrintManifest(&out, "MANIFEST", data[:cut], 0); !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("cut at %d: %v", cut, err)
		}
		if !strings.HasPrefix(printedManifest, out.String()) {
			t.Errorf("cut at %d, it says\n%s", cut, out.String())
		}
	}
	for bit := range 8 * len(data) {
		data[bit/8] ^= 1 << (bit % 8)
		err := PrintManifest(&out, "MANIFEST", data, -1)
		if !errors.Is(err, codec.ErrCorrupt) && !errors.Is(err, codec.ErrVersion) {
			t.Errorf("bit %d flipped: %v", bit, err)
		}
		data[bit/8] ^= 1 << (bit % 8)
	}
}
