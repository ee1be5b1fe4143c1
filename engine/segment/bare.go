package segment

import (
	"slices"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// A merge that writes a row again has hardly a use for what stands in the row's template: nearly
// every template is known here by then (carry.go). So it reads rows bare: with what stands with
// them alone, and the writer looks up the rest where it stands, in the tables of the segment.
// A row group with templates of its own, or with attributes in map columns, is read whole.

// bareValues are the values that stand with the items of a level, item by item, in the order of
// the slots. Texts are those of the batch.
type bareValues struct {
	values []uint64
	ends   []uint32 // by item
}

func (v *bareValues) of(pos int) []uint64 {
	begin := uint32(0)
	if pos > 0 {
		begin = v.ends[pos-1]
	}
	return v.values[begin:v.ends[pos]]
}

// memoryBytes is what a batch holds, with what of it stands with its origin.
func memoryBytes(b *span.Batch) int {
	total := b.MemoryBytes()
	if o, _ := b.Origin.(*origin); o != nil {
		for _, v := range o.bare {
			if v != nil {
				total += 8*cap(v.values) + 4*cap(v.ends)
			}
		}
	}
	return total
}

// isBare reports whether the rows of a batch were read bare.
func (o *origin) isBare() bool { return o != nil && o.bare[span.SpanLevel] != nil }

// Compare is span.Compare of rows that may have been read bare. Few need more for it than that:
// those are read whole by read.
func Compare(a, b span.Row, read ReadFunc) (int, error) {
	if c := span.CompareOutlines(a, b); c != 0 || a == b {
		return c, nil
	}
	for _, row := range []*span.Row{&a, &b} {
		if o, _ := row.Batch.Origin.(*origin); o.isBare() {
			batch, err := read(o.s, o.number)
			if err != nil {
				return 0, err
			}
			row.Batch = batch
		}
	}
	return span.Compare(a, b), nil
}

// isPlain reports whether all templates of a row group are the segment's, and all attributes in
// columns of their own.
func (g *groupRef) isPlain() bool {
	for _, level := range levels {
		if _, mapped := g.find(columnsOf(level).first + mapType); mapped || g.local[level] > 0 {
			return false
		}
	}
	return true
}

// bareKinds fills the kinds of the rows, which are a part of their order.
func (r *rowReader) bareKinds(it *itemReader) {
	r.b.Kinds = make([]int32, r.rows())
	t, ids := r.s.templates[span.SpanLevel], r.group.templates[span.SpanLevel]
	for i, code := range it.items.codes {
		r.b.Kinds[i] = int32(t.scalarsAt(ids[code])[scalarKind])
	}
}

// bareValues reads the values that stand with the items, which are all of the row group.
func (it *itemReader) bareValues() *bareValues {
	it.forget()
	it.ownAt = zeros(it.ownAt, colFixed+len(it.s.columns))
	total := 0
	for i, u := range it.items.uses {
		if isMapped(it.level, u.column) {
			it.fail(u.column, codec.Corrupt("attributes in a map column without its page"))
			return nil
		}
		it.own = append(it.own, ownColumn{column: u.column, use: i, total: u.values, count: u.values})
		it.ownAt[u.column] = uint32(i + 1)
		it.ownUsed = append(it.ownUsed, u.column)
		total += u.values
	}
	it.values = slices.Grow(it.values, total)
	for i := range it.own {
		it.decode(&it.own[i])
	}
	return it.byItem(total)
}

// byItem puts the values of columns in the order of the items.
func (it *itemReader) byItem(total int) *bareValues {
	places, ends := it.places[:0], it.placeEnds[:0] // in own, by code
	table, ids := it.s.templates[it.level], it.group.templates[it.level]
	for code, count := range it.items.counts {
		if count > 0 {
			for _, column := range table.ownOf(ids[code]) {
				places = append(places, it.ownAt[column]-1)
			}
		}
		ends = append(ends, uint32(len(places)))
	}
	it.places, it.placeEnds = places, ends
	out := &bareValues{values: make([]uint64, 0, total), ends: make([]uint32, len(it.items.codes))}
	for i, code := range it.items.codes {
		begin := uint32(0)
		if code > 0 {
			begin = ends[code-1]
		}
		for _, place := range places[begin:ends[code]] {
			c := &it.own[place]
			out.values = append(out.values, it.values[c.first+c.at])
			c.at++
		}
		out.ends[i] = uint32(len(out.values))
	}
	return out
}
