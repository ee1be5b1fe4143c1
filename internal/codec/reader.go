package codec

import "encoding/binary"

// Reader reads a format front to back with every bound checked. The first failure
// sticks: all later reads return zero values and Err tells what and where. The zero
// Reader is empty.
type Reader struct {
	data []byte
	at   int
	err  error
}

// NewReader reads b, which it does not copy.
func NewReader(b []byte) *Reader { return &Reader{data: b} }

// Err is the first failure, nil while all went well.
func (r *Reader) Err() error { return r.err }

// Offset is the position of the next byte.
func (r *Reader) Offset() int { return r.at }

// Len is the number of bytes left.
func (r *Reader) Len() int { return len(r.data) - r.at }

// Fail records a failure found by the caller at the current position.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = Corrupt(format, args...)
	}
	r.at = len(r.data)
}

// Uvarint reads an unsigned varint; most are one byte.
func (r *Reader) Uvarint() uint64 {
	if r.at < len(r.data) && r.data[r.at] < 0x80 {
		r.at++
		return uint64(r.data[r.at-1])
	}
	return r.longUvarint()
}

func (r *Reader) longUvarint() uint64 {
	v, n := binary.Uvarint(r.data[r.at:])
	if n <= 0 {
		r.Fail("varint at %d", r.at)
		return 0
	}
	r.at += n
	return v
}

// Uvarints fills dst with unsigned varints: one loop, as columns hold thousands.
func (r *Reader) Uvarints(dst []uint64) {
	data, at := r.data, r.at
	for i := range dst {
		if at < len(data) && data[at] < 0x80 {
			dst[i] = uint64(data[at])
			at++
			continue
		}
		if at+1 < len(data) && data[at+1] < 0x80 {
			dst[i] = uint64(data[at]&0x7f) | uint64(data[at+1])<<7
			at += 2
			continue
		}
		value, n := binary.Uvarint(data[at:])
		if n <= 0 {
			r.Fail("varint at %d", at)
			return
		}
		dst[i] = value
		at += n
	}
	r.at = at
}

// Varint reads a zigzag varint.
func (r *Reader) Varint() int64 {
	u := r.Uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// Count reads a varint that counts things of at least minBytes each still to come: a
// corrupt count cannot make the caller allocate more than the input could fill.
func (r *Reader) Count(minBytes int) int {
	v := r.Uvarint()
	if v > uint64(r.Len()/max(minBytes, 1)) {
		r.Fail("count %d with %d bytes left", v, r.Len())
		return 0
	}
	return int(v)
}

// Bytes reads n bytes, as a slice of the input.
func (r *Reader) Bytes(n int) []byte {
	if n < 0 || n > r.Len() {
		r.Fail("%d bytes wanted at %d, %d left", n, r.at, r.Len())
		return nil
	}
	b := r.data[r.at : r.at+n : r.at+n]
	r.at += n
	return b
}

// LengthBytes reads a varint length and that many bytes.
func (r *Reader) LengthBytes() []byte { return r.Bytes(r.Count(1)) }

// Uint8 reads one byte.
func (r *Reader) Uint8() uint8 {
	if b := r.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint32 reads four bytes, little endian.
func (r *Reader) Uint32() uint32 {
	if b := r.Bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// Uint64 reads eight bytes, little endian.
func (r *Reader) Uint64() uint64 {
	if b := r.Bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// AppendLengthBytes appends a varint length and b: what LengthBytes reads.
func AppendLengthBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}
