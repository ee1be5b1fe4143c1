package engine

import (
	"context"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// Analyze looks into every segment that the manifest of a folder names and nobody has open: it
// hands each analysis to visit and counts the attributes into keys. What is damaged goes to
// report and is left out. A folder that was never used has no manifest, and nothing to tell.
func Analyze(ctx context.Context, disk vfs.FS, dir string, keys *KeyCounter, visit func(segment.Analysis), report func(error)) error {
	man, err := readManifest(disk, dir)
	switch {
	case missing(err):
		return nil
	case err != nil:
		report(err)
		return nil
	}
	for _, entry := range man.segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := dir + "/" + entry.name
		a, err := analyzeSegment(ctx, disk, name, entry, keys)
		switch {
		case missing(err):
			report(codec.At(codec.Corrupt("segment is missing, but the manifest names it"), name, 0))
		case err != nil:
			report(err)
		default:
			visit(a)
		}
	}
	return nil
}

func analyzeSegment(ctx context.Context, disk vfs.FS, name string, entry segmentEntry, keys *KeyCounter) (a segment.Analysis, err error) {
	s, err := segment.Open(disk, name)
	if err != nil {
		return a, err
	}
	defer s.Close()
	if err := entry.matches(name, s.Info()); err != nil {
		return a, err
	}
	if a, err = s.Analyze(); err != nil {
		return a, err
	}
	return a, keys.addSegment(ctx, s)
}
