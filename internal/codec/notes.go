package codec

import (
	"fmt"
	"io"
)

// PrintPart writes a part of a file for a person: its offset, length and meaning, and beneath
// them its first hexBytes bytes; all of them where hexBytes is negative. Every format's printer
// ends here, so that all files read alike.
func PrintPart(w io.Writer, offset int64, part []byte, hexBytes int, note string) error {
	if _, err := fmt.Fprintf(w, "%8d %6d  %s\n", offset, len(part), note); err != nil {
		return err
	}
	if hexBytes >= 0 {
		part = part[:min(len(part), hexBytes)]
	}
	for len(part) > 0 {
		n := min(len(part), bytesInLine)
		if _, err := fmt.Fprintf(w, "%16s % x\n", "", part[:n]); err != nil {
			return err
		}
		part = part[n:]
	}
	return nil
}

// bytesInLine of hexadecimal fill a line that a terminal shows whole.
const bytesInLine = 32

// Notes prints a small file while a Reader goes through it: each Note tells the meaning of what
// was read since the one before. After the reader has failed there is nothing to tell.
type Notes struct {
	w        io.Writer
	r        *Reader
	hexBytes int
	from     int
	err      error
}

// NewNotes begins where r stands.
func NewNotes(w io.Writer, r *Reader, hexBytes int) *Notes {
	return &Notes{w: w, r: r, hexBytes: hexBytes, from: r.Offset()}
}

// Note prints what was read since the last one.
func (n *Notes) Note(format string, args ...any) {
	if n.err != nil || n.r.Err() != nil {
		return
	}
	n.err = PrintPart(n.w, int64(n.from), n.r.data[n.from:n.r.at], n.hexBytes, fmt.Sprintf(format, args...))
	n.from = n.r.at
}

// Err is why writing failed.
func (n *Notes) Err() error { return n.err }
