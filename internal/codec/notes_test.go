package codec_test

import (
	"bytes"
	"testing"

	"github.com/stoadb/stoa/internal/codec"
)

// Notes tell the bytes between two of them, and nothing after the reader has failed.
func TestNotesEndWhereTheReaderFails(t *testing.T) {
	data := []byte{'a', 'b', 7, 0x80}
	var out bytes.Buffer
	r := codec.NewReader(data)
	n := codec.NewNotes(&out, r, -1)
	n.Note("text %q", r.Bytes(2))
	n.Note("number %d", r.Uvarint())
	n.Note("never %d", r.Uvarint())
	n.Note("nor this")
	want := "       0      2  text \"ab\"\n                 61 62\n       2      1  number 7\n                 07\n"
	if out.String() != want || n.Err() != nil || r.Err() == nil {
		t.Errorf("%s, %v, %v; want\n%s", out.String(), n.Err(), r.Err(), want)
	}
}

// As many bytes are shown as asked for, 32 in a line.
func TestAPartShowsAsManyBytesAsAsked(t *testing.T) {
	for hexBytes, lines := range map[int]int{0: 1, 1: 2, 32: 2, 33: 3, 40: 3, -1: 3, 1000: 3} {
		var out bytes.Buffer
		if err := codec.PrintPart(&out, 9, make([]byte, 40), hexBytes, "zeros"); err != nil {
			t.Fatal(err)
		}
		if got := bytes.Count(out.Bytes(), []byte("\n")); got != lines {
			t.Errorf("%d bytes of hexadecimal take %d lines, want %d", hexBytes, got, lines)
		}
	}
}
