package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/stoadb/stoa/engine/span"
)

// TruthSummariesAny asks searches for summaries of servers that promise no order, and whose
// times bound traces, not spans, as Tempo's do. An answer is right that holds up to the limit
// traces, each once, each of which has a span that matches and was under way within the
// time; where it holds fewer, all are there that have a span which matches and began in it.
// Of a trace its start is compared, and its duration to the millisecond.
func TruthSummariesAny(name string, truth *Truth, queries []span.Query) (Class, error) {
	must, may, err := truth.sandwich(name, queries)
	if err != nil {
		return Class{}, err
	}
	truth.group() // before several clients compare at once
	return newClass(name, len(queries), func() (Ask, Check) {
		var answer []span.Summary
		return func(ctx context.Context, c Asker, i int) (n int, err error) {
				answer, err = c.Summaries(ctx, queries[i%len(queries)])
				return len(answer), err
			}, func(i int) (int, error) {
				at := i % len(queries)
				return len(answer), truth.compareSummaries(answer, must[at], may[at], queries[at].LimitOrDefault())
			}
	}), nil
}

// sandwich gives for each search the traces that an answer without a limit must hold, and
// those that it may hold.
func (t *Truth) sandwich(name string, queries []span.Query) (must, may []map[span.TraceID]bool, err error) {
	all := slices.Clone(queries)
	for i := range all {
		all[i].Limit = math.MaxInt
	}
	if must, err = t.matches(name, all); err != nil {
		return nil, nil, err
	}
	for i := range all {
		all[i].StartMin, all[i].StartMax = 0, math.MaxUint64
	}
	if may, err = t.matches(name, all); err != nil {
		return nil, nil, err
	}
	t.group()
	for i, ids := range may {
		for id := range ids {
			first, last := t.extent(id)
			if last < queries[i].StartMin || first > queries[i].StartMax {
				delete(ids, id)
			}
		}
	}
	return must, may, nil
}

// matches gives the traces that answer each search.
func (t *Truth) matches(name string, queries []span.Query) ([]map[span.TraceID]bool, error) {
	wants, err := t.findAll(name, queries)
	if err != nil {
		return nil, err
	}
	matches := make([]map[span.TraceID]bool, len(wants))
	for i, found := range wants {
		matches[i] = make(map[span.TraceID]bool, len(found))
		for _, f := range found {
			matches[i][f.TraceID] = true
		}
	}
	return matches, nil
}

// extent is when a trace was under way: its first start and its last end.
func (t *Truth) extent(id span.TraceID) (first, last uint64) {
	first = math.MaxUint64
	for _, row := range t.rows(t.byTrace[id]) {
		first, last = min(first, t.starts[row]), max(last, t.ends[row])
	}
	return first, last
}

func (t *Truth) compareSummaries(answer []span.Summary, must, may map[span.TraceID]bool, limit int) error {
	seen := make(map[span.TraceID]bool, len(answer))
	for _, got := range answer {
		if !may[got.TraceID] {
			return fmt.Errorf("trace %v does not match", got.TraceID)
		}
		if seen[got.TraceID] {
			return fmt.Errorf("trace %v comes twice", got.TraceID)
		}
		seen[got.TraceID] = true
		first, last := t.extent(got.TraceID)
		took, want := (got.End-got.Start)/uint64(time.Millisecond), (last-first)/uint64(time.Millisecond)
		if got.Start != first || took > want+1 || took+1 < want {
			return fmt.Errorf("trace %v begins at %d and takes %d ms, not at %d and %d ms", got.TraceID, got.Start, took, first, want)
		}
	}
	if len(answer) > limit {
		return fmt.Errorf("%d traces, not %d", len(answer), limit)
	}
	if len(answer) < limit {
		for id := range must {
			if !seen[id] {
				return fmt.Errorf("%d traces, and trace %v is not among them", len(answer), id)
			}
		}
	}
	return nil
}
