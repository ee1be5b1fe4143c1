package client

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
)

// ReadRequest reads the next of recorded requests, as Export sends them: a varint length,
// then that many bytes of an ExportTraceServiceRequest. io.EOF stands only between
// records; a recording that ends within one, or claims one larger than a server takes, is
// codec.ErrCorrupt. The request belongs to the caller.
//
// It stands here because whoever reads recordings sends them: the import command and the
// benchmarks have this room in common and no other.
func ReadRequest(r *bufio.Reader) ([]byte, error) {
	length, err := binary.ReadUvarint(r)
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, codec.Corrupt("the recording ends within a length")
	case err != nil:
		return nil, fmt.Errorf("length of a request: %w", err)
	case length > otlp.RequestBytesMax:
		return nil, codec.Corrupt("a request of %d bytes, at most %d expected", length, otlp.RequestBytesMax)
	}
	request := make([]byte, length)
	n, err := io.ReadFull(r, request)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, codec.Corrupt("the recording ends after %d bytes of a request of %d", n, length)
	}
	return request, err
}
