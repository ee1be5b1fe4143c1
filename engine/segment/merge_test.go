package segment_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// consistent gives odd spans whose resources and scopes differ in their messages where they differ in anything,
// as the walker makes them.
func (o *odd) consistent(rows int) *span.Batch {
	b := o.batch(rows)
	for i := range b.Resources {
		b.Resources[i].Message, b.Resources[i].Present = b.AddText(fmt.Append(nil, "resource ", i)), true
	}
	for i := range b.Scopes {
		b.Scopes[i].Message, b.Scopes[i].Present = b.AddText(fmt.Append(nil, "scope ", i)), true
	}
	return b
}

// oddInputs are the rows of several inputs of a merge, and how they are written.
type oddInputs struct {
	*odd
	all   *span.Batch
	parts [][]span.Row
	fill  bool // templates or columns of some inputs: their rows are not copied
}

func newOddInputs(seed uint64) *oddInputs {
	o := newOdd(seed)
	o.traces, o.keys = 1+o.IntN(30), 1+o.IntN(30)
	if o.IntN(3) == 0 {
		o.large = 700 // texts that no template holds
	}
	in := &oddInputs{odd: o, all: o.consistent(20 + o.IntN(200)), fill: o.IntN(4) == 0}
	b := in.all
	if o.IntN(3) == 0 { // clocks that go right, in minutes with many rows each: their cells are of a minute
		for pos := range b.Starts {
			b.Starts[pos] = 1_700_000_000_000_000_000 + uint64(b.TraceIDs[pos][15])*o.Uint64N(20_000_000_000)
			b.Ends[pos] = b.Starts[pos] + 1<<o.IntN(30)
		}
	}
	in.parts = make([][]span.Row, 1+o.IntN(5))
	order := make([]int, b.Len())
	for pos := range order {
		order[pos] = pos
	}
	slices.SortFunc(order, func(i, k int) int { return cmp.Compare(b.Starts[i], b.Starts[k]) })
	late, twice := o.IntN(12), o.IntN(12)
	for i, pos := range order {
		at := i * len(in.parts) / len(order)
		if o.IntN(12) < late {
			at = o.IntN(len(in.parts))
		}
		row := span.Row{Batch: b, Pos: pos}
		in.parts[at] = append(in.parts[at], row)
		for o.IntN(12) < twice && o.IntN(2) == 0 {
			again := o.IntN(len(in.parts))
			in.parts[again] = append(in.parts[again], row)
		}
	}
	return in
}

// tracesOf gives the distinct rows as a segment wants them.
func tracesOf(rows []span.Row) (traces []trace) {
	byID := map[span.TraceID][]span.Row{}
	for _, r := range rows {
		byID[r.TraceID()] = append(byID[r.TraceID()], r)
	}
	for id, rows := range byID {
		slices.SortFunc(rows, span.Compare)
		traces = append(traces, trace{id, slices.CompactFunc(rows, func(a, b span.Row) bool { return span.Compare(a, b) == 0 })})
	}
	slices.SortFunc(traces, func(a, b trace) int {
		return cmp.Or(cmp.Compare(a.rows[0].Start(), b.rows[0].Start()), a.id.Compare(b.id))
	})
	return traces
}

// writeInput writes an input, and gives what counts its values.
func (in *oddInputs) writeInput(t *testing.T, fs vfs.FS, i int) *segment.KeyCounters {
	t.Helper()
	m := meta()
	m.FirstSeq, m.LastSeq = uint64(10*i), uint64(10*i+9)
	w, err := segment.NewWriter(fs, fmt.Sprint("in", i), m)
	if err != nil {
		t.Fatal(err)
	}
	traces := tracesOf(in.parts[i])
	if in.fill && i%2 == 1 {
		w.FillColumns(span.SpanLevel, span.IntValue, "key.1")
		w.FillColumns(span.EventLevel, span.StringValue, "key.2")
	}
	if in.IntN(4) > 0 && len(in.parts[i]) > 0 { // so that what varies stands with the rows
		w.Rehearse(in.parts[i], len(in.parts[i]))
	}
	for k, trace := range traces {
		if in.fill && i%3 == 0 && k == len(traces)/2 {
			w.FillTemplates()
		}
		if err := w.Add(trace.id, trace.rows); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return w.KeyCounters()
}

// mergedFrom merges the inputs as they stand in files; counters may be left with them.
func mergedFrom(t *testing.T, fs vfs.FS, out string, names []string, counters []*segment.KeyCounters) (*segment.Segment, error) {
	t.Helper()
	return mergedAfter(t, fs, out, names, counters, func() {})
}

// mergedAfter is mergedFrom with something that happens when the inputs are open.
func mergedAfter(t *testing.T, fs vfs.FS, out string, names []string, counters []*segment.KeyCounters, opened func()) (*segment.Segment, error) {
	t.Helper()
	var inputs []*segment.Segment
	for i, name := range names {
		s, err := segment.OpenWith(fs, name, segment.NewPages(32<<20))
		if err != nil {
			return nil, err
		}
		defer s.Close()
		if counters != nil {
			s.Remember(counters[i])
		}
		inputs = append(inputs, s)
	}
	opened()
	if _, err := compaction.Merge(context.Background(), fs, inputs, out, nil); err != nil {
		return nil, err
	}
	return segment.Open(fs, out)
}

// tables writes out what a segment says of its traces, operations and keys, in an order and with numbers that do
// not hang on how it was written, and its cells added up to all time.
func tables(t *testing.T, s *segment.Segment) (out []byte) {
	t.Helper()
	for i := range s.TraceCount() {
		first, n := s.TraceRows(i)
		out = fmt.Appendf(out, "trace %s %d %d\n", s.TraceID(i), first, n)
	}
	out = s.Catalog().AppendBinary(out)
	keys, complete, err := s.KeyCounts()
	if err != nil {
		t.Fatal(err)
	}
	out = fmt.Appendf(out, "\n%v %v\n", keys, complete)
	for _, read := range []func() (*segment.Cells, error){s.EdgeCells, s.OperationCells} {
		cells, err := read()
		if err != nil {
			t.Fatal(err)
		}
		if cells == nil {
			out = append(out, "no cells\n"...)
			continue
		}
		type sum struct {
			spans, errors uint64
			durations     span.Durations
		}
		sums := map[string]*sum{}
		for i := range cells.Len() {
			c := cells.At(i)
			name := fmt.Sprint("call ", c.Kind)
			if cells.Services != nil {
				name = fmt.Sprintf("call %q %q %d", cells.Services[c.Parent], cells.Services[c.Callee], c.Kind)
			} else {
				name = fmt.Sprintf("spans of %+v", cells.Operations[c.Callee])
			}
			if sums[name] == nil {
				sums[name] = new(sum)
			}
			sums[name].spans += c.Spans
			sums[name].errors += c.Errors
			cells.AddTo(&sums[name].durations, i)
		}
		var lines []string
		for name, n := range sums {
			line := fmt.Sprintf("%s: %d, %d failed", name, n.spans, n.errors)
			n.durations.Each(func(least, _, n uint64) { line += fmt.Sprintf(" %d:%d", least, n) })
			lines = append(lines, line)
		}
		slices.Sort(lines)
		out = fmt.Appendf(out, "%s\n", lines)
	}
	return out
}

func mergeSeeds() int {
	if testing.Short() {
		return 40
	}
	return 200
}

// What a merge copies by column, and sums, is what one that reads row by row writes and counts, whatever the
// inputs are: late rows and copies, traces of several, events and links in some row groups and not in others, texts
// that are too long, templates of a row group's own and map columns, clocks that are wrong.
func TestMergesByColumnAreMergesByRow(t *testing.T) {
	copiedRows, standing, summed, seeds := 0, 0, 0, mergeSeeds()
	for seed := range uint64(seeds) {
		in := newOddInputs(seed)
		restore := segment.LowerMergeRows(1, 5+in.IntN(60))
		restoreTraces := func() {}
		if seed%8 == 0 { // many traces of several inputs are too long, put together
			restoreTraces = segment.LowerCellTraceRows(1 + in.IntN(20))
		}
		fs := vfs.NewCrash(1)
		var names []string
		var counters []*segment.KeyCounters
		var all []span.Row
		for i, part := range in.parts {
			counters = append(counters, in.writeInput(t, fs, i))
			names = append(names, fmt.Sprint("in", i))
			all = append(all, part...)
		}
		summed += countSummed(t, fs, names)
		copied, stand := countCopied(t, fs, names)
		copiedRows, standing = copiedRows+copied, standing+stand
		what := fmt.Sprintf("seed %d, %d inputs", seed, len(names))
		byColumn, err := mergedFrom(t, fs, "columns", names, counters)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		slices.Reverse(names)
		slices.Reverse(counters)
		if seed%2 == 0 {
			counters = nil
		}
		again, err := mergedFrom(t, fs, "again", names, counters)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		again.Close()
		if !bytes.Equal(bytesOf(t, fs, "columns"), bytesOf(t, fs, "again")) {
			t.Errorf("%s: the bytes depend on the order of inputs, or on counters left with them", what)
		}
		restoreRows := segment.LowerMergeRows(math.MaxInt, 4096)
		byRow, err := mergedFrom(t, fs, "rows", names, nil)
		restoreRows()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		wantContents(t, byColumn, tracesOf(all))
		if a, b := tables(t, byColumn), tables(t, byRow); !bytes.Equal(a, b) {
			t.Errorf("%s: by column\n%s\nby row\n%s", what, a, b)
		}
		for _, name := range []string{"columns", "rows"} {
			if err := segment.Verify(fs, name); err != nil {
				t.Errorf("%s: %s: %v", what, name, err)
			}
		}
		if seed%4 == 0 {
			wantMergedAgain(t, what, fs, names[0], all)
		}
		byColumn.Close()
		byRow.Close()
		restoreTraces()
		restore()
		if t.Failed() {
			return
		}
	}
	if copiedRows < 50*seeds || standing < 5*seeds || summed < seeds/4 {
		t.Errorf("only %d rows could be copied, %d columns stood with rows, cells of %d merges were summed", copiedRows, standing, summed)
	}
}

// wantMergedAgain merges what came of a merge with one of its inputs.
func wantMergedAgain(t *testing.T, what string, fs vfs.FS, input string, all []span.Row) {
	t.Helper()
	twice, err := mergedFrom(t, fs, "twice", []string{"columns", input}, nil)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer twice.Close()
	wantContents(t, twice, tracesOf(all))
	if err := segment.Verify(fs, "twice"); err != nil {
		t.Errorf("%s: merged again: %v", what, err)
	}
}

// Where a section that a merge sums or copies is damaged in an input, its rows are counted as before: nothing of
// the damage comes into what is written, and nothing stops.
func TestDamagedCountsOfAnInputAreCountedAnew(t *testing.T) {
	defer segment.LowerMergeRows(1, 20)()
	in := newOddInputs(1)
	in.fill = false
	fs := vfs.NewCrash(1)
	var names []string
	var counters []*segment.KeyCounters
	for i := range in.parts {
		counters = append(counters, in.writeInput(t, fs, i))
		names = append(names, fmt.Sprint("in", i))
	}
	merged, err := mergedFrom(t, fs, "whole", names, counters)
	if err != nil {
		t.Fatal(err)
	}
	defer merged.Close()
	want := tables(t, merged)
	for _, section := range []string{"cells of edges", "cells of operations", "keys"} {
		offset, size := segment.SectionAt(fs, "in0", section)
		if size == 0 {
			t.Fatalf("%s: there is nothing of it", section)
		}
		for at := offset; at < offset+size; at += 1 + size/9 {
			out, err := mergedAfter(t, fs, "out", names, counters, func() { fs.FlipBit("in0", 8*at+3) })
			if err != nil {
				t.Fatalf("%s, byte %d: %v", section, at-offset, err)
			}
			if !bytes.Equal(tables(t, out), want) {
				t.Errorf("%s, byte %d: other tables", section, at-offset)
			}
			out.Close()
			if err := segment.Verify(fs, "out"); err != nil {
				t.Errorf("%s, byte %d: %v", section, at-offset, err)
			}
			fs.FlipBit("in0", 8*at+3)
		}
	}
}

// countCopied counts the rows that may be copied by column, and the columns of attributes that stand with them.
func countCopied(t *testing.T, fs vfs.FS, names []string) (rows, values int) {
	t.Helper()
	for _, name := range names {
		s := open(t, fs, name)
		defer s.Close()
		for i := range s.Groups() {
			if s.HasColumns(i) {
				rows += s.Group(i).Rows
			}
		}
		templates, err := s.Templates(span.SpanLevel)
		if err != nil {
			t.Fatal(err)
		}
		values += len(templates.Own)
	}
	return rows, values
}

// countSummed tells whether the cells of the inputs would be summed.
func countSummed(t *testing.T, fs vfs.FS, names []string) int {
	t.Helper()
	var inputs []*segment.Segment
	for _, name := range names {
		s := open(t, fs, name)
		defer s.Close()
		inputs = append(inputs, s)
	}
	w, err := segment.NewWriter(fs, "for cells", meta())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	summed, err := w.SumCells(inputs, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if summed {
		return 1
	}
	return 0
}
