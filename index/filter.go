package index

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
)

// A filter says of a 64-bit hash that it is not in a set, or that it may be: wrongly in one
// case of 256, and never wrong about one that is in the set. It stands as
//
//	keys v             0: nothing follows
//	up to listKeysMax keys:
//	  list             of (hash * keys * 256) / 2^64, ascending:
//	    low            its lowest byte, each
//	    high           2 bits a key: key i, whose other bits are h, sets bit h + i
//	beyond that:
//	  attempt u8       0 to attemptsMax - 1: a binary fuse table of that attempt's size and seed
//	    table          a byte a slot
//	  or listMark      a list as above, where no attempt succeeded
//
// A list takes 10 bits a key and always succeeds. A fuse table takes less from about
// listKeysMax keys on, and needs four reads wherever they stand: a byte of the table for each
// of four neighbouring segments, which together, by xor, give the key's fingerprint.
// (T. M. Graf and D. Lemire, Binary Fuse Filters: Fast and Smaller Than Xor Filters, 2022.)
// Where the paper mixes hash and seed for all of it, here the hash alone says the first
// segment: sorted keys then fill the table from one end to the other, within the cache.
//
// So hashes must be spread evenly, as HashText and HashTraceID spread them. Others give
// right answers too, but useless ones.

// HashText is the hash of a text for a filter. It is part of the format.
func HashText(text []byte) uint64 { return codec.HashText(text) }

// HashTraceID is the hash of a trace id for a filter, that of its bytes as a text.
func HashTraceID(id span.TraceID) uint64 { return codec.HashText(id[:]) }

const (
	listMark      = 0xff
	segmentsAKey  = 4
	fractionShift = 8 // a list tells 256 values a key apart
)

// Filter is a view of a filter's bytes. Any number of goroutines may ask it.
type Filter struct {
	keys  uint64
	bytes int
	low   []byte // of a list
	high  []byte
	table []byte // of a fuse table
	shape fuseShape
}

// MemoryBytes is what the filter holds, its part of the payload with it.
func (f *Filter) MemoryBytes() int { return filterBytes + len(f.low) + len(f.high) + len(f.table) }

// AppendFilter appends the filter of hashes, which it sorts and frees of duplicates in
// place. The same set gives the same bytes. While it works it takes 13 bytes a slot of the
// table, that is 14 to 16 bytes a key, and no more for a failed attempt.
func AppendFilter(dst []byte, hashes []uint64) []byte {
	sortHashes(hashes, 0)
	hashes = slices.Compact(hashes)
	invariant.Check(len(hashes) <= filterKeysMax, "a filter of %d keys", len(hashes))
	dst = binary.AppendUvarint(dst, uint64(len(hashes)))
	if len(hashes) <= listKeysMax {
		return appendList(dst, hashes)
	}
	var p peeling
	for attempt := range attemptsMax {
		shape := shapeOf(uint64(len(hashes)), attempt)
		if p.peel(shape, hashes) {
			return p.appendTable(append(dst, byte(attempt)), shape)
		}
	}
	return appendList(append(dst, listMark), hashes)
}

// OpenFilter reads what AppendFilter wrote and leaves r behind it. What it cannot read is
// r.Err(), and the filter is empty.
func OpenFilter(r *codec.Reader) Filter {
	before := r.Offset()
	f := Filter{keys: r.Uvarint()}
	attempt := uint8(listMark)
	if f.keys > filterKeysMax {
		r.Fail("a filter of %d keys", f.keys)
	} else if f.keys > listKeysMax {
		attempt = r.Uint8()
	}
	switch {
	case attempt < attemptsMax:
		f.shape = shapeOf(f.keys, int(attempt))
		f.table = r.Bytes(int(f.shape.slots()))
	case attempt == listMark:
		f.low = r.Bytes(int(f.keys))
		f.high = r.Bytes(int(f.keys+3) / 4)
		f.checkList(r)
	default:
		r.Fail("attempt %d of a filter", attempt)
	}
	if r.Err() != nil {
		return Filter{}
	}
	f.bytes = r.Offset() - before
	return f
}

// checkList makes sure that no key of a list is without its high bit.
func (f *Filter) checkList(r *codec.Reader) {
	ones := 0
	for _, b := range f.high {
		ones += bits.OnesCount8(b)
	}
	if r.Err() == nil && (uint64(ones) != f.keys || f.keys%4 > 0 && f.high[len(f.high)-1]>>(2*(f.keys%4)) != 0) {
		r.Fail("%d high bits of %d keys in a filter", ones, f.keys)
	}
}

// Bytes is how many bytes the filter takes where it stands.
func (f *Filter) Bytes() int { return f.bytes }

// MayContain is true for each hash of the set, and for one of 256 others.
func (f *Filter) MayContain(hash uint64) bool {
	if f.table == nil {
		return f.listContains(hash)
	}
	a, b, c, d, fingerprint := f.shape.slotsOf(hash)
	t := f.table
	return t[a]^t[b]^t[c]^t[d] == fingerprint
}

// listContains finds the low bytes of the keys with the hash's high bits: as many as there
// are ones behind the zero that stands for the high bits before.
func (f *Filter) listContains(hash uint64) bool {
	value, _ := bits.Mul64(hash, f.keys<<fractionShift)
	bit := bitAfterZeros(f.high, value>>fractionShift)
	for ; bit < uint64(len(f.high))*8 && f.high[bit/8]>>(bit%8)&1 == 1; bit++ {
		if key := bit - value>>fractionShift; key < uint64(len(f.low)) && f.low[key] == byte(value) {
			return true
		}
	}
	return false
}

// bitAfterZeros gives the position behind so many zero bits: by words, then bytes, then bits.
func bitAfterZeros(high []byte, zeros uint64) uint64 {
	at := 0
	for ; at+8 <= len(high); at += 8 {
		n := uint64(64 - bits.OnesCount64(binary.LittleEndian.Uint64(high[at:])))
		if n >= zeros {
			break
		}
		zeros -= n
	}
	for ; at < len(high); at++ {
		n := uint64(8 - bits.OnesCount8(high[at]))
		if n >= zeros {
			break
		}
		zeros -= n
	}
	bit := uint64(at) * 8
	if at < len(high) && zeros > 0 {
		left := ^high[at]
		for ; zeros > 1; zeros-- {
			left &= left - 1
		}
		bit += uint64(bits.TrailingZeros8(left)) + 1
	}
	return bit
}

func appendList(dst []byte, hashes []uint64) []byte {
	keys := uint64(len(hashes))
	at := len(dst)
	dst = append(dst, make([]byte, keys+(keys+3)/4)...)
	low, high := dst[at:at+len(hashes)], dst[at+len(hashes):]
	for i, hash := range hashes {
		value, _ := bits.Mul64(hash, keys<<fractionShift)
		low[i] = byte(value)
		bit := value>>fractionShift + uint64(i)
		high[bit/8] |= 1 << (bit % 8)
	}
	return dst
}

// fuseShape is how a fuse table is laid out: a function of the keys and the attempt.
type fuseShape struct {
	segmentBits uint8
	starts      uint64 // segments that a key may begin in
	range64     uint64 // slots that a key may begin in
	seed        uint64
}

// shapeOf is law. Longer segments need fewer slots a key, but more keys to fill them: the
// numbers are the smallest at which one or two attempts do. Each further attempt has its own
// seed and is larger by a segment, or a 64th of all.
func shapeOf(keys uint64, attempt int) fuseShape {
	segmentBits, percent := uint8(7), uint64(119)
	switch {
	case keys >= 1<<17: // a bit more for each two bits of keys: the segments stay few
		segmentBits, percent = uint8(bits.Len64(keys)-18)/2+10, 109
	case keys >= 1<<15:
		segmentBits, percent = 9, 112
	case keys >= 1<<13:
		segmentBits, percent = 8, 116
	}
	slots := keys * percent / 100
	segments := slots>>segmentBits + 1
	segments += uint64(attempt) * max(1, segments/64)
	starts := segments - (segmentsAKey - 1)
	return fuseShape{segmentBits, starts, starts << segmentBits, (uint64(attempt) + 1) * 0x9e3779b97f4a7c15}
}

func (s fuseShape) slots() uint64 { return (s.starts + segmentsAKey - 1) << s.segmentBits }

// slotsOf gives a hash's slots, one in each of four neighbouring segments, and the
// fingerprint that they give by xor. The mix is MurmurHash3's finaliser.
func (s *fuseShape) slotsOf(hash uint64) (a, b, c, d uint64, fingerprint byte) {
	a, _ = bits.Mul64(hash, s.range64)
	h := hash ^ s.seed
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	segment := uint64(1) << (s.segmentBits & 63)
	mask := segment - 1
	b = (a + segment) ^ h&mask
	c = (a + 2*segment) ^ h>>18&mask
	d = (a + 3*segment) ^ h>>36&mask
	return a, b, c, d, byte(h >> 56)
}

// peeling takes keys out of a table one by one, each at a slot that it has to itself by
// then. Backwards, each key finds a slot that is still free to make its xor right.
type peeling struct {
	count []uint8  // keys at a slot
	xor   []uint64 // of their hashes
	// order holds slots, those peeled from the front on, those to look at from the back on.
	// A slot comes to have one key once, so they never meet.
	order  []uint32
	peeled int
}

// peel tells whether all keys could be taken out.
func (p *peeling) peel(shape fuseShape, hashes []uint64) bool {
	p.take(int(shape.slots()))
	count, xor := p.count, p.xor
	full := uint8(0)
	for _, hash := range hashes {
		a, b, c, d, _ := shape.slotsOf(hash)
		count[a]++
		count[b]++
		count[c]++
		count[d]++
		full |= count[a] | count[b] | count[c] | count[d]
		xor[a] ^= hash
		xor[b] ^= hash
		xor[c] ^= hash
		xor[d] ^= hash
	}
	if full > 127 {
		return false // so uneven that a count may have run over
	}
	for slot := range count {
		if count[slot] == 1 {
			p.peelFrom(&shape, uint32(slot))
		}
	}
	return p.peeled == len(hashes)
}

// take makes room for slots, all empty.
func (p *peeling) take(slots int) {
	if cap(p.count) < slots {
		*p = peeling{} // the collector may have the smaller ones first
		p.count, p.xor, p.order = make([]uint8, slots), make([]uint64, slots), make([]uint32, slots)
	}
	p.count, p.xor, p.order = p.count[:slots], p.xor[:slots], p.order[:slots]
	clear(p.count)
	clear(p.xor)
	p.peeled = 0
}

// peelFrom peels a slot's only key, and those that come to stand alone by that. The xor of a
// peeled slot stays: it is the key.
func (p *peeling) peelFrom(shape *fuseShape, slot uint32) {
	count, xor, order := p.count, p.xor, p.order
	top := len(order) - 1
	order[top] = slot
	for top < len(order) {
		slot := order[top]
		top++
		if count[slot] != 1 {
			continue // its last key was peeled elsewhere
		}
		hash := xor[slot]
		order[p.peeled] = slot
		p.peeled++
		a, b, c, d, _ := shape.slotsOf(hash)
		for _, other := range [segmentsAKey]uint64{a, b, c, d} {
			count[other]--
			if other == uint64(slot) {
				continue
			}
			xor[other] ^= hash
			if count[other] == 1 {
				top--
				order[top] = uint32(other)
			}
		}
	}
}

func (p *peeling) appendTable(dst []byte, shape fuseShape) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, shape.slots())...)
	table := dst[at:]
	for i := p.peeled - 1; i >= 0; i-- {
		slot := p.order[i]
		a, b, c, d, fingerprint := shape.slotsOf(p.xor[slot])
		table[slot] = fingerprint ^ table[a] ^ table[b] ^ table[c] ^ table[d] // itself still 0
	}
	return dst
}

// sortHashes sorts even hashes in place: into pieces of some four by the bits that follow those that
// all have alike, then within the pieces. Larger pieces, of many hashes or of uneven ones, are
// sorted in the same way.
func sortHashes(hashes []uint64, alike int) {
	if len(hashes) < radixKeysMin || alike >= 64 {
		slices.Sort(hashes)
		return
	}
	digitBits := min(bits.Len(uint(len(hashes)))-2, digitBitsMax)
	digit := func(hash uint64) uint64 { return hash << (alike & 63) >> ((64 - digitBits) & 63) % (1 << digitBitsMax) }
	var next, end [1 << digitBitsMax]uint32
	for _, hash := range hashes {
		end[digit(hash)]++
	}
	at := uint32(0)
	for d, keys := range end[:1<<digitBits] {
		next[d] = at
		at += keys
		end[d] = at
	}
	for d := range uint64(1 << digitBits) {
		for next[d] < end[d] {
			hash := hashes[next[d]]
			for home := digit(hash); home != d; home = digit(hash) { // carry it there, go on with what stood there
				hash, hashes[next[home]] = hashes[next[home]], hash
				next[home]++
			}
			hashes[next[d]] = hash
			next[d]++
		}
	}
	at = 0
	for _, to := range end[:1<<digitBits] {
		if to-at > pieceKeysMax {
			sortHashes(hashes[at:to], alike+digitBits)
		}
		at = to
	}
	sortNearly(hashes)
}

// sortNearly sorts hashes of which none is far from its place.
func sortNearly(hashes []uint64) {
	for i := 1; i < len(hashes); i++ {
		hash, at := hashes[i], i
		for ; at > 0 && hashes[at-1] > hash; at-- {
			hashes[at] = hashes[at-1]
		}
		hashes[at] = hash
	}
}
