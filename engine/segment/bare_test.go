package segment_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// copied writes the rows of a segment to another one, read by p, and gives its bytes.
func copied(t rapid.TB, fs vfs.FS, s *segment.Segment, p segment.Projection, prepare func(w *segment.Writer)) []byte {
	t.Helper()
	w, err := segment.NewWriter(fs, "copy", meta())
	if err != nil {
		t.Fatal(err)
	}
	prepare(w)
	for i := range s.Groups() {
		batch, err := s.ReadGroup(i, p)
		if err != nil {
			t.Fatal(err)
		}
		for pos := range batch.Len() {
			if err := w.Add(batch.TraceIDs[pos], []span.Row{{Batch: batch, Pos: pos}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	data, err := vfs.ReadFile(fs, "copy", 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// rehearsed has a writer rehearse the first rows of a segment.
func rehearsed(t rapid.TB, s *segment.Segment, p segment.Projection) func(w *segment.Writer) {
	return func(w *segment.Writer) {
		batch, err := s.ReadGroup(0, p)
		if err != nil {
			t.Fatal(err)
		}
		var rows []span.Row
		for pos := range min(batch.Len(), segment.RehearsalRowsMax) {
			rows = append(rows, span.Row{Batch: batch, Pos: pos})
		}
		w.Rehearse(rows, s.Info().Rows)
	}
}

func wantBareAsWhole(t rapid.TB, fs vfs.FS, s *segment.Segment) {
	t.Helper()
	for what, prepare := range map[string]func(w *segment.Writer){
		"a new segment": func(*segment.Writer) {},
		"one with all its columns": func(w *segment.Writer) {
			for _, level := range []span.Level{span.SpanLevel, span.EventLevel, span.LinkLevel} {
				w.FillColumns(level, span.StringValue, "key.1")
				w.FillColumns(level, span.IntValue, "key.1")
			}
		},
		"one with all templates": (*segment.Writer).FillTemplates,
	} {
		whole := copied(t, fs, s, segment.Projection{All: true}, prepare)
		if !bytes.Equal(copied(t, fs, s, segment.Projection{All: true, Bare: true}, prepare), whole) {
			t.Fatalf("rows read bare are others in %s than those read whole", what)
		}
	}
	all, bare := segment.Projection{All: true}, segment.Projection{All: true, Bare: true}
	whole := copied(t, fs, s, all, rehearsed(t, s, all))
	if !bytes.Equal(copied(t, fs, s, bare, rehearsed(t, s, bare)), whole) {
		t.Fatal("rows read bare are others in a rehearsed segment than those read whole")
	}
}

// What a merge writes does not depend on how it reads.
func TestRowsReadBareAreWrittenAsThoseReadWhole(t *testing.T) {
	fs := onDisk(t)
	rapid.Check(t, func(t *rapid.T) {
		o := newOdd(rapid.Uint64().Draw(t, "seed"))
		o.keys = rapid.SampledFrom([]int{1, 3, 12}).Draw(t, "keys")
		o.traces = rapid.IntRange(1, 200).Draw(t, "traces")
		write(t, fs, "s", inOrder(o.batch(rapid.IntRange(1, 150).Draw(t, "rows"))), 100)
		s := open(t, fs, "s")
		defer s.Close()
		wantBareAsWhole(t, fs, s)
	})
}

func TestRealRowsReadBareAreWrittenAsThoseReadWhole(t *testing.T) {
	for _, name := range realFiles {
		t.Run(name, func(t *testing.T) {
			fs := onDisk(t)
			write(t, fs, "s", inOrder(realBatches(t, name, 10_000)...), 100)
			s := open(t, fs, "s")
			defer s.Close()
			wantBareAsWhole(t, fs, s)
		})
	}
}

// Rows that differ in their content alone compare by it, however they were read.
func TestRowsReadBareCompareAsWhole(t *testing.T) {
	fs := onDisk(t)
	o := newOdd(1)
	o.traces = 1
	b := o.batch(60)
	for pos := range b.Len() {
		b.Starts[pos], b.SpanIDs[pos], b.Kinds[pos] = 1, span.SpanID{1}, 0
	}
	traces := inOrder(b)
	write(t, fs, "s", traces, 100)
	s := open(t, fs, "s")
	defer s.Close()
	read := segment.NewCache(segment.Projection{All: true}, 1, 0).Read
	bare, err := s.ReadGroup(0, segment.Projection{All: true, Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range traces[0].rows {
		for k, c := range traces[0].rows {
			got, err := segment.Compare(span.Row{Batch: bare, Pos: i}, span.Row{Batch: bare, Pos: k}, read)
			if err != nil || got != span.Compare(a, c) {
				t.Fatalf("rows %d and %d compare as %d, %v", i, k, got, err)
			}
		}
	}
}
