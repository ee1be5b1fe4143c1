package otlp

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Wire types of protobuf.
const (
	wireVarint     = 0
	wireFixed64    = 1
	wireBytes      = 2
	wireStartGroup = 3
	wireEndGroup   = 4
	wireFixed32    = 5
)

// fieldNumberMax is protobuf's own limit.
const fieldNumberMax = 1<<29 - 1

// wireError says what is wrong with a message and where, from the message's begin. Each
// caller up to the request adds where the message stands.
type wireError struct {
	offset int
	what   string
}

// within moves the error's offset from the message that f.data holds to the one that f
// reads.
func (e *wireError) within(f *fields) *wireError {
	e.offset += f.at - len(f.data)
	return e
}

// fields reads the fields of one message, front to back:
//
//	for f := (fields{b: message}); f.next(); {
//		switch f.tag { ... }
//	}
//
// followed by a look at f.err. It is a plain struct on the stack of each reader.
type fields struct {
	b     []byte
	at    int        // where the next field begins
	begin int        // where this field begins, with its tag
	tag   uint32     // field number << 3 | wire type, as in the canonical encoding
	num   uint64     // value of a varint or fixed field
	data  []byte     // value of a bytes field, a slice of b
	err   *wireError // why next gave false, nil at the message's end
}

// next reads one field; false at the end and at the first error.
func (f *fields) next() bool {
	b, at := f.b, f.at
	if at >= len(b) {
		return false
	}
	tag := uint64(b[at])
	if tag < 0x80 {
		at++
	} else if tag, at = varint(b, at); at < 0 {
		return f.fail("tag is not a varint")
	}
	if number := tag >> 3; number == 0 || number > fieldNumberMax {
		return f.fail("field number out of range")
	}
	f.begin, f.tag = f.at, uint32(tag)
	switch tag & 7 {
	case wireBytes:
		var n uint64
		if at < len(b) && b[at] < 0x80 { // varint by hand: it is too long to be inlined
			n = uint64(b[at])
			at++
		} else if n, at = longVarint(b, at); at < 0 {
			return f.fail("length is not a varint")
		}
		if n > uint64(len(b)-at) {
			return f.fail("length beyond the end")
		}
		f.data = b[at : at+int(n)]
		at += int(n)
	case wireVarint:
		if f.num, at = varint(b, at); at < 0 {
			return f.fail("value is not a varint")
		}
	case wireFixed64:
		if len(b)-at < 8 {
			return f.fail("fixed64 beyond the end")
		}
		f.num = binary.LittleEndian.Uint64(b[at:])
		at += 8
	case wireFixed32:
		if len(b)-at < 4 {
			return f.fail("fixed32 beyond the end")
		}
		f.num = uint64(binary.LittleEndian.Uint32(b[at:]))
		at += 4
	case wireStartGroup:
		var what string
		if at, what = skipGroup(b, at, uint32(tag>>3)); what != "" {
			return f.fail(what)
		}
	default:
		return f.fail("unexpected wire type")
	}
	f.at = at
	return true
}

// again reads one more field of the tag just read, of bytes, where that is what comes next and
// both tag and length take one byte; else it does nothing. Lists come as runs of such fields.
func (f *fields) again() bool {
	b, at := f.b, f.at
	if len(b)-at < 2 || uint32(b[at]) != f.tag || b[at+1] >= 0x80 || int(b[at+1]) > len(b)-at-2 {
		return false
	}
	f.begin, f.at = at, at+2+int(b[at+1])
	f.data = b[at+2 : f.at]
	return true
}

func (f *fields) fail(what string) bool {
	f.err = &wireError{f.at, what}
	return false
}

// appendRaw appends the field as it stands: what protobuf keeps of one unknown to it.
func (f *fields) appendRaw(dst []byte) []byte { return append(dst, f.b[f.begin:f.at]...) }

// varint reads the varint at b[at:]; next is negative where there is none of at most 64
// bits.
func varint(b []byte, at int) (v uint64, next int) {
	if at < len(b) && b[at] < 0x80 {
		return uint64(b[at]), at + 1
	}
	return longVarint(b, at)
}

func longVarint(b []byte, at int) (v uint64, next int) {
	if len(b)-at >= 2 && b[at] >= 0x80 && b[at+1] < 0x80 { // lengths up to 16 KiB
		return uint64(b[at]&0x7f) | uint64(b[at+1])<<7, at + 2
	}
	v, n := binary.Uvarint(b[at:])
	if n <= 0 {
		return 0, -1
	}
	return v, at + n
}

// skipGroup gives where the group ends whose start tag is before at, or what is wrong
// with it. Groups left OTLP's world long ago; in a message they are unknown fields that
// are kept raw. The stack of open groups is bounded.
func skipGroup(b []byte, at int, number uint32) (end int, what string) {
	open := []uint32{number}
	for len(open) > 0 {
		tag, next := varint(b, at)
		if next < 0 {
			return 0, "group without end"
		}
		number := tag >> 3
		if number == 0 || number > math.MaxInt32 {
			return 0, "field number out of range in a group"
		}
		switch tag & 7 {
		case wireVarint:
			_, next = varint(b, next)
		case wireFixed64:
			next += 8
		case wireFixed32:
			next += 4
		case wireBytes:
			var n uint64
			if n, next = varint(b, next); next >= 0 {
				next += int(min(n, uint64(len(b))+1))
			}
		case wireStartGroup:
			if len(open) >= DepthRefused {
				return 0, "groups nested too deep"
			}
			open = append(open, uint32(number))
		case wireEndGroup:
			if open[len(open)-1] != uint32(number) {
				return 0, "end of another group"
			}
			open = open[:len(open)-1]
		default:
			return 0, "unexpected wire type in a group"
		}
		if next < 0 || next > len(b) {
			return 0, "value beyond the end in a group"
		}
		at = next
	}
	return at, ""
}

func appendTag(dst []byte, tag uint32) []byte {
	return binary.AppendUvarint(dst, uint64(tag))
}

// appendBytes appends a bytes field.
func appendBytes(dst []byte, tag uint32, value []byte) []byte {
	dst = binary.AppendUvarint(appendTag(dst, tag), uint64(len(value)))
	return append(dst, value...)
}

// appendVarint appends a varint field, nothing for the value 0.
func appendVarint(dst []byte, tag uint32, value uint64) []byte {
	if value == 0 {
		return dst
	}
	return binary.AppendUvarint(appendTag(dst, tag), value)
}

// openMessage begins a message field whose length is not known yet; closeMessage ends
// it, given what openMessage returned.
func openMessage(dst []byte, tag uint32) (grown []byte, at int) {
	dst = append(appendTag(dst, tag), 0)
	return dst, len(dst)
}

// closeMessage writes the length of what stands from at on, moving it up where the one
// byte kept free is too short.
func closeMessage(dst []byte, at int) []byte {
	n := len(dst) - at
	if n < 0x80 {
		dst[at-1] = byte(n)
		return dst
	}
	var zeros [binary.MaxVarintLen64]byte
	more := varintBytes(uint64(n)) - 1
	dst = append(dst, zeros[:more]...)
	copy(dst[at+more:], dst[at:at+n])
	binary.PutUvarint(dst[at-1:], uint64(n))
	return dst
}

// varintBytes is the length of v as a varint.
func varintBytes(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }
