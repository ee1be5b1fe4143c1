package column

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/stoadb/stoa/internal/codec"
)

// How integers stand; the numbers are stored.
const (
	intsConstant = 0 // the value, uvarint
	intsPlanes   = 1 // width, minimum uvarint; all lowest bytes of (value - minimum), then all second ones, ...
	intsVarint   = 2 // minimum uvarint; value - minimum, uvarints
	intsDelta    = 3 // first uvarint; differences, zigzag varints
)

// AppendInts appends one form byte and the values in whichever form is the shortest. Signed
// values and IEEE bits come as their 64 bits: all arithmetic wraps. No values: no bytes.
func AppendInts(dst []byte, values []uint64) []byte {
	if len(values) == 0 {
		return dst
	}
	low, high := values[0], values[0]
	deltaBytes := 0
	previous := values[0]
	for _, v := range values {
		low, high = min(low, v), max(high, v)
		deltaBytes += varintBytes(zigzag(v - previous))
		previous = v
	}
	if low == high {
		return binary.AppendUvarint(append(dst, intsConstant), low)
	}
	varBytes := 0
	for _, v := range values {
		varBytes += varintBytes(v - low)
	}
	width := (bits.Len64(high-low) + 7) / 8
	planesBytes := width * len(values)
	switch {
	case planesBytes <= varBytes && planesBytes <= deltaBytes:
		dst = binary.AppendUvarint(append(dst, intsPlanes, byte(width)), low)
		for shift := 0; shift < width*8; shift += 8 {
			for _, v := range values {
				dst = append(dst, byte((v-low)>>shift))
			}
		}
	case varBytes <= deltaBytes:
		dst = binary.AppendUvarint(append(dst, intsVarint), low)
		for _, v := range values {
			dst = binary.AppendUvarint(dst, v-low)
		}
	default:
		dst = binary.AppendUvarint(append(dst, intsDelta), values[0])
		previous = values[0]
		for _, v := range values[1:] {
			dst = binary.AppendUvarint(dst, zigzag(v-previous))
			previous = v
		}
	}
	return dst
}

func zigzag(delta uint64) uint64 { return delta<<1 ^ uint64(int64(delta)>>63) }

func unzigzag(v uint64) uint64 { return v>>1 ^ -(v & 1) }

func varintBytes(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// DecodeInts appends n values read from r to dst. n comes from elsewhere in the file: the
// caller bounds it. Trouble stands in r.Err.
func DecodeInts(dst []uint64, r *codec.Reader, n int) []uint64 {
	if n == 0 {
		return dst
	}
	form := r.Uint8()
	width := 1 // bytes a value takes at least
	switch form {
	case intsConstant:
		width = 0
	case intsPlanes:
		if width = int(r.Uint8()); width < 1 || width > 8 {
			r.Fail("integers of %d bytes", width)
		}
	case intsVarint, intsDelta:
	default:
		r.Fail("integer form %d", form)
	}
	v := r.Uvarint() // the constant, the minimum, or the first value
	least := n
	if form == intsDelta {
		least = n - 1
	}
	if r.Err() == nil && width > 0 && least > r.Len()/width {
		r.Fail("%d integers in %d bytes", n, r.Len())
	}
	if r.Err() != nil {
		return dst
	}
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]
	values := dst[at:]
	switch form {
	case intsConstant:
		for i := range values {
			values[i] = v
		}
	case intsPlanes:
		decodePlanes(values, r.Bytes(n*width), v)
	case intsVarint:
		r.Uvarints(values)
		for i := range values {
			values[i] += v
		}
	default:
		values[0] = v
		r.Uvarints(values[1:])
		for i, delta := range values[1:] {
			v += unzigzag(delta)
			values[1+i] = v
		}
	}
	return dst
}

// decodePlanes is a plain loop a plane: the compiler keeps everything in registers.
func decodePlanes(values []uint64, planes []byte, low uint64) {
	for i, c := range planes[:len(values)] {
		values[i] = low + uint64(c)
	}
	shift := 0
	for planes = planes[len(values):]; len(planes) >= len(values); planes = planes[len(values):] {
		shift += 8
		for i, c := range planes[:len(values)] {
			values[i] += uint64(c) << shift
		}
	}
}
