package wal_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// newerCommit is a block that a later version might begin a commit with.
func newerCommit() []byte {
	head := make([]byte, 4096)
	copy(head, "STOALOG\x02")
	binary.LittleEndian.PutUint32(head[60:], codec.CRC(head[:60]))
	return head
}

// A newer writer's file is refused as such; it is not damage, and not a torn tail. That
// holds behind a damaged commit too, in the same file or the one before: nothing of it
// is deleted.
func TestNewerVersionIsRefusedClearly(t *testing.T) {
	o := wal.Options{FileBytes: 64 << 10}
	disk := vfs.NewCrash(1)
	l, _, err := wal.Open(disk, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Stream(1).Append(wal.Entry{Seq: 1, Payload: make([]byte, 3000)}); err != nil {
		t.Fatal(err)
	}
	killed := disk.KillCopy()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	const first, second = "0000000000000001.log", "0000000000000002.log"
	whole := content(t, killed, first)
	damaged := slices.Clone(whole)
	damaged[4096+100] ^= 1
	torn := append(slices.Repeat([]byte{1}, 4096), newerCommit()...)
	for name, files := range map[string][2][]byte{
		"alone":                      {newerCommit(), nil},
		"behind a whole file":        {whole, newerCommit()},
		"behind a damaged commit":    {damaged, newerCommit()},
		"with a damaged first block": {whole, torn},
		"both":                       {damaged, torn},
	} {
		disk := vfs.NewCrash(1)
		if err := disk.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		put(t, disk, first, files[0])
		newest := first
		if files[1] != nil {
			put(t, disk, second, files[1])
			newest = second
		}
		found := damages(t, disk)
		if !strings.Contains(found, newest) || !strings.Contains(found, codec.ErrVersion.Error()) {
			t.Errorf("%s: Verify says %q", name, found)
		}
		_, _, err := opened(t, disk, o)
		if !errors.Is(err, codec.ErrVersion) || !strings.Contains(err.Error(), newest+": offset ") {
			t.Errorf("%s: %v", name, err)
		}
		if n := 1 + min(1, len(files[1])); len((sample{disk: disk}).files(t)) != n {
			t.Errorf("%s: a file is gone", name)
		}
	}
}

// An entry that looks like a newer commit is an entry: torn, it is cut as any other.
func TestEntryThatLooksLikeANewerCommit(t *testing.T) {
	o := wal.Options{FileBytes: 64 << 10}
	disk := vfs.NewCrash(1)
	l, _, err := wal.Open(disk, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	payload := append(make([]byte, 4096-64-52), newerCommit()...)
	if err := l.Stream(1).Append(wal.Entry{Seq: 1, Payload: payload}); err != nil {
		t.Fatal(err)
	}
	killed := disk.KillCopy()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	killed.FlipBit(dir+"/0000000000000001.log", (4096+70)*8)
	l, rec, err := wal.Open(killed, dir, o)
	if err != nil || rec.TornBytes == 0 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
