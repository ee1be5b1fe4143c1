// Package column turns the values of one column in one row group into a page and back:
// integers as a constant, byte planes above a minimum, varints or deltas; text through a
// dictionary of the page where that pays; raw fixed-width ids. A page carries its
// checksum, and stands compressed where that makes it smaller.
//
// The flow: a builder or a slice of values -> Append... (the payload) -> AppendPage (the
// bytes in the file) -> OpenPage (checked payload) -> Decode... (values). Everything is a
// plain function of its arguments, the bytes too: same values, same bytes. The package
// starts no goroutines.
package column

import (
	"encoding/binary"

	"github.com/stoadb/stoa/internal/codec"
)

// How a page's payload stands in the file; the numbers are stored.
const (
	formRaw  = 0
	formZstd = 1
)

// AppendPage appends the page of a payload:
//
//	crc     4  CRC-32C of all that follows, little endian
//	form    1  0 raw, 1 zstd
//	size    v  bytes of the payload, uvarint; only where form is 1
//	bytes      the payload, or its zstd frame
//
// compress false says that the payload is known not to shrink (random ids).
func AppendPage(dst, payload []byte, compress bool) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, formZstd)
	packed := false
	if compress && len(payload) >= compressBytesMin {
		dst = binary.AppendUvarint(dst, uint64(len(payload)))
		dst = codec.AppendZstd(dst, payload)
		packed = len(dst)-start < len(payload)+5
	}
	if !packed {
		dst = append(dst[:start+4], formRaw)
		dst = append(dst, payload...)
	}
	binary.LittleEndian.PutUint32(dst[start:], codec.CRC(dst[start+4:]))
	return dst
}

// OpenPage checks a page and gives its payload: a slice of page, or of scratch grown as
// needed. The second result is scratch for the next call, once the payload is done with.
func OpenPage(page, scratch []byte) (payload, nextScratch []byte, err error) {
	if len(page) < 5 {
		return nil, scratch, codec.Corrupt("page of %d bytes", len(page))
	}
	if sum, want := codec.CRC(page[4:]), binary.LittleEndian.Uint32(page); sum != want {
		return nil, scratch, codec.Corrupt("page checksum %08x, %08x expected", sum, want)
	}
	switch page[4] {
	case formRaw:
		return page[5:], scratch, nil
	case formZstd:
		r := codec.NewReader(page[5:])
		size := r.Uvarint()
		if r.Err() != nil || size > PageBytesMax {
			return nil, scratch, codec.Corrupt("page content of %d bytes", size)
		}
		out, err := codec.DecodeZstd(scratch[:0], page[5+r.Offset():], int(size))
		if err != nil {
			return nil, scratch, err
		}
		return out, out, nil
	default:
		return nil, scratch, codec.Corrupt("page form %d", page[4])
	}
}

// PayloadBytes is how large the payload of a page says to be, unchecked: good for a first
// guess at memory, which OpenPage's answer corrects.
func PayloadBytes(page []byte) int {
	if len(page) < 5 {
		return 0
	}
	if page[4] != formZstd {
		return len(page) - 5
	}
	size, _ := binary.Uvarint(page[5:])
	return int(min(size, PageBytesMax))
}
