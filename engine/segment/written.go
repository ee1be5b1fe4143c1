package segment

import (
	"slices"
	"sync/atomic"
	"unsafe" // for the size of what is kept alone

	"github.com/stoadb/stoa/engine/span"
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

// memoryBytes is what keeping the template takes.
func (w *writtenTemplate) memoryBytes() int {
	bytes := int(unsafe.Sizeof(*w)) + cap(w.pieces)
	if len(w.own) > len(w.few) {
		bytes += int(unsafe.Sizeof(writtenOwn{})) * cap(w.own)
	}
	return bytes
}

// writeTemplate writes template id of a table.
func (s *Segment) writeTemplate(w span.AttrWriter, t *templateTable, id uint32) *writtenTemplate {
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
			return &writtenTemplate{refused: true}
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

// writtenOf gives the template of a code as it was written, or writes it.
func (it *itemReader) writtenOf(code uint32) *writtenTemplate {
	t, id := it.s.templateOf(it.group, it.level, it.items, code)
	if t == it.items.local {
		ref, _ := it.group.find(columnsOf(it.level).template) // local ones stand in a page
		return it.keep(&it.items.written[id], t, id, it.group.offset+int64(ref.offset), it.itemPage)
	}
	number := id / writtenBlockTemplates
	known := &it.blocks[number%writtenBlocksKnown]
	if known.page == nil || known.number != number {
		known.number, known.page = number, it.s.writtenBlock(number)
	}
	return it.keep(&known.page.written[id%writtenBlockTemplates], t, id, blockOffset(number), known.page)
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
	key := pageKey{s.number, blockOffset(number)}
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

// keep gives what stands in place, or writes the template and puts it there. The page at offset
// has that place.
func (it *itemReader) keep(place *atomic.Pointer[writtenTemplate], t *templateTable, id uint32, offset int64, p *page) *writtenTemplate {
	if w := place.Load(); w != nil {
		return w
	}
	w := it.s.writeTemplate(it.p.Write, t, id)
	if !place.CompareAndSwap(nil, w) {
		return place.Load()
	}
	if it.s.pages != nil {
		it.s.pages.grew(pageKey{it.s.number, offset}, p, w.memoryBytes())
	}
	return w
}

// writes reports whether the attributes of the level are to be written.
func (it *itemReader) writes() bool { return it.write && it.level == span.SpanLevel }

// prepareWrite looks for the written templates of all codes, or gives up writing where there is one
// that cannot be written.
func (it *itemReader) prepareWrite() {
	for _, code := range it.codes {
		w := it.writtenOf(code)
		if it.written = append(it.written, w); w.refused {
			it.write = false
			return
		}
	}
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
	for i := range it.own {
		c := &it.own[i]
		if c.at = 0; c.column >= colFixed && it.s.columns[c.column-colFixed].kind.HasText() {
			it.decode(c) // into the batch's texts
		}
	}
	return false
}

// tryWrite is writeAttrs as long as all can be written.
func (it *itemReader) tryWrite() bool {
	total := it.ownBytes()
	for i, code := range it.codes {
		it.compiled[code] = uint32(i + 1)
		total += int(it.within[code]) * len(it.written[i].pieces)
	}
	if total > writtenBytesMax {
		return false
	}
	dst, ends := slices.Grow(it.into[:0], total), make([]uint32, it.to-it.from)
	for i, code := range it.items.codes[it.from:it.to] {
		w, begin, ok := it.written[it.compiled[code]-1], len(dst), true
		at := uint32(0)
		for k := range w.own {
			own := &w.own[k]
			dst = append(dst, w.pieces[at:own.at]...)
			if dst, ok = it.writeOwn(dst, w, own); !ok {
				return false
			}
			at = own.at
		}
		dst = append(dst, w.pieces[at:]...)
		if ends[i] = uint32(len(dst)); len(dst)-begin > writtenRowBytesMax || len(dst) > writtenBytesMax {
			return false
		}
	}
	it.b.Written, it.b.WrittenEnds = dst, ends
	return true
}

// ownBytes is about what the values that stand with the rows take, written.
func (it *itemReader) ownBytes() int { return len(it.ownText.Text) + ownAttrBytes*it.totalOwn() }

// writeOwn appends the next value of a column.
func (it *itemReader) writeOwn(dst []byte, t *writtenTemplate, own *writtenOwn) (_ []byte, ok bool) {
	c, w := &it.own[it.ownAt[own.column]-1], it.p.Write
	c.at++
	if own.column < colFixed {
		return it.writeMapped(dst, &c.attrs[c.at-1])
	}
	v, key := it.values[c.first+c.at-1], t.pieces[own.keyAt:own.keyEnd]
	if own.kind.HasText() {
		return w.AppendAttr(dst, key, own.kind, 0, it.ownText.Value(uint32(v)))
	}
	return w.AppendAttr(dst, key, own.kind, v, nil)
}

// writeMapped appends an attribute of the map column.
func (it *itemReader) writeMapped(dst []byte, a *span.Attr) (_ []byte, ok bool) {
	key, ok := it.p.Write.AppendKey(nil, it.textOf(a.Key))
	switch {
	case !ok:
		return dst, false
	case a.Type.HasText():
		return it.p.Write.AppendAttr(dst, key, a.Type, 0, it.textOf(span.TextID(a.Value)))
	default:
		return it.p.Write.AppendAttr(dst, key, a.Type, a.Value, nil)
	}
}
