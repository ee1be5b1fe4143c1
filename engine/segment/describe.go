package segment

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// describeSpan tells the span that is being added as a template of t, into the scalars and
// slots of its folding; describeEvent and describeLink do so for an event and a link.
func (g *groupWriter) describeSpan(t *templateWriter) {
	g.describeRest(t)
	g.describeAttrs(t, g.w.folding[span.SpanLevel], span.SpanLevel)
}

// describeRest tells all of the span but its attributes.
func (g *groupWriter) describeRest(t *templateWriter) {
	b, pos, f := g.source.batch, g.pos, g.w.folding[span.SpanLevel]
	f.scalars = append(f.scalars, uint32(b.Kinds[pos]), uint32(b.StatusCodes[pos]), uint32(flag(b.StatusPresent[pos])),
		b.Flags[pos], b.DroppedAttrs[pos], b.DroppedEvents[pos], b.DroppedLinks[pos], g.source.scope(g.w, b.ScopeIDs[pos]))
	g.describeText(t, f, colName, b.Names[pos])
	g.describeText(t, f, colStatusMessage, b.StatusMessages[pos])
	g.describeText(t, f, colTraceState, b.TraceStates[pos])
}

func (g *groupWriter) describeEvent(t *templateWriter) {
	e, f := &g.source.batch.Events[g.pos], g.w.folding[span.EventLevel]
	f.scalars = append(f.scalars, e.Dropped)
	g.describeText(t, f, colEventName, e.Name)
	g.describeAttrs(t, f, span.EventLevel)
}

func (g *groupWriter) describeLink(t *templateWriter) {
	l, f := &g.source.batch.Links[g.pos], g.w.folding[span.LinkLevel]
	f.scalars = append(f.scalars, l.Dropped, l.Flags)
	g.describeText(t, f, colLinkTraceState, l.TraceState)
	g.describeAttrs(t, f, span.LinkLevel)
}

// describeText adds the slot of a text that a row has besides its attributes; an empty one
// has none.
func (g *groupWriter) describeText(t *templateWriter, f *folding, col uint32, id span.TextID) {
	n := g.source.batch.TextBytes(id)
	switch {
	case n == 0:
	case f.standsAlone(col) || n > foldTextBytesMax && col != colName && col != colEventName:
		f.slots = append(f.slots, slot{column: col, own: true})
	case n > foldTextBytesMax:
		f.slots = append(f.slots, slot{column: col, value: uint64(t.texts.interner.Intern(g.source.batch.Bytes(id)))})
	default:
		f.slots = append(f.slots, slot{column: col, value: g.source.text(t, id)})
	}
}

// describeAttrs adds a slot for each attribute of the item, in order.
func (g *groupWriter) describeAttrs(t *templateWriter, f *folding, level span.Level) {
	for i := range g.list {
		f.slots = append(f.slots, g.slotOfAttr(t, f, level, &g.list[i]))
	}
}

// slotOfAttr gives the slot that an attribute comes to.
func (g *groupWriter) slotOfAttr(t *templateWriter, f *folding, level span.Level, a *span.Attr) slot {
	src := g.source
	var c knownColumn
	if columns := src.columnsOf(level, f.version); int(a.Key) < len(columns) {
		c = columns[a.Key]
	}
	if c.id == 0 || c.kind != a.Type {
		c = g.w.columnOf(src, level, *a, f)
	}
	s := slot{column: c.id, own: c.alone}
	switch {
	case c.alone:
	case !a.Type.HasText():
		s.value = a.Value
	case t.remembered && src.texts[a.Value] != 0:
		s.value = uint64(src.texts[a.Value])
	case src.batch.TextBytes(span.TextID(a.Value)) > foldTextBytesMax:
		s.own = true
	default:
		s.value = src.text(t, span.TextID(a.Value))
	}
	return s
}

// groupCodes are the codes of a row group's rows, events or links: which resource, which
// template. The numbers that occur stand in the directory, ascending; a code is a position
// among them, or beyond them in the group's own table.
type groupCodes struct {
	ids   []uint32 // in order of first use
	most  []uint64 // of resources: the longest duration of each, by that order
	of    []uint32 // position in ids + 1 by id, 0 is none
	codes []uint64 // of each row: position in ids * 2, or number in the own table * 2 + 1
}

func (c *groupCodes) add(id uint32) {
	for int(id) >= len(c.of) {
		c.of = append(c.of, make([]uint32, max(int(id)+1-len(c.of), 64))...)
	}
	if c.of[id] == 0 {
		c.ids = append(c.ids, id)
		c.of[id] = uint32(len(c.ids))
	}
	c.codes = append(c.codes, uint64(c.of[id]-1)<<1)
}

func (c *groupCodes) addCode(t code) {
	if t&1 != 0 {
		c.codes = append(c.codes, uint64(t))
		return
	}
	c.add(uint32(t >> 1))
}

// note tells how long the row added last is.
func (c *groupCodes) note(duration uint64) {
	if len(c.most) < len(c.ids) {
		c.most = append(c.most, 0)
	}
	at := c.codes[len(c.codes)-1] >> 1
	c.most[at] = max(c.most[at], duration)
}

// longest gives the longest duration of each resource, in the order of finish.
func (c *groupCodes) longest(sorted []uint32) []uint64 {
	longest := make([]uint64, len(sorted))
	for i, id := range sorted {
		longest[i] = c.most[c.of[id]-1]
	}
	return longest
}

// finish gives the numbers that occur, and turns codes into positions among them.
func (c *groupCodes) finish() []uint32 {
	sorted := slices.Clone(c.ids)
	slices.Sort(sorted)
	rank := make([]uint64, len(sorted))
	for i, id := range sorted {
		rank[c.of[id]-1] = uint64(i)
	}
	for i, code := range c.codes {
		if code&1 == 0 {
			c.codes[i] = rank[code>>1]
		} else {
			c.codes[i] = uint64(len(sorted)) + code>>1
		}
	}
	return sorted
}

func (c *groupCodes) reset() {
	for _, id := range c.ids {
		c.of[id] = 0
	}
	c.ids, c.codes, c.most = c.ids[:0], c.codes[:0], c.most[:0]
}

// source is what the writer knows of a batch that rows come from.
type source struct {
	batch        *span.Batch
	resources    []uint32 // id + 1 in the segment, 0 unknown
	scopes       []uint32
	columns      [span.Levels]knownColumns
	texts        []uint32               // by text that is not too long for templates: its id among those of the segment's, 0 unknown
	origin       *origin                // where the batch is a row group
	foreign      *foreign               // and what its segment's are here
	carried      [span.Levels][]carried // by template of the row group's own
	added        []addedText            // of a batch of bare rows, by text
	noted        *noted                 // of the batches of a flush (by_batch.go)
	isRemembered bool                   // what columns has of such a batch counts as remembered
}

// knownColumns are those that the keys of a source had last.
type knownColumns struct {
	version int           // of the folding
	byKey   []knownColumn // as far as keys came: they stand among the first texts of a batch
}

func (k *knownColumns) set(key span.TextID, c knownColumn) {
	if more := int(key) + 1 - len(k.byKey); more > 0 {
		k.byKey = append(k.byKey, make([]knownColumn, max(more, 64))...)
	}
	k.byKey[key] = c
}

// knownColumn is a column as describe needs it: id 0 is none, alone says that no value of it is in
// a template.
type knownColumn struct {
	id    uint32
	kind  span.ValueType
	alone bool
}

func newSource(b *span.Batch) *source {
	s := &source{batch: b, resources: make([]uint32, len(b.Resources)), scopes: make([]uint32, len(b.Scopes)), texts: make([]uint32, max(len(b.TextEnd), 1))}
	if s.origin, _ = b.Origin.(*origin); s.origin.isBare() {
		s.resources, s.added = make([]uint32, len(s.origin.resources)), make([]addedText, len(s.texts))
	}
	return s
}

func (s *source) resource(w *Writer, i uint32) uint32 {
	if s.resources[i] == 0 {
		if s.foreign != nil {
			s.resources[i] = s.foreign.resource(w, s.origin.resources[i]) + 1
		} else {
			s.resources[i] = w.resources.id(s.batch, i) + 1
		}
	}
	return s.resources[i] - 1
}

func (s *source) scope(w *Writer, i uint32) uint32 {
	if s.scopes[i] == 0 {
		if s.foreign != nil {
			s.scopes[i] = s.foreign.scope(w, s.origin.scopes[i]) + 1
		} else {
			s.scopes[i] = w.scopes.id(s.batch, i) + 1
		}
	}
	return s.scopes[i] - 1
}

// text gives the id of a text in the table that t belongs to; what is known is that of the
// segment's.
func (s *source) text(t *templateWriter, id span.TextID) uint64 {
	if !t.remembered {
		return uint64(t.texts.interner.Intern(s.batch.Bytes(id)))
	}
	if s.texts[id] == 0 {
		s.texts[id] = uint32(t.texts.interner.Intern(s.batch.Bytes(id)))
	}
	return uint64(s.texts[id])
}

// sourceOf knows a batch again, or meets it. Only so many bytes of batches are remembered:
// forgetting all at once is cheap, as each is met again at the cost of its few resources.
func (w *Writer) sourceOf(b *span.Batch) *source {
	if s := w.sources[b]; s != nil {
		return s
	}
	if w.sourceBytes > sourceBytesMax {
		clear(w.sources)
		w.sourceBytes = 0
	}
	s := newSource(b)
	if s.origin != nil {
		s.foreign = w.foreignOf(s.origin.s)
	}
	w.sources[b] = s
	w.sourceBytes += memoryBytes(b)
	return s
}

// columnsOf gives, by key, the columns that are known under a version of the level's folding.
func (s *source) columnsOf(level span.Level, version int) []knownColumn {
	known := &s.columns[level]
	if known.version != version {
		clear(known.byKey)
		known.version = version
	}
	return known.byKey
}

// columnOf gives the column of an attribute: one of its own, or its level's map column
// once there are as many columns as allowed. The source knows it from now on.
func (w *Writer) columnOf(s *source, level span.Level, a span.Attr, f *folding) knownColumn {
	key, full := s.batch.Bytes(a.Key), len(w.columns) == attributeColumnsMax
	if full && !w.sieve.mayHold(w.columnIDs, key) {
		return knownColumn{id: columnsOf(level).first, alone: true}
	}
	id, ok := w.columnIDs[columnKey{level, a.Type, string(key)}]
	if !ok {
		if full {
			return knownColumn{id: columnsOf(level).first, alone: true}
		}
		id = w.columnFor(columnKey{level, a.Type, s.batch.String(a.Key)})
	}
	c := knownColumn{id: id, kind: a.Type, alone: id < colFixed || f.standsAlone(id)}
	s.columns[level].set(a.Key, c)
	return c
}

// columnFor gives the column of a key, a new one where there is none; the caller sees to it
// that there may be one.
func (w *Writer) columnFor(key columnKey) uint32 {
	id, ok := w.columnIDs[key]
	if !ok {
		id = uint32(colFixed + len(w.columns))
		w.columns = append(w.columns, key)
		w.columnIDs[key] = id
	}
	return id
}

// Rehearse tells the writer what rows there will be, by some of them: at equal ranks among
// all, so that they stand for the others. It finds out by them which attributes vary, and
// decides nothing else. Without it the first rows would have to teach that, and leave
// templates behind that no other row has. What it finds depends on the set of these rows
// alone: a merge may hand over those of its inputs in any order. total is how many rows there
// will be, about: that many may share what templates cost.
func (w *Writer) Rehearse(rows []span.Row, total int) {
	if w.err != nil || w.info.Rows > 0 {
		return
	}
	rows = w.byTrace(rows[:min(len(rows), RehearsalRowsMax)])
	for _, level := range levels {
		w.folding[level].rehearsing = true
	}
	for _, r := range rows {
		w.sourceBytes = 0 // their batches take turns, and stay with the caller as long
		s := w.sourceOf(r.Batch)
		w.group.source = s
		w.group.rehearse(span.SpanLevel, r.Pos)
		begin, end := r.EventRange()
		for i := begin; i < end; i++ {
			w.group.rehearse(span.EventLevel, int(i))
		}
		begin, end = r.LinkRange()
		for i := begin; i < end; i++ {
			w.group.rehearse(span.LinkLevel, int(i))
		}
	}
	for _, level := range levels {
		w.folding[level].endRehearsal(len(rows), total)
	}
	w.keepSources()
}

// keepSources keeps what the rehearsal found out about batches, for their other rows, unless that
// is much. A merge reads its row groups again, as other batches.
func (w *Writer) keepSources() {
	clear(w.foreign)
	w.sourceBytes = 0
	for b, s := range w.sources {
		if s.origin != nil {
			delete(w.sources, b)
			continue
		}
		w.sourceBytes += b.MemoryBytes()
	}
	// Whether texts stay may depend on the rows alone, as what they take decides about templates.
	isMuch := len(w.sources) == 0 || len(w.templateTexts.batch.Text) > rehearsedTextBytesMax
	if isMuch {
		w.templateTexts.reset()
	}
	if isMuch || w.sourceBytes > sourceBytesMax {
		clear(w.sources)
		w.sourceBytes = 0
	}
}

// byTrace sorts rows by trace, and those of one trace as Add wants them.
func (w *Writer) byTrace(rows []span.Row) []span.Row {
	type begun struct {
		begin uint64 // of the trace id: enough nearly always, and at hand
		row   span.Row
	}
	whole := NewCache(Projection{All: true, Messages: true}, rehearsedGroupsMax, sourceBytesMax) // for what is there twice
	list := make([]begun, len(rows))
	for i, r := range rows {
		id := r.TraceID()
		list[i] = begun{binary.BigEndian.Uint64(id[:]), r}
	}
	slices.SortFunc(list, func(a, b begun) int {
		c := cmp.Or(cmp.Compare(a.begin, b.begin), a.row.TraceID().Compare(b.row.TraceID()))
		if c != 0 || w.err != nil {
			return c
		}
		x, _ := a.row.Batch.Origin.(*origin)
		y, _ := b.row.Batch.Origin.(*origin)
		if x != nil && y != nil && x.s == y.s { // as they stand there
			return cmp.Or(cmp.Compare(x.number, y.number), cmp.Compare(a.row.Pos, b.row.Pos))
		}
		c, err := Compare(a.row, b.row, whole.Read)
		if err != nil {
			w.fail(err)
		}
		return c
	})
	sorted := make([]span.Row, len(list))
	for i := range list {
		sorted[i] = list[i].row
	}
	return sorted
}

func (g *groupWriter) rehearse(level span.Level, pos int) {
	if g.level, g.pos = level, pos; g.source.origin.isBare() {
		g.w.folding[level].end(g.describeBare)
		return
	}
	g.take(level, pos)
	g.w.folding[level].end(g.describe[level])
}
