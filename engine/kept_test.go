package engine_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// keptWorld has some traces in one segment, and room for answers.
func keptWorld(t *testing.T, pagesBytes int, anew bool) (*world, []span.Found) {
	t.Helper()
	w := newWorld(t, 5, 12)
	w.options.MemtableBytesMax = 1 << 30
	w.options.Pages = segment.NewPages(pagesBytes)
	if anew {
		w.options.Pages.ForgetMade()
	}
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
		if chunk.Buffer != nil {
			codec.Buffers.Put(chunk.Buffer)
		}
		return nil
	}
}

// answer gives the messages of a trace, and whether they stay as they are: those that are kept do.
func answer(t *testing.T, w *world, id span.TraceID) (chunks [][]byte, stays bool) {
	t.Helper()
	stays = true
	err := w.shard.Get(context.Background(), id, func(chunk span.Chunk) error {
		if stays = stays && chunk.Stays; !chunk.Stays {
			chunk.Bytes = bytes.Clone(chunk.Bytes)
		}
		chunks = append(chunks, chunk.Bytes)
		return nil
	})
	if err != nil || len(chunks) == 0 {
		t.Fatalf("trace %s: %d messages, %v", id, len(chunks), err)
	}
	return chunks, stays
}

// TestShortAnswersAreKeptAtOnce: one and the same bytes are given to all who ask, and those of one trace are not
// those of another. Where each is to be made anew, or there is no room, none stays.
func TestShortAnswersAreKeptAtOnce(t *testing.T) {
	for name, how := range map[string]struct {
		pagesBytes int
		anew, kept bool
	}{
		"kept": {64 << 20, false, true}, "anew": {64 << 20, true, false}, "no room": {16 << 10, false, false}, "no pages": {0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, found := keptWorld(t, how.pagesBytes, how.anew)
			for _, f := range found {
				first, stays := answer(t, w, f.TraceID)
				if stays != how.kept {
					t.Fatalf("the messages stay: %v", stays)
				}
				for _, other := range found[:5] {
					answer(t, w, other.TraceID)
				}
				again, _ := answer(t, w, f.TraceID)
				if !slices.EqualFunc(first, again, bytes.Equal) || how.kept && &first[0][0] != &again[0][0] {
					t.Fatalf("%d messages, then %d others", len(first), len(again))
				}
			}
		})
	}
}

// askedLong asks for the long trace, and gives how many objects that took: a kept answer takes few, and one
// that is made takes some for each page.
func askedLong(t *testing.T, w *world) (objects uint64) {
	t.Helper()
	var before, after runtime.MemStats
	messages := 0
	runtime.ReadMemStats(&before)
	err := w.shard.Get(context.Background(), enginetest.LongTraceID, func(chunk span.Chunk) error {
		messages++
		return nil
	})
	runtime.ReadMemStats(&after)
	if err != nil || messages < 2 {
		t.Fatalf("%d messages, %v", messages, err)
	}
	return after.Mallocs - before.Mallocs
}

// TestLongAnswersAreKeptOnceAskedAgain: whole ones alone; and anew where the trace grew.
func TestLongAnswersAreKeptOnceAskedAgain(t *testing.T) {
	w := newWorld(t, 8, 3)
	w.options.MemtableBytesMax = 1 << 30
	w.options.Pages = segment.NewPages(1 << 30) // room for an answer of several messages
	w.mustOpen()
	add := func(first, n int) {
		t.Helper()
		for i := first; i < first+n; i += 1000 {
			if err := w.append(enginetest.Long(i, min(n, 1000))); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.shard.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	leave := func() { // after the first message
		t.Helper()
		errGone := errors.New("gone")
		if err := w.shard.Get(context.Background(), enginetest.LongTraceID, func(span.Chunk) error { return errGone }); !errors.Is(err, errGone) {
			t.Fatal(err)
		}
	}
	add(0, 12_000)
	leave()
	leave() // asked again, but not read whole
	for round := range 2 {
		made := askedLong(t, w)
		kept := askedLong(t, w)
		if made < 10*kept {
			t.Errorf("round %d: %d objects for an answer that is made, %d for one that is kept", round, made, kept)
		}
		checkTrace(t, w.shard, w.model, enginetest.LongTraceID)
		add(12_000+100*round, 100) // the trace stands in more segments
	}
}

// TestLongAnswersArePacked: those that are kept, not the first time, take a part of their bytes, and are what they
// were. One that is too long all the same is not packed again and again.
func TestLongAnswersArePacked(t *testing.T) {
	const spans = 12_000
	for name, room := range map[string]struct {
		pagesBytes int
		kept       bool
	}{"room for it packed": {96 << 20, true}, "no room": {8 << 20, false}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 8, 3)
			w.options.MemtableBytesMax = 1 << 30
			w.options.Pages = segment.NewPages(room.pagesBytes)
			w.mustOpen()
			for i := 0; i < spans; i += 1000 {
				if err := w.append(enginetest.Long(i, 1000)); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.shard.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
			chunks, _ := answer(t, w, enginetest.LongTraceID)
			size := 0
			for _, chunk := range chunks {
				size += len(chunk)
			}
			if most := w.shard.KeptBytesMax(enginetest.LongTraceID); room.kept && size < 2*most {
				t.Fatalf("an answer of %d bytes would be kept as it is: up to %d are", size, most)
			}
			if w.shard.KnownTooLong(enginetest.LongTraceID) {
				t.Error("too long to be kept, before it was asked for again")
			}
			made := askedLong(t, w) // again: so now it is kept
			kept := askedLong(t, w)
			if (made > 10*kept) != room.kept || w.shard.KnownTooLong(enginetest.LongTraceID) == room.kept {
				t.Errorf("%d objects the second time, %d the third", made, kept)
			}
			checkTrace(t, w.shard, w.model, enginetest.LongTraceID)
		})
	}
}

// TestWhatIsKeptIsCounted: many short answers and summaries, or long ones that are packed, take about as much memory as
// pages may.
func TestWhatIsKeptIsCounted(t *testing.T) {
	if testing.Short() {
		t.Skip("80,000 answers: the ordinary run makes them")
	}
	const most = 8 << 20
	for name, of := range map[string]struct {
		traces, asked int
		request       func(i int) []byte
	}{"short": {40_000, 1, enginetest.Numbered}, "packed": {300, 2, enginetest.Wide}} {
		t.Run(name, func(t *testing.T) {
			grewBy := func(traces int) int64 {
				w := newWorld(t, 1, 1)
				w.options.MemtableBytesMax, w.options.ManualCompaction = 4<<20, true // few wide rows to a page
				w.options.Pages = segment.NewPages(most)
				w.mustOpen()
				var found []span.Found
				for i := range traces {
					part := partOf(of.request(i))
					if _, err := w.shard.Apply(uint64(i+1), &engine.Entry{Received: w.received, Parts: []engine.Part{part}}); err != nil {
						t.Fatal(err)
					}
					found = append(found, span.Found{TraceID: part.Batch.TraceIDs[0]})
				}
				if err := w.shard.Flush(context.Background()); err != nil {
					t.Fatal(err)
				}
				before := heapBytes()
				for _, f := range found {
					for range of.asked {
						var all []byte
						if err := w.shard.Get(context.Background(), f.TraceID, gather(&all)); err != nil {
							t.Fatal(err)
						}
					}
					if _, err := w.shard.Summaries(context.Background(), []span.Found{f}); err != nil {
						t.Fatal(err)
					}
				}
				return heapBytes() - before
			}
			grewBy(of.traces) // what buffers and encoders have grown to stays too
			if grew := grewBy(of.traces); grew < most/2 || grew > most+most/4 {
				t.Errorf("%d bytes of answers where %d are to be kept", grew, most)
			}
		})
	}
}

func heapBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools had
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestManyReadAPackedAnswer: each reader gets all of it, while buffers go from one to the other.
func TestManyReadAPackedAnswer(t *testing.T) {
	w := newWorld(t, 8, 3)
	w.options.MemtableBytesMax = 1 << 30
	w.options.Pages = segment.NewPages(96 << 20)
	w.mustOpen()
	ids := []span.TraceID{enginetest.LongTraceID}
	if err := w.append(enginetest.Long(0, 1000)); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		part := enginetest.Wide(i)
		ids = append(ids, partOf(part).Batch.TraceIDs[0])
		if err := w.append(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := make([][]byte, len(ids))
	for i, id := range ids {
		for range 2 {
			want[i] = want[i][:0]
			if err := w.shard.Get(context.Background(), id, gather(&want[i])); err != nil {
				t.Fatal(err)
			}
		}
	}
	var readers sync.WaitGroup
	for reader := range 4 {
		readers.Go(func() {
			var got []byte
			for i := range 100 {
				at := (reader + i) % len(ids)
				got = got[:0]
				err := w.shard.Get(context.Background(), ids[at], func(chunk span.Chunk) error {
					if chunk.Buffer == nil {
						t.Error("an answer is not packed")
					}
					return gather(&got)(chunk)
				})
				if err != nil || !bytes.Equal(got, want[at]) {
					t.Errorf("trace %d: %d bytes, want %d, %v", at, len(got), len(want[at]), err)
					return
				}
			}
		})
	}
	readers.Wait()
}

// TestWhatIsKeptOfATraceIsOfItsSegment: spans that come later are in the next answer, wherever they
// stand; a merge, and a start, change nothing.
func TestWhatIsKeptOfATraceIsOfItsSegment(t *testing.T) {
	w, _ := keptWorld(t, 64<<20, false)
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
	w, found := keptWorld(t, 64<<20, false)
	id := found[0].TraceID
	errGone := errors.New("gone")
	for range 2 {
		if err := w.shard.Get(context.Background(), id, func(span.Chunk) error { return errGone }); !errors.Is(err, errGone) {
			t.Fatalf("the reader's error became %v", err)
		}
	}
	for range 3 {
		answer(t, w, id)
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
	w, found := keptWorld(t, 600<<10, false)
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
