package segment

import (
	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
)

// AddColumns appends rows [from, to) of columns that TakesRows said yes to: as Add would, of one trace.
// What Add says of order and errors is true here too; the columns may change when it returns, their
// segment stays open until Finish.
func (w *Writer) AddColumns(trace span.TraceID, c *Columns, from, to int) error {
	if w.err != nil || from >= to {
		return w.err
	}
	if err := w.beginTrace(trace, c.starts[from]); err != nil {
		return err
	}
	for _, start := range c.starts[from:to] {
		if err := w.checkStart(start); err != nil {
			return err
		}
	}
	for from < to && w.err == nil {
		n := min(to-from, groupRows-w.group.rows)
		if w.group.bytes+c.bytes >= groupBytesMax {
			n = 1 // the group may be full by any of them
		}
		w.group.addColumns(c, from, from+n)
		w.info.Rows += n
		w.traces[len(w.traces)-1].rows += uint32(n)
		if w.group.rows >= groupRows || w.group.bytes >= groupBytesMax {
			w.endGroup()
		}
		from += n
	}
	w.foreignOf(c.s).passed(w, c.number+1)
	return w.checkRows()
}

// addColumns appends rows that the group has room for.
func (g *groupWriter) addColumns(c *Columns, from, to int) {
	known, starts := g.w.foreignOf(c.s), c.starts[from:to]
	if g.rows == 0 {
		g.info = GroupInfo{MinStart: starts[0], MaxStart: starts[0], FirstRow: g.w.info.Rows}
		if len(g.runs) == 0 {
			g.startTrace() // the trace goes on from the group before
		}
	}
	g.info.MinStart, g.info.MaxStart = min(g.info.MinStart, starts[0]), max(g.info.MaxStart, starts[len(starts)-1])
	for i, start := range starts {
		duration := span.Duration(start, start+c.lengths[from+i])
		g.info.MaxDuration = max(g.info.MaxDuration, duration)
		g.resources.add(known.resource(g.w, c.group.resources[c.resources[from+i]]))
		g.resources.note(duration)
	}
	g.rows += len(starts)
	g.bytes += 128 * len(starts)
	g.ints[colStart] = append(g.ints[colStart], starts...)
	g.ints[colDuration] = append(g.ints[colDuration], c.lengths[from:to]...)
	g.spanIDs = append(g.spanIDs, c.spanIDs[from:to]...)
	g.parents = append(g.parents, c.parents[from:to]...)
	g.addTexts(c, colResidue, c.residues, from, to)
	g.addItems(c, known, span.SpanLevel, from, to)
	if begin, end := g.addCounts(colEventCount, c.levels[span.EventLevel].ends, from, to); begin < end {
		g.bytes += 32 * (end - begin)
		g.ints[colEventTime] = append(g.ints[colEventTime], c.eventTimes[begin:end]...)
		g.addTexts(c, colEventResidue, c.eventResidues, begin, end)
		g.addItems(c, known, span.EventLevel, begin, end)
	}
	if begin, end := g.addCounts(colLinkCount, c.levels[span.LinkLevel].ends, from, to); begin < end {
		g.bytes += 64 * (end - begin)
		g.links = append(g.links, c.linkTraces[16*begin:16*end]...)
		g.linkIDs = append(g.linkIDs, c.linkSpans[8*begin:8*end]...)
		g.addTexts(c, colLinkResidue, c.linkResidues, begin, end)
		g.addItems(c, known, span.LinkLevel, begin, end)
	}
}

// addCounts appends how many events or links the rows have, and says which.
func (g *groupWriter) addCounts(col int, ends []uint32, from, to int) (begin, end int) {
	if len(ends) == 0 {
		g.ints[col] = appendZeros(g.ints[col], to-from)
		return 0, 0
	}
	first := uint32(0)
	if from > 0 {
		first = ends[from-1]
	}
	last := first
	for _, end := range ends[from:to] {
		g.int(col, uint64(end-last))
		last = end
	}
	return int(first), int(last)
}

// addTexts appends texts of a fixed column, empty ones where there is no list.
func (g *groupWriter) addTexts(c *Columns, col int, list []span.TextID, from, to int) {
	for i := range to - from {
		if list == nil {
			g.texts[col].Add(nil)
			continue
		}
		g.addText(col, c.text(uint64(list[from+i])))
	}
}

// addItems appends the templates of items, and the values that stand with them.
func (g *groupWriter) addItems(c *Columns, known *foreign, level span.Level, from, to int) {
	l, fold, ids := &c.levels[level], g.w.folding[level], c.group.templates[level]
	l.goTo(from)
	for _, code := range l.items.codes[from:to] {
		as := &known.as[level][ids[code]]
		if as.id == 0 {
			known.stand(g.w, as, level, ids[code])
		}
		id := as.id - 1
		fold.again(id)
		g.templates[level].add(id)
		g.bytes += 16 * as.attrs
		for i, place := range l.places[l.begins[code]:l.begins[code+1]] {
			u := &l.uses[place]
			if u.n == 0 {
				u.attr = g.attrOf(as.own[i])
			}
			if u.n++; u.attr != nil && u.attr.stand {
				u.attr.with = append(u.attr.with, id)
			}
		}
	}
	for i := range l.uses {
		if u := &l.uses[i]; u.n > 0 {
			g.addValues(c, u)
			u.at, u.n = u.at+u.n, 0
		}
	}
	l.at = to
}

// attrOf gives the attribute column that values go to next; nil where it is a fixed one.
func (g *groupWriter) attrOf(id uint32) *attrWriter {
	if id < colFixed {
		return nil
	}
	return g.use(id)
}

// addValues appends the next n values of a use.
func (g *groupWriter) addValues(c *Columns, u *usedColumn) {
	values := u.values[u.at : u.at+u.n]
	var dst *column.Texts
	switch {
	case u.attr == nil:
		dst = &g.texts[u.column]
	case c.s.columns[u.column-colFixed].kind.HasText():
		dst = &u.attr.text
	default:
		u.attr.ints = append(u.attr.ints, values...)
		return
	}
	group := uint32(len(g.w.groups)) + 1
	for _, id := range values {
		added := &c.added[id]
		if id != 0 && added.group == group {
			g.bytes += int(c.ends[id] - c.ends[id-1])
			dst.Again(uint64(added.code))
			continue
		}
		text := c.text(id)
		g.bytes += len(text)
		*added = addedText{group, uint32(dst.Add(text))}
	}
}

// goTo makes an item the next one.
func (l *unpackedItems) goTo(item int) {
	if l.at == item {
		return
	}
	mark := item / l.each
	for i := range l.uses {
		l.uses[i].at = int(l.marks[mark*len(l.uses)+i])
	}
	for _, code := range l.items.codes[mark*l.each : item] {
		for _, place := range l.places[l.begins[code]:l.begins[code+1]] {
			l.uses[place].at++
		}
	}
	l.at = item
}
