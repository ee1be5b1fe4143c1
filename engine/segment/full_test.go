package segment_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// plainRows gives spans with a few attributes and nothing else, in traces of so many that begin one after another.
// attrs adds those of a row.
func plainRows(o *odd, rows, traceRows int, attrs func(b *span.Batch, pos int)) *span.Batch {
	b := o.consistent(rows)
	b.AttrIDs, b.AttrEnds, b.Attrs, b.Events, b.EventAttrs, b.Links, b.LinkAttrs = nil, nil, nil, nil, nil, nil, nil
	for pos := range rows {
		attrs(b, pos)
		b.AttrEnds = append(b.AttrEnds, uint32(len(b.AttrIDs)))
		b.EventEnds[pos], b.LinkEnds[pos] = 0, 0
		b.Flags[pos], b.Kinds[pos], b.StatusCodes[pos], b.StatusPresent[pos], b.ScopeIDs[pos] = 0, 1, 0, false, 0
		b.DroppedAttrs[pos], b.DroppedEvents[pos], b.DroppedLinks[pos] = 0, 0, 0
		b.Names[pos], b.StatusMessages[pos], b.TraceStates[pos], b.Residues[pos] = 0, 0, 0, 0
		trace := pos / traceRows
		b.TraceIDs[pos] = span.TraceID{13: byte(trace >> 16), 14: byte(trace >> 8), 15: byte(trace)}
		b.SpanIDs[pos] = span.SpanID{byte(pos), byte(pos >> 8), byte(pos >> 16), 1}
		b.Starts[pos] = 1_700_000_000_000_000_000 + uint64(trace)*1000 + uint64(pos%traceRows)
		b.Ends[pos] = b.Starts[pos] + 1000
	}
	return b
}

// fiveOf adds five attributes of a row, of so many keys from the first one on; the fourth is a text.
func (o *odd) fiveOf(b *span.Batch, first, keys int) {
	schema := o.IntN(keys / 5)
	for k := range 5 {
		a := span.Attr{Key: b.AddText(fmt.Append(nil, "wide.", first+schema*5+k)), Type: span.IntValue, Value: o.Uint64()}
		if k == 3 {
			a.Type, a.Value = span.StringValue, uint64(b.AddText(fmt.Append(nil, "value ", a.Value)))
		}
		b.AddAttr(a)
	}
}

// wantMerged writes the parts, merges them and fails unless the rows are right, and all that the file says of them;
// how many row groups have templates of their own, or attributes in map columns, and how many have none, says back.
func wantMerged(t *testing.T, in *oddInputs, rehearse bool) (fs *vfs.Crash, names []string, counters []*segment.KeyCounters, own, plain int) {
	t.Helper()
	fs = vfs.NewCrash(1)
	var all []span.Row
	for i, part := range in.parts {
		m := meta()
		m.FirstSeq, m.LastSeq = uint64(10*i), uint64(10*i+9)
		w, err := segment.NewWriter(fs, fmt.Sprint("in", i), m)
		if err != nil {
			t.Fatal(err)
		}
		if rehearse {
			w.Rehearse(part[:min(len(part), segment.RehearsalRowsMax)], len(part))
		}
		for _, trace := range tracesOf(part) {
			if err := w.Add(trace.id, trace.rows); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		counters, names, all = append(counters, w.KeyCounters()), append(names, fmt.Sprint("in", i)), append(all, part...)
	}
	out, err := mergedFrom(t, fs, "out", names, counters)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for i := range out.Groups() {
		if out.HasColumns(i) {
			plain++
		} else {
			own++
		}
	}
	wantContents(t, out, tracesOf(all))
	if err := segment.Verify(fs, "out"); err != nil {
		t.Errorf("%.500v", err)
	}
	return fs, names, counters, own, plain
}

// Where inputs have more templates together than a segment may have, rows are copied as long as there is room, and
// described after that.
func TestRowsAreCopiedUntilTemplatesAreFull(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: seconds, for 65,536 templates")
	}
	defer segment.LowerMergeRows(1, 64)()
	const inputs, each = 170, 400
	b := plainRows(newOdd(1), inputs*each, 7, func(*span.Batch, int) {})
	in := &oddInputs{all: b, parts: make([][]span.Row, inputs)}
	for pos := range b.Len() {
		b.Names[pos] = b.AddText(fmt.Append(nil, "name ", pos))
		row, at := span.Row{Batch: b, Pos: pos}, pos*inputs/b.Len()
		if pos%3 == 0 {
			at = min(at+1, inputs-1)
		}
		in.parts[at] = append(in.parts[at], row)
		if pos%11 == 0 && at > 0 {
			in.parts[at-1] = append(in.parts[at-1], row)
		}
	}
	if _, _, _, own, plain := wantMerged(t, in, false); own == 0 || plain < own {
		t.Errorf("%d row groups have templates of their own, %d have none", own, plain)
	}
}

// Where inputs have more columns together than a segment may have, what an input is copied of as long as its
// columns fit goes to map columns after that.
func TestRowsAreCopiedUntilColumnsAreFull(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: a second, for 4,096 columns")
	}
	defer segment.LowerMergeRows(1, 500)()
	const inputs, keys, each = 4, 1300, 2000
	of := func(pos int) int { // only one input has rows of the first traces
		if pos < 3000 {
			return 0
		}
		return pos % inputs
	}
	o := newOdd(7)
	b := plainRows(o, inputs*each, 9, func(b *span.Batch, pos int) { o.fiveOf(b, of(pos)*keys, keys) })
	in := &oddInputs{all: b, parts: make([][]span.Row, inputs)}
	for pos := range b.Len() {
		row, at := span.Row{Batch: b, Pos: pos}, of(pos)
		in.parts[at] = append(in.parts[at], row)
		if pos%13 == 0 {
			in.parts[(at+1)%inputs] = append(in.parts[(at+1)%inputs], row)
		}
	}
	fs, names, counters, own, plain := wantMerged(t, in, true)
	if own == 0 || plain == 0 {
		t.Errorf("%d row groups have map columns, %d have none", own, plain)
	}
	again, err := mergedFrom(t, fs, "again", names, nil)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if !bytes.Equal(bytesOf(t, fs, "out"), bytesOf(t, fs, "again")) {
		t.Errorf("the bytes depend on the counters of %d inputs", len(counters))
	}
}

// Columns that inputs share are counted once: two inputs of 2,500 are copied as they fit, and one of 2,500 others
// is not, whatever was asked before.
func TestSharedColumnsAreCountedOnce(t *testing.T) {
	defer segment.LowerMergeRows(1, 4096)()
	const keys = 2500
	fs := vfs.NewCrash(1)
	var inputs []*segment.Segment
	for i, first := range []int{0, 0, keys} {
		b := plainRows(newOdd(7), keys/5, 4, func(b *span.Batch, pos int) {
			for k := range 5 {
				key := b.AddText(fmt.Append(nil, "wide.", first+5*pos+k))
				b.AddAttr(span.Attr{Key: key, Type: span.IntValue, Value: uint64(k)})
			}
		})
		for pos := range b.Len() { // one after another
			b.TraceIDs[pos][0] = byte(i)
			b.Starts[pos] += uint64(i) << 40
			b.Ends[pos] += uint64(i) << 40
		}
		name := fmt.Sprint("in", i)
		write(t, fs, name, inOrder(b), 100)
		s := open(t, fs, name)
		defer s.Close()
		inputs = append(inputs, s)
	}
	w, err := segment.NewWriter(fs, "some", meta())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	wantTaken := func(want ...bool) {
		t.Helper()
		for i, s := range inputs {
			if got := w.TakesRows(s, 0); got != want[i] {
				t.Errorf("rows of input %d are copied: %v", i, got)
			}
		}
	}
	wantTaken(true, true, true) // each alone
	for i := range inputs[:2] {
		if taken, err := w.AddGroup(inputs[i], 0); !taken || err != nil {
			t.Fatal(taken, err)
		}
		wantTaken(true, true, false)
	}
}

// oneAfterAnother deals traces of 20 keys out to two inputs, of which one begins where the other ends: their row
// groups are taken over, and so are filters.
func oneAfterAnother(rowsEach int) *oddInputs {
	o := newOdd(7)
	b := plainRows(o, 2*rowsEach, 4, func(b *span.Batch, _ int) { o.fiveOf(b, 0, 20) })
	in := &oddInputs{odd: o, all: b, parts: make([][]span.Row, 2)}
	for pos := range b.Len() {
		in.parts[pos/rowsEach] = append(in.parts[pos/rowsEach], span.Row{Batch: b, Pos: pos})
	}
	return in
}

// Whatever stands in the filters of an input under a right checksum, the rows of a merge are right: filters that
// cannot be are made anew, and others are carried on, which verify tells.
func TestForgedFiltersAreCarriedOnOrMadeAnew(t *testing.T) {
	defer segment.LowerMergeRows(1, 4096)() // smaller row groups are not taken over
	in := oneAfterAnother(4096 * 5)
	fs, names, counters, _, _ := wantMerged(t, in, true)
	other, traces := bytesOf(t, fs, "in1"), inOrder(in.all)
	merged := func(change func(payload []byte)) (out []byte, wrong error) {
		data, ok := segment.ForgeSection(fs, "in0", "filters", func(payload []byte) []byte {
			payload = slices.Clone(payload)
			change(payload)
			return payload
		})
		if !ok {
			t.Fatal("there are no filters")
		}
		m := with(t, "in0", data)
		file, err := m.Create("in1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(other, 0); err != nil {
			t.Fatal(err)
		}
		s, err := mergedFrom(t, m, "out", names, counters)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		wantContents(t, s, traces)
		return bytesOf(t, m, "out"), segment.Verify(m, "out")
	}
	size := 0
	whole, err := merged(func(payload []byte) { size = len(payload) })
	if err != nil {
		t.Fatal(err)
	}
	carried, made := 0, 0
	for at := 0; at < size; at += 1 + size/5 {
		data, err := merged(func(payload []byte) { payload[at] ^= 0x40 })
		switch {
		case err != nil && strings.Contains(err.Error(), "filter"):
			carried++
		case err != nil:
			t.Errorf("byte %d: %v", at, err)
		case bytes.Equal(data, whole):
			made++
		}
	}
	if carried == 0 || made == 0 {
		t.Errorf("%d filters were carried on, %d made anew", carried, made)
	}
}

// What filters of inputs take while they are held is counted with what tells where each is.
func TestHeldFiltersAreCountedByRowGroup(t *testing.T) {
	defer segment.LowerMergeRows(1, 64)()
	fs, names, counters, _, _ := wantMerged(t, oneAfterAnother(64*40), true)
	s, err := segment.OpenWith(fs, names[0], segment.NewPages(32<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Remember(counters[0])
	w, err := segment.NewWriter(fs, "some", meta())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if summed, err := w.SumKeys([]*segment.Segment{s}, func() error { return nil }); !summed || err != nil {
		t.Fatal(summed, err)
	}
	for i := range s.Groups() {
		if want := s.FilterBytes() + 20*24*s.Groups(); i > 0 && w.HeldFilterBytes() != want {
			t.Fatalf("row group %d: %d bytes are held, not %d", i, w.HeldFilterBytes(), want)
		}
		if taken, err := w.AddGroup(s, i); !taken || err != nil {
			t.Fatal(taken, err)
		}
	}
	if w.HeldFilterBytes() != 0 {
		t.Errorf("%d bytes in the end", w.HeldFilterBytes())
	}
}
