package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// hit is a row on which everything asked holds. The row itself is there where the matcher
// wants rows.
type hit struct {
	id    span.TraceID
	start uint64
	row   span.Row
}

// unit is what a search looks at in one go: a batch of a memtable or a row group of a
// segment, with the ranges that let it be skipped.
type unit struct {
	minStart, maxStart uint64
	batch              *span.Batch    // of a memtable
	inMemory           *memBatch      // the same, where it may be passed over
	search             *segmentSearch // of a segment
	segment            *liveSegment   // of a segment whose rows are all read
	group              int
}

// units gives the units that may hold a match, the newest first. Together with
// segmentSearch this is where a search prunes, in this order:
//
//  1. segments by their start range;
//  2. segments by their resources and scopes, by the operations that their catalog gives the
//     service, and by their terms: a tag that nothing in them satisfies, and no value beside the
//     templates can. What is left of their templates is what row groups are asked for;
//  3. row groups and batches by their start range and longest duration, batches by the texts
//     that are nowhere in them;
//  4. row groups by the templates and resources that they have;
//  5. row groups by the filters of columns that a tag's key has;
//  6. rows by the values of columns where nothing else can satisfy a tag, each looked for where
//     it stands packed, and by template; durations by the zone maps of their mini-blocks;
//  7. rows by resource, and by the values of other tags.
//
// A structured filter is answered alike, see judge; the ranges of start and duration that
// it implies are the query's.
//
// Only what is left is read as rows and matched.
func (v *view) units(m *matcher) ([]unit, error) {
	q := &m.query
	if q.Scan {
		return v.allUnits(), nil
	}
	outside := func(minStart, maxStart uint64) bool { return maxStart < q.StartMin || minStart > q.StartMax }
	var units []unit
	for _, t := range v.tables {
		for i := range t.count {
			b := t.at(i)
			m.explain.Batches.Add(1)
			if outside(b.minStart, b.maxStart) || b.maxDuration < q.DurationMin {
				m.explain.BatchesByTime.Add(1)
				continue
			}
			units = append(units, unit{minStart: b.minStart, maxStart: b.maxStart, batch: b.batch, inMemory: b})
		}
	}
	for _, l := range v.segments {
		info := l.Info()
		m.explain.Segments.Add(1)
		if outside(info.MinStart, info.MaxStart) || info.MaxDuration < q.DurationMin {
			m.explain.SegmentsByTime.Add(1)
			continue
		}
		search, err := newSegmentSearch(m, l)
		if err != nil {
			return nil, err
		}
		if search == nil {
			m.explain.SegmentsByTerms.Add(1)
			continue
		}
		for g := range l.Groups() {
			group := l.Group(g)
			m.explain.Groups.Add(1)
			if outside(group.MinStart, group.MaxStart) || group.MaxDuration < q.DurationMin {
				m.explain.GroupsByTime.Add(1)
				continue
			}
			units = append(units, unit{minStart: group.MinStart, maxStart: group.MaxStart, search: search, group: g})
		}
	}
	slices.SortStableFunc(units, func(a, b unit) int {
		if m.oldestFirst {
			return cmp.Compare(a.minStart, b.minStart)
		}
		return cmp.Compare(b.maxStart, a.maxStart)
	})
	return units, nil
}

// allUnits gives every unit, for a search that passes over nothing: none of them has a
// segmentSearch.
func (v *view) allUnits() (units []unit) {
	for _, t := range v.tables {
		for i := range t.count {
			units = append(units, unit{batch: t.at(i).batch})
		}
	}
	for _, l := range v.segments {
		for g := range l.Groups() {
			units = append(units, unit{segment: l, group: g})
		}
	}
	return units
}

// scan calls visit with each row on which everything asked holds and whose start is at
// least floor(), which may rise during the scan; it stops before the first unit that
// lies below the floor altogether.
func (v *view) scan(ctx context.Context, m *matcher, floor func() uint64, visit func(h hit) error) error {
	units, err := v.units(m)
	if err != nil {
		return err
	}
	filtered := m.rowFilter().before(visit)
	var b bound
	for i := range units {
		u := &units[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		// Strictly: an equal start may still change the order by trace id.
		least := floor()
		if m.query.Scan {
			least = 0
		} else if !m.oldestFirst && u.maxStart < least || m.oldestFirst && u.minStart > m.query.StartMax {
			m.explain.GroupsNotReached.Add(int64(len(units) - i))
			return nil
		}
		if u.inMemory != nil && m.asksTexts() && !m.mayMatch(u.inMemory.textsKnown()) {
			m.explain.BatchesByTexts.Add(1)
			continue
		}
		if u.search != nil {
			err = u.search.scanGroup(u.group, least, visit, filtered)
		} else {
			err = u.scanRows(&b, m, least, filtered)
		}
		if err = cmp.Or(err, m.effort.err); err != nil {
			return err
		}
	}
	return nil
}

// scanRows reads the unit's rows where it is no batch yet, and visits those that match.
func (u *unit) scanRows(b *bound, m *matcher, least uint64, visit func(h hit) error) error {
	batch := u.batch
	if batch == nil {
		var err error
		if batch, err = u.segment.ReadGroup(u.group, allColumns); err != nil {
			return err
		}
	}
	m.bind(b, batch)
	return b.scanRows(least, visit)
}

// scanRows visits the matching rows of the bound batch.
func (b *bound) scanRows(least uint64, visit func(h hit) error) error {
	for pos, start := range b.batch.Starts {
		if start < least || !b.inRange(pos) || !b.matches(pos) {
			continue
		}
		if err := visit(hit{b.batch.TraceIDs[pos], start, span.Row{Batch: b.batch, Pos: pos}}); err != nil {
			return err
		}
	}
	return nil
}

// Find gives the q.Limit first traces in the order of span.Found, fewer only where fewer
// match. A trace's key is its latest matching start over all sources, so a trace that
// stands in several is found once, and rightly.
func (s *Shard) Find(ctx context.Context, q span.Query) ([]span.Found, error) {
	q.Limit = q.LimitOrDefault()
	if q.Limit > span.TracesFoundMax {
		return nil, fmt.Errorf("%w: %d traces asked, an answer holds at most %d", span.ErrTooMuch, q.Limit, span.TracesFoundMax)
	}
	m, err := newMatcher(ctx, q)
	if err != nil {
		return nil, err
	}
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close()
	best := newestTraces{limit: q.Limit, keys: make(map[span.TraceID]uint64)}
	if q.After != nil {
		best.after = newAfter(ctx, v, m, *q.After)
	}
	err = v.scan(ctx, m, best.raiseFloor, func(h hit) error {
		best.add(h.id, h.start)
		return nil
	})
	if err != nil {
		return nil, err
	}
	found := best.sorted(q.Limit)
	if best.after != nil && best.after.err != nil {
		return nil, best.after.err
	}
	return found, nil
}

// newestTraces remembers at least the limit newest traces among those added. Its floor
// is the key that a trace must reach to be in the answer: it only rises, so a trace
// forgotten below it needs no memory, and units below it need no reading.
type newestTraces struct {
	limit   int
	keys    map[span.TraceID]uint64
	changes int // since the floor was last worked out
	floor   uint64
	after   *after // the place to go on behind, nil for none
}

func (n *newestTraces) add(id span.TraceID, start uint64) {
	known, ok := n.keys[id]
	if ok && known >= start {
		return
	}
	if !ok && n.after != nil && n.after.isOut(span.Found{TraceID: id, Start: start}) {
		return
	}
	n.keys[id] = start
	n.changes++
	if len(n.keys) >= 2*n.limit+foundSlack {
		n.forget()
	}
}

// raiseFloor gives the floor, worked out anew when enough has changed to pay for it.
func (n *newestTraces) raiseFloor() uint64 {
	if len(n.keys) >= n.limit && n.changes*16 > n.limit {
		n.forget()
	}
	return n.floor
}

// forget keeps the limit newest and raises the floor to the last of them, where there are
// as many.
func (n *newestTraces) forget() {
	kept := n.sorted(n.limit)
	n.changes = 0
	if len(kept) < n.limit {
		return // the others are out
	}
	clear(n.keys)
	for _, f := range kept {
		n.keys[f.TraceID] = f.Start
	}
	n.floor = max(n.floor, kept[len(kept)-1].Start)
}

// sorted gives the limit first in the order of answers. Those that turn out to be out are
// dropped on the way.
func (n *newestTraces) sorted(limit int) []span.Found {
	found := make([]span.Found, 0, len(n.keys))
	for id, start := range n.keys {
		found = append(found, span.Found{TraceID: id, Start: start})
	}
	slices.SortFunc(found, func(a, b span.Found) int {
		if a == b {
			return 0
		}
		if a.Before(b) {
			return -1
		}
		return 1
	})
	if n.after == nil {
		return found[:min(limit, len(found))]
	}
	kept := found[:0]
	for _, f := range found {
		switch {
		case len(kept) == limit:
			return kept
		case n.after.hasMatchAbove(f.TraceID):
			delete(n.keys, f.TraceID)
		default:
			kept = append(kept, f)
		}
	}
	return kept
}
