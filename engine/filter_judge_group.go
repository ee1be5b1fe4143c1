package engine

import (
	"math"
	"strconv"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// groupJudge is what a judge knows of the row group it is in.
type groupJudge struct {
	scan     *segment.GroupScan
	isFew    bool // hardly a row is open: it is read sooner than a column is looked through
	index    int
	info     segment.GroupInfo
	starts   []uint64
	lengths  []uint64         // none until a row asks
	times    [][]uint64       // by slot of a leaf on a time: bits of the rows that pass; nil until a row asks
	elements []elementsAnswer // by slot
	columns  []columnAnswer
	offsets  []uint64 // of events from the starts of their spans; nil until one asks
	text     [20]byte
}

// enter goes to a row group.
func (j *judge) enter(group int, scan *segment.GroupScan) {
	g := &j.group
	g.scan, g.index, g.info = scan, group, j.l.Group(group)
	g.starts, g.lengths, g.offsets = nil, g.lengths[:0], nil
	g.times = cleared(g.times, j.filter.slots)
	g.elements = cleared(g.elements, j.filter.slots)
	g.columns = cleared(g.columns, len(j.columns))
}

// inGroup answers for a template and a class in the group.
func (j *judge) inGroup(template, class int) answer {
	j.stage, j.at[span.SpanLevel], j.class = ofGroup, template, class
	return j.filter.root.judge(j)
}

// rest is what a template and a class leave open of the filter, for rows of the group: parts
// that they decide are not in it.
func (j *judge) rest(template, class int) node {
	j.stage, j.at[span.SpanLevel], j.class = ofGroup, template, class
	return j.restOf(j.filter.root)
}

func (j *judge) restOf(n node) node {
	if a := n.judge(j); a != answerOpen {
		return truth(a == answerYes)
	}
	switch n := n.(type) {
	case allOf:
		parts := j.restParts(n)
		if len(parts) == 1 {
			return parts[0]
		}
		return allOf(parts)
	case anyOf:
		parts := j.restParts(n)
		if len(parts) == 1 {
			return parts[0]
		}
		return anyOf(parts)
	case notNode:
		return notNode{j.restOf(n.part)}
	}
	return n
}

// restParts gives the open parts of an and or an or that is open: the others say nothing.
func (j *judge) restParts(parts []node) (open []node) {
	for _, part := range parts {
		if part.judge(j) == answerOpen {
			open = append(open, j.restOf(part))
		}
	}
	return open
}

// ofRow answers for a row of the group by what is left of the filter; starts are those of
// its rows.
func (j *judge) ofRow(rest node, row, template, class int, starts []uint64) (answer, error) {
	j.stage, j.at[span.SpanLevel], j.class, j.row = ofRow, template, class, row
	j.group.starts = starts
	a := rest.judge(j)
	return a, j.failure()
}

// askTime answers a leaf on a time of the span, which always has one.
func (j *judge) askTime(f span.Field, slot uint32, test valueTest) answer {
	switch {
	case test == nil:
		return answerYes
	case j.stage == ofGroup:
		return j.inRanges(f, test)
	case j.stage == ofSegment:
		return answerOpen
	}
	if j.group.times[slot] == nil {
		j.timesOf(f, slot, test)
	}
	if j.failure() != nil {
		return answerOpen
	}
	return answerOf(hasBit(j.group.times[slot], j.row))
}

// timesOf asks a time of all rows of the group.
func (j *judge) timesOf(f span.Field, slot uint32, test valueTest) {
	g := &j.group
	rows := make([]uint64, (g.info.Rows+63)/64)
	g.times[slot] = rows
	if order, ok := test.(*orderTest); ok && f == span.SpanDuration && order.isAbove() && g.info.MaxStart <= math.MaxInt64 {
		j.markAbove(rows, order)
		return
	}
	if f != span.SpanStartTime && len(g.lengths) == 0 {
		if g.lengths, j.err = g.scan.Lengths(g.lengths, nil); j.err != nil {
			return
		}
	}
	v := &j.runs[span.SpanLevel].tested
	for row, start := range g.starts {
		*v = filterValue{kind: instantKind, bits: start}
		switch f {
		case span.SpanEndTime:
			v.bits = start + g.lengths[row]
		case span.SpanDuration:
			*v = filterValue{kind: durationKind, bits: span.Duration(start, start+g.lengths[row])}
		}
		if test.passes(j.runs[span.SpanLevel], v) {
			rows[row/64] |= 1 << (row % 64)
		}
	}
}

// markAbove marks the rows that last longer, by the zone maps of their lengths. The length of
// those that end before they start wraps to more than an int64; that of others never does,
// where no start is beyond one.
func (j *judge) markAbove(rows []uint64, order *orderTest) {
	low := uint64(order.constant.Int)
	if order.op == span.Greater {
		low++
	}
	var found []uint32
	found, j.err = j.group.scan.LengthsBetween(nil, low, math.MaxInt64)
	for _, row := range found {
		rows[row/64] |= 1 << (row % 64)
	}
}

// isAbove reports whether the test asks for durations above a positive one.
func (t *orderTest) isAbove() bool {
	return (t.op == span.Greater || t.op == span.GreaterOrEqual) && t.constant.Type == span.DurationConstant &&
		t.constant.Int > 0 && t.constant.Int < math.MaxInt64
}

// inRanges answers for all rows of a group by its ranges, where the test is an order: what
// fails at the better end fails between, what passes at the worse passes.
func (j *judge) inRanges(f span.Field, test valueTest) answer {
	order, ok := test.(*orderTest)
	if !ok || f == span.SpanEndTime {
		return answerOpen
	}
	info := &j.group.info
	low, high := filterValue{kind: instantKind, bits: info.MinStart}, filterValue{kind: instantKind, bits: info.MaxStart}
	if f == span.SpanDuration {
		low, high = filterValue{kind: durationKind}, filterValue{kind: durationKind, bits: info.MaxDuration}
	}
	a, b := order.passes(nil, &low), order.passes(nil, &high)
	switch {
	case a && b:
		return answerYes
	case !a && !b:
		return answerNo
	}
	return answerOpen
}

// bounds narrows the query's ranges to those that every match keeps by a filter that is one
// of comparisons of start and duration with a constant, or an and with some.
func (f *compiledFilter) bounds(q *span.Query) { boundsOf(f.source, q) }

func boundsOf(f span.Filter, q *span.Query) {
	switch f := f.(type) {
	case span.And:
		for _, part := range f.Parts {
			boundsOf(part, q)
		}
	case span.Comparison:
		op, reference, constant := f.Op, f.Left, f.Right
		if _, turned := reference.(span.Constant); turned {
			op, reference, constant = op.Turned(), f.Right, f.Left
		}
		c, ok := constant.(span.Constant)
		switch {
		case !ok:
		case reference == span.SpanStartTime && c.Type == span.InstantConstant:
			narrowStart(q, op, c)
		case reference == span.SpanDuration && c.Type == span.DurationConstant:
			narrowDuration(q, op, c.Int)
		}
	}
}

func narrowStart(q *span.Query, op span.Comparator, c span.Constant) {
	at, side := instantOf(c)
	if side != 0 {
		return // before or after all: rare, and the filter says it
	}
	switch op {
	case span.Greater, span.GreaterOrEqual:
		q.StartMin = max(q.StartMin, at)
	case span.Less, span.LessOrEqual:
		q.StartMax = min(q.StartMax, at)
	case span.Equal:
		q.StartMin, q.StartMax = max(q.StartMin, at), min(q.StartMax, at)
	}
}

// narrowDuration takes care that a DurationMax of 0 means none.
func narrowDuration(q *span.Query, op span.Comparator, nanos int64) {
	if nanos <= 0 {
		return
	}
	if op == span.Greater || op == span.GreaterOrEqual || op == span.Equal {
		q.DurationMin = max(q.DurationMin, uint64(nanos))
	}
	if op == span.Less || op == span.LessOrEqual || op == span.Equal {
		if q.DurationMax == 0 {
			q.DurationMax = math.MaxUint64
		}
		q.DurationMax = min(q.DurationMax, uint64(nanos))
	}
}

func hasBit(set []uint64, i int) bool { return set[i/64]>>(i%64)&1 != 0 }

func appendInt(dst []byte, v int64) []byte { return strconv.AppendInt(dst, v, 10) }
