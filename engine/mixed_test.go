package engine_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// mixedSearches is how many searches a state of a mixed load is asked; the long run says
// more in STOA_TEST_SEARCHES.
func mixedSearches() int {
	if n, err := strconv.Atoi(os.Getenv("STOA_TEST_SEARCHES")); err == nil && n > 0 {
		return n
	}
	return 5
}

// forms says which forms the segments of a shard have.
type forms struct{ local, mapped, noTerms, noFilters, standing bool }

func (f *forms) add(w *world) {
	w.t.Helper()
	w.eachSegment(func(s *segment.Segment) {
		whole := s.TemplatesWhole()
		f.local = f.local || !whole[span.SpanLevel]
		terms, err := s.Terms()
		if err != nil {
			w.t.Fatal(err)
		}
		f.noTerms = f.noTerms || len(terms.Columns()) == 0
		standing, err := s.Standing()
		if err != nil {
			w.t.Fatal(err)
		}
		f.standing = f.standing || len(standing.Columns()) > 1 // of services, and of a column
		templates, err := s.Templates(span.SpanLevel)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, mapped := range templates.Mapped {
			f.mapped = f.mapped || mapped
		}
		wide := s.ColumnsOf(span.SpanLevel, "wide.7")
		for _, id := range wide {
			_, known, err := s.Filters(id)
			if err != nil {
				w.t.Fatal(err)
			}
			f.noFilters = f.noFilters || !known
		}
		if err := segment.Verify(w.disk, s.Info().Name); err != nil {
			w.t.Fatal(err)
		}
	})
}

// TestSearchesAnswerTheSameInEveryForm: memtable, segments of every form the writer knows,
// merged ones, by index and by reading every row, all as the model says.
func TestSearchesAnswerTheSameInEveryForm(t *testing.T) {
	for seed := range uint64(seeds(t, int(enginetest.Mixes))) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			mix := enginetest.Mix(seed % uint64(enginetest.Mixes))
			w := newWorld(t, seed, 40)
			w.options.MemtableBytesMax = 1 << 30
			if seed/uint64(enginetest.Mixes)%2 == 0 {
				w.options.Pages = segment.NewPages(int(seed%5) * 200 << 10) // some are too small to keep anything
			}
			w.mustOpen()
			var found forms
			for range 2 {
				w.applyMixed(mix, rowsOf(mix))
				w.searchMixed()
				if err := w.shard.Flush(context.Background()); err != nil {
					t.Fatal(err)
				}
				w.searchMixed()
			}
			found.add(w)
			w.applyMixed(mix, 20)
			w.searchMixed()
			if err := w.shard.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := w.shard.Compact(context.Background()); err != nil {
				t.Fatal(err)
			}
			found.add(w)
			w.searchMixed()
			if want, ok := map[enginetest.Mix]bool{
				enginetest.MixNames: found.local, enginetest.MixKeys: found.mapped,
				enginetest.MixLong: found.noTerms, enginetest.MixValues: found.noFilters,
				enginetest.MixFew: found.standing,
			}[mix]; ok && !want {
				t.Fatalf("the load has no segment of the form that it is made for: %+v", found)
			}
		})
	}
}

func rowsOf(mix enginetest.Mix) int {
	switch mix {
	case enginetest.MixNames, enginetest.MixAll:
		return 600
	case enginetest.MixFew:
		return 12_000
	case enginetest.MixLong:
		return 300
	default:
		return 100
	}
}

// applyMixed applies spans of a load in a few entries, some of them twice.
func (w *world) applyMixed(mix enginetest.Mix, n int) {
	w.t.Helper()
	spans := w.gen.Mixed(mix, n)
	for len(spans) > 0 {
		part := spans[:min(len(spans), 1+w.rand.IntN(n))]
		if err := w.append(enginetest.Payload(part), enginetest.Payload(part[:w.rand.IntN(len(part))])); err != nil {
			w.t.Fatal(err)
		}
		spans = spans[len(part):]
	}
}

// searchMixed asks at random and compares; some are asked by reading everything too, and
// for their spans.
func (w *world) searchMixed() {
	w.t.Helper()
	for i := range mixedSearches() {
		q := w.gen.MixedQuery(w.model)
		want := w.model.Find(q)
		for _, scan := range []bool{false, true} {
			if q.Scan = scan; scan && i%8 > 0 {
				break
			}
			got, err := w.shard.Find(context.Background(), q)
			if err != nil {
				w.t.Fatalf("find %+v: %v", q, err)
			}
			if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
				w.t.Fatalf("find %+v (-want +got):\n%s", q, diff)
			}
			if i%8 == 0 {
				w.checkSpans(q)
			}
		}
	}
}

// TestTheLastOfAKeyCountsInAMapColumnToo: a span has a key twice, first with a column of its
// own, then, as another type and after 4,096 other columns, in the map column.
func TestTheLastOfAKeyCountsInAMapColumnToo(t *testing.T) {
	attr := func(key string, value []byte) []byte { return field(9, field(1, []byte(key)), field(2, value)) }
	one := func(id byte, attrs ...[]byte) []byte {
		return field(2, field(1, append(make([]byte, 15), id)), field(2, append(make([]byte, 7), id)), slices.Concat(attrs...))
	}
	many := [][]byte{attr("k", field(1, []byte("other")))}
	for key := range 4200 {
		many = append(many, attr(fmt.Sprint("key.", key), varint(3, 1)))
	}
	w := newWorld(t, 1, 2)
	w.options.MemtableBytesMax = 1 << 30
	w.mustOpen()
	twice := one(2, attr("k", field(1, []byte("first"))), attr("k", varint(3, 5)))
	if err := w.append(field(1, field(2, one(1, many...), twice))); err != nil {
		t.Fatal(err)
	}
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	var found forms
	if found.add(w); !found.mapped {
		t.Fatal("nothing stands in a map column")
	}
	for value, want := range map[string]int{"first": 0, "5": 1, "other": 1} {
		q := span.AllTime()
		q.Tags = []span.Tag{{Key: "k", Value: value}}
		got, err := w.shard.Find(context.Background(), q)
		if err != nil || len(got) != want || len(w.model.Find(q)) != want {
			t.Errorf("k=%s: %d traces, want %d: %v", value, len(got), want, err)
		}
	}
}
