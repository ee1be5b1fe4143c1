package segment_test

import (
	"fmt"
	"maps"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
)

var itemLevels = []span.Level{span.SpanLevel, span.EventLevel, span.LinkLevel}

// looked writes out what a search looks at before it reads rows, and rows read in part.
func looked(s *segment.Segment) (out []byte, err error) {
	terms, err := s.Terms()
	if err != nil {
		return nil, err
	}
	for _, column := range terms.Columns() {
		err := terms.Each(column, func(text []byte, p index.Postings) error {
			out = fmt.Appendf(out, " %d %q %v", column, text, p.Bits(nil))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if out, err = cellsTold(out, s); err != nil {
		return nil, err
	}
	var columns []uint32
	for _, level := range itemLevels {
		t, err := s.Templates(level)
		if err != nil {
			return nil, err
		}
		out = fmt.Appendf(out, " %d %+v %v %v %v %v", level, *t.Batch, t.Mapped, t.OpenMessage, t.OpenState, t.Own)
		columns = append(columns, slices.Sorted(maps.Keys(t.Own))...)
	}
	for _, id := range columns {
		filters, known, err := s.Filters(id)
		if err != nil {
			return nil, err
		}
		for _, f := range filters {
			for hash := range uint64(8) {
				out = fmt.Append(out, known, f != nil && f.MayContain(hash<<61))
			}
		}
	}
	for i := range s.Groups() {
		if out, err = lookedGroup(out, s, i, columns); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// lookedGroup asks a row group in each way that a search does.
func lookedGroup(out []byte, s *segment.Segment, i int, columns []uint32) ([]byte, error) {
	g, n := s.Scan(i), s.Group(i).Rows
	starts, err := g.Starts(nil, nil)
	if err != nil {
		return nil, err
	}
	lengths, err := g.Lengths(nil, nil)
	if err != nil {
		return nil, err
	}
	between, err := g.LengthsBetween(nil, 1, 1<<40)
	if err != nil {
		return nil, err
	}
	codes, err := g.ResourceCodes(nil, nil)
	if err != nil {
		return nil, err
	}
	ids, longest := g.Resources()
	out = fmt.Append(out, starts, lengths, between, codes, ids, longest)
	for _, level := range itemLevels {
		items, err := g.Items(level)
		if err != nil {
			return nil, err
		}
		rows := make([]uint64, (n+63)/64)
		if err := g.MarkTemplates(rows, level, func(code int) bool { return code%2 == 0 }); err != nil {
			return nil, err
		}
		ends, err := g.Ends(level)
		if err != nil {
			return nil, err
		}
		shared, whole := g.Templates(level)
		out = fmt.Append(out, items, ends, rows, shared, whole)
		if level == span.EventLevel {
			offsets, err := g.EventOffsets(len(items))
			if err != nil {
				return nil, err
			}
			out = fmt.Append(out, offsets)
		}
	}
	for _, id := range columns {
		rows := make([]uint64, (n+63)/64)
		for number := range uint64(4) {
			if err := g.MarkValues(rows, id, fmt.Append(nil, "text ", number), number); err != nil {
				return nil, err
			}
		}
		isLong := func(text []byte) bool { return len(text) > 6 }
		isOdd := func(number uint64) bool { return number%2 == 1 }
		found, err := g.ItemsWhere(nil, id, isLong, isOdd)
		if err != nil {
			return nil, err
		}
		out = fmt.Append(out, rows, found)
	}
	for _, p := range []segment.Projection{{All: true}, {Attrs: true, Keys: map[string]bool{"key.1": true, "mapped": true}}} {
		b, err := s.ReadRows(i, n/3, n-n/4, p)
		if err != nil {
			return nil, err
		}
		out = fmt.Appendf(out, "%+v", *b)
	}
	return lookedFew(out, s, i)
}

// lookedFew asks a few rows of a row group.
func lookedFew(out []byte, s *segment.Segment, i int) ([]byte, error) {
	templates, err := s.Templates(span.SpanLevel)
	if err != nil {
		return nil, err
	}
	g, n := s.Scan(i), s.Group(i).Rows
	rows, among := make([]uint64, (n+63)/64), make([]uint64, (n+63)/64)
	for row := i % 5; row < n; row += 7 + row%90 {
		among[row/64] |= 1 << (row % 64)
	}
	counts, err := g.Counts()
	if err != nil {
		return nil, err
	}
	if err := g.MarkCodes(rows, []uint32{0, uint32(len(counts) - 1)}); err != nil {
		return nil, err
	}
	out = fmt.Append(out, counts, rows)
	for _, id := range slices.Sorted(maps.Keys(templates.Own)) {
		if err := g.MarkValuesAmong(rows, among, id, []byte("text 1"), 1); err != nil {
			return nil, err
		}
	}
	for _, ask := range []func(dst, rows []uint64) ([]uint64, error){g.Starts, g.Lengths, g.ResourceCodes} {
		values, err := ask(make([]uint64, n), among)
		if err != nil {
			return nil, err
		}
		for row := i % 5; row < n; row += 7 + row%90 {
			out = fmt.Append(out, values[row])
		}
	}
	return fmt.Append(out, rows), nil
}
