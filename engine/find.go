package engine

import (
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

// scan calls visit with each row on which everything asked holds and whose start is at
// least floor(), which may rise during the scan; it stops before the first unit that
// lies below the floor altogether.
func (v *view) scan(ctx context.Context, m *matcher, floor func() uint64, visit func(h hit) error) error {
	filtered := m.rowFilter().before(visit)
	m.group = groupSearches.Get().(*groupSearch)
	defer m.endScan()
	var b bound
	if m.query.Scan {
		units, err := v.allUnits(ctx)
		if err != nil {
			return err
		}
		for _, u := range units {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := u.scan(&b, m, 0, visit, filtered); err != nil {
				return err
			}
			if m.effort.err != nil {
				return m.effort.err
			}
		}
		return nil
	}
	for queue := v.units(m); len(queue.units) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		// Strictly: an equal start may still change the order by trace id.
		least, next := floor(), &queue.units[0]
		if !m.oldestFirst && next.maxStart < least || m.oldestFirst && next.minStart > m.query.StartMax {
			m.notReached(queue.units)
			return nil
		}
		u := queue.pop()
		if u.segment != nil {
			if err := queue.open(u.segment); err != nil {
				return err
			}
			continue
		}
		if err := u.scan(&b, m, least, visit, filtered); err != nil {
			return err
		}
		if m.effort.err != nil {
			return m.effort.err
		}
	}
	return nil
}

// scan visits the matching rows of the unit. Those that were read go to filtered, where the query's
// filter still is to be asked.
func (u *unit) scan(b *bound, m *matcher, least uint64, visit, filtered visitor) error {
	switch {
	case u.search != nil:
		return u.search.scanGroup(u.group, least, visit, filtered)
	case u.batch == nil:
		batch, err := u.whole.ReadGroup(u.group, allColumns)
		if err != nil {
			return err
		}
		m.bind(b, batch)
	case !m.query.Scan && m.asksTexts() && !m.mayMatch(u.batch.textsKnown()):
		m.explain.BatchesByTexts.Add(1)
		return nil
	default:
		m.bind(b, u.batch.batch)
	}
	return b.scanRows(least, filtered)
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
// stands in several is found once, and rightly. With q.Together, traces may lack that cannot be
// among the first of all shards.
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
	best := newestTraces{limit: q.Limit, keys: make(map[span.TraceID]uint64), together: q.Together, shard: q.Shard}
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
	if best.tells() {
		q.Together.Tell(q.Shard, found) // those that still search hear of the last ones too
	}
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

	together *span.Together // with other shards, nil for none
	shard    int            // which of them this is
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

// tells reports whether other shards hear of a few traces too: not where each of them would have to
// be looked into first, or where there are so many that sorting them takes longer than it spares.
func (n *newestTraces) tells() bool {
	return n.together != nil && n.after == nil && n.limit <= toldLimitMax
}

// raiseFloor gives the floor, worked out anew when enough has changed to pay for it.
func (n *newestTraces) raiseFloor() uint64 {
	if (n.tells() || len(n.keys) >= n.limit) && n.changes*16 > n.limit {
		n.forget()
	}
	if n.together != nil {
		n.floor = max(n.floor, n.together.Floor())
	}
	return n.floor
}

// forget keeps the limit newest and raises the floor to the last of them, where there are
// as many, and tells the other shards of them.
func (n *newestTraces) forget() {
	kept := n.sorted(n.limit)
	n.changes = 0
	if n.together != nil {
		n.together.Tell(n.shard, kept)
	}
	if len(kept) < n.limit {
		return // few were found, or are left: those behind Query.After are out
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
