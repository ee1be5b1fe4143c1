// Package column turns the values of one column in one row group into a page and back:
// integers as mini-blocks of 128 values, each in the form that is the shortest for it, or in
// whole bytes under zstd where that is far smaller; text through a dictionary of the page where
// that pays; raw fixed-width ids. A page carries its checksum.
//
// The flow: a builder or a slice of values -> Pages.Append (what stands under zstd, the bytes in
// the file) -> OpenPage (checked payload) -> Decode... (all values), or OpenInts (some of them,
// and the rows between two bounds, by the zone maps of the mini-blocks). Everything is a plain
// function of its arguments, the bytes too: same values, same bytes. The package starts no
// goroutines.
package column

import (
	"encoding/binary"

	"github.com/stoadb/stoa/internal/codec"
)

// How a page's payload stands in the file; the numbers are stored.
const (
	formRaw   = 0
	formZstd  = 1
	formSplit = 2
)

// AppendPage appends the page of a payload:
//
//	crc     4  CRC-32C of all that follows, little endian
//	form    1  0 raw, 1 zstd, 2 split: the front of the payload under zstd, the rest raw
//	size    v  bytes of the payload under zstd, uvarint; only where form is 1 or 2
//	frame   v  bytes of the frame; only where form is 2
//	bytes      the payload, or the zstd frame, and after it the rest of the payload
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
	if err := CheckPage(page); err != nil {
		return nil, scratch, err
	}
	form, r := page[4], codec.NewReader(page[5:])
	if form == formRaw {
		return page[5:], scratch, nil
	}
	if form != formZstd && form != formSplit {
		return nil, scratch, codec.Corrupt("page form %d", form)
	}
	size, frame := r.Uvarint(), uint64(r.Len())
	if form == formSplit {
		frame = r.Uvarint()
	}
	if r.Err() != nil || size > PageBytesMax || frame > uint64(r.Len()) {
		return nil, scratch, codec.Corrupt("page content of %d bytes in %d", size, frame)
	}
	out, err := codec.DecodeZstd(scratch[:0], r.Bytes(int(frame)), int(size))
	if err != nil {
		return nil, scratch, err
	}
	out = append(out, r.Bytes(r.Len())...)
	return out, out, nil
}

// CheckPage compares a page with its checksum: good for one that is copied as it stands.
func CheckPage(page []byte) error {
	if len(page) < 5 {
		return codec.Corrupt("page of %d bytes", len(page))
	}
	if sum, want := codec.CRC(page[4:]), binary.LittleEndian.Uint32(page); sum != want {
		return codec.Corrupt("page checksum %08x, %08x expected", sum, want)
	}
	return nil
}

// PayloadBytes is how large the payload of a page of so many bytes says to be, unchecked: good for a first
// guess at memory, which OpenPage's answer corrects. It looks at the first SizedBytes bytes of the page.
func PayloadBytes(head []byte, pageBytes int) int {
	if len(head) < 5 {
		return 0
	}
	if head[4] == formRaw {
		return pageBytes - 5
	}
	r := codec.NewReader(head[5:])
	size, rest := r.Uvarint(), 0
	if head[4] == formSplit {
		frame := r.Uvarint()
		if left := pageBytes - 5 - r.Offset(); r.Err() == nil && left > 0 && frame <= uint64(left) {
			rest = left - int(frame)
		}
	}
	return int(min(size, PageBytesMax)) + rest
}

// SizedBytes are the checksum, the form and the two sizes of a page at most.
const SizedBytes = 5 + 2*binary.MaxVarintLen64
