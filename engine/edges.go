package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// edgeCounter sums calls between services.
type edgeCounter struct {
	startMin, startMax uint64
	calls              map[[2]string]uint64
	facts              *traceFacts
}

// count adds the calls of the trace in facts whose callee starts in range.
func (c *edgeCounter) count() {
	for i, parent := range c.facts.resolve() {
		start := c.facts.starts[i]
		if parent >= 0 && start >= c.startMin && start <= c.startMax {
			c.calls[[2]string{c.facts.services[parent], c.facts.services[i]}]++
		}
	}
	c.facts.reset()
}

// Edges calls add for each pair of caller and callee with a call whose callee starts in
// [startMin, startMax], sorted by caller, then callee; a service may call itself.
//
// Calls are counted over the distinct spans of whole traces, never added up from parts: a
// parent may stand in another source than its child, and a span in several. A trace that
// stands whole in one segment is counted there; all others are assembled first.
func (s *Shard) Edges(ctx context.Context, startMin, startMax uint64, add func(parent, child string, calls uint64)) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close()
	c := &edgeCounter{startMin: startMin, startMax: startMax, calls: make(map[[2]string]uint64), facts: newTraceFacts()}
	split := v.splitTraces()
	for _, l := range v.segments {
		info := l.Info()
		if info.MaxStart < startMin || info.MinStart > startMax {
			continue
		}
		if err := c.countSegment(ctx, l, split); err != nil {
			return err
		}
	}
	for _, id := range v.inRowOrder(split) {
		err := mergeRows(ctx, v.sources(id, factsProjection), func(row span.Row) error {
			c.facts.add(row)
			return nil
		})
		if err != nil {
			return err
		}
		c.count()
	}
	pairs := make([][2]string, 0, len(c.calls))
	for pair := range c.calls {
		pairs = append(pairs, pair)
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1]))
	})
	for _, pair := range pairs {
		add(pair[0], pair[1], c.calls[pair])
	}
	return nil
}

// countSegment counts the segment's traces that are not split. Rows of a trace are
// adjacent and begin in one row group; the trace is counted where the first row group in
// range meets it.
func (c *edgeCounter) countSegment(ctx context.Context, l *liveSegment, split map[span.TraceID]bool) error {
	cache := segment.NewCache(factsProjection, 0, cachedBytesMax)
	read := func(s *segment.Segment, group int) (*span.Batch, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return cache.Read(s, group)
	}
	counted := 0 // rows before this one belong to traces that are done
	for g := range l.Groups() {
		group := l.Group(g)
		if group.MaxStart < c.startMin || group.MinStart > c.startMax {
			continue
		}
		batch, err := read(l.Segment, g)
		if err != nil {
			return err
		}
		for row := max(group.FirstRow, counted); row < group.FirstRow+group.Rows; row = counted {
			id := batch.TraceIDs[row-group.FirstRow]
			trace := l.TraceAtRow(row)
			first, n := l.TraceRows(trace)
			counted = first + n
			if split[id] {
				continue
			}
			rows := l.TraceWith(trace, read)
			for rows.Next() {
				c.facts.add(rows.Row())
			}
			if err := rows.Err(); err != nil {
				return err
			}
			c.count()
		}
	}
	return nil
}
