package cluster

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/stoadb/stoa/engine/span"
)

// Find gives at most q.Limit traces, newest first, then by id.
func (s *Store) Find(ctx context.Context, q span.Query) ([]span.Found, error) {
	// A trace lives in one shard, so each shard's own newest L contain the newest L, and where
	// others have found newer ones already, fewer of them do.
	q.Limit = q.LimitOrDefault()
	lists := make([][]span.Found, s.epoch.Shards)
	if s.epoch.Shards > 1 && q.Limit <= span.TracesFoundMax {
		q.Together = span.NewTogether(q.Limit, s.epoch.Shards)
	}
	err := s.ask(ctx, func(ctx context.Context, i int) (err error) {
		q := q
		q.Shard = i
		lists[i], err = s.shards[i].Find(ctx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	return mergeFound(lists, q.Limit), nil
}

// mergeFound merges sorted lists up to limit. A handful of lists: the smallest head is
// found by looking at all of them.
func mergeFound(lists [][]span.Found, limit int) []span.Found {
	total := 0
	for _, list := range lists {
		total += len(list)
	}
	merged := make([]span.Found, 0, min(total, limit))
	for len(merged) < cap(merged) {
		next := -1
		for i, list := range lists {
			if len(list) > 0 && (next < 0 || list[0].Before(lists[next][0])) {
				next = i
			}
		}
		merged = append(merged, lists[next][0])
		lists[next] = lists[next][1:]
	}
	return merged
}

// Get gives one whole trace as chunks of OTLP; see api.Store. It takes no slot: yield may
// wait for a slow client, and must not keep others from reading.
func (s *Store) Get(ctx context.Context, id span.TraceID, yield func(chunk span.Chunk) error) error {
	shard := Place(id, "", s.epoch.Shards)
	if err := s.groups.ReadBarrier(ctx, shard); err != nil {
		return err
	}
	return s.shards[shard].Get(ctx, id, yield)
}

// Summaries gives the summaries of the traces that Find gives, in that order.
func (s *Store) Summaries(ctx context.Context, q span.Query) ([]span.Summary, error) {
	found, err := s.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	return s.SummariesOf(ctx, found)
}

// SummariesOf gives the summaries of traces, in their order.
func (s *Store) SummariesOf(ctx context.Context, found []span.Found) ([]span.Summary, error) {
	byShard := make([][]span.Found, s.epoch.Shards)
	for _, f := range found {
		shard := Place(f.TraceID, "", s.epoch.Shards)
		byShard[shard] = append(byShard[shard], f)
	}
	answers := make([][]span.Summary, s.epoch.Shards)
	err := s.ask(ctx, func(ctx context.Context, i int) (err error) {
		if len(byShard[i]) > 0 {
			answers[i], err = s.shards[i].Summaries(ctx, byShard[i])
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	byID := make(map[span.TraceID]*span.Summary, len(found))
	for _, list := range answers {
		for i := range list {
			byID[list[i].TraceID] = &list[i]
		}
	}
	summaries := make([]span.Summary, 0, len(found))
	for _, f := range found {
		// Retention may have dropped a trace since Find; then it has no summary.
		if summary := byID[f.TraceID]; summary != nil {
			summaries = append(summaries, *summary)
		}
	}
	return summaries, nil
}

// Services gives the distinct service names, sorted.
func (s *Store) Services(ctx context.Context) ([]string, error) {
	lists := make([][]string, s.epoch.Shards)
	err := s.ask(ctx, func(ctx context.Context, i int) (err error) {
		lists[i], err = s.shards[i].Services(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Operations gives the distinct (name, kind) of a service, of all for "", sorted.
func (s *Store) Operations(ctx context.Context, service string) ([]span.Operation, error) {
	lists := make([][]span.Operation, s.epoch.Shards)
	err := s.ask(ctx, func(ctx context.Context, i int) (err error) {
		lists[i], err = s.shards[i].Operations(ctx, service)
		return err
	})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b span.Operation) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return slices.Compact(all), nil
}

// Edges gives the calls whose callee starts in [startMin, startMax], sorted by parent,
// then child.
func (s *Store) Edges(ctx context.Context, startMin, startMax uint64) ([]span.Edge, error) {
	rates, err := s.EdgeRates(ctx, span.EdgeQuery{StartMin: startMin, StartMax: startMax})
	if err != nil {
		return nil, err
	}
	edges := make([]span.Edge, len(rates))
	for i, rate := range rates {
		edges[i] = rate.Edge
	}
	return edges, nil
}

// EdgeRates gives the calls with their errors and durations, sorted by parent, then child. A call
// stands within one trace, a trace in one shard: counts add up.
func (s *Store) EdgeRates(ctx context.Context, q span.EdgeQuery) ([]*span.EdgeRate, error) {
	var mu sync.Mutex
	all := span.NewEdges()
	err := s.ask(ctx, func(ctx context.Context, i int) error {
		edges := span.NewEdges()
		if err := s.shards[i].Edges(ctx, q, edges); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		all.AddAll(edges)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all.Sorted(), nil
}

// Rates counts the distinct spans that are asked for, by operation and step, sorted by both. A
// span stands in one shard: counts add up.
func (s *Store) Rates(ctx context.Context, q span.RateQuery) ([]*span.Rate, error) {
	var mu sync.Mutex
	all := span.NewRates()
	err := s.ask(ctx, func(ctx context.Context, i int) error {
		rates := span.NewRates()
		if err := s.shards[i].Rates(ctx, q, rates); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		return all.AddAll(rates)
	})
	if err != nil {
		return nil, err
	}
	return all.Sorted(), nil
}

// Paths gathers the paths that are asked for. A trace stands in one shard: counts add up.
func (s *Store) Paths(ctx context.Context, q span.PathQuery) (*span.Paths, error) {
	var mu sync.Mutex
	all := span.NewPaths()
	err := s.ask(ctx, func(ctx context.Context, i int) error {
		paths := span.NewPaths()
		if err := s.shards[i].Paths(ctx, q, paths); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		return all.AddAll(paths)
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Spans calls visit with every distinct span on which the query holds, shard after
// shard; an error of visit ends it.
func (s *Store) Spans(ctx context.Context, q span.Query, visit func(span.Row) error) error {
	for _, shard := range s.shards {
		if err := shard.Spans(ctx, q, visit); err != nil {
			return err
		}
	}
	return nil
}

// errPanic is why the others of a read are ended where one panics.
var errPanic = errors.New("a panic ended the read")

// ask runs work for every shard and waits for all; the first failure ends the others.
func (s *Store) ask(ctx context.Context, work func(ctx context.Context, shard int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := s.eachShard(func(i int) error {
		leave, err := s.slot(ctx)
		if err != nil {
			return err
		}
		defer leave()
		cause := errPanic // unless the work returns
		defer func() {
			if cause != nil {
				cancel(cause)
			}
		}()
		err = s.groups.ReadBarrier(ctx, i)
		if err == nil {
			err = work(ctx, i)
		}
		cause = err
		return err
	})
	if err == nil {
		return nil
	}
	// What failed first is the reason; the others were told to stop.
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// slot bounds how many shards are read at once, over all reads, until leave is called. Who is at
// leisure takes one of half as many places first: so half of the slots are always left to others.
func (s *Store) slot(ctx context.Context) (leave func(), err error) {
	if !span.IsAtLeisure(ctx) {
		return s.leaveSlot, enter(ctx, s.readers)
	}
	if err := enter(ctx, s.leisurely); err != nil {
		return nil, err
	}
	if err := enter(ctx, s.readers); err != nil {
		<-s.leisurely
		return nil, err
	}
	return func() {
		<-s.readers
		<-s.leisurely
	}, nil
}

func (s *Store) leaveSlot() { <-s.readers }

// enter waits for a place.
func enter(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
