package column

import (
	"encoding/binary"

	"github.com/stoadb/stoa/internal/codec"
)

// Pages makes pages of integers, alone or behind a head, and lends its memory to pages of
// texts. It keeps its working memory; the zero value is ready.
type Pages struct {
	payload, trial []byte
	text, packed   []byte   // the entries of a page of texts, and what stands for them in chunks
	lengths        []uint64 // of the entries
	numbers        []uint64 // that the entries are
}

// MemoryBytes is what it keeps, by capacity.
func (p *Pages) MemoryBytes() int {
	return cap(p.payload) + cap(p.trial) + cap(p.text) + cap(p.packed) + 8*(cap(p.lengths)+cap(p.numbers))
}

// Append appends the page of a payload: the head as it is, then the values as integers.
// These stand light, outside of zstd, so that they are read without it and in part, unless
// zstd saves more than a third of them. That happens where traces repeat each other: packed
// bits show zstd nothing, whole bytes do.
func (p *Pages) Append(dst, head []byte, values []uint64) []byte {
	if len(values) == 0 {
		return AppendPage(dst, head, true)
	}
	plan := planBytes(values)
	p.payload = appendInts(append(p.payload[:0], head...), values, plan)
	light := len(p.payload) - len(head)
	if light <= lightBytesMax {
		return p.appendSplit(dst, len(head))
	}
	bytewise, ok := p.tryZstd(values, plan, light)
	if !ok {
		return p.appendSplit(dst, len(head))
	}
	if len(head) == 0 {
		return appendFrame(dst, bytewise, p.trial[bytewise:]) // smaller than raw: what saves a third does
	}
	p.payload = append(p.payload[:len(head)], p.trial[:bytewise]...)
	return AppendPage(dst, p.payload, true)
}

// appendFrame appends a page of form zstd around its frame.
func appendFrame(dst []byte, size int, frame []byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, formZstd)
	dst = append(binary.AppendUvarint(dst, uint64(size)), frame...)
	binary.LittleEndian.PutUint32(dst[start:], codec.CRC(dst[start+4:]))
	return dst
}

// appendSplit appends a page whose payload is under zstd up to split, and raw from there.
func (p *Pages) appendSplit(dst []byte, split int) []byte {
	if split < compressBytesMin {
		return AppendPage(dst, p.payload, false)
	}
	p.trial = codec.AppendZstd(p.trial[:0], p.payload[:split])
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, formSplit)
	dst = binary.AppendUvarint(dst, uint64(split))
	dst = binary.AppendUvarint(dst, uint64(len(p.trial)))
	if len(dst)-start+len(p.trial) >= split+5 {
		return AppendPage(dst[:start], p.payload, false)
	}
	dst = append(append(dst, p.trial...), p.payload[split:]...)
	binary.LittleEndian.PutUint32(dst[start:], codec.CRC(dst[start+4:]))
	return dst
}
