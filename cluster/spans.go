package cluster

import (
	"context"
	"math"

	"github.com/stoadb/stoa/engine/span"
)

// keysAtOnce is of how many keys the spans are read at once.
const keysAtOnce = 256

// FindSpans yields the spans on which the query holds in its order, at most q.Limit, and
// tells whether there are more. The spans belong to yield. Between two of them it holds
// keys, and spans of spansBytesMax at most, all shards together. It takes slots only while it
// reads: yield may wait for a slow client.
func (s *Store) FindSpans(ctx context.Context, q span.SpanQuery, yield func(f span.FoundSpan) error) (more bool, err error) {
	for {
		left, behind, err := s.findSpans(ctx, q, yield)
		if behind == nil || left < q.Limit || err != nil {
			return behind != nil, err
		}
		q.Behind = behind // retention took all of these: what stands behind them is not lost
	}
}

// findSpans is FindSpans of the first q.Limit+2 keys. left is how many spans are wanting then;
// behind is set where there may be more spans, behind that place.
func (s *Store) findSpans(ctx context.Context, q span.SpanQuery, yield func(f span.FoundSpan) error) (left int, behind *span.SpanPlace, err error) {
	lists := make([][]span.SpanKey, s.epoch.Shards)
	err = s.ask(ctx, func(ctx context.Context, i int) (err error) {
		lists[i], err = s.shards[i].SpanKeys(ctx, q)
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	keys := mergeKeys(lists, q.Order, q.Limit+2)
	if left = q.Limit; len(keys) == q.Limit+2 {
		behind = &span.SpanPlace{SpanKey: keys[len(keys)-1], Tie: math.MaxUint64}
	}
	var last span.SpanPlace
	for len(keys) > 0 {
		spans, err := s.spansAt(ctx, q, keys[:min(len(keys), keysAtOnce)])
		if err != nil {
			return left, nil, err
		}
		for _, list := range spans.found {
			for _, f := range list {
				if left == 0 {
					return left, &last, nil
				}
				if err := yield(f); err != nil {
					return left, nil, err
				}
				left--
				last = f.SpanPlace
			}
		}
		done := len(spans.found)
		if spans.isCut { // the last key has more spans, behind the last one
			q.Behind = &last
			done--
		}
		keys = keys[done:]
	}
	// Retention may have dropped spans since their keys were gathered: then there may be more.
	return left, behind, nil
}

// mergeKeys merges sorted lists up to limit. A trace lives in one shard, so no key is in two.
func mergeKeys(lists [][]span.SpanKey, order []span.SpanOrder, limit int) []span.SpanKey {
	var merged []span.SpanKey
	for len(merged) < limit {
		next := -1
		for i, list := range lists {
			if len(list) > 0 && (next < 0 || list[0].Compare(&lists[next][0], order) < 0) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		merged = append(merged, lists[next][0])
		lists[next] = lists[next][1:]
	}
	return merged
}

// spansOf are the spans of the first of some keys.
type spansOf struct {
	found [][]span.FoundSpan
	isCut bool // the last key has more
}

// spansAt gives the spans of as many of the keys as fit spansBytesMax: of one at least. Each
// shard gives its part of the bound, or one span where that is larger.
func (s *Store) spansAt(ctx context.Context, q span.SpanQuery, keys []span.SpanKey) (spansOf, error) {
	byShard, asked := make([][]span.SpanKey, s.epoch.Shards), 0
	for _, key := range keys {
		shard := Place(key.TraceID, "", s.epoch.Shards)
		if len(byShard[shard]) == 0 {
			asked++
		}
		byShard[shard] = append(byShard[shard], key)
	}
	answers := make([]spansOf, s.epoch.Shards)
	err := s.ask(ctx, func(ctx context.Context, i int) (err error) {
		if len(byShard[i]) > 0 {
			answers[i].found, answers[i].isCut, err = s.shards[i].SpansAt(ctx, q, byShard[i], spansBytesMax/asked)
		}
		return err
	})
	if err != nil {
		return spansOf{}, err
	}
	var all spansOf
	bytes := 0
	for _, key := range keys {
		answer := &answers[Place(key.TraceID, "", s.epoch.Shards)]
		if len(answer.found) == 0 {
			break
		}
		for _, f := range answer.found[0] {
			bytes += len(f.Traces)
		}
		if bytes > spansBytesMax && len(all.found) > 0 {
			break
		}
		all.found = append(all.found, answer.found[0])
		answer.found = answer.found[1:]
		if answer.isCut && len(answer.found) == 0 {
			all.isCut = true
			break
		}
	}
	return all, nil
}
