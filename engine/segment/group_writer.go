package segment

import (
	"encoding/binary"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
)

// groupWriter collects one row group column by column and writes its pages. All memory is
// kept from group to group.
type groupWriter struct {
	w     *Writer
	info  GroupInfo
	rows  int
	bytes int // of content: what the group takes in memory, about

	ints     [colFixed][]uint64
	texts    [colFixed]column.Texts
	spanIDs  []span.SpanID
	parents  []span.SpanID
	runs     []int  // first rows of the traces in this group
	literals []byte // parent ids that stand elsewhere
	links    []byte // trace ids of links
	linkIDs  []byte // span ids of links

	resources locals
	scopes    locals
	shapes    [span.Levels]shapeWriter
	attrs     []*attrWriter // by column id - colFixed
	used      []uint32      // attribute columns with values in this group

	payload, page []byte
	pages         column.Pages
	slots         []uint32
}

// attrWriter collects the values of one attribute column.
type attrWriter struct {
	used bool
	ints []uint64
	text column.Texts
}

func newGroupWriter(w *Writer) *groupWriter { return &groupWriter{w: w} }

// startTrace notes that the next row begins another trace.
func (g *groupWriter) startTrace() { g.runs = append(g.runs, g.rows) }

func (g *groupWriter) int(col int, v uint64) { g.ints[col] = append(g.ints[col], v) }

// add appends one row.
func (g *groupWriter) add(r span.Row, s *source) {
	b, pos := r.Batch, r.Pos
	start, end := b.Starts[pos], b.Ends[pos]
	if g.rows == 0 {
		g.info = GroupInfo{MinStart: start, MaxStart: start, FirstRow: g.w.info.Rows}
		if len(g.runs) == 0 {
			g.startTrace() // the trace goes on from the group before
		}
	}
	g.info.MinStart, g.info.MaxStart = min(g.info.MinStart, start), max(g.info.MaxStart, start)
	g.info.MaxDuration = max(g.info.MaxDuration, span.Duration(start, end))
	g.rows++
	g.int(colStart, start)
	g.int(colDuration, end-start)
	g.resources.add(g.w.resources, s.resources, b, b.ResourceIDs[pos])
	g.scopes.add(g.w.scopes, s.scopes, b, b.ScopeIDs[pos])
	g.spanIDs = append(g.spanIDs, b.SpanIDs[pos])
	g.parents = append(g.parents, b.ParentIDs[pos])
	g.int(colKind, uint64(uint32(b.Kinds[pos])))
	g.int(colStatusCode, uint64(uint32(b.StatusCodes[pos])))
	g.int(colStatusPresent, uint64(flag(b.StatusPresent[pos])))
	g.int(colFlags, uint64(b.Flags[pos]))
	g.int(colDroppedAttrs, uint64(b.DroppedAttrs[pos]))
	g.int(colDroppedEvents, uint64(b.DroppedEvents[pos]))
	g.int(colDroppedLinks, uint64(b.DroppedLinks[pos]))
	g.bytes += 128
	g.text(colName, b, b.Names[pos])
	g.text(colStatusMessage, b, b.StatusMessages[pos])
	g.text(colTraceState, b, b.TraceStates[pos])
	g.text(colResidue, b, b.Residues[pos])
	g.addAttrs(span.SpanLevel, s, r.Attrs())
	g.addEvents(r, s)
	g.addLinks(r, s)
}

func (g *groupWriter) text(col int, b *span.Batch, id span.TextID) {
	text := b.Bytes(id)
	g.bytes += len(text)
	g.texts[col].Add(text)
}

func (g *groupWriter) addEvents(r span.Row, s *source) {
	begin, end := r.EventRange()
	g.int(colEventCount, uint64(end-begin))
	for i := begin; i < end; i++ {
		e := &r.Batch.Events[i]
		g.int(colEventTime, e.Time-r.Start())
		g.int(colEventDropped, uint64(e.Dropped))
		g.text(colEventName, r.Batch, e.Name)
		g.text(colEventResidue, r.Batch, e.Residue)
		g.bytes += 32
		g.addAttrs(span.EventLevel, s, r.Batch.EventAttrsOf(i))
	}
}

func (g *groupWriter) addLinks(r span.Row, s *source) {
	begin, end := r.LinkRange()
	g.int(colLinkCount, uint64(end-begin))
	for i := begin; i < end; i++ {
		l := &r.Batch.Links[i]
		g.links = append(g.links, l.TraceID[:]...)
		g.linkIDs = append(g.linkIDs, l.SpanID[:]...)
		g.int(colLinkDropped, uint64(l.Dropped))
		g.int(colLinkFlags, uint64(l.Flags))
		g.text(colLinkTraceState, r.Batch, l.TraceState)
		g.text(colLinkResidue, r.Batch, l.Residue)
		g.bytes += 64
		g.addAttrs(span.LinkLevel, s, r.Batch.LinkAttrsOf(i))
	}
}

// addAttrs appends one list of attributes: each value to its column, the list of columns
// as a shape.
func (g *groupWriter) addAttrs(level span.Level, s *source, attrs []span.Attr) {
	shape := &g.shapes[level]
	for _, a := range attrs {
		id := g.w.columnOf(s, level, a)
		shape.next = append(shape.next, id)
		g.bytes += 16
		if id < colFixed {
			g.addMapped(int(id), s.batch, a)
			continue
		}
		for int(id)-colFixed >= len(g.attrs) {
			g.attrs = append(g.attrs, new(attrWriter))
		}
		values := g.attrs[id-colFixed]
		if !values.used {
			values.used = true
			g.used = append(g.used, id)
		}
		if a.Type.HasText() {
			text := s.batch.Bytes(span.TextID(a.Value))
			g.bytes += len(text)
			values.text.Add(text)
		} else {
			values.ints = append(values.ints, a.Value)
		}
	}
	shape.end()
}

// addMapped appends an attribute to the map column that begins at first.
func (g *groupWriter) addMapped(first int, b *span.Batch, a span.Attr) {
	g.text(first+mapKey, b, a.Key)
	g.int(first+mapType, uint64(a.Type))
	if a.Type.HasText() {
		g.text(first+mapText, b, span.TextID(a.Value))
	} else {
		g.int(first+mapNumber, a.Value)
	}
}

// locals maps the segment's ids of resources or scopes to small ones of this group, in
// order of first use.
type locals struct {
	ids   []uint64 // the segment's id of each local one
	codes []uint64 // of each row
	of    []uint32 // local + 1 by the segment's id, 0 is none
}

func (l *locals) add(d *dictionary, known []uint32, b *span.Batch, i uint32) {
	if known[i] == 0 {
		known[i] = d.id(b, i) + 1
	}
	id := known[i] - 1
	for int(id) >= len(l.of) {
		l.of = append(l.of, 0)
	}
	if l.of[id] == 0 {
		l.ids = append(l.ids, uint64(id))
		l.of[id] = uint32(len(l.ids))
	}
	l.codes = append(l.codes, uint64(l.of[id]-1))
}

// appendTo appends the head of the payload: ids v, the ids as integers; then come the codes.
func (l *locals) appendTo(dst []byte) (_ []byte, codes []uint64) {
	dst = binary.AppendUvarint(dst, uint64(len(l.ids)))
	return column.AppendBytewise(dst, l.ids), l.codes
}

func (l *locals) reset() {
	for _, id := range l.ids {
		l.of[id] = 0
	}
	l.ids, l.codes = l.ids[:0], l.codes[:0]
}
