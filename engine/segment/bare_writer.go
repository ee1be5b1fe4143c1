package segment

import (
	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
)

// addBareItem is addItem of a row that was read bare: a template that is not known yet is told slot
// by slot from the source's table, and no list of attributes is made.
func (g *groupWriter) addBareItem(level span.Level, pos int) {
	src := g.source
	g.level, g.pos = level, pos
	if as := src.asThere(g.w, level, pos); as != nil {
		g.addAsThere(as, level, src.origin.bare[level].of(pos))
		return
	}
	carried := src.carriedAt(level, pos)
	if g.addCarried(carried, level) {
		g.bytes += 16 * int(carried.attrs)
		values := src.origin.bare[level].of(pos)
		for _, s := range carried.own {
			if s.from < 0 {
				t, id := src.templateAt(level, pos)
				g.addBare(s.column, t.slotsOf(id)[s.at])
			} else {
				g.addBare(s.column, slot{value: values[s.from], own: true})
			}
		}
		return
	}
	fold, code := g.w.folding[level], g.addTemplate(level, g.describeBare)
	attrs := 0
	for i, s := range fold.slots {
		there := g.bare[i]
		if there.column >= colFixed {
			attrs++
		}
		switch {
		case !s.own:
		case isMapped(level, s.column):
			g.addBareMapped(int(s.column), there)
		default:
			g.addBare(s.column, there)
		}
	}
	g.bytes += 16 * attrs
	src.carry(carried, level, pos, attrs, fold, code)
}

// addAsThere appends an item with its template as it is there.
func (g *groupWriter) addAsThere(as *asThere, level span.Level, values []uint64) {
	id := as.id - 1
	g.w.folding[level].again(id)
	g.templates[level].add(id)
	g.template = id
	g.bytes += 16 * as.attrs
	for i, column := range as.own {
		g.addBare(column, slot{value: values[i], own: true})
	}
}

// describeBareItem does for the item of a bare row what describeSpan, describeEvent and describeLink
// do for those of others.
func (g *groupWriter) describeBareItem(t *templateWriter) {
	o, f := g.source.origin, g.w.folding[g.level]
	table, id := g.source.templateAt(g.level, g.pos)
	f.scalars = append(f.scalars, table.scalarsAt(id)...)
	if g.level == span.SpanLevel {
		f.scalars[scalarScope] = g.source.foreign.scope(g.w, f.scalars[scalarScope])
	}
	values := o.bare[g.level].of(g.pos)
	g.bare = g.bare[:0]
	for _, there := range table.slotsOf(id) {
		if there.own {
			there.value, values = values[0], values[1:]
		}
		if there.column < colFixed {
			g.describeBareText(t, f, there)
		} else {
			g.describeBareAttr(t, f, there)
		}
	}
}

// describeBareText is describeText of a slot as it is there.
func (g *groupWriter) describeBareText(t *templateWriter, f *folding, there slot) {
	here, n := slot{column: there.column}, len(g.bareText(there))
	switch {
	case n == 0:
		return
	case f.standsAlone(there.column) || n > foldTextBytesMax && there.column != colName && there.column != colEventName:
		here.own = true
	default:
		here.value = g.foldBare(t, there)
	}
	f.slots, g.bare = append(f.slots, here), append(g.bare, there)
}

// describeBareAttr is what describeAttrs does for one attribute.
func (g *groupWriter) describeBareAttr(t *templateWriter, f *folding, there slot) {
	known := g.source.foreign
	here := slot{column: known.column(g.w, there.column)}
	switch {
	case here.column < colFixed || f.standsAlone(here.column):
		here.own = true
	case !known.s.columns[there.column-colFixed].kind.HasText():
		here.value = there.value
	case len(g.bareText(there)) > foldTextBytesMax:
		here.own = true
	default:
		here.value = g.foldBare(t, there)
	}
	f.slots, g.bare = append(f.slots, here), append(g.bare, there)
}

// bareText gives the text of a slot as it is there.
func (g *groupWriter) bareText(there slot) []byte {
	if there.own {
		return g.source.batch.Bytes(span.TextID(there.value))
	}
	return g.source.foreign.s.templates[g.level].text(there.value)
}

// foldBare gives the id of such a text in the table that t belongs to.
func (g *groupWriter) foldBare(t *templateWriter, there slot) uint64 {
	switch {
	case there.own:
		return g.source.text(t, span.TextID(there.value))
	case t.remembered:
		return g.source.foreign.text(g.w, g.level, there.value)
	default:
		return uint64(t.texts.interner.Intern(g.bareText(there)))
	}
}

// addBare appends the value of a slot as it is there to its column here.
func (g *groupWriter) addBare(col uint32, there slot) {
	texts := &g.texts[min(col, colFixed-1)]
	if col >= colFixed {
		values := g.own(col)
		if !g.w.columns[col-colFixed].kind.HasText() {
			values.ints = append(values.ints, there.value)
			return
		}
		texts = &values.text
	}
	text := g.bareText(there)
	g.bytes += len(text)
	if there.own {
		g.source.addText(texts, span.TextID(there.value), text, len(g.w.groups))
	} else {
		texts.Add(text)
	}
}

// addBareMapped is addMapped of such a slot.
func (g *groupWriter) addBareMapped(first int, there slot) {
	key := g.source.foreign.s.columns[there.column-colFixed]
	g.addText(first+mapKey, []byte(key.key))
	g.int(first+mapType, uint64(key.kind))
	if key.kind.HasText() {
		g.addText(first+mapText, g.bareText(there))
	} else {
		g.int(first+mapNumber, there.value)
	}
}

// addedText is where a text stands in the page of the row group that it was added to last.
type addedText struct {
	group uint32 // + 1
	code  uint32
}

// addText adds a text that stands with a row of the source, whose column's page has it once: so it
// is looked for once in the page of a row group here.
func (s *source) addText(dst *column.Texts, id span.TextID, text []byte, group int) {
	added := &s.added[id]
	if id != 0 && added.group == uint32(group)+1 {
		dst.Again(uint64(added.code))
		return
	}
	*added = addedText{uint32(group) + 1, uint32(dst.Add(text))}
}
