package engine_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// TestQueriesDuringIngestSeeWholeTruth: while entries come, memtables are flushed and
// segments merged, every trace that was applied before a question began is in its answer,
// whole, and nothing that was never sent is.
func TestQueriesDuringIngestSeeWholeTruth(t *testing.T) {
	for seed := range uint64(seeds(t, 3)) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { queriesDuringIngest(t, seed) })
	}
}

func queriesDuringIngest(t *testing.T, seed uint64) {
	w := newWorld(t, seed, 12)
	w.options.ManualCompaction = false
	w.options.Compaction = compaction.Policy{MergeMin: 2, MergeMax: 4, RowsMax: 1 << 20, BytesMax: 1 << 30}
	w.mustOpen()
	requests := w.deliveries(w.gen.Spans(250))
	// The final truth bounds every answer from above, what is applied bounds it from below.
	final := enginetest.NewModel()
	for _, r := range requests {
		if _, err := final.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	all := make(map[string]bool)
	for _, id := range final.TraceIDs() {
		for _, row := range final.Trace(id) {
			all[identity(row)] = true
		}
	}
	var applied atomic.Pointer[map[span.TraceID]int] // distinct spans of each trace so far
	applied.Store(&map[span.TraceID]int{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var readers sync.WaitGroup
	for reader := range 3 {
		readers.Go(func() {
			for i := reader; ctx.Err() == nil; i++ {
				before := *applied.Load()
				switch i % 3 {
				case 0:
					wantSpans(t, w, before, all)
				case 1:
					wantTraces(t, w, before, final)
				default:
					wantSummaries(t, w, before, final)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
	for i, r := range requests {
		w.later()
		if err := w.append(r); err != nil {
			t.Fatal(err)
		}
		counts := make(map[span.TraceID]int)
		for _, id := range w.model.TraceIDs() {
			counts[id] = len(w.model.Trace(id))
		}
		applied.Store(&counts)
		if i%10 == 9 {
			if err := w.shard.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if i%40 == 39 {
			if err := w.shard.Compact(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	readers.Wait()
	w.check(5)
	noStraysSoon(t, w)
}

// noStraysSoon opens the shard without its merger: no file is left of what it merged.
func noStraysSoon(t *testing.T, w *world) {
	t.Helper()
	if err := w.shard.Close(); err != nil {
		t.Fatal(err)
	}
	w.options.ManualCompaction = true
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	noStrays(t, w)
}

func identity(row span.Row) string {
	return fmt.Sprint(row.TraceID(), row.SpanID(), row.Start(), row.End(), row.Kind(), row.StatusCode())
}

func wantSpans(t *testing.T, w *world, before map[span.TraceID]int, all map[string]bool) {
	counts := make(map[span.TraceID]int)
	err := w.shard.Spans(context.Background(), span.AllTime(), func(row span.Row) error {
		counts[row.TraceID()]++
		if !all[identity(row)] {
			t.Errorf("a span that nobody sent: %s", identity(row))
		}
		return nil
	})
	if err != nil {
		t.Errorf("spans: %v", err)
	}
	for id, n := range before {
		if counts[id] < n {
			t.Errorf("trace %s has %d spans, %d were applied before", id, counts[id], n)
		}
	}
}

func wantTraces(t *testing.T, w *world, before map[span.TraceID]int, final *enginetest.Model) {
	q := span.AllTime()
	found, err := w.shard.Find(context.Background(), q)
	if err != nil {
		t.Errorf("find: %v", err)
	}
	if len(found) < len(before) {
		t.Errorf("%d traces found, %d were applied before", len(found), len(before))
	}
	for i, f := range found {
		if i > 0 && !found[i-1].Before(f) {
			t.Errorf("answers out of order at %d", i)
		}
		n := 0
		err := w.shard.Get(context.Background(), f.TraceID, func(chunk span.Chunk) error {
			b, _, err := otlp.Walk(chunk.Bytes)
			n += b.Len()
			return err
		})
		if err != nil || n < before[f.TraceID] || n > len(final.Trace(f.TraceID)) {
			t.Errorf("trace %s has %d spans, %d were applied before (%v)", f.TraceID, n, before[f.TraceID], err)
		}
	}
}

func wantSummaries(t *testing.T, w *world, before map[span.TraceID]int, final *enginetest.Model) {
	var found []span.Found
	for id := range before {
		found = append(found, span.Found{TraceID: id})
	}
	summaries, err := w.shard.Summaries(context.Background(), found)
	if err != nil || len(summaries) != len(before) {
		t.Errorf("%d summaries of %d traces (%v)", len(summaries), len(before), err)
	}
	for _, sum := range summaries {
		if sum.Spans < before[sum.TraceID] {
			t.Errorf("trace %s counts %d spans, %d were applied before", sum.TraceID, sum.Spans, before[sum.TraceID])
		}
	}
	limit := final.Edges(0, math.MaxUint64)
	edges, err := edgesOf(w.shard)
	if err != nil || len(limit) == 0 && len(edges) > 0 {
		t.Errorf("%d edges: %v", len(edges), err)
	}
}

// TestTooMuchIsRefused: never answered with less, and the error names the limit.
func TestTooMuchIsRefused(t *testing.T) {
	w := newWorld(t, 1, 2)
	w.mustOpen()
	q := span.AllTime()
	q.Limit = span.TracesFoundMax + 1
	_, err := w.shard.Find(context.Background(), q)
	errorIs(t, err, span.ErrTooMuch)
	if !strings.Contains(err.Error(), "20000") {
		t.Fatalf("the error %q does not name the limit", err)
	}
	q = span.AllTime()
	q.Tags = make([]span.Tag, 65)
	_, err = w.shard.Find(context.Background(), q)
	errorIs(t, err, span.ErrTooMuch)
}

// TestTheLimitIsExactAmongMany: far more traces than a search remembers, many of them
// with equal starts, in memtable and segments.
func TestTheLimitIsExactAmongMany(t *testing.T) {
	w := newWorld(t, 2, 2)
	w.options.MemtableBytesMax = 8 << 20
	w.mustOpen()
	for i := range 6000 {
		if err := w.append(enginetest.Numbered(i), enginetest.NumberedAt(i+6000, i/50)); err != nil {
			t.Fatal(err)
		}
		if i == 2000 || i == 4000 {
			if err := w.shard.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, limit := range []int{1, 2, 7, 100, 1030, 5000, 20_000} {
		for _, name := range []string{"", "span 4711"} {
			q := span.Query{StartMax: math.MaxUint64, Limit: limit, Name: name}
			got, err := w.shard.Find(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(w.model.Find(q), got); diff != "" {
				t.Fatalf("limit %d (-want +got):\n%s", limit, diff)
			}
		}
	}
}

// TestACancelledQuestionEnds with the context's error, also in the middle.
func TestACancelledQuestionEnds(t *testing.T) {
	w, requests := smallWorld(t, 3)
	w.mustOpen()
	for _, r := range requests {
		if err := w.append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := w.shard.Find(ctx, span.AllTime())
	errorIs(t, err, context.Canceled)
	id := w.model.TraceIDs()[0]
	errorIs(t, w.shard.Get(ctx, id, func(span.Chunk) error { return nil }), context.Canceled)
	_, err = w.shard.Summaries(ctx, []span.Found{{TraceID: id}})
	errorIs(t, err, context.Canceled)
	errorIs(t, w.shard.Edges(ctx, span.EdgeQuery{StartMax: math.MaxUint64}, span.NewEdges()), context.Canceled)
	errorIs(t, w.shard.Paths(ctx, span.PathQuery{StartMax: math.MaxUint64, Service: w.model.Services()[0]}, span.NewPaths()), context.Canceled)
	errorIs(t, w.shard.Spans(ctx, span.AllTime(), func(span.Row) error { return nil }), context.Canceled)
}

// TestAReaderKeepsItsFiles: a question that is slow to be read sees its view to the end
// though its segments are merged away and dropped meanwhile; then the files go.
func TestAReaderKeepsItsFiles(t *testing.T) {
	w, requests := smallWorld(t, 8)
	w.options.Retention = time.Hour
	w.mustOpen()
	for i, r := range requests {
		if err := w.append(r); err != nil {
			t.Fatal(err)
		}
		if i%5 == 4 {
			if err := w.shard.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := w.shard.Spans(context.Background(), span.AllTime(), func(span.Row) error {
		if n++; n == 1 {
			if err := w.shard.Compact(context.Background()); err != nil {
				return err
			}
			_, err := w.shard.DropExpired(w.received + int64(10*time.Hour))
			return err
		}
		return nil
	})
	if err != nil || n != w.model.Spans() {
		t.Fatalf("%d spans of %d: %v", n, w.model.Spans(), err)
	}
	if st := w.shard.Stats(); st.Segments != 0 || st.Dropped != 1 {
		t.Fatalf("retention left %d segments, dropped %d", st.Segments, st.Dropped)
	}
	noStrays(t, w)
	if err := w.restart(2); err != nil {
		t.Fatal(err)
	}
	noStrays(t, w)
}

// TestRetentionDoesNotBelieveAnImplausibleClock: years ahead at a start or days ahead
// while running drop nothing; a clock that stands right again is believed.
func TestRetentionDoesNotBelieveAnImplausibleClock(t *testing.T) {
	w := newWorld(t, 8, 3)
	w.options.Retention = 24 * time.Hour
	w.mustOpen()
	w.apply(enginetest.Numbered(1))
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	now := w.received
	day := int64(24 * time.Hour)
	w.received += 74 * 365 * day // the same clock stamps an entry
	w.apply(enginetest.Numbered(2))
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := w.restart(0); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		now     int64
		refused bool
		dropped int
	}{
		{now + 74*365*day, true, 0},
		{now + 100*365*day, true, 0},
		{now, false, 0},
		{now + 10*day, true, 0},
		{now - 10*day, false, 0},
		{now + day/2, false, 0},
		{now + 2*day, false, 1},
	}
	for i, step := range steps {
		dropped, err := w.shard.DropExpired(step.now)
		if (err != nil) != step.refused || dropped != step.dropped {
			t.Fatalf("step %d: dropped %d, %v", i, dropped, err)
		}
	}
}

// TestATraceOfManySpansIsReadInBoundedMemory from segments: what the heap gains while the
// trace streams stays far below the trace.
func TestATraceOfManySpansIsReadInBoundedMemory(t *testing.T) {
	const requests, each = 60, 1000
	w := newWorld(t, 8, 3)
	w.options.MemtableBytesMax = 3 << 20
	w.mustOpen()
	ctx := context.Background()
	for i := range requests {
		w.apply(enginetest.Long(i*each, each))
	}
	if err := w.shard.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.shard.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n, streamed, most := 0, 0, uint64(0)
	err := w.shard.Get(ctx, enginetest.LongTraceID, func(chunk span.Chunk) error {
		if len(chunk.Bytes) >= otlp.ChunkBytesMax {
			t.Fatalf("a chunk of %d bytes", len(chunk.Bytes))
		}
		streamed += len(chunk.Bytes)
		b, _, err := otlp.Walk(chunk.Bytes)
		n += b.Len()
		runtime.GC()
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
		return err
	})
	if err != nil || n != requests*each {
		t.Fatalf("%d spans of %d: %v", n, requests*each, err)
	}
	if most > 20<<20 {
		t.Fatalf("%d bytes of heap for a trace of %d", most, streamed)
	}
	t.Logf("%d spans, %d MiB streamed, at most %d MiB held", n, streamed>>20, most>>20)
}
