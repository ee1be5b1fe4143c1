package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// inSegments is a world whose requests are in some segments each, closed.
func inSegments(t *testing.T, seed uint64, segments int) *world {
	t.Helper()
	w, requests := smallWorld(t, seed)
	w.options.ManualCompaction = true
	w.options.Pages = segment.NewPages(1 << 20)
	w.mustOpen()
	for i, r := range requests {
		if err := w.append(r, enginetest.Numbered(i)); err != nil { // and a trace of this segment alone
			t.Fatal(err)
		}
		if (i+1)*segments/len(requests) > i*segments/len(requests) {
			if err := w.shard.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := w.shard.Stats().Segments; n < segments {
		t.Fatalf("%d segments, want %d", n, segments)
	}
	_ = w.shard.Close()
	return w
}

// TestFirstQuestionsAreAnsweredAsLaterOnes: several goroutines ask a folder just opened all there is to ask, each
// beginning with another question, while tables are read in the background.
func TestFirstQuestionsAreAnsweredAsLaterOnes(t *testing.T) {
	for seed := range uint64(seeds(t, 3)) {
		w := inSegments(t, 40+seed, 4)
		var queries []span.Query
		for range 12 {
			queries = append(queries, w.gen.MixedQuery(w.model))
		}
		ids := w.model.TraceIDs()
		rates, paths := w.gen.RateQuery(w.model), w.gen.PathQuery(w.model)
		if err := w.open(); err != nil {
			t.Fatal(err)
		}
		questions := everyQuestion(w.shard, queries, ids, rates, paths)
		answers := make([][]string, 6)
		var asking sync.WaitGroup
		asking.Go(func() { w.shard.ReadTables(context.Background(), func() {}) })
		for n := range answers {
			answers[n] = make([]string, len(questions))
			asking.Go(func() {
				for i := range questions {
					at := (i + n*len(questions)/len(answers)) % len(questions)
					answers[n][at] = questions[at]()
				}
			})
		}
		asking.Wait()
		for at, ask := range questions {
			want := ask()
			for n := range answers {
				if diff := cmp.Diff(want, answers[n][at]); diff != "" {
					t.Fatalf("seed %d, question %d, who began with %d (-later +first):\n%s", seed, at, n, diff)
				}
			}
		}
		w.check(3) // and it is the right answer
	}
}

// everyQuestion gives one question of each kind, as functions whose answers can be compared.
func everyQuestion(s *engine.Shard, queries []span.Query, ids []span.TraceID, rates span.RateQuery, paths span.PathQuery) (all []func() string) {
	ctx := context.Background()
	add := func(ask func() (any, error)) {
		all = append(all, func() string {
			answer, err := ask()
			return fmt.Sprintf("%+v %v", answer, err)
		})
	}
	add(func() (any, error) { return s.Services(ctx) })
	add(func() (any, error) { return s.Operations(ctx, "") })
	add(func() (any, error) {
		k := engine.NewKeyCounter()
		err := s.Keys(ctx, k)
		return k.Keys(), err
	})
	add(func() (any, error) {
		edges := span.NewEdges()
		err := s.Edges(ctx, span.EdgeQuery{StartMax: math.MaxUint64}, edges)
		return told(edges), err
	})
	add(func() (any, error) {
		counted := span.NewRates()
		err := s.Rates(ctx, rates, counted)
		var list []string
		for _, r := range counted.Sorted() {
			list = append(list, fmt.Sprint(r.Operation, r.Start, r.Spans, r.Errors, sizes(&r.Durations)))
		}
		return list, err
	})
	add(func() (any, error) {
		counted := span.NewPaths()
		err := s.Paths(ctx, paths, counted)
		return counted.First(100), err
	})
	for _, q := range append(queries, span.AllTime()) {
		add(func() (any, error) { return s.Find(ctx, q) })
		add(func() (any, error) {
			var found []string
			err := s.Spans(ctx, q, func(row span.Row) error {
				found = append(found, fmt.Sprint(span.KeyOf(row)))
				return nil
			})
			slices.Sort(found) // they come in no order
			return found, err
		})
	}
	for _, id := range append(ids[:min(len(ids), 12):len(ids)], span.TraceID{1, 2, 3}) {
		add(func() (any, error) { return s.Summaries(ctx, []span.Found{{TraceID: id}}) })
		add(func() (any, error) {
			var whole []byte
			err := s.Get(ctx, id, func(chunk span.Chunk) error {
				whole = append(whole, chunk.Bytes...)
				return nil
			})
			return codec.HashBytes(whole), err
		})
	}
	return all
}

// told writes the calls of a service graph.
func told(edges *span.Edges) (calls []string) {
	for _, e := range edges.Sorted() {
		calls = append(calls, fmt.Sprint(e.Parent, e.Child, e.Calls, e.Errors, sizes(&e.Durations)))
	}
	return calls
}

// damagedTable flips a bit of a segment's tables: one that opening a folder does not read, as it is
// no part of a row. It gives what Check says of it.
func damagedTable(t *testing.T, w *world, name string) (mend func(), damage string) {
	t.Helper()
	return damagedBit(t, w, name, func(f *segment.File) error { _, err := f.Segment(); return err })
}

// damagedBit flips the last bit of some that opening a folder does not read and that makes try fail.
func damagedBit(t *testing.T, w *world, name string, try func(f *segment.File) error) (mend func(), damage string) {
	t.Helper()
	if mend, damage = findBit(t, w, name, try); damage == "" {
		t.Fatal("there is no such bit")
	}
	return mend, damage
}

// findBit is damagedBit where there may be none: no damage then, and no bit is flipped.
func findBit(t *testing.T, w *world, name string, try func(f *segment.File) error) (mend func(), damage string) {
	t.Helper()
	file := worldDir + "/" + name
	f, err := segment.OpenFile(w.disk, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	bits := f.Info().Bytes * 8
	f.Close()
	for bit := bits - 1; bit > 0; bit -= 31 {
		w.disk.FlipBit(file, bit)
		if f, err := segment.OpenFile(w.disk, file, nil); err == nil {
			err := try(f)
			f.Close()
			if err != nil {
				return func() { w.disk.FlipBit(file, bit) }, err.Error()
			}
		}
		w.disk.FlipBit(file, bit)
	}
	return nil, ""
}

func segmentNames(t *testing.T, w *world) []string {
	t.Helper()
	names, err := w.disk.List(worldDir)
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".seg") })
	slices.Sort(names)
	return names
}

// TestADamagedTableIsToldAndOthersGoOn: a folder with one opens; it is found without a question, told by Ready with
// file and offset, and the error of what needs it; what does not is answered. Mended, all is well.
func TestADamagedTableIsToldAndOthersGoOn(t *testing.T) {
	ctx := context.Background()
	w := inSegments(t, 51, 4)
	names := segmentNames(t, w)
	for n, name := range names {
		mend, damage := damagedTable(t, w, name)
		if err := w.open(); err != nil {
			t.Fatalf("%s damaged: %v", name, err)
		}
		if err := w.shard.Ready(); err != nil {
			t.Fatalf("not read yet, but told: %v", err)
		}
		if n%2 == 0 { // found in the background, or by a question
			w.shard.ReadTables(ctx, func() {})
		} else if _, err := w.shard.Find(ctx, span.AllTime()); err == nil || !strings.Contains(err.Error(), damage) {
			t.Fatalf("find of all time: %v, want %s", err, damage)
		}
		if err := w.shard.Ready(); !errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), damage) || !strings.Contains(damage, name+": offset ") {
			t.Fatalf("ready: %v, want %s", err, damage)
		}
		if damaged := w.shard.Stats().Damaged; damaged != 1 {
			t.Fatalf("%d segments are damaged, want 1", damaged)
		}
		answered, refused := 0, 0
		for _, id := range w.model.TraceIDs() {
			var got [][]byte
			err := w.shard.Get(ctx, id, func(chunk span.Chunk) error {
				got = append(got, bytes.Clone(chunk.Bytes))
				return nil
			})
			switch {
			case err == nil:
				answered++
				if want, err := w.model.Get(id); err != nil || !slices.EqualFunc(want, got, bytes.Equal) {
					t.Fatalf("%s damaged: another trace %s (%v)", name, id, err)
				}
			case !errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), damage):
				t.Fatalf("%s damaged: trace %s: %v", name, id, err)
			default:
				refused++
			}
		}
		if answered == 0 || refused == 0 {
			t.Errorf("%s damaged: %d traces answered, %d refused", name, answered, refused)
		}
		mend()
		w.check(2)
		w.shard.ReadTables(ctx, func() {})
		if err := w.shard.Ready(); err != nil {
			t.Fatalf("mended: %v", err)
		}
		_ = w.shard.Close()
	}
}

// TestADamagedSegmentIsLeftOutOfMerges: one that meets a damaged table does without, takes nothing of it away,
// and says so.
func TestADamagedSegmentIsLeftOutOfMerges(t *testing.T) {
	ctx := context.Background()
	w := inSegments(t, 52, 4)
	names := segmentNames(t, w)
	mend, damage := damagedTable(t, w, names[1])
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	if err := w.shard.Compact(ctx); !errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), damage) {
		t.Fatalf("compact: %v, want %s", err, damage)
	}
	if err := w.shard.Ready(); !errors.Is(err, codec.ErrCorrupt) {
		t.Fatalf("ready: %v", err)
	}
	if now := segmentNames(t, w); len(now) != 2 || now[0] != names[1] {
		t.Fatalf("segments %v, before %v of which %s is damaged", now, names, names[1])
	}
	if stats := w.shard.Stats(); stats.Merges != 1 || stats.MergeFailures != 0 {
		t.Fatalf("%d merges, %d failed", stats.Merges, stats.MergeFailures)
	}
	mend()
	w.check(2)
	if err := w.shard.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	if now := segmentNames(t, w); len(now) != 1 {
		t.Fatalf("segments %v of one window after all are whole", now)
	}
	w.check(3)
	_ = w.shard.Close()
}
