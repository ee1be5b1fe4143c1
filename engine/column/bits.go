package column

import (
	"encoding/binary"
	"math/bits"
)

// blockRows is how many values a mini-block holds: two lanes of 64, so that a lane takes
// whole 64-bit words at every width.
const blockRows = 128

// A full mini-block of width w stands in two lanes: value i is number i/2 of lane i%2, a lane
// is its values' bits from the lowest up in w words of 64 bits, and the words of the lanes
// take turns: word k of lane j is word 2k+j of the block, little endian. So one 128-bit load
// brings the next bits of both lanes, and a scalar loop reads the same bytes.
//
// Fewer values than that (the end of a column, a local dictionary, the values of runs) are
// one lane, cut after the last byte: 16-byte steps would cost more than they hold.

// packedBytes is what n values of a width take.
func packedBytes(n int, width uint) int {
	if n == blockRows {
		return 16 * int(width)
	}
	return (n*int(width) + 7) / 8
}

func mask(width uint) uint64 {
	if width == 0 {
		return 0
	}
	return ^uint64(0) >> (64 - width)
}

// appendPacked appends the low width bits of the values.
func appendPacked(dst []byte, values []uint64, width uint) []byte {
	if width == 0 {
		return dst
	}
	if len(values) == blockRows {
		return appendLanes(dst, (*[blockRows]uint64)(values), width)
	}
	word, used := uint64(0), uint(0)
	for _, v := range values {
		word |= v << used
		if used += width; used >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, word)
			used -= 64
			word = v >> (width - used) // a shift by 64 gives 0
		}
	}
	for ; used > 0; used -= min(used, 8) {
		dst = append(dst, byte(word))
		word >>= 8
	}
	return dst
}

func appendLanes(dst []byte, values *[blockRows]uint64, width uint) []byte {
	even, odd, used := uint64(0), uint64(0), uint(0)
	for i := 0; i < blockRows; i += 2 {
		even |= values[i] << used
		odd |= values[i+1] << used
		if used += width; used >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, even)
			dst = binary.LittleEndian.AppendUint64(dst, odd)
			used -= 64
			even, odd = values[i]>>(width-used), values[i+1]>>(width-used)
		}
	}
	return dst
}

// unpack fills dst with base + packed value; data holds packedBytes(len(dst), width) bytes.
func unpack(dst []uint64, data []byte, width uint, base uint64) {
	switch {
	case width == 0:
		for i := range dst {
			dst[i] = base
		}
	case len(dst) == blockRows:
		unpackLanes((*[blockRows]uint64)(dst), data[:16*width], width, base)
	default:
		for i := range dst {
			dst[i] = base + packedAt(data, len(dst), i, width)
		}
	}
}

// unpackLanesScalar goes through both lanes at once. Everything the loop touches stays in
// registers; the branch is taken in a pattern of the width, which processors learn.
func unpackLanesScalar(dst *[blockRows]uint64, data []byte, width uint, base uint64) {
	keep := mask(width)
	even, odd := binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[8:])
	data = data[16:]
	used := uint(0)
	for i := 0; i < blockRows; i += 2 {
		a, b := even>>(used&63), odd>>(used&63)
		if used += width; used >= 64 {
			used -= 64
			if len(data) >= 16 {
				even, odd = binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[8:])
				data = data[16:]
				a |= even << (width - used) // a shift by 64 gives 0
				b |= odd << (width - used)
			}
		}
		dst[i] = base + a&keep
		dst[i+1] = base + b&keep
	}
}

// packedAt gives value i of n.
func packedAt(data []byte, n, i int, width uint) uint64 {
	if width == 0 {
		return 0
	}
	if n == blockRows {
		bit := uint(i/2) * width
		at := int(bit/64)*16 + i%2*8
		v := binary.LittleEndian.Uint64(data[at:]) >> (bit % 64)
		if bit%64+width > 64 {
			v |= binary.LittleEndian.Uint64(data[at+16:]) << (64 - bit%64)
		}
		return v & mask(width)
	}
	bit := uint(i) * width
	at := int(bit / 8)
	if at+8 <= len(data) {
		v := binary.LittleEndian.Uint64(data[at:]) >> (bit % 8)
		if bit%8+width > 64 {
			v |= uint64(data[at+8]) << (64 - bit%8)
		}
		return v & mask(width)
	}
	v := uint64(0)
	for k := at; k < len(data); k++ { // at most 7 bytes
		v |= uint64(data[k]) << (8 * (k - at))
	}
	return v >> (bit % 8) & mask(width)
}

func widthOf(v uint64) uint { return uint(bits.Len64(v)) }
