package segment

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
)

// The filters of a column are one page, read when a search asks for a value of it:
//
//	groups v; of each: group - the one before v, a filter of package index
//
// It has the values of the group that stand with the rows and in templates of the group's own;
// a group without one has none of those. Which columns have filters, and how long their pages are, says the section of filters:
//
//	columns v; of each: column - the one before v, page length v
//
// The pages stand before the sections, in that order.

// hasFilter tells the types whose values are filtered: those that a search can write as
// text in one way, and that vary.
func hasFilter(kind span.ValueType) bool { return kind == span.StringValue || kind == span.IntValue }

// appendNumber appends a value that is no text as searches write it; doubles by their bits,
// for counting alone.
func appendNumber(dst []byte, kind span.ValueType, value uint64) []byte {
	if kind == span.BoolValue {
		return strconv.AppendBool(dst, value != 0)
	}
	return strconv.AppendInt(dst, int64(value), 10)
}

// appendNumberHashes appends the hashes of values that are no texts: of each one at least once.
// Most columns have few values, whose hashes are not worth making again, or sorting: those met
// lately are passed over.
func appendNumberHashes(dst []uint64, kind span.ValueType, values []uint64) []uint64 {
	var text [20]byte
	recent := [1 << recentNumbersBits]uint64{1} // where 0 will be, which was not met yet
	for _, v := range values {
		if place := &recent[v*0x9e3779b97f4a7c15>>(64-recentNumbersBits)]; *place != v {
			*place = v
			dst = append(dst, index.HashText(appendNumber(text[:0], kind, v)))
		}
	}
	return dst
}

// filterWriter collects the filters of a segment.
type filterWriter struct {
	columns map[uint32]*columnFilters
	bytes   int
}

type columnFilters struct {
	groups, last int
	data, page   []byte
	left         bool // out: it took too much
}

// add adds the filter of a column in a group; hashes are its values', in any number.
func (f *filterWriter) add(id uint32, group int, hashes []uint64) {
	f.append(id, group, func(dst []byte) []byte { return index.AppendFilter(dst, hashes) })
}

func (f *filterWriter) append(id uint32, group int, filter func(dst []byte) []byte) {
	if f.columns == nil {
		f.columns = map[uint32]*columnFilters{}
	}
	c := f.columns[id]
	if c == nil {
		c = new(columnFilters)
		f.columns[id] = c
	}
	if c.left {
		return
	}
	before := len(c.data)
	c.data = binary.AppendUvarint(c.data, uint64(group-c.last))
	c.data = filter(c.data)
	c.last = group
	c.groups++
	if f.bytes += len(c.data) - before; f.bytes > filterBytesMax {
		f.leaveOutLargest()
	}
}

// leaveOutLargest gives up the filters of the column that takes the most.
func (f *filterWriter) leaveOutLargest() {
	ids := f.ids()
	if len(ids) == 0 {
		return
	}
	largest := slices.MaxFunc(ids, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(len(f.columns[a].data), len(f.columns[b].data)), cmp.Compare(b, a))
	})
	f.leaveOut(largest)
}

func (f *filterWriter) leaveOut(id uint32) {
	c := f.columns[id]
	f.bytes -= len(c.data)
	c.left, c.data = true, nil
}

// ids gives the columns that have filters, ascending.
func (f *filterWriter) ids() []uint32 {
	var ids []uint32
	for id, c := range f.columns {
		if !c.left {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// filterRef is where the filters of a column stand.
type filterRef struct {
	column uint32
	sectionRef
}

// write writes the pages and gives the section. What the index may take beside them bounds
// them: the largest go first.
func (f *filterWriter) write(out *output, bytesMax int64) ([]byte, error) {
	largest := f.ids()
	slices.SortStableFunc(largest, func(a, b uint32) int { return cmp.Compare(len(f.columns[b].data), len(f.columns[a].data)) })
	for len(largest) > 0 && int64(f.bytes+filterPageBytes*len(largest)) > bytesMax {
		f.leaveOut(largest[0])
		largest = largest[1:]
	}
	for _, id := range f.ids() {
		c := f.columns[id]
		c.page = column.AppendPage(nil, append(binary.AppendUvarint(nil, uint64(c.groups)), c.data...), false)
		if err := out.write(c.page); err != nil {
			return nil, err
		}
	}
	return f.appendRefs(nil, func(c *columnFilters) int { return len(c.page) }), nil
}

// appendRefs appends the section; pageBytes tells how long the page of a column is.
func (f *filterWriter) appendRefs(dst []byte, pageBytes func(c *columnFilters) int) []byte {
	ids := f.ids()
	dst = binary.AppendUvarint(dst, uint64(len(ids)))
	previous := uint32(0)
	for _, id := range ids {
		dst = binary.AppendUvarint(dst, uint64(id-previous))
		dst = binary.AppendUvarint(dst, uint64(pageBytes(f.columns[id])))
		previous = id
	}
	return dst
}

// decodeFilterRefs reads the section; the pages end at end. It gives where they begin.
func decodeFilterRefs(payload []byte, columns int, end int64) (refs []filterRef, begin int64, err error) {
	r := codec.NewReader(payload)
	refs = make([]filterRef, r.Count(2))
	id, total := uint64(0), int64(0)
	for i := range refs {
		delta, length := r.Uvarint(), r.Uvarint()
		if i > 0 && delta == 0 || delta > uint64(colFixed+columns) || length > footerBytesMax {
			r.Fail("filters of column %d + %d take %d bytes", id, delta, length)
			break
		}
		if id += delta; id < colFixed || id >= uint64(colFixed+columns) {
			r.Fail("filters of column %d of %d", id, columns)
		}
		refs[i] = filterRef{uint32(id), sectionRef{total, uint32(length)}}
		total += int64(length)
	}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the filters", r.Len())
	}
	if begin = end - total; r.Err() == nil && begin < headerBytes {
		r.Fail("filters of %d bytes end at %d", total, end)
	}
	for i := range refs {
		refs[i].offset += begin
	}
	return refs, begin, r.Err()
}

// addBytes adds a filter as it stands in another segment.
func (f *filterWriter) addBytes(id uint32, group int, filter []byte) {
	f.append(id, group, func(dst []byte) []byte { return append(dst, filter...) })
}

// cutFilters gives the bytes of the filters of a column's page by row group, nil where the group has none.
func cutFilters(payload []byte, groups int) (filterBytes, error) {
	if _, err := decodeFilters(payload, groups); err != nil {
		return nil, err
	}
	r := codec.NewReader(payload)
	filters := make(filterBytes, groups)
	at, last := uint64(0), uint64(0)
	for range r.Count(1) {
		at += r.Uvarint()
		begin := r.Offset()
		index.OpenFilter(r)
		filters[at] = payload[begin:r.Offset()]
		last = at + 1
	}
	return filters[:last], r.Err()
}

// decodeFilters reads the page of a column: a filter by row group, nil where the group has
// no value of it.
func decodeFilters(payload []byte, groups int) ([]*index.Filter, error) {
	r := codec.NewReader(payload)
	filters := make([]*index.Filter, groups)
	at := uint64(0)
	for i := range r.Count(1) {
		delta := r.Uvarint()
		if at += delta; at >= uint64(groups) || i > 0 && delta == 0 {
			r.Fail("filter of row group %d of %d", at, groups)
		}
		f := index.OpenFilter(r)
		if r.Err() != nil {
			return nil, r.Err()
		}
		filters[at] = &f
	}
	if r.Len() > 0 {
		r.Fail("%d bytes after the filters", r.Len())
	}
	return filters, r.Err()
}

// addFilters filters and counts what an attribute column has in this group.
func (g *groupWriter) addFilters(id uint32) {
	kind, values := g.w.columns[id-colFixed].kind, g.attrs[id-colFixed]
	stats := g.w.statsOf(id)
	if g.w.keysSummed && !hasFilter(kind) {
		return
	}
	g.hashes = g.hashes[:0]
	if kind.HasText() {
		stats.Values += uint64(values.text.Len())
		for code := range values.text.Distinct() {
			g.countHash(stats, values.text.Hash(uint64(code)), len(values.text.Value(uint64(code))))
		}
		for _, code := range values.text.Codes() {
			stats.TextBytes += uint64(len(values.text.Value(code)))
		}
	} else {
		stats.Values += uint64(len(values.ints))
		g.hashes = appendNumberHashes(g.hashes, kind, values.ints)
	}
	if !g.w.keysSummed {
		stats.counter.AddAll(g.hashes)
	}
	if hasFilter(kind) {
		g.hashes = append(g.hashes, values.local...)
		g.w.filters.add(id, len(g.w.groups), g.hashes)
	}
}

// countHash takes the hash of a text for the filter, or counts it where that does not know so long ones.
func (g *groupWriter) countHash(stats *keyStats, hash uint64, textBytes int) {
	if textBytes > FilteredBytesMax {
		stats.counter.Add(hash)
		return
	}
	g.hashes = append(g.hashes, hash)
}

// findLocal hashes for the filters what stands in templates of the group's own: searches know
// those of the segment, and would read every row of the others.
func (g *groupWriter) findLocal() {
	var number [20]byte
	for _, level := range levels {
		local := g.w.folding[level].local
		for i := range local.table.ends {
			for _, s := range local.table.slotsOf(uint32(i)) {
				if s.own || s.column < colFixed || !hasFilter(g.w.columns[s.column-colFixed].kind) {
					continue
				}
				var text []byte
				if kind := g.w.columns[s.column-colFixed].kind; kind.HasText() {
					text = local.texts.batch.Bytes(span.TextID(s.value))
				} else {
					text = appendNumber(number[:0], kind, s.value)
				}
				values := g.attr(s.column)
				if !values.used && len(values.local) == 0 {
					g.used = append(g.used, s.column)
				}
				values.local = append(values.local, index.HashText(text))
			}
		}
	}
}

// statsOf gives where the values of a column are counted: nowhere that counts, where that is done.
func (w *Writer) statsOf(id uint32) *keyStats {
	if w.keysSummed {
		return new(keyStats)
	}
	return &w.keys[id-colFixed]
}

// keyStats count the values of an attribute column.
type keyStats struct {
	Values, TextBytes uint64
	counter           index.KeyCounter
}

// countFolded counts what stands in templates: rows gives the items of each.
func (w *Writer) countFolded(t *templateTable, rows func(i int) uint64) {
	var text [20]byte
	for i := range t.ends {
		n := rows(i)
		for _, s := range t.slotsOf(uint32(i)) {
			if s.own || s.column < colFixed || n == 0 {
				continue
			}
			stats := &w.keys[s.column-colFixed]
			stats.Values += n
			kind := w.columns[s.column-colFixed].kind
			if kind.HasText() {
				value := t.text(s.value)
				stats.counter.Add(index.HashText(value))
				stats.TextBytes += n * uint64(len(value))
			} else {
				stats.counter.Add(index.HashText(appendNumber(text[:0], kind, s.value)))
			}
		}
	}
}
