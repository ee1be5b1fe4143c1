package engine

import (
	"fmt"
	"math"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/codec"
)

// The service graph and rates are sums over the distinct spans of a view. A segment's cells have
// most of them summed already, each trace as it stands there; an answer is
//
//	the cells of steps wholly in the range
//	- what rows of split traces have counted in them, taken back one by one
//	+ rows of unsplit traces in the range that no such step covers: its two ends, at most
//	+ rows of split traces, assembled over all sources
//
// which equals the sum over rows, and is compared with it in the tests.

// timeRange is starts from min to max, both in it.
type timeRange struct{ min, max uint64 }

func (r timeRange) has(start uint64) bool { return start >= r.min && start <= r.max }

// cover says what of a range the cells of a segment answer.
type cover struct {
	from, to int         // the cells
	cells    timeRange   // the starts that they answer for
	rest     []timeRange // what of the range the rows have to tell
}

// coverOf gives the cover of a range by cells, nil where the segment has none.
func coverOf(cells *segment.Cells, info segment.Info, asked timeRange) cover {
	none := cover{cells: timeRange{1, 0}, rest: []timeRange{asked}}
	if cells == nil {
		return none
	}
	c := cover{cells: timeRange{0, math.MaxUint64}}
	if asked.min > info.MinStart {
		into := uint64(0)
		if cells.Step > 0 {
			into = asked.min % cells.Step
		}
		switch {
		case cells.Step == 0 || into > 0 && asked.min-into > math.MaxUint64-cells.Step:
			return none
		case into > 0:
			c.cells.min = asked.min - into + cells.Step
			c.rest = append(c.rest, timeRange{asked.min, min(c.cells.min-1, asked.max)})
		default:
			c.cells.min = asked.min
		}
	}
	if asked.max < info.MaxStart {
		if cells.Step == 0 || asked.max+1 < cells.Step {
			return none
		}
		c.cells.max = asked.max - (asked.max+1)%cells.Step
		if c.cells.max < asked.max {
			c.rest = append(c.rest, timeRange{max(c.cells.max+1, asked.min), asked.max})
		}
	}
	if c.cells.min > c.cells.max {
		return none
	}
	c.from, c.to = cells.From(c.cells.min), cells.Len()
	if c.cells.max < math.MaxUint64 {
		c.to = cells.From(c.cells.max + 1)
	}
	return c
}

// wants reports whether the rows of a row group have to be looked at.
func (c *cover) wants(group segment.GroupInfo) bool {
	for _, r := range c.rest {
		if group.MinStart <= r.max && group.MaxStart >= r.min {
			return true
		}
	}
	return false
}

// asks reports whether a row that starts then has to be counted.
func (c *cover) asks(start uint64) bool {
	for _, r := range c.rest {
		if r.has(start) {
			return true
		}
	}
	return false
}

// reaches reports whether a trace has rows in the range, as far as its row groups tell.
func (r timeRange) reaches(l *liveSegment, trace int) bool {
	first, n := l.TraceRows(trace)
	for g, last := l.GroupOfRow(first), l.GroupOfRow(first+n-1); g <= last; g++ {
		if group := l.Group(g); group.MinStart <= r.max && group.MaxStart >= r.min {
			return true
		}
	}
	return false
}

// wrongCells is what is said where rows take more from cells than these have.
func wrongCells(l *liveSegment) error {
	return fmt.Errorf("%s: %w", l.Info().Name, codec.Corrupt("cells without what the rows of a trace count"))
}
