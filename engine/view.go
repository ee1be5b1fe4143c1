package engine

import (
	"context"
	"sync/atomic"

	"github.com/stoadb/stoa/engine/segment"
)

// version is one set of live segments. It is replaced, never changed; views hold it.
type version struct {
	refs     atomic.Int32
	segments []*liveSegment
	names    atomic.Pointer[listedNames]   // once somebody asked
	split    atomic.Pointer[splitSegments] // the same, where they are few
	// What those count, of the service graph and of rates.
	splitEdges, splitRates keptSplit
}

// liveSegment is a segment as long as some version names it. The last version to let go
// closes the file, and unlinks it where the manifest has dropped it.
type liveSegment struct {
	*segment.File
	entry    segmentEntry
	refs     atomic.Int32
	obsolete atomic.Bool
	unmerged atomic.Pointer[error] // why a merge of it failed, where its bytes are wrong
}

// Err is that of the file, and what a merge has met in its rows, which stay wrong: until a start nobody looks
// at all of them again.
func (l *liveSegment) Err() error {
	if err := l.File.Err(); err != nil {
		return err
	}
	if err := l.unmerged.Load(); err != nil {
		return *err
	}
	return nil
}

// openAll gives segments with their tables. It ends with ctx: those of one are read in milliseconds, but there
// may be a thousand.
func openAll(ctx context.Context, list []*liveSegment) (opened []*segment.Segment, err error) {
	opened = make([]*segment.Segment, len(list))
	for i, l := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if opened[i], err = l.Segment(); err != nil {
			return nil, err
		}
	}
	return opened, nil
}

// newVersion takes a reference on each segment and has one itself, its maker's.
func newVersion(segments []*liveSegment) *version {
	v := &version{segments: segments}
	v.refs.Store(1)
	for _, l := range segments {
		l.refs.Add(1)
	}
	return v
}

// release lets go of one reference to v.
func (s *Shard) release(v *version) {
	if v.refs.Add(-1) > 0 {
		return
	}
	for _, l := range v.segments {
		if l.refs.Add(-1) > 0 {
			continue
		}
		l.Close()
		if !l.obsolete.Load() {
			continue
		}
		s.discard(l.entry.name)
	}
}

// view is what one question sees: the memtables up to a count and a version's segments.
// A span that stands in several of them is one span.
type view struct {
	shard    *Shard
	tables   []tableView
	version  *version
	segments []*liveSegment
}

// tableView is the first count batches of a memtable.
type tableView struct {
	*memtable
	count uint32
}

// view takes a view; its close must be called.
func (s *Shard) view() (*view, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	v := &view{shard: s, version: s.live, segments: s.live.segments}
	s.live.refs.Add(1)
	for _, m := range append(s.frozen[:len(s.frozen):len(s.frozen)], s.mem) {
		if count := m.count.Load(); count > 0 {
			v.tables = append(v.tables, tableView{m, count})
		}
	}
	return v, nil
}

func (v *view) close() { v.shard.release(v.version) }

// installed replaces the live version; s.mu is held. The caller releases the old one
// after unlocking.
func (s *Shard) installed(segments []*liveSegment) (old *version) {
	old = s.live
	s.live = newVersion(segments)
	s.signal()
	return old
}
