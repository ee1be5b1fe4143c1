package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"os/exec"
	"strings"
)

// MeasureZstd pipes the requests, with their lengths as in a file of them, through the
// program zstd with the flags given: what a general compressor makes of the whole stream.
// No library stands for the program: at its highest levels it does what they do not. That
// it is not installed is exec.ErrNotFound.
func MeasureZstd(ctx context.Context, flags string, requests iter.Seq2[[]byte, error]) (ZstdRecord, error) {
	record := ZstdRecord{Flags: flags}
	program, err := exec.LookPath("zstd")
	if err != nil {
		return record, err
	}
	process := exec.CommandContext(ctx, program, append(strings.Fields(flags), "-c", "-q")...)
	input, err := process.StdinPipe()
	if err != nil {
		return record, err
	}
	var size countedBytes
	var said strings.Builder
	process.Stdout, process.Stderr = &size, &said
	if err := process.Start(); err != nil {
		return record, err
	}
	spans, writeErr := writePlain(input, requests)
	if err := input.Close(); writeErr == nil {
		writeErr = err
	}
	if err := process.Wait(); err != nil {
		return record, fmt.Errorf("zstd %s: %w: %s", flags, err, strings.TrimSpace(said.String()))
	}
	record.Spans, record.Bytes = spans, int64(size)
	record.CPUSeconds = (process.ProcessState.UserTime() + process.ProcessState.SystemTime()).Seconds()
	return record, writeErr
}

// writePlain writes records without compression.
func writePlain(w io.Writer, requests iter.Seq2[[]byte, error]) (spans int64, err error) {
	for request, err := range requests {
		if err != nil {
			return spans, err
		}
		n, err := CountSpans(request)
		if err != nil {
			return spans, err
		}
		spans += int64(n)
		if _, err := w.Write(binary.AppendUvarint(nil, uint64(len(request)))); err != nil {
			return spans, err
		}
		if _, err := w.Write(request); err != nil {
			return spans, err
		}
	}
	return spans, nil
}

// countedBytes counts what is written to it.
type countedBytes int64

func (c *countedBytes) Write(p []byte) (int, error) {
	*c += countedBytes(len(p))
	return len(p), nil
}
