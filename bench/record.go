package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/stoadb/stoa/api/client"
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
