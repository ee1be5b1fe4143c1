package cluster_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

const printedEpoch = `       0      8  magic "STOAEPCH"
       8      4  epoch record, version 1
      12      4  4 shards
      16     27  traces are placed by "xxh3-64(tenant,0,trace-id)"
      43      4  CRC-32C of everything before: dfb1aad4
`

const printedImports = `       0      8  magic "STOAIMPT"
       8      4  import ledger, version 1
      12      1  2 files
      13     17  file 01020000000000000000000000000000: 1 records stored
      30     18  file 11000000000000000000000000000000: 300 records stored
      48      4  CRC-32C of everything before: c7d27cd7
`

// TestEachKindOfFileIsToldByItsBeginning, printed part by part, and as far as it can be read
// where it is damaged.
func TestEachKindOfFileIsToldByItsBeginning(t *testing.T) {
	for golden, printed := range map[string]string{goldenEpoch: printedEpoch, goldenImports: printedImports} {
		data, err := hex.DecodeString(golden)
		if err != nil {
			t.Fatal(err)
		}
		print := func(data []byte) (string, error) {
			disk := vfs.NewCrash(1)
			if err := vfs.ReplaceFile(disk, "file", data); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err := cluster.Print(&out, disk, "file", 0)
			return out.String(), err
		}
		if got, err := print(data); err != nil || got != printed {
			t.Errorf("%v\n%s", err, got)
		}
		for cut := range data {
			got, err := print(data[:cut])
			if !errors.Is(err, codec.ErrCorrupt) && !errors.Is(err, cluster.ErrUnknownFile) || !strings.HasPrefix(printed, got) {
				t.Errorf("cut at %d: %v\n%s", cut, err, got)
			}
		}
		for bit := range 8 * len(data) {
			data[bit/8] ^= 1 << (bit % 8)
			_, err := print(data)
			if !errors.Is(err, codec.ErrCorrupt) && !errors.Is(err, codec.ErrVersion) && !errors.Is(err, cluster.ErrUnknownFile) {
				t.Errorf("bit %d flipped: %v", bit, err)
			}
			data[bit/8] ^= 1 << (bit % 8)
		}
	}
	disk := vfs.NewCrash(1)
	if err := vfs.ReplaceFile(disk, "notes.txt", []byte("what is this?")); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Print(io.Discard, disk, "notes.txt", 0); !errors.Is(err, cluster.ErrUnknownFile) {
		t.Errorf("a file of somebody else: %v", err)
	}
}
