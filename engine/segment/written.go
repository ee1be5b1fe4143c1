package segment

import (
	"math"
	"slices"
	"sync/atomic"
	"unsafe" // for the size of what is kept alone

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// writtenTemplate is a span's template with its attributes as an AttrWriter wrote them: pieces, and
// between them the values that stand with the rows. A row's attributes are a few copies then. What
// a read looks at stands in one place: templates are many, and each is waited for.
type writtenTemplate struct {
	pieces  []byte       // and behind them the keys
	own     []writtenOwn // in few, where it has room
	few     [writtenOwnFew]writtenOwn
	outline outline
	texts   [textsMax][]byte // of the outline, in the table
	refused bool             // some attribute cannot be written, or all are too long
}

// refusedTemplate stands for all that are refused: to remember them takes nothing more.
var refusedTemplate = &writtenTemplate{refused: true}

// writtenOwn is a value that stands with the row, behind the pieces up to at. Its key is what the
// writer told of it, nothing in the map column.
type writtenOwn struct {
	at, keyAt, keyEnd uint32
	column            uint32
	kind              span.ValueType
}

// A written template is made when a read needs it, and kept with Pages: of those that row groups
// share in blocks of writtenBlockTemplates, for all row groups; of a row group's own with the page
// that they stand in. A block has its page's lock to itself for a moment once a read, and little
// that nobody asks for.
type writtenBlock [writtenBlockTemplates]atomic.Pointer[writtenTemplate]

// rowBytes is what a row of the template takes besides the values that stand with it: pieces, and the
// keys behind them.
func (w *writtenTemplate) rowBytes() int {
	if n := len(w.own); n > 0 {
		return int(w.own[n-1].keyEnd)
	}
	return len(w.pieces)
}

// memoryBytes is what keeping the template takes.
func (w *writtenTemplate) memoryBytes() int {
	if w.refused {
		return 0
	}
	bytes := int(unsafe.Sizeof(*w)) + cap(w.pieces)
	if len(w.own) > len(w.few) {
		bytes += int(unsafe.Sizeof(writtenOwn{})) * cap(w.own)
	}
	return bytes
}

// writtenLeast is about what rowBytes will be, and no more, of a template that is not written yet.
func (s *Segment) writtenLeast(t *templateTable, id uint32) (bytes int) {
	for _, slot := range t.slotsOf(id) {
		if slot.column < colFixed {
			continue
		}
		c := &s.columns[slot.column-colFixed]
		if bytes += attrBytesMin + len(c.key); !slot.own && c.kind.HasText() {
			bytes += len(t.text(slot.value))
		}
	}
	return bytes
}

// writeTemplate writes template id of a table.
func (s *Segment) writeTemplate(w span.AttrWriter, t *templateTable, id uint32) *writtenTemplate {
	if s.writtenLeast(t, id) > writtenRowBytesMax {
		return refusedTemplate
	}
	out := &writtenTemplate{outline: outlineOf(t.scalarsAt(id))}
	var pieces, key, keys []byte
	own := out.few[:0]
	for _, slot := range t.slotsOf(id) {
		isMap := isMapped(t.level, slot.column)
		if slot.column < colFixed && !isMap {
			out.addText(t, slot)
			continue
		}
		c, ok := columnKey{}, true
		if key = key[:0]; !isMap {
			c = s.columns[slot.column-colFixed]
			key, ok = w.AppendKey(key, []byte(c.key))
		}
		switch {
		case !ok:
		case slot.own:
			own = append(own, writtenOwn{uint32(len(pieces)), uint32(len(keys)), uint32(len(keys) + len(key)), slot.column, c.kind})
			keys = append(keys, key...)
		case c.kind.HasText():
			pieces, ok = w.AppendAttr(pieces, key, c.kind, 0, t.text(slot.value))
		default:
			pieces, ok = w.AppendAttr(pieces, key, c.kind, slot.value, nil)
		}
		if !ok || len(pieces)+len(keys) > writtenRowBytesMax {
			return refusedTemplate
		}
	}
	for i := range own {
		own[i].keyAt += uint32(len(pieces))
		own[i].keyEnd += uint32(len(pieces))
	}
	out.pieces = append(append(make([]byte, 0, len(pieces)+len(keys)), pieces...), keys...)[:len(pieces)]
	out.own = own
	return out
}

// writtenPlace is where a template is kept as it was written, and the page that has that place.
type writtenPlace struct {
	at    *atomic.Pointer[writtenTemplate]
	table *templateTable
	id    uint32
	key   pageKey
	page  *page
}

// placeOf gives the place of a code's template.
func (it *itemReader) placeOf(code uint32) writtenPlace {
	t, id := it.s.templateOf(it.group, it.level, it.items, code)
	if t == it.items.local {
		ref, _ := it.group.find(columnsOf(it.level).template) // local ones stand in a page
		return writtenPlace{&it.items.written[id], t, id, pageKey{&it.s.own, it.group.offset + int64(ref.offset)}, it.itemPage}
	}
	number := id / writtenBlockTemplates
	known := &it.blocks[number%writtenBlocksKnown]
	if known.page == nil || known.number != number {
		known.number, known.page = number, it.s.writtenBlock(number)
	}
	return writtenPlace{&known.page.written[id%writtenBlockTemplates], t, id, pageKey{&it.s.own, blockOffset(number)}, known.page}
}

// knownBlock is a block that a read has looked for already.
type knownBlock struct {
	number uint32
	page   *page
}

// blockOffset tells a block's page from those of the file, whose offsets are none below 0.
func blockOffset(number uint32) int64 { return -1 - int64(number) }

// writtenBlock gives a block from those that are kept, or a new one.
func (s *Segment) writtenBlock(number uint32) *page {
	key := pageKey{&s.own, blockOffset(number)}
	if s.pages != nil {
		if p := s.pages.get(key); p != nil {
			return p
		}
	}
	p := &page{written: new(writtenBlock), bytes: int(unsafe.Sizeof(writtenBlock{})) + pageOverheadBytes}
	if s.pages != nil {
		s.pages.put(key, p)
	}
	return p
}

// writtenAt gives what stands in a place, or writes the template and keeps it there as long as its page
// has room.
func (it *itemReader) writtenAt(p writtenPlace) *writtenTemplate {
	if w := p.at.Load(); w != nil {
		return w
	}
	w := it.s.writeTemplate(it.p.Write, p.table, p.id)
	pages, bytes := it.s.pages, w.memoryBytes()
	if pages != nil && !pages.growsWritten(p.key, p.page, bytes) {
		return w
	}
	if p.at.CompareAndSwap(nil, w) {
		return w
	}
	if pages != nil { // somebody else counted it
		pages.grew(p.key, p.page, -bytes)
	}
	return p.at.Load()
}

// writes reports whether the attributes of the level are to be written.
func (it *itemReader) writes() bool { return it.write && it.level == span.SpanLevel }

// prepareWrite looks for the written templates of all codes, or gives up writing where there is one
// that cannot be written: it reports whether there is none. It gives up before it writes any where rows take too much by their templates
// alone: so a read writes templates of no more than writtenBytesMax.
func (it *itemReader) prepareWrite() bool {
	total := 0
	for _, code := range it.codes {
		p, bytes := it.placeOf(code), 0
		w := p.at.Load()
		if w == nil {
			bytes = it.s.writtenLeast(p.table, p.id)
		} else {
			bytes = w.rowBytes()
		}
		if total += int(it.within[code]) * bytes; w != nil && w.refused || total > writtenBytesMax {
			it.write = false
			return false
		}
		it.written = append(it.written, w)
	}
	total = 0
	for i, code := range it.codes {
		w := it.written[i]
		if w == nil {
			w = it.writtenAt(it.placeOf(code))
			it.written[i] = w
		}
		if total += int(it.within[code]) * w.rowBytes(); w.refused || total > writtenBytesMax {
			it.write = false
			return false
		}
	}
	return true
}

// countOwnWritten counts as countOwn does.
func (it *itemReader) countOwnWritten() {
	for i, code := range it.codes {
		w, n := it.written[i], int(it.within[code])
		for k := range w.own {
			it.own[it.ownOf(w.own[k].column)].count += n
		}
		for _, column := range w.outline.own {
			if column > 0 {
				it.own[it.ownOf(column)].count += n
			}
		}
	}
}

// writeAttrs writes the attributes of the spans; false, with nothing done, where they are to stand
// as lists.
func (it *itemReader) writeAttrs() bool {
	if it.tryWrite() {
		return true
	}
	it.write = false
	for _, code := range it.codes {
		it.compiled[code] = 0
	}
	it.growTables()
	it.moveOwnText()
	return false
}

// moveOwnText moves the texts of attributes to those of the batch: they are unpacked once.
func (it *itemReader) moveOwnText() {
	own, text := &it.ownText, &it.text
	first, begin := uint64(len(text.Ends)-1), uint32(len(text.Text))
	if len(text.Text)+len(own.Text) > math.MaxUint32 {
		it.fail(columnsOf(it.level).template, codec.Corrupt("attributes of %d bytes beside texts of %d", len(own.Text), len(text.Text)))
		return
	}
	text.Text = append(text.Text, own.Text...)
	text.Ends = slices.Grow(text.Ends, len(own.Ends)-1)
	for _, end := range own.Ends[1:] {
		text.Ends = append(text.Ends, begin+end)
	}
	own.Forget()
	for i := range it.own {
		c := &it.own[i]
		c.at = 0
		if !it.isOwnText(c) {
			continue
		}
		for k, v := range it.values[c.first : c.first+c.count] {
			if v > 0 {
				it.values[c.first+k] = v + first
			}
		}
	}
}

// isOwnText reports whether the values of a column are texts of attributes that are written.
func (it *itemReader) isOwnText(c *ownColumn) bool {
	return c.column >= colFixed && it.s.columns[c.column-colFixed].kind.HasText()
}

// tryWrite is writeAttrs as long as all can be written. What is too long shows before it is written.
func (it *itemReader) tryWrite() bool {
	total := it.ownBytes()
	for i, code := range it.codes {
		it.compiled[code] = uint32(i + 1)
		total += int(it.within[code]) * it.written[i].rowBytes()
	}
	if total > writtenBytesMax {
		return false
	}
	dst, ends := slices.Grow(it.into[:0], total), make([]uint32, it.to-it.from)
	for i, code := range it.items.codes[it.from:it.to] {
		w, most, ok := it.written[it.compiled[code]-1], min(len(dst)+writtenRowBytesMax, writtenBytesMax), true
		at := uint32(0)
		for k := range w.own {
			own := &w.own[k]
			dst = append(dst, w.pieces[at:own.at]...)
			if dst, ok = it.writeOwn(dst, w, own, most); !ok {
				return false
			}
			at = own.at
		}
		dst = append(dst, w.pieces[at:]...)
		if ends[i] = uint32(len(dst)); len(dst) > most {
			return false
		}
	}
	it.b.Written, it.b.WrittenEnds = dst, ends
	return true
}

// ownBytes is about what the values that stand with the rows take, written, beside keys that stand
// with templates: a text that many rows have counts as often.
func (it *itemReader) ownBytes() (bytes int) {
	for i := range it.own {
		c := &it.own[i]
		bytes += ownAttrBytes * c.count
		for k := range c.attrs {
			bytes += len(it.textOf(c.attrs[k].Key))
			if c.attrs[k].Type.HasText() {
				bytes += len(it.textOf(span.TextID(c.attrs[k].Value)))
			}
		}
		if it.isOwnText(c) {
			for _, v := range it.values[c.first : c.first+c.count] {
				bytes += len(it.ownText.Value(uint32(v)))
			}
		}
	}
	return bytes
}

// writeOwn appends the next value of a column; false also where dst would be longer than most.
func (it *itemReader) writeOwn(dst []byte, t *writtenTemplate, own *writtenOwn, most int) (_ []byte, ok bool) {
	c, w := &it.own[it.ownAt[own.column]-1], it.p.Write
	c.at++
	if own.column < colFixed {
		return it.writeMapped(dst, &c.attrs[c.at-1], most)
	}
	v, key := it.values[c.first+c.at-1], t.pieces[own.keyAt:own.keyEnd]
	if !own.kind.HasText() {
		return w.AppendAttr(dst, key, own.kind, v, nil)
	}
	text := it.ownText.Value(uint32(v))
	if len(dst)+len(key)+len(text) > most {
		return dst, false
	}
	return w.AppendAttr(dst, key, own.kind, 0, text)
}

// writeMapped appends an attribute of the map column, as writeOwn does.
func (it *itemReader) writeMapped(dst []byte, a *span.Attr, most int) (_ []byte, ok bool) {
	key, number, text := it.textOf(a.Key), a.Value, []byte(nil)
	if a.Type.HasText() {
		number, text = 0, it.textOf(span.TextID(a.Value))
	}
	if len(dst)+len(key)+len(text) > most {
		return dst, false
	}
	if key, ok = it.p.Write.AppendKey(nil, key); !ok {
		return dst, false
	}
	return it.p.Write.AppendAttr(dst, key, a.Type, number, text)
}
