package engine_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// flushedAlone is a shard in which each span of enginetest.NumberedAt stands in a segment of its own.
func flushedAlone(t *testing.T, numbers, starts []int) *engine.Shard {
	t.Helper()
	s, err := engine.Open(engine.Options{FS: vfs.NewCrash(1), Dir: worldDir, ManualCompaction: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for i, number := range numbers {
		applyRequest(t, s, uint64(i+1), enginetest.NumberedAt(number, starts[i]))
		if err := s.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestSegmentsOlderThanTheAnswerAreNotOpened, whatever their order on the disk.
func TestSegmentsOlderThanTheAnswerAreNotOpened(t *testing.T) {
	s := flushedAlone(t, []int{3, 9, 1, 7, 5}, []int{3, 9, 1, 7, 5})
	for limit, notReached := range map[int]int64{1: 4, 3: 2, 5: 0, 9: 0} {
		q := span.Query{Service: "numbered", StartMax: 1 << 63, Limit: limit, Explain: new(span.Explain)}
		found, err := s.Find(t.Context(), q)
		if err != nil || len(found) != min(limit, 5) || !slices.IsSortedFunc(found, func(a, b span.Found) int { return int(b.Start) - int(a.Start) }) {
			t.Fatalf("limit %d: %v, %v", limit, found, err)
		}
		e := q.Explain.Explained()
		if e.Segments != 5 || e.SegmentsNotReached != notReached || e.Groups != 5-notReached || e.Templates != 5-notReached {
			t.Errorf("limit %d: %+v", limit, e)
		}
	}
}

// TestAShardGoesNoFurtherThanWhatOthersFound, and as far: traces that begin at the same time as the
// last one of the answer may come before it.
func TestAShardGoesNoFurtherThanWhatOthersFound(t *testing.T) {
	ahead := flushedAlone(t, []int{20, 21, 22, 23}, []int{20, 21, 22, 23})
	level := flushedAlone(t, []int{1, 2, 3, 4}, []int{1, 22, 2, 22})
	older := flushedAlone(t, []int{5, 6}, []int{5, 6})
	together := span.NewTogether(2, 3)
	ask := func(s *engine.Shard, shard int, together *span.Together) ([]span.Found, int64) {
		t.Helper()
		q := span.Query{Service: "numbered", StartMax: 1 << 63, Limit: 2, Explain: new(span.Explain), Together: together, Shard: shard}
		found, err := s.Find(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return found, q.Explain.SegmentsNotReached.Load()
	}
	first, _ := ask(ahead, 0, together)
	second, notReached := ask(level, 1, together)
	if len(first) != 2 || len(second) != 2 || second[0].Start != first[1].Start || second[1].Start != first[1].Start || notReached != 2 {
		t.Errorf("%v, then %v; %d segments not reached", first, second, notReached)
	}
	if third, notReached := ask(older, 2, together); len(third) != 0 || notReached != 2 {
		t.Errorf("older than all of %v: %v, %d segments not reached", first, third, notReached)
	}
	if alone, notReached := ask(older, 2, nil); len(alone) != 2 || notReached != 0 {
		t.Errorf("alone: %v, %d segments not reached", alone, notReached)
	}
}
