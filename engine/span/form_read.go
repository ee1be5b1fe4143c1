package span

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"unsafe" // for the size of what a batch is made of alone

	"github.com/stoadb/stoa/internal/codec"
)

// formReader is the working memory of DecodeBatch.
type formReader struct {
	formScratch
	texts    textReader
	findable []bool   // of traces
	stored   []uint32 // by TextID: the end of its bytes in the form
	message  []byte
	given    []givenText
	known    [formTextColumns]uint32 // where the texts of a column stand in texts.known
	columns  []readTexts             // of the rows' own texts, those that are there
	interner AttrInterner
	lastIDs  []uint32 // of attributes of spans, by column: the one before, its id plus 1
	textIDs  []uint32 // beside texts.known, up to the values: of the attribute of a span with that text its id plus 1
	attrsMax int      // there may be so many
}

// readTexts is a column of the rows' own texts.
type readTexts struct {
	to     []TextID
	codes  []uint64
	column int
}

func (f *formReader) memoryBytes() int {
	return f.formScratch.memoryBytes() + 8*(cap(f.texts.last)+cap(f.texts.before)) + 4*(cap(f.texts.known)+cap(f.stored)) +
		8*cap(f.texts.strays) + cap(f.findable) + cap(f.message) + 12*cap(f.given) + 4*(cap(f.lastIDs)+cap(f.textIDs)) + f.interner.MemoryBytes()
}

// What rows, envelopes and lists take of a batch's memory. A row takes more where it has columns
// that are not 0.
const (
	rowBytes    = int(unsafe.Sizeof(TraceID{})+2*unsafe.Sizeof(SpanID{})) + 2*8
	attrBytes   = int(unsafe.Sizeof(Attr{}))
	attrIDBytes = 4
	eventBytes  = int(unsafe.Sizeof(Event{}))
	linkBytes   = int(unsafe.Sizeof(Link{}))

	resourceBytes = int(unsafe.Sizeof(Resource{}))
	scopeBytes    = int(unsafe.Sizeof(Scope{}))
)

// room is the memory that a batch may still take.
type room struct {
	*codec.Reader
	left int
}

// take counts n things; it fails where there are too many.
func (m *room) take(n uint64, bytes int) int {
	if m.Err() != nil || n > uint64(m.left/bytes) {
		m.Fail("%d things of %d bytes, %d bytes left", n, bytes, m.left)
		return 0
	}
	m.left -= int(n) * bytes
	return int(n)
}

func (f *formReader) read(form []byte, bytesMax int) (*Batch, error) {
	r := codec.NewReader(form)
	m := room{Reader: r, left: min(bytesMax, math.MaxInt32)}
	m.take(1, int(unsafe.Sizeof(Batch{})))
	b := &Batch{}
	rows := m.take(uint64(readCount(r, len(form)/len(SpanID{}))), rowBytes)
	texts := m.take(uint64(readCount(r, len(form))), 4)
	f.stored = sized(f.stored, texts+1)
	f.readLengths(r)
	envelopeReader{&m, texts}.read(b)
	if r.Err() != nil {
		return nil, r.Err()
	}
	b.makeRows(rows)
	f.readTraces(r, b.TraceIDs)
	f.readSpans(r, b.SpanIDs, b.ParentIDs)
	f.readTimes(r, b)
	f.readLists(&m, b)
	if r.Err() == nil {
		f.shapes.read(r, rows+len(b.Events)+len(b.Links), texts)
	}
	f.readShapes(&m, b)
	f.readValues(r, texts)
	f.readStrays(r, texts, len(f.values)+4*(rows+len(b.Events)+len(b.Links)))
	if r.Err() != nil {
		return nil, r.Err()
	}
	f.fillTexts(&m, b)
	f.readText(&m, b)
	if err := r.Err(); err != nil {
		return nil, err
	}
	return b, nil
}

// readLengths reads the lengths of texts and finds where their bytes stand.
func (f *formReader) readLengths(r *codec.Reader) {
	f.numbers = sized(f.numbers, len(f.stored)-1)
	readNumbers(r, f.numbers)
	if r.Err() != nil {
		return
	}
	end := uint64(0)
	f.stored[0] = 0
	for i, n := range f.numbers {
		if end += n; n > uint64(r.Len()) || end > uint64(r.Len()) {
			r.Fail("texts of %d bytes, %d left", end, r.Len())
			return
		}
		f.stored[i+1] = uint32(end)
	}
}

// readShapes goes through the lists: which shape each has, and where it ends.
func (f *formReader) readShapes(m *room, b *Batch) {
	if m.Err() != nil {
		return
	}
	newest, attrs, eventAttrs, linkAttrs := uint64(0), uint64(0), uint64(0), uint64(0)
	event, link := uint32(0), uint32(0)
	most := uint64(m.left / attrIDBytes)
	shared := isShared(zeroNumbers[:], b.AttrEnds) // all lists are empty
	for i := range b.AttrEnds {
		if !shared {
			attrs += f.shapes.use(m.Reader, SpanLevel, f.rows[shapeColumn][i], &newest)
			b.AttrEnds[i] = uint32(attrs)
		}
		for ; event < b.EventEnds[i]; event++ {
			eventAttrs += f.shapes.use(m.Reader, EventLevel, f.events[eventShapeColumn][event], &newest)
			b.Events[event].AttrEnd = uint32(eventAttrs)
		}
		for ; link < b.LinkEnds[i]; link++ {
			linkAttrs += f.shapes.use(m.Reader, LinkLevel, f.links[linkShapeColumn][link], &newest)
			b.Links[link].AttrEnd = uint32(linkAttrs)
		}
		if m.Err() != nil || attrs+eventAttrs+linkAttrs > most {
			break
		}
	}
	ids, others := m.take(attrs, attrIDBytes), m.take(eventAttrs+linkAttrs, attrBytes)
	if newest+1 != uint64(len(f.shapes.list)) {
		m.Fail("%d shapes, lists of %d", len(f.shapes.list)-1, newest)
	}
	if m.Err() != nil {
		return
	}
	b.AttrIDs = made[uint32](ids)
	all := slab[Attr]{made[Attr](others)}
	b.EventAttrs, b.LinkAttrs = all.take(int(eventAttrs)), all.take(int(linkAttrs))
}

// readValues reads the columns of values.
func (f *formReader) readValues(r *codec.Reader, texts int) {
	if r.Err() != nil {
		return
	}
	f.values = sized(f.values, f.shapes.place())
	for i := range f.shapes.values {
		c := &f.shapes.values[i]
		values := f.values[c.first : c.first+c.values]
		if c.kind == NoValue || c.kind == EmptyValue {
			clear(values)
			continue
		}
		readNumbers(r, values)
		if c.kind == BoolValue && !allBools(values) {
			r.Fail("a bool of another value")
		}
	}
}

func allBools(values []uint64) bool {
	all := uint64(0)
	for _, v := range values {
		all |= v
	}
	return all <= 1
}

// readStrays reads the strays of at most so many codes.
func (f *formReader) readStrays(r *codec.Reader, texts, codes int) {
	f.texts.strays = sized(f.texts.strays, readCount(r, codes))
	readNumbers(r, f.texts.strays)
}

// fillTexts goes through the batch in the order of its texts. The table of attributes grows in
// working memory, up to what the batch may take.
func (f *formReader) fillTexts(m *room, b *Batch) {
	texts := len(f.stored) - 1
	b.Attrs, f.lastIDs, f.attrsMax = f.attrs[:0], cleared(f.lastIDs, len(f.shapes.values)), m.left/attrBytes
	f.textIDs = sized(f.textIDs, len(f.values))
	f.texts.start(texts, len(f.values)+4*b.Len()+2*(len(b.Events)+len(b.Links)))
	f.resetTextColumns()
	f.firstKnown(b)
	event, link := uint32(0), uint32(0)
	for i := range b.Names {
		f.texts.passEnvelopes(b, b.ResourceIDs[i], b.ScopeIDs[i])
		f.fillIDs(b, f.rows[shapeColumn][i], b.AttrIDs[from(b.AttrEnds, i):b.AttrEnds[i]])
		for ; event < b.EventEnds[i]; event++ {
			e := &b.Events[event]
			f.fillValues(f.events[eventShapeColumn][event], b.EventAttrsOf(event))
			e.Name = f.text(eventNameTexts, f.events[eventNameColumn][event])
			e.Residue = f.text(eventResidueTexts, f.events[eventResidueColumn][event])
		}
		for ; link < b.LinkEnds[i]; link++ {
			l := &b.Links[link]
			f.fillValues(f.links[linkShapeColumn][link], b.LinkAttrsOf(link))
			l.TraceState = f.text(linkStateTexts, f.links[linkStateColumn][link])
			l.Residue = f.text(linkResidueTexts, f.links[linkResidueColumn][link])
		}
		for j := range f.columns {
			c := &f.columns[j]
			c.to[i] = f.text(c.column, c.codes[i])
		}
		if len(b.Attrs) > f.attrsMax {
			break
		}
	}
	clear(f.columns)
	f.attrs, b.Attrs = b.Attrs, made[Attr](m.take(uint64(len(b.Attrs)), attrBytes))
	copy(b.Attrs, f.attrs)
	if f.texts.bad || f.texts.used < len(f.texts.strays) {
		m.Fail("texts that their codes do not give")
	}
}

// firstKnown says where the texts of each column stand among those known.
func (f *formReader) firstKnown(b *Batch) {
	at := uint32(len(f.values))
	for i := range f.known {
		f.known[i] = at
		switch i {
		case 0:
		case nameTexts, messageTexts, traceStateTexts, residueTexts:
			at += uint32(b.Len())
		case eventNameTexts, eventResidueTexts:
			at += uint32(len(b.Events))
		default:
			at += uint32(len(b.Links))
		}
	}
}

func (f *formReader) text(column int, code uint64) TextID {
	if code == 0 {
		return 0
	}
	return f.texts.text(&f.rowTexts[column], f.known[column], code)
}

// fillValues fills a list of attributes.
func (f *formReader) fillValues(shape uint64, attrs []Attr) {
	sh := &f.shapes.list[shape]
	columns := f.shapes.columns[sh.begin:sh.end]
	for j := range attrs {
		a, c := &attrs[j], &f.shapes.values[columns[j]]
		f.texts.pass(c.key)
		value := f.values[c.at]
		c.at++
		switch {
		case c.kind.HasText():
			value = uint64(f.texts.text(&c.texts, c.first, value))
		case c.kind == IntValue:
			value = unzigzag(value)
		}
		*a = Attr{Key: c.key, Type: c.kind, Value: value}
	}
}

// fillIDs fills a list of attributes of a span. Nearly all are what their column had before, or
// have had.
func (f *formReader) fillIDs(b *Batch, shape uint64, ids []uint32) {
	sh := &f.shapes.list[shape]
	columns := f.shapes.columns[sh.begin:sh.end]
	columns = columns[:len(ids)]
	for j, column := range columns {
		c := &f.shapes.values[column]
		f.texts.pass(c.key)
		value := f.values[c.at]
		c.at++
		if len(b.Attrs) > f.attrsMax {
			return // it fails
		}
		last := &f.lastIDs[column]
		if c.text != 0 && value != 0 {
			*last = f.textID(b, c, value, *last)
			ids[j] = *last - 1
			continue
		}
		if c.kind == IntValue {
			value = unzigzag(value)
		}
		if *last == 0 || b.Attrs[*last-1].Value != value {
			*last = f.interner.ID(b, Attr{Key: c.key, Type: c.kind, Value: value}) + 1
		}
		ids[j] = *last - 1
	}
}

// textID gives the id plus 1 of an attribute of a span by the code of its text; last is that of its
// column. The next text makes a new attribute. A stray may be one that the column has had, see
// textOrder.index, and often the last one.
func (f *formReader) textID(b *Batch, c *valueColumn, code uint64, last uint32) uint32 {
	known := c.texts.texts
	text := f.texts.text(&c.texts, c.first, code)
	if code >= 2 && code < uint64(known)+2 {
		return f.textIDs[c.first+uint32(code)-2]
	}
	if c.texts.texts == known {
		return last // it fails
	}
	a := Attr{Key: c.key, Type: c.kind, Value: uint64(text)}
	id := last
	switch {
	case code == 1:
		id = f.interner.Add(b, a) + 1
	case last == 0 || b.Attrs[last-1] != a:
		id = f.interner.ID(b, a) + 1
	}
	f.textIDs[c.first+known] = id
	return id
}

// readText makes the text table: what is stored, and the messages that their attributes give.
func (f *formReader) readText(m *room, b *Batch) {
	if m.Err() != nil {
		return
	}
	texts := len(f.stored) - 1
	if m.Len() != int(f.stored[texts]) {
		m.Fail("%d bytes of text, %d expected", m.Len(), f.stored[texts])
		return
	}
	m.take(uint64(m.Len()), 1)
	stored := &Batch{Text: m.Bytes(m.Len()), TextEnd: f.stored}
	f.derive(m, b, stored)
	if m.Err() != nil {
		return
	}
	b.Text, b.TextEnd = make([]byte, 0, len(stored.Text)+len(f.message)), make([]uint32, texts+1)
	id, added := 1, uint32(0)
	for _, g := range f.given {
		for ; id < int(g.id); id++ {
			b.TextEnd[id] = f.stored[id] + added
		}
		b.Text = append(b.Text, stored.Text[uint32(len(b.Text))-added:f.stored[id]]...)
		b.Text = append(b.Text, f.message[g.begin:g.end]...)
		added += g.end - g.begin
	}
	for ; id <= texts; id++ {
		b.TextEnd[id] = f.stored[id] + added
	}
	b.Text = append(b.Text, stored.Text[uint32(len(b.Text))-added:]...)
}

// derive makes the messages that their attributes give, and refuses those that are stored
// all the same.
func (f *formReader) derive(m *room, b, stored *Batch) {
	f.markUsed(b, len(f.stored)-1)
	f.message, f.given = f.message[:0], f.given[:0]
	for i := range b.envelopes() {
		e := b.envelope(i)
		if mark := &f.marks[e.message]; e.message != 0 && *mark == 0 && m.Err() == nil {
			*mark = textTried
			f.deriveOne(m, &e, stored)
		}
	}
	slices.SortFunc(f.given, func(a, b givenText) int { return cmp.Compare(a.id, b.id) })
	empty := 0
	for id := 1; id < len(f.stored); id++ {
		if f.stored[id] == f.stored[id-1] {
			empty++
		}
	}
	if empty != len(f.given) {
		m.Fail("%d texts of no bytes, %d given by attributes", empty, len(f.given))
	}
}

// deriveOne makes a message of no bytes from its attributes, and sees to it that one that is
// stored could not be made so.
func (f *formReader) deriveOne(m *room, e *envelopeView, stored *Batch) {
	have, want := stored.TextBytes(e.message), e.bytes(stored)
	if have > 0 && have != want {
		return
	}
	begin := len(f.message)
	if have == 0 && m.take(uint64(want), 1) == 0 {
		m.Fail("a message of no bytes")
		return
	}
	f.message = e.append(f.message, stored)
	if have == 0 {
		f.given = append(f.given, givenText{e.message, uint32(begin), uint32(len(f.message))})
		return
	}
	if bytes.Equal(f.message[begin:], stored.Bytes(e.message)) {
		m.Fail("a message that its attributes give")
	}
	f.message = f.message[:begin]
}

// givenText is a message that its attributes gave, in formReader.message.
type givenText struct {
	id         TextID
	begin, end uint32
}
