package segment_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// wantFew asks of a few rows of each row group what is asked of all: the answers are the same.
func wantFew(t rapid.TB, s *segment.Segment) {
	t.Helper()
	for i := range s.Groups() {
		n, words := s.Group(i).Rows, (s.Group(i).Rows+63)/64
		for _, step := range []int{1, 3, 61, 997} {
			among := make([]uint64, words)
			for row := i % step; row < n; row += step {
				among[row/64] |= 1 << (row % 64)
			}
			wantFewNumbers(t, s.Scan(i), n, among)
			wantFewCodes(t, s.Scan(i), words, step)
			g := s.Scan(i) // one for all columns: it opens the row group's codes once
			for _, id := range s.AttributeColumns() {
				if level, _, _ := s.Column(id); level == span.SpanLevel {
					wantFewValues(t, g, id, among)
				}
			}
		}
	}
}

// Values that stand with rows are the same for few rows as for all: numbers, texts that repeat and that
// do not, keys that come twice in a span or not at all.
func TestFewRowsAreToldAsAllAre(t *testing.T) {
	const rows = 9000
	b := calling(rows, 9, func(row int) uint64 { return uint64(row * row % 1_000_003) })
	text := func(words ...any) uint64 { return uint64(b.AddText(fmt.Append(nil, words...))) }
	number, route, order, twice := span.TextID(text("number")), span.TextID(text("route")), span.TextID(text("order")), span.TextID(text("twice"))
	b.AttrEnds = make([]uint32, rows)
	for row := range b.AttrEnds {
		b.AddAttr(span.Attr{Key: number, Type: span.IntValue, Value: uint64(row * 7919 % 90)})
		b.AddAttr(span.Attr{Key: order, Type: span.StringValue, Value: text("order ", row)})
		if row%3 > 0 {
			b.AddAttr(span.Attr{Key: route, Type: span.StringValue, Value: text("route ", row*31%57)})
		}
		if row%5 == 0 {
			b.AddAttr(span.Attr{Key: twice, Type: span.IntValue, Value: uint64(row * 13 % 701)})
			b.AddAttr(span.Attr{Key: twice, Type: span.IntValue, Value: uint64(row * 17 % 701)})
		}
		b.AttrEnds[row] = uint32(len(b.AttrIDs))
	}
	fs := vfs.NewCrash(1)
	w, err := segment.NewWriter(fs, "s", meta())
	if err != nil {
		t.Fatal(err)
	}
	traces, all := inOrder(b), []span.Row(nil)
	for _, trace := range traces {
		all = append(all, trace.rows...)
	}
	w.Rehearse(all, len(all))
	for _, trace := range traces {
		if err := w.Add(trace.id, trace.rows); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	s := open(t, fs, "s")
	defer s.Close()
	standing := 0
	for _, id := range s.AttributeColumns() {
		found, err := s.Scan(1).ItemsWhere(nil, id, func([]byte) bool { return true }, func(uint64) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		standing += min(1, len(found))
	}
	if standing < 3 {
		t.Fatalf("values of %d columns stand with rows", standing)
	}
	wantFew(t, s)
}

// wantFewNumbers compares starts, lengths and resources.
func wantFewNumbers(t rapid.TB, g *segment.GroupScan, n int, among []uint64) {
	t.Helper()
	for k, ask := range []func(dst, rows []uint64) ([]uint64, error){g.Starts, g.Lengths, g.ResourceCodes} {
		all, err := ask(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		some, err := ask(make([]uint64, 3), among)
		if err != nil || len(some) != n {
			t.Fatalf("%d values of %d rows: %v", len(some), n, err)
		}
		for row, v := range all {
			if among[row/64]>>(row%64)&1 == 1 && some[row] != v {
				t.Fatalf("column %d, row %d: %d alone, %d with all", k, row, some[row], v)
			}
		}
	}
}

// wantFewCodes compares the rows of some codes.
func wantFewCodes(t rapid.TB, g *segment.GroupScan, words, step int) {
	t.Helper()
	items, err := g.Items(span.SpanLevel)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := g.Counts()
	if err != nil {
		t.Fatal(err)
	}
	var codes []uint32
	rows, want, wantCounts := make([]uint64, words), make([]uint64, words), make([]uint32, len(counts))
	for code := len(counts) - 1; code >= 0; code -= step {
		codes = append(codes, uint32(code))
	}
	for row, code := range items {
		if wantCounts[code]++; slices.Contains(codes, code) {
			want[row/64] |= 1 << (row % 64)
		}
	}
	if err := g.MarkCodes(rows, codes); err != nil || !slices.Equal(rows, want) || !slices.Equal(counts, wantCounts) {
		t.Fatalf("rows of codes %v: %x, %v, not %x; counts %v, not %v", codes, rows, err, want, counts, wantCounts)
	}
}

// wantFewValues compares the rows that have some values of a column, or one that is nowhere.
func wantFewValues(t rapid.TB, g *segment.GroupScan, id uint32, among []uint64) {
	t.Helper()
	texts, numbers := [][]byte{[]byte("nowhere")}, []uint64{0x7fff_ffff_1234_5678}
	_, err := g.ItemsWhere(nil, id, func(text []byte) bool {
		if len(texts) < 4 {
			texts = append(texts, bytes.Clone(text))
		}
		return false
	}, func(number uint64) bool {
		if len(numbers) < 4 {
			numbers = append(numbers, number)
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	for k := range max(len(texts), len(numbers)) {
		text, number := texts[k%len(texts)], numbers[k%len(numbers)]
		all, some := make([]uint64, len(among)), make([]uint64, len(among))
		if err := g.MarkValues(all, id, text, number); err != nil {
			t.Fatal(err)
		}
		for word := range all {
			all[word] &= among[word]
		}
		if err := g.MarkValuesAmong(some, among, id, text, number); err != nil || !slices.Equal(some, all) {
			t.Fatalf("column %d, %q or %d: %x of %x, %v, not %x", id, text, number, some, among, err, all)
		}
	}
}
