package wal

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
)

// The bytes of a log file, all integers little endian. docs/format/log.md has the same
// drawing with the argument why a crash cannot hurt it.
//
//	file    := commit*                      each commit starts at a multiple of 4,096
//	commit  := header record+ zero padding
//
//	header, 64 bytes                        record, 52 bytes + extensions + payload
//	 0  7  magic "STOALOG"                   0  4  length of the record, these 52 included
//	 7  1  version, 1                        4  4  CRC-32C of bytes 0..4 and 8..length
//	 8  8  file id, as in the name           8  4  shard
//	16  8  offset of this header            12  1  kind: entry, front, back, set, state, ...
//	24  8  synced up to: all bytes before   13  1  type of an entry (raft's LogType)
//	       this offset of this file were    14  2  zero
//	       durable when this was written    16  8  term
//	32  4  bytes of the records             24  8  Seq
//	36  4  number of records                32  8  appended at, Unix nanoseconds
//	40 20  zero                             40  8  commit: an entry's note of what is committed
//	60  4  CRC-32C of bytes 0..60           48  4  bytes of extensions
//
// Every version keeps magic, version and the place of the header's checksum, so that a
// newer file is told from damage.
const (
	magic             = "STOALOG"
	version           = 1
	commitAlign       = 4096
	headerBytes       = 64
	recordHeaderBytes = 52
)

// kind says what a record does to its stream.
type kind uint8

const (
	kindEntry kind = 1 // appends an entry
	kindFront kind = 2 // entries up to Seq are gone
	kindBack  kind = 3 // entries from Seq on are gone
	kindSet   kind = 4 // payload: length-prefixed key, then the value
	kindState kind = 5 // first record of a file: all streams as they stand
	kindEnd   kind = 6 // last record of a log that was closed
)

func (k kind) String() string {
	names := [...]string{"?", "entry", "front", "back", "set", "state", "end"}
	if int(k) < len(names) {
		return names[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// header is the decoded head of a group commit.
type header struct {
	fileID     uint64
	offset     int64
	syncedUpTo int64
	bodyBytes  int64
	records    int
}

func putHeader(dst []byte, h header) {
	copy(dst, magic)
	dst[7] = version
	binary.LittleEndian.PutUint64(dst[8:], h.fileID)
	binary.LittleEndian.PutUint64(dst[16:], uint64(h.offset))
	binary.LittleEndian.PutUint64(dst[24:], uint64(h.syncedUpTo))
	binary.LittleEndian.PutUint32(dst[32:], uint32(h.bodyBytes))
	binary.LittleEndian.PutUint32(dst[36:], uint32(h.records))
	clear(dst[40:60])
	binary.LittleEndian.PutUint32(dst[60:], codec.CRC(dst[:60]))
}

// parseHeader decodes the header that stands at offset of file id, or says why none
// does. codec.ErrVersion means a correct header of a newer writer.
func parseHeader(b []byte, fileID uint64, offset int64) (header, error) {
	if len(b) < headerBytes {
		return header{}, codec.Corrupt("commit header of %d bytes", len(b))
	}
	if string(b[:7]) != magic {
		return header{}, codec.Corrupt("no commit header")
	}
	if codec.CRC(b[:60]) != binary.LittleEndian.Uint32(b[60:]) {
		return header{}, codec.Corrupt("checksum of the commit header")
	}
	if b[7] != version {
		return header{}, fmt.Errorf("%w: log format %d, this build reads %d", codec.ErrVersion, b[7], version)
	}
	h := header{
		fileID:     binary.LittleEndian.Uint64(b[8:]),
		offset:     int64(binary.LittleEndian.Uint64(b[16:])),
		syncedUpTo: int64(binary.LittleEndian.Uint64(b[24:])),
		bodyBytes:  int64(binary.LittleEndian.Uint32(b[32:])),
		records:    int(binary.LittleEndian.Uint32(b[36:])),
	}
	if h.fileID != fileID || h.offset != offset || h.syncedUpTo < 0 || h.syncedUpTo > offset {
		return header{}, codec.Corrupt("commit header of file %d offset %d synced up to %d",
			h.fileID, h.offset, h.syncedUpTo)
	}
	return h, nil
}

// record is a decoded record; extensions and payload are slices of the input.
type record struct {
	shard               uint32
	kind                kind
	typ                 uint8
	term, seq, commit   uint64
	appendedAt          int64
	extensions, payload []byte
}

// appendRecord appends the record's bytes: the one copy a payload makes on its way to
// the file.
func appendRecord(dst []byte, r *record) []byte {
	at := len(dst)
	length := recordHeaderBytes + len(r.extensions) + len(r.payload)
	var head [recordHeaderBytes]byte
	binary.LittleEndian.PutUint32(head[0:], uint32(length))
	binary.LittleEndian.PutUint32(head[8:], r.shard)
	head[12], head[13] = byte(r.kind), r.typ
	binary.LittleEndian.PutUint64(head[16:], r.term)
	binary.LittleEndian.PutUint64(head[24:], r.seq)
	binary.LittleEndian.PutUint64(head[32:], uint64(r.appendedAt))
	binary.LittleEndian.PutUint64(head[40:], r.commit)
	binary.LittleEndian.PutUint32(head[48:], uint32(len(r.extensions)))
	dst = append(dst, head[:]...)
	dst = append(dst, r.extensions...)
	dst = append(dst, r.payload...)
	binary.LittleEndian.PutUint32(dst[at+4:], recordCRC(dst[at:]))
	return dst
}

func recordCRC(b []byte) uint32 { return codec.CRCAppend(codec.CRC(b[:4]), b[8:]) }

// parseRecord decodes the record at the front of b and returns its length.
func parseRecord(b []byte) (record, int, error) {
	if len(b) < recordHeaderBytes {
		return record{}, 0, codec.Corrupt("record of %d bytes", len(b))
	}
	length := int64(binary.LittleEndian.Uint32(b))
	if length < recordHeaderBytes || length > int64(len(b)) {
		return record{}, 0, codec.Corrupt("record length %d with %d bytes left", length, len(b))
	}
	b = b[:length:length]
	if recordCRC(b) != binary.LittleEndian.Uint32(b[4:]) {
		return record{}, 0, codec.Corrupt("checksum of the record")
	}
	extensions := int64(binary.LittleEndian.Uint32(b[48:]))
	if extensions > length-recordHeaderBytes || b[14] != 0 || b[15] != 0 {
		return record{}, 0, codec.Corrupt("record with %d bytes of extensions", extensions)
	}
	return record{
		shard:      binary.LittleEndian.Uint32(b[8:]),
		kind:       kind(b[12]),
		typ:        b[13],
		term:       binary.LittleEndian.Uint64(b[16:]),
		seq:        binary.LittleEndian.Uint64(b[24:]),
		appendedAt: int64(binary.LittleEndian.Uint64(b[32:])),
		commit:     binary.LittleEndian.Uint64(b[40:]),
		extensions: b[recordHeaderBytes : recordHeaderBytes+extensions],
		payload:    b[recordHeaderBytes+extensions:],
	}, int(length), nil
}

func (r *record) entry() Entry {
	return Entry{
		Seq: r.seq, Term: r.term, Type: r.typ, AppendedAt: r.appendedAt,
		Payload: r.payload, Extensions: r.extensions,
	}
}

// aligned rounds a size up to whole commit blocks.
func aligned(size int64) int64 { return (size + commitAlign - 1) &^ (commitAlign - 1) }

var zeros [commitAlign]byte

// cleared is never written to, so it takes no memory.
var cleared [clearBytes]byte

// padded appends zeros up to the next commit block.
func padded(b []byte) []byte {
	return append(b, zeros[:aligned(int64(len(b)))-int64(len(b))]...)
}

const nameSuffix = ".log"

// fileName spells a file id; names sort as ids do.
func fileName(id uint64) string { return fmt.Sprintf("%016x%s", id, nameSuffix) }

func parseFileName(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, nameSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	id, err := strconv.ParseUint(hex, 16, 64)
	return id, err == nil && fileName(id) == name
}

// appendState appends the state record's payload: every stream that ever held
// something, by shard, with its keys in order. Equal states have equal bytes.
func appendState(dst []byte, streams []*Stream) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(streams)))
	for i, s := range streams {
		invariant.Check(i == 0 || streams[i-1].shard < s.shard, "streams out of order")
		dst = binary.LittleEndian.AppendUint32(dst, s.shard)
		dst = binary.AppendUvarint(dst, s.durable.first)
		dst = binary.AppendUvarint(dst, s.durable.last)
		dst = binary.AppendUvarint(dst, s.commit)
		dst = binary.AppendUvarint(dst, uint64(len(s.keys)))
		for _, key := range s.sortedKeys() {
			dst = codec.AppendLengthBytes(dst, []byte(key))
			dst = codec.AppendLengthBytes(dst, s.keys[key])
		}
	}
	return dst
}

// streamState is one stream of a decoded state record.
type streamState struct {
	shard  uint32
	bounds bounds
	commit uint64
	keys   map[string][]byte
}

func parseState(payload []byte) ([]streamState, error) {
	r := codec.NewReader(payload)
	count := min(r.Count(8), streamsMax)
	states := make([]streamState, 0, count)
	for range count {
		st := streamState{shard: r.Uint32(), keys: map[string][]byte{}}
		st.bounds = bounds{first: r.Uvarint(), last: r.Uvarint()}
		st.commit = r.Uvarint()
		for range r.Count(2) {
			key := string(r.LengthBytes())
			st.keys[key] = append([]byte(nil), r.LengthBytes()...)
		}
		if st.bounds.first > st.bounds.last || (st.bounds.first == 0) != (st.bounds.last == 0) {
			r.Fail("stream %d from %d to %d", st.shard, st.bounds.first, st.bounds.last)
		}
		states = append(states, st)
	}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the state", r.Len())
	}
	return states, r.Err()
}
