package segment

import (
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// Cache keeps the row groups read last, all with one projection: a trace's rows are
// adjacent, and traces read one after another are often neighbours. It serves one
// goroutine. Entries stand with the one used last at the end, few enough to look through.
type Cache struct {
	projection Projection
	groupsMin  int
	bytesMax   int
	entries    []cachedGroup
	bytes      int
}

type cachedGroup struct {
	s     *Segment
	group int
	batch *span.Batch
	bytes int
}

// NewCache keeps up to bytesMax bytes of row groups, but at least groupsMin groups and
// always the one read last.
func NewCache(p Projection, groupsMin, bytesMax int) *Cache {
	return &Cache{projection: p, groupsMin: groupsMin, bytesMax: bytesMax}
}

// Read gives a row group; it is a ReadFunc.
func (c *Cache) Read(s *Segment, group int) (*span.Batch, error) {
	for i := len(c.entries) - 1; i >= 0; i-- {
		if e := c.entries[i]; e.s == s && e.group == group {
			copy(c.entries[i:], c.entries[i+1:])
			c.entries[len(c.entries)-1] = e
			return e.batch, nil
		}
	}
	batch, err := s.ReadGroup(group, c.projection)
	if err != nil {
		return nil, err
	}
	e := cachedGroup{s, group, batch, memoryBytes(batch)}
	for len(c.entries) >= max(c.groupsMin, 1) && c.bytes+e.bytes > c.bytesMax {
		c.bytes -= c.entries[0].bytes
		c.entries = slices.Delete(c.entries, 0, 1)
	}
	c.entries = append(c.entries, e)
	c.bytes += e.bytes
	return batch, nil
}
