package engine

import (
	"encoding/binary"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// Entry is one step of a shard's history: what a log record of type "command" holds. An
// entry without parts is a tick: it only tells the time.
type Entry struct {
	// Received is the proposer's clock, unix nanoseconds: the only time Apply knows.
	Received int64
	Parts    []Part
}

// Part is what one request had for this shard.
type Part struct {
	Hash codec.Hash // of Payload
	// Payload is an OTLP ExportTraceServiceRequest. Its memory is the proposer's again once the
	// part is decided: Apply keeps nothing of it.
	Payload []byte
	// Batch is Payload walked. It is nil after DecodeEntry; Apply then walks.
	Batch *span.Batch
}

// entryVersion is the first byte of every entry.
const entryVersion = 1

// AppendBinary appends the entry's log form:
//
//	version u8 = 1 | received i64 LE | parts uvarint
//	for each part: hash 16 B | payload bytes uvarint
//	S2 block of all payloads, one after another, to the end (absent for a tick)
//
// The payloads are compressed together, because the parts of one entry tend to repeat
// each other's names. The block's bytes may differ between builds, so nothing compares
// or hashes them; the parts carry hashes of what they decode to.
func (e *Entry) AppendBinary(dst []byte) []byte {
	dst = append(dst, entryVersion)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Received))
	dst = binary.AppendUvarint(dst, uint64(len(e.Parts)))
	total := 0
	for i := range e.Parts {
		dst = append(dst, e.Parts[i].Hash[:]...)
		dst = binary.AppendUvarint(dst, uint64(len(e.Parts[i].Payload)))
		total += len(e.Parts[i].Payload)
	}
	if len(e.Parts) == 0 {
		return dst
	}
	if len(e.Parts) == 1 {
		return codec.AppendS2(dst, e.Parts[0].Payload)
	}
	joined := joins.Get(total)
	defer joins.Put(joined)
	all := (*joined)[:0]
	for i := range e.Parts {
		all = append(all, e.Parts[i].Payload...)
	}
	return codec.AppendS2(dst, all)
}

// joins keeps what parts are joined in.
var joins codec.BufferPool

// DecodeEntry reads what AppendBinary wrote. The entry's payloads are its own. Wrong
// bytes are codec.ErrCorrupt, a later version codec.ErrVersion.
func DecodeEntry(data []byte) (*Entry, error) {
	r := codec.NewReader(data)
	if v := r.Uint8(); r.Err() == nil && v != entryVersion {
		if v > entryVersion {
			return nil, codec.ErrVersion
		}
		return nil, codec.Corrupt("entry version %d", v)
	}
	e := &Entry{Received: int64(r.Uint64())}
	count := r.Count(len(codec.Hash{}) + 1)
	if count > partsMax {
		return nil, codec.Corrupt("entry of %d parts", count)
	}
	sizes := make([]uint64, count)
	if count > 0 {
		e.Parts = make([]Part, count)
	}
	for i := range e.Parts {
		copy(e.Parts[i].Hash[:], r.Bytes(len(codec.Hash{})))
		sizes[i] = r.Uvarint()
	}
	rest := r.Bytes(r.Len())
	if err := r.Err(); err != nil {
		return nil, err
	}
	if count == 0 {
		if len(rest) > 0 {
			return nil, codec.Corrupt("%d bytes after a tick", len(rest))
		}
		return e, nil
	}
	joined, err := codec.DecodeS2(rest)
	if err != nil {
		return nil, err
	}
	for i := range e.Parts {
		if sizes[i] > uint64(len(joined)) {
			return nil, codec.Corrupt("part %d of %d bytes, %d left", i, sizes[i], len(joined))
		}
		e.Parts[i].Payload = joined[:sizes[i]:sizes[i]]
		joined = joined[sizes[i]:]
		if codec.HashBytes(e.Parts[i].Payload) != e.Parts[i].Hash {
			return nil, codec.Corrupt("hash of part %d", i)
		}
	}
	if len(joined) > 0 {
		return nil, codec.Corrupt("%d bytes after the last part", len(joined))
	}
	return e, nil
}
