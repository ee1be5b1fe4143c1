package codec

import (
	"bytes"
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

	// WrittenWindowBytesMax is the window of what AppendZstd writes.
	WrittenWindowBytesMax = 1 << 20
)

// What a decoder holds beside the window.
const (
	// zstdBlocksHeld blocks: two behind the window, one as it came, its literals, one that is
	// asked for and not used, and one for what rounds the others up.
	zstdBlocksHeld = 6

	// zstdTablesBytes is for the tables of symbols, and the decoder itself.
	zstdTablesBytes = 64 << 10

	// zstdSequencesBytes is for the list of a block's sequences, which is made on some
	// processors where the window is zstdSequencesWindow or larger: 24 bytes for each of those
	// that make 128 KiB out of 3 bytes each.
	zstdSequencesBytes  = 1 << 20
	zstdSequencesWindow = 1 << 20

	// zstdHeaderBytesMax is the longest header of a frame, with the magic number.
	zstdHeaderBytesMax = 18
)

// NewZstdReader reads the content of a zstd stream of any length whose window is at
// most windowBytesMax. Wrong bytes show as ErrCorrupt from Read, an error of r as it is.
// Close lets go of the memory; it leaves r open.
func NewZstdReader(r io.Reader, windowBytesMax uint64) (io.ReadCloser, error) {
	return newZstdStream(&zstdSource{r: r}, windowBytesMax)
}

// NewZstdMessage is NewZstdReader with MessageWindowBytesMax, for messages from strangers: as soon
// as the first frame's header has come it asks take for all that reading may hold at once, and fails as take does
// before anything of it is taken. Frames behind the first may not have a larger window.
func NewZstdMessage(r io.Reader, take func(bytes int64) error) (io.ReadCloser, error) {
	source := &zstdSource{r: r}
	head := make([]byte, zstdHeaderBytesMax)
	n, _ := io.ReadFull(source, head) // less than that may be a whole frame
	if source.err != nil {
		return nil, source.err
	}
	window, err := zstdWindow(head[:n])
	if err == nil {
		err = take(zstdHeldBytes(window))
	}
	if err != nil {
		return nil, err
	}
	source.r = io.MultiReader(bytes.NewReader(head[:n]), r)
	return newZstdStream(source, window)
}

// zstdWindow gives the window of the frame that begins with head, or the largest where that is
// to be skipped: what comes behind it is not known yet.
func zstdWindow(head []byte) (uint64, error) {
	if len(head) == 0 {
		return zstd.MinWindowSize, nil // nothing packed is nothing
	}
	var header zstd.Header
	if err := header.Decode(head); err != nil {
		return 0, Corrupt("zstd stream: %v", err)
	}
	window := header.WindowSize
	switch {
	case header.Skippable:
		return MessageWindowBytesMax, nil
	case header.SingleSegment:
		window = max(header.FrameContentSize, zstd.MinWindowSize)
	}
	if window > MessageWindowBytesMax {
		return 0, Corrupt("zstd stream: a window of %d bytes, at most %d", window, MessageWindowBytesMax)
	}
	return window, nil
}

// zstdHeldBytes is the most that reading frames with this window holds at once.
func zstdHeldBytes(window uint64) int64 {
	held := window + zstdBlocksHeld*min(window, zstdContentBytesMax) + zstdTablesBytes
	if window >= zstdSequencesWindow {
		held += zstdSequencesBytes
	}
	return int64(held)
}

func newZstdStream(source *zstdSource, windowBytesMax uint64) (io.ReadCloser, error) {
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
