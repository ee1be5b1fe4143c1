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
// A step can be made longer but not shorter. So that is for merges whose step comes out longer than those of
// the inputs, or where these have the shortest there is: else a shorter one might do, and
// rows are counted.

// SumCells tells a merge the segments that all of its rows come from, before the first of them. Each
// trace that stands in several of them must go through a Recount. It reports whether cells are summed: not
// where rows may have to be counted, as where cells are damaged.
func (w *Writer) SumCells(inputs []*Segment) (summed bool, err error) {
	all, err := cellsOfAll(inputs)
	if err != nil || all == nil {
		return false, err
	}
	c, bytes := newCellWriter(), int64(0)
	for i, s := range inputs {
		c.edges.step = max(c.edges.step, stepNumber(all[i].edges.Step))
		c.operations.step = max(c.operations.step, stepNumber(all[i].operations.Step))
		bytes += s.info.Bytes
	}
	before := [...]int{c.edges.step, c.operations.step}
	for i := range all {
		c.sum(&all[i])
	}
	for i, t := range [...]*cellTable{&c.edges, &c.operations} {
		if !t.none {
			t.fold()
		}
		// Twice what all cells may take is more than those of one kind will.
		tooLarge := int64(len(t.pairs))*cellPairBits/8 > 2*max(cellBytesMin, bytes/cellsShare)
		if t.none || t.step == before[i] && t.step > 0 && !tooLarge {
			return false, nil
		}
	}
	c.summed = true
	w.cells = c
	return true, nil
}

// bothCells are the cells of a segment.
type bothCells struct{ edges, operations *Cells }

// cellsOfAll gives the cells of all segments; nil where one has none of a kind, or damaged ones.
func cellsOfAll(inputs []*Segment) (all []bothCells, err error) {
	for _, s := range inputs {
		var both bothCells
		if both.edges, err = s.EdgeCells(); err == nil {
			both.operations, err = s.OperationCells()
		}
		if errors.Is(err, codec.ErrCorrupt) || err == nil && (both.edges == nil || both.operations == nil) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, both)
	}
	return all, nil
}

// stepNumber gives the number of a step that a segment has.
func stepNumber(step uint64) int { return slices.Index(cellSteps[:], step) }

// sum adds the cells of a segment.
func (c *cellWriter) sum(both *bothCells) {
	edges, operations := both.edges, both.operations
	c.edges.addCells(edges, func(cell *Cell) uint32 {
		called := callee{c.serviceNamed(edges.Services[cell.Callee]), cell.Kind}
		return c.edgeLine(c.serviceNamed(edges.Services[cell.Parent]), numberOf(c.callees, called, &c.calleeList))
	})
	c.operations.addCells(operations, func(cell *Cell) uint32 {
		o := &operations.Operations[cell.Callee]
		return c.operationLine(c.serviceNamed(o.Service), []byte(o.Name), o.Kind)
	})
}

// addCells adds cells whose lines are told by lineOf.
func (t *cellTable) addCells(cells *Cells, lineOf func(cell *Cell) uint32) {
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
	if !t.none && len(t.cells) > t.added/cellSpansMin && t.hasSteps() {
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

// dropEmpty forgets pairs and cells of which all was taken off.
func (t *cellTable) dropEmpty() {
	t.pairs = slices.DeleteFunc(t.pairs, func(p cellPair) bool { return p.spans == 0 })
	places := make([]uint32, len(t.cells)) // + 1
	for _, p := range t.pairs {
		places[p.key>>cellSizeBits] = 1
	}
	cells := t.cells[:0]
	for i, place := range places {
		if place > 0 {
			cells = append(cells, t.cells[i])
			places[i] = uint32(len(cells))
		}
	}
	t.cells = cells
	for i := range t.pairs {
		p := &t.pairs[i]
		p.key = (places[p.key>>cellSizeBits]-1)<<cellSizeBits | p.key%(1<<cellSizeBits)
	}
}

// Recount counts a trace that stands in several segments anew.
type Recount struct {
	c     *cellWriter
	w     *Writer
	lists []traceRows // the trace, then what each segment has of it
}

// traceRows are rows of a trace as calls need them.
type traceRows struct {
	rows      []cellRow
	ids       []span.SpanID
	parentIDs []span.SpanID
	kinds     []int32
}

// Recount begins with a trace that stands in so many segments.
func (w *Writer) Recount(parts int) *Recount {
	r := &w.recount
	r.c, r.w = w.cells, w
	for len(r.lists) <= parts {
		r.lists = append(r.lists, traceRows{})
	}
	for i := range r.lists {
		l := &r.lists[i]
		l.rows, l.ids, l.parentIDs, l.kinds = l.rows[:0], l.ids[:0], l.parentIDs[:0], l.kinds[:0]
	}
	return r
}

// Has notes that a segment, by its number from 0 on, has a row next.
func (r *Recount) Has(part int, c *Columns, row int) { r.note(1+part, c, row) }

// Add notes that the trace has a row next.
func (r *Recount) Add(c *Columns, row int) { r.note(0, c, row) }

func (r *Recount) note(list int, c *Columns, row int) {
	if !r.c.summed || r.c.edges.none {
		return
	}
	if len(r.lists[list].rows) == cellTraceRowsMax {
		r.c.edges.giveUp()
		r.lists = nil
		return
	}
	service, kind, failed := r.factsOf(c, row)
	l := &r.lists[list]
	l.rows = append(l.rows, cellRow{
		start: c.starts[row], service: service, callee: numberOf(r.c.callees, callee{service, kind}, &r.c.calleeList),
		size: c.size(row), failed: failed,
	})
	l.ids, l.parentIDs, l.kinds = append(l.ids, c.spanIDs[row]), append(l.parentIDs, c.parents[row]), append(l.kinds, kind)
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

// Done counts the calls.
func (r *Recount) Done() {
	for i := range r.lists {
		l, spans := &r.lists[i], -1
		if i == 0 {
			spans = 1
		}
		r.c.parents = r.c.resolver.Resolve(r.c.parents, l.ids, l.parentIDs, l.kinds)
		for k, parent := range r.c.parents {
			if parent >= 0 && !r.c.edges.none {
				row := &l.rows[k]
				r.c.edges.addSpan(r.c.edgeLine(l.rows[parent].service, row.callee), row.start, row.failed, row.size, spans)
			}
		}
	}
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
