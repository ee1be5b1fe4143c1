package segment

import (
	"math"

	"github.com/stoadb/stoa/engine/span"
)

// A flush has all its rows before it writes the first. They are written trace by trace, and the rows of
// a trace stand all over the memtable: whatever is looked up of them there must be waited for. So their
// templates are found before, in the order in which the rows lie, with what is remembered of a batch
// near the processor: above all the slot that each of its attributes comes to, since few of them
// are many rows'. Templates are noted, 4 bytes a row; in the order of traces a row is
// looked at only for what stands in columns of its own.

// Place is where a row is: the number of its batch, and its position there.
type Place struct{ Batch, Row uint32 }

// Until a row is described it is noted as one that will be written, or one of the rehearsal too. From then
// on it is noted, like an event or a link, with the number of its template among the segment's + 1,
// and with 0 where that has no room for it. Rows that are not the segment's have 0 all along.
const (
	notedRow = 1 + iota
	notedSample
)

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

	// Of the rows that are written next (gathered.go).
	rows   []gathered
	at     int // the next one
	values []gatheredValue
	met    byte // of their texts: they were looked at
}

// Begin tells the writer all rows that AddNext will write: the batches, and where the rows are, in their
// order: traces by (start of the first row, trace id), the rows of each distinct and in the order of
// span.Compare. It rehearses some of them at equal ranks. The batches must not change before Finish or
// Abort, nor the places.
func (w *Writer) Begin(batches []*span.Batch, places []Place) {
	if w.err != nil || w.info.Rows > 0 {
		return
	}
	w.flushing = &flushing{sources: make([]*source, len(batches)), places: places}
	for i, b := range batches {
		w.flushing.sources[i] = &source{
			batch: b, resources: make([]uint32, len(b.Resources)), scopes: make([]uint32, len(b.Scopes)),
			noted: [span.Levels][]uint32{span.SpanLevel: make([]uint32, b.Len()), span.EventLevel: make([]uint32, len(b.Events)), span.LinkLevel: make([]uint32, len(b.Links))},
		}
	}
	for _, p := range places {
		w.flushing.sources[p.Batch].noted[span.SpanLevel][p.Row] = notedRow
	}
	samples := min(len(places), RehearsalRowsMax)
	for i := range samples {
		p := places[i*len(places)/samples]
		w.flushing.sources[p.Batch].noted[span.SpanLevel][p.Row] = notedSample
	}
	w.rehearseSamples(samples, len(places))
}

// rehearseSamples is Rehearse of the rows that are noted for it.
func (w *Writer) rehearseSamples(samples, total int) {
	for _, level := range levels {
		w.folding[level].rehearsing = true
	}
	for i, s := range w.flushing.sources {
		w.openBatch(i)
		for pos, noted := range s.noted[span.SpanLevel] {
			if noted == notedSample {
				w.group.noteRow(pos)
				s.noted[span.SpanLevel][pos] = notedRow
			}
		}
		w.closeBatch()
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
		noted := w.group.source.noted[span.SpanLevel]
		end := min(len(noted), t.row+rows-done)
		done += end - t.row
		for ; t.row < end; t.row++ {
			if noted[t.row] != 0 {
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
	s.columns = t.columns
	for level := range s.columns {
		s.columns[level].version = 0 // nothing is known of this batch
	}
	t.known, t.knownVersion = t.known[:0], w.folding[span.SpanLevel].version
	if n := len(s.batch.Attrs); repeatedMin*n <= len(s.batch.AttrIDs) {
		t.known = zeroed(t.known, n)
	}
}

// closeBatch takes back what the batch had for it.
func (w *Writer) closeBatch() {
	s := w.group.source
	w.flushing.texts, w.flushing.columns = s.texts, s.columns
	s.texts, s.columns = nil, [span.Levels]knownColumns{}
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

// noteRow describes a row with its events and links, and notes their templates.
func (g *groupWriter) noteRow(pos int) {
	g.noteItem(span.SpanLevel, pos)
	row := span.Row{Batch: g.source.batch, Pos: pos}
	begin, end := row.EventRange()
	for i := begin; i < end; i++ {
		g.noteItem(span.EventLevel, int(i))
	}
	begin, end = row.LinkRange()
	for i := begin; i < end; i++ {
		g.noteItem(span.LinkLevel, int(i))
	}
}

func (g *groupWriter) noteItem(level span.Level, pos int) {
	fold, describe := g.w.folding[level], g.describe[level]
	if level == span.SpanLevel && len(g.w.flushing.known) > 0 {
		g.pos, describe = pos, g.describeKnown
	} else {
		g.take(level, pos)
	}
	id, ok := fold.share(describe)
	switch {
	case fold.rehearsing:
	case ok:
		g.source.noted[level][pos] = id + 1
	default:
		fold.locals++
		g.source.noted[level][pos] = 0
	}
}

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
// What Add says of traces and errors is true here too. What Describe has not gone over yet it does
// before the first.
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
		w.group.addGathered(r, t.values[r.values:])
		w.countRow()
	}
	return w.checkRows()
}

// addNotedItem appends an event or link whose template is noted.
func (g *groupWriter) addNotedItem(level span.Level, pos int, id uint32) {
	own := g.startNoted(level, pos, id)
	b := g.source.batch
	list := b.EventAttrsOf
	if level == span.LinkLevel {
		list = b.LinkAttrsOf
	}
	for _, s := range own.slots {
		if s.at < own.texts {
			g.text(int(s.column), b, g.ownText(s.column, pos))
		} else {
			g.addAttr(s.column, b, list(uint32(pos))[s.at-own.texts])
		}
	}
}

// startNoted appends the template of an item.
func (g *groupWriter) startNoted(level span.Level, pos int, id uint32) *templateOwn {
	own := g.w.folding[level].ownOf(id)
	g.pos, g.template = pos, id
	g.templates[level].add(id)
	g.bytes += 16 * int(own.attrs)
	return own
}

// templateOwn is what a template says of the columns of its items.
type templateOwn struct {
	slots        []ownSlot // whose values stand there
	texts, attrs uint32    // slots of either kind, in this order
}

// ownSlot is a slot whose value stands in its column.
type ownSlot struct{ column, at uint32 }

// ownOf gives them for a template of the segment.
func (f *folding) ownOf(id uint32) *templateOwn {
	for i := len(f.owns); i <= int(id); i++ {
		var own templateOwn
		for at, s := range f.shared.table.slotsOf(uint32(i)) {
			if s.column >= colFixed || isMapped(f.shared.table.level, s.column) {
				own.attrs++
			} else {
				own.texts++
			}
			if s.own {
				own.slots = append(own.slots, ownSlot{s.column, uint32(at)})
			}
		}
		f.owns = append(f.owns, own)
	}
	return &f.owns[id]
}
