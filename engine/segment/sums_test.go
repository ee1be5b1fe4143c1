package segment_test

import (
	"fmt"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/vfs"
)

const someTime = 1_699_999_200_000_000_000 // a day begins

// aMinuteEach gives a span of its own trace for each row, one after another within so many minutes.
func aMinuteEach(in, rows, minutes int) *span.Batch {
	b := calling(rows, 1, func(row int) uint64 { return someTime + uint64(row%minutes)*60_000_000_000 + uint64(row/minutes) })
	for row := range b.TraceIDs {
		b.TraceIDs[row][0], b.ResourceIDs[row], b.Ends[row] = byte(in), 0, b.Starts[row]+5000
	}
	return b
}

// sums tells a writer to sum the cells of inputs.
func sums(t *testing.T, fs vfs.FS, names ...string) (w *segment.Writer, inputs []*segment.Segment, summed bool) {
	t.Helper()
	for _, name := range names {
		s := open(t, fs, name)
		t.Cleanup(func() { s.Close() })
		inputs = append(inputs, s)
	}
	w, err := segment.NewWriter(fs, "sums", meta())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Abort)
	if summed, err = w.SumCells(inputs, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	return w, inputs, summed
}

// TestCellsThatCountingMakesShorterAreNotSummed: each of two inputs has 20 spans a minute, too few for cells of a
// minute; together they have enough. Sums would stay at the longer step for ever.
func TestCellsThatCountingMakesShorterAreNotSummed(t *testing.T) {
	const minutes, aMinute, tenMinutes = 1100, 60e9, 600e9
	fs := vfs.NewCrash(1)
	names := []string{"in0", "in1"}
	for i, name := range names {
		write(t, fs, name, inOrder(aMinuteEach(i, 20*minutes, minutes)), 100)
		if cells, err := open(t, fs, name).OperationCells(); err != nil || cells == nil || cells.Step != tenMinutes {
			t.Fatalf("the cells of an input are not of ten minutes: %v", err)
		}
	}
	if _, _, summed := sums(t, fs, names...); summed {
		t.Error("cells are summed")
	}
	out, err := mergedFrom(t, fs, "out", names, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if cells, err := out.OperationCells(); err != nil || cells == nil || cells.Step != aMinute {
		t.Errorf("the cells of the merge are not of a minute: %v", err)
	}
}

// TestOperationsOfInputsAreBoundedTogether: two inputs have half as many operations each as a segment may have cells of,
// or one more together. Those are not summed.
func TestOperationsOfInputsAreBoundedTogether(t *testing.T) {
	for _, shared := range []int{0, 1} { // by both inputs
		fs := vfs.NewCrash(1)
		for i := range 2 {
			b := aMinuteEach(i, 1<<13+1-i, 1)
			for row := range b.Names {
				b.Names[row] = b.AddText(fmt.Append(nil, "op ", i*(1<<13+1-shared)+row))
			}
			name := fmt.Sprint("in", i)
			write(t, fs, name, inOrder(b), 100)
			if cells, err := open(t, fs, name).OperationCells(); err != nil || cells == nil {
				t.Fatalf("input %d has no cells: %v", i, err)
			}
		}
		if _, _, summed := sums(t, fs, "in0", "in1"); summed != (shared == 1) {
			t.Errorf("%d operations that both inputs have: summed %v", shared, summed)
		}
	}
}

// ofKinds are traces of two services that call each other, of so many kinds of spans, from the first one on.
func ofKinds(in, rows, first, kinds int) *span.Batch {
	b := calling(rows, 3, func(row int) uint64 { return someTime + uint64(row)*1000 })
	for row := range b.Kinds {
		b.TraceIDs[row][0] = byte(in)
		b.Kinds[row] = int32(first + row/2%kinds)
	}
	return b
}

// TestCalleesAreBounded: spans of more pairs of a service and a kind than are told apart leave a segment without cells
// of edges, whether any calls them or not.
func TestCalleesAreBounded(t *testing.T) {
	defer segment.LowerCellCallees(80)()
	for _, kinds := range []int{40, 41} { // of each of two services
		for _, called := range []bool{true, false} {
			b := ofKinds(0, 9000, 0, kinds)
			if !called {
				clear(b.ParentIDs)
			}
			fs := vfs.NewCrash(1)
			write(t, fs, "s", inOrder(b), 100)
			s := open(t, fs, "s")
			if cells, err := s.EdgeCells(); err != nil || (cells == nil) != (kinds == 41) {
				t.Errorf("%d kinds, called %v: cells %v, %v", kinds, called, cells != nil, err)
			}
			if cells, err := s.OperationCells(); err != nil || cells == nil {
				t.Errorf("%d kinds: cells of operations: %v", kinds, err)
			}
			if err := segment.Verify(fs, "s"); err != nil {
				t.Error(err)
			}
			s.Close()
		}
	}
}

// TestCalleesOfInputsAreBoundedTogether: as above, of what is summed, and of traces that are counted anew; what was
// held of them is freed.
func TestCalleesOfInputsAreBoundedTogether(t *testing.T) {
	defer segment.LowerMergeRows(1, 4096)()
	fs := vfs.NewCrash(1)
	write(t, fs, "in0", inOrder(ofKinds(0, 3000, 0, 40)), 100)
	write(t, fs, "in1", inOrder(ofKinds(1, 3000, 40, 40)), 100)
	for _, callees := range []int{160, 159} {
		restore := segment.LowerCellCallees(callees)
		if _, _, summed := sums(t, fs, "in0", "in1"); summed != (callees == 160) {
			t.Errorf("%d callees: summed %v", callees, summed)
		}
		restore()
	}
	alone := ofKinds(0, 3000, 0, 40)
	clear(alone.ParentIDs) // the sum knows of none
	write(t, fs, "alone", inOrder(alone), 100)
	for _, callees := range []int{80, 79} {
		restore := segment.LowerCellCallees(callees)
		w, inputs, summed := sums(t, fs, "alone")
		if !summed {
			t.Fatal("cells are not summed")
		}
		wantGivenUp(t, w, inputs[0], 3000, callees == 79)
		restore()
	}
}

// TestALongTraceIsNotHeldToBeCountedAnew: one that is longer than a writer holds leaves the merge without cells of
// edges, and all that was held for them is freed.
func TestALongTraceIsNotHeldToBeCountedAnew(t *testing.T) {
	defer segment.LowerMergeRows(1, 4096)()
	fs := vfs.NewCrash(1)
	write(t, fs, "in0", inOrder(ofKinds(0, 3000, 0, 40)), 100)
	for _, rows := range []int{3000, 2999} {
		restore := segment.LowerCellTraceRows(rows)
		w, inputs, summed := sums(t, fs, "in0")
		if !summed {
			t.Fatal("cells are not summed")
		}
		wantGivenUp(t, w, inputs[0], 3000, rows == 2999)
		restore()
	}
}

// wantGivenUp notes so many rows of an input as if they were of one trace, the last one by itself, and fails unless calls
// are given up then, or not.
func wantGivenUp(t *testing.T, w *segment.Writer, s *segment.Segment, rows int, want bool) {
	t.Helper()
	c, err := s.ReadColumns(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := w.Recount()
	r.Note(c, 0, rows-1)
	r.Note(c, rows-1, rows)
	if given, held := !r.CountsCalls(), w.HeldCalls(); given != want || (held == 0) != want {
		t.Errorf("calls are given up: %v, and %d rows, callees and edges are held", given, held)
	}
}

// TestCountsOfKeysThatAnInputLacksAreNotSummed: where one of two inputs has too many keys to say their counts, the
// values of both are looked at.
func TestCountsOfKeysThatAnInputLacksAreNotSummed(t *testing.T) {
	defer segment.LowerMergeRows(1, 64)()
	for lacking := range 2 {
		fs, names, counters, _, _ := wantMerged(t, oneAfterAnother(64*3), true)
		err := rewriteSection(fs, names[lacking], "keys", func([]byte) []byte { return index.AppendNoKeyCounts(nil) })
		if err != nil {
			t.Fatal(err)
		}
		again, err := mergedFrom(t, fs, "again", names, counters)
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := open(t, fs, "out").KeyCounts()
		if err != nil {
			t.Fatal(err)
		}
		if counts, complete, err := again.KeyCounts(); !complete || err != nil || fmt.Sprint(counts) != fmt.Sprint(want) {
			t.Errorf("input %d says no counts: complete %v, %v, and\n%v instead of\n%v", lacking, complete, err, counts, want)
		}
		again.Close()
	}
}
