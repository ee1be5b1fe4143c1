package wal_test

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// FuzzOpen gives Open, Verify and Print any bytes for a file. They answer or return an
// error; a log that opens can be written to and opens again. Half of the inputs get
// right checksums, or nothing behind them would ever be reached.
func FuzzOpen(f *testing.F) {
	for _, name := range []string{"0000000000000001.log", "0000000000000002.log"} {
		b, err := os.ReadFile(filepath.Join("testdata", "v1", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:used(b)], true)
		f.Add(b[:min(len(b), 8192)], false)
	}
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed {
			b = seal(b)
		}
		disk := vfs.NewCrash(1)
		if err := disk.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		put(t, disk, goldenFile, b)
		_ = wal.Print(io.Discard, disk, dir, goldenFile)
		bad := damages(t, disk) != ""
		o := wal.Options{FileBytes: 64 << 10}
		l, rec, err := wal.Open(disk, dir, o)
		if bad != (err != nil) {
			t.Fatalf("Open says %v, Verify says %q", err, damages(t, disk))
		}
		if err != nil {
			return
		}
		want := rec.Entries + 1
		s := l.Stream(77)
		if err := s.Append(wal.Entry{Seq: s.Last() + 1}); err != nil && s.Last() != 1<<64-1 {
			t.Fatal(err)
		} else if err != nil {
			want--
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, rec, err = wal.Open(disk, dir, o)
		if err != nil || !rec.Clean || rec.Entries != want {
			t.Fatalf("opened once, and then: %+v, %v, %d entries expected", rec, err, want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRenew surveys any bytes, between a whole log file and none. What Renew makes of them is a
// log that opens, and reaches to where segments do.
func FuzzRenew(f *testing.F) {
	first, err := os.ReadFile(filepath.Join("testdata", "v1", "0000000000000001.log"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(first[:used(first)], true, uint16(0))
	f.Add(first[:min(len(first), 8192)], false, uint16(0x0307))
	f.Fuzz(func(t *testing.T, b []byte, sealed bool, flushed uint16) {
		if sealed {
			b = seal(b)
		}
		disk := vfs.NewCrash(1)
		if err := disk.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		put(t, disk, goldenFile, b)
		through := make([]uint64, 8)
		through[1], through[7] = uint64(flushed>>8), uint64(flushed&0xff)
		r, err := wal.Survey(disk, dir, through, func(_ uint32, e wal.Entry, _ bool) bool { return e.Type != 200 })
		if err != nil {
			return
		}
		if err := r.Renew(func(_ uint32, seq uint64) wal.Entry { return wal.Entry{Seq: seq} }); err != nil {
			t.Fatal(err)
		}
		for _, name := range r.Files {
			if err := disk.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		l, rec, err := wal.Open(disk, dir, wal.Options{FileBytes: 64 << 10})
		if err != nil || !rec.Clean {
			t.Fatalf("%+v, %v", rec, err)
		}
		for shard, s := range r.Streams {
			has := l.Stream(uint32(shard))
			if s.First != 0 && (has.First() != s.First || has.Last() != s.Last) || has.Last() < through[shard] || has.First() > through[shard]+1 {
				t.Errorf("shard %d: Seq %d to %d, of %+v", shard, has.First(), has.Last(), s)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// seal corrects the checksums of everything in b that could be a commit.
func seal(b []byte) []byte {
	b = append([]byte(nil), b...)
	for at := 0; at+64 <= len(b); at += 4096 {
		copy(b[at:], "STOALOG\x01")
		binary.LittleEndian.PutUint64(b[at+8:], 1)
		binary.LittleEndian.PutUint64(b[at+16:], uint64(at))
		binary.LittleEndian.PutUint32(b[at+60:], codec.CRC(b[at:at+60]))
		end := min(at+64+int(binary.LittleEndian.Uint32(b[at+32:])), len(b))
		for r := at + 64; r+52 <= end; {
			length := int(binary.LittleEndian.Uint32(b[r:]))
			if length < 52 || r+length > end {
				break
			}
			crc := codec.CRCAppend(codec.CRC(b[r:r+4]), b[r+8:r+length])
			binary.LittleEndian.PutUint32(b[r+4:], crc)
			r += length
		}
	}
	return b
}
