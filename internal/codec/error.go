// Package codec holds the byte-level ground that every format stands on: the error
// for wrong bytes, checksums and content hashes, varints with bounds, and the two
// compressors. It is the door of klauspost/compress and zeebo/xxh3. It starts no
// goroutines.
package codec

import (
	"errors"
	"fmt"
)

// ErrCorrupt marks bytes that no correct writer leaves behind: a failed checksum, a
// length beyond its container, an impossible count. Test with errors.Is.
var ErrCorrupt = errors.New("corrupt data")

// ErrVersion marks a file that a newer Stoa wrote: not damage, but not readable here.
var ErrVersion = errors.New("written by a newer version")

// At reports err at a position of a file: every corruption names file and offset.
func At(err error, file string, offset int64) error { return &placed{err, file, offset} }

// FileOf gives the file that an error of At names, of several the outermost; "" where there is none.
func FileOf(err error) string {
	var at *placed
	if !errors.As(err, &at) {
		return ""
	}
	return at.file
}

// placed is an error with its place.
type placed struct {
	err    error
	file   string
	offset int64
}

func (p *placed) Error() string { return fmt.Sprintf("%s: offset %d: %v", p.file, p.offset, p.err) }

func (p *placed) Unwrap() error { return p.err }

// Corrupt is ErrCorrupt with the reason.
func Corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
