package segment

import (
	"fmt"
	"math"
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// A flush has all its rows before it writes the first. They are written trace by trace, and the rows of
// a trace stand all over the memtable: whatever is looked up of them there must be waited for. So their
// templates are found before, in the order in which the rows lie, with what is remembered of a batch
// near the processor: above all the slot that each of its attributes comes to, since few of them
// are many rows'. What a row comes to is noted: 12 bytes, and 8 for each value in a column of its own.

// Place is where a row is: the number of its batch, and its position there.
type Place struct{ Batch, Row uint32 }

// notedRow is what is noted of a row. Until the row is described its template says whether it will be
// written, and whether it is one of the rehearsal.
type notedRow struct {
	template uint32 // of the segment, + 1; 0 where it has no room for it
	resource uint32 // of the segment
	values   uint32 // where its own begin among those that are noted of the batch
}

const (
	willBeWritten = 1 + iota
	isRehearsed
)

// noted is what is noted of a batch.
type noted struct {
	rows      []notedRow
	templates [span.Levels][]uint32 // of events and links, as in notedRow
	values    []uint64              // in columns of their own: numbers, texts as textAt, positions of attributes for map columns
}

// flushing is the rows of a flush.
type flushing struct {
	sources []*source // by number of the batch
	places  []Place   // that are not gathered yet
	batch   int       // where describing goes on
	row     int

	// Of the batch at hand; their memory goes from one to the next.
	known        []slot // by attribute, column 0 is not known yet; empty where hardly one comes twice
	knownVersion int    // of the folding of spans
	texts        []uint32
	columns      [span.Levels]knownColumns
	values       []uint64 // noted so far

	// Of the rows that are written next (gathered.go).
	rows []gathered
	at   int  // the next one
	met  byte // of their texts: they were looked at
}

// Begin tells the writer all rows that AddNext will write: the batches, and where the rows are, in their
// order: traces by (start of the first row, trace id), the rows of each distinct and in the order of
// span.Compare. It rehearses some of them at equal ranks. The batches must not change before Finish or
// Abort, nor the places.
func (w *Writer) Begin(batches []*span.Batch, places []Place) {
	w.flushing = &flushing{}
	if w.info.Rows > 0 {
		w.fail(fmt.Errorf("%s: %d rows come before those of a flush", w.info.Name, w.info.Rows))
	}
	if w.err != nil {
		return
	}
	w.flushing.sources, w.flushing.places = make([]*source, len(batches)), places
	for i, b := range batches {
		w.flushing.sources[i] = &source{
			batch: b, resources: make([]uint32, len(b.Resources)), scopes: make([]uint32, len(b.Scopes)),
			noted: &noted{rows: make([]notedRow, b.Len()), templates: [span.Levels][]uint32{
				span.EventLevel: make([]uint32, len(b.Events)), span.LinkLevel: make([]uint32, len(b.Links)),
			}},
		}
	}
	for _, p := range places {
		w.flushing.sources[p.Batch].noted.rows[p.Row].template = willBeWritten
	}
	samples := min(len(places), RehearsalRowsMax)
	for i := range samples {
		p := places[i*len(places)/samples]
		w.flushing.sources[p.Batch].noted.rows[p.Row].template = isRehearsed
	}
	w.rehearseSamples(samples, len(places))
}

// checkFlushed fails where rows are missing that Begin was told: their templates count them.
func (w *Writer) checkFlushed() {
	if t := w.flushing; w.err == nil && t != nil && (len(t.places) > 0 || t.at < len(t.rows)) {
		w.fail(fmt.Errorf("%s: %d rows are missing", w.info.Name, len(t.places)+len(t.rows)-t.at))
	}
}

// rehearseSamples is Rehearse of the rows that are noted for it.
func (w *Writer) rehearseSamples(samples, total int) {
	for _, level := range levels {
		w.folding[level].rehearsing = true
	}
	for i, s := range w.flushing.sources {
		opened := false
		for pos := range s.noted.rows {
			if row := &s.noted.rows[pos]; row.template == isRehearsed {
				if !opened {
					w.openBatch(i)
					opened = true
				}
				w.group.noteRow(pos)
				row.template = willBeWritten
			}
		}
		if opened {
			w.closeBatch()
		}
	}
	for _, level := range levels {
		w.folding[level].endRehearsal(samples, total)
	}
	w.templateTexts.reset()
}

// Describe finds the templates of as many rows more, in the order of the batches, and says over how many
// rows it went; 0 is none any more. AddNext does what is left of it.
func (w *Writer) Describe(rows int) (done int) {
	t := w.flushing
	for done < rows && t.batch < len(t.sources) {
		if t.row == 0 {
			w.openBatch(t.batch)
		}
		noted := w.group.source.noted.rows
		end := t.row + min(rows-done, len(noted)-t.row)
		done += end - t.row
		for ; t.row < end; t.row++ {
			if noted[t.row].template != 0 {
				w.group.noteRow(t.row)
			}
		}
		if end < len(noted) {
			break
		}
		w.closeBatch()
		t.batch, t.row = t.batch+1, 0
	}
	return done
}

// openBatch makes ready to describe rows of a batch.
func (w *Writer) openBatch(i int) {
	t := w.flushing
	s := t.sources[i]
	w.group.source = s
	s.texts = zeroed(t.texts, max(len(s.batch.TextEnd), 1))
	for level := range s.columns {
		s.columns[level] = knownColumns{byKey: t.columns[level].byKey[:0]}
	}
	t.known, t.knownVersion = t.known[:0], w.folding[span.SpanLevel].version
	if n := len(s.batch.Attrs); repeatedMin*n <= len(s.batch.AttrIDs) {
		t.known = zeroed(t.known, n)
	}
}

// closeBatch takes back what the batch had for it.
func (w *Writer) closeBatch() {
	s, t := w.group.source, w.flushing
	t.texts, t.columns = s.texts, s.columns
	s.texts, s.columns = nil, [span.Levels]knownColumns{}
	if len(t.values) > 0 {
		s.noted.values = slices.Clone(t.values)
	}
	t.values = t.values[:0]
}

// zeroed gives n zeros in the memory of a list where it is large enough.
func zeroed[T any](list []T, n int) []T {
	if n > cap(list) {
		return make([]T, n)
	}
	list = list[:n]
	clear(list)
	return list
}

// noteRow describes a row with its events and links, and notes what they come to; in a rehearsal
// nothing is noted.
func (g *groupWriter) noteRow(pos int) {
	s, row := g.source, span.Row{Batch: g.source.batch, Pos: pos}
	template := g.templateToNote(span.SpanLevel, pos)
	if note := &s.noted.rows[pos]; !g.w.folding[span.SpanLevel].rehearsing {
		*note = notedRow{template, s.resource(g.w, s.batch.ResourceIDs[pos]), uint32(len(g.w.flushing.values))}
		if template != 0 {
			g.noteValues(row, template-1)
		}
	}
	begin, end := row.EventRange()
	for i := begin; i < end; i++ {
		s.noted.templates[span.EventLevel][i] = g.templateToNote(span.EventLevel, int(i))
	}
	begin, end = row.LinkRange()
	for i := begin; i < end; i++ {
		s.noted.templates[span.LinkLevel][i] = g.templateToNote(span.LinkLevel, int(i))
	}
}

// templateToNote describes an item, and gives the template of the segment that it has, + 1; 0 is none.
func (g *groupWriter) templateToNote(level span.Level, pos int) uint32 {
	fold, describe := g.w.folding[level], g.describe[level]
	if level == span.SpanLevel && len(g.w.flushing.known) > 0 {
		g.pos, describe = pos, g.describeKnown
	} else {
		g.take(level, pos)
	}
	id, ok := fold.share(describe)
	if ok {
		return id + 1
	}
	if !fold.rehearsing {
		fold.locals++
	}
	return 0
}

// noteValues notes the values of a row that stand in columns of their own.
func (g *groupWriter) noteValues(row span.Row, template uint32) {
	b, own := row.Batch, g.w.ownOf(span.SpanLevel, template)
	if len(own.slots) == 0 {
		return
	}
	values, ids := g.w.flushing.values, row.AttrIDs()
	for _, s := range own.slots {
		var value uint64
		switch s.kind {
		case ownRowText:
			value = textAt(b, g.ownText(s.column, row.Pos))
		case ownMapped:
			value = uint64(ids[s.at])
		case ownText:
			value = textAt(b, span.TextID(b.Attrs[ids[s.at]].Value))
		case ownNumber:
			value = b.Attrs[ids[s.at]].Value
		}
		values = append(values, value)
	}
	g.w.flushing.values = values
}

// textAt says where a text of a batch stands: begin << 32 | end.
func textAt(b *span.Batch, id span.TextID) uint64 {
	if id == 0 {
		return 0
	}
	return uint64(b.TextEnd[id-1])<<32 | uint64(b.TextEnd[id])
}

func bytesAt(b *span.Batch, at uint64) []byte { return b.Text[at>>32 : uint32(at)] }

// describeKnownSpan is describeSpan where attributes of the batch stand with several rows: what one
// comes to is worked out for the first.
func (g *groupWriter) describeKnownSpan(t *templateWriter) {
	g.describeRest(t)
	f, flush := g.w.folding[span.SpanLevel], g.w.flushing
	if flush.knownVersion != f.version {
		clear(flush.known)
		flush.knownVersion = f.version
	}
	b, known := g.source.batch, flush.known
	for _, id := range (span.Row{Batch: b, Pos: g.pos}).AttrIDs() {
		if known[id].column == 0 {
			known[id] = g.slotOfAttr(t, f, span.SpanLevel, &b.Attrs[id])
		}
		f.slots = append(f.slots, known[id])
	}
}

// remember makes room for what is known of the keys of a batch that is described once more. As
// with sourceOf, so many bytes of batches may have that at once.
func (w *Writer) remember(s *source) {
	if s.isRemembered {
		return
	}
	if w.sourceBytes > sourceBytesMax {
		for _, other := range w.flushing.sources {
			other.columns, other.isRemembered = [span.Levels]knownColumns{}, false
		}
		w.sourceBytes = 0
	}
	s.isRemembered = true
	w.sourceBytes += s.batch.MemoryBytes()
}

// AddNext adds the next rows of those that Begin was told: so many, which all belong to the trace.
// What Add says of traces and errors is true here too. Begin comes before it, and all rows must have
// come before Finish. What Describe has not gone over yet it does before the first.
func (w *Writer) AddNext(trace span.TraceID, rows int) error {
	if w.err != nil || rows == 0 {
		return w.err
	}
	t := w.flushing
	for t.batch < len(t.sources) {
		w.Describe(math.MaxInt)
	}
	for k := range rows {
		r, err := w.next()
		if k == 0 && err == nil {
			err = w.beginTrace(trace, r.start)
		}
		if err == nil {
			err = w.checkStart(r.start)
		}
		if err != nil {
			return w.fail(err)
		}
		w.group.addGathered(r)
		w.countRow()
	}
	return w.checkRows()
}
