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
// which equals the sum over rows, and is compared with it in the tests. What split traces count
// is kept for the questions after the first; see split_cells.go.

// timeRange is starts from min to max, both in it.
type timeRange struct{ min, max uint64 }

func (r timeRange) has(start uint64) bool { return start >= r.min && start <= r.max }

// noTime is the range that nothing starts in.
var noTime = timeRange{1, 0}

// meets reports whether two ranges have a start in common.
func (r timeRange) meets(other timeRange) bool { return r.min <= other.max && r.max >= other.min }

// cover says what of a range cells answer.
type cover struct {
	cells timeRange   // the starts that they answer for, noTime where they answer nothing
	rest  []timeRange // what of the range the rows have to tell
}

// coverOf gives the cover of a range by cells of steps of a length, 0 for all time, of rows that
// start in another range.
func coverOf(step uint64, rows, asked timeRange) cover {
	none := cover{cells: noTime, rest: []timeRange{asked}}
	c := cover{cells: timeRange{0, math.MaxUint64}}
	if asked.min > rows.min {
		into := uint64(0)
		if step > 0 {
			into = asked.min % step
		}
		switch {
		case step == 0 || into > 0 && asked.min-into > math.MaxUint64-step:
			return none
		case into > 0:
			c.cells.min = asked.min - into + step
			c.rest = append(c.rest, timeRange{asked.min, min(c.cells.min-1, asked.max)})
		default:
			c.cells.min = asked.min
		}
	}
	if asked.max < rows.max {
		if step == 0 || asked.max+1 < step {
			return none
		}
		c.cells.max = asked.max - (asked.max+1)%step
		if c.cells.max < asked.max {
			c.rest = append(c.rest, timeRange{max(c.cells.max+1, asked.min), asked.max})
		}
	}
	if c.cells.min > c.cells.max {
		return none
	}
	return c
}

// wants reports whether the rows of a row group have to be looked at.
func (c *cover) wants(group segment.GroupInfo) bool {
	return c.meets(timeRange{group.MinStart, group.MaxStart})
}

// meets reports whether what the rows have to tell has a start in common with a range.
func (c *cover) meets(starts timeRange) bool {
	for _, r := range c.rest {
		if r.meets(starts) {
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
func (r timeRange) reaches(l *segment.Segment, trace int) bool {
	first, n := l.TraceRows(trace)
	for g, last := l.GroupOfRow(first), l.GroupOfRow(first+n-1); g <= last; g++ {
		if group := l.Group(g); r.meets(timeRange{group.MinStart, group.MaxStart}) {
			return true
		}
	}
	return false
}

// wrongCells is what is said where rows take more from cells than these have.
func wrongCells(l *segment.Segment) error {
	return fmt.Errorf("%s: %w", l.Info().Name, codec.Corrupt("cells without what the rows of a trace count"))
}
