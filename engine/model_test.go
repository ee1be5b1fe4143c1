package engine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine/enginetest"
)

// deliveries gives the spans as requests: every span at least once, some up to five
// times, cut and shuffled at random.
func (w *world) deliveries(spans []enginetest.Span) [][]byte {
	var copies []enginetest.Span
	for _, s := range spans {
		for range 1 + max(0, w.rand.IntN(9)-4) {
			copies = append(copies, s)
		}
	}
	w.rand.Shuffle(len(copies), func(i, j int) { copies[i], copies[j] = copies[j], copies[i] })
	var requests [][]byte
	for len(copies) > 0 {
		n := min(len(copies), 1+w.rand.IntN(12))
		request := enginetest.Payload(copies[:n])
		copies = copies[n:]
		requests = append(requests, request)
		if w.rand.IntN(8) == 0 { // the whole request again
			requests = append(requests, request)
		}
	}
	return requests
}

// TestAnySplitOfTheSameSpansGivesTheSameAnswers is the promise of storage.md 6: batches,
// order, copies, flushes, merges and restarts change no answer.
func TestAnySplitOfTheSameSpansGivesTheSameAnswers(t *testing.T) {
	for seed := range uint64(seeds(t, 24)) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed, 2+int(seed%15))
			w.options.FirstMemtableBytesMax, w.options.RoomBytes = 10_000, 50_000
			if seed%3 == 0 { // merges in the background, at moments of their own
				w.options.ManualCompaction = false
				w.options.Compaction = compaction.Policy{MergeMin: 2, MergeMax: 4, RowsMax: 1 << 20, BytesMax: 1 << 30}
			}
			w.mustOpen()
			ctx := context.Background()
			requests := w.deliveries(w.gen.Spans(40 + int(seed%7)*40))
			for len(requests) > 0 {
				n := min(len(requests), 1+w.rand.IntN(3))
				w.later()
				if err := w.append(requests[:n]...); err != nil {
					t.Fatal(err)
				}
				requests = requests[n:]
				var err error
				switch w.rand.IntN(24) {
				case 0, 1:
					err = w.shard.Flush(ctx)
				case 2:
					err = w.shard.Compact(ctx)
				case 3:
					err = w.restart(w.rand.IntN(3))
				case 4:
					err = w.append() // a tick
				case 5:
					w.check(4)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			w.check(30) // as it came
			if err := w.shard.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			w.check(15)
			if err := w.shard.Compact(ctx); err != nil {
				t.Fatal(err)
			}
			w.check(15)
			for how := range 3 {
				if err := w.restart(how); err != nil {
					t.Fatal(err)
				}
				w.check(5)
			}
		})
	}
}
