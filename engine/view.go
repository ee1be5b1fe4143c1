package engine

import (
	"sync/atomic"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// version is one set of live segments. It is replaced, never changed; views hold it.
type version struct {
	refs     atomic.Int32
	segments []*liveSegment
}

// liveSegment is a segment as long as some version names it. The last version to let go
// closes the file, and unlinks it where the manifest has dropped it.
type liveSegment struct {
	*segment.Segment
	entry    segmentEntry
	refs     atomic.Int32
	obsolete atomic.Bool
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

// splitTraces gives the ids that stand in more than one source of the view, or in a
// memtable, where copies are not dropped yet. Their rows must be assembled; every other
// trace stands whole, sorted and distinct in one segment.
func (v *view) splitTraces() map[span.TraceID]bool {
	split := make(map[span.TraceID]bool)
	for _, t := range v.tables {
		t.eachTrace(t.count, func(id span.TraceID) { split[id] = true })
	}
	if len(v.segments) < 2 {
		return split
	}
	// The trace tables are sorted: walk all of them side by side, the smallest id first.
	heads := make(idHeap, 0, len(v.segments))
	for _, l := range v.segments {
		if l.TraceCount() > 0 {
			heads = append(heads, idHead{id: l.TraceID(0), segment: l})
		}
	}
	heads.init()
	for len(heads) > 0 {
		id, times := heads[0].id, 0
		for len(heads) > 0 && heads[0].id == id {
			times++
			heads.advance()
		}
		if times > 1 {
			split[id] = true
		}
	}
	return split
}

// idHead is a position in one segment's trace table.
type idHead struct {
	id      span.TraceID
	at      int
	segment *liveSegment
}

// idHeap is a binary heap of positions, the smallest id at 0.
type idHeap []idHead

func (h idHeap) init() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h idHeap) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h[child].id.Compare(h[least].id) < 0 {
				least = child
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

// advance moves the first position on, or drops it at its table's end.
func (h *idHeap) advance() {
	head := &(*h)[0]
	head.at++
	if head.at < head.segment.TraceCount() {
		head.id = head.segment.TraceID(head.at)
	} else {
		last := len(*h) - 1
		(*h)[0] = (*h)[last]
		*h = (*h)[:last]
	}
	h.down(0)
}
