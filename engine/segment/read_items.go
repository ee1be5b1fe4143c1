package segment

import (
	"cmp"
	"slices"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// ownColumn is the values of a column that the items of a read have, front to back.
type ownColumn struct {
	column uint32
	use    int         // its position among the uses
	total  int         // values in the row group
	before int         // values of items before those read
	count  int         // values of the items read
	first  int         // of the values
	attrs  []span.Attr // of a map column
	at     int
}

// itemReader reads items [from, to) of a level of a row group, in the memory of the read's
// itemBuffers.
type itemReader struct {
	*rowReader
	level    span.Level
	items    *items
	itemPage *page // that the items stand in
	from, to int
}

// compiledTemplate is a template as one batch tells it.
type compiledTemplate struct {
	scalars []uint32
	slots   []compiledSlot // those asked for
}

type compiledSlot struct {
	attr   span.Attr
	id     uint32 // of attr in the batch, where that is of a span and has the value
	column uint32
	isText bool // and no attribute
	own    int  // position in own + 1, 0 where attr has the value
}

// openLevel opens a level with n items to read those from from to to; nil where there is none
// or after an error.
func (r *rowReader) openLevel(level span.Level, n, from, to int) *itemReader {
	it := r.openCodes(level, n)
	if it != nil {
		it.from, it.to = from, to
		if r.bare {
			r.origin.bare[level] = it.bareValues()
			return it
		}
		it.countCodes()
		if !it.writes() || !it.prepareWrite() {
			it.growTables()
		}
		it.findOwn()
	}
	return it
}

// openCodes opens the codes of a level with n items; nil where there is none or after an error.
func (r *rowReader) openCodes(level span.Level, n int) *itemReader {
	if n == 0 || r.err != nil {
		return nil
	}
	col := columnsOf(level).template
	p := r.page(col, func(payload []byte) (*page, error) { return r.s.openItems(r.group, level, payload, n) })
	if p == nil && r.err == nil { // all have the first template
		if r.group.codes(level) == 0 || r.group.local[level] > 0 {
			r.fail(col, codec.Corrupt("no templates for %d spans, events or links", n))
			return nil
		}
		p, r.err = r.s.itemsPage(r.group, level, &items{codes: make([]uint32, n)})
	}
	if r.err != nil {
		return nil
	}
	if r.origin != nil {
		r.origin.levels[level] = p.items
	}
	return &itemReader{rowReader: r, level: level, items: p.items, itemPage: p}
}

// countCodes counts how many of the items have each code.
func (it *itemReader) countCodes() {
	it.forget()
	codes := len(it.items.counts)
	it.within, it.compiled = zeros(it.within, codes), zeros(it.compiled, codes)
	for _, code := range it.items.codes[it.from:it.to] {
		if it.within[code]++; it.within[code] == 1 {
			it.codes = append(it.codes, code)
		}
	}
}

// growTables makes room for the templates of all codes.
func (it *itemReader) growTables() {
	slots := 0
	for _, code := range it.codes {
		t, id := it.s.templateOf(it.group, it.level, it.items, code)
		slots += len(t.slotsOf(id))
	}
	if !it.p.level(it.level) {
		slots = textsMax * len(it.codes)
	}
	it.tables = slices.Grow(it.tables, len(it.codes))
	it.slots = slices.Grow(it.slots, slots)
}

// textsMax are the slots of a template that are no attributes.
const textsMax = 3

// findOwn works out which values of which columns the items have: a column's values stand
// in the order of the items, so those of the items before are passed over.
func (it *itemReader) findOwn() {
	if it.writes() {
		it.countOwnWritten()
	} else {
		it.countOwn()
	}
	if len(it.own) == 0 {
		return
	}
	if it.from > 0 {
		it.countBefore()
	}
	values := 0
	for i := range it.own {
		values += it.own[i].count
	}
	it.values = slices.Grow(it.values, values)
	for i := range it.own {
		it.decode(&it.own[i])
	}
}

// countOwn counts the values of the items by column.
func (it *itemReader) countOwn() {
	for _, code := range it.codes {
		t, id := it.s.templateOf(it.group, it.level, it.items, code)
		for _, column := range t.ownOf(id) {
			if it.wants(column) {
				it.own[it.ownOf(column)].count += int(it.within[code])
			}
		}
	}
}

// countBefore counts the values of the items before those read.
func (it *itemReader) countBefore() {
	if len(it.items.counts) == 1 { // as many in each item
		for i := range it.own {
			it.own[i].before = it.own[i].count / (it.to - it.from) * it.from
		}
		return
	}
	marks := it.s.marksOf(it.group, it.level, it.items)
	mark, first := it.items.markBefore(it.from)
	for i := range it.own {
		it.own[i].before = int(marks[mark*len(it.items.uses)+it.own[i].use])
	}
	for _, code := range it.items.codes[first:it.from] {
		t, id := it.s.templateOf(it.group, it.level, it.items, code)
		for _, column := range t.ownOf(id) {
			if at := it.ownAt[column]; at > 0 {
				it.own[at-1].before++
			}
		}
	}
}

// ownOf gives the place of a column in own, a new one at first.
func (it *itemReader) ownOf(column uint32) int {
	it.ownAt = zeros(it.ownAt, colFixed+len(it.s.columns))
	if it.ownAt[column] == 0 {
		i, _ := slices.BinarySearchFunc(it.items.uses, column, func(u use, column uint32) int { return cmp.Compare(u.column, column) })
		it.own = append(it.own, ownColumn{column: column, use: i, total: it.items.uses[i].values})
		it.ownAt[column] = uint32(len(it.own))
		it.ownUsed = append(it.ownUsed, column)
	}
	return int(it.ownAt[column] - 1)
}

// wants reports whether the projection asks for a column of templates.
func (it *itemReader) wants(col uint32) bool {
	p := &it.p
	switch {
	case col == colName:
		return p.Names
	case col == colStatusMessage:
		return p.Identity
	case col == colTraceState:
		return p.All
	case col < colFixed && !isMapped(it.level, col):
		return p.level(it.level) // the name of an event, the trace state of a link
	case !p.level(it.level):
		return false
	}
	return col < colFixed || p.Keys == nil || p.Keys[it.s.columns[col-colFixed].key]
}

// decode reads the values of a column.
func (it *itemReader) decode(c *ownColumn) {
	from, to := c.before, c.before+c.count
	c.first = len(it.values)
	switch {
	case isMapped(it.level, c.column):
		c.attrs = it.mapped(c.column, c.total, from, to)
		return
	case c.column >= colFixed && it.writes() && it.s.columns[c.column-colFixed].kind.HasText():
		it.values = appendTextsTo(it.rowReader, &it.ownText, it.values, c.column, c.total, from, to)
	case c.column < colFixed || it.s.columns[c.column-colFixed].kind.HasText():
		it.values = appendTexts(it.rowReader, it.values, c.column, c.total, from, to)
	default:
		it.values = it.appendIntegers(it.values, c.column, c.total, from, to)
	}
	if _, ok := it.group.find(c.column); !ok && c.column >= colFixed {
		it.fail(c.column, codec.Corrupt("column %d has values and no page", c.column))
	}
}

// mapped reads attributes [from, to) of the n of a map column.
func (it *itemReader) mapped(first uint32, n, from, to int) []span.Attr {
	attrs := make([]span.Attr, to-from)
	withText, before := 0, 0
	for i, kind := range it.integers(first+mapType, n, 0, n) {
		if kind >= span.ValueTypes {
			it.fail(first+mapType, codec.Corrupt("attribute type %d", kind))
			return nil
		}
		if i >= from && i < to {
			attrs[i-from].Type = span.ValueType(kind)
		}
		if span.ValueType(kind).HasText() {
			if withText++; i < from {
				before++
			}
		}
	}
	mine := 0
	for _, a := range attrs {
		if a.Type.HasText() {
			mine++
		}
	}
	for i, key := range it.texts(first+mapKey, n, from, to) {
		attrs[i].Key = key
	}
	texts := it.texts(first+mapText, withText, before, before+mine)
	numbers := it.integers(first+mapNumber, n-withText, from-before, to-before-mine)
	for i := range attrs {
		if a := &attrs[i]; a.Type.HasText() {
			a.Value, texts = uint64(texts[0]), texts[1:]
		} else {
			a.Value, numbers = numbers[0], numbers[1:]
		}
	}
	return attrs
}

// template gives the template of a code as this batch tells it.
func (it *itemReader) template(code uint32) *compiledTemplate {
	if at := it.compiled[code]; at > 0 {
		return &it.tables[at-1]
	}
	t, id := it.s.templateOf(it.group, it.level, it.items, code)
	first, attrs := len(it.slots), it.p.level(it.level)
	for _, s := range t.slotsOf(id) {
		isAttr := s.column >= colFixed || isMapped(it.level, s.column)
		if isAttr && !attrs {
			break // texts come first
		}
		if !it.wants(s.column) {
			continue
		}
		out := compiledSlot{column: s.column, isText: !isAttr}
		hasText := s.column < colFixed
		if s.column >= colFixed {
			kind := it.s.columns[s.column-colFixed].kind
			hasText = kind.HasText()
			out.attr.Type, out.attr.Key = kind, it.key(s.column)
		}
		switch {
		case s.own:
			out.own = it.ownOf(s.column) + 1
		case hasText:
			out.attr.Value = uint64(it.foldedText(t, s.value))
		default:
			out.attr.Value = s.value
		}
		if attrs && it.level == span.SpanLevel && isAttr && !s.own {
			out.id = it.attrs.ID(it.b, out.attr)
		}
		it.slots = append(it.slots, out)
	}
	it.tables = append(it.tables, compiledTemplate{t.scalarsAt(id), it.slots[first:len(it.slots):len(it.slots)]})
	it.compiled[code] = uint32(len(it.tables))
	return &it.tables[len(it.tables)-1]
}

// key gives the text of a column's key in the batch.
func (r *rowReader) key(col uint32) span.TextID {
	col -= colFixed
	for len(r.keys) <= int(col) {
		r.keys = append(r.keys, make([]span.TextID, len(r.s.columns)-len(r.keys))...)
	}
	if r.keys[col] == 0 {
		r.keys[col] = r.addText([]byte(r.s.columns[col].key)) + 1
		r.keysUsed = append(r.keysUsed, col)
	}
	return r.keys[col] - 1
}

// eachSpan visits spans in order: text is handed those texts that are no attributes, and the
// attributes go to the batch. Those of templates stand there once, what stands with the rows as
// often as it does.
func (it *itemReader) eachSpan(text func(i int, col uint32, id span.TextID), end func(i int, scalars []uint32)) {
	b := it.b
	ids, attrs := b.AttrIDs, b.Attrs
	for i, code := range it.items.codes[it.from:it.to] {
		c := it.template(code)
		if it.err != nil {
			return
		}
		for k := range c.slots {
			s := &c.slots[k]
			if s.own == 0 {
				if s.isText {
					text(i, s.column, span.TextID(s.attr.Value))
				} else {
					ids = append(ids, s.id)
				}
				continue
			}
			a := it.nextOwn(s)
			switch {
			case s.isText:
				text(i, s.column, span.TextID(a.Value))
			case s.column >= colFixed || it.p.Keys == nil || it.p.Keys[string(it.textOf(a.Key))]:
				ids = append(ids, uint32(len(attrs)))
				attrs = append(attrs, a)
			}
		}
		b.AttrIDs, b.Attrs = ids, attrs
		end(i, c.scalars)
	}
}

// nextOwn gives the attribute of a slot whose value stands with the item.
func (it *itemReader) nextOwn(s *compiledSlot) span.Attr {
	own, a := &it.own[s.own-1], s.attr
	if own.attrs != nil {
		a = own.attrs[own.at]
	} else {
		a.Value = it.values[own.first+own.at]
	}
	own.at++
	return a
}

// each visits events or links in order: text is handed those texts that are no attributes, and
// the attributes go to dst.
func (it *itemReader) each(dst *[]span.Attr, text func(i int, col uint32, id span.TextID), end func(i int, scalars []uint32)) {
	for i, code := range it.items.codes[it.from:it.to] {
		c := it.template(code)
		if it.err != nil {
			return
		}
		for k := range c.slots {
			s := &c.slots[k]
			a := s.attr
			if s.own > 0 {
				a = it.nextOwn(s)
			}
			switch {
			case s.isText:
				text(i, s.column, span.TextID(a.Value))
			case s.column >= colFixed || it.p.Keys == nil || it.p.Keys[string(it.textOf(a.Key))]:
				*dst = append(*dst, a)
			}
		}
		end(i, c.scalars)
	}
}

func (r *rowReader) textOf(id span.TextID) []byte {
	if id == 0 {
		return nil
	}
	return r.text.Text[r.text.Ends[id-1]:r.text.Ends[id]]
}

// total is how many attributes the items have, at most.
func (it *itemReader) total() (n int) {
	for _, code := range it.codes {
		n += int(it.within[code]) * len(it.template(code).slots)
	}
	return n
}

// totalOwn is how many values stand with the items, at most as many attributes.
func (it *itemReader) totalOwn() (n int) {
	for i := range it.own {
		n += it.own[i].count
	}
	return n
}
