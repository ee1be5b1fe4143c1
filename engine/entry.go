package engine

import (
	"encoding/binary"

	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
)

// Entry is one step of a shard's history: what a log record of type "command" holds. An
// entry without parts is a tick: it only tells the time.
type Entry struct {
	// Received is the proposer's clock, unix nanoseconds: the only time Apply knows.
	Received int64
	Parts    []Part
}

// The versions of entries, which are their first bytes. The first one held requests.
const (
	entryVersion        = 2
	entryVersionRequest = 1
)

// AppendBinary appends the entry's log form:
//
//	version u8 = 2 | received i64 LE | parts uvarint
//	for each part: hash 16 B | bytes uvarint | form bytes uvarint
//	S2 block of all forms, one after another, to the end (absent for a tick)
//
// The forms are compressed together, because the parts of one entry tend to repeat each
// other's names. The block's bytes may differ between builds, so nothing compares or hashes
// them; the parts carry hashes of what they decode to. A part of an entry of version 1, which
// has a request in the place of a form, cannot be written.
func (e *Entry) AppendBinary(dst []byte) []byte {
	dst = append(dst, entryVersion)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Received))
	dst = binary.AppendUvarint(dst, uint64(len(e.Parts)))
	total := 0
	for i := range e.Parts {
		p := &e.Parts[i]
		invariant.Check(len(p.Request) == 0, "part %d is a request of %d bytes", i, len(p.Request))
		dst = append(dst, p.Hash[:]...)
		dst = binary.AppendUvarint(dst, uint64(p.Bytes))
		dst = binary.AppendUvarint(dst, uint64(len(p.Form)))
		total += len(p.Form)
	}
	if len(e.Parts) == 0 {
		return dst
	}
	if len(e.Parts) == 1 {
		return codec.AppendS2(dst, e.Parts[0].Form)
	}
	joined := joins.Get(total)
	defer joins.Put(joined)
	all := (*joined)[:0]
	for i := range e.Parts {
		all = append(all, e.Parts[i].Form...)
	}
	return codec.AppendS2(dst, all)
}

// EncodedBytesMax is how many bytes AppendBinary may need.
func (e *Entry) EncodedBytesMax() int {
	forms := 0
	for i := range e.Parts {
		forms += len(e.Parts[i].Form)
	}
	return entryHeadBytesMax + len(e.Parts)*partHeadBytesMax + codec.S2BytesMax(forms)
}

// entryHeadBytesMax and partHeadBytesMax are what an entry takes besides its forms: the version, when it
// was received and how many parts it has; the hash and the two lengths of a part.
const (
	entryHeadBytesMax = 1 + 8 + binary.MaxVarintLen64
	partHeadBytesMax  = len(codec.Hash{}) + 2*binary.MaxVarintLen64
)

// joins keeps what parts are joined in.
var joins codec.BufferPool

// DecodeEntry reads what AppendBinary wrote, and entries of version 1, which had the same
// head without bytes, and requests in the place of forms. What the entry's parts hold is its
// own. Wrong bytes are codec.ErrCorrupt, a later version codec.ErrVersion.
func DecodeEntry(data []byte) (*Entry, error) {
	r := codec.NewReader(data)
	version := r.Uint8()
	switch {
	case r.Err() != nil:
		return nil, r.Err()
	case version > entryVersion:
		return nil, codec.ErrVersion
	case version == 0:
		return nil, codec.Corrupt("entry version 0")
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
		if version == entryVersion {
			e.Parts[i].Bytes = readPartBytes(r)
		}
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
	if err := e.divide(version, rest, sizes); err != nil {
		return nil, err
	}
	return e, nil
}

// readPartBytes reads Part.Bytes.
func readPartBytes(r *codec.Reader) int {
	n := r.Uvarint()
	if n > partBytesMax {
		r.Fail("part of %d bytes", n)
		return 0
	}
	return int(n)
}

// partBytesMax bounds Part.Bytes.
const partBytesMax = 4 * otlp.RequestBytesMax

// divide unpacks the S2 block and gives each part its own.
func (e *Entry) divide(version uint8, block []byte, sizes []uint64) error {
	joined, err := codec.DecodeS2(nil, block)
	if err != nil {
		return err
	}
	for i := range e.Parts {
		if sizes[i] > uint64(len(joined)) {
			return codec.Corrupt("part %d of %d bytes, %d left", i, sizes[i], len(joined))
		}
		p, content := &e.Parts[i], joined[:sizes[i]:sizes[i]]
		joined = joined[sizes[i]:]
		if codec.HashBytes(content) != p.Hash {
			return codec.Corrupt("hash of part %d", i)
		}
		if version == entryVersionRequest {
			p.Request, p.Bytes = content, len(content)
		} else {
			p.Form = content
		}
	}
	if len(joined) > 0 {
		return codec.Corrupt("%d bytes after the last part", len(joined))
	}
	return nil
}
