package compaction_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// busy makes rows of traces that begin one after another, with everything that stands in columns: texts and
// numbers that repeat and that do not, events, links, fields of spans, events and links without a column.
// Where they are even, they take a second or two, and a minute has many: their cells are of a minute.
func busy(random *rand.Rand, rows int, even bool) *span.Batch {
	b := pool(random, rows, 1)
	b.AttrIDs, b.AttrEnds, b.Events, b.EventAttrs, b.EventEnds, b.LinkEnds = nil, nil, nil, nil, nil, nil
	text := func(kind string, n int) span.TextID {
		return b.AddText(fmt.Appendf(nil, "%s %d", kind, random.IntN(n)))
	}
	keys := map[string]span.TextID{}
	key := func(name string) span.TextID {
		if keys[name] == 0 {
			keys[name] = b.AddText([]byte(name))
		}
		return keys[name]
	}
	for pos := range rows {
		trace := uint64(pos / 23)
		b.TraceIDs[pos] = span.TraceID{0: byte(random.IntN(2)), 14: byte(trace >> 8), 15: byte(trace)}
		b.SpanIDs[pos] = span.SpanID{5: byte(random.IntN(40)), 7: 1}
		b.ParentIDs[pos] = span.SpanID{5: byte(random.IntN(40)), 7: byte(random.IntN(2))}
		b.Starts[pos] = 1_700_000_000_000_000_000 + trace*3_000_000_000 + random.Uint64N(20_000_000_000)
		b.Ends[pos] = b.Starts[pos] + random.Uint64N(1<<(10+random.IntN(20)))
		if even {
			b.Starts[pos] = 1_700_000_000_000_000_000 + trace*300_000_000 + random.Uint64N(2_000_000_000)
			b.Ends[pos] = b.Starts[pos] + (1+random.Uint64N(2))<<30
		}
		b.StatusCodes[pos] = int32(random.IntN(3))
		b.AddAttr(span.Attr{Key: key("status"), Type: span.IntValue, Value: 200 + random.Uint64N(4)})
		b.AddAttr(span.Attr{Key: key("order"), Type: span.StringValue, Value: uint64(text("order", 1<<20))})
		if random.IntN(3) > 0 {
			b.AddAttr(span.Attr{Key: key("user"), Type: span.IntValue, Value: random.Uint64()})
			b.AddAttr(span.Attr{Key: key("user"), Type: span.IntValue, Value: random.Uint64N(9)})
		}
		if random.IntN(50) == 0 {
			b.Residues[pos], b.StatusMessages[pos] = text("residue", 9), text("message", 1<<20)
			b.TraceStates[pos] = text("state", 1<<20)
		}
		for range random.IntN(3) {
			e := span.Event{Time: b.Starts[pos] + random.Uint64N(99), Name: text("event", 2)}
			if random.IntN(30) == 0 {
				e.Residue = text("residue of an event", 3)
			}
			b.EventAttrs = append(b.EventAttrs, span.Attr{Key: key("line"), Type: span.StringValue, Value: uint64(text("line", 1<<20))})
			e.AttrEnd = uint32(len(b.EventAttrs))
			b.Events = append(b.Events, e)
		}
		if random.IntN(9) == 0 {
			l := span.Link{TraceID: span.TraceID{3: byte(random.IntN(256))}, SpanID: span.SpanID{2: byte(random.IntN(256))}, TraceState: text("link", 1<<20)}
			b.LinkAttrs = append(b.LinkAttrs, span.Attr{Key: key("why"), Type: span.BoolValue, Value: random.Uint64N(2)})
			l.AttrEnd = uint32(len(b.LinkAttrs))
			b.Links = append(b.Links, l)
		}
		b.AttrEnds, b.EventEnds, b.LinkEnds = append(b.AttrEnds, uint32(len(b.AttrIDs))), append(b.EventEnds, uint32(len(b.Events))), append(b.LinkEnds, uint32(len(b.Links)))
	}
	return b
}

// lateAndTwice deals rows out to so many inputs as flushes come by them: one after another, in the last third of
// each some late, some twice.
func lateAndTwice(random *rand.Rand, b *span.Batch, inputs int) (parts [][]span.Row, all []span.Row) {
	parts = make([][]span.Row, inputs)
	for pos := range b.Len() {
		row := span.Row{Batch: b, Pos: pos}
		all = append(all, row)
		at := pos * inputs / b.Len()
		last := pos%(b.Len()/inputs) > b.Len()/inputs*2/3
		if last && random.IntN(40) == 0 {
			at = min(at+1, inputs-1)
		}
		parts[at] = append(parts[at], row)
		if last && random.IntN(100) == 0 {
			again := random.IntN(inputs)
			parts[again] = append(parts[again], row)
		}
	}
	return parts, all
}

// Rows that stand between others are copied from column to column, and what was counted of the inputs is summed:
// the rows are right, and so is all that a segment says of them. Where counters are left with the inputs, and
// where they are not, whatever stays in memory, the bytes are the same.
func TestCopiedRowsAndSumsAreThoseOfTheRows(t *testing.T) {
	for seed := range uint64(2) {
		random := rand.New(rand.NewPCG(seed, 39))
		fs := vfs.NewCrash(1)
		parts, all := lateAndTwice(random, busy(random, 84_000, seed%2 == 0), 3)
		want := distinct(all)
		var written []byte
		for _, pages := range []*segment.Pages{nil, segment.NewPages(64 << 20)} {
			var inputs []*segment.Segment
			for i, part := range parts {
				name := fmt.Sprint("in", i)
				write(t, fs, name, part, uint64(i)).Close()
				s, err := segment.OpenWith(fs, name, pages)
				if err != nil {
					t.Fatal(err)
				}
				s.Remember(countersOf(t, fs, part))
				inputs = append(inputs, s)
			}
			for _, kept := range []int{0, 64 << 20} { // bytes of row groups
				restore := compaction.LowerCache(kept, 1)
				_, err := compaction.Merge(context.Background(), fs, inputs, "out", nil)
				if restore(); err != nil {
					t.Fatal(err)
				}
				if data := bytesOf(t, fs, "out"); written == nil {
					written = data
				} else if !bytes.Equal(written, data) {
					t.Fatalf("seed %d: the bytes depend on counters, or on the order of inputs", seed)
				}
				slices.Reverse(inputs)
			}
		}
		out := openSegment(t, fs, "out")
		wantRows(t, read(t, out), want)
		if err := segment.Verify(fs, "out"); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		wholeInOneFile(t, fs, out, want)
	}
}

// countersOf gives the counters of a writer of these rows.
func countersOf(t *testing.T, fs vfs.FS, rows []span.Row) *segment.KeyCounters {
	t.Helper()
	w, err := segment.NewWriter(fs, "for counters", segment.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	rows = distinct(rows)
	var some []span.Row // as write does
	for i := 0; i < len(rows); i += len(rows)/segment.RehearsalRowsMax + 1 {
		some = append(some, rows[i])
	}
	w.Rehearse(some, len(rows))
	for _, row := range rows {
		if err := w.Add(row.TraceID(), []span.Row{row}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := fs.Remove("for counters"); err != nil {
		t.Fatal(err)
	}
	return w.KeyCounters()
}

// A trace of many row groups in each input is copied stretch by stretch: the same where no row group stays in memory
// but those that are being read, and each is unpacked into the memory of one that has gone.
func TestALongTraceIsCopiedFromColumns(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 39))
	fs := vfs.NewCrash(1)
	b := busy(random, 50_000, true)
	for pos := range b.Len() {
		if pos%3 > 0 {
			b.TraceIDs[pos], b.SpanIDs[pos] = span.TraceID{9}, span.SpanID{byte(pos), byte(pos >> 8), byte(pos >> 16), 1}
		}
	}
	parts, all := lateAndTwice(random, b, 2)
	for i := range 9_000 {
		parts[i%2] = append(parts[i%2], all[random.IntN(len(all))])
	}
	var inputs []*segment.Segment
	for i, part := range parts {
		inputs = append(inputs, write(t, fs, fmt.Sprint("in", i), part, uint64(i)))
	}
	if _, err := compaction.Merge(context.Background(), fs, inputs, "out", nil); err != nil {
		t.Fatal(err)
	}
	wantRows(t, read(t, openSegment(t, fs, "out")), distinct(all))
	if err := segment.Verify(fs, "out"); err != nil {
		t.Fatal(err)
	}
	defer compaction.LowerCache(0, 1)()
	if _, err := compaction.Merge(context.Background(), fs, inputs, "again", nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytesOf(t, fs, "out"), bytesOf(t, fs, "again")) {
		t.Error("the bytes depend on what stays in memory")
	}
}

// Wherever an input is damaged, the merge says so, or what it writes is right all the same: what finds rows
// is made anew then.
func TestADamagedInputNeverGivesWrongRowsFromColumns(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 39))
	fs := vfs.NewCrash(1)
	parts, all := lateAndTwice(random, busy(random, 36_000, true), 2)
	want := distinct(all)
	var counters []*segment.KeyCounters
	for i, part := range parts {
		write(t, fs, fmt.Sprint("in", i), part, uint64(i)).Close()
		counters = append(counters, countersOf(t, fs, part))
	}
	size, stopped := int64(len(bytesOf(t, fs, "in1"))), 0
	for at := int64(0); at < size; at += size/60 + random.Int64N(99) {
		bit := 8*at + random.Int64N(8)
		fs.FlipBit("in1", bit)
		err := mergeOpened(t, fs, counters)
		switch {
		case errors.Is(err, codec.ErrCorrupt):
			stopped++
		case err != nil:
			t.Fatalf("byte %d: %v", at, err)
		default:
			wantRows(t, read(t, openSegment(t, fs, "out")), want)
			if err := segment.Verify(fs, "out"); err != nil {
				t.Fatalf("byte %d: %v", at, err)
			}
		}
		if names, _ := fs.List("."); err != nil && slices.Contains(names, "out") {
			t.Fatalf("byte %d: the merge failed and leaves %q", at, names)
		}
		fs.FlipBit("in1", bit)
		_ = fs.Remove("out") // it is not there where the merge failed
	}
	if stopped < 30 {
		t.Fatalf("only %d of some 60 damages stopped a merge", stopped)
	}
}

// mergeOpened opens the inputs and merges them.
func mergeOpened(t *testing.T, fs vfs.FS, counters []*segment.KeyCounters) error {
	t.Helper()
	var inputs []*segment.Segment
	for i := range counters {
		s, err := segment.OpenWith(fs, fmt.Sprint("in", i), segment.NewPages(64<<20))
		if err != nil {
			return err
		}
		defer s.Close()
		s.Remember(counters[i])
		inputs = append(inputs, s)
	}
	_, err := compaction.Merge(context.Background(), fs, inputs, "out", nil)
	return err
}

// A merge tells its progress, and so sees that it is cancelled, after each 1,024 rows also where hardly any of them
// is written, and while it sums what its inputs counted.
func TestAMergeByColumnCanBeCancelledAnywhere(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 39))
	fs := vfs.NewCrash(1)
	b := busy(random, 17_000, true)
	for pos := range b.Len() {
		b.TraceIDs[pos], b.SpanIDs[pos] = span.TraceID{byte(pos / 9_000)}, span.SpanID{byte(pos), byte(pos >> 8), 1}
	}
	var rows []span.Row
	for pos := range b.Len() {
		rows = append(rows, span.Row{Batch: b, Pos: pos})
	}
	var inputs []*segment.Segment
	for i := range 3 { // all rows stand in each
		inputs = append(inputs, write(t, fs, fmt.Sprint("in", i), rows, uint64(i)))
	}
	told, last, most := 0, 0, 0
	_, err := compaction.Merge(context.Background(), fs, inputs, "out", func(done, _ int) {
		told, last, most = told+1, done, max(most, done-last)
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := len(inputs) * len(rows); last != want || most > 1024 {
		t.Fatalf("told of %d rows of %d in the end, and of %d at a time", last, want, most)
	}
	if err := fs.Remove("out"); err != nil {
		t.Fatal(err)
	}
	for at := 1; at <= told; at += 1 + at/4 {
		ctx, cancel := context.WithCancel(context.Background())
		calls := 0
		_, err := compaction.Merge(ctx, fs, inputs, "out", func(int, int) {
			if calls++; calls == at {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) || calls != at {
			t.Fatalf("cancelled at call %d: %v after %d calls", at, err, calls)
		}
		if names, _ := fs.List("."); slices.Contains(names, "out") {
			t.Fatalf("call %d: %q", at, names)
		}
	}
}

// TestSummedCellsKeepTheirBounds: a thousand cells of each of two inputs, one an hour, are too many for their rows together,
// and become few in one go.
func TestSummedCellsKeepTheirBounds(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 39))
	fs := vfs.NewCrash(1)
	var inputs []*segment.Segment
	spans := 0
	for i := range 2 {
		b := pool(random, 16_400, 1)
		var rows []span.Row
		for pos := range b.Len() {
			b.TraceIDs[pos] = span.TraceID{byte(i), byte(pos >> 8), byte(pos)}
			b.SpanIDs[pos], b.ParentIDs[pos] = span.SpanID{1}, span.SpanID{}
			b.Kinds[pos], b.Names[pos], b.ResourceIDs[pos] = 1, b.Names[0], b.ResourceIDs[0]
			b.Starts[pos] = 1_699_999_200_000_000_000 + uint64(1000*i+pos%1000)*uint64(time.Hour)
			b.Ends[pos] = b.Starts[pos] + 5000
			rows = append(rows, span.Row{Batch: b, Pos: pos})
		}
		spans += len(rows)
		inputs = append(inputs, write(t, fs, fmt.Sprint("in", i), rows, uint64(i)))
	}
	if _, err := compaction.Merge(t.Context(), fs, inputs, "out", nil); err != nil {
		t.Fatal(err)
	}
	cells, err := openSegment(t, fs, "out").OperationCells()
	if err != nil || cells == nil {
		t.Fatal(cells, err)
	}
	if most := max(1024, spans/32); cells.Len() > most {
		t.Errorf("%d cells for %d spans, want %d at most", cells.Len(), spans, most)
	}
	if err := segment.Verify(fs, "out"); err != nil {
		t.Error(err)
	}
}
