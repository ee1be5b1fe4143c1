package segment_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// A million distinct keys cost bytes, not columns: beyond 4,096 the rest stand in a map
// column, and every answer stays right.
func TestKeysBeyondTheColumnsComeBackExactly(t *testing.T) {
	o := newOdd(21)
	o.keys, o.traces = 3000, 50 // times 11 types and 3 levels
	traces := inOrder(o.batch(5000), o.batch(2000))
	m := vfs.NewCrash(1)
	info := write(t, m, "s", traces, 100)
	s := open(t, m, "s")
	defer s.Close()
	wantContents(t, s, traces)
	wantIndex(t, s, info, traces)
	keys := map[string]bool{"key.2999": true, "key.7": true, "": true}
	for i := range s.Groups() {
		whole, err := s.ReadGroup(i, segment.Projection{All: true})
		if err != nil {
			t.Fatal(err)
		}
		p := segment.Projection{Attrs: true, Events: true, Links: true, Keys: keys}
		b, err := s.ReadGroup(i, p)
		if err != nil {
			t.Fatal(err)
		}
		want, got := told(whole, p), told(b, p)
		for row := range want {
			if want[row] != got[row] {
				t.Fatalf("row %d of group %d:\n got %s\nwant %s", row, i, got[row], want[row])
			}
		}
	}
	if err := segment.Verify(m, "s"); err != nil {
		t.Fatal(err)
	}
}

// A map column comes back even where all that stands in it are attributes without value.
func TestAKeyWithoutValueInTheMapColumnComesBackExactly(t *testing.T) {
	b := newOdd(1).batch(0)
	for i := range 4100 {
		b.AddAttr(span.Attr{Key: b.AddText(fmt.Append(nil, "key ", i)), Type: span.NoValue})
	}
	o := newOdd(2)
	o.row(b)
	traces := inOrder(b)
	m := vfs.NewCrash(1)
	write(t, m, "s", traces, 1)
	s := open(t, m, "s")
	defer s.Close()
	wantContents(t, s, traces)
}

// A trace longer than a row group stands in several; parents in the same group are rows,
// others literal, and all come back.
func TestATraceLongerThanARowGroupComesBackExactly(t *testing.T) {
	o := newOdd(4)
	o.traces = 1
	b := o.batch(0)
	for i := range 20_000 {
		o.row(b)
		last := b.Len() - 1
		b.TraceIDs[last] = span.TraceID{15: 7}
		binary.BigEndian.PutUint64(b.SpanIDs[last][:], uint64(i+1))
		binary.BigEndian.PutUint64(b.ParentIDs[last][:], uint64(i*7919%20_011)) // some nowhere, one zero
		b.Starts[last] = uint64(i / 3)
	}
	traces := inOrder(b)
	m := vfs.NewCrash(1)
	info := write(t, m, "s", traces, 700)
	if info.Groups < 5 {
		t.Fatalf("%d row groups only", info.Groups)
	}
	s := open(t, m, "s")
	defer s.Close()
	wantContents(t, s, traces)
	wantIndex(t, s, info, traces)
}

// Large rows close a row group early: what is held in memory stays bounded.
func TestLargeRowsCloseARowGroupEarly(t *testing.T) {
	o := newOdd(6)
	b := o.batch(0)
	for i := range 80 {
		b.AddAttr(span.Attr{
			Key: b.AddText([]byte("body")), Type: span.StringValue, Value: uint64(b.AddText(bytes.Repeat(fmt.Append(nil, i), 300_000))),
		})
		o.row(b)
	}
	traces := inOrder(b)
	m := vfs.NewCrash(1)
	info := write(t, m, "s", traces, 100)
	if info.Groups < 2 {
		t.Fatalf("%d rows of 600 KB stand in %d row group", info.Rows, info.Groups)
	}
	s := open(t, m, "s")
	defer s.Close()
	wantContents(t, s, traces)
}

// So do large names, which stand in templates of the row group's own: a merge has thousands
// of rows a group, each with a name of a MiB if somebody sends them.
func TestLargeNamesCloseARowGroupEarly(t *testing.T) {
	o := newOdd(6)
	b := o.batch(0)
	for i := range 120 {
		o.row(b)
		b.Names[i] = b.AddText(bytes.Repeat(fmt.Append(nil, "name ", i), 40_000))
	}
	traces := inOrder(b)
	m := vfs.NewCrash(1)
	info := write(t, m, "s", traces, 100)
	if info.Groups < 2 {
		t.Fatalf("%d rows with names of 300 KB stand in %d row group", info.Rows, info.Groups)
	}
	s := open(t, m, "s")
	defer s.Close()
	wantContents(t, s, traces)
	if err := segment.Verify(m, "s"); err != nil {
		t.Fatal(err)
	}
}

// A writer refuses what would make a segment wrong, and leaves nothing.
func TestRowsOutOfOrderAreRefused(t *testing.T) {
	o := newOdd(8)
	o.traces = 5
	good := inOrder(o.batch(60))
	if len(good) < 3 || len(good[0].rows) < 2 {
		t.Fatal("too little to put in disorder")
	}
	backward := trace{good[0].id, []span.Row{good[0].rows[len(good[0].rows)-1], good[0].rows[0]}}
	for name, traces := range map[string][]trace{
		"traces swapped": {good[1], good[0]},
		"rows swapped":   {backward},
		"a trace twice":  {good[0], good[1], {good[0].id, good[1].rows[len(good[1].rows)-1:]}},
	} {
		m := vfs.NewCrash(1)
		if err := writeAll(m, traces); err == nil {
			t.Errorf("%s: written all the same", name)
		}
		if names, _ := m.List("."); len(names) > 0 {
			t.Errorf("%s: %q stay", name, names)
		}
	}
}

// A segment without rows is a segment too.
func TestAnEmptySegmentIsReadable(t *testing.T) {
	m := vfs.NewCrash(1)
	info := write(t, m, "s", nil, 1)
	s := open(t, m, "s")
	defer s.Close()
	wantIndex(t, s, info, nil)
	if min, max := s.Info().MinStart, s.Info().MaxStart; min != 1 || max != 0 || s.Groups() != 0 {
		t.Fatalf("starts from %d to %d, %d groups", min, max, s.Groups())
	}
	if err := segment.Verify(m, "s"); err != nil {
		t.Fatal(err)
	}
}

// A segment reads on when its file is unlinked; its use after Close is noticed.
func TestASegmentIsOpenUntilItsClose(t *testing.T) {
	m := vfs.NewCrash(1)
	traces := inOrder(newOdd(3).batch(50))
	write(t, m, "s", traces, 10)
	s := open(t, m, "s")
	if err := m.Remove("s"); err != nil {
		t.Fatal(err)
	}
	wantContents(t, s, traces)
	s.Close()
	for i, wrong := range []func(){func() { _, _ = s.ReadGroup(0, segment.Projection{}) }, s.Close} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("use %d after Close is not noticed", i)
				}
			}()
			wrong()
		}()
	}
}
