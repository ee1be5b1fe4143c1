package engine_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// TestAFlippedBitNeverChangesAnAnswer: with a bit of a segment flipped, before the start
// or under a running shard, every question has its right answer or an error that names
// the file.
func TestAFlippedBitNeverChangesAnAnswer(t *testing.T) {
	w, requests := smallWorld(t, 11)
	w.mustOpen()
	for _, r := range requests {
		if err := w.append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	name := worldDir + "/00000001.seg"
	content, err := vfs.ReadFile(w.disk, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	bits := int64(len(content)) * 8
	step := max(1, bits/int64(1500*seeds(t, 1)))
	reported := 0
	var queries []span.Query
	for range 12 {
		queries = append(queries, w.gen.MixedQuery(w.model))
	}
	for bit := int64(0); bit < bits; bit += step {
		before := bit/step%2 == 0
		if before {
			_ = w.shard.Close()
		}
		w.disk.FlipBit(name, bit)
		err := error(nil)
		if before {
			err = w.open()
		}
		if err == nil {
			err = w.askEverything(queries)
		}
		if err != nil {
			reported++
			if !errors.Is(err, codec.ErrCorrupt) && !errors.Is(err, codec.ErrVersion) || !strings.Contains(err.Error(), "00000001.seg: offset") {
				t.Fatalf("bit %d: %v", bit, err)
			}
		}
		w.disk.FlipBit(name, bit)
		if before {
			_ = w.shard.Close()
			if err := w.open(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d bits flipped of %d, %d reported", bits/step, bits, reported)
	w.check(3)
}

// TestOfSeveralDamagedSegmentsTheFirstIsNamed, however many are opened at a time, and what was opened
// is closed again: the folder made whole opens.
func TestOfSeveralDamagedSegmentsTheFirstIsNamed(t *testing.T) {
	w, requests := smallWorld(t, 12)
	w.options.ManualCompaction = true
	w.mustOpen()
	for _, r := range requests {
		if err := w.append(r); err != nil {
			t.Fatal(err)
		}
		if err := w.shard.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.shard.Close()
	names, err := w.disk.List(worldDir)
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".seg") })
	if slices.Sort(names); len(names) < 4 {
		t.Fatalf("%d segments are too few", len(names))
	}
	for first := range names {
		damaged := names[first:]
		for _, name := range damaged {
			w.disk.FlipBit(worldDir+"/"+name, 0)
		}
		for range 5 {
			if err := w.open(); !errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), damaged[0]) {
				t.Fatalf("%d of %d segments damaged: %v, want %s named", len(damaged), len(names), err, damaged[0])
			}
		}
		for _, name := range damaged {
			w.disk.FlipBit(worldDir+"/"+name, 0)
		}
	}
	w.mustOpen()
	w.check(3)
}

// askEverything gives the first error of all questions; a wrong answer ends the test.
func (w *world) askEverything(queries []span.Query) error {
	ctx := context.Background()
	var found []span.Found
	for _, q := range append(queries, span.AllTime()) {
		var err error
		if found, err = w.shard.Find(ctx, q); err != nil {
			return err
		}
		if diff := cmp.Diff(w.model.Find(q), found); diff != "" && len(w.model.Find(q))+len(found) > 0 {
			w.t.Fatalf("find %+v (-want +got):\n%s", q, diff)
		}
	}
	summaries, err := w.shard.Summaries(ctx, found)
	if err != nil {
		return err
	}
	for _, sum := range summaries {
		if diff := cmp.Diff(w.model.Summary(sum.TraceID), sum); diff != "" {
			w.t.Fatalf("summary (-want +got):\n%s", diff)
		}
	}
	for _, f := range found {
		rows, at := w.model.Trace(f.TraceID), 0
		err := w.shard.Rows(ctx, f.TraceID, func(row span.Row) error {
			if span.Compare(rows[at], row) != 0 {
				w.t.Fatalf("trace %s: span %d differs", f.TraceID, at)
			}
			at++
			return nil
		})
		if err != nil {
			return err
		}
	}
	edges, err := edgesOf(w.shard)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(w.model.Edges(0, math.MaxUint64), edges); diff != "" {
		w.t.Fatalf("edges (-want +got):\n%s", diff)
	}
	return nil
}

// TestVerifyFindsEveryFlippedBit of a closed folder, names the file, and changes nothing.
func TestVerifyFindsEveryFlippedBit(t *testing.T) {
	w, requests := smallWorld(t, 13)
	w.mustOpen()
	for i, r := range requests {
		if err := w.append(r); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			w.apply([]byte{0xff}) // to the quarantine
		}
	}
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	rows := w.shard.Stats().SegmentRows
	_ = w.shard.Close()
	verify := func() (found []error) {
		done, err := engine.Verify(w.disk, worldDir, 0, func(err error) { found = append(found, err) })
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 && (int64(done.Rows) != rows || done.Quarantined != 1) {
			t.Fatalf("verified %+v, there are %d rows and 1 part in quarantine", done, rows)
		}
		return found
	}
	if found := verify(); len(found) > 0 {
		t.Fatalf("a whole folder: %v", found)
	}
	for _, name := range []string{"MANIFEST", "00000001.seg", "quarantine/" + codec.HashBytes([]byte{0xff}).String() + ".form"} {
		content, err := vfs.ReadFile(w.disk, worldDir+"/"+name, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		bits := int64(len(content)) * 8
		for bit := int64(0); bit < bits; bit += max(1, bits/int64(1500*seeds(t, 1))) {
			w.disk.FlipBit(worldDir+"/"+name, bit)
			found := verify()
			if len(found) == 0 || !strings.Contains(found[0].Error(), name) {
				t.Fatalf("%s, bit %d: found %v", name, bit, found)
			}
			w.disk.FlipBit(worldDir+"/"+name, bit)
		}
	}
	if found := verify(); len(found) > 0 {
		t.Fatalf("the folder made whole again: %v", found)
	}
}
