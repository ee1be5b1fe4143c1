package segment

import (
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

	resources groupCodes
	templates [span.Levels]groupCodes
	attrs     []*attrWriter // by column id - colFixed
	used      []uint32      // attribute columns with values in this group

	// The item that is being added, as describe needs it.
	source        *source
	level         span.Level
	pos           int // the row, or the event's or link's position in the batch
	list          []span.Attr
	spanList      []span.Attr // of a span: its memory
	bare          []slot      // of a bare row: what the slots are there
	template      uint32      // of the segment, or noTemplate
	describe      [span.Levels]func(t *templateWriter)
	describeBare  func(t *templateWriter)
	describeKnown func(t *templateWriter)

	payload, page []byte
	pages         column.Pages
	slots         []uint32
	hashes        []uint64
}

// attrWriter collects the values of one attribute column that are in no template.
type attrWriter struct {
	used  bool
	stand bool // there may be standing terms of the column
	ints  []uint64
	text  column.Texts
	local []uint64 // hashes of values in templates of the group's own, for the filter
	with  []uint32 // templates of the values, where the column may have standing terms
}

// noTemplate stands for a template of the row group's own.
const noTemplate = ^uint32(0)

func newGroupWriter(w *Writer) *groupWriter {
	g := &groupWriter{w: w}
	g.describe = [span.Levels]func(*templateWriter){
		span.SpanLevel: g.describeSpan, span.EventLevel: g.describeEvent, span.LinkLevel: g.describeLink,
	}
	g.describeBare = g.describeBareItem
	g.describeKnown = g.describeKnownSpan
	return g
}

// startTrace notes that the next row begins another trace.
func (g *groupWriter) startTrace() { g.runs = append(g.runs, g.rows) }

func (g *groupWriter) int(col int, v uint64) { g.ints[col] = append(g.ints[col], v) }

// fixed is what a row has in columns that every row has.
type fixed struct {
	start, end       uint64
	spanID, parentID span.SpanID
	resource         uint32 // of the segment
	residue          []byte
}

// add appends one row.
func (g *groupWriter) add(r span.Row, s *source) {
	b, pos := r.Batch, r.Pos
	g.source = s
	g.addFixed(&fixed{
		start: b.Starts[pos], end: b.Ends[pos], spanID: b.SpanIDs[pos], parentID: b.ParentIDs[pos],
		resource: s.resource(g.w, b.ResourceIDs[pos]), residue: b.Bytes(b.Residues[pos]),
	})
	g.addItem(span.SpanLevel, pos)
	begin, end := r.EventRange()
	g.addEvents(r, begin, end)
	begin, end = r.LinkRange()
	g.addLinks(r, begin, end)
}

func (g *groupWriter) addFixed(r *fixed) {
	if g.rows == 0 {
		g.info = GroupInfo{MinStart: r.start, MaxStart: r.start, FirstRow: g.w.info.Rows}
		if len(g.runs) == 0 {
			g.startTrace() // the trace goes on from the group before
		}
	}
	g.info.MinStart, g.info.MaxStart = min(g.info.MinStart, r.start), max(g.info.MaxStart, r.start)
	duration := span.Duration(r.start, r.end)
	g.info.MaxDuration = max(g.info.MaxDuration, duration)
	g.rows++
	g.bytes += 128
	g.int(colStart, r.start)
	g.int(colDuration, r.end-r.start)
	g.resources.add(r.resource)
	g.resources.note(duration)
	g.spanIDs = append(g.spanIDs, r.spanID)
	g.parents = append(g.parents, r.parentID)
	g.addText(colResidue, r.residue)
}

func (g *groupWriter) text(col int, b *span.Batch, id span.TextID) { g.addText(col, b.Bytes(id)) }

func (g *groupWriter) addText(col int, text []byte) {
	g.bytes += len(text)
	g.texts[col].Add(text)
}

func (g *groupWriter) addEvents(r span.Row, begin, end uint32) {
	g.int(colEventCount, uint64(end-begin))
	for i := begin; i < end; i++ {
		e := &r.Batch.Events[i]
		g.int(colEventTime, e.Time-r.Start())
		g.text(colEventResidue, r.Batch, e.Residue)
		g.bytes += 32
		g.addItem(span.EventLevel, int(i))
	}
}

func (g *groupWriter) addLinks(r span.Row, begin, end uint32) {
	g.int(colLinkCount, uint64(end-begin))
	for i := begin; i < end; i++ {
		l := &r.Batch.Links[i]
		g.links = append(g.links, l.TraceID[:]...)
		g.linkIDs = append(g.linkIDs, l.SpanID[:]...)
		g.text(colLinkResidue, r.Batch, l.Residue)
		g.bytes += 64
		g.addItem(span.LinkLevel, int(i))
	}
}

// addItem finds the template of a span, event or link, and appends to their columns those
// values that are not in it.
func (g *groupWriter) addItem(level span.Level, pos int) {
	if g.source.origin.isBare() {
		g.addBareItem(level, pos)
		return
	}
	if noted := g.source.noted; noted != nil && level != span.SpanLevel && noted.templates[level][pos] != 0 {
		g.addNotedItem(level, pos, noted.templates[level][pos]-1)
		return
	}
	g.take(level, pos)
	attrs := len(g.list)
	g.bytes += 16 * attrs
	carried := g.source.carriedAt(level, pos)
	if g.addCarried(carried, level) {
		for _, s := range carried.own {
			g.addSlot(s.column, int(s.at), int(carried.texts))
		}
		return
	}
	fold, code := g.w.folding[level], g.addTemplate(level, g.describe[level])
	texts := len(fold.slots) - attrs
	for i, s := range fold.slots {
		if s.own {
			g.addSlot(s.column, i, texts)
		}
	}
	if carried != nil {
		g.source.carry(carried, level, pos, attrs, fold, code)
	}
}

// take makes an item the one that is being added.
func (g *groupWriter) take(level span.Level, pos int) {
	b := g.source.batch
	g.pos = pos
	switch level {
	case span.EventLevel:
		g.list = b.EventAttrsOf(uint32(pos))
	case span.LinkLevel:
		g.list = b.LinkAttrsOf(uint32(pos))
	default:
		// All are fetched before one is looked at, so that they are waited for at once.
		g.spanList = span.Row{Batch: b, Pos: pos}.AppendAttrs(g.spanList[:0])
		g.list = g.spanList
	}
}

// addCarried appends the template of an item where it is known what it came to.
func (g *groupWriter) addCarried(c *carried, level span.Level) bool {
	fold := g.w.folding[level]
	if c == nil || c.version != fold.version || !fold.open() {
		return false
	}
	fold.again(c.id)
	g.templates[level].add(c.id)
	g.template = c.id
	return true
}

// addTemplate appends the template of an item by its description.
func (g *groupWriter) addTemplate(level span.Level, describe func(t *templateWriter)) code {
	fold := g.w.folding[level]
	before := len(fold.local.texts.batch.Text)
	code := g.codeOf(fold, describe)
	g.bytes += len(fold.local.texts.batch.Text) - before // the group's own, as its columns are
	g.templates[level].addCode(code)
	if g.template = uint32(code >> 1); code&1 != 0 {
		g.template = noTemplate
	}
	return code
}

// codeOf gives the template of an item; it is the row group's own where that is noted.
func (g *groupWriter) codeOf(fold *folding, describe func(t *templateWriter)) code {
	if g.source.noted != nil {
		g.w.remember(g.source)
		return fold.endLocal(describe)
	}
	return fold.end(describe)
}

// addSlot appends the value of slot i of the item to its column. The first slots, as many as
// texts, are those of texts that are no attributes.
func (g *groupWriter) addSlot(col uint32, i, texts int) {
	b := g.source.batch
	if i < texts {
		g.text(int(col), b, g.ownText(col, g.pos))
	} else {
		g.addAttr(col, b, g.list[i-texts])
	}
}

// addAttr appends an attribute to its column, or to the map column.
func (g *groupWriter) addAttr(col uint32, b *span.Batch, a span.Attr) {
	if col < colFixed {
		g.addMapped(int(col), b, a)
	} else {
		g.addOwn(col, b, a)
	}
}

// ownText gives a text of the item that stands in a column of its own.
func (g *groupWriter) ownText(col uint32, pos int) span.TextID {
	switch b := g.source.batch; col {
	case colStatusMessage:
		return b.StatusMessages[pos]
	case colTraceState:
		return b.TraceStates[pos]
	default:
		return b.Links[pos].TraceState
	}
}

// addOwn appends a value to its attribute column.
func (g *groupWriter) addOwn(id uint32, b *span.Batch, a span.Attr) {
	values := g.own(id)
	if a.Type.HasText() {
		text := b.Bytes(span.TextID(a.Value))
		g.bytes += len(text)
		values.text.Add(text)
	} else {
		values.ints = append(values.ints, a.Value)
	}
}

// own gives the attribute column that a value of the item goes to next.
func (g *groupWriter) own(id uint32) *attrWriter {
	values := g.use(id)
	if values.stand {
		values.with = append(values.with, g.template)
	}
	return values
}

// use gives an attribute column that has values in this group.
func (g *groupWriter) use(id uint32) *attrWriter {
	values := g.attr(id)
	if !values.used {
		values.used = true
		values.stand = g.w.standing.of(id, g.w.columns[id-colFixed]) != nil
		g.used = append(g.used, id)
	}
	return values
}

func (g *groupWriter) attr(id uint32) *attrWriter {
	for int(id)-colFixed >= len(g.attrs) {
		g.attrs = append(g.attrs, new(attrWriter))
	}
	return g.attrs[id-colFixed]
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
