package segment

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// A merge whose inputs hardly overlap in time, as flushes of one shard do, takes most row
// groups over as they stand: their pages are copied. What names things of the segment is told
// anew: the codes of resources and templates, the numbers of columns, the directory. Values
// that stand with the rows are looked at for the filters and counts alone.

// AddGroup appends row group i of s as it stands. Its rows come next in the order of Add, and
// the trace that they begin with may have come before; s stays open until Finish. taken is
// false, and nothing was done, where that cannot be: where the group has templates of its own
// or attributes in map columns, or this segment may not have that many templates or columns.
func (w *Writer) AddGroup(s *Segment, i int) (taken bool, err error) {
	if w.err != nil || !w.takes(s, &s.groups[i]) {
		return false, w.err
	}
	w.endGroup()
	if w.err != nil {
		return false, w.err
	}
	r := s.reader(i, 0, s.groups[i].Rows, Projection{All: true})
	defer func() {
		r.text.Take(0) // what the buffers keep must not begin the next batch
		r.done()
	}()
	if r.fetch(); r.err != nil {
		w.err = r.err
		return false, r.err
	}
	c := groupCopy{w: w, s: s, scan: &GroupScan{rowReader: *r}, from: &s.groups[i], number: i, known: w.foreignOf(s), copyBuffers: &w.copied}
	c.scan.b.SpanIDs, c.scan.b.ParentIDs = c.spanIDs[:0], c.parentIDs[:0]
	if w.err = c.traces(); w.err == nil {
		w.err = c.write()
	}
	c.spanIDs, c.parentIDs = c.scan.b.SpanIDs, c.scan.b.ParentIDs
	c.known.passed(w, i+1)
	w.settleCopied()
	return w.err == nil, w.err
}

// TakesGroup reports whether AddGroup would take row group i of s now, as far as that can be told
// without reading it.
func (w *Writer) TakesGroup(s *Segment, i int) bool { return w.takes(s, &s.groups[i]) }

// takes reports whether a row group of s can stand here as it is.
func (w *Writer) takes(s *Segment, g *groupRef) bool {
	if !w.hasRoomFor(s) || w.info.Rows+g.Rows > rowsMax {
		return false
	}
	if !g.isPlain() {
		return false
	}
	for _, level := range levels {
		f := w.folding[level].shared
		if w.folding[level].crowded() || len(f.hashes)+len(g.templates[level]) > templatesMax {
			return false
		}
	}
	return true
}

// groupCopy is one row group on its way.
type groupCopy struct {
	w      *Writer
	s      *Segment
	scan   *GroupScan
	from   *groupRef
	number int // of it
	known  *foreign
	ref    groupRef
	items  [span.Levels]*items
	spans  []uint32            // templates of spans here, by their codes there
	fresh  map[uint32][]uint64 // codes that are others here than there, by column
	*copyBuffers
}

// copyBuffers are what a writer needs for one row group after another.
type copyBuffers struct {
	starts, lengths, resourceCodes []uint64
	codes                          [span.Levels][]uint64 // of templates here
	spanIDs, parentIDs             []span.SpanID
	places                         []uint64 // of ids in their order
}

// settleCopied forgets what odd groups made large.
func (w *Writer) settleCopied() {
	for level, codes := range w.copied.codes {
		if 8*cap(codes) > keptBytesMax {
			w.copied.codes[level] = nil
		}
	}
	if 4*cap(w.standing.with) > keptBytesMax {
		w.standing.with = nil
	}
}

// traces appends the traces of the group, or what the group has of them.
func (c *groupCopy) traces() error {
	starts, err := c.scan.Starts(c.starts, nil)
	if c.starts = starts; err != nil {
		return err
	}
	w, t, end := c.w, &c.s.traces, c.from.FirstRow+c.from.Rows
	for order := t.orderAt(c.from.FirstRow); order < len(t.byRow); order++ {
		i := t.byRow[order]
		first := int(t.first[i])
		if first >= end {
			break
		}
		rows := min(first+int(t.rows[i]), end) - max(first, c.from.FirstRow)
		if first < c.from.FirstRow {
			n := len(w.traces)
			if n == 0 || w.traces[n-1].id != t.ids[i] || starts[0] < w.lastStart {
				return fmt.Errorf("%s: the rest of trace %s is out of order", w.info.Name, t.ids[i])
			}
			w.traces[n-1].rows += uint32(rows)
			continue
		}
		at := first - c.from.FirstRow
		if err := w.begin(traceKey{starts[at], t.ids[i]}, w.info.Rows+at); err != nil {
			return err
		}
		w.traces[len(w.traces)-1].rows = uint32(rows)
	}
	w.lastStart = starts[len(starts)-1]
	return nil
}

// write writes the pages, and tells the directory and the index of them.
func (c *groupCopy) write() error {
	w, g := c.w, c.w.group
	c.ref = groupRef{GroupInfo: c.from.GroupInfo, offset: w.out.offset()}
	c.ref.FirstRow = w.info.Rows
	c.fresh = map[uint32][]uint64{}
	resources := c.resources()
	templates := c.templates(span.SpanLevel)
	c.templates(span.EventLevel)
	c.templates(span.LinkLevel)
	if c.scan.err != nil {
		return c.scan.err
	}
	for _, p := range c.pages() {
		if err := c.page(p); err != nil {
			return err
		}
	}
	for len(w.keys) < len(w.columns) {
		w.keys = append(w.keys, keyStats{})
	}
	for _, level := range levels {
		if err := c.values(level); err != nil {
			return err
		}
	}
	if err := c.cells(resources, templates); err != nil {
		return err
	}
	g.count(&c.ref)
	w.info.Rows += c.ref.Rows
	w.addRef(c.ref)
	return nil
}

// cells counts the rows.
func (c *groupCopy) cells(resources, templates []uint64) error {
	if !c.w.cells.summed {
		var err error
		if c.lengths, err = c.scan.Lengths(c.lengths, nil); err != nil {
			return err
		}
		if c.scan.ids(); c.scan.err != nil {
			return c.scan.err
		}
	}
	c.w.cells.add(c.w, &c.ref, rowColumns{
		resources: resources, templates: templates, starts: c.starts, lengths: c.lengths,
		ids: c.scan.b.SpanIDs, parentIDs: c.scan.b.ParentIDs,
	})
	return nil
}

// copiedPage is a page with the number that its column has here.
type copiedPage struct {
	column uint32
	bytes  []byte
}

// pages gives the pages in the order that they have here.
func (c *groupCopy) pages() []copiedPage {
	pages := make([]copiedPage, 0, len(c.from.pages)+4)
	for i, ref := range c.scan.plan {
		id := ref.column
		if id >= colFixed {
			id = c.column(id)
		}
		pages = append(pages, copiedPage{id, c.scan.bytes[i]})
	}
	for id := range c.fresh {
		if _, ok := c.from.find(id); !ok { // all were zero there
			pages = append(pages, copiedPage{column: id})
		}
	}
	slices.SortFunc(pages, func(a, b copiedPage) int { return cmp.Compare(a.column, b.column) })
	return pages
}

// page writes one page; where the codes in it are others, a new one.
func (c *groupCopy) page(p copiedPage) error {
	g := c.w.group
	g.page = g.page[:0]
	if codes, ok := c.fresh[p.column]; ok {
		if slices.ContainsFunc(codes, func(v uint64) bool { return v != 0 }) {
			g.page = g.pages.Append(g.page, nil, codes)
		}
		return g.writePage(&c.ref, p.column)
	}
	if err := column.CheckPage(p.bytes); err != nil {
		return codec.At(err, c.s.info.Name, c.from.offset)
	}
	g.page = append(g.page, p.bytes...)
	return g.writePage(&c.ref, p.column)
}

// resources gives the codes of the rows' resources.
func (c *groupCopy) resources() []uint64 {
	codes, err := c.scan.ResourceCodes(c.resourceCodes, nil)
	if c.resourceCodes = codes; err != nil {
		return nil
	}
	ids := make([]uint32, len(c.from.resources))
	for k, id := range c.from.resources {
		ids[k] = c.known.resource(c.w, id)
	}
	sorted, rank := c.ranked(ids)
	c.ref.resources, c.ref.longest = sorted, make([]uint64, len(sorted))
	for k, at := range rank {
		c.ref.longest[at] = c.from.longest[k]
	}
	if moved(rank) {
		for row, code := range codes {
			codes[row] = rank[code]
		}
		c.fresh[colResource] = codes
	}
	return codes
}

// moved reports whether ids do not rise in the order in which they stood.
func moved(rank []uint64) bool { return !slices.IsSorted(rank) }

// ranked sorts ids, of which none comes twice, and gives the new position of each until the next call.
func (b *copyBuffers) ranked(ids []uint32) (sorted []uint32, rank []uint64) {
	n := len(ids)
	b.places = slices.Grow(b.places[:0], 2*n)[:2*n]
	places, rank := b.places[:n], b.places[n:]
	for k, id := range ids {
		places[k] = uint64(id)<<32 | uint64(k)
	}
	slices.Sort(places)
	sorted = make([]uint32, n)
	for at, place := range places {
		sorted[at], rank[uint32(place)] = uint32(place>>32), uint64(at)
	}
	return sorted, rank
}

// templates gives the codes of the templates of a level, nil where the group has none of it.
func (c *groupCopy) templates(level span.Level) []uint64 {
	it, _ := c.scan.open(level)
	if it == nil {
		if level == span.SpanLevel && c.scan.err == nil {
			c.scan.fail(colTemplate, codec.Corrupt("no templates of spans"))
		}
		return nil
	}
	c.items[level] = it.items
	fold := c.w.folding[level]
	ids := make([]uint32, len(c.from.templates[level]))
	for k, id := range c.from.templates[level] {
		ids[k] = c.known.template(c.w, level, id)
		fold.more(ids[k], int(it.items.counts[k]))
	}
	if level == span.SpanLevel {
		c.spans = ids
	}
	sorted, rank := c.ranked(ids)
	c.ref.templates[level] = sorted
	codes := c.codes[level][:0]
	for _, code := range it.items.codes {
		codes = append(codes, rank[code])
	}
	c.codes[level] = codes
	if moved(rank) {
		c.fresh[columnsOf(level).template] = codes
	}
	return codes
}

// column gives the number here of an attribute column of the source; takes has seen to it that
// there may be one.
func (c *groupCopy) column(id uint32) uint32 { return c.known.column(c.w, id) }

// values filters and counts what stands with the rows of a level.
func (c *groupCopy) values(level span.Level) error {
	if c.items[level] == nil {
		return nil
	}
	for _, u := range c.items[level].uses {
		if u.column < colFixed {
			continue
		}
		if !c.scan.stands(u.column) {
			return c.scan.err
		}
		id := c.column(u.column)
		known, err := c.takeFilter(id, u)
		if key := c.w.columns[id-colFixed]; err == nil && (!known || c.w.standing.of(id, key) != nil) {
			err = c.look(id, u, known)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeFilter takes over the filter of a column; false where its values have to be looked at.
func (c *groupCopy) takeFilter(id uint32, u use) (known bool, err error) {
	if !c.w.keysSummed {
		return false, nil
	}
	if !hasFilter(c.w.columns[id-colFixed].kind) {
		return true, nil
	}
	filter, ok, err := c.known.filterOf(c.w, u.column, c.number)
	if err != nil || !ok || filter == nil {
		return false, err
	}
	c.w.filters.addBytes(id, len(c.w.groups), filter)
	return true, nil
}

// look looks at the values of a column, for its standing terms, and, where they are not known, for the filter
// and the counts.
func (c *groupCopy) look(id uint32, u use, known bool) error {
	g, kind, stats := c.w.group, c.w.columns[id-colFixed].kind, c.w.statsOf(id)
	stats.Values += uint64(u.values)
	g.hashes = g.hashes[:0]
	var numbers []uint64
	var texts []span.TextID
	var err error
	if kind.HasText() {
		texts, err = c.scan.textsStanding(u.column, u.values, func(value []byte, items uint64) {
			if !known {
				stats.TextBytes += items * uint64(len(value))
				g.countHash(stats, codec.HashText(value), len(value))
			}
		})
	} else if numbers, err = c.scan.numbersStanding(u.column, u.values); err == nil && !known {
		g.hashes = appendNumberHashes(g.hashes, kind, numbers)
	}
	if err != nil {
		return err
	}
	c.standing(id, u, texts, numbers)
	c.scan.text.Text, c.scan.text.Ends = c.scan.text.Text[:0], c.scan.text.Ends[:1]
	if known {
		return nil
	}
	if !c.w.keysSummed {
		stats.counter.AddAll(g.hashes)
	}
	if hasFilter(kind) {
		c.w.filters.add(id, len(c.w.groups), g.hashes)
	}
	return nil
}
