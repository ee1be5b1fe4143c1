package segment

import (
	"encoding/binary"
	"slices"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
)

// textColumns are the fixed columns of texts; a page whose values are all zero or empty is
// left out, and reads as that.
var textColumns = [colFixed]bool{
	colStatusMessage: true, colTraceState: true, colResidue: true, colEventResidue: true, colLinkTraceState: true, colLinkResidue: true,
	colAttrMap + mapKey: true, colEventMap + mapKey: true, colLinkMap + mapKey: true,
	colAttrMap + mapText: true, colEventMap + mapText: true, colLinkMap + mapText: true,
}

// end writes the pages of the group and makes ready for the next one.
func (g *groupWriter) end() error {
	g.info.Rows = g.rows
	g.info.FirstRow = g.w.info.Rows - g.rows
	ref := groupRef{GroupInfo: g.info, offset: g.w.out.offset(), resources: g.resources.finish()}
	ref.longest = g.resources.longest(ref.resources)
	for _, level := range levels {
		ref.templates[level] = g.templates[level].finish()
		ref.local[level] = uint32(g.w.folding[level].local.table.len())
	}
	g.resolveParents()
	for col := range colFixed {
		if err := g.writeFixed(&ref, col); err != nil {
			return err
		}
	}
	g.findLocal()
	slices.Sort(g.used)
	for len(g.w.keys) < len(g.w.columns) {
		g.w.keys = append(g.w.keys, keyStats{})
	}
	for _, id := range g.used {
		values := g.attrs[id-colFixed]
		switch {
		case !values.used: // its values stand in templates of the group's own
			g.page = g.page[:0]
		case g.w.columns[id-colFixed].kind.HasText():
			g.page = values.text.AppendPage(g.page[:0], &g.pages)
		default:
			g.page = g.pages.Append(g.page[:0], nil, values.ints)
		}
		if err := g.writePage(&ref, id); err != nil {
			return err
		}
		g.addFilters(id)
		key := g.w.columns[id-colFixed]
		if c := g.w.standing.of(id, key); c != nil && len(values.with) > 0 { // another column may have put it out
			g.w.standing.addValues(c, key.kind, values)
		}
	}
	g.w.cells.add(g.w, &ref, rowColumns{
		resources: g.resources.codes, templates: g.templates[span.SpanLevel].codes,
		starts: g.ints[colStart], lengths: g.ints[colDuration], ids: g.spanIDs, parentIDs: g.parents,
	})
	g.count(&ref)
	g.w.addRef(ref)
	g.reset()
	return nil
}

// addRef adds a row group whose pages are written to the directory.
func (w *Writer) addRef(ref groupRef) {
	total := &w.info
	if len(w.groups) == 0 {
		total.MinStart, total.MaxStart = ref.MinStart, ref.MaxStart
	}
	total.MinStart, total.MaxStart = min(total.MinStart, ref.MinStart), max(total.MaxStart, ref.MaxStart)
	total.MaxDuration = max(total.MaxDuration, ref.MaxDuration)
	w.groups = append(w.groups, ref)
}

// writePage writes g.page as that of a column; an empty one is left out.
func (g *groupWriter) writePage(ref *groupRef, id uint32) error {
	if len(g.page) == 0 {
		return nil
	}
	at := uint32(g.w.out.offset() - ref.offset)
	ref.pages = append(ref.pages, pageRef{column: id, offset: at, length: uint32(len(g.page))})
	return g.w.out.write(g.page)
}

// writeFixed writes the page of a fixed column; none where all is zero or empty, but for the
// types of a map column, whose page says that there is one.
func (g *groupWriter) writeFixed(ref *groupRef, col int) error {
	g.page, g.payload = g.page[:0], g.payload[:0]
	values := g.ints[col]
	switch {
	case textColumns[col]:
		if g.texts[col].Filled() {
			g.page = g.texts[col].AppendPage(g.page, &g.pages)
		}
		return g.writePage(ref, uint32(col))
	case col == colSpanID:
		for _, id := range g.spanIDs {
			g.payload = append(g.payload, id[:]...)
		}
		return g.writeRaw(ref, col, g.payload, false)
	case col == colParentID:
		return g.writeRaw(ref, col, g.literals, false)
	case col == colLinkSpanID:
		return g.writeRaw(ref, col, g.linkIDs, false)
	case col == colLinkTraceID:
		return g.writeRaw(ref, col, g.links, true)
	case col == colResource:
		values = g.resources.codes
	}
	for _, level := range levels {
		if col == int(columnsOf(level).template) {
			values = g.templates[level].codes
			if ref.local[level] > 0 {
				g.payload = g.w.folding[level].local.finished(g.w.columns).appendTo(g.payload)
			}
		}
	}
	mapped := col == colAttrMap+mapType || col == colEventMap+mapType || col == colLinkMap+mapType
	if len(g.payload) > 0 || len(values) > 0 && (mapped || slices.ContainsFunc(values, func(v uint64) bool { return v != 0 })) {
		g.page = g.pages.Append(g.page, g.payload, values)
	}
	return g.writePage(ref, uint32(col))
}

// writeRaw writes a page of fixed-width values as they are.
func (g *groupWriter) writeRaw(ref *groupRef, col int, payload []byte, compress bool) error {
	if len(payload) > 0 {
		g.page = column.AppendPage(g.page, payload, compress)
	}
	return g.writePage(ref, uint32(col))
}

// resolveParents turns parent ids into distances to the row that has the id, in the same
// trace and group: the first such row, so that the bytes depend on the rows alone. Ids that
// stand elsewhere stay literal.
func (g *groupWriter) resolveParents() {
	size := 1024
	for size < 2*g.rows {
		size *= 2
	}
	if len(g.slots) < size {
		g.slots = make([]uint32, size)
	} else {
		clear(g.slots)
	}
	mask := uint64(len(g.slots) - 1)
	g.literals = g.literals[:0]
	for k, begin := range g.runs {
		end := g.rows
		if k+1 < len(g.runs) {
			end = g.runs[k+1]
		}
		for row := begin; row < end; row++ {
			at := g.slotOf(g.spanIDs[row], begin, mask)
			if g.slots[at] == 0 {
				g.slots[at] = uint32(row + 1)
			}
		}
		for row := begin; row < end; row++ {
			parent := g.parents[row]
			if parent.IsZero() {
				g.int(colParent, parentNone)
				continue
			}
			if slot := g.slots[g.slotOf(parent, begin, mask)]; slot != 0 {
				distance := int64(row) - int64(slot-1)
				g.int(colParent, parentRow+(uint64(distance<<1)^uint64(distance>>63)))
				continue
			}
			g.int(colParent, parentLiteral)
			g.literals = append(g.literals, parent[:]...)
		}
	}
}

// slotOf gives the slot of the first row from begin with that span id, or the free one
// where it belongs. Rows of earlier traces stay in the table and are gone over.
func (g *groupWriter) slotOf(id span.SpanID, begin int, mask uint64) uint64 {
	at := (binary.LittleEndian.Uint64(id[:]) * 0x9e3779b97f4a7c15 >> 32) & mask
	for ; g.slots[at] != 0; at = (at + 1) & mask {
		if row := int(g.slots[at] - 1); row >= begin && g.spanIDs[row] == id {
			break
		}
	}
	return at
}

// count tells the catalog of the spans that have templates of the group's own, and counts what
// such templates hold for the counts of keys.
func (g *groupWriter) count(ref *groupRef) {
	g.w.tellOwn()
	for _, level := range levels {
		if ref.local[level] == 0 {
			continue
		}
		first := uint64(len(ref.templates[level]))
		rows := make([]uint64, ref.local[level])
		for _, code := range g.templates[level].codes {
			if code >= first {
				rows[code-first]++
			}
		}
		if g.w.keysSummed {
			continue
		}
		g.w.countFolded(g.w.folding[level].local.finished(g.w.columns), func(i int) uint64 { return rows[i] })
	}
}

// tellOwn tells the catalog of the spans whose templates end with the row group. The others are
// told in the end, once for each service and template, unless they are many.
func (w *Writer) tellOwn() {
	facts, local := &w.cells.facts, w.folding[span.SpanLevel].local
	for _, n := range facts.own {
		f := &facts.list[n]
		w.catalog.Add(w.cells.serviceNames[f.service], string(local.nameOf(f.template)), f.kind, f.rows)
	}
	if facts.endGroup(); len(facts.list) > operationsKeptMax {
		w.tellOperations()
	}
}

// tellOperations tells the catalog what was counted, and the standing terms who has which templates.
func (w *Writer) tellOperations() {
	facts, shared := &w.cells.facts, w.folding[span.SpanLevel].shared
	for i := range facts.list {
		if f := &facts.list[i]; f.shared {
			service := w.cells.serviceNames[f.service]
			w.catalog.Add(service, string(shared.nameOf(f.template)), f.kind, f.rows)
			w.standing.addService(service, f.template)
		}
	}
	facts.reset()
}

// nameOf gives the name of a span's template.
func (t *templateWriter) nameOf(id uint32) []byte {
	for _, s := range t.table.slotsOf(id) {
		if s.column == colName {
			return t.texts.batch.Bytes(span.TextID(s.value))
		}
	}
	return nil
}

// reset forgets all values and keeps the memory, unless odd groups made it large.
func (g *groupWriter) reset() {
	g.rows, g.bytes = 0, 0
	for col := range g.ints {
		g.ints[col] = g.ints[col][:0]
		g.texts[col].Reset()
	}
	g.spanIDs, g.parents, g.runs = g.spanIDs[:0], g.parents[:0], g.runs[:0]
	g.links, g.linkIDs = g.links[:0], g.linkIDs[:0]
	g.resources.reset()
	for _, level := range levels {
		g.templates[level].reset()
		g.w.folding[level].endGroup()
	}
	for _, id := range g.used {
		values := g.attrs[id-colFixed]
		values.used, values.ints, values.local, values.with = false, values.ints[:0], values.local[:0], values.with[:0]
		values.text.Reset()
	}
	g.used = g.used[:0]
	if g.memoryBytes() > writerKeptBytesMax {
		g.w.group = newGroupWriter(g.w)
	}
}

// memoryBytes is what stays for the next group, but for what always is small.
func (g *groupWriter) memoryBytes() int {
	total := cap(g.payload) + cap(g.page) + g.pages.MemoryBytes() + 16*cap(g.spanList)
	for col := range g.ints {
		total += 8*cap(g.ints[col]) + g.texts[col].MemoryBytes()
	}
	for _, values := range g.attrs {
		total += 8*(cap(values.ints)+cap(values.local)) + 4*cap(values.with) + values.text.MemoryBytes()
	}
	return total
}
