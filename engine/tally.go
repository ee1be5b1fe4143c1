package engine

import (
	"cmp"
	"context"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// tally counts the spans that start in a range. What they are counted for, edges of the service
// graph or operations, is for a counter to say. See cells.go for how an answer is put together.
type tally struct {
	ctx      context.Context
	view     *view
	segments []*segment.Segment // of the view
	split    *splitTraces
	counter  counter
	asked    timeRange
	covers   []cover              // by segment
	readers  map[int]*factsReader // by segment
	parts    []tallyPart
	merged   []tallyRow
	lines    []line

	// kept keeps the cells of split traces, nil for who asks for rows; everything is a counter of
	// the same kind for all there is.
	kept       *keptSplit
	everything counter
}

// counter says what spans are counted for, and where. One serves one tally.
type counter interface {
	// number gives that of an operation, or of its service where nothing else counts, from 1 on; 0
	// where nothing of it is asked for.
	number(service, name []byte, kind int32) uint32
	// numbered gives all that have a number, by number.
	numbered() []span.Operation
	// lines appends a line for each of the rows of a trace, in their order.
	lines(dst []line, rows []tallyRow) []line
	// sum gives what was counted of a line, of spans that start then.
	sum(l line, start uint64) (sum, error)
	// cells gives the cells of a segment; nil where there are none, or not to be used.
	cells(l *segment.Segment) (*segment.Cells, error)
	// fits reports whether an answer takes steps of a length whole, 0 for one of all time, where
	// rows start in a range.
	fits(step uint64, rows timeRange) bool
}

// line is what a span is counted for, in numbers: an edge, or an operation, whose parent is 0.
// A callee of 0 is nothing.
type line struct{ parent, callee uint32 }

// sum is where spans are counted, in the answer.
type sum struct {
	spans, errors *uint64
	durations     *span.Durations
}

func (s sum) add(row *tallyRow) {
	*s.spans++
	if row.failed {
		*s.errors++
	}
	s.durations.Add(row.duration, 1)
}

// take takes back a span; false where there was none like it.
func (s sum) take(row *tallyRow) bool {
	if !s.durations.Take(row.duration) || row.failed && *s.errors == 0 {
		return false
	}
	*s.spans--
	if row.failed {
		*s.errors--
	}
	return true
}

// tallyRow is a row as the service graph and rates need it.
type tallyRow struct {
	start, duration uint64
	id, parentID    span.SpanID
	kind            int32
	who             uint32 // as counter numbers it
	failed          bool
}

// compare is span.Compare, but for content.
func (r *tallyRow) compare(other *tallyRow) int {
	return cmp.Or(cmp.Compare(r.start, other.start), r.id.Compare(other.id), cmp.Compare(r.kind, other.kind))
}

// tallyPart is a split trace's rows in one source; segment is -1 for memtables.
type tallyPart struct {
	segment int
	rows    []tallyRow
	at      int // rows before were merged
}

func newTally(ctx context.Context, v *view, counter counter, asked timeRange) (*tally, error) {
	split, err := v.splitTraces(ctx)
	if err != nil {
		return nil, err
	}
	return &tally{
		ctx: ctx, view: v, segments: split.segments.opened, split: split, counter: counter, asked: asked,
		covers: make([]cover, len(v.segments)), readers: map[int]*factsReader{},
	}, nil
}

// countSegments counts the traces of segments that are not split, and with them, in cells, those
// that are. rest counts those rows of a segment that its cover asks for.
func (t *tally) countSegments(rest func(segment int, cover *cover) error) error {
	for i, l := range t.segments {
		cover := &t.covers[i]
		cover.cells = noTime
		info := l.Info()
		rows := timeRange{info.MinStart, info.MaxStart}
		if !rows.meets(t.asked) {
			continue
		}
		cells, err := t.counter.cells(l)
		if err != nil {
			return err
		}
		if cells == nil || !t.counter.fits(cells.Step, rows) {
			cover.rest = []timeRange{t.asked}
		} else {
			*cover = coverOf(cells.Step, rows, t.asked)
			if err := t.addCells(cells, cover.cells, info.MinStart); err != nil {
				return err
			}
		}
		if len(cover.rest) > 0 {
			if err := rest(i, cover); err != nil {
				return err
			}
		}
	}
	return nil
}

// addCells adds up the cells of steps in a range, of rows that start at least then.
func (t *tally) addCells(cells *segment.Cells, steps timeRange, least uint64) error {
	parents, callees := t.numbersOf(cells)
	for i := cells.From(steps.min); i < cells.Len(); i++ {
		cell := cells.At(i)
		if cell.Start > steps.max {
			break
		}
		l := line{parents[cell.Parent], callees[cell.Callee]}
		if l.callee == 0 {
			continue
		}
		sum, err := t.counter.sum(l, max(cell.Start, least))
		if err != nil {
			return err
		}
		*sum.spans += cell.Spans
		*sum.errors += cell.Errors
		cells.AddTo(sum.durations, i)
	}
	return nil
}

// numbersOf gives the numbers of what Parent and Callee of cells are positions in.
func (t *tally) numbersOf(cells *segment.Cells) (parents, callees []uint32) {
	if cells.Operations != nil {
		return []uint32{0}, numbersOf(t.counter, cells.Operations)
	}
	numbers := make([]uint32, len(cells.Services))
	for i, name := range cells.Services {
		numbers[i] = t.counter.number([]byte(name), nil, 0)
	}
	return numbers, numbers
}

// numbersOf gives the numbers of operations.
func numbersOf(c counter, list []span.Operation) []uint32 {
	numbers := make([]uint32, len(list))
	for i, o := range list {
		numbers[i] = c.number([]byte(o.Service), []byte(o.Name), o.Kind)
	}
	return numbers
}

// linesOf gives the lines of the rows of a trace, good until the next call.
func (t *tally) linesOf(rows []tallyRow) []line {
	t.lines = t.counter.lines(t.lines[:0], rows)
	return t.lines
}

// count counts the rows of a trace whose start asks says yes to.
func (t *tally) count(rows []tallyRow, asks func(start uint64) bool) error {
	for i, l := range t.linesOf(rows) {
		if l.callee == 0 || !asks(rows[i].start) {
			continue
		}
		sum, err := t.counter.sum(l, rows[i].start)
		if err != nil {
			return err
		}
		sum.add(&rows[i])
	}
	return nil
}

// takeBack is the opposite of count.
func (t *tally) takeBack(rows []tallyRow, asks func(start uint64) bool, from *segment.Segment) error {
	for i, l := range t.linesOf(rows) {
		if l.callee == 0 || !asks(rows[i].start) {
			continue
		}
		sum, err := t.counter.sum(l, rows[i].start)
		if err != nil {
			return err
		}
		if !sum.take(&rows[i]) {
			return wrongCells(from)
		}
	}
	return nil
}

// countSplit counts the split traces, each assembled, and takes from cells what they hold of them.
func (t *tally) countSplit() error {
	cells, err := t.splitCells()
	if err != nil {
		return err
	}
	traces := t.split.all()
	if cells != nil {
		if err := t.countSplitCells(cells); err != nil {
			return err
		}
		traces = t.split.inTables()
	}
	for trace := range traces {
		if err := t.countOnce(trace); err != nil {
			return err
		}
	}
	return t.ctx.Err()
}

// countOnce does so for one.
func (t *tally) countOnce(trace *splitTrace) error {
	if !t.split.reaches(trace, t.asked) {
		return nil
	}
	parts, whole, err := t.assemble(t.view, trace)
	if err != nil {
		return err
	}
	for i := range parts {
		part := &parts[i]
		if part.segment < 0 || t.covers[part.segment].cells == noTime {
			continue
		}
		if err := t.takeBack(part.rows, t.covers[part.segment].cells.has, t.segments[part.segment]); err != nil {
			return err
		}
	}
	return t.count(whole, t.asked.has)
}

// assemble gives a split trace as it stands in each source of a view, the tally's or one that is
// less, and as it is over all of them: distinct rows in the order of span.Compare. Both are good
// until the next call.
func (t *tally) assemble(v *view, trace *splitTrace) (parts []tallyPart, whole []tallyRow, err error) {
	parts, t.parts = t.parts[:0], nil
	more := func(segment int) *tallyPart {
		if len(parts) < cap(parts) {
			parts = parts[:len(parts)+1]
		} else {
			parts = append(parts, tallyPart{})
		}
		p := &parts[len(parts)-1]
		p.segment, p.at, p.rows = segment, 0, p.rows[:0]
		return p
	}
	for _, place := range trace.places {
		p := more(int(place.segment))
		if p.rows, err = t.reader(int(place.segment)).rows(p.rows, int(place.trace), true); err != nil {
			return nil, nil, err
		}
	}
	for _, table := range v.tables {
		if rows := table.trace(nil, trace.id, table.count); len(rows) > 0 {
			p := more(-1)
			for _, row := range rows {
				p.rows = append(p.rows, t.rowOf(row))
			}
		}
	}
	t.parts = parts
	if len(parts) == 1 {
		return parts, parts[0].rows, t.ctx.Err()
	}
	if whole, ok := t.merge(parts); ok {
		return parts, whole, t.ctx.Err()
	}
	t.merged = t.merged[:0]
	err = v.mergeRows(t.ctx, trace.id, allColumns, func(row span.Row) error {
		t.merged = append(t.merged, t.rowOf(row))
		return nil
	})
	return parts, t.merged, err
}

// merge merges the parts by start, id and kind. false: two are equal in that, and only their
// content tells whether they are one span.
func (t *tally) merge(parts []tallyPart) ([]tallyRow, bool) {
	t.merged = t.merged[:0]
	for {
		var least *tallyPart
		for i := range parts {
			p := &parts[i]
			if p.at == len(p.rows) {
				continue
			}
			if least == nil {
				least = p
				continue
			}
			switch c := p.rows[p.at].compare(&least.rows[least.at]); {
			case c == 0:
				return nil, false
			case c < 0:
				least = p
			}
		}
		if least == nil {
			return t.merged, true
		}
		t.merged = append(t.merged, least.rows[least.at])
		least.at++
	}
}

// rowOf tells a row of a batch.
func (t *tally) rowOf(row span.Row) tallyRow {
	return tallyRow{
		start: row.Start(), duration: row.Duration(), id: row.SpanID(), parentID: row.ParentID(), kind: row.Kind(),
		who: t.counter.number(row.Service(), row.Name(), row.Kind()), failed: row.StatusCode() == span.StatusError,
	}
}
