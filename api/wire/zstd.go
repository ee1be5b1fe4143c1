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

// Decompress reads a message; grpc stops at the receive limit and closes the reader.
func (zstdCompressor) Decompress(r io.Reader) (io.Reader, error) {
	return codec.NewZstdReader(r, codec.MessageWindowBytesMax)
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
