package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// manifestName is the file's name in the shard's folder.
const manifestName = "MANIFEST"

// manifestMagic begins the file, manifestVersion follows it.
var manifestMagic = [8]byte{'S', 'T', 'O', 'A', 'M', 'A', 'N', 'I'}

const manifestVersion = 1

// manifest is the set of live segments and how far the log is in them. It is written
// whole at each edit into a new file that then takes the old one's name, so a crash
// leaves the state before or the state after, and damage is always damage: there is no
// tail that a crash could have torn. At some hundred bytes a segment that costs less
// than the fsync beside it.
//
//	magic 8 B "STOAMANI" | version u32 LE = 1 | body bytes u32 LE | CRC-32C of body u32 LE
//	body: shard uvarint | tenant bytes | flushed Seq uvarint | next file number uvarint
//	      segments uvarint, each:
//	        name bytes | file bytes uvarint | checksum u32 LE | rows uvarint
//	        first Seq uvarint | last Seq uvarint | generation uvarint
//
// "bytes" is a uvarint length and that many bytes.
type manifest struct {
	shard    uint32
	tenant   string
	flushed  uint64
	nextFile uint64
	segments []segmentEntry // in the order written
}

// segmentEntry names one file.
type segmentEntry struct {
	name       string
	bytes      int64
	crc        uint32
	rows       int
	firstSeq   uint64
	lastSeq    uint64
	generation uint64
}

// matches reports an error where a file is not the one that the entry names.
func (e *segmentEntry) matches(file string, info segment.Info) error {
	if info.Bytes == e.bytes && info.CRC == e.crc && info.Rows == e.rows && info.FirstSeq == e.firstSeq && info.LastSeq == e.lastSeq {
		return nil
	}
	return codec.At(codec.Corrupt("%d bytes, checksum %08x, %d rows, Seq %d to %d; the manifest says %d, %08x, %d, %d to %d",
		info.Bytes, info.CRC, info.Rows, info.FirstSeq, info.LastSeq, e.bytes, e.crc, e.rows, e.firstSeq, e.lastSeq), file, 0)
}

func (m *manifest) clone() *manifest {
	c := *m
	c.segments = slices.Clone(m.segments)
	return &c
}

// appendBinary appends the manifest's file form.
func (m *manifest) appendBinary(dst []byte) []byte {
	body := binary.AppendUvarint(nil, uint64(m.shard))
	body = codec.AppendLengthBytes(body, []byte(m.tenant))
	body = binary.AppendUvarint(body, m.flushed)
	body = binary.AppendUvarint(body, m.nextFile)
	body = binary.AppendUvarint(body, uint64(len(m.segments)))
	for _, s := range m.segments {
		body = codec.AppendLengthBytes(body, []byte(s.name))
		body = binary.AppendUvarint(body, uint64(s.bytes))
		body = binary.LittleEndian.AppendUint32(body, s.crc)
		body = binary.AppendUvarint(body, uint64(s.rows))
		body = binary.AppendUvarint(body, s.firstSeq)
		body = binary.AppendUvarint(body, s.lastSeq)
		body = binary.AppendUvarint(body, s.generation)
	}
	dst = append(dst, manifestMagic[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, manifestVersion)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(body)))
	dst = binary.LittleEndian.AppendUint32(dst, codec.CRC(body))
	return append(dst, body...)
}

// manifestHeaderBytes is what stands before the body.
const manifestHeaderBytes = 8 + 4 + 4 + 4

// decodeManifest reads what appendBinary wrote. The file name serves errors.
func decodeManifest(file string, data []byte) (*manifest, error) {
	r := codec.NewReader(data)
	if magic := r.Bytes(len(manifestMagic)); r.Err() == nil && !bytes.Equal(magic, manifestMagic[:]) {
		return nil, codec.At(codec.Corrupt("not a manifest"), file, 0)
	}
	if v := r.Uint32(); r.Err() == nil && v != manifestVersion {
		if v > manifestVersion && v < 1<<16 {
			return nil, codec.At(fmt.Errorf("%w: manifest version %d", codec.ErrVersion, v), file, 8)
		}
		return nil, codec.At(codec.Corrupt("manifest version %d", v), file, 8)
	}
	size, sum := r.Uint32(), r.Uint32()
	if r.Err() == nil && int(size) != r.Len() {
		return nil, codec.At(codec.Corrupt("body of %d bytes, %d there", size, r.Len()), file, 12)
	}
	body := r.Bytes(r.Len())
	if r.Err() != nil {
		return nil, codec.At(r.Err(), file, 0)
	}
	if codec.CRC(body) != sum {
		return nil, codec.At(codec.Corrupt("checksum of the body"), file, 16)
	}
	r = codec.NewReader(body)
	m := &manifest{shard: uint32(r.Uvarint()), tenant: string(r.LengthBytes()), flushed: r.Uvarint(), nextFile: r.Uvarint()}
	m.segments = make([]segmentEntry, r.Count(10))
	for i := range m.segments {
		s := &m.segments[i]
		s.name = string(r.LengthBytes())
		s.bytes = int64(r.Uvarint())
		s.crc = r.Uint32()
		s.rows = int(r.Uvarint())
		s.firstSeq, s.lastSeq, s.generation = r.Uvarint(), r.Uvarint(), r.Uvarint()
		if len(s.name) > nameBytesMax {
			r.Fail("name of %d bytes", len(s.name))
		}
	}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the last segment", r.Len())
	}
	if err := r.Err(); err != nil {
		return nil, codec.At(err, file, int64(manifestHeaderBytes+r.Offset()))
	}
	return m, nil
}

// readManifest reads the manifest of dir; a missing one is fs.ErrNotExist.
func readManifest(disk vfs.FS, dir string) (*manifest, error) {
	name := dir + "/" + manifestName
	data, err := vfs.ReadFile(disk, name, manifestBytesMax)
	if err != nil {
		return nil, err
	}
	return decodeManifest(name, data)
}

// write makes m the durable manifest of dir.
func (m *manifest) write(disk vfs.FS, dir string) error {
	if err := vfs.ReplaceFile(disk, dir+"/"+manifestName, m.appendBinary(nil)); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}

// missing reports an error that says a file is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
