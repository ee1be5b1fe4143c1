package codec

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// messageWindowBytesMax bounds the window of a zstd message from the network: a few
// bytes of input may otherwise make us take 128 MiB. 8 MiB is what writers use.
const messageWindowBytesMax = 8 << 20

// NewZstdMessageReader is NewZstdReader for messages from strangers.
func NewZstdMessageReader(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(messageWindowBytesMax))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return zstdStream{d}, nil
}
