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
	intsBlocks   = 4 // mini-blocks of 128 values, see blocks.go
	intsZstd     = 5 // bytes uvarint, frame bytes uvarint; a zstd frame of one of the forms 1 to 3
)

// AppendInts appends one form byte and the values in whichever form is the shortest, but
// mini-blocks where they cost up to an eighth more: they alone are read in part. Signed values
// and IEEE bits come as their 64 bits: all arithmetic wraps. No values: no bytes.
func AppendInts(dst []byte, values []uint64) []byte {
	if len(values) == 0 {
		return dst
	}
	return appendInts(dst, values, planBytes(values))
}

func appendInts(dst []byte, values []uint64, bytewise bytesPlan) []byte {
	if bytewise.form == intsConstant {
		return bytewise.append(dst, values)
	}
	var room [groupBlocks]blockPlan
	plans, size := planBlocks(room[:0], values)
	if bytewise.bytes+bytewise.bytes/blocksShare < size {
		return bytewise.append(dst, values)
	}
	return appendBlocks(dst, values, plans)
}

// AppendBytewise is AppendInts for a payload that zstd goes over: whole bytes, no bits, so
// that equal values look equal.
func AppendBytewise(dst []byte, values []uint64) []byte {
	if len(values) == 0 {
		return dst
	}
	return planBytes(values).append(dst, values)
}

// appendLighter is AppendInts, unless zstd over whole bytes saves more than a third of that:
// codes and lengths of texts repeat from trace to trace.
func (p *Pages) appendLighter(dst []byte, values []uint64) []byte {
	plan, at := planBytes(values), len(dst)
	dst = appendInts(dst, values, plan)
	light := len(dst) - at
	if light <= lightBytesMax {
		return dst
	}
	bytewise, ok := p.tryZstd(values, plan, light)
	if !ok {
		return dst
	}
	dst = binary.AppendUvarint(append(dst[:at], intsZstd), uint64(bytewise))
	return codec.AppendLengthBytes(dst, p.trial[bytewise:])
}

// openZstd gives the integers in whole bytes that a frame holds, after the form byte.
func openZstd(r *codec.Reader, n int) (inner *codec.Reader) {
	size, frame := r.Uvarint(), r.LengthBytes()
	if r.Err() == nil && size > uint64(n)*binary.MaxVarintLen64+binary.MaxVarintLen64+2 {
		r.Fail("%d integers in %d bytes", n, size)
	}
	if r.Err() != nil {
		return nil
	}
	content, err := codec.DecodeZstd(nil, frame, int(size))
	if err == nil && len(content) > 0 && content[0] >= intsBlocks {
		err = codec.Corrupt("integer form %d in a frame", content[0])
	}
	if err != nil {
		r.Fail("integers: %v", err)
		return nil
	}
	return codec.NewReader(content)
}

// whole fails r where the content of a frame is wrong, or has more than its integers.
func whole(r, inner *codec.Reader) {
	if inner.Err() != nil {
		r.Fail("integers in a frame: %v", inner.Err())
	} else if inner.Len() > 0 {
		r.Fail("%d bytes after the integers of a frame", inner.Len())
	}
}

// bytesPlan is the shortest of the forms in whole bytes.
type bytesPlan struct {
	low   uint64
	bytes int
	width int
	form  byte
}

func planBytes(values []uint64) bytesPlan {
	low, high := values[0], values[0]
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	width := wideOf(high - low)
	if width == 0 {
		return bytesPlan{low: low, bytes: 1 + varintBytes(low), form: intsConstant}
	}
	planesBytes := width * len(values)
	if width == 1 { // no varint is shorter
		return bytesPlan{low, 2 + varintBytes(low) + planesBytes, width, intsPlanes}
	}
	varBytes, deltaBytes := 0, 0
	previous := values[0]
	for _, v := range values {
		varBytes += varintBytes(v - low)
		deltaBytes += varintBytes(zigzag(v - previous))
		previous = v
	}
	switch {
	case planesBytes <= varBytes && planesBytes <= deltaBytes:
		return bytesPlan{low, 2 + varintBytes(low) + planesBytes, width, intsPlanes}
	case varBytes <= deltaBytes:
		return bytesPlan{low: low, bytes: 1 + varintBytes(low) + varBytes, form: intsVarint}
	default:
		return bytesPlan{low: values[0], bytes: varintBytes(values[0]) + deltaBytes, form: intsDelta} // the first difference is 0, and left out
	}
}

func (p bytesPlan) append(dst []byte, values []uint64) []byte {
	dst = append(dst, p.form)
	if p.form == intsPlanes {
		dst = append(dst, byte(p.width))
	}
	dst = binary.AppendUvarint(dst, p.low)
	switch p.form {
	case intsPlanes:
		for shift := 0; shift < p.width*8; shift += 8 {
			for _, v := range values {
				dst = append(dst, byte((v-p.low)>>shift))
			}
		}
	case intsVarint:
		for _, v := range values {
			dst = binary.AppendUvarint(dst, v-p.low)
		}
	case intsDelta:
		previous := values[0]
		for _, v := range values[1:] {
			dst = binary.AppendUvarint(dst, zigzag(v-previous))
			previous = v
		}
	}
	return dst
}

func zigzag(delta uint64) uint64 { return delta<<1 ^ uint64(int64(delta)>>63) }

func unzigzag(v uint64) uint64 { return v>>1 ^ -(v & 1) }

// varintBytes is a seventh of the bits, rounded up: 9/64 comes to the same up to 64 bits.
func varintBytes(v uint64) int { return int(uint(bits.Len64(v|1))*9+64) / 64 }

// DecodeInts appends n values read from r to dst. n comes from elsewhere in the file: the
// caller bounds it. Trouble stands in r.Err.
func DecodeInts(dst []uint64, r *codec.Reader, n int) []uint64 {
	if n == 0 {
		return dst
	}
	form := r.Uint8()
	switch form {
	case intsBlocks:
		return decodeBlocks(dst, r, n)
	case intsZstd:
		if inner := openZstd(r, n); inner != nil {
			dst = DecodeInts(dst, inner, n)
			whole(r, inner)
		}
		return dst
	}
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
