package engine_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// keptWorld has some traces in one segment, and room for answers.
func keptWorld(t *testing.T, pagesBytes int) (*world, []span.Found) {
	t.Helper()
	w := newWorld(t, 5, 12)
	w.options.MemtableBytesMax = 1 << 30
	w.options.Pages = segment.NewPages(pagesBytes)
	w.mustOpen()
	w.deliver(400)
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	found, err := w.shard.Find(context.Background(), span.Query{StartMax: math.MaxUint64, Limit: 100})
	if err != nil || len(found) < 5 {
		t.Fatalf("%d traces, %v", len(found), err)
	}
	return w, found
}

// deliver applies spans, to the model too.
func (w *world) deliver(spans int) {
	w.t.Helper()
	for _, r := range w.deliveries(w.gen.Spans(spans)) {
		if err := w.append(r); err != nil {
			w.t.Fatal(err)
		}
	}
}

// gather puts the messages of an answer together.
func gather(dst *[]byte) func(chunk span.Chunk) error {
	return func(chunk span.Chunk) error {
		*dst = append(*dst, chunk.Bytes...)
		return nil
	}
}

// firstChunk gives the first message of an answer, which is the reader's only where it was kept.
func firstChunk(t *testing.T, w *world, id span.TraceID) (first []byte) {
	t.Helper()
	err := w.shard.Get(context.Background(), id, func(chunk span.Chunk) error {
		if first == nil {
			first = chunk.Bytes
		}
		return nil
	})
	if err != nil || len(first) == 0 {
		t.Fatalf("trace %s: %d bytes, %v", id, len(first), err)
	}
	return first
}

// TestAnswersAskedAgainAreKept: from the third time on one and the same bytes are given, and those of
// one trace are not those of another. Where each is to be made anew, or there is no room, it is.
func TestAnswersAskedAgainAreKept(t *testing.T) {
	for name, how := range map[string]struct {
		pagesBytes int
		anew, kept bool
	}{
		"kept": {64 << 20, false, true}, "anew": {64 << 20, true, false}, "no room": {16 << 10, false, false}, "no pages": {0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, found := keptWorld(t, how.pagesBytes)
			if how.anew {
				w.options.Pages.ForgetMade()
			}
			same := 0
			for _, f := range found {
				want := bytes.Clone(firstChunk(t, w, f.TraceID))
				firstChunk(t, w, f.TraceID)
				third := firstChunk(t, w, f.TraceID)
				for _, other := range found[:5] { // would write over what a buffer lent
					if other != f {
						firstChunk(t, w, other.TraceID)
					}
				}
				if bytes.Equal(third, want) && &third[0] == &firstChunk(t, w, f.TraceID)[0] {
					same++
				}
			}
			if how.kept && same < len(found) || !how.kept && same > 0 && how.pagesBytes > 0 && same == len(found) {
				t.Errorf("%d of %d answers are kept", same, len(found))
			}
		})
	}
}

// TestWhatIsKeptOfATraceIsOfItsSegment: spans that come later are in the next answer, wherever they
// stand; a merge, and a start, change nothing.
func TestWhatIsKeptOfATraceIsOfItsSegment(t *testing.T) {
	w, _ := keptWorld(t, 64<<20)
	ctx := context.Background()
	for round := range 3 {
		for range 3 {
			checkAnswers(t, w.shard, w.model)
		}
		for range 5 {
			w.deliver(8)
			checkAnswers(t, w.shard, w.model)
		}
		if err := w.shard.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			checkAnswers(t, w.shard, w.model)
		}
		if round == 1 {
			if err := w.shard.Compact(ctx); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := w.restart(round); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAKeptAnswerEndsWithItsReader: a reader that is gone, or that gives up, gets no more of it.
func TestAKeptAnswerEndsWithItsReader(t *testing.T) {
	w, found := keptWorld(t, 64<<20)
	id := found[0].TraceID
	errGone := errors.New("gone")
	for range 4 { // made, made and not kept, as it is not whole; twice more
		if err := w.shard.Get(context.Background(), id, func(span.Chunk) error { return errGone }); !errors.Is(err, errGone) {
			t.Fatalf("the reader's error became %v", err)
		}
	}
	for range 3 {
		firstChunk(t, w, id)
	}
	if err := w.shard.Get(context.Background(), id, func(span.Chunk) error { return errGone }); !errors.Is(err, errGone) {
		t.Fatalf("the reader's error became %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.shard.Get(ctx, id, func(span.Chunk) error { t.Error("a chunk after the end"); return nil }); !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled read gives %v", err)
	}
	if _, err := w.shard.Summaries(ctx, found); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled summaries give %v", err)
	}
}

// TestManyKeepAndForgetAnswers: readers of few bytes of room beside merges that drop segments get what
// the model has.
func TestManyKeepAndForgetAnswers(t *testing.T) {
	w, found := keptWorld(t, 600<<10)
	ctx := context.Background()
	want, err := w.shard.Summaries(ctx, found)
	if err != nil {
		t.Fatal(err)
	}
	answers := make([][]byte, len(found))
	for i, f := range found {
		if err := w.shard.Get(ctx, f.TraceID, gather(&answers[i])); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for reader := range 4 {
		readers.Go(func() {
			for i := reader; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				var got []byte
				at := i % len(found)
				if err := w.shard.Get(ctx, found[at].TraceID, gather(&got)); err != nil || !bytes.Equal(got, answers[at]) {
					t.Errorf("%d bytes, want %d, %v", len(got), len(answers[at]), err)
					return
				}
				sums, err := w.shard.Summaries(ctx, found[at:at+1])
				if diff := cmp.Diff(want[at:at+1], sums); err != nil || diff != "" {
					t.Errorf("%v: %s", err, diff)
					return
				}
			}
		})
	}
	for i := range 6 { // segments of other traces, which a merge puts together with these
		if err := w.append(enginetest.Numbered(i)); err != nil {
			t.Fatal(err)
		}
		if err := w.shard.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if err := w.shard.Compact(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	close(done)
	readers.Wait()
}
