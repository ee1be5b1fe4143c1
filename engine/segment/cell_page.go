package segment

import (
	"encoding/binary"
	"slices"

	"github.com/stoadb/stoa/engine/column"
)

// page gives the page of cells with the shortest step that takes no more than bytesMax, of those
// that differ by their cells, or one without cells. rank gives a line's names as the segment
// numbers them.
func (t *cellTable) page(bytesMax int, rank func(l *cellLine) (parent, callee uint32, kind int32)) []byte {
	if t.count(); t.none {
		return noCells()
	}
	for i := range t.lines {
		l := &t.lines[i]
		t.drain(l)
		l.parent, l.callee, l.kind = rank(l)
	}
	t.fold()
	var payload []byte
	for !t.none {
		if len(t.pairs)*cellPairBits/8 > bytesMax {
			t.lengthenToFewer()
			continue
		}
		payload = appendCells(payload[:0], uint64(t.step+1), t.sorted())
		if page := column.AppendPage(nil, payload, true); len(page) <= bytesMax {
			return page
		}
		t.lengthenToFewer()
	}
	return noCells()
}

// noCells is the page of a section without cells.
func noCells() []byte { return column.AppendPage(nil, appendCells(nil, 0, new(Cells)), true) }

// sorted gives the cells as they are stored; lines have their names as the segment numbers them.
func (t *cellTable) sorted() *Cells {
	out := &Cells{Step: cellSteps[t.step], cells: make([]Cell, len(t.cells))}
	order := make([]uint32, len(t.cells))
	for i, c := range t.cells {
		l := &t.lines[c.line]
		out.cells[i] = Cell{Start: c.start, Parent: l.parent, Callee: l.callee, Kind: l.kind, Errors: c.errors}
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return out.cells[a].compare(&out.cells[b]) })
	places := make([]uint32, len(order))
	cells := make([]Cell, len(order))
	for place, i := range order {
		places[i], cells[place] = uint32(place), out.cells[i]
	}
	out.cells = cells
	t.sizesInto(out, places)
	return out
}

// sizesInto gives each cell its sizes, which stand together; places are where the cells go.
func (t *cellTable) sizesInto(out *Cells, places []uint32) {
	cells := out.cells
	for _, p := range t.pairs {
		cells[places[p.key>>cellSizeBits]].end++
	}
	next, begin := make([]uint32, len(cells)), uint32(0)
	for i := range cells {
		next[i] = begin
		begin += cells[i].end
		cells[i].end = begin
	}
	out.sizes, out.counts = make([]uint16, begin), make([]uint32, begin)
	for _, p := range t.pairs {
		place := places[p.key>>cellSizeBits]
		out.sizes[next[place]], out.counts[next[place]] = uint16(p.key%(1<<cellSizeBits)), p.spans
		next[place]++
		cells[place].Spans += uint64(p.spans)
	}
}

// appendCells appends a section of cells, without names: those are the segment's.
//
//	step v: 0 there are no cells, and nothing follows; else 1 a minute, 2 ten minutes, 3 an hour,
//	        4 a day, 5 all time
//	cells v; where there are any, sorted by start, parent, callee and kind, as integers of
//	        package column, one list after another: number of the step - that of the cell
//	        before; parent; callee; kind zigzag; errors; sizes
//	        of all sizes: size - the one before it in the cell; spans
func appendCells(dst []byte, step uint64, c *Cells) []byte {
	dst = binary.AppendUvarint(dst, step)
	if step == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.cells)))
	list := make([]uint64, len(c.cells))
	each := func(value func(i int, cell *Cell) uint64) {
		for i := range c.cells {
			list[i] = value(i, &c.cells[i])
		}
		dst = column.AppendBytewise(dst, list)
	}
	each(func(i int, cell *Cell) uint64 {
		if i == 0 {
			return c.number(cell)
		}
		return c.number(cell) - c.number(&c.cells[i-1])
	})
	each(func(_ int, cell *Cell) uint64 { return uint64(cell.Parent) })
	each(func(_ int, cell *Cell) uint64 { return uint64(cell.Callee) })
	each(func(_ int, cell *Cell) uint64 { return uint64(uint32(cell.Kind<<1 ^ cell.Kind>>31)) })
	each(func(_ int, cell *Cell) uint64 { return cell.Errors })
	each(func(i int, _ *Cell) uint64 { begin, end := c.rangeOf(i); return uint64(end - begin) })
	sizes, spans := make([]uint64, len(c.sizes)), make([]uint64, len(c.sizes))
	for i := range c.cells {
		before := uint16(0)
		for begin, end := c.rangeOf(i); begin < end; begin++ {
			sizes[begin], spans[begin] = uint64(c.sizes[begin]-before), uint64(c.counts[begin])
			before = c.sizes[begin]
		}
	}
	return column.AppendBytewise(column.AppendBytewise(dst, sizes), spans)
}
