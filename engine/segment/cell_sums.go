package segment

import (
	"errors"
	"slices"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// A merge of segments that all have cells need not count their rows again: the cells of what comes
// of it are the sums of theirs, but for the traces that stand in several of them. Those are counted
// as they stood in each, which is taken off, and as they stand together.
//
// A step can be made longer but not shorter, and counting may come to a shorter one than the sum of what the inputs
// have. So cells are summed where the inputs have the shortest step there is, or the sum gets a longer step than
// any of them has; else rows are counted. The step of sums need not be the one that counting would come to, which
// looks at how many cells there are as rows come by time: the cells are right for the step they have, within the same bounds.

// SumCells tells a merge the segments that all of its rows come from, before the first of them. Each
// trace that stands in several of them must go through a Recount. It reports whether cells are summed: not
// where rows may have to be counted, as where cells are damaged. One segment's cells are held at a time; between
// two of them between is asked whether to go on.
func (w *Writer) SumCells(inputs []*Segment, between func() error) (summed bool, err error) {
	c, bytes := newCellWriter(), int64(0)
	var steps [2]int // the longest of the inputs
	for _, s := range inputs {
		edges, operations, err := s.bothCells()
		if err != nil || edges == nil {
			return false, err
		}
		steps[0], steps[1] = max(steps[0], stepNumber(edges.Step)), max(steps[1], stepNumber(operations.Step))
		c.sum(edges, operations)
		bytes += s.info.Bytes
		if err := between(); err != nil {
			return false, err
		}
	}
	for i, t := range [...]*cellTable{&c.edges, &c.operations} {
		if !t.none {
			t.fold()
		}
		// Twice what all cells may take is more than those of one kind will.
		tooLarge := int64(len(t.pairs))*cellPairBits/8 > 2*max(cellBytesMin, bytes/cellsShare)
		if t.none || t.step == steps[i] && t.step > 0 && !tooLarge {
			return false, nil
		}
	}
	c.summed = true
	w.cells = c
	return true, nil
}

// bothCells gives the cells of both kinds; nil where the segment has none of a kind, or damaged ones.
func (s *Segment) bothCells() (edges, operations *Cells, err error) {
	if edges, err = s.EdgeCells(); err == nil {
		operations, err = s.OperationCells()
	}
	if errors.Is(err, codec.ErrCorrupt) || edges == nil || operations == nil {
		edges, operations = nil, nil
	}
	if errors.Is(err, codec.ErrCorrupt) {
		err = nil
	}
	return edges, operations, err
}

// stepNumber gives the number of a step that a segment has.
func stepNumber(step uint64) int { return slices.Index(cellSteps[:], step) }

// sum adds the cells of a segment.
func (c *cellWriter) sum(edges, operations *Cells) {
	c.edges.addCells(edges, func(cell *Cell) uint32 {
		called := callee{c.serviceNamed(edges.Services[cell.Callee]), cell.Kind}
		return c.edgeLine(c.serviceNamed(edges.Services[cell.Parent]), numberOf(c.callees, called, &c.calleeList))
	})
	c.operations.addCells(operations, func(cell *Cell) uint32 {
		o := &operations.Operations[cell.Callee]
		return c.operationLine(c.serviceNamed(o.Service), []byte(o.Name), o.Kind)
	})
	c.boundCallees()
	c.boundOperations()
}

// addCells adds cells whose lines are told by lineOf.
func (t *cellTable) addCells(cells *Cells, lineOf func(cell *Cell) uint32) {
	for !t.none && t.step < stepNumber(cells.Step) {
		t.lengthen()
	}
	for i := range cells.cells {
		if t.none {
			return
		}
		cell := cells.cells[i]
		id := t.cell(cellKey{lineOf(&cell), stepStart(cell.Start, cellSteps[t.step])})
		t.cells[id].errors += cell.Errors
		t.added += int(cell.Spans)
		for begin, end := cells.rangeOf(i); begin < end; begin++ {
			t.fresh = append(t.fresh, cellPair{id<<cellSizeBits | uint32(cells.sizes[begin]), cells.counts[begin]})
		}
		t.foldMany()
	}
	for !t.none && len(t.cells) > t.added/cellSpansMin && t.hasSteps() {
		t.lengthen()
	}
}

// addSpan adds spans of a line, or takes them off where they are minus one.
func (t *cellTable) addSpan(line uint32, start uint64, failed bool, size uint16, spans int) {
	if t.none {
		return
	}
	id := t.cell(cellKey{line, stepStart(start, cellSteps[t.step])})
	if failed {
		t.cells[id].errors += uint64(spans)
	}
	t.fresh = append(t.fresh, cellPair{id<<cellSizeBits | uint32(size), uint32(spans)})
	t.foldMany()
}

// dropEmpty forgets pairs, cells and lines of which all was taken off.
func (t *cellTable) dropEmpty() {
	t.pairs = slices.DeleteFunc(t.pairs, func(p cellPair) bool { return p.spans == 0 })
	used := make([]bool, len(t.cells))
	for _, p := range t.pairs {
		used[p.key>>cellSizeBits] = true
	}
	places, lines := make([]uint32, len(t.cells)), make([]uint32, len(t.lines)) // + 1
	cells, left := t.cells[:0], t.lines[:0]
	for i, isUsed := range used {
		if isUsed {
			cells = append(cells, t.cells[i])
			places[i] = uint32(len(cells))
			lines[t.cells[i].line] = 1
		}
	}
	for i, isUsed := range lines {
		if isUsed > 0 {
			left = append(left, t.lines[i])
			lines[i] = uint32(len(left))
		}
	}
	for i := range cells {
		cells[i].line = lines[cells[i].line] - 1
	}
	t.cells, t.lines = cells, left
	for i := range t.pairs {
		p := &t.pairs[i]
		p.key = (places[p.key>>cellSizeBits]-1)<<cellSizeBits | p.key%(1<<cellSizeBits)
	}
}

// checkSums gives up what cannot have been counted of the rows, whose spans are so many, or so many at most. That
// comes of inputs whose cells were wrong before their checksum was computed: nobody is told what the rows would
// contradict, and the rows are read. known tells the lines whose names the segment has.
func (t *cellTable) checkSums(rows int, all bool, known func(l *cellLine) bool) {
	if !t.none {
		t.fold()
	}
	if t.none {
		return
	}
	t.dropEmpty()
	total, spans := uint64(0), make([]uint64, len(t.cells))
	for _, p := range t.pairs { // one below zero is more than all rows
		total += uint64(p.spans)
		spans[p.key>>cellSizeBits] += uint64(p.spans)
	}
	wrong := total > uint64(rows) || all && total != uint64(rows)
	for i := range t.cells {
		c := &t.cells[i]
		wrong = wrong || c.errors > spans[i] || !known(&t.lines[c.line])
	}
	if wrong {
		t.giveUp()
	}
}

// Recount counts a trace that stands in several segments anew: as it stands in each, which is taken off, one
// after another, then as it stands now. It holds the rows of one of these at a time, up to cellTraceRowsMax.
type Recount struct {
	c *cellWriter
	w *Writer

	rows      []cellRow
	ids       []span.SpanID
	parentIDs []span.SpanID
	kinds     []int32
}

// Recount begins with a trace.
func (w *Writer) Recount() *Recount {
	r := &w.recount
	r.c, r.w = w.cells, w
	r.forget()
	return r
}

func (r *Recount) forget() {
	r.rows, r.ids, r.parentIDs, r.kinds = r.rows[:0], r.ids[:0], r.parentIDs[:0], r.kinds[:0]
}

// CountsCalls reports whether the rows have to be noted at all.
func (r *Recount) CountsCalls() bool { return r.c.summed && !r.c.edges.none }

// Note notes rows [from, to) of the trace, which come next, where they stand or will.
func (r *Recount) Note(c *Columns, from, to int) {
	if !r.CountsCalls() {
		return
	}
	if len(r.rows)+to-from > cellTraceRowsMax {
		r.giveUp()
		return
	}
	for row := from; row < to; row++ {
		service, kind, failed := r.factsOf(c, row)
		r.rows = append(r.rows, cellRow{
			start: c.starts[row], service: service, callee: numberOf(r.c.callees, callee{service, kind}, &r.c.calleeList),
			size: c.size(row), failed: failed,
		})
		r.kinds = append(r.kinds, kind)
	}
	r.ids, r.parentIDs = append(r.ids, c.spanIDs[from:to]...), append(r.parentIDs, c.parents[from:to]...)
	if r.c.boundCallees(); r.c.edges.none {
		r.giveUp()
	}
}

// giveUp frees what was noted for cells of edges that there will not be.
func (r *Recount) giveUp() {
	r.c.edges.giveUp()
	r.c.forgetCalls()
	*r = Recount{c: r.c, w: r.w}
}

// TakeOff takes off the calls of the rows noted, which a segment has counted, and begins anew.
func (r *Recount) TakeOff() { r.count(-1) }

// Count counts the calls of the rows noted, and begins anew.
func (r *Recount) Count() { r.count(1) }

func (r *Recount) count(spans int) {
	if r.CountsCalls() && len(r.ids) > 1 {
		r.c.parents = r.c.resolver.Resolve(r.c.parents, r.ids, r.parentIDs, r.kinds)
		for k, parent := range r.c.parents {
			if parent >= 0 && !r.c.edges.none {
				row := &r.rows[k]
				r.c.edges.addSpan(r.c.edgeLine(r.rows[parent].service, row.callee), row.start, row.failed, row.size, spans)
			}
		}
	}
	if r.forget(); r.c.summed && r.c.edges.none {
		r.giveUp()
	}
}

// Drop notes a row that stands twice: its span is counted once too often.
func (r *Recount) Drop(c *Columns, row int) {
	if r.w.keysSummed {
		r.w.dropValues(c, row)
	}
	if !r.c.summed || r.c.operations.none {
		return
	}
	service, kind, failed := r.factsOf(c, row)
	name := c.s.templates[span.SpanLevel].nameOf(c.template(row))
	r.c.operations.addSpan(r.c.operationLine(service, name, kind), c.starts[row], failed, c.size(row), -1)
}

// factsOf gives what cells ask of a row beside its times and ids.
func (r *Recount) factsOf(c *Columns, row int) (service uint32, kind int32, failed bool) {
	id := r.w.foreignOf(c.s).resource(r.w, c.group.resources[c.resources[row]])
	scalars := c.s.templates[span.SpanLevel].scalarsAt(c.template(row))
	return r.c.service(r.w.resources.batch, id), int32(scalars[scalarKind]), int32(scalars[scalarStatusCode]) == span.StatusError
}

// template gives the template of the segment that a row has.
func (c *Columns) template(row int) uint32 {
	return c.group.templates[span.SpanLevel][c.levels[span.SpanLevel].items.codes[row]]
}

// size gives the size of a row's duration.
func (c *Columns) size(row int) uint16 {
	return uint16(span.DurationSize(span.Duration(c.starts[row], c.starts[row]+c.lengths[row])))
}
