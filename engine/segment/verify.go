package segment

import (
	"errors"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// Verify reads a whole segment: every page is checked and decoded, and the checksum of
// the file computed again. It joins all damages, each with file and offset.
func Verify(fs vfs.FS, name string) error {
	s, err := Open(fs, name)
	if err != nil {
		return err
	}
	defer s.Release()
	var damages []error
	for i := range s.groups {
		if _, err := s.ReadGroup(i, Projection{All: true}); err != nil {
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
