package wal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// A copy under any name prints as its original, with as many bytes of each part as asked for.
func TestACopyOfALogFilePrintsLikeIt(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "v1", goldenFile))
	if err != nil {
		t.Fatal(err)
	}
	if !wal.IsLogFile(b[:8]) || wal.IsLogFile(b[:5]) || wal.IsLogFile([]byte("stoaseg\n")) {
		t.Error("a log file is not told by its first 8 bytes")
	}
	disk := vfs.NewCrash(1)
	if err := disk.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	put(t, disk, goldenFile, b)
	put(t, disk, "copy", b)
	for hexBytes, digits := range map[int]string{0: `[^ ]`, 3: `[0-9a-f]{7,}`, -1: `x`} {
		var original, copied bytes.Buffer
		if err := wal.PrintPart(&original, disk, dir, goldenFile, hexBytes); err != nil {
			t.Fatal(err)
		}
		if err := wal.PrintPart(&copied, disk, dir, "copy", hexBytes); err != nil || !bytes.Equal(original.Bytes(), copied.Bytes()) {
			t.Errorf("the copy prints differently: %v", err)
		}
		for _, line := range bytes.Split(bytes.TrimSpace(original.Bytes()), []byte("\n")) {
			if shown, _, _ := bytes.Cut(line[10:], []byte("  ")); regexp.MustCompile(digits).Match(shown) {
				t.Errorf("with %d bytes a line is %q", hexBytes, line)
			}
		}
	}
}
