package segment_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// turns is odd spans of which every other row group has no events, every third no links, every fourth no
// residues: what one has must not be found in the next.
func turns(seed uint64, each int) *span.Batch {
	o := newOdd(seed)
	o.traces = 40
	b := o.consistent(each * 16)
	slices.Sort(b.Starts)
	eventsBefore, linksBefore := uint32(0), uint32(0)
	var events []span.Event
	var links []span.Link
	for pos := range b.Len() {
		b.TraceIDs[pos], b.Ends[pos] = span.TraceID{14: byte(pos >> 8), 15: byte(pos)}, b.Starts[pos]+5
		group := pos / each
		if group%2 == 0 {
			events = append(events, b.Events[eventsBefore:b.EventEnds[pos]]...)
		}
		if group%3 == 0 {
			links = append(links, b.Links[linksBefore:b.LinkEnds[pos]]...)
		}
		if group%4 > 0 {
			b.Residues[pos], b.StatusMessages[pos], b.TraceStates[pos] = 0, 0, 0
		}
		eventsBefore, linksBefore = b.EventEnds[pos], b.LinkEnds[pos]
		b.EventEnds[pos], b.LinkEnds[pos] = uint32(len(events)), uint32(len(links))
	}
	for i := range events { // each has the attributes up to its end: those of left out ones are its own now
		if i%2 == 0 {
			events[i].Residue = b.AddText(fmt.Append(nil, "residue of event ", i))
		}
	}
	for i := range links {
		links[i].Residue = b.AddText(fmt.Append(nil, "residue of link ", i))
	}
	b.Events, b.Links = events, links
	return b
}

// copyColumns writes what a segment has from its columns, all read into the same memory.
func copyColumns(fs vfs.FS, s *segment.Segment, name string) error {
	w, err := segment.NewWriter(fs, name, meta())
	if err != nil {
		return err
	}
	defer w.Abort()
	var c *segment.Columns
	for i := range s.Groups() {
		if !s.HasColumns(i) || !w.TakesRows(s, i) {
			return fmt.Errorf("row group %d is not copied", i)
		}
		if c, err = s.ReadColumns(i, c); err != nil {
			return err
		}
		g := s.Group(i)
		for row := g.FirstRow; row < g.FirstRow+g.Rows; {
			trace := s.TraceAtRow(row)
			first, rows := s.TraceRows(trace)
			end := min(first+rows, g.FirstRow+g.Rows)
			if err := w.AddColumns(s.TraceID(trace), c, row-g.FirstRow, end-g.FirstRow); err != nil {
				return err
			}
			row = end
		}
	}
	_, err = w.Finish()
	return err
}

// The memory of one row group serves the next one, which has nothing of it.
func TestColumnsHaveNothingOfTheRowGroupBefore(t *testing.T) {
	for seed := range uint64(40) {
		restore := segment.LowerMergeRows(1, 20)
		fs := vfs.NewCrash(1)
		traces := inOrder(turns(seed, 20))
		write(t, fs, "s", traces, 100)
		s := open(t, fs, "s")
		if err := copyColumns(fs, s, "copy"); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		wantContents(t, open(t, fs, "copy"), traces)
		if err := segment.Verify(fs, "copy"); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		s.Close()
		restore()
	}
}

// Whatever stands in a page of an input under a right checksum, a merge of it by column answers or refuses.
func TestForgedPagesAreCopiedByColumnOrRefused(t *testing.T) {
	defer segment.LowerMergeRows(1, 9)()
	in := newOddInputs(3)
	in.fill, in.parts = false, in.parts[:0]
	for pos := range min(in.all.Len(), 40) {
		in.parts = append(in.parts, nil, nil)[:2]
		row := span.Row{Batch: in.all, Pos: pos}
		in.parts[pos%2] = append(in.parts[pos%2], row)
		if pos%5 == 0 {
			in.parts[1-pos%2] = append(in.parts[1-pos%2], row)
		}
	}
	fs := vfs.NewCrash(1)
	counters := []*segment.KeyCounters{in.writeInput(t, fs, 0), in.writeInput(t, fs, 1)}
	other := bytesOf(t, fs, "in1")
	step := 97
	if testing.Short() {
		step = 487
	}
	if os.Getenv("STOA_TEST_SEEDS") != "" {
		step = 1
	}
	changes := map[string]func([]byte, int) []byte{
		"low bit":  func(b []byte, at int) []byte { b[at] ^= 1; return b },
		"high bit": func(b []byte, at int) []byte { b[at] ^= 0x80; return b },
		"all ones": func(b []byte, at int) []byte { b[at] = 0xff; return b },
		"cut":      func(b []byte, at int) []byte { return b[:at] },
		"left out": func(b []byte, at int) []byte { return slices.Delete(b, at, at+1) },
	}
	merged, refused := 0, 0
	bear := func(what string, data []byte) {
		if bearMerge(t, what, data, other, counters) {
			merged++
		} else {
			refused++
		}
	}
	for at, size := 0, 1; at < size; at++ { // which columns have pages, and of what, says the list of row groups
		data, _ := segment.ForgeSection(fs, "in0", "row groups", func(payload []byte) []byte {
			payload, size = slices.Clone(payload), len(payload)
			payload[at] ^= 1
			return payload
		})
		bear(fmt.Sprintf("row groups, byte %d", at), data)
	}
	for i, name := range slices.Sorted(maps.Keys(changes)) {
		for page, more := 0, true; more; page++ {
			for at, size := (page+i)%step, 1<<20; more && at < size; at += step {
				var data []byte
				data, more = segment.Forge(fs, "in0", page, func(payload []byte) []byte {
					payload = slices.Clone(payload)
					if size = len(payload); at >= size {
						return payload
					}
					return changes[name](payload, at)
				})
				if more {
					bear(fmt.Sprintf("%s: page %d, byte %d", name, page, at), data)
				}
			}
		}
	}
	if merged < 20 || refused < 20 {
		t.Errorf("%d merged, %d refused: this shows little", merged, refused)
	}
}

// bearMerge merges a forged file with another one, and tells whether that went well. What comes of it can be
// opened, and what it says of its rows is not refused.
func bearMerge(t *testing.T, what string, data, other []byte, counters []*segment.KeyCounters) bool {
	t.Helper()
	m := with(t, "forged.seg", data)
	file, err := m.Create("in1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(other, 0); err != nil {
		t.Fatal(err)
	}
	if s, err := segment.Open(m, "forged.seg"); err == nil {
		err := copyColumns(m, s, "copy")
		if errors.Is(err, codec.ErrCorrupt) && !strings.Contains(err.Error(), "forged.seg: offset ") {
			t.Fatalf("%s: %v", what, err)
		}
		for i := range s.Groups() {
			if _, refused := s.ReadGroup(i, segment.Projection{All: true}); refused != nil && err == nil {
				t.Fatalf("%s: columns are copied of which rows are refused: %v", what, refused)
			}
		}
		s.Close()
	}
	out, err := mergedFrom(t, m, "out", []string{"forged.seg", "in1"}, counters)
	if err != nil {
		if strings.Contains(err.Error(), "out: offset") || !errors.Is(err, codec.ErrCorrupt) && !strings.Contains(err.Error(), "out of order") && !strings.Contains(err.Error(), "comes after") {
			t.Fatalf("%s: what is written is refused: %v", what, err)
		}
		return false
	}
	defer out.Close()
	for _, read := range []func() (*segment.Cells, error){out.EdgeCells, out.OperationCells} {
		if _, err := read(); err != nil {
			t.Fatalf("%s: cells that are written are refused: %v", what, err)
		}
	}
	for i := range out.Groups() {
		if _, err := out.ReadGroup(i, segment.Projection{All: true}); err != nil {
			t.Fatalf("%s: rows that are written are refused: %v", what, err)
		}
	}
	return true
}
