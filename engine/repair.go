package engine

import (
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/vfs"
)

// What Verify reports is one of these, which say what a repair has to know.
type (
	// DamagedSegment is a segment that the manifest names, and that is damaged or not there. It says
	// what the manifest does.
	DamagedSegment struct {
		File              string
		Rows              int
		Bytes             int64
		FirstSeq, LastSeq uint64
		Missing           bool // there is no such file
		err               error
	}
	// DamagedPart is a part in quarantine that is not what its name says.
	DamagedPart struct {
		File string
		err  error
	}
	// DamagedManifest says that nobody knows which segments count.
	DamagedManifest struct{ err error }
)

func (d *DamagedSegment) Error() string  { return d.err.Error() }
func (d *DamagedPart) Error() string     { return d.err.Error() }
func (d *DamagedManifest) Error() string { return d.err.Error() }

// Unwrap gives what is wrong.
func (d *DamagedSegment) Unwrap() error { return d.err }

// Unwrap gives what is wrong.
func (d *DamagedPart) Unwrap() error { return d.err }

// Unwrap gives what is wrong.
func (d *DamagedManifest) Unwrap() error { return d.err }

// Times gives the range of start times, unix nanoseconds, in a damaged segment; ok is false where
// its footer does not tell either.
func (d *DamagedSegment) Times(disk vfs.FS) (startMin, startMax uint64, ok bool) {
	f, err := segment.OpenFile(disk, d.File, nil)
	if err != nil {
		return 0, 0, false
	}
	defer f.Close()
	info := f.Info()
	return info.MinStart, info.MaxStart, info.Rows == d.Rows && info.Bytes == d.Bytes
}

// ManifestFlushed is up to which Seq the segments of a shard's folder hold everything, by its manifest;
// 0 where nothing was ever there.
func ManifestFlushed(disk vfs.FS, dir string) (uint64, error) {
	man, err := readManifest(disk, dir)
	if missing(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return man.flushed, nil
}

// Strays are the segments in a shard's folder that its manifest does not name: a start removes them.
func Strays(disk vfs.FS, dir string) (files []string, err error) {
	man, err := readManifest(disk, dir)
	if err != nil {
		return nil, err
	}
	names, err := disk.List(dir)
	for _, name := range man.strays(names) {
		files = append(files, dir+"/"+name)
	}
	return files, err
}

// QuarantineDir is where a shard's folder has parts that could not be applied.
func QuarantineDir(dir string) string { return dir + "/" + quarantineDir }

// ManifestFile is the manifest in a shard's folder.
func ManifestFile(dir string) string { return dir + "/" + manifestName }

// Forget takes segments out of the manifest of a shard's folder that nobody has open, durably. Their files
// are the caller's: while they stand there, a start takes them for strays and removes them.
func Forget(disk vfs.FS, dir string, damaged []*DamagedSegment) error {
	man, err := readManifest(disk, dir)
	if err != nil {
		return err
	}
	man.segments = slices.DeleteFunc(man.segments, func(entry segmentEntry) bool {
		return slices.ContainsFunc(damaged, func(d *DamagedSegment) bool { return d.File == dir+"/"+entry.name })
	})
	return man.write(disk, dir)
}

// Spans counts the spans of an entry that DecodeEntry gave; unread are parts that nobody can read.
func (e *Entry) Spans() (spans, unread int) {
	for i := range e.Parts {
		batch, err := e.Parts[i].read()
		if err != nil {
			unread++
			continue
		}
		spans += batch.Len()
	}
	return spans, unread
}
