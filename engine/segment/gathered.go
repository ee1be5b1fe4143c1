package segment

import (
	"errors"

	"github.com/stoadb/stoa/engine/span"
)

// Rows in the order of traces stand all over the batches. A processor waits for several places of
// memory at once, where it sees the next ones soon enough: so some rows are gathered at a time, column by
// column of what they need, before any of them is written.

// gathered is a row of a flush on its way.
type gathered struct {
	fixed
	source        *source
	pos           int
	template      uint32 // + 1, as noted
	attrs         uint32 // where its own begin in the batch's AttrIDs
	values        int    // where its own begin among those that are gathered
	events, links [2]uint32
}

// gatheredValue is an attribute that stands in a column of its own.
type gatheredValue struct {
	batch *span.Batch
	id    uint32
	span.Attr
	text []byte
}

// next gives the next row.
func (w *Writer) next() (*gathered, error) {
	t := w.flushing
	if t.at == len(t.rows) {
		if len(t.places) == 0 {
			return nil, errors.New("segment writer: more rows than it was told")
		}
		w.gather()
	}
	t.at++
	return &t.rows[t.at-1], nil
}

// gather fills rows and values with those of the next places.
func (w *Writer) gather() {
	t, fold := w.flushing, w.folding[span.SpanLevel]
	places := t.places[:min(len(t.places), gatheredRowsMax)]
	t.places, t.at = t.places[len(places):], 0
	if t.rows = t.rows[:0]; cap(t.rows) == 0 {
		t.rows = make([]gathered, 0, gatheredRowsMax)
	}
	t.rows = t.rows[:len(places)]
	for i, p := range places {
		t.rows[i].take(t.sources[p.Batch], int(p.Row))
	}
	t.values = t.values[:0]
	for i := range t.rows {
		r := &t.rows[i]
		r.resource = r.source.resource(w, r.resource)
		if r.values = len(t.values); r.template == 0 {
			continue
		}
		own := fold.ownOf(r.template - 1)
		for _, s := range own.slots {
			if s.at >= own.texts {
				b := r.source.batch
				t.values = append(t.values, gatheredValue{batch: b, id: b.AttrIDs[r.attrs+s.at-own.texts]})
			}
		}
	}
	for i := range t.values {
		v := &t.values[i]
		v.Attr = v.batch.Attrs[v.id]
	}
	for i := range t.values {
		if v := &t.values[i]; v.Type.HasText() {
			v.text = v.batch.Bytes(span.TextID(v.Value))
		}
	}
	for i := range t.values {
		if v := &t.values[i]; len(v.text) > 0 {
			t.met += v.text[0]
		}
	}
}

// take gathers what a row needs of its batch.
func (r *gathered) take(s *source, pos int) {
	b := s.batch
	r.source, r.pos = s, pos
	r.start, r.end, r.spanID, r.parentID = b.Starts[pos], b.Ends[pos], b.SpanIDs[pos], b.ParentIDs[pos]
	r.resource, r.residue = b.ResourceIDs[pos], b.Bytes(b.Residues[pos])
	r.template = s.noted[span.SpanLevel][pos]
	r.attrs, r.events, r.links = 0, [2]uint32{0, b.EventEnds[pos]}, [2]uint32{0, b.LinkEnds[pos]}
	if pos > 0 {
		r.attrs, r.events[0], r.links[0] = b.AttrEnds[pos-1], b.EventEnds[pos-1], b.LinkEnds[pos-1]
	}
}

// addGathered appends a row; its values stand first in the list.
func (g *groupWriter) addGathered(r *gathered, values []gatheredValue) {
	b := r.source.batch
	g.source = r.source
	g.addFixed(&r.fixed)
	if r.template == 0 {
		g.addItem(span.SpanLevel, r.pos)
	} else {
		own := g.startNoted(span.SpanLevel, r.pos, r.template-1)
		for _, s := range own.slots {
			if s.at < own.texts {
				g.text(int(s.column), b, g.ownText(s.column, r.pos))
				continue
			}
			v := &values[0]
			values = values[1:]
			switch {
			case s.column < colFixed:
				g.addMapped(int(s.column), b, v.Attr)
			case v.Type.HasText():
				g.bytes += len(v.text)
				g.own(s.column).text.Add(v.text)
			default:
				own := g.own(s.column)
				own.ints = append(own.ints, v.Value)
			}
		}
	}
	row := span.Row{Batch: b, Pos: r.pos}
	g.addEvents(row, r.events[0], r.events[1])
	g.addLinks(row, r.links[0], r.links[1])
}
