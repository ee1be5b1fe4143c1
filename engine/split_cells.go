package engine

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/stoadb/stoa/engine/span"
)

// splitCells are what the split traces of a version's segments count, by minute: a function of
// the version, like splitSegments. An answer is put together as cells.go says, but that the two
// lines of split traces become three
//
//	the cells of steps, and rows of unsplit traces, as there
//	- what they have counted in the cells of each segment, of those minutes that were added
//	+ what they count assembled, of the minutes wholly in the range
//	+ their rows, assembled, in the minutes that the range cuts
//
// Traces that stand in a memtable too are more than the version knows of: what they count as it
// knows them is taken back, and they are counted as they are.
//
// The steps of a segment's cells are minutes or whole numbers of them, so a range of those never
// cuts a minute here. Adding and taking back are kept apart, and for each segment: which of a
// segment's steps were added depends on their length, and on what of the range it reaches.
type splitCells struct {
	names  []span.Operation // that lines are in, by number
	whole  cellList         // each trace assembled
	parts  []cellList       // by segment, as they stand there; nil where there are no cells
	starts []timeRange      // by trace: of its rows
	all    timeRange        // of all of them
}

// splitStep is the length of their steps in nanoseconds, the shortest that cells have.
const splitStep = 60e9

// cellList is cells by start, with their spans by size.
type cellList struct {
	cells  []splitCell
	sizes  []uint16
	counts []uint32 // spans of each size
}

// splitCell is one step of a line.
type splitCell struct {
	start         uint64 // of the step, unix nanoseconds
	line          line
	spans, errors uint32
	end           uint32 // where its sizes end
}

// keptSplit keeps splitCells of one kind for the questions about a version.
type keptSplit struct {
	cells atomic.Pointer[splitCells]
	// assembled is how many split traces questions have assembled, each as often as that was done.
	assembled atomic.Int64
}

// between gives the cells that begin in a range, as positions.
func (l *cellList) between(r timeRange) (from, to int) {
	from = sort.Search(len(l.cells), func(i int) bool { return l.cells[i].start >= r.min })
	to = sort.Search(len(l.cells), func(i int) bool { return l.cells[i].start > r.max })
	return from, max(from, to)
}

// sizesOf gives the sizes of a cell's spans, and how many there are of each.
func (l *cellList) sizesOf(i int) (sizes []uint16, counts []uint32) {
	begin := uint32(0)
	if i > 0 {
		begin = l.cells[i-1].end
	}
	return l.sizes[begin:l.cells[i].end], l.counts[begin:l.cells[i].end]
}

// splitCells gives the cells for a question; nil where split traces are to be assembled. Whoever
// asks works them out once questions together have assembled as many traces as there are, if it is
// the node's turn: of all time that is the first, while one of a minute does not pay for an hour.
// Others do not wait.
func (t *tally) splitCells() (*splitCells, error) {
	traces := t.split.segments.traces
	if t.kept == nil || len(traces) == 0 || t.view.version.split.Load() != t.split.segments {
		return nil, nil
	}
	cells := t.kept.cells.Load()
	if cells == nil {
		if !t.counter.fits(splitStep, timeRange{0, math.MaxUint64}) {
			return nil, nil
		}
		reached := int64(0)
		for i := range traces {
			if t.split.standsIn(&traces[i], t.asked) {
				reached++
			}
		}
		if t.kept.assembled.Add(reached) < int64(len(traces)) {
			return nil, nil
		}
		leave, ok := tryEnter(t.view.shard.o.Gate.cells)
		if !ok {
			return nil, nil
		}
		defer leave()
		if cells = t.kept.cells.Load(); cells == nil { // nobody has worked them out meanwhile
			var err error
			if cells, err = t.makeSplitCells(); err != nil {
				return nil, err
			}
			t.kept.cells.Store(cells)
		}
	}
	if cells.parts == nil || !t.counter.fits(splitStep, cells.all) {
		return nil, nil
	}
	return cells, nil
}

// makeSplitCells works them out. Where they are too many, or a row cannot be read that the question
// may not ask for, there are none.
func (t *tally) makeSplitCells() (*splitCells, error) {
	clear(t.readers) // those of two tallies would be twice as much memory
	segments := *t.view
	segments.tables = nil
	traces := t.split.segments.traces
	ctx, stop := context.WithCancel(t.ctx)
	defer stop()
	m := newSplitCellMaker(t.view.shard.o.SplitCellsBytesMax/splitKinds, len(traces), 1+len(segments.segments), stop)
	all := &tally{ctx: ctx, view: &segments, segments: t.segments, counter: boundNumbers{t.everything, m}, readers: map[int]*factsReader{}}
	cells := &splitCells{all: noTime, starts: make([]timeRange, 0, len(traces))}
	for i := range traces {
		if m.full() {
			break
		}
		parts, whole, err := all.assemble(&segments, &traces[i])
		if t.ctx.Err() != nil {
			return nil, t.ctx.Err()
		}
		if err != nil {
			return new(splitCells), nil
		}
		for p := range parts {
			m.add(1+parts[p].segment, parts[p].rows, all.linesOf(parts[p].rows))
		}
		m.add(0, whole, all.linesOf(whole))
		starts := timeRange{whole[0].start, whole[len(whole)-1].start}
		cells.starts = append(cells.starts, starts)
		if cells.all == noTime {
			cells.all = starts
		}
		cells.all = timeRange{min(cells.all.min, starts.min), max(cells.all.max, starts.max)}
	}
	if m.full() {
		return new(splitCells), nil
	}
	lists := m.lists(1 + len(segments.segments))
	cells.names, cells.whole, cells.parts = exact(t.everything.numbered()), lists[0], lists[1:]
	return cells, nil
}

// countSplitCells counts the split traces with cells.
func (t *tally) countSplitCells(cells *splitCells) error {
	numbers := &splitNumbers{t.counter, cells.names, make([]uint32, len(cells.names))}
	cover := coverOf(splitStep, cells.all, t.asked)
	err := t.eachSum(&cells.whole, cover.cells, cells.all.min, numbers, func(s sum, c *splitCell, sizes []uint16, counts []uint32) error {
		s.addSizes(c, sizes, counts)
		return nil
	})
	for i, l := range t.segments {
		if err == nil && t.covers[i].cells != noTime {
			err = t.eachSum(&cells.parts[i], t.covers[i].cells, l.Info().MinStart, numbers, func(s sum, c *splitCell, sizes []uint16, counts []uint32) error {
				if !s.takeSizes(c, sizes, counts) {
					return wrongCells(l)
				}
				return nil
			})
		}
	}
	for i := range t.split.segments.traces {
		if err != nil {
			return err
		}
		trace := &t.split.segments.traces[i]
		switch {
		case t.split.touched[int32(i)]:
			err = t.countAgain(trace, &cover)
		case cover.meets(cells.starts[i]):
			var whole []tallyRow
			if _, whole, err = t.assemble(t.view, trace); err == nil {
				err = t.count(whole, cover.asks)
			}
		}
	}
	return err
}

// eachSum visits the cells of a list whose steps begin in a range, of rows that start at least
// then, with the sum that each is part of.
func (t *tally) eachSum(l *cellList, steps timeRange, least uint64, numbers *splitNumbers, visit func(s sum, c *splitCell, sizes []uint16, counts []uint32) error) error {
	from, to := l.between(steps)
	for i := from; i < to; i++ {
		c := &l.cells[i]
		of := line{numbers.of(c.line.parent), numbers.of(c.line.callee)}
		if of.callee == 0 {
			continue
		}
		s, err := t.counter.sum(of, max(c.start, least))
		if err != nil {
			return err
		}
		sizes, counts := l.sizesOf(i)
		if err := visit(s, c, sizes, counts); err != nil {
			return err
		}
	}
	return nil
}

// splitNumbers are a counter's numbers of the names that cells are in, each asked for when a cell
// first needs it: most questions need few, and what has a number is copied.
type splitNumbers struct {
	counter counter
	names   []span.Operation
	known   []uint32 // by position in names, + 1; 0 is not asked for yet
}

// of gives the number of a name; that of none is 0.
func (s *splitNumbers) of(name uint32) uint32 {
	if name == 0 {
		return 0
	}
	if s.known[name] == 0 {
		o := &s.names[name]
		s.known[name] = 1 + s.counter.number([]byte(o.Service), []byte(o.Name), o.Kind)
	}
	return s.known[name] - 1
}

// countAgain counts a trace that stands in memtables too: what cells have counted of it is taken
// back.
func (t *tally) countAgain(trace *splitTrace, cover *cover) error {
	if !t.split.reaches(trace, t.asked) {
		return nil
	}
	segments := *t.view
	segments.tables = nil
	_, known, err := t.assemble(&segments, trace)
	if err != nil {
		return err
	}
	if err := t.takeBack(known, cover.cells.has, t.segments[trace.places[0].segment]); err != nil {
		return err
	}
	_, whole, err := t.assemble(t.view, trace)
	if err != nil {
		return err
	}
	return t.count(whole, t.asked.has)
}

// addSizes adds a cell's spans.
func (s sum) addSizes(c *splitCell, sizes []uint16, counts []uint32) {
	*s.spans += uint64(c.spans)
	*s.errors += uint64(c.errors)
	s.durations.AddSizes(sizes, counts)
}

// takeSizes takes a cell's spans back; false where there were none like them.
func (s sum) takeSizes(c *splitCell, sizes []uint16, counts []uint32) bool {
	if !s.durations.TakeSizes(sizes, counts) || *s.spans < uint64(c.spans) || *s.errors < uint64(c.errors) {
		return false
	}
	*s.spans -= uint64(c.spans)
	*s.errors -= uint64(c.errors)
	return true
}

// splitCellMaker sums spans up to cells of several lists, as long as what is kept of them in the end
// fits.
type splitCellMaker struct {
	left  int                     // bytes; below 0 they do not fit, and nothing more is taken up
	stop  func()                  // is called then
	cells map[splitCellKey]uint32 // positions in keys
	keys  []splitCellKey
	pairs map[uint64]uint32 // spans, by position << splitPairBits | size << 1 | 1 where they failed
}

type splitCellKey struct {
	list  int
	start uint64
	line  line
}

// What is kept takes so many bytes: a trace's starts, a list, a cell, a size of one with its spans,
// and a name besides its text.
const (
	splitTraceBytes = 16
	splitListBytes  = 72
	splitCellBytes  = 32
	splitSizeBytes  = 6
	splitNameBytes  = 40
)

// splitPairBits is how many bits a size takes, and whether spans failed.
const splitPairBits = 12

// newSplitCellMaker gives one for so many traces and lists; stop is called once these, cells and
// names take more bytes than the bound.
func newSplitCellMaker(bytesMax, traces, lists int, stop func()) *splitCellMaker {
	m := &splitCellMaker{left: bytesMax, stop: stop, cells: map[splitCellKey]uint32{}, pairs: map[uint64]uint32{}}
	m.take(traces*splitTraceBytes + lists*splitListBytes + splitNameBytes) // one name is that of none
	return m
}

// take notes that so many bytes more will be kept.
func (m *splitCellMaker) take(bytes int) {
	if m.left -= bytes; m.left < 0 {
		m.stop()
	}
}

func (m *splitCellMaker) full() bool { return m.left < 0 }

// boundNumbers has a maker take the names that get a number, and gives none once it is full.
type boundNumbers struct {
	counter
	maker *splitCellMaker
}

func (b boundNumbers) number(service, name []byte, kind int32) uint32 {
	if b.maker.full() {
		return 0
	}
	before := len(b.numbered())
	n := b.counter.number(service, name, kind)
	if int(n) >= max(before, 1) {
		o := &b.numbered()[n]
		b.maker.take(splitNameBytes + len(o.Service) + len(o.Name))
	}
	return n
}

// add counts those of some rows in a list that have a line.
func (m *splitCellMaker) add(list int, rows []tallyRow, lines []line) {
	for i, l := range lines {
		if l.callee == 0 {
			continue
		}
		if m.full() {
			return
		}
		row := &rows[i]
		key := splitCellKey{list, row.start - row.start%splitStep, l}
		at, ok := m.cells[key]
		if !ok {
			at = uint32(len(m.keys))
			m.cells[key], m.keys = at, append(m.keys, key)
			m.take(splitCellBytes)
		}
		pair := uint64(at)<<splitPairBits | uint64(span.DurationSize(row.duration))<<1
		if row.failed {
			pair |= 1
		}
		known := len(m.pairs)
		if m.pairs[pair]++; len(m.pairs) > known {
			m.take(splitSizeBytes)
		}
	}
}

// lists gives the cells of n lists.
func (m *splitCellMaker) lists(n int) []cellList {
	order := make([]uint32, len(m.keys))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return m.keys[a].compare(&m.keys[b]) })
	places := make([]uint64, len(order))
	for place, i := range order {
		places[i] = uint64(place)
	}
	type pair struct {
		key   uint64
		spans uint32
	}
	pairs := make([]pair, 0, len(m.pairs))
	for key, spans := range m.pairs {
		pairs = append(pairs, pair{places[key>>splitPairBits]<<splitPairBits | key%(1<<splitPairBits), spans})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.key, b.key) })
	lists := make([]cellList, n)
	for place, i := range order {
		key := &m.keys[i]
		l := &lists[key.list]
		c := splitCell{start: key.start, line: key.line}
		for last := -1; len(pairs) > 0 && pairs[0].key>>splitPairBits == uint64(place); pairs = pairs[1:] {
			p := pairs[0]
			size := int(p.key % (1 << splitPairBits) >> 1)
			if size != last {
				l.sizes, l.counts, last = append(l.sizes, uint16(size)), append(l.counts, 0), size
			}
			l.counts[len(l.counts)-1] += p.spans
			c.spans += p.spans
			c.errors += p.spans * uint32(p.key%2)
		}
		c.end = uint32(len(l.sizes))
		l.cells = append(l.cells, c)
	}
	for i := range lists {
		lists[i] = cellList{exact(lists[i].cells), exact(lists[i].sizes), exact(lists[i].counts)}
	}
	return lists
}

// exact gives a copy without the room that a list has to grow.
func exact[T any](list []T) []T { return append(make([]T, 0, len(list)), list...) }

func (k *splitCellKey) compare(other *splitCellKey) int {
	return cmp.Or(cmp.Compare(k.list, other.list), cmp.Compare(k.start, other.start),
		cmp.Compare(k.line.parent, other.line.parent), cmp.Compare(k.line.callee, other.line.callee))
}

// The sizes of durations fit beside the position of a cell.
var _ = [1]struct{}{}[span.DurationSizes>>(splitPairBits-1)]
