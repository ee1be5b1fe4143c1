package segment_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
	"pgregory.net/rapid"
)

// flush writes the distinct rows of batches as a flush does. It describes rows by steps, and calls
// between, where it is set, before each of them.
func flush(t rapid.TB, fs vfs.FS, name string, batches []*span.Batch, step int, between func(w *segment.Writer, described int)) (segment.Info, []trace) {
	t.Helper()
	return flushBySteps(t, fs, name, batches, func(w *segment.Writer, described int) int {
		if between != nil {
			between(w, described)
		}
		return step
	})
}

// flushBySteps is flush in steps that are asked for before each of them; 0 leaves the rest to AddNext.
func flushBySteps(t rapid.TB, fs vfs.FS, name string, batches []*span.Batch, step func(w *segment.Writer, described int) int) (segment.Info, []trace) {
	t.Helper()
	w, err := segment.NewWriter(fs, name, meta())
	if err != nil {
		t.Fatal(err)
	}
	traces := inOrder(batches...)
	w.Begin(batches, placesOf(batches, traces))
	for described, rows := 0, 1; rows > 0; described += rows {
		rows = w.Describe(step(w, described))
	}
	for _, trace := range traces {
		if err := w.AddNext(trace.id, len(trace.rows)); err != nil {
			t.Fatal(err)
		}
	}
	info, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return info, traces
}

// placesOf gives where the rows of the traces are.
func placesOf(batches []*span.Batch, traces []trace) (places []segment.Place) {
	for _, trace := range traces {
		for _, row := range trace.rows {
			places = append(places, segment.Place{Batch: uint32(slices.Index(batches, row.Batch)), Row: uint32(row.Pos)})
		}
	}
	return places
}

// wantFlushed checks that a file holds the rows, and that all that is counted of them is true.
func wantFlushed(t rapid.TB, fs vfs.FS, name string, info segment.Info, traces []trace) {
	t.Helper()
	s := open(t, fs, name)
	defer s.Close()
	wantContents(t, s, traces)
	wantIndex(t, s, info, traces)
	if err := segment.Verify(fs, name); err != nil {
		t.Fatal(err)
	}
}

// Rows of any batches come back as they were, each once, and the steps in which they were described
// change no byte, also where the room for templates ends after some.
func TestRowsDescribedByBatchComeBackExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		var batches []*span.Batch
		for range rapid.IntRange(1, 5).Draw(t, "batches") {
			batches = append(batches, newOdd(seed).batch(rapid.IntRange(0, 40).Draw(t, "rows")))
			if !rapid.Bool().Draw(t, "again") { // else the next one begins with the same spans
				seed++
			}
		}
		full := rapid.IntRange(-1, 60).Draw(t, "full")
		fs := vfs.NewCrash(1)
		write := func(name string, step int) (segment.Info, []trace) {
			return flushBySteps(t, fs, name, batches, func(w *segment.Writer, described int) int {
				if described < full {
					return min(step, full-described)
				}
				if described == full {
					w.FillTemplates()
				}
				return step
			})
		}
		drawn, traces := write("a", rapid.IntRange(1, 100).Draw(t, "step"))
		wantFlushed(t, fs, "a", drawn, traces)
		one, _ := write("b", 1)
		all, _ := write("c", 1<<20)
		for _, info := range []segment.Info{drawn, all} {
			if info.CRC != one.CRC || info.Bytes != one.Bytes {
				t.Fatalf("%d and %d bytes, checksums %x and %x", one.Bytes, info.Bytes, one.CRC, info.CRC)
			}
		}
	})
}

// What AddNext writes is the same where Describe went over no row before it, over some or over all: within
// a batch, to the end of one, and behind the last.
func TestRowsAreDescribedBeforeTheFirstIsWritten(t *testing.T) {
	fs, batches := vfs.NewCrash(1), []*span.Batch{many(300), stormBatch(storms["ordinary"], 0, 500)}
	want, _ := flush(t, fs, "a", batches, 100, nil)
	for _, before := range []int{0, 1, 100, 299, 300, 301, 799, 800, 1000} {
		got, _ := flushBySteps(t, fs, "b", batches, func(_ *segment.Writer, described int) int { return before - described })
		if got.CRC != want.CRC || got.Bytes != want.Bytes {
			t.Errorf("%d rows described before: %d bytes with checksum %x, want %d and %x", before, got.Bytes, got.CRC, want.Bytes, want.CRC)
		}
	}
}

// Rows that find no room, keys without a column of their own, events and links stand beside the
// others, whenever the room ends.
func TestRowsDescribedByBatchAreMixed(t *testing.T) {
	batches := []*span.Batch{many(2100), stormBatch(storms["every key and value unique"], 3000, 3300), stormBatch(storms["ordinary"], 2900, 3300)}
	for _, full := range []int{0, 700, 2100, 2400, 1 << 20} {
		t.Run(fmt.Sprint("after ", full), func(t *testing.T) {
			fs := vfs.NewCrash(1)
			info, traces := flush(t, fs, "s", batches, 100, func(w *segment.Writer, described int) {
				for _, level := range []span.Level{span.SpanLevel, span.EventLevel} {
					for _, kind := range []span.ValueType{span.StringValue, span.IntValue, span.BoolValue} {
						w.FillColumns(level, kind, "mapped")
					}
				}
				if described >= full {
					w.FillTemplates()
				}
			})
			wantFlushed(t, fs, "s", info, traces)
			s := open(t, fs, "s")
			defer s.Close()
			a, err := s.Analyze()
			if err != nil {
				t.Fatal(err)
			}
			use := a.Templates[span.SpanLevel]
			if own := use.OwnItems > 0; own != (full < 2800) || (use.Items > use.OwnItems) != (full > 0) {
				t.Fatalf("%d of %d spans have a template of their row group", use.OwnItems, use.Items)
			}
		})
	}
}

// turningBatches are batches whose attribute "turning" is one value in all rows of even rank, which the
// rehearsal sees, and another in each of the others. Each batch has the rows of the one before once more.
func turningBatches(rows, batches int) (list []*span.Batch) {
	load := func(i, j int) (name, key, value string) {
		switch {
		case j > 0:
			return "op", fmt.Sprint("key ", j), fmt.Sprint("value ", j)
		case i%2 == 0:
			return "op", "turning", "early"
		default:
			return "op", "turning", fmt.Sprintf("value %x", uint32(i)*2654435761)
		}
	}
	each := rows / batches
	for k := range batches {
		list = append(list, stormBatch(load, max(0, k-1)*each, (k+1)*each))
	}
	return list
}

// A column that the rehearsal took for one of a single value is taken out of the templates when
// it turns out to vary: in the middle of a batch. Rows before and behind come back exactly, copies
// count once, and what a batch had remembered of the column is not used any more.
func TestAColumnIsTakenOutWhileBatchesAreDescribed(t *testing.T) {
	const rows = 2 * segment.RehearsalRowsMax
	fs := vfs.NewCrash(1)
	info, traces := flush(t, fs, "s", turningBatches(rows, 2), 300, nil)
	if info.Rows != rows {
		t.Fatalf("%d rows, want %d", info.Rows, rows)
	}
	wantFlushed(t, fs, "s", info, traces)
	s := open(t, fs, "s")
	defer s.Close()
	a, err := s.Analyze()
	if err != nil {
		t.Fatal(err)
	}
	if use := a.Templates[span.SpanLevel]; use.Shared < 100 || use.Shared > rows/4 || use.OwnItems > 0 {
		t.Errorf("%d templates, %d spans with one of their row group: the column was not taken out in the middle", use.Shared, use.OwnItems)
	}
	for _, p := range a.Parts {
		if strings.Contains(p.What, "turning") && (p.Folded == 0 || p.Folded > rows/6) {
			t.Errorf("%s: %d of %d values in templates", p.What, p.Folded, p.Values)
		}
	}
}

// Loads that nothing can be folded of come back exactly from a flush too.
func TestAStormDescribedByBatchComesBack(t *testing.T) {
	for name, load := range storms {
		t.Run(name, func(t *testing.T) {
			fs := onDisk(t)
			var batches []*span.Batch
			for from := 0; from < stormSpans(); from += stormBatchRows {
				batches = append(batches, stormBatch(load, from, from+stormBatchRows))
			}
			info, traces := flush(t, fs, "s", batches, 1000, nil)
			if info.Rows != stormSpans() {
				t.Fatalf("%d rows, want %d", info.Rows, stormSpans())
			}
			s := open(t, fs, "s")
			defer s.Close()
			wantContents(t, s, traces)
			if err := segment.Verify(fs, "s"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Real traces come back exactly from a flush.
func TestRealTracesDescribedByBatchComeBackExactly(t *testing.T) {
	for _, name := range realFiles {
		t.Run(name, func(t *testing.T) {
			fs := onDisk(t)
			info, traces := flush(t, fs, "s", realBatches(t, name, 5_000), 1000, nil)
			wantFlushed(t, fs, "s", info, traces)
		})
	}
}

// More rows than Begin was told, fewer, traces out of order, and a flush behind other rows are errors that
// name the file and what is wrong.
func TestRowsThatNobodyToldAreRefused(t *testing.T) {
	batches := []*span.Batch{many(40)}
	traces := inOrder(batches...)
	all := func(w *segment.Writer) (err error) {
		for _, trace := range traces {
			err = errors.Join(err, w.AddNext(trace.id, len(trace.rows)))
		}
		return err
	}
	backwards := func(w *segment.Writer) {
		places := placesOf(batches, traces)
		slices.Reverse(places)
		w.Begin(batches, places)
	}
	for want, add := range map[string]func(w *segment.Writer) error{
		"wrong.seg: more rows than were told": func(w *segment.Writer) error {
			return errors.Join(all(w), w.AddNext(span.TraceID{99}, 1))
		},
		"wrong.seg: 24 rows are missing": func(w *segment.Writer) error { return w.AddNext(traces[0].id, len(traces[0].rows)) },
		"comes after": func(w *segment.Writer) error {
			backwards(w)
			return errors.Join(w.AddNext(traces[2].id, 1), w.AddNext(traces[1].id, 1))
		},
		"rows out of order": func(w *segment.Writer) error {
			backwards(w)
			return w.AddNext(traces[2].id, 2)
		},
		"wrong.seg: 16 rows come before those of a flush": func(w *segment.Writer) error {
			err := w.Add(traces[0].id, traces[0].rows)
			w.Begin(batches, nil)
			if rows := w.Describe(100); rows != 0 {
				t.Errorf("%d rows were described after an error", rows)
			}
			return err
		},
	} {
		w, err := segment.NewWriter(vfs.NewCrash(1), "wrong.seg", meta())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(want, "before") {
			w.Begin(batches, placesOf(batches, traces))
		}
		err = add(w)
		if _, finished := w.Finish(); finished == nil {
			t.Errorf("%s: Finish gives no error", want)
		} else if err = errors.Join(err, finished); !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
