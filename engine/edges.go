package engine

import (
	"context"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// edgeCounter sums calls between services. Services are numbers to it.
type edgeCounter struct {
	*tally
	asked  timeRange
	scan   bool
	covers []cover // by segment

	services map[string]uint32
	names    []string
	all      *span.Edges
	edges    map[uint64]*span.EdgeRate // those of all, by caller << 32 | callee

	rows      []tallyRow
	ids       []span.SpanID
	parentIDs []span.SpanID
	kinds     []int32
	resolver  span.Resolver
	parents   []int32
}

// Edges counts the calls of the shard whose callee starts in the range into edges; a service
// may call itself.
//
// Calls are counted over the distinct spans of whole traces, never added up from parts: a
// parent may stand in another source than its child, and a span in several. See cells.go for
// what of that cells have counted already.
func (s *Shard) Edges(ctx context.Context, q span.EdgeQuery, edges *span.Edges) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close()
	c := &edgeCounter{
		asked: timeRange{q.StartMin, q.StartMax}, scan: q.Scan, covers: make([]cover, len(v.segments)),
		services: map[string]uint32{}, all: edges, edges: map[uint64]*span.EdgeRate{},
	}
	c.tally = newTally(ctx, v, func(service, _ []byte, _ int32) uint32 { return c.service(service) })
	for i, l := range v.segments {
		info := l.Info()
		if info.MaxStart < q.StartMin || info.MinStart > q.StartMax {
			continue
		}
		if err := c.segment(i, l); err != nil {
			return err
		}
	}
	for trace := range c.split.all() {
		if !c.split.reaches(trace, c.asked) {
			continue
		}
		parts, whole, err := c.assemble(trace)
		if err != nil {
			return err
		}
		for i := range parts {
			if err := c.takeBack(&parts[i]); err != nil {
				return err
			}
		}
		c.count(whole, c.asked.has)
	}
	return ctx.Err()
}

// segment counts the segment's traces that are not split, and with them, in cells, those that
// are.
func (c *edgeCounter) segment(i int, l *liveSegment) error {
	var cells *segment.Cells
	if !c.scan {
		var err error
		if cells, err = l.EdgeCells(); err != nil {
			return err
		}
	}
	cover := coverOf(cells, l.Info(), c.asked)
	c.covers[i] = cover
	if cover.from < cover.to {
		c.addCells(cells, cover)
	}
	if len(cover.rest) == 0 {
		return nil
	}
	r := c.reader(i)
	return c.eachWhole(i, cover.wants, func(trace int) (err error) {
		if c.rows, err = r.rows(c.rows[:0], trace, false); err == nil {
			c.count(c.rows, cover.asks)
		}
		return err
	})
}

// addCells adds cells up.
func (c *edgeCounter) addCells(cells *segment.Cells, cover cover) {
	numbers := make([]uint32, len(cells.Services))
	for i, name := range cells.Services {
		numbers[i] = c.service([]byte(name))
	}
	for i := cover.from; i < cover.to; i++ {
		cell := cells.At(i)
		edge := c.edge(numbers[cell.Parent], numbers[cell.Callee])
		edge.Calls += cell.Spans
		edge.Errors += cell.Errors
		cells.AddTo(&edge.Durations, i)
	}
}

// takeBack takes the calls of a split trace, as it stands in a segment, from its cells.
func (c *edgeCounter) takeBack(part *tallyPart) error {
	if part.segment < 0 || c.covers[part.segment].from == c.covers[part.segment].to {
		return nil
	}
	cells := c.covers[part.segment].cells
	for i, parent := range c.resolve(part.rows) {
		row := &part.rows[i]
		if parent < 0 || !cells.has(row.start) {
			continue
		}
		edge := c.edge(part.rows[parent].who, row.who)
		if !edge.Durations.Take(row.duration) || row.failed && edge.Errors == 0 {
			return wrongCells(c.view.segments[part.segment])
		}
		edge.Calls--
		if row.failed {
			edge.Errors--
		}
	}
	return nil
}

// count adds the calls of a trace whose callee starts when asks says.
func (c *edgeCounter) count(rows []tallyRow, asks func(start uint64) bool) {
	for i, parent := range c.resolve(rows) {
		row := &rows[i]
		if parent < 0 || !asks(row.start) {
			continue
		}
		edge := c.edge(rows[parent].who, row.who)
		edge.Calls++
		if row.failed {
			edge.Errors++
		}
		edge.Durations.Add(row.duration, 1)
	}
}

// resolve finds the parents of the rows of a trace.
func (c *edgeCounter) resolve(rows []tallyRow) []int32 {
	c.ids, c.parentIDs, c.kinds = c.ids[:0], c.parentIDs[:0], c.kinds[:0]
	for i := range rows {
		c.ids, c.parentIDs, c.kinds = append(c.ids, rows[i].id), append(c.parentIDs, rows[i].parentID), append(c.kinds, rows[i].kind)
	}
	c.parents = c.resolver.Resolve(c.parents, c.ids, c.parentIDs, c.kinds)
	return c.parents
}

// service gives the number of a service.
func (c *edgeCounter) service(name []byte) uint32 {
	n, ok := c.services[string(name)]
	if !ok {
		n = uint32(len(c.names))
		c.names = append(c.names, string(name))
		c.services[string(name)] = n
	}
	return n
}

func (c *edgeCounter) edge(parent, child uint32) *span.EdgeRate {
	key := uint64(parent)<<32 | uint64(child)
	edge := c.edges[key]
	if edge == nil {
		edge = c.all.Of(c.names[parent], c.names[child])
		c.edges[key] = edge
	}
	return edge
}
