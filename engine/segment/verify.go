package segment

import (
	"errors"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// Verify reads a whole segment: every page is checked and decoded, the ranges that searches
// skip by and the order of rows are compared with the rows, and the checksum of the file is
// computed again. It joins all damages, each with file and offset.
func Verify(fs vfs.FS, name string) error {
	s, err := Open(fs, name)
	if err != nil {
		return err
	}
	defer s.Close()
	var damages []error
	for i := range s.groups {
		if err := s.verifyGroup(&s.groups[i], i); err != nil {
			damages = append(damages, err)
		}
	}
	crc, buffer := uint32(0), make([]byte, writeBytes)
	for at, end := int64(0), s.info.Bytes-tailBytes; at < end; at += int64(len(buffer)) {
		buffer = buffer[:min(end-at, writeBytes)]
		if err := s.readAt(buffer, at); err != nil {
			return errors.Join(append(damages, err)...)
		}
		crc = codec.CRCAppend(crc, buffer)
	}
	if crc != s.info.CRC {
		damages = append(damages, codec.At(codec.Corrupt("file checksum %08x, %08x expected", crc, s.info.CRC), name, s.info.Bytes-tailBytes))
	}
	return errors.Join(damages...)
}

func (s *Segment) verifyGroup(g *groupRef, i int) error {
	b, err := s.ReadGroup(i, Projection{All: true})
	if err != nil {
		return err
	}
	minStart, maxStart := b.Bounds()
	maxDuration, order := uint64(0), error(nil)
	for pos, start := range b.Starts {
		maxDuration = max(maxDuration, span.Duration(start, b.Ends[pos]))
		if pos > 0 && b.TraceIDs[pos] == b.TraceIDs[pos-1] && start < b.Starts[pos-1] {
			order = codec.Corrupt("row %d starts before the one before it", g.FirstRow+pos)
		}
	}
	if minStart != g.MinStart || maxStart != g.MaxStart || maxDuration != g.MaxDuration {
		order = codec.Corrupt("rows start from %d to %d and last %d, the directory says %d, %d, %d",
			minStart, maxStart, maxDuration, g.MinStart, g.MaxStart, g.MaxDuration)
	}
	if order != nil {
		return codec.At(order, s.info.Name, g.offset)
	}
	return nil
}
