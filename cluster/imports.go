package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// Imports is the ledger of imported files: of each, by the hash of its bytes, how many
// of its records from the start are stored. It makes a second import of a file a no-op
// also after the window of applied parts has moved on, and lets an interrupted one go
// on where it stopped. The file (docs/format/imports.md) is written whole at each
// change:
//
//	magic "STOAIMPT" | version u32 | count varint | count x { hash 16, records varint } | CRC-32C u32
//
// Entries stand in the order of their hash.
type Imports struct {
	fs   vfs.FS
	sync func() error // makes what was acknowledged durable, before the ledger relies on it

	mu   sync.Mutex
	done map[codec.Hash]uint64
}

const (
	importsFile    = "imports"
	importsMagic   = "STOAIMPT"
	importsVersion = 1
	importsEntry   = 17 // bytes of the shortest entry
)

// openImports reads the ledger; a folder without one has an empty ledger.
func openImports(disk vfs.FS, sync func() error) (*Imports, error) {
	l := &Imports{fs: disk, sync: sync, done: make(map[codec.Hash]uint64)}
	b, err := vfs.ReadFile(disk, importsFile, fileBytesMax)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	l.done, err = DecodeImports(importsFile, b)
	return l, err
}

// Records is how many records of the file are stored.
func (l *Imports) Records(file codec.Hash) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done[file]
}

// ErrImportsFull is a ledger that cannot hold one more file: what the next start would
// refuse to read must not be written.
var ErrImportsFull = errors.New("the ledger of imports is full")

// SetRecords notes durably that the first records of the file are stored. A ledger that has
// come to its bound, some 900,000 files, takes no new one: it is ErrImportsFull, and what it
// holds stands. No entry is given up for another, because none knows how old it is.
func (l *Imports) SetRecords(file codec.Hash, records uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done[file] == records {
		return nil
	}
	changed := maps.Clone(l.done)
	changed[file] = records
	content := AppendImports(nil, changed)
	if len(content) > fileBytesMax {
		return fmt.Errorf("%w: %d files would take %d bytes, at most %d are read", ErrImportsFull, len(changed), len(content), fileBytesMax)
	}
	if err := l.sync(); err != nil {
		return fmt.Errorf("sync the log before the ledger: %w", err)
	}
	if err := vfs.ReplaceFile(l.fs, importsFile, content); err != nil {
		return err
	}
	l.done = changed
	return nil
}

// AppendImports appends the ledger's file of version 1.
func AppendImports(dst []byte, done map[codec.Hash]uint64) []byte {
	begin := len(dst)
	dst = append(dst, importsMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, importsVersion)
	dst = binary.AppendUvarint(dst, uint64(len(done)))
	hashes := slices.SortedFunc(maps.Keys(done), func(a, b codec.Hash) int { return slices.Compare(a[:], b[:]) })
	for _, hash := range hashes {
		dst = binary.AppendUvarint(append(dst, hash[:]...), done[hash])
	}
	return binary.LittleEndian.AppendUint32(dst, codec.CRC(dst[begin:]))
}

// DecodeImports reads what AppendImports wrote; file names the bytes in an error.
func DecodeImports(file string, b []byte) (map[codec.Hash]uint64, error) {
	r := codec.NewReader(b)
	if magic := r.Bytes(len(importsMagic)); r.Err() != nil || string(magic) != importsMagic {
		return nil, codec.At(codec.Corrupt("not an import ledger"), file, 0)
	}
	if version := r.Uint32(); r.Err() == nil && version > importsVersion {
		sum := len(b) - 4 // the end of later versions too
		if r.Len() < 4 || binary.LittleEndian.Uint32(b[sum:]) != codec.CRC(b[:sum]) {
			return nil, codec.At(codec.Corrupt("version %d, and no checksum of it", version), file, int64(len(importsMagic)))
		}
		return nil, codec.At(codec.ErrVersion, file, int64(len(importsMagic)))
	}
	count := r.Count(importsEntry)
	done := make(map[codec.Hash]uint64, count)
	for range count {
		var hash codec.Hash
		copy(hash[:], r.Bytes(len(hash)))
		done[hash] = r.Uvarint()
	}
	end := r.Offset()
	sum := r.Uint32()
	switch {
	case r.Err() != nil:
		return nil, codec.At(r.Err(), file, int64(end))
	case sum != codec.CRC(b[:end]) || r.Len() != 0 || len(done) != count:
		return nil, codec.At(codec.Corrupt("checksum or length"), file, int64(end))
	}
	return done, nil
}
