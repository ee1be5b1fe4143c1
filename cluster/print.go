package cluster

import (
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// ErrUnknownFile is a file of a kind that Stoa does not write.
var ErrUnknownFile = errors.New("not a file that Stoa writes: neither a segment, a log file, a manifest, an epoch record nor an import ledger")

// Print writes a file of a data folder front to back: offset, length and meaning of every
// part, and up to hexBytes of its bytes, all where that is negative. It tells the kind by how
// the file begins. Of a damaged file it writes what can be read, and then answers the damage.
func Print(w io.Writer, disk vfs.FS, name string, hexBytes int) error {
	begin, err := beginning(disk, name)
	if err != nil {
		return err
	}
	switch {
	case segment.IsSegment(begin):
		return segment.Print(w, disk, name, hexBytes)
	case wal.IsLogFile(begin):
		return wal.PrintPart(w, disk, path.Dir(name), path.Base(name), hexBytes)
	case engine.IsManifest(begin):
		data, err := vfs.ReadFile(disk, name, engine.ManifestBytesMax)
		if err != nil {
			return err
		}
		return engine.PrintManifest(w, name, data, hexBytes)
	}
	isEpoch, isImports := string(begin) == epochMagic, string(begin) == importsMagic
	if !isEpoch && !isImports {
		return fmt.Errorf("%s: %w", name, ErrUnknownFile)
	}
	data, err := vfs.ReadFile(disk, name, fileBytesMax)
	if err != nil {
		return err
	}
	if isEpoch {
		return printEpoch(w, name, data, hexBytes)
	}
	return printImports(w, name, data, hexBytes)
}

// beginning reads the 8 bytes by which kinds differ, fewer of a shorter file.
func beginning(disk vfs.FS, name string) ([]byte, error) {
	f, err := disk.Open(name)
	if err != nil {
		return nil, err
	}
	begin := make([]byte, len(epochMagic))
	n, err := f.ReadAt(begin, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return begin[:n], errors.Join(err, f.Close())
}

func printEpoch(w io.Writer, file string, data []byte, hexBytes int) error {
	_, err := DecodeEpoch(file, data)
	r := codec.NewReader(data)
	n := codec.NewNotes(w, r, hexBytes)
	n.Note("magic %q", r.Bytes(len(epochMagic)))
	n.Note("epoch record, version %d", r.Uint32())
	if errors.Is(err, codec.ErrVersion) {
		return errors.Join(err, n.Err())
	}
	n.Note("%d shards", r.Uint32())
	n.Note("traces are placed by %q", r.Bytes(int(r.Uint8())))
	n.Note("CRC-32C of everything before: %08x", r.Uint32())
	return errors.Join(err, n.Err())
}

func printImports(w io.Writer, file string, data []byte, hexBytes int) error {
	_, err := DecodeImports(file, data)
	r := codec.NewReader(data)
	n := codec.NewNotes(w, r, hexBytes)
	n.Note("magic %q", r.Bytes(len(importsMagic)))
	n.Note("import ledger, version %d", r.Uint32())
	if errors.Is(err, codec.ErrVersion) {
		return errors.Join(err, n.Err())
	}
	count := r.Count(importsEntry)
	n.Note("%d files", count)
	for i := 0; i < count && r.Err() == nil; i++ {
		hash, records := r.Bytes(16), r.Uvarint()
		n.Note("file %x: %d records stored", hash, records)
	}
	n.Note("CRC-32C of everything before: %08x", r.Uint32())
	return errors.Join(err, n.Err())
}
