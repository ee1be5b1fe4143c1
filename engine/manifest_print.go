package engine

import (
	"errors"
	"io"

	"github.com/stoadb/stoa/internal/codec"
)

// PrintManifest writes a manifest front to back with what each part means; see
// codec.PrintPart. Of a damaged one it writes what comes before the damage. file names the
// bytes in errors.
func PrintManifest(w io.Writer, file string, data []byte, hexBytes int) error {
	r := codec.NewReader(data)
	n := codec.NewNotes(w, r, hexBytes)
	magic := r.Bytes(len(manifestMagic))
	n.Note("magic %q", magic)
	version := r.Uint32()
	n.Note("manifest version %d", version)
	_, err := decodeManifest(file, data)
	if errors.Is(err, codec.ErrVersion) {
		return errors.Join(err, n.Err())
	}
	n.Note("body of %d bytes", r.Uint32())
	n.Note("CRC-32C of the body: %08x", r.Uint32())
	n.Note("shard %d", r.Uvarint())
	n.Note("tenant %q", r.LengthBytes())
	n.Note("flushed up to Seq %d", r.Uvarint())
	n.Note("next file number %d", r.Uvarint())
	segments := r.Count(10)
	n.Note("%d segments", segments)
	for i := 0; i < segments && r.Err() == nil; i++ {
		n.Note("segment %d: name %q", i, r.LengthBytes())
		n.Note("  file bytes %d", r.Uvarint())
		n.Note("  checksum %08x", r.Uint32())
		n.Note("  rows %d", r.Uvarint())
		n.Note("  first Seq %d", r.Uvarint())
		n.Note("  last Seq %d", r.Uvarint())
		n.Note("  generation %d", r.Uvarint())
	}
	return errors.Join(err, n.Err())
}

// IsManifest reports whether a file that begins so is a manifest.
func IsManifest(begin []byte) bool {
	return len(begin) >= len(manifestMagic) && string(begin[:len(manifestMagic)]) == string(manifestMagic[:])
}

// ManifestBytesMax is the largest manifest there is.
const ManifestBytesMax = manifestBytesMax
