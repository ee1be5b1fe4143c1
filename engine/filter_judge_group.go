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
	index    int
	info     segment.GroupInfo
	starts   []uint64
	lengths  []uint64 // none until a row asks
	elements []elementsAnswer
	columns  []columnAnswer
	text     [20]byte
}

// elementsAnswer is what is known of a leaf, or a Some, over events or links.
type elementsAnswer struct {
	known   bool
	best    answer   // over the templates that the group has
	answers []answer // by code of a template
	yes     []uint64 // bits of the rows with an element for which it holds; nil until a row asks
	may     []uint64
}

// columnAnswer is what is known of a leaf on the values of a column.
type columnAnswer struct {
	inGroup uint8 // answer + 1, 0 where nobody asked yet
	tried   bool
	rows    []uint64 // bits of the rows with such a value; nil where they were not looked for
}

// markedMax is how many constants are looked for in a column: for more, rows are read.
const markedMax = 16

// enter goes to a row group.
func (j *judge) enter(group int, scan *segment.GroupScan) {
	g := &j.group
	g.scan, g.index, g.info = scan, group, j.l.Group(group)
	g.starts, g.lengths = nil, g.lengths[:0]
	g.elements = cleared(g.elements, j.filter.slots)
	g.columns = cleared(g.columns, len(j.columns))
}

// inGroup answers for a template and a class in the group.
func (j *judge) inGroup(template, class int) answer {
	j.stage, j.at[span.SpanLevel], j.class = ofGroup, template, class
	return j.filter.root.judge(j)
}

// ofRow answers for a row of the group; starts are those of its rows.
func (j *judge) ofRow(row, template, class int, starts []uint64) (answer, error) {
	j.stage, j.at[span.SpanLevel], j.class, j.row = ofRow, template, class, row
	j.group.starts = starts
	a := j.filter.root.judge(j)
	return a, j.err
}

// elementPart is a node that asks something of the elements of a level.
type elementPart interface {
	// judgeElement answers for the element whose template j.at has.
	judgeElement(j *judge) answer
}

// ofElements answers a part over all elements of a level.
func (j *judge) ofElements(part elementPart, slot uint32, level span.Level) answer {
	if j.stage == ofSegment {
		return answerOpen
	}
	e := &j.group.elements[slot]
	if !e.known {
		j.learnElements(e, part, level)
	}
	switch {
	case e.best == answerNo:
		return answerNo
	case j.stage == ofGroup:
		return answerOpen
	}
	if e.yes == nil {
		e.yes = j.marked(level, func(code int) bool { return code < len(e.answers) && e.answers[code] == answerYes })
		e.may = j.marked(level, func(code int) bool { return code >= len(e.answers) || e.answers[code] != answerNo })
	}
	switch {
	case hasBit(e.yes, j.row):
		return answerYes
	case hasBit(e.may, j.row):
		return answerOpen
	}
	return answerNo
}

// learnElements asks each template of the level that the group has. What else the row has is
// not known then.
func (j *judge) learnElements(e *elementsAnswer, part elementPart, level span.Level) {
	before, class, stage := j.at, j.class, j.stage
	shared, whole := j.group.scan.Templates(level)
	*e = elementsAnswer{known: true, answers: make([]answer, len(shared))}
	if !whole {
		e.best = answerOpen
	}
	j.at = [span.Levels]int{unbound, unbound, unbound, unbound, unbound}
	j.class, j.stage = unbound, ofGroup
	for code, template := range shared {
		j.at[level] = int(template)
		e.answers[code] = part.judgeElement(j)
		e.best = max(e.best, e.answers[code])
	}
	j.at, j.class, j.stage = before, class, stage
}

// marked gives the rows that have an element of certain templates.
func (j *judge) marked(level span.Level, holds func(code int) bool) []uint64 {
	rows := make([]uint64, (j.group.info.Rows+63)/64)
	if err := j.group.scan.MarkTemplates(rows, level, holds); err != nil {
		j.err = err
	}
	return rows
}

func (j *judge) columnOf(slot, column uint32) *columnAnswer {
	key := columnTest{slot, column}
	at, ok := j.columns[key]
	if !ok {
		at = uint32(len(j.columns))
		j.columns[key] = at
	}
	for int(at) >= len(j.group.columns) {
		j.group.columns = append(j.group.columns, columnAnswer{})
	}
	return &j.group.columns[at]
}

// rowsOf gives the rows that have one of the constants in a column; nil where that was not
// looked for.
func (j *judge) rowsOf(c *columnAnswer, column uint32, kind span.ValueType, test *equalTest) []uint64 {
	if c.tried {
		return c.rows
	}
	c.tried = true
	n := len(test.texts.list)
	if kind == span.IntValue {
		n = len(test.ints.list)
	}
	if n > markedMax {
		return nil
	}
	rows := make([]uint64, (j.group.info.Rows+63)/64)
	for i := range n {
		var err error
		if kind == span.IntValue {
			err = j.group.scan.MarkValues(rows, column, nil, uint64(test.ints.list[i]))
		} else {
			err = j.group.scan.MarkValues(rows, column, []byte(test.texts.list[i]), 0)
		}
		if err != nil {
			j.err = err
			return nil
		}
	}
	c.rows = rows
	return rows
}

// askTime answers a leaf on a time of the span, which always has one.
func (j *judge) askTime(f span.Field, test valueTest) answer {
	switch {
	case test == nil:
		return answerYes
	case j.stage == ofGroup:
		return j.inRanges(f, test)
	case j.stage == ofSegment:
		return answerOpen
	}
	v := filterValue{kind: instantKind, bits: j.group.starts[j.row]}
	if f != span.SpanStartTime {
		if len(j.group.lengths) == 0 {
			var err error
			if j.group.lengths, err = j.group.scan.Lengths(j.group.lengths, nil); err != nil {
				j.err = err
				return answerOpen
			}
		}
		end := v.bits + j.group.lengths[j.row]
		if f == span.SpanDuration {
			v = filterValue{kind: durationKind, bits: span.Duration(v.bits, end)}
		} else {
			v.bits = end
		}
	}
	return asked(test, j.runs[span.SpanLevel], v)
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
