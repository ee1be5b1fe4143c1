package compaction

import (
	"github.com/stoadb/stoa/engine/span"
)

// Flushes of a shard follow each other in time, so most row groups of a merge hold traces that
// no other input has, and that come before all that others still have. Those are taken over as
// they stand, see segment.Writer.AddGroup. What is left at both ends of such a run, and what
// inputs share, goes row by row.

// alone writes a trace that one input has, and with it all row groups from the next one on
// that can be taken over whole.
func (m *merge) alone(in *input, trace int) error {
	row, rows := in.s.TraceRows(trace)
	end := row + rows
	for row < end {
		group := in.s.GroupOfRow(row)
		info := in.s.Group(group)
		if row == info.FirstRow {
			taken, err := m.takeOver(in, group, trace)
			if err != nil {
				return err
			}
			if taken > 0 {
				last := in.s.Group(group + taken - 1)
				row = last.FirstRow + last.Rows
				trace = in.s.TraceAtRow(row - 1)
				first, rows := in.s.TraceRows(trace)
				end = first + rows
				continue
			}
		}
		to := min(end, info.FirstRow+info.Rows)
		if done, err := m.aloneColumns(in, group, row-info.FirstRow, to-info.FirstRow, in.s.TraceID(trace)); done || err != nil {
			if row = to; err != nil {
				return err
			}
			continue
		}
		batch, err := m.cache.Read(in.s, group)
		if err != nil {
			return err
		}
		for ; row < to; row++ {
			m.rows = append(m.rows, span.Row{Batch: batch, Pos: row - info.FirstRow})
			if err := m.passed(1); err != nil {
				return err
			}
			if len(m.rows) == chunkRowsMax {
				if err := m.hand(in.s.TraceID(trace)); err != nil {
					return err
				}
			}
		}
	}
	return m.hand(in.s.TraceID(trace))
}

// takeOver takes over row groups from the first one given on, and gives their number; trace is
// the one that begins or goes on there.
func (m *merge) takeOver(in *input, first, trace int) (taken int, err error) {
	if !m.w.TakesGroup(in.s, first) {
		return 0, nil // else each group that is refused would have all behind it looked at in vain
	}
	run := m.wholeGroups(in, first, trace)
	if run < runGroupsMin {
		return 0, nil
	}
	if err := m.hand(in.s.TraceID(trace)); err != nil {
		return 0, err
	}
	for ; taken < run; taken++ {
		ok, err := m.w.AddGroup(in.s, first+taken)
		if err != nil || !ok {
			return taken, err
		}
		info := in.s.Group(first + taken)
		in.eachTrace(first+taken, func(trace int) bool {
			mark(in.done, trace)
			return true
		})
		if err := m.passed(info.Rows); err != nil {
			return taken, err
		}
	}
	return taken, nil
}

// wholeGroups gives how many row groups from the first one on may be taken over: full ones, with
// traces that no other input has, and that begin before all that is left there. The trace at
// hand is known to be such a one.
func (m *merge) wholeGroups(in *input, first, atHand int) int {
	group := first
	for ; group < in.s.Groups(); group++ {
		info := in.s.Group(group)
		if info.Rows < wholeRowsMin {
			break
		}
		free := true
		for _, other := range m.inputs {
			if other != in && other.next < other.s.TraceCount() && other.start <= info.MaxStart {
				free = false
			}
		}
		if free = free && in.eachTrace(group, func(trace int) bool {
			return trace == atHand || !isMarked(in.done, trace) && !isMarked(in.shared, trace)
		}); !free {
			break
		}
	}
	return group - first
}

// eachTrace visits the traces that begin in a row group, until visit says no.
func (in *input) eachTrace(group int, visit func(trace int) bool) bool {
	info := in.s.Group(group)
	end := info.FirstRow + info.Rows
	for row := info.FirstRow; row < end; {
		trace := in.s.TraceAtRow(row)
		first, rows := in.s.TraceRows(trace)
		if first >= info.FirstRow && !visit(trace) {
			return false
		}
		row = first + rows
	}
	return true
}
