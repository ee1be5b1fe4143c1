package codec

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/xxh3"
)

// What a zstd stream may ask for as its window, and so the memory that reading it takes.
const (
	// FileWindowBytesMax is for files that somebody chose to give us: what zstd's own
	// highest ordinary level uses.
	FileWindowBytesMax = 128 << 20

	// MessageWindowBytesMax is for messages from strangers, where a few bytes of input
	// could make us take that much: what writers use by default.
	MessageWindowBytesMax = 8 << 20
)

// NewZstdReader reads the content of a zstd stream of any length whose window is at
// most windowBytesMax. Wrong bytes show as ErrCorrupt from Read, an error of r as it is.
// Close lets go of the memory; it leaves r open.
func NewZstdReader(r io.Reader, windowBytesMax uint64) (io.ReadCloser, error) {
	source := &zstdSource{r: r}
	d, err := zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(windowBytesMax))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return zstdStream{d, source}, nil
}

// zstdSource remembers why the source failed: the decoder takes some of its errors for
// the end of the stream.
type zstdSource struct {
	r   io.Reader
	err error
}

func (s *zstdSource) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

type zstdStream struct {
	decoder *zstd.Decoder
	source  *zstdSource
}

func (s zstdStream) Read(p []byte) (int, error) {
	n, err := s.decoder.Read(p)
	switch {
	case err == nil:
		return n, nil
	case s.source.err != nil:
		return n, s.source.err
	case err == io.EOF:
		return n, io.EOF
	default:
		return n, Corrupt("zstd stream: %v", err)
	}
}

func (s zstdStream) Close() error {
	s.decoder.Close()
	return nil
}

// NewZstdWriter writes a zstd stream of files that are read once, from their beginning,
// and kept: stronger than AppendZstd, with a window of 8 MiB. Close ends the stream; it
// leaves w open. What is written is a function of what comes in alone.
func NewZstdWriter(w io.Writer) (io.WriteCloser, error) {
	e, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(MessageWindowBytesMax))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return e, nil
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
