package segment

import (
	"cmp"
	"slices"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
)

// What stands in a segment attribute by attribute: counted by the footer's sections where
// they know, else by the pages. Whoever asks about one key reads the pages of that key.

// KeyCounts counts the values of the attributes of spans, events and links, but for those in
// map columns. complete is false where there were too many keys for a list; it is empty then.
func (s *Segment) KeyCounts() (counts []index.KeyCount, complete bool, err error) {
	ref := s.refs[sectionKeys]
	payload, err := s.readPage(ref.offset, ref.length)
	if err != nil {
		return nil, false, err
	}
	if counts, complete, err = index.DecodeKeyCounts(payload); err != nil {
		return nil, false, codec.At(err, s.info.Name, ref.offset)
	}
	return counts, complete, nil
}

// TemplateRows gives how many spans, events or links have each template that row groups share.
// The slice is shared and not to be changed.
func (s *Segment) TemplateRows(level span.Level) []uint64 { return s.templates[level].rows }

// ResourceRows gives how many rows have each resource. A row group with one resource tells it
// without being read; before each other one between is asked whether to go on.
func (s *Segment) ResourceRows(between func() error) ([]uint64, error) {
	rows := make([]uint64, len(s.resources.Resources))
	var codes []uint64
	for i := range s.groups {
		g := &s.groups[i]
		if len(g.resources) == 1 {
			rows[g.resources[0]] += uint64(g.Rows)
			continue
		}
		if err := between(); err != nil {
			return nil, err
		}
		scan, done := s.scanOnce(i, Projection{})
		var err error
		if codes, err = scan.ResourceCodes(codes, nil); err == nil {
			for _, code := range codes {
				rows[g.resources[code]]++
			}
		}
		done()
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// ScopeRows gives how many rows have each scope: the templates tell, and those that a row
// group has of its own are read. Before each such group between is asked whether to go on.
func (s *Segment) ScopeRows(between func() error) ([]uint64, error) {
	rows := make([]uint64, len(s.scopes.Scopes))
	shared := s.templates[span.SpanLevel]
	for i, n := range shared.rows {
		rows[shared.scalarsAt(uint32(i))[scalarScope]] += n
	}
	for i := range s.groups {
		g := &s.groups[i]
		if g.local[span.SpanLevel] == 0 {
			continue
		}
		if err := between(); err != nil {
			return nil, err
		}
		err := s.eachOwnTemplate(i, span.SpanLevel, func(t *templateTable, id uint32, n uint64) {
			rows[t.scalarsAt(id)[scalarScope]] += n
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// eachOwnTemplate visits the templates of row group i's own with the number of their items.
func (s *Segment) eachOwnTemplate(i int, level span.Level, visit func(t *templateTable, id uint32, n uint64)) error {
	scan, done := s.scanOnce(i, levelProjection(level, nil))
	defer done()
	it, _ := scan.open(level)
	if it == nil || it.items.local == nil {
		return scan.err
	}
	shared := len(scan.group.templates[level])
	for id := range it.items.local.ends {
		visit(it.items.local, uint32(id), uint64(it.items.counts[shared+id]))
	}
	return nil
}

// OwnTemplates tells, for a level, of the templates that row groups have of their own: how many
// there are, and how many items have them.
func (s *Segment) OwnTemplates(level span.Level) (templates int, items uint64, err error) {
	for i := range s.groups {
		if s.groups[i].local[level] == 0 {
			continue
		}
		templates += int(s.groups[i].local[level])
		if err := s.eachOwnTemplate(i, level, func(_ *templateTable, _ uint32, n uint64) { items += n }); err != nil {
			return 0, 0, err
		}
	}
	return templates, items, nil
}

// levelProjection reads the attributes of one level, with these keys.
func levelProjection(level span.Level, keys map[string]bool) Projection {
	return Projection{Attrs: level == span.SpanLevel, Events: level == span.EventLevel, Links: level == span.LinkLevel, Keys: keys}
}

// scanOnce looks into row group i by reading what p asks for at once, and keeps nothing with
// Pages: who counts goes over everything, and would push out what searches come back to. done
// must be called.
func (s *Segment) scanOnce(i int, p Projection) (scan *GroupScan, done func()) {
	if p.Keys == nil {
		p.Keys = map[string]bool{}
	}
	r := s.reader(i, 0, s.groups[i].Rows, p)
	r.fetch()
	return &GroupScan{rowReader: *r}, func() {
		r.text.Take(0) // what the buffers keep must not begin the next batch
		r.done()
	}
}

// EachFolded visits what the templates that row groups share hold of attributes on a level: the
// value, a number or a text, and how many items have it. A value may come several times. The
// text is good until visit returns; id is the attribute's column.
func (s *Segment) EachFolded(level span.Level, visit func(id uint32, text []byte, number, items uint64)) {
	t := s.templates[level]
	for i := range t.ends {
		t.eachValue(uint32(i), s.columns, func(id uint32, text []byte, number uint64) { visit(id, text, number, t.rows[i]) })
	}
}

// eachValue visits the attributes whose value stands in template i.
func (t *templateTable) eachValue(i uint32, columns []columnKey, visit func(id uint32, text []byte, number uint64)) {
	for _, slot := range t.slotsOf(i) {
		switch {
		case slot.own || slot.column < colFixed:
		case columns[slot.column-colFixed].kind.HasText():
			visit(slot.column, t.text(slot.value), 0)
		default:
			visit(slot.column, nil, slot.value)
		}
	}
}

// AttributeColumns are the ids of all attribute columns, ascending.
func (s *Segment) AttributeColumns() []uint32 {
	ids := make([]uint32, len(s.columns))
	for i := range ids {
		ids[i] = uint32(colFixed + i)
	}
	return ids
}

// Column tells of an attribute column.
func (s *Segment) Column(id uint32) (level span.Level, key string, kind span.ValueType) {
	c := s.columns[id-colFixed]
	return c.level, c.key, c.kind
}

// EachOwn visits the values of an attribute column in row group i that do not stand in shared
// templates: those that stand with rows, and those in templates of the group's own. Items and
// texts are as EachFolded has them.
func (s *Segment) EachOwn(i int, id uint32, visit func(text []byte, number, items uint64)) error {
	level, key, _ := s.Column(id)
	g := &s.groups[i]
	if _, stands := g.find(id); !stands && g.local[level] == 0 {
		return nil
	}
	scan, done := s.scanOnce(i, levelProjection(level, map[string]bool{key: true}))
	defer done()
	return scan.eachOwn(id, level, visit)
}

func (g *GroupScan) eachOwn(id uint32, level span.Level, visit func(text []byte, number, items uint64)) error {
	it, _ := g.open(level)
	if it == nil {
		return g.err
	}
	if local := it.items.local; local != nil {
		shared := len(g.group.templates[level])
		for i := range local.ends {
			local.eachValue(uint32(i), g.s.columns, func(column uint32, text []byte, number uint64) {
				if column == id {
					visit(text, number, uint64(it.items.counts[shared+i]))
				}
			})
		}
	}
	i, ok := slices.BinarySearchFunc(it.items.uses, id, func(u use, id uint32) int { return cmp.Compare(u.column, id) })
	if !ok {
		return nil
	}
	err := g.eachStanding(id, it.items.uses[i].values, visit)
	return err
}

// eachStanding visits the n values of a column's page; equal texts of its dictionary come as one.
func (g *GroupScan) eachStanding(id uint32, n int, visit func(text []byte, number, items uint64)) error {
	if g.s.columns[id-colFixed].kind.HasText() {
		_, err := g.textsStanding(id, n, func(text []byte, items uint64) { visit(text, 0, items) })
		return err
	}
	numbers, err := g.numbersStanding(id, n)
	for _, v := range numbers {
		visit(nil, v, 1)
	}
	return err
}

// numbersStanding gives the n values of a column's page, until the next integers.
func (g *GroupScan) numbersStanding(id uint32, n int) ([]uint64, error) {
	if !g.stands(id) {
		return nil, g.err
	}
	numbers := g.integers(id, n, 0, n)
	if g.err != nil {
		return nil, g.err
	}
	return numbers, nil
}

// stands reports whether a column with values has a page; g.err has it where not.
func (g *GroupScan) stands(id uint32) bool {
	_, ok := g.group.find(id)
	if !ok {
		g.fail(id, codec.Corrupt("column %d has values and no page", id))
	}
	return ok
}

// textsStanding visits the distinct texts of a column's page of n, and gives the place of each
// value in g.text, until the next texts.
func (g *GroupScan) textsStanding(id uint32, n int, visit func(text []byte, items uint64)) ([]span.TextID, error) {
	if !g.stands(id) {
		return nil, g.err
	}
	p := g.page(id, func(payload []byte) (*page, error) { return openTexts(payload, n) })
	if g.err != nil {
		return nil, g.err
	}
	table := &g.text // empty, with room for the page
	ids, err := column.DecodeTexts(g.textPlaces[:0], table, p.texts, 0, n)
	if g.textPlaces = ids; err != nil {
		g.fail(id, err)
		return nil, g.err
	}
	g.textCounts = slices.Grow(g.textCounts[:0], len(table.Ends))[:len(table.Ends)]
	clear(g.textCounts)
	for _, text := range ids {
		g.textCounts[text]++
	}
	for text, items := range g.textCounts {
		if items > 0 {
			visit(table.Value(uint32(text)), items)
		}
	}
	return ids, nil
}

// EachMapped visits the attributes in a map column of row group i: those of keys that came when
// there were as many columns as there may be. A key of one type stands either in a column or
// here. keys narrows it, nil is all.
func (s *Segment) EachMapped(i int, level span.Level, keys map[string]bool, visit func(b *span.Batch, a span.Attr)) error {
	if _, mapped := s.groups[i].find(columnsOf(level).first + mapType); !mapped {
		return nil
	}
	b, err := s.ReadGroup(i, levelProjection(level, keys))
	if err != nil {
		return err
	}
	for _, list := range [...][]span.Attr{b.Attrs, b.EventAttrs, b.LinkAttrs} { // of spans, each stands as often as it is there
		for _, a := range list {
			if !s.hasColumn(level, b.String(a.Key), a.Type) {
				visit(b, a)
			}
		}
	}
	return nil
}

func (s *Segment) hasColumn(level span.Level, key string, kind span.ValueType) bool {
	return slices.ContainsFunc(s.byKey[level][key], func(id uint32) bool { return s.columns[id-colFixed].kind == kind })
}
