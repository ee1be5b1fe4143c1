package engine

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// groupCache keeps the row groups that one question decoded last, all with one
// projection. It serves one goroutine.
type groupCache struct {
	projection segment.Projection
	bytesMax   int           // what it keeps besides the group read last
	groups     []cachedGroup // last used first
	bytes      int
}

type cachedGroup struct {
	segment *liveSegment
	group   int
	batch   *span.Batch
	bytes   int
}

func (c *groupCache) read(l *liveSegment, group int) (*span.Batch, error) {
	for i, g := range c.groups {
		if g.segment == l && g.group == group {
			copy(c.groups[1:i+1], c.groups[:i])
			c.groups[0] = g
			return g.batch, nil
		}
	}
	batch, err := l.ReadGroup(group, c.projection)
	if err != nil {
		return nil, err
	}
	size := batch.MemoryBytes()
	for len(c.groups) > 0 && c.bytes+size > c.bytesMax {
		last := len(c.groups) - 1
		c.bytes -= c.groups[last].bytes
		c.groups[last] = cachedGroup{}
		c.groups = c.groups[:last]
	}
	c.bytes += size
	c.groups = slices.Insert(c.groups, 0, cachedGroup{l, group, batch, size})
	return batch, nil
}

// rowSource gives the rows of one trace in one source, in the order of span.Compare and
// distinct. A segment's are read row group by row group, so a trace of any size needs
// the memory of one.
type rowSource struct {
	rows []span.Row // what is in memory and still to come

	segment   *liveSegment // nil for a memtable
	cache     *groupCache
	next, end int // rows of the segment still to be read
}

// head gives the first row still to come; ok is false at the end.
func (r *rowSource) head() (row span.Row, ok bool, err error) {
	for len(r.rows) == 0 {
		if r.segment == nil || r.next >= r.end {
			return span.Row{}, false, nil
		}
		if err := r.fill(); err != nil {
			return span.Row{}, false, err
		}
	}
	return r.rows[0], true, nil
}

// fill brings the rows of the next row group.
func (r *rowSource) fill() error {
	group := r.segment.GroupOfRow(r.next)
	info := r.segment.Group(group)
	batch, err := r.cache.read(r.segment, group)
	if err != nil {
		return err
	}
	for ; r.next < min(r.end, info.FirstRow+info.Rows); r.next++ {
		r.rows = append(r.rows, span.Row{Batch: batch, Pos: r.next - info.FirstRow})
	}
	return nil
}

// sources gives where the trace stands; from a memtable the rows come sorted and without
// copies. Segments are read with cheap where the trace stands in that one source only,
// with whole otherwise: only then must rows be compared by content.
func (v *view) sources(id span.TraceID, cheap, whole *groupCache) []rowSource {
	var found []rowSource
	for _, t := range v.tables {
		if rows := t.trace(nil, id, t.count); len(rows) > 0 {
			found = append(found, rowSource{rows: rows})
		}
	}
	for _, l := range v.segments {
		if i, ok := l.FindTrace(id); ok {
			first, n := l.TraceRows(i)
			found = append(found, rowSource{segment: l, next: first, end: first + n, cache: whole})
		}
	}
	if len(found) == 1 {
		found[0].cache = cheap
	}
	return found
}

// cancelEveryRows is how many rows pass between two looks at the context.
const cancelEveryRows = 256

// mergeRows visits the distinct rows of the sources of one trace in the order of
// span.Compare. Copies are equal under it, so they are adjacent.
func mergeRows(ctx context.Context, sources []rowSource, visit func(row span.Row) error) error {
	var last span.Row
	for visited := 0; ; visited++ {
		if visited%cancelEveryRows == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var least *rowSource
		var row span.Row
		for i := range sources {
			head, ok, err := sources[i].head()
			if err != nil {
				return err
			}
			if ok && (least == nil || span.Compare(head, row) < 0) {
				least, row = &sources[i], head
			}
		}
		if least == nil {
			return nil
		}
		least.rows = least.rows[1:]
		if len(sources) > 1 && last.Batch != nil && span.Compare(last, row) == 0 {
			continue
		}
		last = row
		if err := visit(row); err != nil {
			return err
		}
	}
}

// inRowOrder gives the ids in the order in which their first row groups begin, so that
// traces read one after another share decoded row groups.
func (v *view) inRowOrder(ids map[span.TraceID]bool) []span.TraceID {
	type placed struct {
		id    span.TraceID
		start uint64
	}
	list := make([]placed, 0, len(ids))
	for id := range ids {
		p := placed{id, math.MaxUint64}
		for _, l := range v.segments {
			if i, ok := l.FindTrace(id); ok {
				first, _ := l.TraceRows(i)
				p.start = min(p.start, l.Group(l.GroupOfRow(first)).MinStart)
			}
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.start, b.start), a.id.Compare(b.id))
	})
	sorted := make([]span.TraceID, len(list))
	for i, p := range list {
		sorted[i] = p.id
	}
	return sorted
}
