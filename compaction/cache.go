package compaction

import (
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// cache keeps the row groups used last, whole, up to a number of bytes but at least so many
// groups. It serves one goroutine; entries stand with the one used last at the end, few
// enough to look through.
type cache struct {
	entries   []cached
	bytes     int
	groupsMin int
	bytesMax  int
}

type cached struct {
	s     *segment.Segment
	group int
	batch *span.Batch
	bytes int
}

func newCache(groupsMin, bytesMax int) *cache {
	return &cache{groupsMin: groupsMin, bytesMax: bytesMax}
}

// read gives all columns of a row group; it is a segment.ReadFunc.
func (c *cache) read(s *segment.Segment, group int) (*span.Batch, error) {
	for i := len(c.entries) - 1; i >= 0; i-- {
		if e := c.entries[i]; e.s == s && e.group == group {
			c.entries = append(slices.Delete(c.entries, i, i+1), e)
			return e.batch, nil
		}
	}
	batch, err := s.ReadGroup(group, segment.Projection{All: true})
	if err != nil {
		return nil, err
	}
	e := cached{s, group, batch, batch.MemoryBytes()}
	for len(c.entries) >= c.groupsMin && c.bytes+e.bytes > c.bytesMax {
		c.bytes -= c.entries[0].bytes
		c.entries = slices.Delete(c.entries, 0, 1)
	}
	c.entries = append(c.entries, e)
	c.bytes += e.bytes
	return batch, nil
}
