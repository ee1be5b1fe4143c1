package engine

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
	"github.com/stoadb/stoa/internal/vfs"
)

// segmentSuffix ends the name of every segment file; tempSuffix that of a file on its way
// to another name (vfs.ReplaceFile).
const (
	segmentSuffix = ".seg"
	tempSuffix    = ".new"
)

// recover brings the folder's durable state into memory. What the manifest names must be
// there, whole and of the right size; segment and temporary files that it does not name
// are left from a crash and go. Files of other names are not ours and stay.
func (s *Shard) recover() error {
	if err := s.o.FS.MkdirAll(s.dir); err != nil {
		return err
	}
	// A killed process may have left names that are not durable yet. What the manifest says
	// makes us remove files and the owner drop its log, so it must outlive a power cut first.
	if err := s.o.FS.SyncDir(s.dir); err != nil {
		return err
	}
	names, err := s.o.FS.List(s.dir)
	if err != nil {
		return err
	}
	if err := s.recoverManifest(names); err != nil {
		return err
	}
	segments, err := s.openSegments(names)
	if err != nil {
		return err
	}
	kept := false
	defer func() {
		if !kept {
			closeOpened(segments)
		}
	}()
	if err := s.removeStrays(names); err != nil {
		return err
	}
	if err := s.recoverSeen(segments); err != nil {
		return err
	}
	kept = true
	s.sealedWindow = noWindow
	for _, l := range segments {
		for _, window := range l.Info().Windows {
			s.sealedWindow = max(s.sealedWindow, window)
		}
	}
	s.live = newVersion(segments)
	s.applied, s.flushed = s.man.flushed, s.man.flushed
	return nil
}

// removeStrays removes what a crash left, and counts the quarantine on the way.
func (s *Shard) removeStrays(names []string) error {
	if _, err := removeStrays(s.o.FS, s.dir, s.log, names, s.man); err != nil {
		return err
	}
	return s.recoverQuarantine()
}

func removeStrays(disk vfs.FS, dir string, log *slog.Logger, names []string, man *manifest) (removed int, err error) {
	left := man.strays(names)
	for _, name := range names {
		if strings.HasSuffix(name, tempSuffix) {
			left = append(left, name)
		}
	}
	for _, name := range left {
		log.Info("stray file removed", "file", dir+"/"+name)
		// The first manifest may have taken its own stray's name away meanwhile.
		if err := disk.Remove(dir + "/" + name); err != nil && !missing(err) {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// strays gives those of a folder's names that are of segments which the manifest does not name.
func (m *manifest) strays(names []string) (strays []string) {
	named := make(map[string]bool, len(m.segments))
	for _, entry := range m.segments {
		named[entry.name] = true
	}
	for _, name := range names {
		if strings.HasSuffix(name, segmentSuffix) && !named[name] {
			strays = append(strays, name)
		}
	}
	return strays
}

// RemoveStrays removes, from the folder of a shard that nobody has open, what a killed flush or merge left, as
// Open does, and tells how many files that was: for an owner who needs the room before it can open
// the shard. Where Open would refuse the folder nothing goes, and Open tells of it.
func RemoveStrays(disk vfs.FS, dir string, shard uint32, log *slog.Logger) (removed int, err error) {
	names, err := disk.List(dir)
	if missing(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	// Of a killed process the manifest's name may not be durable: a power cut would bring back one
	// that names what goes here.
	if err := disk.SyncDir(dir); err != nil {
		return 0, err
	}
	man, err := readManifest(disk, dir)
	if err != nil || man.shard != shard {
		return 0, nil
	}
	for _, entry := range man.segments {
		if err := isThere(disk, dir, entry); err != nil {
			return 0, nil
		}
	}
	return removeStrays(disk, dir, log, names, man)
}

// recoverManifest reads the manifest. An empty folder gets one before anything else, so
// that segments without a manifest are damage and not a beginning.
func (s *Shard) recoverManifest(names []string) error {
	man, err := readManifest(s.o.FS, s.dir)
	switch {
	case err == nil:
		if man.shard != s.o.Shard || man.tenant != s.o.Tenant {
			return fmt.Errorf("%s/%s: folder of shard %d, tenant %q", s.dir, manifestName, man.shard, man.tenant)
		}
		s.man = man
		return nil
	case !missing(err):
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, segmentSuffix) {
			return codec.At(codec.Corrupt("missing, but there are segments (%s)", name), s.dir+"/"+manifestName, 0)
		}
	}
	s.man = &manifest{shard: s.o.Shard, tenant: s.o.Tenant, nextFile: 1}
	return s.man.write(s.o.FS, s.dir)
}

// openSegments opens what the manifest names, some at a time. Of several that cannot be opened the
// first one's error is told: they are begun in order, and who has begun one opens it, whoever fails
// meanwhile. After a panic, which goes on here, as after an error, none stays open.
func (s *Shard) openSegments(names []string) ([]*liveSegment, error) {
	opened, errs := make([]*liveSegment, len(s.man.segments)), make([]error, len(s.man.segments))
	var begun atomic.Int64
	var failed atomic.Bool
	var openers invariant.Crew
	for range min(openersMax, len(opened)) {
		openers.Go(func() {
			for !failed.Load() {
				i := int(begun.Add(1)) - 1
				if i >= len(opened) {
					return
				}
				caught := invariant.Caught(func() { opened[i], errs[i] = s.openSegment(s.man.segments[i], names) })
				if caught != nil || errs[i] != nil {
					failed.Store(true)
				}
				caught.Again()
			}
		})
	}
	whole := false
	defer func() {
		if !whole {
			closeOpened(opened)
		}
	}()
	openers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	whole = true
	return opened, nil
}

// closeOpened closes those that were opened of a list.
func closeOpened(list []*liveSegment) {
	for _, l := range list {
		if l != nil {
			l.Close()
		}
	}
}

// openSegment opens one, which must be there and be the one that the manifest means. Its tables are for
// who asks first.
func (s *Shard) openSegment(entry segmentEntry, names []string) (*liveSegment, error) {
	file := s.dir + "/" + entry.name
	if !slices.Contains(names, entry.name) {
		return nil, codec.At(codec.Corrupt("segment is missing, but the manifest names it"), file, 0)
	}
	opened, err := segment.OpenFile(s.o.FS, file, s.o.Pages)
	if err != nil {
		return nil, err
	}
	if err := entry.matches(file, opened.Info()); err != nil {
		opened.Close()
		return nil, err
	}
	return &liveSegment{File: opened, entry: entry}, nil
}

// recoverSeen rebuilds the exactly-once window from the segments that reach into it; the
// replay adds the rest.
func (s *Shard) recoverSeen(segments []*liveSegment) error {
	s.latest = latestOf(infosOf(segments))
	var all []segment.Received
	for _, l := range segments {
		if s.latest-l.Info().MaxReceived > int64(seenAge) {
			continue
		}
		hashes, err := l.Hashes()
		if err != nil {
			return err
		}
		all = append(all, hashes...)
	}
	slices.SortStableFunc(all, func(a, b segment.Received) int { return cmp.Compare(a.At, b.At) })
	for _, h := range all[max(0, len(all)-seenHashesMax):] {
		s.seen.add(h.Hash, h.At)
	}
	return nil
}

// recoverQuarantine counts the parts set aside earlier.
func (s *Shard) recoverQuarantine() error {
	names, err := s.o.FS.List(s.dir + "/" + quarantineDir)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, tempSuffix) {
			if err := s.o.FS.Remove(s.dir + "/" + quarantineDir + "/" + name); err != nil {
				return err
			}
			continue
		}
		s.quarantined++
	}
	return nil
}
