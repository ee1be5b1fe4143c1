package engine

import (
	"context"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// pathsProjection is what paths read of a row group.
var pathsProjection = segment.Projection{Times: true, Names: true, Identity: true}

// pathCounter counts the paths of one trace after the other.
type pathCounter struct {
	query span.PathQuery
	paths *span.Paths
	facts *traceFacts
	names []string // of the rows in facts
	// What is known of each row of the trace, see climb.
	known []rowPath
	// places of hops in the tree of paths, where hasPlace.
	places   []span.PathPlace
	hasPlace []bool
	climbing []int32
}

// rowPath is how a row is reached from its root.
type rowPath struct {
	state  pathState
	hop    int32 // the last row on the way, itself included, that is a hop
	before int32 // of a hop: the hop before it, -1 at a root
	focal  int32 // the first focal hop on the way, -1 where there is none
	depth  int32 // hops on the way to its hop
	isLeaf bool
}

type pathState uint8

const (
	pathUnknown pathState = iota
	pathClimbed           // is on the way up
	pathDone
	pathRootless // parents go round in a circle
)

// Paths counts the paths from a root to a leaf that are asked for into paths, over the distinct
// spans of whole traces. Of a path its first focal span stands in the range; the others may
// stand anywhere. A root is a span without a parent in the trace. Spans whose parents go
// round in a circle are on no path.
func (s *Shard) Paths(ctx context.Context, q span.PathQuery, paths *span.Paths) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close()
	c := &pathCounter{query: q, paths: paths, facts: new(traceFacts)}
	split, err := v.splitTraces(ctx)
	if err != nil {
		return err
	}
	for _, l := range split.segments.opened {
		info := l.Info()
		if info.MaxStart < q.StartMin || info.MinStart > q.StartMax || !c.mayHold(l) {
			continue
		}
		if err := c.countSegment(ctx, l, split); err != nil {
			return err
		}
	}
	asked := timeRange{q.StartMin, q.StartMax}
	for trace := range split.all() {
		if !split.reaches(trace, asked) {
			continue
		}
		if err := v.mergeRows(ctx, trace.id, pathsProjection, c.add); err != nil {
			return err
		}
		if err := c.count(trace.id); err != nil {
			return err
		}
	}
	return nil
}

// mayHold asks the catalog of a segment whether a focal span may stand in it.
func (c *pathCounter) mayHold(l *segment.Segment) bool {
	if !l.Catalog().Complete() {
		return true
	}
	if c.query.Name == "" {
		return slices.Contains(l.Catalog().Services(), c.query.Service)
	}
	// A catalog takes "" for every service: then this tells less, and nothing wrong.
	return slices.ContainsFunc(l.Catalog().Operations(c.query.Service), func(o span.Operation) bool { return o.Name == c.query.Name })
}

// isFocal tells of a row that would be focal if it is a hop, in range.
func (c *pathCounter) isFocal(row span.Row) bool {
	start := row.Start()
	return start >= c.query.StartMin && start <= c.query.StartMax &&
		string(row.Service()) == c.query.Service && (c.query.Name == "" || string(row.Name()) == c.query.Name)
}

// countSegment counts the segment's traces that are not split. A trace's rows are adjacent;
// it is read whole where a row group in range has a row of it that may be focal.
func (c *pathCounter) countSegment(ctx context.Context, l *segment.Segment, split *splitTraces) error {
	cache := segment.NewCache(pathsProjection, 0, cachedBytesMax)
	read := func(s *segment.Segment, group int) (*span.Batch, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return cache.Read(s, group)
	}
	counted := 0 // rows before this one belong to traces that are done
	for g := range l.Groups() {
		group := l.Group(g)
		if group.MaxStart < c.query.StartMin || group.MinStart > c.query.StartMax {
			continue
		}
		batch, err := read(l, g)
		if err != nil {
			return err
		}
		end := group.FirstRow + group.Rows
		for row := max(group.FirstRow, counted); row < end; row++ {
			pos := row - group.FirstRow
			if !c.isFocal(span.Row{Batch: batch, Pos: pos}) || split.has(batch.TraceIDs[pos]) {
				continue
			}
			trace := l.TraceAtRow(row)
			first, n := l.TraceRows(trace)
			rows := l.TraceWith(trace, read)
			for rows.Next() {
				if err := c.add(rows.Row()); err != nil {
					return err
				}
			}
			if err := rows.Err(); err != nil {
				return err
			}
			if err := c.count(batch.TraceIDs[pos]); err != nil {
				return err
			}
			counted = first + n
			row = counted - 1
		}
	}
	return nil
}

// add takes the next row of the trace at hand.
func (c *pathCounter) add(row span.Row) error {
	c.facts.add(row)
	c.names = append(c.names, c.facts.texts.intern(row.Name()))
	return nil
}

// count counts the paths of the trace at hand, and forgets it.
func (c *pathCounter) count(id span.TraceID) error {
	parents := c.facts.resolve()
	c.known = append(c.known[:0], make([]rowPath, len(parents))...)
	c.places = append(c.places[:0], make([]span.PathPlace, len(parents))...)
	c.hasPlace = append(c.hasPlace[:0], make([]bool, len(parents))...)
	for i := range parents {
		c.known[i].isLeaf = true
	}
	for _, parent := range parents {
		if parent >= 0 {
			c.known[parent].isLeaf = false
		}
	}
	for i := range parents {
		c.climb(int32(i), parents)
		row := &c.known[i]
		if !row.isLeaf || row.state != pathDone || row.focal < 0 {
			continue
		}
		start := c.facts.starts[row.focal]
		if start < c.query.StartMin || start > c.query.StartMax {
			continue
		}
		if c.known[row.focal].depth > span.PathHopsMax {
			c.paths.Deeper++
			continue
		}
		place, err := c.place(row.hop)
		if err != nil {
			return err
		}
		c.paths.Count(place, span.Found{TraceID: id, Start: start})
	}
	c.facts.reset()
	c.names = c.names[:0]
	return nil
}

// climb learns how a row is reached: it goes up to a row that is known, or a root, and comes
// down again. Each row is gone over once.
func (c *pathCounter) climb(row int32, parents []int32) {
	c.climbing = c.climbing[:0]
	above := row
	for above >= 0 && c.known[above].state == pathUnknown {
		c.known[above].state = pathClimbed
		c.climbing = append(c.climbing, above)
		above = parents[above]
	}
	isRootless := above >= 0 && c.known[above].state != pathDone
	for _, row := range slices.Backward(c.climbing) {
		at := &c.known[row]
		if isRootless {
			at.state = pathRootless
			continue
		}
		way := rowPath{hop: -1, focal: -1}
		if above >= 0 {
			way = c.known[above]
		}
		if way.hop < 0 || c.query.IsHop(c.facts.serviceOf(way.hop), c.facts.serviceOf(row), c.facts.kinds[row]) {
			way.before, way.hop = way.hop, row
			way.depth++
			if way.focal < 0 && c.query.IsFocal(c.hop(row)) {
				way.focal = row
			}
		}
		way.state, way.isLeaf = pathDone, at.isLeaf
		*at = way
		above = row
	}
}

func (c *pathCounter) hop(row int32) span.Hop {
	return span.Hop{Service: c.facts.serviceOf(row), Name: c.names[row]}
}

// place gives the place of a hop in the tree of paths.
func (c *pathCounter) place(hop int32) (span.PathPlace, error) {
	c.climbing = c.climbing[:0]
	for hop >= 0 && !c.hasPlace[hop] {
		c.climbing = append(c.climbing, hop)
		hop = c.known[hop].before
	}
	var place span.PathPlace
	if hop >= 0 {
		place = c.places[hop]
	}
	for _, hop := range slices.Backward(c.climbing) {
		var err error
		if place, err = c.paths.Next(place, c.hop(hop)); err != nil {
			return place, err
		}
		c.places[hop], c.hasPlace[hop] = place, true
	}
	return place, nil
}
