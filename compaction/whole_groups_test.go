package compaction_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// following cuts real spans by the start of their traces into parts, as flushes that follow
// each other have them; some traces stand in two parts, and some of those rows twice.
func following(t testing.TB, fs vfs.FS, name string, limit, parts int) (inputs []*segment.Segment, want []span.Row) {
	t.Helper()
	rows := distinct(realRows(t, name, limit))
	begin := 0
	for i := range parts {
		end := len(rows) * (i + 1) / parts // within a trace, mostly
		part := slices.Clone(rows[begin:end])
		if i > 0 {
			part = append(part, rows[begin-40:begin]...)
		}
		inputs = append(inputs, write(t, fs, string(rune('a'+i)), part, uint64(i)))
		begin = end
	}
	return inputs, rows
}

// Where an input holds spans of two years, its row groups of one stand between those of another.
func TestRowGroupsOfAnInputAreTakenOverBetweenThoseOfAnother(t *testing.T) {
	fs := vfs.NewCrash(1)
	young := distinct(realRows(t, "hotrod.otlp.zst", 80_000))
	old := distinct(realRows(t, "nezha-trainticket-2023-01-29.otlp.zst", 80_000))
	third := len(young) / 3
	both := slices.Concat(young[:third], young[2*third:], old)
	inputs := []*segment.Segment{write(t, fs, "a", both, 1), write(t, fs, "b", young[third-9:2*third+9], 2)}
	if _, err := compaction.Merge(context.Background(), fs, inputs, "out", nil); err != nil {
		t.Fatal(err)
	}
	if err := segment.Verify(fs, "out"); err != nil {
		t.Fatal(err)
	}
	wantRows(t, read(t, openSegment(t, fs, "out")), distinct(slices.Concat(young, old)))
}

// Where another input has a trace now and then, row groups before and behind it are taken over.
func TestRowGroupsAreNotTakenOverPastATraceOfAnother(t *testing.T) {
	fs := vfs.NewCrash(1)
	rows := distinct(realRows(t, "hotrod.otlp.zst", 120_000))
	var parts [2][]span.Row
	traces := 0
	for i, row := range rows {
		if i == 0 || row.TraceID() != rows[i-1].TraceID() {
			traces++
		}
		part := 0
		if traces%600 == 0 {
			part = 1
		}
		parts[part] = append(parts[part], row)
	}
	inputs := []*segment.Segment{write(t, fs, "a", parts[0], 1), write(t, fs, "b", parts[1], 2)}
	if _, err := compaction.Merge(context.Background(), fs, inputs, "out", nil); err != nil {
		t.Fatal(err)
	}
	if err := segment.Verify(fs, "out"); err != nil {
		t.Fatal(err)
	}
	wantRows(t, read(t, openSegment(t, fs, "out")), rows)
}

// Where inputs follow each other in time, row groups are taken over as they stand, and what
// comes of it is a sound segment with the same rows.
func TestInputsThatFollowEachOtherAreMergedExactly(t *testing.T) {
	for _, name := range []string{"hotrod.otlp.zst", "nezha-trainticket-2023-01-30-logs.otlp.zst", "nezha-trainticket-2023-01-29.otlp.zst"} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewCrash(1)
			inputs, want := following(t, fs, name, 130_000, 4)
			reversed := slices.Clone(inputs)
			slices.Reverse(reversed)
			last := 0
			for out, inputs := range map[string][]*segment.Segment{"out": inputs, "again": reversed} {
				_, err := compaction.Merge(context.Background(), fs, inputs, out, func(done, total int) {
					if last = done; total < done {
						t.Errorf("%d rows of %d", done, total)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if least := len(want) + 3*40; last != least {
				t.Errorf("told of %d rows, of %d read", last, least)
			}
			if err := segment.Verify(fs, "out"); err != nil {
				t.Fatal(err)
			}
			out, again := openSegment(t, fs, "out"), openSegment(t, fs, "again")
			wantRows(t, read(t, out), want)
			if a, b := out.Info(), again.Info(); a.CRC != b.CRC || a.Bytes != b.Bytes {
				t.Errorf("the order of inputs shows: %+v, %+v", a, b)
			}
			short := 0 // a run that begins ends the group before
			for i := range out.Groups() {
				if out.Group(i).Rows < 4096 {
					short++
				}
			}
			if short < len(inputs) {
				t.Errorf("%d of %d row groups are not full: none was taken over", short, out.Groups())
			}
			wholeInOneFile(t, fs, out, want)
		})
	}
}

// wholeInOneFile compares the merged segment's size and cells with those of the same rows in one.
func wholeInOneFile(t *testing.T, fs vfs.FS, merged *segment.Segment, rows []span.Row) {
	t.Helper()
	one := write(t, fs, "one", rows, 1)
	if a, b := merged.Info().Bytes, one.Info().Bytes; a > b+b/50 {
		t.Errorf("%d bytes merged, %d at once", a, b)
	}
	a, b := cellsOf(t, merged), cellsOf(t, one)
	if a != b || !strings.Contains(a, "edges") || !strings.Contains(a, "operations") {
		t.Errorf("cells of merged rows are others than those of the same rows at once: %d and %d bytes of text", len(a), len(b))
	}
}

// cellsOf writes out the cells of a segment.
func cellsOf(t *testing.T, s *segment.Segment) (told string) {
	t.Helper()
	for _, kind := range []struct {
		name string
		read func() (*segment.Cells, error)
	}{{"edges", s.EdgeCells}, {"operations", s.OperationCells}} {
		cells, err := kind.read()
		if err != nil {
			t.Fatal(err)
		}
		if cells != nil {
			told += fmt.Sprintf("%s: %+v\n", kind.name, *cells)
		}
	}
	return told
}

// A damaged page in a row group that is taken over stops the merge as any other does.
func TestADamagedRowGroupIsNotTakenOver(t *testing.T) {
	fs := vfs.NewCrash(1)
	inputs, _ := following(t, fs, "hotrod.otlp.zst", 60_000, 2)
	middle := inputs[1].Info().Bytes / 3
	for bit := range int64(40) {
		fs.FlipBit("b", 8*(middle+bit*997))
		_, err := compaction.Merge(context.Background(), fs, inputs, "out", nil)
		if !errors.Is(err, codec.ErrCorrupt) {
			t.Fatalf("bit %d: %v", bit, err)
		}
		fs.FlipBit("b", 8*(middle+bit*997))
		if names, _ := fs.List("."); slices.Contains(names, "out") {
			t.Fatalf("bit %d: %q", bit, names)
		}
	}
}
