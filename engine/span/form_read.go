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
}

func (f *formReader) memoryBytes() int {
	return f.formScratch.memoryBytes() + 8*(cap(f.texts.last)+cap(f.texts.before)) + 4*(cap(f.texts.known)+cap(f.stored)) +
		8*cap(f.texts.strays) + cap(f.findable) + cap(f.message) + 12*cap(f.given)
}

// What rows, envelopes and lists take of a batch's memory.
const (
	rowBytes   = int(unsafe.Sizeof(TraceID{})+2*unsafe.Sizeof(SpanID{})) + 2*8 + 15*4 + 1
	attrBytes  = int(unsafe.Sizeof(Attr{}))
	eventBytes = int(unsafe.Sizeof(Event{}))
	linkBytes  = int(unsafe.Sizeof(Link{}))

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
	f.fillTexts(r, b)
	f.readText(&m, b)
	if err := r.Err(); err != nil {
		return nil, err
	}
	return b, nil
}

// makeRows makes the columns of rows. Those of one type share one allocation.
func (b *Batch) makeRows(rows int) {
	b.TraceIDs, b.StatusPresent = made[TraceID](rows), made[bool](rows)
	ids := slab[SpanID]{made[SpanID](2 * rows)}
	b.SpanIDs, b.ParentIDs = ids.take(rows), ids.take(rows)
	times := slab[uint64]{made[uint64](2 * rows)}
	b.Starts, b.Ends = times.take(rows), times.take(rows)
	texts := slab[TextID]{made[TextID](4 * rows)}
	b.Names, b.StatusMessages, b.TraceStates, b.Residues = texts.take(rows), texts.take(rows), texts.take(rows), texts.take(rows)
	enums := slab[int32]{made[int32](2 * rows)}
	b.Kinds, b.StatusCodes = enums.take(rows), enums.take(rows)
	numbers := slab[uint32]{made[uint32](9 * rows)}
	b.Flags, b.DroppedAttrs = numbers.take(rows), numbers.take(rows)
	b.DroppedEvents, b.DroppedLinks = numbers.take(rows), numbers.take(rows)
	b.ResourceIDs, b.ScopeIDs = numbers.take(rows), numbers.take(rows)
	b.AttrEnds, b.EventEnds, b.LinkEnds = numbers.take(rows), numbers.take(rows), numbers.take(rows)
}

// slab hands out parts of one allocation, each without room to grow.
type slab[T any] struct{ free []T }

func (s *slab[T]) take(n int) []T {
	part := s.free[:n:n]
	s.free = s.free[n:]
	return part
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

// readTimes reads what appendTimes wrote.
func (f *formReader) readTimes(r *codec.Reader, b *Batch) {
	if r.Err() != nil || b.Len() == 0 {
		return
	}
	f.numbers = sized(f.numbers, b.Len())
	f.numbers[0] = 0
	start := readUvarint(r)
	readNumbers(r, f.numbers[1:])
	for i, n := range f.numbers {
		start += unzigzag(n)
		b.Starts[i] = start
	}
	readNumbers(r, f.numbers)
	for i, n := range f.numbers {
		b.Ends[i] = b.Starts[i] + n
	}
}

// readLists reads the columns of rows, events and links.
func (f *formReader) readLists(m *room, b *Batch) {
	if m.Err() != nil {
		return
	}
	f.size(b.Len(), 0, 0)
	readColumns(m.Reader, f.rows[:])
	if m.Err() != nil {
		return
	}
	f.plain(m.Reader, b)
	b.Events = made[Event](m.take(ends(b.EventEnds, f.rows[eventsColumn]), eventBytes))
	b.Links = made[Link](m.take(ends(b.LinkEnds, f.rows[linksColumn]), linkBytes))
	f.size(b.Len(), len(b.Events), len(b.Links))
	if m.Err() != nil {
		return
	}
	readColumns(m.Reader, f.events[:])
	readLinkIDs(m.Reader, b.Links)
	readColumns(m.Reader, f.links[:])
	if m.Err() != nil {
		return
	}
	event := uint32(0)
	for i, end := range b.EventEnds {
		for ; event < end; event++ {
			b.Events[event].Time = b.Starts[i] + unzigzag(f.events[eventTimeColumn][event])
		}
	}
	dropped, flags := make([]uint32, max(len(b.Events), len(b.Links))), make([]uint32, len(b.Links))
	narrow(m.Reader, dropped[:len(b.Events)], f.events[eventDroppedColumn])
	for i := range b.Events {
		b.Events[i].Dropped = dropped[i]
	}
	narrow(m.Reader, dropped[:len(b.Links)], f.links[linkDroppedColumn])
	narrow(m.Reader, flags, f.links[linkFlagsColumn])
	for i := range b.Links {
		b.Links[i].Dropped, b.Links[i].Flags = dropped[i], flags[i]
	}
}

// plain fills the columns of rows that need nothing but their own values.
func (f *formReader) plain(r *codec.Reader, b *Batch) {
	narrow(r, b.Kinds, f.rows[kindColumn])
	narrow(r, b.StatusCodes, f.rows[statusColumn])
	narrow(r, b.Flags, f.rows[flagsColumn])
	narrow(r, b.DroppedAttrs, f.rows[droppedAttrsColumn])
	narrow(r, b.DroppedEvents, f.rows[droppedEventsColumn])
	narrow(r, b.DroppedLinks, f.rows[droppedLinksColumn])
	narrowSteps(r, b.ResourceIDs, f.rows[resourceColumn], len(b.Resources))
	narrowSteps(r, b.ScopeIDs, f.rows[scopeColumn], len(b.Scopes))
	for i, v := range f.rows[statusPresentColumn] {
		if v > 1 {
			r.Fail("flag %d", v)
			return
		}
		b.StatusPresent[i] = v == 1
	}
}

// ends fills a column of ends from counts and gives the total, which is only right where it
// has 32 bits.
func ends(dst []uint32, counts []uint64) uint64 {
	total, beyond := uint64(0), uint64(0)
	for i, n := range counts {
		total += n
		beyond |= n | total
		dst[i] = uint32(total)
	}
	if beyond > math.MaxUint32 {
		return math.MaxUint64
	}
	return total
}

// readLinkIDs reads what appendLinkIDs wrote.
func readLinkIDs(r *codec.Reader, links []Link) {
	if len(links) == 0 {
		return
	}
	there := r.Uint8()
	if there > 1 {
		r.Fail("flag %d", there)
	}
	if there != 1 {
		return
	}
	if len(links) > r.Len()/24 {
		r.Fail("%d links in %d bytes", len(links), r.Len())
		return
	}
	traces, spans := r.Bytes(16*len(links)), r.Bytes(8*len(links))
	any := false
	for i := range links {
		links[i].TraceID, links[i].SpanID = TraceID(traces[16*i:]), SpanID(spans[8*i:])
		any = any || links[i].TraceID != (TraceID{}) || !links[i].SpanID.IsZero()
	}
	if !any {
		r.Fail("ids of links that have none")
	}
}

// readShapes goes through the lists: which shape each has, and where it ends.
func (f *formReader) readShapes(m *room, b *Batch) {
	if m.Err() != nil {
		return
	}
	newest, attrs, eventAttrs, linkAttrs := uint64(0), uint64(0), uint64(0), uint64(0)
	event, link := uint32(0), uint32(0)
	most := uint64(m.left / attrBytes)
	for i := range b.AttrEnds {
		attrs += f.shapes.use(m.Reader, SpanLevel, f.rows[shapeColumn][i], &newest)
		b.AttrEnds[i] = uint32(attrs)
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
	total := m.take(attrs+eventAttrs+linkAttrs, attrBytes)
	if newest+1 != uint64(len(f.shapes.list)) {
		m.Fail("%d shapes, lists of %d", len(f.shapes.list)-1, newest)
	}
	if m.Err() != nil {
		return
	}
	all := slab[Attr]{made[Attr](total)}
	b.Attrs, b.EventAttrs, b.LinkAttrs = all.take(int(attrs)), all.take(int(eventAttrs)), all.take(int(linkAttrs))
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

// fillTexts goes through the batch in the order of its texts.
func (f *formReader) fillTexts(r *codec.Reader, b *Batch) {
	texts := len(f.stored) - 1
	f.texts.start(texts, len(f.values)+4*b.Len()+2*(len(b.Events)+len(b.Links)))
	f.resetTextColumns()
	f.firstKnown(b)
	event, link := uint32(0), uint32(0)
	for i := range b.Names {
		f.texts.passEnvelopes(b, b.ResourceIDs[i], b.ScopeIDs[i])
		f.fillValues(f.rows[shapeColumn][i], b.Attrs[from(b.AttrEnds, i):b.AttrEnds[i]])
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
		b.Names[i] = f.text(nameTexts, f.rows[nameColumn][i])
		b.StatusMessages[i] = f.text(messageTexts, f.rows[messageColumn][i])
		b.TraceStates[i] = f.text(traceStateTexts, f.rows[traceStateColumn][i])
		b.Residues[i] = f.text(residueTexts, f.rows[residueColumn][i])
	}
	if f.texts.bad || f.texts.used < len(f.texts.strays) {
		r.Fail("texts that their codes do not give")
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
