package engine

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// splitTraces are the traces of a view that stand in more than one source of it, or in a
// memtable, where copies are not dropped yet. Their rows must be assembled; every other trace
// stands whole, sorted and distinct in one segment.
type splitTraces struct {
	view     *view
	segments *splitSegments
	tables   map[span.TraceID]bool // those in memtables that are not in segments.ids
	touched  map[int32]bool        // those of segments.traces, by position, that are in memtables too
}

// splitSegments are the traces that stand in several segments of a version: a function of it,
// which never changes.
type splitSegments struct {
	opened []*segment.Segment     // all of the version
	ids    map[span.TraceID]int32 // positions in traces
	traces []splitTrace           // in the order in which their first rows stand
}

// splitTrace is a split trace and where it stands in segments.
type splitTrace struct {
	id     span.TraceID
	start  uint64 // about that of its first row in a segment
	places []splitPlace
}

// splitPlace is a segment of the version, by number, and the trace's number there.
type splitPlace struct{ segment, trace int32 }

// splitTraces finds the split traces of the view.
func (v *view) splitTraces(ctx context.Context) (*splitTraces, error) {
	segments, err := v.version.splitSegments(ctx)
	if err != nil {
		return nil, err
	}
	s := &splitTraces{view: v, segments: segments}
	if len(v.tables) > 0 {
		s.tables, s.touched = make(map[span.TraceID]bool), make(map[int32]bool)
	}
	for _, t := range v.tables {
		t.eachTrace(t.count, func(id span.TraceID) {
			if i, ok := s.segments.ids[id]; ok {
				s.touched[i] = true
			} else {
				s.tables[id] = true
			}
		})
	}
	return s, nil
}

// has reports whether a trace is split.
func (s *splitTraces) has(id span.TraceID) bool {
	_, ok := s.segments.ids[id]
	return ok || s.tables[id]
}

// reaches reports whether a split trace may have rows in a range.
func (s *splitTraces) reaches(trace *splitTrace, asked timeRange) bool {
	if s.standsIn(trace, asked) {
		return true
	}
	for _, table := range s.view.tables {
		if table.holds(trace.id, table.count) {
			return true
		}
	}
	return false
}

// standsIn is the same of rows in segments alone.
func (s *splitTraces) standsIn(trace *splitTrace, asked timeRange) bool {
	for _, place := range trace.places {
		if asked.reaches(s.segments.opened[place.segment], int(place.trace)) {
			return true
		}
	}
	return false
}

// all visits the split traces: so that those read one after another share row groups.
func (s *splitTraces) all() iter.Seq[*splitTrace] {
	return func(yield func(*splitTrace) bool) {
		for i := range s.segments.traces {
			if !yield(&s.segments.traces[i]) {
				return
			}
		}
		s.inTables()(yield)
	}
}

// inTables visits those that are in memtables and in one segment at most.
func (s *splitTraces) inTables() iter.Seq[*splitTrace] {
	return func(yield func(*splitTrace) bool) {
		list := make([]splitTrace, 0, len(s.tables))
		for id := range s.tables {
			t := splitTrace{id: id}
			for i, l := range s.segments.opened {
				if trace, ok := l.FindTrace(id); ok {
					t.add(l, splitPlace{int32(i), int32(trace)})
				}
			}
			list = append(list, t)
		}
		slices.SortFunc(list, splitTrace.compare)
		for i := range list {
			if !yield(&list[i]) {
				return
			}
		}
	}
}

// add notes a place of the trace.
func (t *splitTrace) add(l *segment.Segment, place splitPlace) {
	first, _ := l.TraceRows(int(place.trace))
	start := l.Group(l.GroupOfRow(first)).MinStart
	if len(t.places) == 0 || start < t.start {
		t.start = start
	}
	t.places = append(t.places, place)
}

func (t splitTrace) compare(other splitTrace) int {
	return cmp.Or(cmp.Compare(t.start, other.start), t.id.Compare(other.id))
}

// splitSegments gives the version's. They are worked out for the first question and kept for
// those after it, as long as they are few: going through all trace tables takes longer than
// most answers.
func (v *version) splitSegments(ctx context.Context) (*splitSegments, error) {
	if s := v.split.Load(); s != nil {
		return s, nil
	}
	opened, err := openAll(ctx, v.segments)
	if err != nil {
		return nil, err
	}
	s := &splitSegments{opened: opened, ids: map[span.TraceID]int32{}}
	// The trace tables are sorted: walk all of them side by side, the smallest id first.
	heads := make(idHeap, 0, len(opened))
	for i, l := range opened {
		if l.TraceCount() > 0 {
			heads = append(heads, idHead{id: l.TraceID(0), segment: l, number: i})
		}
	}
	heads.init()
	for steps := 1; len(heads) > 1; steps++ {
		if steps%splitEach == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		first := heads[0]
		heads.advance()
		if len(heads) == 0 || heads[0].id != first.id {
			continue
		}
		t := splitTrace{id: first.id}
		t.add(first.segment, first.place())
		for len(heads) > 0 && heads[0].id == first.id {
			t.add(heads[0].segment, heads[0].place())
			heads.advance()
		}
		s.traces = append(s.traces, t)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(s.traces, splitTrace.compare)
	for i := range s.traces {
		if i%splitEach == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		s.ids[s.traces[i].id] = int32(i)
	}
	if len(s.traces) <= splitKeptMax {
		v.split.Store(s)
	}
	return s, nil
}

// idHead is a position in one segment's trace table.
type idHead struct {
	id      span.TraceID
	at      int
	segment *segment.Segment
	number  int // of the segment in the version
}

func (h *idHead) place() splitPlace { return splitPlace{int32(h.number), int32(h.at)} }

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
