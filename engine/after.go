package engine

import (
	"context"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// after is the place in the order of answers that a search goes on behind. Only rows that
// start no later than the place are looked at, and of a trace that they bring forward it is
// then asked whether it has a match above: then it stands before the place, whatever the
// rows below say. The simpler way, to remember all traces above, would take memory for all
// pages before this one, and time.
//
// It serves one goroutine.
type after struct {
	ctx   context.Context
	view  *view
	place span.Found
	above *matcher // the query, for rows above the place; rows are matched by it
	rows  *rowMatcher
	known map[span.TraceID]bool
	times segment.Projection
	err   error // the first; everything is out then
}

// newAfter readies the place and takes the rows above it out of m.
func newAfter(ctx context.Context, v *view, m *matcher, place span.Found) *after {
	above := *m
	above.query.StartMin = max(m.query.StartMin, place.Start)
	m.query.StartMax = min(m.query.StartMax, place.Start)
	a := &after{ctx: ctx, view: v, place: place, above: &above, rows: above.rows(), known: make(map[span.TraceID]bool)}
	a.times.Times = true
	return a
}

// isAbove reports whether a match that starts then puts the trace at the place or above.
func (a *after) isAbove(id span.TraceID, start uint64) bool {
	return !a.place.Before(span.Found{TraceID: id, Start: start})
}

// isOut reports whether a trace is out by the key that it is known to have, or for reasons
// known already. The trace of the place itself is.
func (a *after) isOut(f span.Found) bool {
	return a.isAbove(f.TraceID, f.Start) || a.known[f.TraceID]
}

// hasMatchAbove reports whether the trace has a match above the place. What it finds out is
// kept: the view does not change.
func (a *after) hasMatchAbove(id span.TraceID) bool {
	if a.err != nil {
		return true
	}
	out, known := a.known[id]
	if known {
		return out
	}
	out, a.err = a.look(id)
	if len(a.known) >= knownMax {
		clear(a.known) // asked again, they say the same
	}
	a.known[id] = out
	return out || a.err != nil
}

// look goes through the sources of the trace that have rows above the place.
func (a *after) look(id span.TraceID) (bool, error) {
	for _, t := range a.view.tables {
		for _, row := range t.trace(nil, id, t.count) {
			if !a.isAbove(id, row.Start()) {
				continue
			}
			if ok, err := a.rows.matches(row); ok || err != nil {
				return ok, err
			}
		}
	}
	for _, l := range a.view.segments {
		if l.Info().MaxStart < a.place.Start {
			continue
		}
		s, i, err := l.FindTrace(id)
		if err != nil {
			return false, err
		}
		if s == nil {
			continue
		}
		if found, err := a.lookInto(s, i); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// lookInto goes through the rows of trace i, which stand by their starts: if the last is not
// above the place, none is. Most traces are short, so that is most often all.
func (a *after) lookInto(l *segment.Segment, i int) (bool, error) {
	first, n := l.TraceRows(i)
	last := first + n - 1
	group := l.GroupOfRow(last)
	info := l.Group(group)
	if info.MaxStart < a.place.Start {
		return false, nil
	}
	at := last - info.FirstRow
	newest, err := l.ReadRows(group, at, at+1, a.times)
	if err != nil || !a.isAbove(newest.TraceIDs[0], newest.Starts[0]) {
		return false, err
	}
	visited := 0
	for cursor := l.Trace(i, a.above.projection()); ; visited++ {
		if visited%cancelEveryRows == 0 && a.ctx.Err() != nil {
			return false, a.ctx.Err()
		}
		if !cursor.Next() {
			return false, cursor.Err()
		}
		row := cursor.Row()
		if !a.isAbove(row.TraceID(), row.Start()) {
			continue
		}
		if ok, err := a.rows.matches(row); ok || err != nil {
			return ok, err
		}
	}
}
