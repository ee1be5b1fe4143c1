package column

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/stoadb/stoa/internal/codec"
)

// Mini-blocks: 128 values each (the last one may hold fewer), every one in the form that is
// the shortest for it, reachable without decoding the others.
//
//	form     1  intsBlocks
//	wide     1  bytes of a base, 0 to 8
//	low      v  the smallest base
//	tags     1  of each block: its kind and width
//	bases       of each block: base - low, in so many bytes
//	bodies      one after another; tag, number of values and, of the last four kinds, the first
//	            bytes of the body say how long each is
//
//	tag          base      body
//	0 to 64      minimum   value - base, packed in tag bits; 0: all are the base
//	65 to 128    first     difference to the value before, packed in tag-64 bits: values go up only
//	129 to 192   first     difference, zigzag, packed in tag-128 bits
//	193          minimum   distinct values 1, width 1; the values - base in order, packed; then of each
//	                       value its position among them, packed in as few bits as hold them
//	194          minimum   runs 1, width 1; of each run its length - 1, 1 byte; the values - base, packed
//	195          minimum   patched values: width 1, width above 1, patches 1; the place of each patch, 1 byte;
//	                       what they have above the width, packed; of each value its low bits, packed
//	196          first     the same over differences, zigzag
//
// Times and durations are why there are patches: they spread over many orders of magnitude, and one
// trace that begins far from the last one would widen 127 others.
//
// Tag and base are the zone map of the block (with the widths of the last four kinds): they bound its
// values. Where base plus width overflows, they say nothing.
const (
	tagUp         = 64  // + width
	tagDelta      = 128 // + width
	tagDictionary = 193
	tagRuns       = 194
	tagPatched    = 195
	tagPatchedGap = 196 // patched differences
)

// appendBlocks appends the values as mini-blocks, form byte included.
func appendBlocks(dst []byte, values []uint64, plans []blockPlan) []byte {
	low, high := plans[0].base, plans[0].base
	for _, p := range plans {
		low, high = min(low, p.base), max(high, p.base)
	}
	wide := wideOf(high - low)
	dst = binary.AppendUvarint(append(dst, intsBlocks, byte(wide)), low)
	for _, p := range plans {
		dst = append(dst, p.tag)
	}
	for _, p := range plans {
		for k, v := 0, p.base-low; k < wide; k, v = k+1, v>>8 {
			dst = append(dst, byte(v))
		}
	}
	var w blockWriter
	for i := range plans {
		block := values[i*blockRows : min((i+1)*blockRows, len(values))]
		if plans[i].tag == tagDictionary {
			w.collect(block)
		}
		dst = w.appendBody(dst, block, plans[i])
	}
	return dst
}

func wideOf(v uint64) int { return (bits.Len64(v) + 7) / 8 }

// appendBody appends the body of a block in the planned form.
func (w *blockWriter) appendBody(dst []byte, values []uint64, p blockPlan) []byte {
	out := w.scratch[:len(values)]
	switch {
	case p.tag <= tagUp:
		for i, v := range values {
			out[i] = v - p.base
		}
		return appendPacked(dst, out, uint(p.tag))
	case p.tag <= tagDelta:
		previous := p.base
		for i, v := range values {
			out[i], previous = v-previous, v
		}
		return appendPacked(dst, out, uint(p.tag-tagUp))
	case p.tag < tagDictionary:
		previous := p.base
		for i, v := range values {
			out[i], previous = zigzag(v-previous), v
		}
		return appendPacked(dst, out, uint(p.tag-tagDelta))
	case p.tag == tagDictionary:
		return w.appendDictionary(dst, values, p)
	case p.tag == tagRuns:
		return appendRuns(dst, out[:0], values, p)
	default:
		return appendPatched(dst, out, values, p)
	}
}

func (w *blockWriter) appendDictionary(dst []byte, values []uint64, p blockPlan) []byte {
	entries := w.distinct[:p.entries]
	slices.Sort(entries)
	clear(w.slots[:])
	for i, v := range entries {
		w.slots[w.slot(v)] = uint8(i + 1)
	}
	codes := w.scratch[:len(values)]
	for i, v := range values {
		codes[i] = uint64(w.slots[w.slot(v)] - 1)
	}
	for i := range entries {
		entries[i] -= p.base
	}
	dst = append(dst, byte(p.entries), byte(p.width))
	dst = appendPacked(dst, entries, p.width)
	return appendPacked(dst, codes, codeWidth(p.entries))
}

func appendRuns(dst []byte, out, values []uint64, p blockPlan) []byte {
	at := len(dst)
	dst = append(dst, 0, byte(p.width))
	for i := 0; i < len(values); {
		end := i + 1
		for end < len(values) && values[end] == values[i] {
			end++
		}
		dst = append(dst, byte(end-i-1))
		out = append(out, values[i]-p.base)
		i = end
	}
	dst[at] = byte(len(out))
	return appendPacked(dst, out, p.width)
}

func appendPatched(dst []byte, out, values []uint64, p blockPlan) []byte {
	dst = append(dst, byte(p.width), byte(p.above), byte(p.entries))
	var above [blockRows]uint64
	patches, previous := above[:0], p.base
	for i, v := range values {
		out[i] = v - p.base
		if p.tag == tagPatchedGap {
			out[i], previous = zigzag(v-previous), v
		}
		if high := out[i] >> p.width; high != 0 {
			dst = append(dst, byte(i))
			patches = append(patches, high)
			out[i] &= mask(p.width)
		}
	}
	dst = appendPacked(dst, patches, p.above)
	return appendPacked(dst, out, p.width)
}

// head is the directory of a column in mini-blocks.
type head struct {
	low   uint64
	wide  int
	tags  []byte
	bases []byte
}

// openHead reads the directory, after the form byte.
func openHead(r *codec.Reader, n int) (h head) {
	count := (n + blockRows - 1) / blockRows
	h.wide = int(r.Uint8())
	h.low = r.Uvarint()
	if h.wide > 8 {
		r.Fail("bases of %d bytes", h.wide)
	}
	if r.Err() == nil && count > r.Len()/(1+h.wide) {
		r.Fail("%d mini-blocks in %d bytes", count, r.Len())
	}
	h.tags, h.bases = r.Bytes(count), r.Bytes(count*h.wide)
	return h
}

func (h *head) base(i int) uint64 { return h.low + baseAt(h.bases, i, h.wide) }

func baseAt(bases []byte, i, wide int) uint64 {
	at := i * wide
	if at+8 <= len(bases) {
		return binary.LittleEndian.Uint64(bases[at:]) & mask(uint(8*wide))
	}
	v := uint64(0)
	for k := range wide {
		v |= uint64(bases[at+k]) << (8 * k)
	}
	return v
}

// bodyBytes is how long a body is that begins rest; -1 where it cannot be one.
func bodyBytes(tag byte, rest []byte, rows int) int {
	switch {
	case tag <= tagUp:
		return packedBytes(rows, uint(tag))
	case tag <= tagDelta:
		return packedBytes(rows, uint(tag-tagUp))
	case tag < tagDictionary:
		return packedBytes(rows, uint(tag-tagDelta))
	case tag > tagPatchedGap || len(rest) < 3:
		return -1
	case tag >= tagPatched:
		width, above, patches := uint(rest[0]), uint(rest[1]), int(rest[2])
		if above == 0 || width > 64 || above > 64-width || patches == 0 || patches > min(rows, blockRows-1) {
			return -1
		}
		return patchedBytes(patches, rows, width, above)
	}
	entries, width := int(rest[0]), uint(rest[1])
	if entries == 0 || entries >= blockRows || width > 64 {
		return -1
	}
	if tag == tagRuns {
		return 2 + entries + packedBytes(entries, width)
	}
	return dictionaryBytes(entries, rows, width)
}

// zoneOf bounds the values of a block by its head. Sums that overflow bound nothing.
func zoneOf(tag byte, base uint64, body []byte, rows int) (least, most uint64) {
	spread := uint64(0)
	switch {
	case tag <= tagUp:
		spread = mask(uint(tag))
	case tag <= tagDelta:
		step := mask(uint(tag - tagUp))
		if step > ^uint64(0)/blockRows {
			return 0, ^uint64(0)
		}
		spread = step * uint64(rows)
	case tag < tagDictionary:
		step := mask(uint(tag-tagDelta))/2 + 1 // the farthest that a difference goes, down or up
		spread = step * uint64(rows)
		if step > ^uint64(0)/blockRows || base < spread || base+spread < base {
			return 0, ^uint64(0)
		}
		return base - spread, base + spread
	case tag == tagPatchedGap:
		return zoneOf(tagDelta+body[0]+body[1], base, body, rows)
	case tag == tagPatched:
		spread = mask(uint(body[0] + body[1]))
	default:
		spread = mask(uint(body[1]))
	}
	if base+spread < base {
		return 0, ^uint64(0)
	}
	return base, base + spread
}

// decodeBlocks goes through the mini-blocks once, without keeping a directory.
func decodeBlocks(dst []uint64, r *codec.Reader, n int) []uint64 {
	h := openHead(r, n)
	if r.Err() != nil {
		return dst
	}
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]
	values := dst[at:]
	rest := *r
	bodies, used := rest.Bytes(rest.Len()), 0
	for i, tag := range h.tags {
		block := values[i*blockRows : min((i+1)*blockRows, n)]
		size := bodyBytes(tag, bodies[used:], len(block))
		if size < 0 || size > len(bodies)-used {
			r.Fail("mini-block %d, tag %d, at %d of %d bytes", i, tag, used, len(bodies))
			return dst
		}
		if err := decodeBlock(block, tag, h.base(i), bodies[used:used+size]); err != nil {
			r.Fail("mini-block %d: %v", i, err)
			return dst
		}
		used += size
	}
	r.Bytes(used)
	return dst
}

// decodeBlock fills dst with the values of a block whose body has the right length.
func decodeBlock(dst []uint64, tag byte, base uint64, body []byte) error {
	switch {
	case tag <= tagUp:
		unpack(dst, body, uint(tag), base)
	case tag <= tagDelta:
		unpack(dst, body, uint(tag-tagUp), 0)
		for i, delta := range dst {
			base += delta
			dst[i] = base
		}
	case tag < tagDictionary:
		unpack(dst, body, uint(tag-tagDelta), 0)
		addUpSigned(dst, base)
	case tag == tagDictionary:
		return decodeDictionary(dst, base, body)
	case tag == tagRuns:
		return decodeRuns(dst, base, body)
	case tag == tagPatched:
		return decodePatched(dst, base, body)
	default:
		if err := decodePatched(dst, 0, body); err != nil {
			return err
		}
		addUpSigned(dst, base)
	}
	return nil
}

// addUpSigned turns zigzag differences into values.
func addUpSigned(dst []uint64, v uint64) {
	for i, delta := range dst {
		v += unzigzag(delta)
		dst[i] = v
	}
}

func decodeDictionary(dst []uint64, base uint64, body []byte) error {
	entries, width := int(body[0]), uint(body[1])
	split := 2 + packedBytes(entries, width)
	var table [blockRows]uint64
	unpack(table[:entries], body[2:split], width, base)
	for i := 1; i < entries; i++ {
		if table[i]-base <= table[i-1]-base {
			return codec.Corrupt("entry %d of a mini-block is not above the one before", i)
		}
	}
	unpack(dst, body[split:], codeWidth(entries), 0)
	for i, code := range dst {
		if code >= uint64(entries) {
			return codec.Corrupt("code %d of %d in a mini-block", code, entries)
		}
		dst[i] = table[code%blockRows]
	}
	return nil
}

func decodeRuns(dst []uint64, base uint64, body []byte) error {
	runs, width := int(body[0]), uint(body[1])
	packed := body[2+runs:]
	for i, length := range body[2 : 2+runs] {
		if int(length) >= len(dst) {
			return codec.Corrupt("run of %d values, %d left", int(length)+1, len(dst))
		}
		v := base + packedAt(packed, runs, i, width)
		for k := range dst[:int(length)+1] {
			dst[k] = v
		}
		dst = dst[int(length)+1:]
	}
	if len(dst) > 0 {
		return codec.Corrupt("runs end %d values early", len(dst))
	}
	return nil
}

func decodePatched(dst []uint64, base uint64, body []byte) error {
	width, above, patches := uint(body[0]), uint(body[1]), int(body[2])
	places := body[3 : 3+patches]
	split := 3 + patches + packedBytes(patches, above)
	packed := body[3+patches : split]
	unpack(dst, body[split:], width, base)
	var high [blockRows]uint64
	unpack(high[:patches], packed, above, 0)
	last := -1
	for i, place := range places {
		if int(place) <= last || int(place) >= len(dst) {
			return codec.Corrupt("patch of value %d after %d, of %d", place, last, len(dst))
		}
		last = int(place)
		dst[last] += high[i%blockRows] << width
	}
	return nil
}
