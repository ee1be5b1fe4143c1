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

// foreign is what a segment's resources, scopes, templates and columns are here; 0 is not
// known yet.
type foreign struct {
	s                 *Segment
	resources, scopes []uint32 // id + 1
	templates         [span.Levels][]uint32
	texts             [span.Levels][]uint32  // of templates: ids among those of templates here
	columns           []uint32               // id
	carried           [span.Levels][]carried // by template
}

func (w *Writer) foreignOf(s *Segment) *foreign {
	if w.foreign == nil {
		w.foreign = map[*Segment]*foreign{}
	}
	f := w.foreign[s]
	if f == nil {
		f = &foreign{
			s:         s,
			resources: make([]uint32, len(s.resources.Resources)), scopes: make([]uint32, len(s.scopes.Scopes)),
			columns: make([]uint32, len(s.columns)),
		}
		for _, level := range levels {
			f.templates[level] = make([]uint32, s.templates[level].len())
			f.carried[level] = make([]carried, s.templates[level].len())
			f.texts[level] = make([]uint32, len(s.templates[level].texts.Ends))
		}
		w.foreign[s] = f
	}
	return f
}

// resource gives the number here of a resource of the segment.
func (f *foreign) resource(w *Writer, id uint32) uint32 {
	if f.resources[id] == 0 {
		f.resources[id] = w.resources.id(f.s.resources, id) + 1
	}
	return f.resources[id] - 1
}

// scope does the same for a scope.
func (f *foreign) scope(w *Writer, id uint32) uint32 {
	if f.scopes[id] == 0 {
		f.scopes[id] = w.scopes.id(f.s.scopes, id) + 1
	}
	return f.scopes[id] - 1
}

// text gives the id here of a text of a level's templates.
func (f *foreign) text(w *Writer, level span.Level, text uint64) uint64 {
	here := &f.texts[level][text]
	if *here == 0 {
		*here = uint32(w.templateTexts.interner.Intern(f.s.templates[level].text(text)))
	}
	return uint64(*here)
}

// column gives the number here of an attribute column: its level's map column where there are as
// many columns as allowed.
func (f *foreign) column(w *Writer, id uint32) uint32 {
	here := &f.columns[id-colFixed]
	if *here == 0 {
		key := f.s.columns[id-colFixed]
		if _, known := w.columnIDs[key]; !known && len(w.columns) == attributeColumnsMax {
			return columnsOf(key.level).first
		}
		*here = w.columnFor(key)
	}
	return *here
}

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
	c := groupCopy{w: w, s: s, scan: &GroupScan{rowReader: *r}, from: &s.groups[i], known: w.foreignOf(s), copyBuffers: &w.copied}
	c.scan.b.SpanIDs, c.scan.b.ParentIDs = c.spanIDs[:0], c.parentIDs[:0]
	if w.err = c.traces(); w.err == nil {
		w.err = c.write()
	}
	c.spanIDs, c.parentIDs = c.scan.b.SpanIDs, c.scan.b.ParentIDs
	w.settleCopied()
	return w.err == nil, w.err
}

// TakesGroup reports whether AddGroup would take row group i of s now, as far as that can be told
// without reading it.
func (w *Writer) TakesGroup(s *Segment, i int) bool { return w.takes(s, &s.groups[i]) }

// hasRoomFor reports whether the columns of s fit beside those that are there.
func (w *Writer) hasRoomFor(s *Segment) bool {
	columns := len(w.columns)
	if columns+len(s.columns) <= attributeColumnsMax {
		return true
	}
	for _, key := range s.columns {
		if _, known := w.columnIDs[key]; !known {
			columns++
		}
	}
	return columns <= attributeColumnsMax
}

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
	w     *Writer
	s     *Segment
	scan  *GroupScan
	from  *groupRef
	known *foreign
	ref   groupRef
	items [span.Levels]*items
	spans []uint32            // templates of spans here, by their codes there
	fresh map[uint32][]uint64 // codes that are others here than there, by column
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
	var err error
	if c.lengths, err = c.scan.Lengths(c.lengths, nil); err != nil {
		return err
	}
	if c.scan.ids(); c.scan.err != nil {
		return c.scan.err
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
		if c.known.templates[level][id] == 0 {
			c.known.templates[level][id] = c.template(level, id) + 1
		}
		ids[k] = c.known.templates[level][id] - 1
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

// template gives the number here of a template of the source.
func (c *groupCopy) template(level span.Level, id uint32) uint32 {
	fold, t := c.w.folding[level], c.s.templates[level]
	fold.scalars = append(fold.scalars[:0], t.scalarsAt(id)...)
	if level == span.SpanLevel {
		fold.scalars[scalarScope] = c.known.scope(c.w, fold.scalars[scalarScope])
	}
	fold.slots = fold.slots[:0]
	for _, s := range t.slotsOf(id) {
		if hasText, _ := slotOf(level, uint64(s.column), c.s.columns); hasText && !s.own {
			s.value = c.known.text(c.w, level, s.value)
		}
		if s.column >= colFixed {
			s.column = c.column(s.column)
		}
		fold.slots = append(fold.slots, s)
	}
	hash := templateHash(fold.scalars, fold.slots)
	here, place, ok := fold.shared.find(hash, fold.scalars, fold.slots)
	if !ok {
		here = fold.shared.add(hash, place, fold.scalars, fold.slots)
		fold.shared.table.rows = append(fold.shared.table.rows, 0)
	}
	return here
}

// column gives the number here of an attribute column of the source; takes has seen to it that
// there may be one.
func (c *groupCopy) column(id uint32) uint32 { return c.known.column(c.w, id) }

// values filters and counts what stands with the rows of a level.
func (c *groupCopy) values(level span.Level) error {
	if c.items[level] == nil {
		return nil
	}
	g := c.w.group
	for _, u := range c.items[level].uses {
		if u.column < colFixed {
			continue
		}
		id := c.column(u.column)
		kind, stats := c.w.columns[id-colFixed].kind, &c.w.keys[id-colFixed]
		stats.Values += uint64(u.values)
		g.hashes = g.hashes[:0]
		var numbers []uint64
		var texts []span.TextID
		var err error
		if kind.HasText() {
			texts, err = c.scan.textsStanding(u.column, u.values, func(value []byte, items uint64) {
				stats.TextBytes += items * uint64(len(value))
				g.countHash(stats, codec.HashText(value), len(value))
			})
		} else if numbers, err = c.scan.numbersStanding(u.column, u.values); err == nil {
			g.hashes = appendNumberHashes(g.hashes, kind, numbers)
		}
		if err != nil {
			return err
		}
		c.standing(id, u, texts, numbers)
		c.scan.text.Text, c.scan.text.Ends = c.scan.text.Text[:0], c.scan.text.Ends[:1]
		stats.counter.AddAll(g.hashes)
		if hasFilter(kind) {
			c.w.filters.add(id, len(c.w.groups), g.hashes)
		}
	}
	return nil
}
