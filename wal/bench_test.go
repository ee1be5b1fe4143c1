package wal_test

import (
	"fmt"
	"testing"

	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// BenchmarkAppend is one group commit of one entry, with its fdatasync.
func BenchmarkAppend(b *testing.B) {
	for _, kib := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("%dKiB", kib), func(b *testing.B) {
			disk, err := vfs.NewOS(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			appendLoop(b, disk, wal.Options{}, kib<<10)
		})
	}
}

// BenchmarkAppendCPU is the same without a disk: what the log itself costs.
func BenchmarkAppendCPU(b *testing.B) {
	for _, kib := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("%dKiB", kib), func(b *testing.B) { appendLoop(b, nullFS{}, wal.Options{}, kib<<10) })
	}
}

func appendLoop(b *testing.B, disk vfs.FS, o wal.Options, size int) {
	l, _, err := wal.Open(disk, "log", o)
	if err != nil {
		b.Fatal(err)
	}
	s := l.Stream(1)
	payload := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	seq := uint64(0)
	for b.Loop() {
		seq++
		if err := s.Append(wal.Entry{Seq: seq, Term: 1, Payload: payload}); err != nil {
			b.Fatal(err)
		}
		if seq%1024 == 0 { // keep the log short, as flushes do
			if err := s.TruncateFront(seq - 1); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkOpen reads a log of 64 MiB back: what a restart costs.
func BenchmarkOpen(b *testing.B) {
	for _, kib := range []int{1, 64} {
		b.Run(fmt.Sprintf("%dKiB", kib), func(b *testing.B) {
			disk, err := vfs.NewOS(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			l, _, err := wal.Open(disk, "log", wal.Options{})
			if err != nil {
				b.Fatal(err)
			}
			entries := make([]wal.Entry, 64)
			count := uint64((64 << 10) / kib)
			for seq := uint64(1); seq <= count; seq += 64 {
				for i := range entries {
					entries[i] = wal.Entry{Seq: seq + uint64(i), Payload: make([]byte, kib<<10)}
				}
				if err := l.Stream(1).Append(entries...); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(64 << 20)
			for b.Loop() {
				if _, err := wal.Verify(disk, "log", func(d wal.Damage) { b.Fatal(d) }, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// nullFS takes everything and holds nothing.
type nullFS struct{ vfs.FS }

func (nullFS) MkdirAll(string) error           { return nil }
func (nullFS) List(string) ([]string, error)   { return nil, nil }
func (nullFS) SyncDir(string) error            { return nil }
func (nullFS) Remove(string) error             { return nil }
func (nullFS) Create(string) (vfs.File, error) { return nullFile{}, nil }

type nullFile struct{ vfs.File }

func (nullFile) Preallocate(int64) error                { return nil }
func (nullFile) Truncate(int64) error                   { return nil }
func (nullFile) Sync() error                            { return nil }
func (nullFile) Close() error                           { return nil }
func (nullFile) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
