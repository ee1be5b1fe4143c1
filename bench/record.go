package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
)

// Requests reads recorded files one after the other: each is one zstd stream of
// the records that client.ReadRequest reads, in the order received. A
// yielded request belongs to the caller. The first error ends the sequence.
func Requests(files ...string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, name := range files {
			more, err := readRecords(name, yield)
			if err != nil {
				yield(nil, fmt.Errorf("%s: %w", name, err))
				return
			}
			if !more {
				return
			}
		}
	}
}

func readRecords(name string, yield func([]byte, error) bool) (more bool, err error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	content, err := codec.NewZstdReader(f, codec.FileWindowBytesMax)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	records := bufio.NewReaderSize(content, 1<<20)
	for {
		request, err := client.ReadRequest(records)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if !yield(request, nil) {
			return false, nil
		}
	}
}

// WriteRequests writes a recording as Requests reads it, and tells how many spans and
// bytes of OTLP it holds. told, where not nil, hears of them after each request.
func WriteRequests(w io.Writer, requests iter.Seq2[[]byte, error], told func(spans, bytes int64)) (spans, bytes int64, err error) {
	stream, err := codec.NewZstdWriter(w)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	var length []byte
	for request, err := range requests {
		if err != nil {
			return spans, bytes, err
		}
		if len(request) > otlp.RequestBytesMax {
			return spans, bytes, fmt.Errorf("a request of %d bytes: a server takes %d at most", len(request), otlp.RequestBytesMax)
		}
		n, err := CountSpans(request)
		if err != nil {
			return spans, bytes, err
		}
		length = binary.AppendUvarint(length[:0], uint64(len(request)))
		if _, err := stream.Write(length); err != nil {
			return spans, bytes, err
		}
		if _, err := stream.Write(request); err != nil {
			return spans, bytes, err
		}
		spans, bytes = spans+int64(n), bytes+int64(len(request))
		if told != nil {
			told(spans, bytes)
		}
	}
	return spans, bytes, nil
}
