package segment

import (
	"slices"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
)

// What a search asks of the values of one column, where they stand packed.

// MarkValues sets the bits of the rows that have a value of an attribute column, standing
// with the row, that is text or number: which of both counts is the column's to say.
func (g *GroupScan) MarkValues(rows []uint64, id uint32, text []byte, number uint64) error {
	found, err := g.ItemsEqual(g.marked[:0], id, text, number)
	g.marked = larger(g.marked, found)
	if err != nil || len(found) == 0 {
		return err
	}
	ends, err := g.Ends(g.s.columns[id-colFixed].level)
	if err != nil {
		return err
	}
	markRows(rows, ends, found)
	return nil
}

// ItemsEqual appends to dst the spans, events or links of the group, by their number in it,
// that have such a value; a column is of one level.
func (g *GroupScan) ItemsEqual(dst []uint32, id uint32, text []byte, number uint64) ([]uint32, error) {
	return g.itemsOf(dst, id, func(texts *column.TextColumn, ints *column.Ints) (found []uint32, err error) {
		if texts != nil {
			found, err = texts.RowsEqual(g.positions[:0], text)
		} else {
			found, err = ints.RowsEqual(g.positions[:0], number)
		}
		g.positions = larger(g.positions, found)
		return found, err
	})
}

// larger is the one of two buffers that is kept.
func larger(a, b []uint32) []uint32 {
	if cap(b) > cap(a) {
		return b
	}
	return a
}

// ItemsWhere is ItemsEqual with a question for each value: text is asked of texts, once for
// each entry of a dictionary, and number of all others. They must not keep the bytes.
func (g *GroupScan) ItemsWhere(dst []uint32, id uint32, text func([]byte) bool, number func(uint64) bool) ([]uint32, error) {
	return g.itemsOf(dst, id, func(texts *column.TextColumn, ints *column.Ints) (found []uint32, err error) {
		if texts != nil {
			return texts.RowsWhere(nil, text)
		}
		values, err := ints.Decode(nil, 0, ints.Len())
		if err != nil {
			return nil, err
		}
		for i, v := range values {
			if number(v) {
				found = append(found, uint32(i))
			}
		}
		return found, nil
	})
}

// Ends gives where each row's events or links end among those of the group; nil for spans,
// of which each row has one, and where there are none.
func (g *GroupScan) Ends(level span.Level) ([]uint32, error) {
	if level == span.SpanLevel {
		return nil, g.err
	}
	_, ends := g.open(level)
	return ends, g.err
}

// EventOffsets gives of each event of the group its time minus the start of its span,
// wrapping. n is how many there are, as Items tells.
func (g *GroupScan) EventOffsets(n int) ([]uint64, error) {
	p := g.page(colEventTime, func(payload []byte) (*page, error) { return openInts(payload, n) })
	if p == nil {
		return make([]uint64, n), g.err
	}
	offsets, err := p.ints.Decode(nil, 0, n)
	if err != nil {
		g.fail(colEventTime, err)
	}
	return offsets, g.err
}

// itemsOf finds positions among the values of a column, and then whose they are.
func (g *GroupScan) itemsOf(dst []uint32, id uint32, find func(*column.TextColumn, *column.Ints) ([]uint32, error)) ([]uint32, error) {
	it, _ := g.open(g.s.columns[id-colFixed].level)
	if it == nil {
		return dst, g.err
	}
	use, ok := slices.BinarySearchFunc(it.items.uses, id, useAt)
	if !ok {
		return dst, nil
	}
	found, err := g.valuesAt(it, use, find)
	if err != nil || len(found) == 0 {
		return dst, err
	}
	return it.itemsWith(dst, found, it.usesPerCode(use, &g.scanBuffers)), nil
}

// itemsWith appends to dst the items that have the values of a column at some positions, ascending:
// values stand in the order of the items, perCode tells how many an item of each code has.
func (it *itemReader) itemsWith(dst, positions, perCode []uint32) []uint32 {
	at, codes := uint32(0), it.items.codes
	for i := 0; i < len(codes) && len(positions) > 0; {
		// Eight items at once, as long as the next position is not theirs.
		for ; i+8 <= len(codes); i += 8 {
			c := codes[i : i+8]
			n := perCode[c[0]] + perCode[c[1]] + perCode[c[2]] + perCode[c[3]] + perCode[c[4]] + perCode[c[5]] + perCode[c[6]] + perCode[c[7]]
			if positions[0] < at+n {
				break
			}
			at += n
		}
		for end := min(i+8, len(codes)); i < end && len(positions) > 0; i++ {
			if at += perCode[codes[i]]; positions[0] >= at {
				continue
			}
			dst = append(dst, uint32(i))
			for len(positions) > 0 && positions[0] < at {
				positions = positions[1:]
			}
		}
	}
	return dst
}
