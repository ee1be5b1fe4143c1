package segment

import (
	"bytes"
	"cmp"
	"slices"
	"unsafe"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// A merge writes rows again where those of another input come between them. Their templates are here
// what they are there, so nothing about a row has to be found out: it is columns of numbers and
// texts, of which stretches are copied to those of the row group that is being written.

// Columns are the columns of a row group, unpacked, for a Writer and for CompareRows. They serve one goroutine,
// and own their memory.
type Columns struct {
	s      *Segment
	group  *groupRef
	number int

	starts, lengths  []uint64
	spanIDs, parents []span.SpanID
	resources        []uint64      // codes
	residues         []span.TextID // nil where all are empty
	eventTimes       []uint64      // from the start of the span
	eventResidues    []span.TextID // nil where all are empty
	linkResidues     []span.TextID // nil where all are empty
	linkTraces       []byte        // 16 bytes each
	linkSpans        []byte        // 8 bytes each
	levels           [span.Levels]unpackedItems
	texts            []byte // all of them
	ends             []uint32
	added            []addedText
	bytes            int // of the rows, at most, as groupWriter counts them
}

// unpackedItems are the items of a level.
type unpackedItems struct {
	items  *items
	ends   []uint32 // of each row's items, nil for spans
	values []uint64 // of all uses, one after another: numbers, or texts
	uses   []usedColumn
	places []uint32 // in uses, of the values that stand with an item, code by code
	begins []uint32 // in places, by code, and the end
	marks  []uint32 // by mark, how many values of each use the items before have
	each   int      // items between two marks

	at int // item that the uses stand at
}

// usedColumn is a use, and how far it is copied.
type usedColumn struct {
	column uint32 // there
	values []uint64
	at, n  int
	attr   *attrWriter // where it goes
}

// markEach items at least are between two marks.
const markEach = 64

// HasColumns reports whether rows of row group i may be copied to a writer from its columns: where its
// templates are all the segment's, and the segment is large enough for them to be worth it.
func (s *Segment) HasColumns(i int) bool { return s.info.Rows >= asIsRowsMin && s.groups[i].isPlain() }

// TakesRows reports whether AddColumns would take rows of row group i of s now.
func (w *Writer) TakesRows(s *Segment, i int) bool {
	g := &s.groups[i]
	if !s.HasColumns(i) || !w.hasRoomFor(s) {
		return false
	}
	for _, level := range levels {
		if f := w.folding[level]; f.crowded() || len(f.shared.hashes)+len(g.templates[level]) > templatesMax {
			return false
		}
	}
	return true
}

// ReadColumns reads the columns of row group i, in memory that other columns had where old is not nil. A
// damaged page is codec.ErrCorrupt with file and offset.
func (s *Segment) ReadColumns(i int, old *Columns) (*Columns, error) {
	c := old
	if c == nil {
		c = new(Columns)
	}
	r := s.reader(i, 0, s.groups[i].Rows, Projection{All: true})
	defer r.done()
	c.forget()
	c.s, c.group, c.number = s, r.group, i
	r.text.Text, r.text.Ends = c.texts, append(c.ends, 0)
	r.fetchPages()
	c.fixed(r)
	c.level(r, span.SpanLevel, nil)
	if ends := r.endsOf(colEventCount); ends != nil {
		c.level(r, span.EventLevel, ends)
		n := int(ends[len(ends)-1])
		c.eventTimes = r.appendIntegers(c.eventTimes, colEventTime, n, 0, n)
		c.eventResidues = c.optional(r, colEventResidue, n)
	}
	if ends := r.endsOf(colLinkCount); ends != nil {
		c.level(r, span.LinkLevel, ends)
		n := int(ends[len(ends)-1])
		c.linkTraces = append(c.linkTraces, r.raw(colLinkTraceID, n, 16, 0, n)...)
		c.linkSpans = append(c.linkSpans, r.raw(colLinkSpanID, n, 8, 0, n)...)
		c.linkResidues = c.optional(r, colLinkResidue, n)
	}
	c.texts, c.ends = r.text.Text, r.text.Ends
	r.text.Text, r.text.Ends = nil, nil
	r.text.Take(0)
	if r.err != nil {
		return nil, r.err
	}
	c.added = zeroed(c.added, len(c.ends))
	c.weigh()
	return c, nil
}

// forget empties all that a row group before has left, and keeps the memory: what the next one has none
// of is not read, and must not be found.
func (c *Columns) forget() {
	*c = Columns{
		starts: c.starts[:0], lengths: c.lengths[:0], spanIDs: c.spanIDs[:0], parents: c.parents[:0], resources: c.resources[:0],
		eventTimes: c.eventTimes[:0], linkTraces: c.linkTraces[:0], linkSpans: c.linkSpans[:0],
		levels: c.levels, texts: c.texts[:0], ends: c.ends[:0], added: c.added[:0],
	}
	for i := range c.levels {
		l := &c.levels[i]
		*l = unpackedItems{values: l.values[:0], uses: l.uses[:0], places: l.places[:0], begins: l.begins[:0], marks: l.marks[:0]}
	}
}

// endsOf gives where the events or links of each row end; nil where there are none.
func (r *rowReader) endsOf(col uint32) []uint32 {
	p := r.page(col, func(payload []byte) (*page, error) { return openEnds(payload, r.group.Rows) })
	if p == nil || p.ends[len(p.ends)-1] == 0 {
		return nil
	}
	return p.ends
}

// fixed reads what every row has.
func (c *Columns) fixed(r *rowReader) {
	n := c.group.Rows
	c.starts = r.appendIntegers(c.starts, colStart, n, 0, n)
	c.lengths = r.appendIntegers(c.lengths, colDuration, n, 0, n)
	c.resources = r.appendIntegers(c.resources, colResource, n, 0, n)
	for _, code := range c.resources {
		if code >= uint64(len(c.group.resources)) {
			r.fail(colResource, codec.Corrupt("resource %d of %d", code, len(c.group.resources)))
		}
	}
	r.b.SpanIDs, r.b.ParentIDs = c.spanIDs, c.parents
	r.ids()
	c.spanIDs, c.parents = r.b.SpanIDs, r.b.ParentIDs
	c.residues = c.optional(r, colResidue, n)
}

// optional gives the texts of a column, nil where it has no page.
func (c *Columns) optional(r *rowReader, col uint32, n int) []span.TextID {
	if _, ok := c.group.find(col); !ok {
		return nil
	}
	return r.texts(col, n, 0, n)
}

// level reads the items of a level, of which each row has those up to its end.
func (c *Columns) level(r *rowReader, level span.Level, ends []uint32) {
	l := &c.levels[level]
	l.ends = ends
	n := c.group.Rows
	if ends != nil {
		n = int(ends[len(ends)-1])
	}
	it := r.openCodes(level, n)
	if it == nil {
		if level == span.SpanLevel {
			r.fail(colTemplate, codec.Corrupt("no templates of spans"))
		}
		return
	}
	l.items = it.items
	total := 0
	for _, u := range it.items.uses {
		if isMapped(level, u.column) {
			r.fail(u.column, codec.Corrupt("attributes in a map column without its page"))
			return
		}
		if _, ok := c.group.find(u.column); !ok && u.column >= colFixed {
			r.fail(u.column, codec.Corrupt("column %d has values and no page", u.column))
			return
		}
		total += u.values
	}
	l.values = slices.Grow(l.values, total)
	for _, u := range it.items.uses {
		begin := len(l.values)
		if u.column < colFixed || c.s.columns[u.column-colFixed].kind.HasText() {
			l.values = appendTexts(r, l.values, u.column, u.values, 0, u.values)
		} else {
			l.values = r.appendIntegers(l.values, u.column, u.values, 0, u.values)
		}
		l.uses = append(l.uses, usedColumn{column: u.column, values: l.values[begin:]})
	}
	l.mark(c.s.templates[level], c.group.templates[level], colFixed+len(c.s.columns))
}

// mark works out where the values of an item are: of every code which uses have them, and of some
// items how many values come before.
func (l *unpackedItems) mark(t *templateTable, ids []uint32, columns int) {
	at := make([]uint32, columns)
	for i := range l.uses {
		at[l.uses[i].column] = uint32(i)
	}
	for code, count := range l.items.counts {
		l.begins = append(l.begins, uint32(len(l.places)))
		if count > 0 {
			for _, column := range t.ownOf(ids[code]) {
				l.places = append(l.places, at[column])
			}
		}
	}
	l.begins = append(l.begins, uint32(len(l.places)))
	sums := at[:len(l.uses)]
	clear(sums)
	l.each = max(markEach, len(l.uses)) // marks are no more numbers than there are items
	for i, code := range l.items.codes {
		if i%l.each == 0 {
			l.marks = append(l.marks, sums...)
		}
		for _, place := range l.places[l.begins[code]:l.begins[code+1]] {
			sums[place]++
		}
	}
}

// weigh adds up what the rows take at most.
func (c *Columns) weigh() {
	c.bytes = 128*c.group.Rows + 32*len(c.levels[span.EventLevel].codes()) + 64*len(c.levels[span.LinkLevel].codes())
	for _, list := range [...][]span.TextID{c.residues, c.eventResidues, c.linkResidues} {
		for _, id := range list {
			c.bytes += len(c.text(uint64(id)))
		}
	}
	for _, level := range levels {
		l := &c.levels[level]
		if l.items == nil {
			continue
		}
		for code, count := range l.items.counts {
			c.bytes += 16 * int(count) * len(c.s.templates[level].slotsOf(c.group.templates[level][code]))
		}
		for i := range l.uses {
			if u := &l.uses[i]; u.column < colFixed || c.s.columns[u.column-colFixed].kind.HasText() {
				for _, id := range u.values {
					c.bytes += len(c.text(id))
				}
			}
		}
	}
}

func (l *unpackedItems) codes() []uint32 {
	if l.items == nil {
		return nil
	}
	return l.items.codes
}

func (c *Columns) text(id uint64) []byte {
	if id == 0 {
		return nil
	}
	return c.texts[c.ends[id-1]:c.ends[id]]
}

// MemoryBytes is what the columns hold, by capacity.
func (c *Columns) MemoryBytes() int {
	total := 8*(cap(c.starts)+cap(c.lengths)+cap(c.spanIDs)+cap(c.parents)+cap(c.resources)+cap(c.eventTimes)+cap(c.added)) +
		4*(cap(c.residues)+cap(c.eventResidues)+cap(c.linkResidues)+cap(c.ends)) + cap(c.linkTraces) + cap(c.linkSpans) + cap(c.texts)
	for i := range c.levels {
		l := &c.levels[i]
		total += 8*cap(l.values) + 4*(cap(l.codes())+cap(l.ends)+cap(l.places)+cap(l.begins)+cap(l.marks)) + int(unsafe.Sizeof(usedColumn{}))*cap(l.uses)
		if l.items != nil {
			total += 4*(cap(l.items.counts)+cap(l.items.users)) + int(unsafe.Sizeof(use{}))*cap(l.items.uses)
		}
	}
	return total
}

// CompareRows is Compare of rows of one trace in columns.
func CompareRows(a *Columns, i int, b *Columns, k int, read ReadFunc) (int, error) {
	if c := cmp.Compare(a.starts[i], b.starts[k]); c != 0 {
		return c, nil
	}
	if c := cmp.Or(bytes.Compare(a.spanIDs[i][:], b.spanIDs[k][:]), cmp.Compare(a.kind(i), b.kind(k))); c != 0 {
		return c, nil
	}
	x, err := read(a.s, a.number)
	if err != nil {
		return 0, err
	}
	y, err := read(b.s, b.number)
	if err != nil {
		return 0, err
	}
	return span.Compare(span.Row{Batch: x, Pos: i}, span.Row{Batch: y, Pos: k}), nil
}

func (c *Columns) kind(row int) int32 {
	code := c.levels[span.SpanLevel].items.codes[row]
	return int32(c.s.templates[span.SpanLevel].scalarsAt(c.group.templates[span.SpanLevel][code])[scalarKind])
}
