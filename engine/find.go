package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// unit is what a search reads at once: a batch of a memtable or a row group of a
// segment, with the ranges that let it be skipped.
type unit struct {
	minStart, maxStart uint64
	maxDuration        uint64
	batch              *span.Batch // of a memtable
	segment            *liveSegment
	group              int
}

// units gives the units that may hold a match, by descending max start. This is the one
// place that prunes, in this order:
//
//  1. segments by their start range;
//  2. row groups and batches by their start range;
//  3. the same by their longest duration;
//  4. row groups by keys: a tag that only a span, event or link attribute can satisfy
//     needs its key in one of them.
func (v *view) units(m *matcher) []unit {
	q := &m.query
	outside := func(minStart, maxStart uint64) bool { return maxStart < q.StartMin || minStart > q.StartMax }
	var units []unit
	for _, t := range v.tables {
		for i := range t.count {
			b := t.at(i)
			if !outside(b.minStart, b.maxStart) && b.maxDuration >= q.DurationMin {
				units = append(units, unit{b.minStart, b.maxStart, b.maxDuration, b.batch, nil, 0})
			}
		}
	}
	for _, l := range v.segments {
		info := l.Info()
		if outside(info.MinStart, info.MaxStart) {
			continue
		}
		needed := l.neededKeys(m)
		for g := range l.Groups() {
			group := l.Group(g)
			if outside(group.MinStart, group.MaxStart) || group.MaxDuration < q.DurationMin || !l.mayHold(g, needed) {
				continue
			}
			units = append(units, unit{group.MinStart, group.MaxStart, group.MaxDuration, nil, l, g})
		}
	}
	slices.SortStableFunc(units, func(a, b unit) int { return cmp.Compare(b.maxStart, a.maxStart) })
	return units
}

// neededKeys gives the keys that a row group must have: those of plain tags that no
// resource and no scope of the segment satisfies.
func (l *liveSegment) neededKeys(m *matcher) []string {
	var b bound
	var above uint64
	m.bind(&b, l.Resources())
	for _, tags := range b.resources {
		above |= tags
	}
	m.bind(&b, l.Scopes())
	for _, tags := range b.scopes {
		above |= tags
	}
	var keys []string
	for i := range m.tags {
		if above&(1<<i) == 0 && m.tags[i].special == plain {
			keys = append(keys, m.tags[i].key)
		}
	}
	return keys
}

// mayHold reports whether row group g has every key at some level below the resource.
func (l *liveSegment) mayHold(g int, keys []string) bool {
	for _, key := range keys {
		if !l.HasKey(g, span.SpanLevel, key) && !l.HasKey(g, span.EventLevel, key) && !l.HasKey(g, span.LinkLevel, key) {
			return false
		}
	}
	return true
}

// scan calls visit with each row on which everything asked holds and whose start is at
// least floor(), which may rise during the scan; it stops before the first unit that
// lies below the floor altogether. The row's batch holds the columns asked for.
func (v *view) scan(ctx context.Context, m *matcher, floor func() uint64, visit func(u *unit, row span.Row) error) error {
	var b bound
	onlyTimes := len(m.tags) == 0 && m.query.Name == "" && !m.wantIdentity && m.query.Filter == nil
	filter, err := newRowFilter(m.query.Filter)
	if err != nil {
		return err
	}
	visit = filter.before(ctx, visit)
	units := v.units(m)
	for i := range units {
		u := &units[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		// Strictly: an equal start may still change the order by trace id.
		least := floor()
		if u.maxStart < least {
			return nil
		}
		if u.segment == nil {
			m.bind(&b, u.batch)
		} else if found, err := u.read(m, &b, least, onlyTimes); err != nil {
			return err
		} else if !found {
			continue
		}
		if err := b.scanRows(u, least, visit); err != nil {
			return err
		}
	}
	return nil
}

// read binds a row group: first its times, and what else the query needs only where a row
// could match by those.
func (u *unit) read(m *matcher, b *bound, least uint64, onlyTimes bool) (found bool, err error) {
	batch, err := u.segment.ReadGroup(u.group, segment.Projection{Times: true})
	if err != nil {
		return false, err
	}
	m.bind(b, batch)
	if onlyTimes {
		return true, nil
	}
	if !b.anyInRange(least) {
		return false, nil
	}
	if batch, err = u.segment.ReadGroup(u.group, withFilter(m.projection(), m.query.Filter)); err != nil {
		return false, err
	}
	m.bind(b, batch)
	return true, nil
}

// anyInRange reports whether a row could match by times and service.
func (b *bound) anyInRange(least uint64) bool {
	for pos, start := range b.batch.Starts {
		if start >= least && b.inRange(pos) && b.service[b.batch.ResourceIDs[pos]] {
			return true
		}
	}
	return false
}

// scanRows visits the matching rows of the bound batch.
func (b *bound) scanRows(u *unit, least uint64, visit func(u *unit, row span.Row) error) error {
	for pos, start := range b.batch.Starts {
		if start < least || !b.inRange(pos) || !b.matches(pos) {
			continue
		}
		if err := visit(u, span.Row{Batch: b.batch, Pos: pos}); err != nil {
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
	m, err := newMatcher(q)
	if err != nil {
		return nil, err
	}
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close()
	best := newestTraces{limit: q.Limit, keys: make(map[span.TraceID]uint64)}
	err = v.scan(ctx, m, best.raiseFloor, func(_ *unit, row span.Row) error {
		best.add(row.TraceID(), row.Start())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return best.sorted(q.Limit), nil
}

// newestTraces remembers at least the limit newest traces among those added. Its floor
// is the key that a trace must reach to be in the answer: it only rises, so a trace
// forgotten below it needs no memory, and units below it need no reading.
type newestTraces struct {
	limit   int
	keys    map[span.TraceID]uint64
	changes int // since the floor was last worked out
	floor   uint64
}

func (n *newestTraces) add(id span.TraceID, start uint64) {
	known, ok := n.keys[id]
	if ok && known >= start {
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

// forget keeps the limit newest and raises the floor to the last of them.
func (n *newestTraces) forget() {
	kept := n.sorted(n.limit)
	clear(n.keys)
	for _, f := range kept {
		n.keys[f.TraceID] = f.Start
	}
	n.changes = 0
	n.floor = max(n.floor, kept[len(kept)-1].Start)
}

// sorted gives the limit first in the order of answers.
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
	return found[:min(limit, len(found))]
}
