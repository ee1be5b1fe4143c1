package queryhttp

import "github.com/stoadb/stoa/engine/span"

// counts is what was counted of a series in some time.
type counts struct {
	spans, errors uint64
	durations     span.Durations
}

func (c *counts) add(other *counts) {
	c.spans += other.spans
	c.errors += other.errors
	c.durations.AddAll(&other.durations)
}

// window adds up the last cells that were pushed, length of them.
//
// Durations can be added and not taken away. So a window keeps two stacks: of the newer cells the
// cells and their sum, of the older ones for each cell the sum of it and all older ones that are
// newer than it, the oldest on top. When the older stack is empty the newer one is turned over
// onto it. A cell is added twice in all, however long the window is.
type window struct {
	length int
	newer  []*counts
	sum    counts // of newer
	older  []*counts
}

var nothing = &counts{}

// push takes the next cell, nil where nothing was counted in it, and lets go of the oldest beyond length.
func (w *window) push(cell *counts) {
	if cell == nil {
		cell = nothing
	}
	w.newer = append(w.newer, cell)
	w.sum.add(cell)
	if len(w.newer)+len(w.older) <= w.length {
		return
	}
	if len(w.older) == 0 {
		w.turn()
	}
	w.older = w.older[:len(w.older)-1]
}

// turn moves the newer cells to the older stack.
func (w *window) turn() {
	below := nothing
	for i := len(w.newer) - 1; i >= 0; i-- {
		if w.newer[i].spans > 0 {
			sum := &counts{}
			sum.add(below)
			sum.add(w.newer[i])
			below = sum
		}
		w.older = append(w.older, below)
	}
	w.newer, w.sum = w.newer[:0], counts{}
}

// total is the sum of the window's cells. It is good until the next push.
func (w *window) total() counts {
	var total counts
	if len(w.older) > 0 {
		total.add(w.older[len(w.older)-1])
	}
	total.add(&w.sum)
	return total
}
