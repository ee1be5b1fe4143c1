package segment_test

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// spelling writes an attribute as text that tells all of it, and refuses keys and values.
type spelling struct{ key, text string }

func (s spelling) AppendKey(dst, key []byte) ([]byte, bool) {
	if s.key != "" && string(key) == s.key {
		return dst, false
	}
	return fmt.Appendf(dst, "%q", key), true
}

func (s spelling) AppendAttr(dst, key []byte, kind span.ValueType, number uint64, text []byte) ([]byte, bool) {
	if s.text != "" && kind.HasText() && string(text) == s.text {
		return dst, false
	}
	return fmt.Appendf(dst, "[%s %d %d %q]", key, kind, number, text), true
}

// spelled is what a row's list comes to; ok is false where some attribute is refused.
func (s spelling) spelled(r span.Row) (out []byte, ok bool) {
	for _, a := range r.AppendAttrs(nil) {
		key, ok := s.AppendKey(nil, r.Batch.Bytes(a.Key))
		if !ok {
			return nil, false
		}
		number, text := a.Value, []byte(nil)
		if a.Type.HasText() {
			number, text = 0, r.Batch.Bytes(span.TextID(a.Value))
		}
		if out, ok = s.AppendAttr(out, key, a.Type, number, text); !ok {
			return nil, false
		}
	}
	return out, true
}

// wantWritten reads rows [from, to) of a group with a writer, and wants what lists say: it gives
// whether they were written.
func wantWritten(t *testing.T, s *segment.Segment, group, from, to int, w spelling) bool {
	t.Helper()
	want, err := s.ReadRows(group, from, to, segment.Projection{All: true})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.ReadRows(group, from, to, segment.Projection{All: true, Write: w})
	if err != nil {
		t.Fatal(err)
	}
	written, may := got.WrittenEnds != nil, true
	for pos := range want.Len() {
		spelled, ok := w.spelled(span.Row{Batch: want, Pos: pos})
		may = may && ok
		if have, isWritten := (span.Row{Batch: got, Pos: pos}).WrittenAttrs(); isWritten && (!ok || !bytes.Equal(have, spelled)) {
			t.Fatalf("row %d of group %d:\n got %q\nwant %q", from+pos, group, have, spelled)
		}
	}
	if written && !may {
		t.Fatalf("rows %d to %d of group %d are written, which a writer refused", from, to, group)
	}
	p := segment.Projection{Times: true, Names: true, Identity: true, Events: true, Links: true, Attrs: !written}
	if !slices.Equal(told(want, p), told(got, p)) {
		t.Fatalf("rows %d to %d of group %d are others", from, to, group)
	}
	for pos := range want.Len() {
		one := [...]any{want.Flags[pos], want.DroppedAttrs[pos], want.DroppedEvents[pos], want.DroppedLinks[pos], string(want.Bytes(want.TraceStates[pos])), string(want.Bytes(want.Residues[pos]))}
		two := [...]any{got.Flags[pos], got.DroppedAttrs[pos], got.DroppedEvents[pos], got.DroppedLinks[pos], string(got.Bytes(got.TraceStates[pos])), string(got.Bytes(got.Residues[pos]))}
		if one != two {
			t.Fatalf("row %d of group %d: %v, want %v", from+pos, group, two, one)
		}
	}
	return written
}

// TestWrittenAttributesSayWhatListsSay: in templates that row groups share and in those of their own,
// with values in columns and in the map column, of any part of a row group, again and again; where
// the writer refuses a key or a value, rows have lists.
func TestWrittenAttributesSayWhatListsSay(t *testing.T) {
	for _, bytesMax := range []int{-1, 0, 64 << 10, 64 << 20} {
		t.Run(fmt.Sprint(bytesMax, " bytes of pages"), func(t *testing.T) {
			taken := map[bool]int{}
			for seed := range uint64(4) {
				o := newOdd(seed)
				if o.traces = 40; seed == 3 {
					o.keys = 3000 // most are in the map column
				}
				m := vfs.NewCrash(1)
				write(t, m, "s", inOrder(o.batch(1500), o.batch(300)), 100)
				var pages *segment.Pages
				if bytesMax >= 0 {
					pages = segment.NewPages(bytesMax)
				}
				for _, w := range []spelling{{}, {key: "key.3"}, {text: "text 4"}, {key: "key.2999"}} {
					s, err := segment.OpenWith(m, "s", pages)
					if err != nil {
						t.Fatal(err)
					}
					for i := range s.Groups() {
						rows := s.Group(i).Rows
						taken[wantWritten(t, s, i, 0, rows, w)]++
						for range 40 {
							from := o.IntN(rows)
							taken[wantWritten(t, s, i, from, from+1+o.IntN(min(rows-from, 9)), w)]++
						}
					}
					s.Close()
				}
			}
			if taken[true] < 100 || taken[false] < 100 {
				t.Errorf("%d reads were written, %d were not", taken[true], taken[false])
			}
		})
	}
}

// TestAttributesThatTakeMuchStandInLists: of one row, and of many together, however often they
// would be repeated.
func TestAttributesThatTakeMuchStandInLists(t *testing.T) {
	for name, c := range map[string]struct {
		attrs, bytes, rows int
		written            bool
	}{
		"one row's":       {1, 70_000, 3, false},
		"many a row":      {1000, 100, 3, false},
		"nearly too much": {1, 60_000, 3, true},
		"rows together":   {100, 200, 3000, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOdd(1)
			o.traces = 1
			b := o.batch(0)
			text := b.AddText(bytes.Repeat([]byte("x"), c.bytes))
			for range c.rows {
				for i := range c.attrs {
					b.AddAttr(span.Attr{Key: b.AddText(fmt.Append(nil, "key ", i)), Type: span.StringValue, Value: uint64(text)})
				}
				o.row(b)
				b.TraceIDs[b.Len()-1] = span.TraceID{1}
			}
			m := vfs.NewCrash(1)
			write(t, m, "s", inOrder(b), 100)
			s := open(t, m, "s")
			defer s.Close()
			if got := wantWritten(t, s, 0, 0, s.Group(0).Rows, spelling{}); got != c.written {
				t.Errorf("written: %v, want %v", got, c.written)
			}
		})
	}
}

// TestACursorReadsRowsWholeFromAnyOn: those with lists are the same rows, and the row at hand is the
// first of them.
func TestACursorReadsRowsWholeFromAnyOn(t *testing.T) {
	o := newOdd(5)
	o.traces, o.keys = 3, 4
	m := vfs.NewCrash(1)
	write(t, m, "s", inOrder(o.batch(6000)), 100)
	s, err := segment.OpenWith(m, "s", segment.NewPages(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	content := func(r span.Row) string { return string(span.AppendContent(nil, r)) }
	for i := range s.TraceCount() {
		var want []string
		for c := s.Trace(i, segment.Projection{All: true}); c.Next(); {
			want = append(want, content(c.Row()))
		}
		for _, at := range []int{0, 1, len(want) / 3, len(want) - 1, len(want)} {
			n := 0
			c := s.Trace(i, segment.Projection{All: true, Write: spelling{}})
			for c.Next() {
				if n == at {
					if err := c.Whole(); err != nil {
						t.Fatal(err)
					}
				}
				if _, written := c.Row().WrittenAttrs(); written == (n >= at) {
					t.Fatalf("row %d of %d is written: %v; all from %d on are to be whole", n, len(want), written, at)
				} else if !written && content(c.Row()) != want[n] {
					t.Fatalf("row %d of %d is another one, whole from %d on", n, len(want), at)
				}
				n++
			}
			if n != len(want) || c.Err() != nil {
				t.Fatalf("%d of %d rows, %v", n, len(want), c.Err())
			}
		}
	}
}

// TestReadersShareWrittenTemplates, also while they are dropped all the time.
func TestReadersShareWrittenTemplates(t *testing.T) {
	m := vfs.NewCrash(1)
	o := newOdd(9)
	o.traces, o.keys = 60, 5
	write(t, m, "s", inOrder(o.batch(3000)), 100)
	for _, bytesMax := range []int{0, 256 << 10, 64 << 20} {
		s, err := segment.OpenWith(m, "s", segment.NewPages(bytesMax))
		if err != nil {
			t.Fatal(err)
		}
		var want [][]byte
		for c := s.Trace(0, segment.Projection{All: true}); c.Next(); {
			row, _ := spelling{}.spelled(c.Row())
			want = append(want, row)
		}
		var readers sync.WaitGroup
		for range 6 {
			readers.Go(func() {
				for range 20 {
					n := 0
					for c := s.Trace(0, segment.Projection{All: true, Write: spelling{}}); c.Next(); n++ {
						if row, ok := c.Row().WrittenAttrs(); !ok || !bytes.Equal(row, want[n]) {
							t.Errorf("row %d: %q, want %q", n, row, want[n])
							return
						}
					}
					if n != len(want) {
						t.Errorf("%d rows, want %d", n, len(want))
					}
				}
			})
		}
		readers.Wait()
		s.Close()
	}
}
