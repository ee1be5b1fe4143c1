package segment

import (
	"encoding/binary"
	"slices"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
)

// textColumns and intColumns are the fixed columns that stand plainly as such; a page whose
// values are all zero or empty is left out, and reads as that.
var textColumns = [colFixed]bool{
	colName: true, colStatusMessage: true, colTraceState: true, colResidue: true,
	colEventName: true, colEventResidue: true, colLinkTraceState: true, colLinkResidue: true,
	colAttrMap + mapKey: true, colEventMap + mapKey: true, colLinkMap + mapKey: true,
	colAttrMap + mapText: true, colEventMap + mapText: true, colLinkMap + mapText: true,
}

// end writes the pages of the group and makes ready for the next one.
func (g *groupWriter) end() error {
	g.info.Rows = g.rows
	g.info.FirstRow = g.w.info.Rows - g.rows
	ref := groupRef{GroupInfo: g.info, offset: g.w.out.offset()}
	g.resolveParents()
	for col := range colFixed {
		if textColumns[col] {
			if g.texts[col].Filled() {
				g.page = g.texts[col].AppendPage(g.page[:0], &g.pages)
				if err := g.appendPage(&ref, uint32(col)); err != nil {
					return err
				}
			}
			continue
		}
		payload, values := g.fixedPayload(col, g.payload[:0])
		g.payload = payload
		if len(payload) == 0 && len(values) == 0 {
			continue
		}
		if err := g.writePage(&ref, uint32(col), values); err != nil {
			return err
		}
	}
	slices.Sort(g.used)
	for _, id := range g.used {
		values := g.attrs[id-colFixed]
		if g.w.columns[id-colFixed].kind.HasText() {
			g.page = values.text.AppendPage(g.page[:0], &g.pages)
		} else {
			g.page = g.pages.Append(g.page[:0], nil, values.ints)
		}
		if err := g.appendPage(&ref, id); err != nil {
			return err
		}
	}
	g.count()
	total := &g.w.info
	if len(g.w.groups) == 0 {
		total.MinStart, total.MaxStart = g.info.MinStart, g.info.MaxStart
	}
	total.MinStart, total.MaxStart = min(total.MinStart, g.info.MinStart), max(total.MaxStart, g.info.MaxStart)
	total.MaxDuration = max(total.MaxDuration, g.info.MaxDuration)
	g.w.groups = append(g.w.groups, ref)
	g.reset()
	return nil
}

// writePage writes the page of a column: g.payload, then the values as integers.
func (g *groupWriter) writePage(ref *groupRef, id uint32, values []uint64) error {
	if id == colSpanID || id == colParentID || id == colLinkSpanID {
		g.page = column.AppendPage(g.page[:0], g.payload, false)
	} else {
		g.page = g.pages.Append(g.page[:0], g.payload, values)
	}
	return g.appendPage(ref, id)
}

// appendPage writes g.page as the page of a column.
func (g *groupWriter) appendPage(ref *groupRef, id uint32) error {
	at := uint32(g.w.out.offset() - ref.offset)
	ref.pages = append(ref.pages, pageRef{column: id, offset: at, length: uint32(len(g.page))})
	return g.w.out.write(g.page)
}

// fixedPayload appends the payload of a fixed column, up to the integers it ends with, and
// gives these; nothing where all is zero or empty, but for the types of a map column, whose
// page says that there is one.
func (g *groupWriter) fixedPayload(col int, dst []byte) (_ []byte, values []uint64) {
	switch col {
	case colResource:
		return g.resources.appendTo(dst)
	case colScope:
		return g.scopes.appendTo(dst)
	case colSpanID:
		for _, id := range g.spanIDs {
			dst = append(dst, id[:]...)
		}
		return dst, nil
	case colParentID:
		return append(dst, g.literals...), nil
	case colLinkSpanID:
		return append(dst, g.linkIDs...), nil
	case colLinkTraceID:
		return append(dst, g.links...), nil
	case colAttrShape:
		return g.shapes[span.SpanLevel].appendTo(dst)
	case colEventShape:
		return g.shapes[span.EventLevel].appendTo(dst)
	case colLinkShape:
		return g.shapes[span.LinkLevel].appendTo(dst)
	}
	mapped := col == colAttrMap+mapType || col == colEventMap+mapType || col == colLinkMap+mapType
	if !mapped && !slices.ContainsFunc(g.ints[col], func(v uint64) bool { return v != 0 }) {
		return dst, nil
	}
	return dst, g.ints[col]
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

// count adds the group's operations to the catalog: first by codes, then by words.
func (g *groupWriter) count() {
	names, kinds := &g.texts[colName], g.ints[colKind]
	type operation struct{ resource, name, kind uint64 }
	counts := map[operation]uint64{}
	for row, name := range names.Codes() {
		counts[operation{g.resources.codes[row], name, kinds[row]}]++
	}
	resources := g.w.resources.batch
	for o, spans := range counts {
		service := resources.String(resources.Resources[g.resources.ids[o.resource]].Service)
		g.w.catalog.Add(service, string(names.Value(o.name)), int32(uint32(o.kind)), spans)
	}
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
	g.scopes.reset()
	for level := range g.shapes {
		g.shapes[level].reset()
	}
	for _, id := range g.used {
		values := g.attrs[id-colFixed]
		values.used, values.ints = false, values.ints[:0]
		values.text.Reset()
	}
	g.used = g.used[:0]
	if g.memoryBytes() > writerKeptBytesMax {
		*g = groupWriter{w: g.w}
	}
}

// memoryBytes is what stays for the next group, but for what always is small.
func (g *groupWriter) memoryBytes() int {
	total := cap(g.payload) + cap(g.page) + g.pages.MemoryBytes()
	for col := range g.ints {
		total += 8*cap(g.ints[col]) + g.texts[col].MemoryBytes()
	}
	for _, values := range g.attrs {
		total += 8*cap(values.ints) + values.text.MemoryBytes()
	}
	return total
}
