package engine

import (
	"context"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// edgeCounter has calls between services counted.
type edgeCounter struct {
	operations // services alone
	query      span.EdgeQuery
	all        *span.Edges
	edges      map[uint64]*span.EdgeRate // those of all, by parent << 32 | callee

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
	t, err := newTally(ctx, v, newEdgeCounter(q, edges), timeRange{q.StartMin, q.StartMax})
	if err != nil {
		return err
	}
	if !q.Scan {
		t.kept, t.everything = &v.version.splitEdges, newEdgeCounter(span.EdgeQuery{}, nil)
	}
	if err := t.countSegments(t.countTraces); err != nil {
		return err
	}
	return t.countSplit()
}

func newEdgeCounter(q span.EdgeQuery, edges *span.Edges) *edgeCounter {
	return &edgeCounter{query: q, all: edges, edges: map[uint64]*span.EdgeRate{}}
}

// number gives that of a service.
func (c *edgeCounter) number(service, _ []byte, _ int32) uint32 { return c.of(service, nil, 0) }

func (c *edgeCounter) cells(l *segment.Segment) (*segment.Cells, error) {
	if c.query.Scan {
		return nil, nil
	}
	return l.EdgeCells()
}

// fits is true: edges have no steps.
func (c *edgeCounter) fits(uint64, timeRange) bool { return true }

// lines are edges from the service of a row's parent to its own, where the trace has the parent.
func (c *edgeCounter) lines(dst []line, rows []tallyRow) []line {
	c.ids, c.parentIDs, c.kinds = c.ids[:0], c.parentIDs[:0], c.kinds[:0]
	for i := range rows {
		c.ids, c.parentIDs, c.kinds = append(c.ids, rows[i].id), append(c.parentIDs, rows[i].parentID), append(c.kinds, rows[i].kind)
	}
	c.parents = c.resolver.Resolve(c.parents, c.ids, c.parentIDs, c.kinds)
	for i, parent := range c.parents {
		if parent < 0 {
			dst = append(dst, line{})
			continue
		}
		dst = append(dst, line{rows[parent].who, rows[i].who})
	}
	return dst
}

func (c *edgeCounter) sum(l line, _ uint64) (sum, error) {
	key := uint64(l.parent)<<32 | uint64(l.callee)
	edge := c.edges[key]
	if edge == nil {
		edge = c.all.Of(c.list[l.parent].Service, c.list[l.callee].Service)
		c.edges[key] = edge
	}
	return sum{&edge.Calls, &edge.Errors, &edge.Durations}, nil
}
