package engine

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
)

// A search for spans has two steps. SpanKeys gives the keys that come first, without a
// span: a key is small, a span may have megabytes. SpansAt gives the spans of some keys; who
// asks merges the keys of several shards between the two.

// SpanKeys gives the distinct keys of the q.Limit + 2 first spans in the order of q: two
// more than asked for, since the spans of the first may all stand before q.Behind, and one
// tells that there are more. Copies of a span, in one source or in several, have one key.
func (s *Shard) SpanKeys(ctx context.Context, q span.SpanQuery) ([]span.SpanKey, error) {
	if q.Limit < 1 || q.Limit > span.SpansFoundMax {
		return nil, fmt.Errorf("%w: %d spans asked, an answer holds 1 to %d", span.ErrTooMuch, q.Limit, span.SpansFoundMax)
	}
	first := q.Order[0]
	if q.Behind != nil && first.Field == span.OrderStart {
		if first.Descending {
			q.StartMax = min(q.StartMax, q.Behind.Start)
		} else {
			q.StartMin = max(q.StartMin, q.Behind.Start)
		}
	}
	m, err := newMatcher(ctx, q.Query)
	if err != nil {
		return nil, err
	}
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close()
	m.wantRows = true
	m.oldestFirst = first == span.SpanOrder{Field: span.OrderStart}
	best := firstSpans{query: &q, limit: q.Limit + 2, keys: make(map[span.SpanKey]struct{})}
	floor := func() uint64 {
		if best.last == nil || first.Field != span.OrderStart || !first.Descending {
			return 0
		}
		return best.last.Start
	}
	err = v.scan(ctx, m, floor, func(h hit) error {
		if best.add(span.KeyOf(h.row)) && m.oldestFirst {
			m.query.StartMax = min(m.query.StartMax, best.last.Start)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return best.sorted(), nil
}

// firstSpans remembers at least the limit first keys among those added, and few more.
type firstSpans struct {
	query *span.SpanQuery
	limit int
	keys  map[span.SpanKey]struct{}
	last  *span.SpanKey // what does not stand before it is not among the first; nil: not known
}

// add reports whether last moved.
func (f *firstSpans) add(key span.SpanKey) (moved bool) {
	order, behind := f.query.Order, f.query.Behind
	if f.last != nil && key.Compare(f.last, order) >= 0 || behind != nil && key.Compare(&behind.SpanKey, order) < 0 {
		return false
	}
	f.keys[key] = struct{}{}
	if len(f.keys) < 2*f.limit+foundSlack {
		return false
	}
	kept := f.sorted()
	clear(f.keys)
	for _, key := range kept {
		f.keys[key] = struct{}{}
	}
	f.last = &kept[len(kept)-1]
	return true
}

func (f *firstSpans) sorted() []span.SpanKey {
	keys := make([]span.SpanKey, 0, len(f.keys))
	for key := range f.keys {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b span.SpanKey) int { return a.Compare(&b, f.query.Order) })
	return keys[:min(f.limit, len(keys))]
}

// SpansAt gives the spans of keys, key by key; those of one key by their ties. It gives
// bytesMax bytes at most, or one span, so found may be of the first of the keys only: of
// one at least. isCut says that the last of these has more spans.
func (s *Shard) SpansAt(ctx context.Context, q span.SpanQuery, keys []span.SpanKey, bytesMax int) (found [][]span.FoundSpan, isCut bool, err error) {
	m, err := newMatcher(ctx, q.Query)
	if err != nil {
		return nil, false, err
	}
	v, err := s.view()
	if err != nil {
		return nil, false, err
	}
	defer v.close()
	g := spanGatherer{query: &q, place: make(map[span.SpanKey]int, len(keys)), found: make([][]span.FoundSpan, len(keys)), bytesMax: bytesMax, tieMax: math.MaxUint64}
	type part struct {
		low, high uint64
		first     int // of the trace's keys
	}
	parts := make(map[span.TraceID]part)
	var ids []span.TraceID
	for i, key := range keys {
		g.place[key] = i
		p, known := parts[key.TraceID]
		if !known {
			p = part{key.Start, key.Start, i}
			ids = append(ids, key.TraceID)
		}
		parts[key.TraceID] = part{min(p.low, key.Start), max(p.high, key.Start), p.first}
	}
	rows := m.rows()
	for _, id := range ids {
		if parts[id].first >= len(g.found) {
			break // given up already, as all behind it
		}
		sources, err := v.sourcesBetween(id, parts[id].low, parts[id].high)
		if err != nil {
			return nil, false, err
		}
		err = mergeRows(ctx, sources, func(row span.Row) error {
			at, ok := g.place[span.KeyOf(row)]
			if !ok || at >= len(g.found) {
				return nil
			}
			if ok, err := rows.matches(row); err != nil || !ok {
				return err
			}
			return g.add(at, row)
		})
		if err != nil {
			return nil, false, err
		}
	}
	for _, list := range g.found {
		sortTies(list)
	}
	return g.found, g.tieMax < math.MaxUint64, nil
}

// spanGatherer gathers encoded spans by key, in bounded memory.
type spanGatherer struct {
	query *span.SpanQuery
	place map[span.SpanKey]int
	found [][]span.FoundSpan
	bytes int
	// bytesMax bounds bytes, where they are of more than one span.
	bytesMax int
	tieMax   uint64 // of the only key that is left, where its spans are too many
	content  []byte
}

func (g *spanGatherer) add(at int, row span.Row) error {
	g.content = span.AppendContent(g.content[:0], row)
	f := span.FoundSpan{SpanPlace: span.SpanPlace{SpanKey: span.KeyOf(row), Tie: codec.Hash64(g.content, 0)}}
	behind := g.query.Behind
	if behind != nil && f.SpanKey == behind.SpanKey && f.Tie <= behind.Tie || f.Tie >= g.tieMax {
		return nil
	}
	encoder := otlp.NewEncoder(func(chunk []byte) error {
		f.Traces = bytes.Clone(chunk)
		return nil
	})
	if err := encoder.Add(row); err != nil {
		return err
	}
	if err := encoder.Flush(); err != nil {
		return err
	}
	g.found[at] = append(g.found[at], f)
	g.bytes += len(f.Traces)
	for g.bytes > g.bytesMax && g.shrink() {
	}
	return nil
}

// shrink gives up the second half of the keys, or of the one that is left the last tie; false
// where nothing is left to give up.
func (g *spanGatherer) shrink() bool {
	drop := func(list []span.FoundSpan) {
		for _, f := range list {
			g.bytes -= len(f.Traces)
		}
	}
	if n := len(g.found); n > 1 {
		for _, list := range g.found[n/2:] {
			drop(list)
		}
		clear(g.found[n/2:])
		g.found = g.found[:n/2]
		return true
	}
	list := g.found[0]
	if len(list) < 2 {
		return false
	}
	sortTies(list)
	last := len(list) - 1
	drop(list[last:])
	g.tieMax = list[last].Tie
	list[last] = span.FoundSpan{}
	g.found[0] = list[:last]
	return true
}

func sortTies(list []span.FoundSpan) {
	slices.SortFunc(list, func(a, b span.FoundSpan) int { return cmp.Compare(a.Tie, b.Tie) })
}
