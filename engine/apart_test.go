package engine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stoadb/stoa/compaction"
)

// What merges leave apart is one trace to every question: flush by flush, with copies and late
// spans in all of them, after a restart, and once all is united.
func TestTracesLeftApartByMergesAreWhole(t *testing.T) {
	apart := 0
	for seed := range uint64(seeds(t, 8)) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newWorld(t, seed, 30)
			w.options.ManualCompaction = false
			w.options.Compaction = compaction.Policy{MergeMin: 3, MergeMax: 8, RowsMax: 1 << 20, BytesMax: 1 << 30, ApartShare: 1}
			w.mustOpen()
			ctx := context.Background()
			requests := w.deliveries(w.gen.Spans(200))
			const flushes = 7
			for i := range flushes {
				for _, request := range requests[i*len(requests)/flushes : (i+1)*len(requests)/flushes] {
					if err := w.append(request); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.shard.Settle(ctx); err != nil {
					t.Fatal(err)
				}
				apart += w.pairs()
				w.check(6)
			}
			if err := w.restart(0); err != nil {
				t.Fatal(err)
			}
			w.check(10)
			if err := w.shard.Compact(ctx); err != nil {
				t.Fatal(err)
			}
			if stats := w.shard.Stats(); stats.Segments != 1 {
				t.Fatalf("%d segments after all was united", stats.Segments)
			}
			w.check(10)
		})
	}
	if apart == 0 {
		t.Error("no merge left anything apart")
	}
}

// pairs counts the pairs of live segments that one merge left: they hold the same entries.
func (w *world) pairs() (n int) {
	type entries struct{ first, last uint64 }
	seen := map[entries]bool{}
	infos, _ := w.shard.Infos() // none of a closed shard
	for _, info := range infos {
		e := entries{info.FirstSeq, info.LastSeq}
		if info.Generation > 0 && seen[e] {
			n++
		}
		seen[e] = true
	}
	return n
}
