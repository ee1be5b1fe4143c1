package engine_test

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/stoadb/stoa/engine/span"
)

// Searches and summaries work in memory of those before them: asked in any order, many at once, each still
// gets the answer that it gets of the model.
func TestManySearchesAtOnceGetTheirOwnAnswers(t *testing.T) {
	for seed := range uint64(seeds(t, 4)) {
		w := newWorld(t, seed, 12)
		w.mustOpen()
		for range 6 {
			w.later()
			err := w.append(w.deliveries(w.gen.Spans(60))...)
			if err == nil && w.rand.IntN(3) > 0 {
				err = w.shard.Flush(context.Background())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		var queries []span.Query
		var found [][]span.Found
		var summaries [][]span.Summary
		for range 26 { // each asker takes steps that meet them all
			q := w.gen.Query(w.model)
			queries, found = append(queries, q), append(found, w.model.Find(q))
			var list []span.Summary
			for _, f := range found[len(found)-1] {
				list = append(list, w.model.Summary(f.TraceID))
			}
			summaries = append(summaries, list)
		}
		var askers sync.WaitGroup
		for asker := range 4 {
			askers.Go(func() {
				kept, keptSummaries := make([][]span.Found, len(queries)), make([][]span.Summary, len(queries))
				for k := range queries {
					i := (k*(2*asker+1) + asker) % len(queries)
					got, err := w.shard.Find(context.Background(), queries[i])
					if err != nil || !slices.Equal(got, found[i]) {
						t.Errorf("seed %d, find %+v: other %d traces than the %d of the model: %v", seed, queries[i], len(got), len(found[i]), err)
					}
					told, err := w.shard.Summaries(context.Background(), got)
					if err != nil || len(told)+len(summaries[i]) > 0 && !reflect.DeepEqual(told, summaries[i]) {
						t.Errorf("seed %d, find %+v: other summaries than the model's: %v", seed, queries[i], err)
					}
					kept[i], keptSummaries[i] = got, told
				}
				for i := range queries { // what was answered since has not changed it
					if !slices.Equal(kept[i], found[i]) || len(keptSummaries[i])+len(summaries[i]) > 0 && !reflect.DeepEqual(keptSummaries[i], summaries[i]) {
						t.Errorf("seed %d, find %+v: the answer has changed since", seed, queries[i])
					}
				}
			})
		}
		askers.Wait()
	}
}
