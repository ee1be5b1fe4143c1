package engine

import (
	"cmp"
	"context"
	"math/bits"

	"github.com/stoadb/stoa/engine/segment"
)

// unit is what a search looks at in one go: a batch of a memtable or a row group of a
// segment, with the ranges that let it be skipped. A segment is one too until a scan comes to it.
type unit struct {
	minStart, maxStart uint64
	batch              *memBatch        // of a memtable
	search             *segmentSearch   // of a segment
	segment            *liveSegment     // its row groups are not told yet; nil for one of them
	whole              *segment.Segment // that of the group where all rows are read (allUnits)
	group              int
}

// unitQueue gives units in the order of a scan: a heap.
type unitQueue struct {
	m     *matcher
	units []unit
}

// units gives what may hold a match, in the order of the scan: batches, and segments, whose row
// groups take their place when the scan comes to them (see open): of segments older than the answer
// nothing is worked out. Together with segmentSearch this is where a search prunes, in this order:
//
//  1. segments by their start range;
//  2. segments by their resources and scopes, by the operations that their catalog gives the
//     service, and by their terms: a tag that nothing in them satisfies, and no value beside the
//     templates can. What is left of their templates is what row groups are asked for;
//  3. row groups by how long the longest span of the service in each lasts, and by the templates that
//     each has;
//  4. row groups and batches by their start range and longest duration, batches by the texts
//     that are nowhere in them;
//  5. row groups by templates and resources together, and by the filters of columns that a tag's key has;
//  6. row groups by how long the spans of each of their templates last, and by the names of
//     templates of their own;
//  7. rows by template and by length, of many by the zone maps of mini-blocks; then by the values
//     of columns where nothing else can satisfy a tag, each looked for where it stands packed;
//  8. rows by resource, and by the values of other tags.
//
// A structured filter is answered alike, see judge; the ranges of start and duration that
// it implies are the query's.
//
// Only what is left is read as rows and matched.
func (v *view) units(m *matcher) *unitQueue {
	q := &unitQueue{m: m}
	for _, t := range v.tables {
		for i := range t.count {
			b := t.at(i)
			m.explain.Batches.Add(1)
			if m.isOutside(b.minStart, b.maxStart, b.maxDuration) {
				m.explain.BatchesByTime.Add(1)
				continue
			}
			q.push(unit{minStart: b.minStart, maxStart: b.maxStart, batch: b})
		}
	}
	for _, l := range v.segments {
		info := l.Info()
		m.explain.Segments.Add(1)
		if m.isOutside(info.MinStart, info.MaxStart, info.MaxDuration) {
			m.explain.SegmentsByTime.Add(1)
			continue
		}
		q.push(unit{minStart: info.MinStart, maxStart: info.MaxStart, segment: l})
	}
	return q
}

// isOutside reports whether nothing in the ranges can match.
func (m *matcher) isOutside(minStart, maxStart, maxDuration uint64) bool {
	return maxStart < m.query.StartMin || minStart > m.query.StartMax || maxDuration < m.query.DurationMin
}

// compareUnits is the order of a scan.
func (m *matcher) compareUnits(a, b unit) int {
	if m.oldestFirst {
		return cmp.Compare(a.minStart, b.minStart)
	}
	return cmp.Compare(b.maxStart, a.maxStart)
}

// push adds a unit.
func (q *unitQueue) push(u unit) {
	at := len(q.units)
	for q.units = append(q.units, u); at > 0; {
		above := (at - 1) / 2
		if q.m.compareUnits(q.units[above], u) <= 0 {
			break
		}
		q.units[at], at = q.units[above], above
	}
	q.units[at] = u
}

// pop takes the first unit out.
func (q *unitQueue) pop() unit {
	first, last := q.units[0], q.units[len(q.units)-1]
	q.units = q.units[:len(q.units)-1]
	if len(q.units) == 0 {
		return first
	}
	at := 0
	for {
		below := 2*at + 1
		if below+1 < len(q.units) && q.m.compareUnits(q.units[below+1], q.units[below]) < 0 {
			below++
		}
		if below >= len(q.units) || q.m.compareUnits(last, q.units[below]) <= 0 {
			break
		}
		q.units[at], at = q.units[below], below
	}
	q.units[at] = last
	return first
}

// open adds the row groups of a segment.
func (q *unitQueue) open(live *liveSegment) error {
	l, err := live.Segment()
	if err != nil {
		return err
	}
	search, err := newSegmentSearch(q.m, l)
	if err != nil {
		return err
	}
	if search == nil {
		q.m.explain.SegmentsByTerms.Add(1)
		return nil
	}
	groups := search.groups()
	for word, left := range groups {
		for ; left != 0; left &= left - 1 {
			g := word*64 + bits.TrailingZeros64(left)
			group := l.Group(g)
			if !q.m.isOutside(group.MinStart, group.MaxStart, group.MaxDuration) {
				q.push(unit{minStart: group.MinStart, maxStart: group.MaxStart, search: search, group: g})
			}
		}
	}
	if q.m.query.Explain != nil {
		q.m.explainGroups(l, groups)
	}
	return nil
}

// explainGroups counts the row groups of a segment, and those that are passed over at once.
func (m *matcher) explainGroups(l *segment.Segment, groups []uint64) {
	for g := range l.Groups() {
		group := l.Group(g)
		m.explain.Groups.Add(1)
		if m.isOutside(group.MinStart, group.MaxStart, group.MaxDuration) {
			m.explain.GroupsByTime.Add(1)
		} else if !hasBit(groups, g) {
			m.explain.GroupsByTemplate.Add(1)
		}
	}
}

// notReached counts units that a scan need not look at.
func (m *matcher) notReached(units []unit) {
	for i := range units {
		if units[i].segment != nil {
			m.explain.SegmentsNotReached.Add(1)
		} else {
			m.explain.GroupsNotReached.Add(1)
		}
	}
}

// allUnits gives every unit, for a search that passes over nothing: none of them has a
// segmentSearch.
func (v *view) allUnits(ctx context.Context) (units []unit, err error) {
	for _, t := range v.tables {
		for i := range t.count {
			units = append(units, unit{batch: t.at(i)})
		}
	}
	opened, err := openAll(ctx, v.segments)
	if err != nil {
		return nil, err
	}
	for _, s := range opened {
		for g := range s.Groups() {
			units = append(units, unit{whole: s, group: g})
		}
	}
	return units, nil
}
