package segment

import (
	"maps"
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// cellVerifier counts the cells of a segment again, row by row and by name, and knows nothing
// of how the writer does so.
type cellVerifier struct {
	v                 *verifier
	edges, operations *Cells // as they stand; nil where there are none
	calls, spans      map[namedCell]*namedCount

	// The trace at hand.
	trace     int
	ids       []span.SpanID
	parentIDs []span.SpanID
	kinds     []int32
	rows      []verifiedRow
	services  map[string]string
	named     []string
}

type namedCell struct {
	start          uint64
	parent, callee string
	kind           int32
}

// verifiedRow is what cells count of a row.
type verifiedRow struct {
	start, duration uint64
	failed          bool
}

type namedCount struct {
	errors    uint64
	durations span.Durations
}

func newCellVerifier(v *verifier) *cellVerifier {
	c := &cellVerifier{v: v, calls: map[namedCell]*namedCount{}, spans: map[namedCell]*namedCount{}, services: map[string]string{}, trace: -1}
	var err error
	if c.edges, err = v.s.EdgeCells(); err != nil {
		v.damages = append(v.damages, err)
	}
	if c.operations, err = v.s.OperationCells(); err != nil {
		v.damages = append(v.damages, err)
	}
	return c
}

func countNamed(cells map[namedCell]*namedCount, of namedCell, row verifiedRow) {
	n := cells[of]
	if n == nil {
		n = new(namedCount)
		cells[of] = n
	}
	n.durations.Add(row.duration, 1)
	if row.failed {
		n.errors++
	}
}

// group takes the rows of a row group, which come in order.
func (c *cellVerifier) group(g *groupRef, b *span.Batch) {
	for pos := range b.Len() {
		row := span.Row{Batch: b, Pos: pos}
		counted := verifiedRow{row.Start(), row.Duration(), row.StatusCode() == span.StatusError}
		if c.operations != nil {
			of := namedCell{stepStart(row.Start(), c.operations.Step), string(row.Service()), string(row.Name()), row.Kind()}
			countNamed(c.spans, of, counted)
		}
		if c.edges == nil {
			continue
		}
		if trace := c.v.s.TraceAtRow(g.FirstRow + pos); trace != c.trace {
			c.endTrace()
			c.trace = trace
		}
		service, ok := c.services[string(row.Service())]
		if !ok {
			service = string(row.Service())
			c.services[service] = service
		}
		c.ids, c.parentIDs, c.kinds = append(c.ids, row.SpanID()), append(c.parentIDs, row.ParentID()), append(c.kinds, row.Kind())
		c.rows, c.named = append(c.rows, counted), append(c.named, service)
	}
}

func (c *cellVerifier) endTrace() {
	for i, parent := range span.ResolveParents(nil, c.ids, c.parentIDs, c.kinds) {
		if row := c.rows[i]; parent >= 0 {
			countNamed(c.calls, namedCell{stepStart(row.start, c.edges.Step), c.named[parent], c.named[i], c.kinds[i]}, row)
		}
	}
	c.ids, c.parentIDs, c.kinds, c.rows, c.named = c.ids[:0], c.parentIDs[:0], c.kinds[:0], c.rows[:0], c.named[:0]
}

// end compares what was counted.
func (c *cellVerifier) end() {
	if c.edges != nil {
		c.endTrace()
		c.compare(sectionEdgeCells, c.edges, c.calls, func(cell *Cell) namedCell {
			return namedCell{cell.Start, c.edges.Services[cell.Parent], c.edges.Services[cell.Callee], cell.Kind}
		})
	}
	if c.operations != nil {
		c.compare(sectionOperationCells, c.operations, c.spans, func(cell *Cell) namedCell {
			o := c.operations.Operations[cell.Callee]
			return namedCell{cell.Start, o.Service, o.Name, o.Kind}
		})
	}
}

func (c *cellVerifier) compare(section int, cells *Cells, counted map[namedCell]*namedCount, name func(*Cell) namedCell) {
	left := maps.Clone(counted)
	for i := range cells.cells {
		cell := &cells.cells[i]
		of := name(cell)
		want := left[of]
		if want == nil {
			c.v.damage(c.v.at(section), "%s: one of %q, %q, kind %d at %d, of which there are no rows", sectionNames[section], of.parent, of.callee, of.kind, of.start)
			continue
		}
		delete(left, of)
		var durations span.Durations
		cells.AddTo(&durations, i)
		if cell.Errors != want.errors || !sameDurations(&durations, &want.durations) {
			c.v.damage(c.v.at(section), "%s: %d spans, %d errors of %q, %q, kind %d at %d, the rows have %d, %d, or other durations", sectionNames[section],
				cell.Spans, cell.Errors, of.parent, of.callee, of.kind, of.start, want.durations.Total(), want.errors)
		}
	}
	if len(left) > 0 {
		c.v.damage(c.v.at(section), "%s: %d are missing", sectionNames[section], len(left))
	}
}

func sameDurations(a, b *span.Durations) bool {
	list := func(d *span.Durations) (all [][2]uint64) {
		d.Each(func(least, _, n uint64) { all = append(all, [2]uint64{least, n}) })
		return all
	}
	return slices.Equal(list(a), list(b))
}
