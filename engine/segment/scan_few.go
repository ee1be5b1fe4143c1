package segment

import (
	"math/bits"
	"slices"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// What a search asks of a few rows of a row group. Which rows have a template is told by a list of all
// rows in the order of their codes; which value of a column is a row's, by counting from the nearest
// mark. Neither looks at the other rows.

// rowsByCode are the rows of a group in the order of their codes, those of one code ascending. A row
// group has groupRowsMax rows at most.
type rowsByCode struct {
	ends []uint16 // of each code's rows; they begin at the end of those before
	rows []uint16
}

func rowsByCodeBytes(rows, codes int) int { return 2 * (rows + codes) }

// rowsByCode puts them in order, once.
func (it *items) rowsByCode() *rowsByCode {
	if known := it.byCode.Load(); known != nil {
		return known
	}
	b := &rowsByCode{ends: make([]uint16, len(it.counts)), rows: make([]uint16, len(it.codes))}
	first := uint16(0)
	for code, count := range it.counts {
		b.ends[code] = first // where the next one of it goes
		first += uint16(count)
	}
	for row, code := range it.codes {
		b.rows[b.ends[code]] = uint16(row)
		b.ends[code]++
	}
	it.byCode.Store(b)
	return b
}

// Counts gives, by code, how many spans have a template.
func (g *GroupScan) Counts() ([]uint32, error) {
	it, _ := g.open(span.SpanLevel)
	if it == nil {
		return nil, g.err
	}
	return it.items.counts, nil
}

// MarkCodes sets the bits of the rows that have one of some codes.
func (g *GroupScan) MarkCodes(rows []uint64, codes []uint32) error {
	it, _ := g.open(span.SpanLevel)
	if it == nil {
		return g.err
	}
	order := it.items.rowsByCode()
	for _, code := range codes {
		begin := uint16(0)
		if code > 0 {
			begin = order.ends[code-1]
		}
		for _, row := range order.rows[begin:order.ends[code]] {
			rows[row/64] |= 1 << (row % 64)
		}
	}
	return nil
}

// MarkValuesAmong is MarkValues of a column of spans for the rows whose bit is set in among, where
// these are few.
func (g *GroupScan) MarkValuesAmong(rows, among []uint64, id uint32, text []byte, number uint64) error {
	it, _ := g.open(span.SpanLevel)
	if it == nil {
		return g.err
	}
	use, ok := slices.BinarySearchFunc(it.items.uses, id, useAt)
	if !ok {
		return nil
	}
	positions, owners := it.positionsOf(use, among, &g.scanBuffers)
	if len(positions) == 0 {
		return nil
	}
	found, err := g.valuesAt(it, use, func(texts *column.TextColumn, ints *column.Ints) ([]uint32, error) {
		if texts != nil {
			return texts.AppendEqual(g.marked[:0], positions, text)
		}
		return ints.AppendEqual(g.marked[:0], positions, number)
	})
	g.marked = larger(g.marked, found)
	k := 0
	for _, position := range found {
		for positions[k] != position {
			k++
		}
		rows[owners[k]/64] |= 1 << (owners[k] % 64)
	}
	return err
}

// positionsOf gives the positions of the values of a use that the rows of among have, ascending, and
// whose each is.
func (it *itemReader) positionsOf(use int, among []uint64, b *scanBuffers) (positions, owners []uint32) {
	marks, uses := it.s.marksOf(it.group, it.level, it.items), len(it.items.uses)
	perCode, codes := it.usesPerCode(use, b), it.items.codes
	positions, owners = b.positions[:0], b.owners[:0]
	item, at := 0, uint32(0) // the next one to count, and the values of those before it
	for word, left := range among {
		for ; left != 0; left &= left - 1 {
			row := word*64 + bits.TrailingZeros64(left)
			n := perCode[codes[row]]
			if n == 0 {
				continue
			}
			if mark, marked := it.items.markBefore(row); marked > item {
				item, at = marked, marks[mark*uses+use]
			}
			for ; item < row; item++ {
				at += perCode[codes[item]]
			}
			for k := range n {
				positions, owners = append(positions, at+k), append(owners, uint32(row))
			}
		}
	}
	b.positions, b.owners = positions, owners
	return positions, owners
}

// usesPerCode gives how many values of a use an item of each code has.
func (it *itemReader) usesPerCode(use int, b *scanBuffers) []uint32 {
	b.perCode = slices.Grow(b.perCode[:0], len(it.items.counts))[:len(it.items.counts)]
	clear(b.perCode)
	for _, code := range it.items.usersOf(it.items.uses[use].column) {
		b.perCode[code]++
	}
	return b.perCode
}

// valuesAt asks the page of a use.
func (g *GroupScan) valuesAt(it *itemReader, use int, ask func(*column.TextColumn, *column.Ints) ([]uint32, error)) (found []uint32, err error) {
	id, n := it.items.uses[use].column, it.items.uses[use].values
	hasText := g.s.columns[id-colFixed].kind.HasText()
	p := g.page(id, func(payload []byte) (*page, error) {
		if hasText {
			return openTexts(payload, n)
		}
		return openInts(payload, n)
	})
	if p == nil {
		if g.err == nil {
			g.fail(id, codec.Corrupt("column %d has values and no page", id))
		}
		return nil, g.err
	}
	if hasText {
		found, err = ask(p.texts, nil)
	} else {
		found, err = ask(nil, &p.ints)
	}
	if err != nil {
		g.fail(id, err)
	}
	return found, g.err
}
