package segment

import (
	"fmt"

	"github.com/stoadb/stoa/engine/span"
)

// Rows in the order of traces stand all over the batches. A processor waits for several places of
// memory at once, where it sees the next ones soon enough: so some rows are gathered at a time before
// the first of them is written.

// gathered is a row of a flush on its way.
type gathered struct {
	fixed
	source        *source
	pos           int
	template      uint32 // of the segment, + 1
	own           *templateOwn
	values        []uint64 // as noted, of the slots of own
	events, links [2]uint32
}

// next gives the next row.
func (w *Writer) next() (*gathered, error) {
	t := w.flushing
	if t.at == len(t.rows) {
		if len(t.places) == 0 {
			return nil, fmt.Errorf("%s: more rows than were told", w.info.Name)
		}
		w.gather()
	}
	t.at++
	return &t.rows[t.at-1], nil
}

// gather fills rows with those of the next places.
func (w *Writer) gather() {
	t := w.flushing
	places := t.places[:min(len(t.places), gatheredRowsMax)]
	t.places, t.at = t.places[len(places):], 0
	if cap(t.rows) == 0 {
		t.rows = make([]gathered, gatheredRowsMax)
	}
	t.rows = t.rows[:len(places)]
	for i, p := range places {
		t.rows[i].take(t.sources[p.Batch], int(p.Row))
	}
	for i := range t.rows {
		r := &t.rows[i]
		if r.template == 0 {
			continue
		}
		r.own = w.ownOf(span.SpanLevel, r.template-1)
		r.values = r.values[:len(r.own.slots)]
		for k, value := range r.values {
			if kind := r.own.slots[k].kind; kind == ownText || kind == ownRowText {
				if text := bytesAt(r.source.batch, value); len(text) > 0 {
					t.met += text[0]
				}
			}
		}
	}
}

// take gathers what a row needs of its batch.
func (r *gathered) take(s *source, pos int) {
	b, note := s.batch, &s.noted.rows[pos]
	r.source, r.pos = s, pos
	r.start, r.end, r.spanID, r.parentID = b.Starts[pos], b.Ends[pos], b.SpanIDs[pos], b.ParentIDs[pos]
	r.residue = b.Bytes(b.Residues[pos])
	r.template, r.resource, r.values = note.template, note.resource, s.noted.values[note.values:]
	r.events, r.links = [2]uint32{0, b.EventEnds[pos]}, [2]uint32{0, b.LinkEnds[pos]}
	if pos > 0 {
		r.events[0], r.links[0] = b.EventEnds[pos-1], b.LinkEnds[pos-1]
	}
}

// addGathered appends a row.
func (g *groupWriter) addGathered(r *gathered) {
	g.source = r.source
	g.addFixed(&r.fixed)
	if r.template == 0 {
		g.addItem(span.SpanLevel, r.pos)
	} else {
		g.startNoted(span.SpanLevel, r.pos, r.template-1, r.own)
		for i := range r.own.slots {
			g.addNotedValue(&r.own.slots[i], r.values[i])
		}
	}
	row := span.Row{Batch: r.source.batch, Pos: r.pos}
	g.addEvents(row, r.events[0], r.events[1])
	g.addLinks(row, r.links[0], r.links[1])
}

func (g *groupWriter) addNotedValue(s *ownSlot, value uint64) {
	b := g.source.batch
	switch s.kind {
	case ownRowText:
		g.addText(int(s.column), bytesAt(b, value))
	case ownMapped:
		g.addMapped(int(s.column), b, b.Attrs[value])
	case ownText:
		text := bytesAt(b, value)
		g.bytes += len(text)
		g.own(s.column).text.Add(text)
	case ownNumber:
		values := g.own(s.column)
		values.ints = append(values.ints, value)
	}
}

// addNotedItem appends an event or link whose template is noted.
func (g *groupWriter) addNotedItem(level span.Level, pos int, id uint32) {
	own := g.w.ownOf(level, id)
	g.startNoted(level, pos, id, own)
	b := g.source.batch
	list := b.EventAttrsOf
	if level == span.LinkLevel {
		list = b.LinkAttrsOf
	}
	for _, s := range own.slots {
		if s.kind == ownRowText {
			g.text(int(s.column), b, g.ownText(s.column, pos))
		} else {
			g.addAttr(s.column, b, list(uint32(pos))[s.at])
		}
	}
}

// startNoted appends the template of an item.
func (g *groupWriter) startNoted(level span.Level, pos int, id uint32, own *templateOwn) {
	g.pos, g.template = pos, id
	g.templates[level].add(id)
	g.bytes += 16 * own.attrs
}

// templateOwn is what a template says of the columns of its items.
type templateOwn struct {
	slots []ownSlot // whose values stand there
	attrs int       // of an item
}

// ownSlot is a slot whose value stands in its column.
type ownSlot struct {
	column, at uint32 // among the attributes
	kind       ownKind
}

// ownKind is what the value of such a slot is.
type ownKind uint8

const (
	ownRowText ownKind = iota // a text that is no attribute
	ownMapped                 // an attribute in the map column
	ownText                   // that of an attribute of text
	ownNumber                 // of one without
)

// ownOf gives them for a template of the segment.
func (w *Writer) ownOf(level span.Level, id uint32) *templateOwn {
	f := w.folding[level]
	for i := len(f.owns); i <= int(id); i++ {
		var own templateOwn
		for _, s := range f.shared.table.slotsOf(uint32(i)) {
			kind := ownRowText
			switch {
			case isMapped(level, s.column):
				kind = ownMapped
			case s.column >= colFixed && w.columns[s.column-colFixed].kind.HasText():
				kind = ownText
			case s.column >= colFixed:
				kind = ownNumber
			}
			if s.own {
				own.slots = append(own.slots, ownSlot{s.column, uint32(own.attrs), kind})
			}
			if kind != ownRowText {
				own.attrs++
			}
		}
		f.owns = append(f.owns, own)
	}
	return &f.owns[id]
}
