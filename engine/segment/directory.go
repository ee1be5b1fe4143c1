package segment

import (
	"encoding/binary"
	"slices"
	"sort"
	"sync"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// appendGroups appends the section of row groups; the first page of a group follows the last
// of the group before:
//
//	per group: rows v, min start v, max start - min start v, max duration v, pages v
//	           per page: column - previous column v, length v
//	           resources v, each - the one before v; longest duration of each v
//	           of spans, events and links: templates v, each - the one before v, own templates v
func appendGroups(dst []byte, groups []groupRef) []byte {
	for i := range groups {
		g := &groups[i]
		for _, v := range []uint64{uint64(g.Rows), g.MinStart, g.MaxStart - g.MinStart, g.MaxDuration, uint64(len(g.pages))} {
			dst = binary.AppendUvarint(dst, v)
		}
		previous := uint32(0)
		for _, page := range g.pages {
			dst = binary.AppendUvarint(dst, uint64(page.column-previous))
			dst = binary.AppendUvarint(dst, uint64(page.length))
			previous = page.column
		}
		dst = appendAscending(dst, g.resources)
		for _, v := range g.longest {
			dst = binary.AppendUvarint(dst, v)
		}
		for _, level := range levels {
			dst = appendAscending(dst, g.templates[level])
			dst = binary.AppendUvarint(dst, uint64(g.local[level]))
		}
	}
	return dst
}

// appendAscending appends numbers that rise: how many v, each less the one before v.
func appendAscending(dst []byte, ids []uint32) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ids)))
	previous := uint32(0)
	for _, id := range ids {
		dst = binary.AppendUvarint(dst, uint64(id-previous))
		previous = id
	}
	return dst
}

// idLists makes lists of ids from larger pieces of memory: the row groups of a segment have several
// each, and its directory is read whenever a folder is opened.
type idLists struct {
	room []uint32
	wide []uint64
}

// list gives room for n of at most so many ids that are still to come.
func (l *idLists) list(n, most int) []uint32 {
	if n > len(l.room) {
		l.room = make([]uint32, max(n, min(most, idListsRoom)))
	}
	list := l.room[:n:n]
	l.room = l.room[n:]
	return list
}

// varints reads n numbers, which are there until the next call.
func (l *idLists) varints(r *codec.Reader, n int) []uint64 {
	l.wide = slices.Grow(l.wide[:0], n)[:n]
	r.Uvarints(l.wide)
	return l.wide
}

// ascending reads what appendAscending appended; all are below most.
func (l *idLists) ascending(r *codec.Reader, most int) []uint32 {
	n := r.Count(1)
	if n == 0 {
		return nil
	}
	ids, at := l.list(n, r.Len()), uint64(0)
	deltas := l.varints(r, n)
	if r.Err() != nil {
		return nil
	}
	for i, delta := range deltas {
		if at += delta; delta > uint64(most) || at >= uint64(most) || i > 0 && delta == 0 {
			r.Fail("number %d of %d in a row group", at, most)
			return nil
		}
		ids[i] = uint32(at)
	}
	return ids
}

// groupContext is what row groups refer to.
type groupContext struct {
	columns, resources int
	templates          [span.Levels]int
	pagesEnd           int64 // where the pages of groups must end
}

// decodeGroups also checks that the groups hold all rows and that their pages end where the
// next part of the file begins.
func decodeGroups(payload []byte, info *Info, c groupContext) ([]groupRef, error) {
	r := codec.NewReader(payload)
	if info.Groups > r.Len()/groupRefBytesMin {
		r.Fail("%d row groups in %d bytes", info.Groups, r.Len())
		return nil, r.Err()
	}
	groups := make([]groupRef, info.Groups)
	offset, firstRow := int64(headerBytes), 0
	var lists idLists
	for i := range groups {
		g := &groups[i]
		g.FirstRow, g.offset = firstRow, offset
		at := g.decodePages(r, c.columns, &lists)
		g.resources = lists.ascending(r, c.resources)
		g.longest = make([]uint64, len(g.resources))
		r.Uvarints(g.longest)
		longest := uint64(0)
		for _, duration := range g.longest {
			longest = max(longest, duration)
		}
		if r.Err() == nil && longest != g.MaxDuration {
			r.Fail("row group %d lasts %d, its resources %d", i, g.MaxDuration, longest)
		}
		values := 0
		for _, level := range levels {
			g.templates[level] = lists.ascending(r, c.templates[level])
			local := r.Uvarint()
			if values += len(g.templates[level]); local > groupValuesMax {
				r.Fail("%d templates of its own in row group %d", local, i)
			}
			g.local[level] = uint32(local)
		}
		if r.Err() != nil {
			return nil, r.Err()
		}
		if len(g.resources) == 0 || len(g.resources) > g.Rows || len(g.templates[span.SpanLevel])+int(g.local[span.SpanLevel]) > g.Rows ||
			len(g.templates[span.SpanLevel])+int(g.local[span.SpanLevel]) == 0 {
			r.Fail("row group %d of %d rows has %d resources, %d templates", i, g.Rows, len(g.resources), values)
		}
		offset += at
		firstRow += g.Rows
	}
	if r.Err() == nil && (r.Len() > 0 || firstRow != info.Rows || offset != c.pagesEnd) {
		r.Fail("row groups: %d bytes left, %d rows of %d, pages end at %d of %d", r.Len(), firstRow, info.Rows, offset, c.pagesEnd)
	}
	return groups, r.Err()
}

// decodePages reads the ranges and pages of a group, and gives the bytes of its pages.
func (g *groupRef) decodePages(r *codec.Reader, columns int, lists *idLists) int64 {
	rows := r.Uvarint()
	g.MinStart = r.Uvarint()
	g.MaxStart = g.MinStart + r.Uvarint()
	g.MaxDuration = r.Uvarint()
	if rows == 0 || rows > groupRowsMax || g.MaxStart < g.MinStart {
		r.Fail("row group of %d rows", rows)
	}
	g.Rows = int(rows)
	g.pages = make([]pageRef, r.Count(2))
	numbers := lists.varints(r, 2*len(g.pages))
	if r.Err() != nil {
		return 0
	}
	at, previous := int64(0), uint64(0)
	for p := range g.pages {
		delta, length := numbers[2*p], numbers[2*p+1]
		if length > column.PageBytesMax || (p > 0 && delta == 0) || delta > uint64(colFixed+columns) || at+int64(length) > 1<<32-1 {
			r.Fail("page %d of a row group", p)
			break
		}
		previous += delta
		g.pages[p] = pageRef{uint32(previous), uint32(at), uint32(length)}
		at += int64(length)
	}
	if previous >= uint64(colFixed+columns) {
		r.Fail("column %d of %d", previous, columns)
	}
	return at
}

// appendColumns appends the section of attribute columns, whose ids count from colFixed:
//
//	columns v; per column: level 1, type 1, key length v + bytes
func appendColumns(dst []byte, columns []columnKey) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(columns)))
	for _, c := range columns {
		dst = codec.AppendLengthBytes(append(dst, byte(c.level), byte(c.kind)), []byte(c.key))
	}
	return dst
}

func decodeColumns(payload []byte) ([]columnKey, error) {
	r := codec.NewReader(payload)
	columns := make([]columnKey, r.Count(3))
	if len(columns) > attributeColumnsMax {
		r.Fail("%d attribute columns", len(columns))
	}
	known := make(map[columnKey]bool, len(columns))
	for i := range columns {
		c := columnKey{level: span.Level(r.Uint8()), kind: span.ValueType(r.Uint8()), key: string(r.LengthBytes())}
		if (c.level != span.SpanLevel && c.level != span.EventLevel && c.level != span.LinkLevel) || c.kind >= span.ValueTypes {
			r.Fail("attribute column %d of level %d, type %d", i, c.level, c.kind)
		}
		if known[c] {
			r.Fail("two attribute columns of key %q", c.key)
		}
		columns[i], known[c] = c, true
	}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the columns", r.Len())
	}
	return columns, r.Err()
}

// traceRef is a trace while it is written.
type traceRef struct {
	id          span.TraceID
	first, rows uint32
}

// appendTraces appends the two sections of the trace table, sorted by id: the ids as they
// are; first rows and row counts as integers of package column.
func appendTraces(ids, rows []byte, traces []traceRef) (idBytes, rowBytes []byte) {
	sortTraces(traces)
	firsts, counts := make([]uint64, len(traces)), make([]uint64, len(traces))
	for i, t := range traces {
		ids = append(ids, t.id[:]...)
		firsts[i], counts[i] = uint64(t.first), uint64(t.rows)
	}
	return ids, column.AppendInts(column.AppendInts(rows, firsts), counts)
}

// sortTraces sorts by id. Nearly all ids differ in their first eight bytes, which compare as a number.
func sortTraces(traces []traceRef) {
	slices.SortFunc(traces, func(a, b traceRef) int {
		high, other := binary.BigEndian.Uint64(a.id[:]), binary.BigEndian.Uint64(b.id[:])
		switch {
		case high < other:
			return -1
		case high > other:
			return 1
		}
		return a.id.Compare(b.id)
	})
}

// traceTable is the trace table in memory, 28 bytes a trace.
type traceTable struct {
	ids         []span.TraceID // sorted
	first, rows []uint32
	byRow       []uint32 // positions in ids, by first row
}

// decodeTraces also checks the order of the ids and that the traces tile the rows.
func decodeTraces(ids, rowBytes []byte, info *Info) (traceTable, error) {
	if len(ids) != info.Traces*16 {
		return traceTable{}, codec.Corrupt("%d trace ids in %d bytes", info.Traces, len(ids))
	}
	n := info.Traces
	t := traceTable{ids: make([]span.TraceID, n), first: make([]uint32, n), rows: make([]uint32, n)}
	r := codec.NewReader(rowBytes)
	wide := wideLists.Get().(*[]uint64)
	defer func() {
		if 8*cap(*wide) <= keptBytesMax {
			wideLists.Put(wide)
		}
	}()
	for _, dst := range [][]uint32{t.first, t.rows} {
		*wide = column.DecodeInts((*wide)[:0], r, n)
		if r.Err() != nil {
			return t, r.Err()
		}
		for i, v := range *wide {
			if v > rowsMax {
				return t, codec.Corrupt("trace %d has rows to or from %d", i, v)
			}
			dst[i] = uint32(v)
		}
	}
	var high, low uint64 // of the id before
	for i := range t.ids {
		id := ids[i*16 : i*16+16]
		h, l := binary.BigEndian.Uint64(id), binary.BigEndian.Uint64(id[8:])
		if i > 0 && (h < high || h == high && l <= low) {
			return t, codec.Corrupt("trace ids out of order at %d", i)
		}
		high, low = h, l
		t.ids[i] = span.TraceID(id)
	}
	t.byRow = positionsBy(t.first, info.Rows)
	next := uint32(0)
	for _, i := range t.byRow {
		if t.first[i] != next || t.rows[i] == 0 || t.rows[i] > uint32(info.Rows)-next {
			return t, codec.Corrupt("trace %d of %d rows begins at row %d, %d expected", i, t.rows[i], t.first[i], next)
		}
		next += t.rows[i]
	}
	if int(next) != info.Rows {
		return t, codec.Corrupt("traces of %d rows, %d expected", next, info.Rows)
	}
	return t, nil
}

// wideLists are where integers are read that are kept in fewer bits.
var wideLists = sync.Pool{New: func() any { return new([]uint64) }}

// positionsBy gives the positions of numbers in the order of these, equal ones in their own: by
// digits from the lowest on, up to those of most. Opening a folder sorts all of its traces.
func positionsBy(numbers []uint32, most int) []uint32 {
	const digitBits, digits = 11, 1 << 11
	order, from := make([]uint32, len(numbers)), make([]uint32, len(numbers))
	for i := range order {
		order[i] = uint32(i)
	}
	for shift := 0; shift == 0 || most>>shift > 0; shift += digitBits {
		order, from = from, order
		var next [digits]uint32
		for _, v := range numbers {
			next[v>>shift%digits]++
		}
		begin := uint32(0)
		for d, count := range next {
			next[d], begin = begin, begin+count
		}
		for _, i := range from {
			d := numbers[i] >> shift % digits
			order[next[d]] = i
			next[d]++
		}
	}
	return order
}

// orderAt gives the position in byRow of the trace that holds row.
func (t *traceTable) orderAt(row int) int {
	return sort.Search(len(t.byRow), func(k int) bool { return int(t.first[t.byRow[k]]) > row }) - 1
}

// appendHashes appends the section of sub-batch hashes: count v, receive times as integers
// of package column, 16 bytes each.
func appendHashes(dst []byte, hashes []Received) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(hashes)))
	times := make([]uint64, len(hashes))
	for i, h := range hashes {
		times[i] = uint64(h.At)
	}
	dst = column.AppendInts(dst, times)
	for _, h := range hashes {
		dst = append(dst, h.Hash[:]...)
	}
	return dst
}

func decodeHashes(payload []byte) ([]Received, error) {
	r := codec.NewReader(payload)
	n := r.Count(16)
	times := column.DecodeInts(nil, r, n)
	raw := r.Bytes(n * 16)
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the hashes", r.Len())
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	hashes := make([]Received, n)
	for i := range hashes {
		hashes[i].At = int64(times[i])
		copy(hashes[i].Hash[:], raw[i*16:])
	}
	return hashes, nil
}
