package client_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
)

// TestCutRecordingIsDamageExceptBetweenRecords, cut at every byte.
func TestCutRecordingIsDamageExceptBetweenRecords(t *testing.T) {
	var recording []byte
	ends := map[int]bool{0: true}
	requests := [][]byte{{1, 2, 3}, {}, bytes.Repeat([]byte{7}, 300)} // a length of two bytes too
	for _, request := range requests {
		recording = append(binary.AppendUvarint(recording, uint64(len(request))), request...)
		ends[len(recording)] = true
	}
	for cut := range len(recording) + 1 {
		r := bufio.NewReader(bytes.NewReader(recording[:cut]))
		var err error
		for i := 0; err == nil; i++ {
			var request []byte
			if request, err = client.ReadRequest(r); err == nil && !bytes.Equal(request, requests[i]) {
				t.Fatalf("cut at %d: request %d is %x", cut, i, request)
			}
		}
		if want := map[bool]error{true: io.EOF, false: codec.ErrCorrupt}[ends[cut]]; !errors.Is(err, want) {
			t.Errorf("cut at %d: %v, want %v", cut, err, want)
		}
	}
	huge := bufio.NewReader(bytes.NewReader(binary.AppendUvarint(nil, otlp.RequestBytesMax+1)))
	if _, err := client.ReadRequest(huge); !errors.Is(err, codec.ErrCorrupt) {
		t.Errorf("a request too large: %v", err)
	}
}
