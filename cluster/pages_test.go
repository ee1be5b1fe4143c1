package cluster_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/vfs"
)

// filled is a store of random spans, some flushed and merged, and its model.
type filled struct {
	*cluster.Store
	t     *testing.T
	model *enginetest.Model
	gen   *enginetest.Generator
	rand  *rand.Rand
}

func fill(t *testing.T, seed uint64, traces, spans int) *filled {
	f := &filled{
		Store: open(t, small(vfs.NewCrash(seed))), t: t, model: enginetest.NewModel(),
		gen: enginetest.NewGenerator(seed, traces), rand: rand.New(rand.NewPCG(seed, 3)),
	}
	for range 4 {
		f.more(spans / 4)
	}
	return f
}

// more writes spans, and now and then flushes or merges.
func (f *filled) more(spans int) {
	f.t.Helper()
	payload := enginetest.Payload(f.gen.Spans(spans))
	if _, err := f.model.Add(payload); err != nil {
		f.t.Fatal(err)
	}
	write(f.t, f.Store, payload)
	var err error
	switch f.rand.IntN(4) {
	case 0:
		err = f.Flush(f.t.Context())
	case 1:
		err = f.Compact(f.t.Context())
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// matchesOf gives the matching spans of each trace, told by their content.
func matchesOf(m *enginetest.Model, q span.Query) map[span.TraceID]string {
	contents := make(map[span.TraceID][]string)
	for _, row := range m.Matching(q) {
		contents[row.TraceID()] = append(contents[row.TraceID()], string(span.AppendContent(nil, row)))
	}
	joined := make(map[span.TraceID]string)
	for id, list := range contents {
		slices.Sort(list)
		joined[id] = fmt.Sprintf("%q", list)
	}
	return joined
}

// pageSeeds gives how many of so many seeds the tests below run: a quarter where they are asked to be short.
func pageSeeds(all uint64) uint64 {
	if testing.Short() {
		return all / 4
	}
	return all
}

// TestAWalkShowsEachTraceOnce: page by page, at any size, while spans arrive, are flushed
// and merged. No trace comes twice, and each whose matches did not change comes, in order.
func TestAWalkShowsEachTraceOnce(t *testing.T) {
	pages, shown, seeds := 0, 0, pageSeeds(30)
	for seed := range seeds {
		f := fill(t, seed, 12+int(seed), 160)
		for range 12 {
			q := f.gen.Query(f.model)
			q.After = nil
			size := 1 + f.rand.IntN(6)
			before := matchesOf(f.model, q)
			var walked []span.Found
			for {
				q.Limit = size
				page, err := f.Find(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				if pages++; len(page) == 0 {
					break
				}
				walked = append(walked, page...)
				q.After = &page[len(page)-1]
				if f.rand.IntN(3) == 0 {
					f.more(1 + f.rand.IntN(4))
				}
			}
			shown += len(walked)
			q.After = nil
			checkWalk(t, walked, before, matchesOf(f.model, q))
		}
	}
	if pages < 500*int(seeds)/30 || shown < 1000*int(seeds)/30 {
		t.Errorf("%d pages of %d traces show little", pages, shown)
	}
}

// TestShardsFindTogetherWhatTheModelFinds: shards that search for one answer leave out what others
// have found newer ones for, and no more.
func TestShardsFindTogetherWhatTheModelFinds(t *testing.T) {
	found, seeds := 0, pageSeeds(20)
	for seed := range seeds {
		f := fill(t, seed, 10+4*int(seed), 200)
		for range 40 {
			q := f.gen.Query(f.model)
			q.Limit = 1 + f.rand.IntN(6)
			got, err := f.Find(t.Context(), q)
			if want := f.model.Find(q); err != nil || !slices.Equal(got, want) {
				t.Fatalf("seed %d: Find %+v:\n%v, %v; want\n%v", seed, q, got, err, want)
			}
			found += len(got)
		}
	}
	if found < 500*int(seeds)/20 {
		t.Errorf("%d traces show little", found)
	}
}

func checkWalk(t *testing.T, walked []span.Found, before, after map[span.TraceID]string) {
	t.Helper()
	times := make(map[span.TraceID]int)
	for i, f := range walked {
		times[f.TraceID]++
		if after[f.TraceID] == "" || times[f.TraceID] > 1 || i > 0 && !walked[i-1].Before(f) {
			t.Fatalf("%d of the walk %v: %d times, or out of order, or no match", i, walked, times[f.TraceID])
		}
	}
	for id, matches := range before {
		if after[id] == matches && times[id] != 1 {
			t.Fatalf("trace %v did not change and came %d times in %v", id, times[id], walked)
		}
	}
}

// found is one span of an answer, or of the model's.
type found struct {
	key     span.SpanKey
	message string
}

// modelSpans are the model's in order; the order of ties is that of the answer's.
func modelSpans(t *testing.T, m *enginetest.Model, q span.SpanQuery) []found {
	t.Helper()
	var list []found
	for _, row := range m.Matching(q.Query) {
		e := otlp.NewEncoder(func(chunk []byte) error {
			list = append(list, found{span.KeyOf(row), string(chunk)})
			return nil
		})
		if err := e.Add(row); err != nil {
			t.Fatal(err)
		}
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	sortFound(list, q.Order)
	return list
}

// sortFound sorts by order, ties by what they are.
func sortFound(list []found, order []span.SpanOrder) {
	slices.SortStableFunc(list, func(a, b found) int {
		if c := a.key.Compare(&b.key, order); c != 0 {
			return c
		}
		return bytes.Compare([]byte(a.message), []byte(b.message))
	})
}

// walkSpans goes through all pages.
func walkSpans(t *testing.T, s *cluster.Store, q span.SpanQuery, between func()) (list []found) {
	t.Helper()
	for {
		n := 0
		var last span.SpanPlace
		more, err := s.FindSpans(context.Background(), q, func(f span.FoundSpan) error {
			n++
			last = f.SpanPlace
			list = append(list, found{f.SpanKey, string(f.Traces)})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n > q.Limit || more && n < q.Limit {
			t.Fatalf("a page of %d spans, want %d, and more: %v", n, q.Limit, more)
		}
		if !more {
			return list
		}
		q.Behind = &last
		between()
	}
}

// TestFoundSpansAreThoseOfTheModel, in any order, page by page: each with its resource and
// scope, and every one of those that share an id.
func TestFoundSpansAreThoseOfTheModel(t *testing.T) {
	some, seeds := 0, pageSeeds(24)
	for seed := range seeds {
		f := fill(t, seed, 5+int(seed%7), 160)
		for range 25 {
			q := span.SpanQuery{Query: f.gen.Query(f.model), Order: f.gen.Order()}
			q.Limit = 1 + f.rand.IntN(60)
			want := modelSpans(t, f.model, q)
			got := walkSpans(t, f.Store, q, func() {})
			if !slices.IsSortedFunc(got, func(a, b found) int { return a.key.Compare(&b.key, q.Order) }) {
				t.Fatalf("%+v: out of order", q)
			}
			sortFound(got, q.Order) // ties
			if !slices.Equal(got, want) {
				t.Fatalf("%+v: %d spans, want %d", q, len(got), len(want))
			}
			some += min(1, len(got))
		}
	}
	if some < 100*int(seeds)/24 {
		t.Errorf("%d searches find anything: this shows little", some)
	}
}

// TestAWalkShowsEachSpanOnce while others arrive: all that were there before it began.
func TestAWalkShowsEachSpanOnce(t *testing.T) {
	for seed := range pageSeeds(10) {
		f := fill(t, seed, 8, 120)
		for range 6 {
			q := span.SpanQuery{Query: f.gen.Query(f.model), Order: f.gen.Order()}
			q.Limit = 1 + f.rand.IntN(9)
			left := make(map[found]int)
			for _, one := range modelSpans(t, f.model, q) {
				left[one]++
			}
			got := walkSpans(t, f.Store, q, func() { f.more(1 + f.rand.IntN(3)) })
			times := make(map[found]int)
			for _, one := range modelSpans(t, f.model, q) {
				times[one]++
			}
			for _, one := range got {
				left[one]--
				if times[one]--; times[one] < 0 {
					t.Fatalf("%+v: a span came twice, or was never sent", q)
				}
			}
			for one := range maps.Keys(left) {
				if left[one] > 0 {
					t.Fatalf("%+v: a span did not come", q)
				}
			}
		}
	}
}
