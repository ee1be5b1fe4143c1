package segment

import (
	"cmp"
	"slices"
	"sort"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// Cells say what was counted of the spans of a segment by steps of time, so that nobody has to
// read them: calls from service to service, and spans of operations. Each trace is taken as it
// stands in this segment, its parents found as by span.ResolveParents. They are a function of
// the rows alone: whoever knows that a trace goes on elsewhere counts its rows here again and
// takes them off.
type Cells struct {
	// Step is how long the time of a cell is, in nanoseconds: steps begin at its multiples. 0
	// is all time.
	Step uint64
	// Services are what Parent and Callee of an edge's cell are positions in, Operations what
	// Callee of an operation's cell is one in. Both are sorted and distinct.
	Services   []string
	Operations []span.Operation

	cells  []Cell
	sizes  []uint16
	counts []uint32 // spans of each size
}

// Cell is one step of an edge, or of an operation, whose Parent and Kind are 0.
type Cell struct {
	Start          uint64 // of the step, unix nanoseconds
	Parent, Callee uint32
	Kind           int32  // of the child spans
	Spans, Errors  uint64 // how many there are, how many of them have status Error

	end uint32 // where its sizes end
}

// cellSteps are how long a step may be.
var cellSteps = [...]uint64{60e9, 600e9, 3600e9, 86_400e9, 0}

// compare is the order of cells.
func (c *Cell) compare(other *Cell) int {
	return cmp.Or(cmp.Compare(c.Start, other.Start), cmp.Compare(c.Parent, other.Parent),
		cmp.Compare(c.Callee, other.Callee), cmp.Compare(c.Kind, other.Kind))
}

// Len is how many cells there are.
func (c *Cells) Len() int { return len(c.cells) }

// At gives a cell; they stand by start.
func (c *Cells) At(i int) *Cell { return &c.cells[i] }

// From gives the first cell whose step begins at start or later.
func (c *Cells) From(start uint64) int {
	return sort.Search(len(c.cells), func(i int) bool { return c.cells[i].Start >= start })
}

// AddTo adds the durations of the spans of cell i.
func (c *Cells) AddTo(d *span.Durations, i int) {
	begin, end := c.rangeOf(i)
	d.AddSizes(c.sizes[begin:end], c.counts[begin:end])
}

// rangeOf gives the positions of a cell's sizes.
func (c *Cells) rangeOf(i int) (begin, end uint32) {
	if i > 0 {
		begin = c.cells[i-1].end
	}
	return begin, c.cells[i].end
}

// number is how many steps before a cell's there are.
func (c *Cells) number(cell *Cell) uint64 {
	if c.Step == 0 {
		return 0
	}
	return cell.Start / c.Step
}

func (c *Cells) memoryBytes() int {
	return 48*cap(c.cells) + 2*cap(c.sizes) + 4*cap(c.counts) + 16*cap(c.Services) + 40*cap(c.Operations)
}

// EdgeCells gives the cells of calls between services, of a service to itself too; nil where
// the segment has none, and its rows have to be read. They are shared and not to be changed.
func (s *Segment) EdgeCells() (*Cells, error) { return s.cellsOf(sectionEdgeCells) }

// OperationCells gives the cells of operations in the same way.
func (s *Segment) OperationCells() (*Cells, error) { return s.cellsOf(sectionOperationCells) }

func (s *Segment) cellsOf(section int) (*Cells, error) {
	p, _, err := s.opened(s.refs[section], func(payload []byte) (*page, error) {
		cells, err := s.decodeCells(section, payload)
		if cells == nil || err != nil {
			return new(page), err
		}
		return &page{cells: cells, bytes: cells.memoryBytes()}, nil
	})
	if err != nil {
		return nil, err
	}
	return p.cells, nil
}

// decodeCells reads a section that appendCells wrote; nil where there are no cells.
func (s *Segment) decodeCells(section int, payload []byte) (*Cells, error) {
	r := codec.NewReader(payload)
	step := r.Uvarint()
	if r.Err() == nil && step > uint64(len(cellSteps)) {
		r.Fail("step %d of cells", step)
	}
	if r.Err() != nil || step == 0 {
		if r.Err() == nil && r.Len() > 0 {
			r.Fail("%d bytes after no cells", r.Len())
		}
		return nil, r.Err()
	}
	c := &Cells{Step: cellSteps[step-1]}
	parents, callees := 1, 0
	if section == sectionEdgeCells {
		c.Services = s.services()
		parents, callees = len(c.Services), len(c.Services)
	} else {
		c.Operations = s.catalog.Operations("")
		callees = len(c.Operations)
	}
	c.decode(r, parents, callees)
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the cells", r.Len())
	}
	c.check(r, &s.info, section)
	return c, r.Err()
}

// decode reads the cells and their sizes.
func (c *Cells) decode(r *codec.Reader, parents, callees int) {
	n := r.Uvarint()
	if n > cellPairsMax {
		r.Fail("%d cells, at most %d", n, cellPairsMax)
	}
	if r.Err() != nil || n == 0 {
		return
	}
	c.cells = make([]Cell, n)
	var scratch []uint64
	each := func(set func(cell *Cell, v uint64) bool) {
		scratch = column.DecodeInts(scratch[:0], r, int(n))
		for i := 0; i < len(c.cells) && r.Err() == nil; i++ {
			if !set(&c.cells[i], scratch[i]) {
				r.Fail("cell %d of %d has %d", i, n, scratch[i])
			}
		}
	}
	number, last := uint64(0), uint64(0)
	if c.Step > 0 {
		last = (1<<64 - 1) / c.Step
	}
	each(func(cell *Cell, v uint64) bool {
		if v > last-number {
			return false
		}
		number += v
		cell.Start = number * c.Step
		return true
	})
	each(func(cell *Cell, v uint64) bool { cell.Parent = uint32(v); return v < uint64(parents) })
	each(func(cell *Cell, v uint64) bool { cell.Callee = uint32(v); return v < uint64(callees) })
	each(func(cell *Cell, v uint64) bool { cell.Kind = int32(v>>1) ^ -int32(v&1); return v>>32 == 0 })
	each(func(cell *Cell, v uint64) bool { cell.Errors = v; return v <= rowsMax })
	total := uint64(0)
	each(func(cell *Cell, v uint64) bool {
		total += v
		cell.end = uint32(total)
		return v > 0 && v <= span.DurationSizes && total <= cellPairsMax
	})
	if r.Err() == nil {
		c.decodeSizes(r, int(total))
	}
}

func (c *Cells) decodeSizes(r *codec.Reader, n int) {
	sizes, spans := column.DecodeInts(nil, r, n), column.DecodeInts(nil, r, n)
	if r.Err() != nil {
		return
	}
	c.sizes, c.counts = make([]uint16, n), make([]uint32, n)
	for i := range c.cells {
		size, begin, end := uint64(0), uint32(0), uint32(0)
		for begin, end = c.rangeOf(i); begin < end; begin++ {
			first := i == 0 && begin == 0 || i > 0 && begin == c.cells[i-1].end
			delta, count := sizes[begin], spans[begin]
			if size += delta; delta >= span.DurationSizes || size >= span.DurationSizes || delta == 0 && !first || count == 0 || count > rowsMax {
				r.Fail("cell %d has %d spans of size %d", i, count, size)
				return
			}
			c.sizes[begin], c.counts[begin] = uint16(size), uint32(count)
			c.cells[i].Spans += count
		}
	}
}

// check holds the cells against what the segment knows of itself.
func (c *Cells) check(r *codec.Reader, info *Info, section int) {
	total := uint64(0)
	for i := range c.cells {
		cell := &c.cells[i]
		total += cell.Spans
		switch {
		case r.Err() != nil:
			return
		case i > 0 && c.cells[i-1].compare(cell) >= 0:
			r.Fail("cell %d is out of order", i)
		case cell.Errors > cell.Spans:
			r.Fail("cell %d of %d spans has %d errors", i, cell.Spans, cell.Errors)
		case cell.Start < stepStart(info.MinStart, c.Step) || cell.Start > stepStart(info.MaxStart, c.Step):
			r.Fail("cell %d begins at %d, the rows from %d to %d", i, cell.Start, info.MinStart, info.MaxStart)
		case section == sectionOperationCells && (cell.Kind != 0 || cell.Parent != 0):
			r.Fail("cell %d of an operation has a parent or a kind", i)
		}
	}
	if r.Err() == nil && (total > uint64(info.Rows) || section == sectionOperationCells && total != uint64(info.Rows)) {
		r.Fail("cells of %d spans, the segment has %d", total, info.Rows)
	}
}

// services gives the distinct services of the resources, sorted: each of those has rows.
func (s *Segment) services() []string { return servicesOf(s.resources) }

func servicesOf(resources *span.Batch) []string {
	services := make([]string, len(resources.Resources))
	for i := range resources.Resources {
		services[i] = resources.String(resources.Resources[i].Service)
	}
	slices.Sort(services)
	return slices.Clip(slices.Compact(services))
}

// isCells tells the sections that stay in the file until somebody asks for them.
func isCells(section int) bool {
	return section == sectionEdgeCells || section == sectionOperationCells
}
