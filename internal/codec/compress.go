package codec

import (
	"bytes"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/stoadb/stoa/internal/invariant"
)

// The coders are stateless for EncodeAll and DecodeAll and safe for concurrent use. The
// concurrency is how many calls run at once: each is done by one goroutine, so the output
// is a function of the input alone.
var (
	zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderCRC(false), zstd.WithWindowSize(WrittenWindowBytesMax), zstd.WithLowerEncoderMem(true))
		invariant.Check(err == nil, "constant options: %v", err)
		return e
	})
	zstdTextEncoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderCRC(false), zstd.WithWindowSize(WrittenWindowBytesMax), zstd.WithLowerEncoderMem(true),
			zstd.WithAllLitEntropyCompression(true))
		invariant.Check(err == nil, "constant options: %v", err)
		return e
	})
	zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(expandedBytesMax), zstd.WithDecodeAllCapLimit(true))
		invariant.Check(err == nil, "constant options: %v", err)
		return d
	})
)

// expandedBytesMax bounds what one compressed block may expand to: a request is at
// most 64 MiB, a page far less.
const expandedBytesMax = 256 << 20

// A block of a zstd frame takes at least 4 bytes, and holds at most 128 KiB.
const (
	zstdBlockBytesMin   = 4
	zstdContentBytesMax = 128 << 10
)

// zstdSpareBytes is room behind the content: the decoder copies in steps of 16 bytes where
// it may write beyond the end, and byte by byte where it may not.
const zstdSpareBytes = 32

// AppendZstd appends src as one zstd frame to dst.
func AppendZstd(dst, src []byte) []byte { return zstdEncoder().EncodeAll(src, dst) }

// AppendZstdText is AppendZstd for text: where nothing repeats, its letters still take
// fewer bits than 8. That costs time which integers and ids would not earn.
func AppendZstdText(dst, src []byte) []byte { return zstdTextEncoder().EncodeAll(src, dst) }

// DecodeZstd appends the content of the zstd frame src to dst. size is what the caller
// expects; more or less is ErrCorrupt. It allocates no more than size, and that only where
// a frame as long as src can hold so much.
func DecodeZstd(dst, src []byte, size int) ([]byte, error) {
	if size < 0 || size > expandedBytesMax || size > (len(src)/zstdBlockBytesMin+1)*zstdContentBytesMax {
		return dst, Corrupt("zstd content of %d bytes in %d", size, len(src))
	}
	before := len(dst)
	dst = slices.Grow(dst, size+zstdSpareBytes)
	out, err := zstdDecoder().DecodeAll(src, dst[:before:before+size+zstdSpareBytes])
	if err != nil {
		return dst, Corrupt("zstd: %v", err)
	}
	if len(out)-before != size {
		return dst, Corrupt("zstd content is %d bytes, %d expected", len(out)-before, size)
	}
	return dst[:before+size], nil
}

// AppendS2 appends src as one S2 block to dst. Its bytes may differ between builds:
// for the log and for memory, never in a segment.
func AppendS2(dst, src []byte) []byte {
	n, at := s2.MaxEncodedLen(len(src)), len(dst)
	dst = slices.Grow(dst, n)
	return dst[:at+len(s2.Encode(dst[at:at+n], src))]
}

// S2BytesMax is how many bytes AppendS2 may need for n of content.
func S2BytesMax(n int) int { return s2.MaxEncodedLen(n) }

// S2ContentBytes is how many bytes of content an S2 block says that it has.
func S2ContentBytes(block []byte) (int, error) {
	n, err := s2.DecodedLen(block)
	if err != nil || n > expandedBytesMax {
		return 0, Corrupt("S2 block: length %d: %v", n, err)
	}
	return n, nil
}

// DecodeS2 appends the content of the S2 block src to dst.
func DecodeS2(dst, src []byte) ([]byte, error) {
	n, err := S2ContentBytes(src)
	if err != nil {
		return dst, err
	}
	at := len(dst)
	dst = slices.Grow(dst, n)
	if _, err := s2.Decode(dst[at:at+n], src); err != nil {
		return dst[:at], Corrupt("S2 block: %v", err)
	}
	return dst[:at+n], nil
}

// DecodeZstdPart appends bytes [from, to) of the content of the zstd frame src to dst, and
// unpacks no more than what stands before their end. The content has size bytes, from 256
// (the frame of less may not say how much it is) to PartContentBytesMax: a frame that says
// something else is ErrCorrupt. What stands behind the part is not looked at, nor is a checksum
// of the frame: whoever may get other bytes than were written checks them before.
func DecodeZstdPart(dst, src []byte, size, from, to int) ([]byte, error) {
	var header zstd.Header
	if err := header.Decode(src); err != nil {
		return dst, Corrupt("zstd: %v", err)
	}
	if !header.HasFCS || header.FrameContentSize != uint64(size) || size > PartContentBytesMax || from < 0 || from > to || to > size {
		return dst, Corrupt("zstd content of %d bytes, expected %d with part [%d, %d)", header.FrameContentSize, size, from, to)
	}
	d := partDecoders.Get().(*partDecoder)
	defer d.done()
	d.source.Reset(src)
	if err := d.Reset(&d.source); err != nil {
		return dst, Corrupt("zstd: %v", err)
	}
	for skipped := 0; skipped < from; {
		n, err := d.Read(d.skipped[:min(len(d.skipped), from-skipped)])
		if skipped += n; err != nil && skipped < from {
			return dst, Corrupt("zstd content: %v after %d of %d bytes", err, skipped, size)
		}
	}
	before := len(dst)
	dst = slices.Grow(dst, to-from)[:before+to-from]
	if n, err := io.ReadFull(d, dst[before:]); err != nil {
		return dst[:before], Corrupt("zstd content: %v after %d of %d bytes", err, from+n, size)
	}
	return dst, nil
}

// PartContentBytesMax bounds the content that is read in part: its decoder remembers that
// much.
const PartContentBytesMax = 8 << 20

// partDecoder unpacks front to back, on the caller's goroutine.
type partDecoder struct {
	*zstd.Decoder
	source  bytes.Reader
	skipped [32 << 10]byte
}

// done keeps the decoder for the next part, and not what it read from.
func (d *partDecoder) done() {
	d.source.Reset(nil)
	partDecoders.Put(d)
}

var partDecoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(PartContentBytesMax))
	invariant.Check(err == nil, "constant options: %v", err)
	return &partDecoder{Decoder: d}
}}
