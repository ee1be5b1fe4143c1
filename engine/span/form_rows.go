package span

import (
	"encoding/binary"
	"math"

	"github.com/stoadb/stoa/internal/codec"
)

// The columns of rows, of events and of links: first v, whose bits say which columns are
// there, then those columns, as numbers. A column that is not there is all 0; where there are
// no events, or no links, there is no v either. The numbers of the columns are their bits.
//
// In front of the links' columns stand their ids: u8, 1 where any link has some, then all
// trace ids, 16 bytes each, and all span ids, 8 bytes each.

// Columns of rows.
const (
	nameColumn = iota // code of a text; see form_texts.go
	kindColumn
	statusColumn
	messageColumn       // code
	statusPresentColumn // 0, 1
	traceStateColumn    // code
	flagsColumn
	droppedAttrsColumn
	droppedEventsColumn
	droppedLinksColumn
	resourceColumn // less that of the row before, zigzag
	scopeColumn    // the same
	shapeColumn    // code; see form_shapes.go
	eventsColumn   // how many
	linksColumn    // how many
	residueColumn  // code
	rowColumns
)

// Columns of events.
const (
	eventTimeColumn = iota // less the start of the row, zigzag
	eventNameColumn        // code
	eventDroppedColumn
	eventShapeColumn
	eventResidueColumn // code
	eventColumns
)

// Columns of links.
const (
	linkStateColumn = iota // code
	linkDroppedColumn
	linkFlagsColumn
	linkShapeColumn
	linkResidueColumn // code
	linkColumns
)

// Columns of texts are numbered from 1; those of attributes come behind these.
const (
	nameTexts = iota + 1
	messageTexts
	traceStateTexts
	residueTexts
	eventNameTexts
	eventResidueTexts
	linkStateTexts
	linkResidueTexts
	formTextColumns
)

// fill makes the columns of a batch from its rows, and the values of its attributes.
func (w *formWriter) fill(b *Batch, there uint64) {
	texts := max(len(b.TextEnd), 1) - 1
	w.size(b.Len(), len(b.Events), len(b.Links))
	w.shapes.reset(b.Len()+len(b.Events)+len(b.Links), texts)
	w.fillPlain(b, there)
	w.fillShapes(b)
	w.values = sized(w.values, w.shapes.place())
	w.order.reset(texts)
	w.order.strays = w.order.strays[:0]
	w.resetTextColumns()
	w.fillTexts(b, there)
}

// size gives all columns their lengths.
func (s *formScratch) size(rows, events, links int) {
	for i := range s.rows {
		s.rows[i] = sized(s.rows[i], rows)
	}
	for i := range s.events {
		s.events[i] = sized(s.events[i], events)
	}
	for i := range s.links {
		s.links[i] = sized(s.links[i], links)
	}
}

func (s *formScratch) resetTextColumns() {
	for i := range s.rowTexts {
		s.rowTexts[i] = textColumn{number: uint32(i)}
	}
}

// rowsThere says which columns of rows are not all 0.
func rowsThere(b *Batch) uint64 {
	there := uint64(0)
	for column, zero := range [rowColumns]bool{
		nameColumn: allZero(b.Names), kindColumn: allZero(b.Kinds), statusColumn: allZero(b.StatusCodes),
		messageColumn: allZero(b.StatusMessages), statusPresentColumn: allZero(b.StatusPresent),
		traceStateColumn: allZero(b.TraceStates), flagsColumn: allZero(b.Flags),
		droppedAttrsColumn: allZero(b.DroppedAttrs), droppedEventsColumn: allZero(b.DroppedEvents),
		droppedLinksColumn: allZero(b.DroppedLinks), resourceColumn: allZero(b.ResourceIDs), scopeColumn: allZero(b.ScopeIDs),
		shapeColumn: allZero(b.AttrEnds), eventsColumn: allZero(b.EventEnds), linksColumn: allZero(b.LinkEnds),
		residueColumn: allZero(b.Residues),
	} {
		if !zero {
			there |= 1 << column
		}
	}
	return there
}

// columnsThere says which of the columns are not all 0.
func columnsThere(columns [][]uint64) uint64 {
	there := uint64(0)
	for i, c := range columns {
		if !allZero(c) {
			there |= 1 << i
		}
	}
	return there
}

func allZero[T comparable](c []T) bool {
	var zero T
	for _, v := range c {
		if v != zero {
			return false
		}
	}
	return true
}

// widen copies a column of 32-bit numbers.
func widen[T ~int32 | ~uint32](dst []uint64, from []T) {
	for i, v := range from {
		dst[i] = uint64(uint32(v))
	}
}

// widenSteps copies a column as steps from row to row.
func widenSteps(dst []uint64, from []uint32) {
	before := uint32(0)
	for i, v := range from {
		dst[i] = zigzag(uint64(v) - uint64(before))
		before = v
	}
}

// widenCounts copies a column of ends as what each row has.
func widenCounts(dst []uint64, ends []uint32) {
	before := uint32(0)
	for i, end := range ends {
		dst[i] = uint64(end - before)
		before = end
	}
}

// fillPlain makes the columns that need nothing but their own values, of rows those that are
// there.
func (w *formWriter) fillPlain(b *Batch, there uint64) {
	for i := range w.rows {
		if there>>i&1 == 0 {
			continue
		}
		switch c := w.rows[i]; i {
		case kindColumn:
			widen(c, b.Kinds)
		case statusColumn:
			widen(c, b.StatusCodes)
		case statusPresentColumn:
			for row, present := range b.StatusPresent {
				c[row] = 0
				if present {
					c[row] = 1
				}
			}
		case flagsColumn:
			widen(c, b.Flags)
		case droppedAttrsColumn:
			widen(c, b.DroppedAttrs)
		case droppedEventsColumn:
			widen(c, b.DroppedEvents)
		case droppedLinksColumn:
			widen(c, b.DroppedLinks)
		case resourceColumn:
			widenSteps(c, b.ResourceIDs)
		case scopeColumn:
			widenSteps(c, b.ScopeIDs)
		case eventsColumn:
			widenCounts(c, b.EventEnds)
		case linksColumn:
			widenCounts(c, b.LinkEnds)
		}
	}
	for i := range b.Events {
		w.events[eventDroppedColumn][i] = uint64(b.Events[i].Dropped)
	}
	for i := range b.Links {
		w.links[linkDroppedColumn][i] = uint64(b.Links[i].Dropped)
		w.links[linkFlagsColumn][i] = uint64(b.Links[i].Flags)
	}
}

// fillShapes finds the shape of every list.
func (w *formWriter) fillShapes(b *Batch) {
	attr, event, link := uint32(0), uint32(0), uint32(0)
	for i, end := range b.AttrEnds {
		w.rows[shapeColumn][i] = uint64(w.shapes.codeByIDs(b.Attrs, b.AttrIDs[attr:end]))
		attr = end
		for ; event < b.EventEnds[i]; event++ {
			w.events[eventTimeColumn][event] = zigzag(b.Events[event].Time - b.Starts[i])
			w.events[eventShapeColumn][event] = uint64(w.shapes.code(EventLevel, b.EventAttrsOf(event)))
		}
		for ; link < b.LinkEnds[i]; link++ {
			w.links[linkShapeColumn][link] = uint64(w.shapes.code(LinkLevel, b.LinkAttrsOf(link)))
		}
	}
}

// fillTexts goes through the batch in the order of its texts and makes the codes of all. Of
// the rows' own texts it looks at columns that are there.
func (w *formWriter) fillTexts(b *Batch, there uint64) {
	var room [4]rowTexts
	columns := w.rowTextsThere(room[:0], b, there)
	attr, event, link := uint32(0), uint32(0), uint32(0)
	for i := range b.Names {
		if resource, scope := b.ResourceIDs[i], b.ScopeIDs[i]; resource >= w.order.resources || scope >= w.order.scopes {
			w.order.passEnvelopes(b, resource, scope)
		}
		w.fillIDs(w.rows[shapeColumn][i], b.Attrs, b.AttrIDs[attr:b.AttrEnds[i]])
		attr = b.AttrEnds[i]
		for ; event < b.EventEnds[i]; event++ {
			e := &b.Events[event]
			w.fillValues(w.events[eventShapeColumn][event], b.EventAttrsOf(event))
			w.events[eventNameColumn][event] = w.code(eventNameTexts, e.Name)
			w.events[eventResidueColumn][event] = w.code(eventResidueTexts, e.Residue)
		}
		for ; link < b.LinkEnds[i]; link++ {
			l := &b.Links[link]
			w.fillValues(w.links[linkShapeColumn][link], b.LinkAttrsOf(link))
			w.links[linkStateColumn][link] = w.code(linkStateTexts, l.TraceState)
			w.links[linkResidueColumn][link] = w.code(linkResidueTexts, l.Residue)
		}
		for j := range columns {
			c := &columns[j]
			id := c.from[i]
			code := w.order.known(c.texts, id)
			if code == 0 {
				code = w.order.otherCode(c.texts, id)
			}
			c.codes[i] = code
		}
	}
}

// rowTexts is a column of the rows' own texts.
type rowTexts struct {
	from  []TextID
	codes []uint64
	texts *textColumn
}

// rowTextsThere appends the columns of rows' texts that are there, in the order of texts.
func (w *formWriter) rowTextsThere(dst []rowTexts, b *Batch, there uint64) []rowTexts {
	for _, c := range [...]struct {
		column, texts int
		from          []TextID
	}{
		{nameColumn, nameTexts, b.Names},
		{messageColumn, messageTexts, b.StatusMessages},
		{traceStateColumn, traceStateTexts, b.TraceStates},
		{residueColumn, residueTexts, b.Residues},
	} {
		if there>>c.column&1 != 0 {
			dst = append(dst, rowTexts{c.from, w.rows[c.column], &w.rowTexts[c.texts]})
		}
	}
	return dst
}

func (w *formWriter) code(column int, id TextID) uint64 {
	return w.order.code(&w.rowTexts[column], id)
}

// fillValues puts the values of a list into their columns. What is a text and what is not
// comes as it likes, so neither is a branch: only a text that its column did not have last is.
func (w *formWriter) fillValues(shape uint64, attrs []Attr) {
	sh := &w.shapes.list[shape]
	if sh.fresh {
		sh.fresh = false
		w.fillFirst(sh, attrs)
		return
	}
	columns := w.shapes.columns[sh.begin:sh.end]
	values, all, last := w.values, w.shapes.values, w.order.last
	attrs = attrs[:len(columns)]
	for j, column := range columns {
		c, value := &all[column], attrs[j].Value
		text := -uint64(c.text) // all bits, or none
		p := last[value&text]
		if (p.column()^c.texts.number)&uint32(text) == 0 {
			value ^= (value ^ p.code()) & text
		} else {
			value = w.order.otherCode(&c.texts, TextID(value))
		}
		at := c.at
		values[at] = value
		c.at = at + 1
	}
}

// fillIDs is fillValues for a span's list.
func (w *formWriter) fillIDs(shape uint64, table []Attr, ids []uint32) {
	sh := &w.shapes.list[shape]
	if sh.fresh {
		w.attrs = w.attrs[:0]
		for _, id := range ids {
			w.attrs = append(w.attrs, table[id])
		}
		w.fillValues(shape, w.attrs)
		return
	}
	columns := w.shapes.columns[sh.begin:sh.end]
	values, all, last := w.values, w.shapes.values, w.order.last
	ids = ids[:len(columns)]
	for j, column := range columns {
		c, value := &all[column], table[ids[j]].Value
		text := -uint64(c.text) // all bits, or none
		p := last[value&text]
		if (p.column()^c.texts.number)&uint32(text) == 0 {
			value ^= (value ^ p.code()) & text
		} else {
			value = w.order.otherCode(&c.texts, TextID(value))
		}
		at := c.at
		values[at] = value
		c.at = at + 1
	}
}

// fillFirst is fillValues for a list with columns that come for the first time: their keys
// are named.
func (w *formWriter) fillFirst(sh *shape, attrs []Attr) {
	for j, column := range w.shapes.columns[sh.begin:sh.end] {
		c, value := &w.shapes.values[column], attrs[j].Value
		w.order.pass(c.key)
		if c.kind.HasText() {
			value = w.order.code(&c.texts, TextID(value))
		}
		w.values[c.at] = value
		c.at++
	}
}

// appendColumns appends the columns that are there; nothing for no rows.
func appendColumns(dst []byte, columns [][]uint64, there uint64) []byte {
	if len(columns[0]) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, there)
	for i, c := range columns {
		if there>>i&1 != 0 {
			dst = appendNumbers(dst, c)
		}
	}
	return dst
}

// appendLinkIDs appends the ids of links.
func appendLinkIDs(dst []byte, links []Link) []byte {
	if len(links) == 0 {
		return dst
	}
	any := byte(0)
	for i := range links {
		if links[i].TraceID != (TraceID{}) || !links[i].SpanID.IsZero() {
			any = 1
			break
		}
	}
	dst = append(dst, any)
	if any == 0 {
		return dst
	}
	for i := range links {
		dst = append(dst, links[i].TraceID[:]...)
	}
	for i := range links {
		dst = append(dst, links[i].SpanID[:]...)
	}
	return dst
}

// appendValues appends the columns of values; those of empty values take nothing.
func (w *formWriter) appendValues(dst []byte) []byte {
	for i := range w.shapes.values {
		c := &w.shapes.values[i]
		values := w.values[c.first : c.first+c.values]
		switch c.kind {
		case NoValue, EmptyValue:
			continue
		case IntValue:
			for j, v := range values {
				values[j] = zigzag(v)
			}
		}
		dst = appendNumbers(dst, values)
	}
	return dst
}

// readColumns reads what appendColumns wrote, and says which columns are there.
func readColumns(r *codec.Reader, columns [][]uint64) (there uint64) {
	if len(columns[0]) == 0 {
		return 0
	}
	there = readUvarint(r)
	if there>>len(columns) != 0 {
		r.Fail("columns %b", there)
		return 0
	}
	for i, c := range columns {
		if there>>i&1 == 0 {
			clear(c)
			continue
		}
		readNumbers(r, c)
		if r.Err() == nil && c[0] == 0 && allZero(c) {
			r.Fail("column %d is there for nothing", i)
		}
	}
	return there
}

// narrow copies a column of numbers that have 32 bits.
func narrow[T ~int32 | ~uint32](r *codec.Reader, dst []T, column []uint64) {
	all := uint64(0)
	for i, v := range column {
		dst[i] = T(uint32(v))
		all |= v
	}
	if all > math.MaxUint32 {
		r.Fail("a number of more than 32 bits")
	}
}

// narrowSteps copies what widenSteps made, of numbers below limit.
func narrowSteps(r *codec.Reader, dst []uint32, column []uint64, limit int) {
	at := uint64(0)
	for i, v := range column {
		if at += unzigzag(v); at >= uint64(limit) {
			r.Fail("row %d is of envelope %d of %d", i, at, limit)
			return
		}
		dst[i] = uint32(at)
	}
}

// narrowFlags copies a column of flags.
func narrowFlags(r *codec.Reader, dst []bool, column []uint64) {
	for i, v := range column {
		if v > 1 {
			r.Fail("flag %d", v)
			return
		}
		dst[i] = v == 1
	}
}
