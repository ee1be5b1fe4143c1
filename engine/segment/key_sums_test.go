package segment_test

import (
	"fmt"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/vfs"
)

// TestCountsBelowZeroAreNone: where an input says under a right checksum that its attributes have no values, and
// each row stands in two inputs, what is taken off is more than there was. Then nothing is said, and rows have to tell.
func TestCountsBelowZeroAreNone(t *testing.T) {
	defer segment.LowerMergeRows(1, 20)()
	for seed := range uint64(8) {
		in := newOddInputs(seed)
		in.fill = false
		var rows []span.Row
		for _, part := range in.parts {
			rows = append(rows, part...)
		}
		in.parts = [][]span.Row{rows, rows}
		fs, names := vfs.NewCrash(1), []string{"in0", "in1"}
		counters := []*segment.KeyCounters{in.writeInput(t, fs, 0), in.writeInput(t, fs, 1)}
		for _, name := range names {
			if err := rewriteSection(fs, name, "keys", withoutValues); err != nil {
				t.Fatal(err)
			}
		}
		out, err := mergedFrom(t, fs, "out", names, counters)
		if err != nil {
			t.Fatal(err)
		}
		if counts, complete, err := out.KeyCounts(); complete || err != nil {
			t.Errorf("seed %d: %d counts, complete %v: %v", seed, len(counts), complete, err)
		}
		out.Close()
	}
}

func withoutValues(payload []byte) []byte {
	counts, _, err := index.DecodeKeyCounts(payload)
	if err != nil {
		return payload
	}
	for i := range counts {
		counts[i].Values = 0
	}
	return index.AppendKeyCounts(nil, counts)
}

// rewriteSection changes a section of a segment, and gives it the checksum of what it says then.
func rewriteSection(fs vfs.FS, name, section string, change func(payload []byte) []byte) error {
	data, ok := segment.ForgeSection(fs, name, section, change)
	if !ok {
		return fmt.Errorf("%s has no section %s", name, section)
	}
	if err := fs.Remove(name); err != nil {
		return err
	}
	f, err := fs.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return f.Close()
}

// TestHeldFiltersGoWithTheLastRowGroupThatHasThem: those of columns that the row groups behind lack are let go of, and
// so are those of all where the rows behind are copied by column.
func TestHeldFiltersGoWithTheLastRowGroupThatHasThem(t *testing.T) {
	const groupRows, groups = 64, 6
	defer segment.LowerMergeRows(1, groupRows)()
	o := newOdd(7)
	b := plainRows(o, groups*groupRows, 4, func(b *span.Batch, pos int) {
		o.fiveOf(b, 100*(pos/(4*groupRows)), 20) // the last two row groups have other columns than the first four
	})
	var rows []span.Row
	for pos := range b.Len() {
		rows = append(rows, span.Row{Batch: b, Pos: pos})
	}
	fs := vfs.NewCrash(1)
	in := &oddInputs{odd: o, all: b, parts: [][]span.Row{rows}}
	counters := in.writeInput(t, fs, 0)
	s, err := segment.OpenWith(fs, "in0", segment.NewPages(32<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Remember(counters)
	w, err := segment.NewWriter(fs, "some", meta())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if summed, err := w.SumKeys([]*segment.Segment{s}, func() error { return nil }); !summed || err != nil {
		t.Fatal(summed, err)
	}
	for i := range groups - 1 {
		if taken, err := w.AddGroup(s, i); !taken || err != nil {
			t.Fatal(taken, err)
		}
		if held := w.HeldFilterBytes(); (held == 0) != (i == 3) {
			t.Errorf("behind row group %d filters take %d bytes", i, held)
		}
	}
	c, err := s.ReadColumns(groups-1, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := s.Group(groups - 1)
	for row := g.FirstRow; row < g.FirstRow+g.Rows; row += 4 {
		if err := w.AddColumns(s.TraceID(s.TraceAtRow(row)), c, row-g.FirstRow, row-g.FirstRow+4); err != nil {
			t.Fatal(err)
		}
	}
	if held := w.HeldFilterBytes(); held != 0 {
		t.Errorf("in the end filters take %d bytes", held)
	}
}
