package span

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/stoadb/stoa/internal/codec"
)

// A column of numbers in the form of a batch. The count is known from elsewhere, 0 numbers
// take no byte. The first byte says how they stand:
//
//	0         all are alike: the value, v
//	1         base v, then each number less the base, v
//	1 + w     base v, then each number less the base in w bits (1 to 64), the low bits of a
//	          byte first, zeros up to the end of the last byte
//
// The base is the least number. Of the last two the shorter is taken, the packed one where
// they are equal; so numbers have one form only, and reading refuses every other.
const (
	numbersAlike  = 0
	numbersVaried = 1
)

// plan is how a column of numbers is written.
type plan struct {
	base   uint64
	width  int // of a packed number; 0 where all are alike
	varied int // bytes of all numbers, less the base, as varints; only where kind says so
	kind   byte
}

// varintLen is the length of v as a varint: a seventh of its bits, rounded up.
func varintLen(v uint64) int { return (9*bits.Len64(v|1) + 64) >> 6 }

// packedLen is the length of n numbers of w bits.
func packedLen(n, w int) int { return (n*w + 7) / 8 }

// bounds gives the least and the greatest of numbers, of which there is one at least. It goes
// by two, neither of which waits for the other.
func bounds(numbers []uint64) (low, high uint64) {
	low, high = numbers[0], numbers[0]
	low2, high2 := low, high
	rest := numbers[1:]
	for ; len(rest) >= 2; rest = rest[2:] {
		a, b := rest[0], rest[1]
		low, high = min(low, a), max(high, a)
		low2, high2 = min(low2, b), max(high2, b)
	}
	for _, v := range rest {
		low, high = min(low, v), max(high, v)
	}
	return min(low, low2), max(high, high2)
}

// planOf finds the form of numbers, of which there is one at least.
func planOf(numbers []uint64) plan {
	low, high := bounds(numbers)
	if low == high {
		return plan{base: low, kind: numbersAlike}
	}
	p := plan{base: low, width: bits.Len64(high - low)}
	p.kind = byte(1 + p.width)
	if p.width <= 8 {
		return p // no varint is shorter than that
	}
	packed := packedLen(len(numbers), p.width)
	varied := 0
	for _, v := range numbers {
		varied += varintLen(v - low)
	}
	if varied < packed {
		p.kind, p.varied = numbersVaried, varied
	}
	return p
}

// appendNumbers appends the column to dst.
func appendNumbers(dst []byte, numbers []uint64) []byte {
	if len(numbers) == 0 {
		return dst
	}
	p := planOf(numbers)
	dst = binary.AppendUvarint(append(dst, p.kind), p.base)
	switch p.kind {
	case numbersAlike:
		return dst
	case numbersVaried:
		return appendVaried(dst, numbers, p.base, p.varied)
	}
	return appendPacked(dst, numbers, p.base, p.width)
}

// appendVaried appends numbers less the base as varints, which take so many bytes.
func appendVaried(dst []byte, numbers []uint64, base uint64, bytes int) []byte {
	dst = slices.Grow(dst, bytes)
	at := len(dst)
	dst = dst[:at+bytes]
	for _, v := range numbers {
		for v -= base; v >= 0x80; v >>= 7 {
			dst[at] = byte(v) | 0x80
			at++
		}
		dst[at] = byte(v)
		at++
	}
	return dst
}

// appendPacked appends numbers less the base in w bits each.
func appendPacked(dst []byte, numbers []uint64, base uint64, w int) []byte {
	if w <= narrowBitsMax {
		eights := len(numbers) &^ 7
		dst = appendNarrow(dst, numbers[:eights], base, w)
		numbers = numbers[eights:]
	}
	return appendBits(dst, numbers, base, w)
}

// narrowBitsMax is the width of which four numbers make a word.
const narrowBitsMax = 16

// appendNarrow appends eight numbers at a time, which end where a byte ends: so no eight wait
// for those before.
func appendNarrow(dst []byte, numbers []uint64, base uint64, w int) []byte {
	const words = 16 // bytes that are written at once, of which w stay
	at := len(dst)
	dst = slices.Grow(dst, packedLen(len(numbers), w)+words)
	dst = dst[:cap(dst)]
	shift := uint(w) & 63
	for n := numbers; len(n) >= 8; n = n[8:] {
		low := (((n[3]-base)<<shift|(n[2]-base))<<shift|(n[1]-base))<<shift | (n[0] - base)
		high := (((n[7]-base)<<shift|(n[6]-base))<<shift|(n[5]-base))<<shift | (n[4] - base)
		out := dst[at : at+words]
		binary.LittleEndian.PutUint64(out, low|high<<(4*w))
		binary.LittleEndian.PutUint64(out[8:], high>>(64-4*w))
		at += w
	}
	return dst[:at]
}

// appendBits appends numbers of any width, one after another.
func appendBits(dst []byte, numbers []uint64, base uint64, w int) []byte {
	var word uint64
	filled := 0
	for _, v := range numbers {
		v -= base
		word |= v << filled
		if filled += w; filled >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, word)
			filled -= 64
			word = v >> (w - filled) // a shift by 64 or more gives 0
		}
	}
	for ; filled > 0; filled -= 8 {
		dst = append(dst, byte(word))
		word >>= 8
	}
	return dst
}

// readNumbers fills numbers from the reader, which fails on any form that appendNumbers does
// not write.
func readNumbers(r *codec.Reader, numbers []uint64) {
	if len(numbers) == 0 {
		return
	}
	kind, base := r.Uint8(), readUvarint(r)
	switch {
	case kind == numbersAlike:
		for i := range numbers {
			numbers[i] = base
		}
		return
	case kind == numbersVaried:
		at := r.Offset()
		r.Uvarints(numbers)
		short := 0
		for i := range numbers {
			short += varintLen(numbers[i])
			numbers[i] += base
		}
		if r.Err() == nil && r.Offset()-at != short {
			r.Fail("a number in more bytes than it takes")
		}
	case kind > 65:
		r.Fail("numbers of form %d", kind)
	default:
		width := int(kind) - 1
		packed := r.Bytes(packedLen(len(numbers), width))
		if r.Err() == nil && !unpack(numbers, packed, base, width) {
			r.Fail("bits behind the last number")
		}
	}
	if r.Err() != nil {
		return
	}
	if p := planOf(numbers); p.kind != kind || p.base != base {
		r.Fail("numbers of form %d and base %d in form %d and base %d", p.kind, p.base, kind, base)
	}
}

// unpack fills numbers with what appendPacked wrote, and tells whether zeros stand behind
// the last one.
func unpack(numbers []uint64, packed []byte, base uint64, w int) bool {
	mask := uint64(math.MaxUint64) >> (64 - w)
	var word uint64
	filled := 0
	for i := range numbers {
		if filled >= w {
			numbers[i] = word&mask + base
			word >>= w
			filled -= w
			continue
		}
		var next uint64
		if len(packed) >= 8 {
			next = binary.LittleEndian.Uint64(packed)
			packed = packed[8:]
		} else {
			for j, c := range packed {
				next |= uint64(c) << (8 * j)
			}
			packed = nil
		}
		numbers[i] = (word|next<<filled)&mask + base
		word = next >> (w - filled)
		filled += 64 - w
	}
	return word == 0
}

// readUvarint reads a varint in the fewest bytes that it takes.
func readUvarint(r *codec.Reader) uint64 {
	at := r.Offset()
	v := r.Uvarint()
	if r.Err() == nil && r.Offset()-at != varintLen(v) {
		r.Fail("the number %d in %d bytes", v, r.Offset()-at)
	}
	return v
}

// readCount reads a varint that counts things; what there cannot be is a failure.
func readCount(r *codec.Reader, most int) int {
	v := readUvarint(r)
	if v > uint64(max(most, 0)) {
		r.Fail("%d things where %d may be", v, most)
		return 0
	}
	return int(v)
}

// zigzag makes small numbers of those around 0, in wrapping arithmetic.
func zigzag(v uint64) uint64 { return v<<1 ^ uint64(int64(v)>>63) }

func unzigzag(v uint64) uint64 { return v>>1 ^ -(v & 1) }
