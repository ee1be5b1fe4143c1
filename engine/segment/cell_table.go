package segment

import (
	"math"
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// cellTable collects the cells of one kind while a segment is written: of a line (an edge with
// a kind, or an operation) and a step of time, how many spans there were of each size, and how
// many failed.
//
// Rows come by time: nearly all spans of a line fall into the step of the one before, or the next
// one. Its sizes are counted in place, and leave as pairs of cell and size when a later step
// begins. Pairs are noted one after another and folded when there are many: sorting numbers goes
// over memory in order, where a table would be hit at another place by each span.
//
// Counts in place are hit at another place by each span too. So spans wait until there are
// spansWaitingMax, and are counted in two loops: one finds the counts, which are asked of memory
// all at once in the other.
//
// It begins with the shortest step. Whenever there are too many pairs, cells go together to those
// of the next longer one; where even one step for all time has too many, it gives up. When that
// is looked at is a matter of the spans added so far, which come in the order of the segment's
// rows: what comes out of counting is a function of the rows, not of row groups.
type cellTable struct {
	step    int  // in cellSteps
	none    bool // given up: nothing is held any more
	lines   []cellLine
	cells   []cellSum
	cellIDs map[cellKey]uint32 // + 1
	pairs   []cellPair         // by key, each once
	fresh   []cellPair         // those noted since
	spare   []cellPair
	room    []uint32 // for counts of lines
	added   int      // spans

	waiting [spansWaitingMax]cellSpan
	waits   int // spans in it; lines that come after them wait for them

	// The step that the span added last starts in: its first nanosecond, and how many follow.
	first, more uint64
}

// cellSpan is a span of a line.
type cellSpan struct {
	start  uint64
	line   uint32
	size   uint16
	failed bool
}

// cellLine is what cells of all steps have in common, and the cell at hand: that of the latest
// step so far, which begins at first.
type cellLine struct {
	first          uint64   // noStep without a cell at hand
	counts         []uint32 // of the cell at hand, by size; nil where it is not counted in place
	low            uint32   // size of counts[0]
	cell           uint32
	parent, callee uint32 // as cellWriter numbers them, at last as the segment does
	kind           int32
	counted        bool // in place; not so where there are many lines
}

// noStep is where no step begins: the lengths of steps are even.
const noStep = math.MaxUint64

type cellKey struct {
	line  uint32
	start uint64
}

type cellSum struct {
	cellKey
	errors uint64
}

// cellPair is a cell and a size, as cell * 2^11 + size, and how many spans it has.
type cellPair struct{ key, spans uint32 }

const cellSizeBits = 11

func newCellTable() cellTable {
	t := cellTable{cellIDs: map[cellKey]uint32{}}
	t.moveTo(0)
	return t
}

// giveUp frees what is held.
func (t *cellTable) giveUp() { *t = cellTable{none: true} }

// line gives a new line. How many there are decides about steps, so it comes behind the spans
// that wait. Where these are too many, the table is given up, and has no lines.
func (t *cellTable) line(parent, callee uint32, kind int32) uint32 {
	if t.count(); t.none {
		return 0
	}
	counted := len(t.lines) < countedLinesMax
	t.lines = append(t.lines, cellLine{parent: parent, callee: callee, kind: kind, counted: counted, first: noStep})
	return uint32(len(t.lines) - 1)
}

// stepStart gives where the step of a time begins; a length of 0 is all time.
func stepStart(start, length uint64) uint64 {
	if length == 0 {
		return 0
	}
	return start - start%length
}

// moveTo makes the step of a time the one at hand.
func (t *cellTable) moveTo(start uint64) {
	t.first, t.more = stepStart(start, cellSteps[t.step]), math.MaxUint64
	if length := cellSteps[t.step]; length > 0 {
		t.more = length - 1
	}
}

// add has a span of a line wait to be counted: many at once let the processor load what they count in
// beside each other.
func (t *cellTable) add(line uint32, start uint64, failed bool, size uint16) {
	t.waiting[t.waits] = cellSpan{start, line, size, failed}
	if t.waits++; t.waits == spansWaitingMax {
		t.count()
	}
}

// count counts the spans that wait.
func (t *cellTable) count() {
	var places [spansWaitingMax]*uint32 // of counts that get one more
	found := 0
	spans := t.waiting[:t.waits]
	t.waits = 0
	for i := range spans {
		if t.none {
			return
		}
		s := &spans[i]
		if s.start < t.first || s.start-t.first > t.more {
			t.moveTo(s.start)
		}
		t.added++
		l := &t.lines[s.line]
		at := uint32(s.size) - l.low // wraps below low
		if l.first != t.first || at >= uint32(len(l.counts)) {
			addOnes(places[:found])
			found = 0
			t.addSlowly(s)
			continue
		}
		if s.failed {
			t.cells[l.cell].errors++
		}
		places[found] = &l.counts[at]
		found++
	}
	addOnes(places[:found])
}

func addOnes(counts []*uint32) {
	for _, n := range counts {
		*n++
	}
}

// addSlowly counts a span that has no count in place.
func (t *cellTable) addSlowly(s *cellSpan) {
	l := &t.lines[s.line]
	if l.first != t.first {
		t.addElsewhere(s)
		return
	}
	if s.failed {
		t.cells[l.cell].errors++
	}
	t.note(l, l.cell, uint32(s.size))
}

// note counts a size of a cell.
func (t *cellTable) note(l *cellLine, cell, size uint32) {
	if l.counted && cell == l.cell {
		if size-l.low >= uint32(len(l.counts)) {
			l.reach(size, t)
		}
		l.counts[size-l.low]++
		return
	}
	t.fresh = append(t.fresh, cellPair{cell<<cellSizeBits | size, 1})
	t.foldMany()
}

// reach makes room for the count of a size. Most lines have sizes of a few octaves: counts of
// those alone stay in the processor's cache, where one table of all sizes for each line would not.
func (l *cellLine) reach(size uint32, t *cellTable) {
	low := size - size%countedSizes
	end := low + countedSizes
	if n := uint32(len(l.counts)); n > 0 {
		low, end = min(low, l.low), max(end, l.low+n)
		if end-low < 2*n { // at least twice as many, or growing would go on and on
			end = low + 2*n
		}
	}
	counts := t.newCounts(int(end - low))
	copy(counts[l.low-min(low, l.low):], l.counts)
	l.low, l.counts = low, counts
}

// newCounts gives memory for counts, which come with each line.
func (t *cellTable) newCounts(n int) []uint32 {
	if n > len(t.room) {
		t.room = make([]uint32, max(n, countsRoom))
	}
	counts := t.room[:n:n]
	t.room = t.room[n:]
	return counts
}

// foldMany folds what was noted where that is much.
func (t *cellTable) foldMany() {
	if len(t.fresh) >= max(freshPairsMin, len(t.pairs)/2) {
		t.fold()
	}
}

// addElsewhere counts a span of another step than that of the line's cell at hand; a later one
// becomes that. Where cells have few spans each, their step was too short.
func (t *cellTable) addElsewhere(s *cellSpan) {
	l := &t.lines[s.line]
	if l.first != noStep && l.first < t.first {
		t.drain(l)
		if t.foldMany(); t.none { // it may have gone to a longer step, or given up
			return
		}
	}
	cell := t.cell(cellKey{s.line, t.first})
	if l.first == noStep {
		l.cell, l.first = cell, t.first
	}
	if s.failed {
		t.cells[cell].errors++
	}
	if t.note(l, cell, uint32(s.size)); len(t.cells) > t.added/cellSpansMin && t.hasSteps() {
		t.lengthen()
	}
}

// drain notes what was counted of the cell at hand of a line, which then has none.
func (t *cellTable) drain(l *cellLine) {
	if l.first == noStep {
		return
	}
	l.first = noStep
	if n := len(t.fresh); n+len(l.counts) > cap(t.fresh) {
		t.fresh = slices.Grow(t.fresh, n+len(l.counts)) // twice as many: they are copied less often
	}
	for at := 0; at < len(l.counts); at += 8 {
		eight := (*[8]uint32)(l.counts[at:])
		if eight[0]|eight[1]|eight[2]|eight[3]|eight[4]|eight[5]|eight[6]|eight[7] == 0 {
			continue
		}
		for i, n := range eight {
			if n > 0 {
				t.fresh = append(t.fresh, cellPair{l.cell<<cellSizeBits | (l.low + uint32(at+i)), n})
			}
		}
		*eight = [8]uint32{}
	}
}

// cell gives the cell of a line and step.
func (t *cellTable) cell(key cellKey) uint32 {
	id := t.cellIDs[key]
	if id == 0 {
		t.cells = append(t.cells, cellSum{cellKey: key})
		id = uint32(len(t.cells))
		t.cellIDs[key] = id
	}
	return id - 1
}

// fold adds up what was noted, and goes to longer steps where that is too much.
func (t *cellTable) fold() {
	t.fresh, t.spare = sortPairs(t.fresh, t.spare)
	merged, old := slices.Grow(t.spare[:0], len(t.pairs)+len(t.fresh)), t.pairs
	for _, p := range t.fresh {
		for len(old) > 0 && old[0].key < p.key {
			merged = append(merged, old[0])
			old = old[1:]
		}
		if len(old) > 0 && old[0].key == p.key {
			p.spans += old[0].spans
			old = old[1:]
		}
		if n := len(merged); n > 0 && merged[n-1].key == p.key {
			merged[n-1].spans += p.spans
			continue
		}
		merged = append(merged, p)
	}
	t.pairs, t.spare, t.fresh = append(merged, old...), t.pairs, t.fresh[:0]
	for !t.none && t.tooMany() {
		t.lengthen()
	}
}

// tooMany reports more pairs than are held, or more than the spans so far would pay for where a
// longer step may make them fewer.
func (t *cellTable) tooMany() bool {
	return len(t.pairs) > cellPairsMax || len(t.pairs) > max(freshPairsMin, t.added/pairSpansMin) && t.hasSteps()
}

// hasSteps reports whether lines have cells of several steps each: those would become fewer by a
// longer one.
func (t *cellTable) hasSteps() bool { return len(t.cells) > max(cellsMin, 2*len(t.lines)) }

// sortPairs sorts by key: by digits from the lowest up, which is as fast as it gets for so many
// numbers below 2^33. It gives the sorted pairs, and memory for the next time.
func sortPairs(pairs, scratch []cellPair) (sorted, spare []cellPair) {
	most := uint32(0)
	for _, p := range pairs {
		most = max(most, p.key)
	}
	scratch = slices.Grow(scratch[:0], len(pairs))[:len(pairs)]
	const digits = 1 << cellSizeBits
	for shift := 0; most>>shift > 0; shift += cellSizeBits {
		var places [digits]uint32
		for _, p := range pairs {
			places[p.key>>shift%digits]++
		}
		sum := uint32(0)
		for digit, n := range places {
			places[digit], sum = sum, sum+n
		}
		for _, p := range pairs {
			place := &places[p.key>>shift%digits]
			scratch[*place] = p
			*place++
		}
		pairs, scratch = scratch, pairs
	}
	return pairs, scratch
}

// lengthen goes to the next longer step, or gives up behind the last one.
func (t *cellTable) lengthen() {
	if t.step+1 == len(cellSteps) {
		t.giveUp()
		return
	}
	for i := range t.lines {
		t.drain(&t.lines[i])
	}
	t.step++
	cells := t.cells
	t.cells, t.cellIDs = nil, map[cellKey]uint32{}
	ids := make([]uint32, len(cells))
	for i, c := range cells {
		ids[i] = t.cell(cellKey{c.line, stepStart(c.start, cellSteps[t.step])})
		t.cells[ids[i]].errors += c.errors
	}
	t.moveTo(t.first)
	if len(t.cells) == len(cells) {
		return // none went together: each has the number that it had
	}
	for _, list := range [][]cellPair{t.pairs, t.fresh} {
		for i := range list {
			p := &list[i]
			p.key = ids[p.key>>cellSizeBits]<<cellSizeBits | p.key%(1<<cellSizeBits)
		}
	}
	t.pairs, t.spare = sortPairs(t.pairs, t.spare)
	n := 0
	for _, p := range t.pairs {
		if n > 0 && t.pairs[n-1].key == p.key {
			t.pairs[n-1].spans += p.spans
			continue
		}
		t.pairs[n] = p
		n++
	}
	t.pairs = t.pairs[:n]
}

// lengthenToFewer goes to the shortest step that has fewer cells: the same cells under a longer step
// take as many bytes, but for a few. One of each line, which get no fewer, go to the last step, where
// they stand by their names alone; beyond that it gives up.
func (t *cellTable) lengthenToFewer() {
	if last := len(cellSteps) - 1; len(t.cells) <= len(t.lines) && t.step < last {
		for !t.none && t.step < last {
			t.lengthen()
		}
		return
	}
	for cells := len(t.cells); !t.none && len(t.cells) == cells; {
		t.lengthen()
	}
}

// The sizes of durations fit beside the number of a cell.
var _ = [1]struct{}{}[span.DurationSizes>>cellSizeBits]
