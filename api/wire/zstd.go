package wire

import (
	"bytes"
	"io"

	"google.golang.org/grpc/encoding"

	"github.com/stoadb/stoa/internal/codec"
)

// grpc keeps compressors in a table of the process, to be filled while it starts.
func init() { encoding.RegisterCompressor(zstdCompressor{}) }

// zstdCompressor lets writers send zstd, as the OpenTelemetry Collector can.
type zstdCompressor struct{}

func (zstdCompressor) Name() string { return "zstd" }

// Measured is a compression whose reading tells what it holds in memory, beside what comes out.
type Measured interface {
	encoding.Compressor
	// DecompressMeasured reads a message while it arrives. Before it takes memory it asks take,
	// once, for as many bytes as it may hold, and fails as take does.
	DecompressMeasured(r io.Reader, take func(bytes int64) error) (io.Reader, error)
}

var _ Measured = zstdCompressor{}

// DecompressMeasured implements Measured; the reader wants to be closed.
func (zstdCompressor) DecompressMeasured(r io.Reader, take func(bytes int64) error) (io.Reader, error) {
	return codec.NewZstdMessage(r, take)
}

// Decompress reads a message all of which has come: grpc itself asks for it, where a server is
// asked for its health or for reflection, and where a client is answered as Compress does. So the window
// is that of Compress. grpc stops at the receive limit and closes the reader.
func (zstdCompressor) Decompress(r io.Reader) (io.Reader, error) {
	return codec.NewZstdReader(r, codec.WrittenWindowBytesMax)
}

// Compress gathers a whole message, which becomes one frame on Close.
func (zstdCompressor) Compress(w io.Writer) (io.WriteCloser, error) {
	return &zstdMessage{to: w}, nil
}

type zstdMessage struct {
	bytes.Buffer
	to io.Writer
}

// Close writes the frame.
func (m *zstdMessage) Close() error {
	_, err := m.to.Write(codec.AppendZstd(nil, m.Bytes()))
	return err
}
