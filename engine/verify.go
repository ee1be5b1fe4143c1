package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// Verified counts what Verify read.
type Verified struct {
	Segments, Rows, Quarantined int
	Bytes                       int64
	Flushed                     uint64 // Seq through which segments hold what was applied
	FlushedUnknown              bool   // the manifest cannot be read
}

// Verify reads every byte of a shard's folder that nobody has open: the manifest, each
// segment it names, each part in quarantine. Damage goes to report, with file and
// offset; nothing is changed. A folder that was never used has no manifest: no damage.
func Verify(disk vfs.FS, dir string, shard uint32, report func(error)) (Verified, error) {
	var done Verified
	names, err := disk.List(dir)
	if missing(err) {
		return done, nil
	}
	if err != nil {
		return done, err
	}
	man, err := readManifest(disk, dir)
	switch {
	case missing(err):
		if slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, segmentSuffix) }) {
			report(&DamagedManifest{codec.At(codec.Corrupt("missing, but there are segments"), dir+"/"+manifestName, 0)})
			done.FlushedUnknown = true
		}
		return done, nil
	case err != nil:
		report(&DamagedManifest{err})
		done.FlushedUnknown = true
		return done, nil
	case man.shard != shard:
		report(&DamagedManifest{codec.At(codec.Corrupt("manifest of shard %d", man.shard), dir+"/"+manifestName, manifestHeaderBytes)})
	}
	done.Flushed = man.flushed
	for _, entry := range man.segments {
		if err := verifySegment(disk, dir, entry); err != nil {
			report(&DamagedSegment{
				File: dir + "/" + entry.name, Rows: entry.rows, Bytes: entry.bytes,
				FirstSeq: entry.firstSeq, LastSeq: entry.lastSeq, Missing: !slices.Contains(names, entry.name), err: err,
			})
		}
		done.Segments++
		done.Rows += entry.rows
		done.Bytes += entry.bytes
	}
	done.Quarantined, err = verifyQuarantine(disk, dir, report)
	return done, err
}

func verifySegment(disk vfs.FS, dir string, entry segmentEntry) error {
	name := dir + "/" + entry.name
	if err := segment.Verify(disk, name); err != nil {
		if missing(err) {
			return codec.At(codec.Corrupt("segment is missing, but the manifest names it"), name, 0)
		}
		return err
	}
	return isThere(disk, dir, entry)
}

// isThere checks that a segment is the one that the manifest names, without its pages.
func isThere(disk vfs.FS, dir string, entry segmentEntry) error {
	name := dir + "/" + entry.name
	s, err := segment.Open(disk, name)
	if err != nil {
		return err
	}
	defer s.Close()
	return entry.matches(name, s.Info())
}

// verifyQuarantine checks that each part is what its name, a hash, says.
func verifyQuarantine(disk vfs.FS, dir string, report func(error)) (parts int, err error) {
	dir += "/" + quarantineDir
	names, err := disk.List(dir)
	if missing(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, tempSuffix) {
			continue
		}
		content, err := vfs.ReadFile(disk, dir+"/"+name, otlp.RequestBytesMax)
		if errors.Is(err, vfs.ErrTooLarge) {
			report(&DamagedPart{dir + "/" + name, codec.At(codec.Corrupt("%v", err), dir+"/"+name, 0)})
			continue
		}
		if err != nil {
			return parts, fmt.Errorf("%s/%s: %w", dir, name, err)
		}
		parts++
		hash := codec.HashBytes(content)
		if name != hash.String()+requestSuffix && name != hash.String()+formSuffix {
			report(&DamagedPart{dir + "/" + name, codec.At(codec.Corrupt("the content's hash is %v", hash), dir+"/"+name, 0)})
		}
	}
	return parts, nil
}
