package engine_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// TestDurationsAreExactAtTheLongest: what lasts exactly as long as the longest span of a name, one
// less and one more, with service, name and without, and as a bound from above, is what the model
// says; in memory, flushed and merged, with templates of row groups' own, and again when it is known
// how long each template's spans last.
func TestDurationsAreExactAtTheLongest(t *testing.T) {
	for _, mix := range []enginetest.Mix{enginetest.MixPlain, enginetest.MixNames, enginetest.MixFew} {
		t.Run(fmt.Sprint(mix), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, uint64(mix), 40)
			w.options.MemtableBytesMax = 1 << 30
			w.mustOpen()
			for range 2 {
				w.applyMixed(mix, rowsOf(mix)/2)
				w.searchAtTheLongest()
				if err := w.shard.Flush(context.Background()); err != nil {
					t.Fatal(err)
				}
				w.searchAtTheLongest()
			}
			if err := w.shard.Compact(context.Background()); err != nil {
				t.Fatal(err)
			}
			w.searchAtTheLongest()
		})
	}
}

// searchAtTheLongest asks around the longest durations of some names, and compares.
func (w *world) searchAtTheLongest() {
	w.t.Helper()
	longest := make(map[string]span.Row)
	for _, row := range w.model.Matching(span.AllTime()) {
		if known, ok := longest[string(row.Name())]; !ok || row.Duration() > known.Duration() {
			longest[string(row.Name())] = row
		}
	}
	names := make([]string, 0, len(longest))
	for name := range longest {
		names = append(names, name)
	}
	slices.Sort(names)
	w.rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names[:min(3, len(names))] {
		row := longest[name]
		for _, duration := range []uint64{row.Duration() - 1, row.Duration(), row.Duration() + 1, math.MaxInt64} {
			all := span.Query{StartMax: math.MaxUint64, Limit: span.TracesFoundMax, DurationMin: duration}
			named, served, last := all, all, all
			named.Name = name
			served.Name, served.Service = name, string(row.Service())
			last.Name, last.DurationMin, last.DurationMax, last.Limit = name, duration/2, duration, 3
			for _, q := range []span.Query{all, named, served, last} {
				want := w.model.Find(q)
				for range 2 {
					got, err := w.shard.Find(context.Background(), q)
					if err != nil {
						w.t.Fatalf("find %+v: %v", q, err)
					}
					if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
						w.t.Fatalf("find %+v (-want +got):\n%s", q, diff)
					}
				}
			}
		}
	}
}
