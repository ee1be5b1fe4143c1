package codec

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/xxh3"
)

// streamWindowBytesMax bounds the window a zstd stream may ask for, and so the memory
// that reading it takes: 128 MiB is what zstd's own highest ordinary level uses.
const streamWindowBytesMax = 128 << 20

// NewZstdReader reads the content of a zstd stream of any length. Wrong bytes show as
// ErrCorrupt from Read. Close lets go of the memory; it leaves r open.
func NewZstdReader(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(streamWindowBytesMax))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return zstdStream{d}, nil
}

type zstdStream struct{ decoder *zstd.Decoder }

func (s zstdStream) Read(p []byte) (int, error) {
	n, err := s.decoder.Read(p)
	if err != nil && err != io.EOF {
		err = Corrupt("zstd stream: %v", err)
	}
	return n, err
}

func (s zstdStream) Close() error {
	s.decoder.Close()
	return nil
}

// HashReader is HashBytes of all that r holds.
func HashReader(r io.Reader) (Hash, error) {
	hasher := xxh3.New()
	if _, err := io.Copy(hasher, r); err != nil {
		return Hash{}, err
	}
	u := hasher.Sum128()
	var h Hash
	binary.BigEndian.PutUint64(h[:8], u.Hi)
	binary.BigEndian.PutUint64(h[8:], u.Lo)
	return h, nil
}
