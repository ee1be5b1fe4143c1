package wal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// goldenSteps touch every kind of record and field.
func goldenSteps() []step {
	return []step{
		{shard: 1, what: "append", entries: []wal.Entry{{Seq: 1, Term: 1, Type: 5, Payload: []byte("configuration"), AppendedAt: 1_700_000_000_000_000_000}}},
		{shard: 1, what: "set", key: "CurrentTerm", value: "\x03\x00\x00\x00\x00\x00\x00\x00"},
		{shard: 1, what: "commit", seq: 1},
		{shard: 1, what: "append", entries: []wal.Entry{
			{Seq: 2, Term: 3, Payload: []byte("two"), Extensions: []byte("ext"), AppendedAt: -1},
			{Seq: 3, Term: 3, Payload: bytes.Repeat([]byte("three "), 700)},
		}},
		{shard: 0, what: "append", entries: []wal.Entry{{Seq: 1 << 40, Term: 1 << 33}}},
		{shard: 1, what: "back", seq: 3},
		{shard: 1, what: "append", entries: []wal.Entry{{Seq: 3, Term: 4, Payload: []byte("another three")}}},
		{shard: 1, what: "front", seq: 1},
	}
}

const goldenFile = "0000000000000001.log"

// The bytes of format 1 are law. testdata holds them printed, with a note to every
// range, and as files that every later build must read. STOA_GOLDEN=write renews both,
// which is right only together with a new version number.
func TestGoldenBytes(t *testing.T) {
	disk, model := vfs.NewCrash(1), newModel()
	for life := range 2 {
		l, _, err := wal.Open(disk, dir, wal.Options{FileBytes: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range goldenSteps() {
			if life == 0 {
				model.apply(st)
				if err := do(l, st); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var printed bytes.Buffer
	names, err := disk.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		printed.WriteString(name + "\n")
		if err := wal.Print(&printed, disk, dir, name); err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("v1", name), content(t, disk, name))
	}
	golden(t, "v1.txt", printed.Bytes())

	stored := vfs.NewCrash(1)
	if err := stored.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join("testdata", "v1", name))
		if err != nil {
			t.Fatal(err)
		}
		put(t, stored, name, b)
	}
	got, rec, err := opened(t, stored, wal.Options{FileBytes: 64 << 10})
	if err != nil || !rec.Clean || got != model.String() {
		t.Fatalf("the stored files: %+v, %v; hold\n%s", rec, err, got)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("STOA_GOLDEN") == "write" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs:\n%s", path, cmp.Diff(string(want), string(got)))
	}
}

// Print says where a file stops making sense.
func TestPrintNamesDamage(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "v1", goldenFile))
	if err != nil {
		t.Fatal(err)
	}
	disk := vfs.NewCrash(1)
	if err := disk.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	b[4096+100] ^= 1
	put(t, disk, goldenFile, b)
	var printed bytes.Buffer
	err = wal.Print(&printed, disk, dir, goldenFile)
	if err == nil {
		t.Fatal("damage was printed over")
	}
	namesPlace(t, err, goldenFile, (4096+100)*8)
	if !bytes.Contains(printed.Bytes(), []byte("kind: state")) {
		t.Fatal("what is whole was not printed")
	}
}
