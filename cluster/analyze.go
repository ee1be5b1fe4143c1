package cluster

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// Analysis tells where the bytes of a folder's segments went.
type Analysis struct {
	Shards   int
	Segments []segment.Analysis // without their parts
	Parts    []segment.Part     // of all segments together, the largest first
	Keys     span.AttributeKeys
	LogBytes int64 // of the log's files: what stands there alone is not counted
}

// Analyze looks into every segment of a folder that no process holds, and changes nothing.
// Damage goes to report, with file and offset; a segment that has some is left out. The error
// is for what kept it from reading, such as a folder in use.
func Analyze(ctx context.Context, disk vfs.FS, report func(damage error)) (Analysis, error) {
	var done Analysis
	if err := checkFolder(disk, false); err != nil {
		return done, err
	}
	lock, err := disk.LockToRead(lockFile)
	if err != nil {
		return done, err
	}
	err = analyze(ctx, disk, report, &done)
	return done, errors.Join(err, lock.Close())
}

func analyze(ctx context.Context, disk vfs.FS, report func(error), done *Analysis) error {
	b, err := vfs.ReadFile(disk, epochFile, fileBytesMax)
	if err != nil {
		return err
	}
	epoch, err := DecodeEpoch(epochFile, b)
	if err != nil {
		return err // nobody knows how many shards there are
	}
	done.Shards = epoch.Shards
	if done.LogBytes, err = logBytes(disk); err != nil {
		return err
	}
	keys, parts := engine.NewKeyCounter(), make(map[string]segment.Part)
	for i := range epoch.Shards {
		err := engine.Analyze(ctx, disk, shardDir(i), keys, func(a segment.Analysis) {
			for _, p := range a.Parts {
				addPart(parts, p)
			}
			a.Parts = nil
			done.Segments = append(done.Segments, a)
		}, report)
		if err != nil {
			return err
		}
	}
	for _, p := range parts {
		done.Parts = append(done.Parts, p)
	}
	slices.SortFunc(done.Parts, func(a, b segment.Part) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.What, b.What)) })
	done.Keys = keys.Keys()
	return nil
}

// addPart adds a part to those of its name; beyond partsMax names the rest is one.
func addPart(parts map[string]segment.Part, p segment.Part) {
	if _, known := parts[p.What]; !known && len(parts) >= partsMax {
		p.What = "other columns"
	}
	sum := parts[p.What]
	sum.What = p.What
	sum.Pages += p.Pages
	sum.Bytes += p.Bytes
	sum.Values += p.Values
	sum.Folded += p.Folded
	sum.TextBytes += p.TextBytes
	parts[p.What] = sum
}

// logBytes adds up the files of the log, with the room that is reserved in the last one.
func logBytes(disk vfs.FS) (total int64, err error) {
	names, err := disk.List(logDir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // the folder was made and never served
	}
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		f, err := disk.Open(logDir + "/" + name)
		if err != nil {
			return 0, err
		}
		size, err := f.Size()
		if err := errors.Join(err, f.Close()); err != nil {
			return 0, err
		}
		total += size
	}
	return total, nil
}
