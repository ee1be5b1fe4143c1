package otlp

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/stoadb/stoa/engine/span"
)

// walker appends spans to one batch. It is used again for another batch; the batch it
// fills is working memory that finish copies from, so that what stays in memory has no
// slack and no request grows slices twice.
type walker struct {
	batch  span.Batch
	texts  span.Interner
	attrs  span.AttrInterner
	counts Counts
	stubs  *int // of the whole request; see StubsMax

	keys   []keyState
	keyOf  []int32    // in keys, by the TextID of a key; see lookUpKey
	keyAt  [256]int32 // in keys, by placeOfKey
	before int32      // in keys: what stood before the attribute being read

	lastName  span.TextID // 0 unknown
	resources map[resourceKey]uint32
	scopes    map[resourceKey]uint32
	lastRes   lastEnvelope
	lastScope lastEnvelope

	// Working memory: raw fields of the span, of its status, of an event or link; a
	// rewritten envelope; attributes of an envelope.
	spanResidue, statusResidue, partResidue, envelope []byte
	envelopeAttrs                                     []span.Attr
	odd                                               []span.Attr // of one message
}

// head is the fields of a span that stand in columns of their own.
type head struct {
	start, end                               uint64
	name, state, parent, message             []byte
	kind, code                               int32
	flags                                    uint32
	droppedAttrs, droppedEvents, droppedLink uint32
	statusPresent                            bool
}

// walkResult tells how reading a span ended.
type walkResult uint8

const (
	walked     walkResult = iota
	repeatedID            // an id came again behind the place where ids were looked for
)

// span appends the span message b, whose ids are known, to the batch. Fields before
// offset at are left out, they are the ids. With fixedIDs, ids are passed over; without,
// an id ends the walk with repeatedID and the caller undoes it.
func (w *walker) span(b []byte, at int, id span.TraceID, spanID span.SpanID, fixedIDs bool,
	resource, scope uint32) (walkResult, *wireError) {
	var h head
	w.spanResidue, w.statusResidue = w.spanResidue[:0], w.statusResidue[:0]
	w.before = beforeSpan
	var err *wireError
	batch := &w.batch
	f := fields{b: b, at: at}
	for err == nil && f.next() {
		switch f.tag {
		case tagSpanAttr:
			batch.AttrIDs, err = w.spanAttributes(batch.AttrIDs, &f)
		case tagSpanParentID:
			h.parent = f.data
		case tagSpanName:
			h.name = f.data
		case tagSpanKind:
			h.kind = int32(f.num)
		case tagSpanStart:
			h.start = f.num
		case tagSpanEnd:
			h.end = f.num
		case tagSpanStatus:
			err = w.status(&h, f.data)
		case tagSpanFlags:
			h.flags = uint32(f.num)
		case tagSpanEvent:
			err = w.event(f.data)
		case tagSpanLink:
			err = w.link(f.data)
		case tagSpanTraceState:
			h.state = f.data
		case tagSpanTraceID, tagSpanSpanID:
			if !fixedIDs {
				return repeatedID, nil
			}
		case tagSpanDroppedAttrs:
			h.droppedAttrs = uint32(f.num)
		case tagSpanDroppedEvents:
			h.droppedEvents = uint32(f.num)
		case tagSpanDroppedLinks:
			h.droppedLink = uint32(f.num)
		default:
			w.spanResidue = f.appendRaw(w.spanResidue)
		}
	}
	if err != nil {
		return walked, err.within(&f)
	}
	if f.err != nil {
		return walked, f.err
	}
	w.row(&h, id, spanID, resource, scope)
	return walked, nil
}

// row appends what is one value per span.
func (w *walker) row(h *head, id span.TraceID, spanID span.SpanID, resource, scope uint32) {
	var parent span.SpanID
	if len(h.parent) == len(parent) {
		parent = span.SpanID(h.parent)
	}
	if len(h.parent) > 0 && parent.IsZero() {
		w.spanResidue = appendBytes(w.spanResidue, tagSpanParentID, h.parent)
	}
	if len(w.statusResidue) > 0 {
		w.spanResidue = appendBytes(w.spanResidue, tagSpanStatus, w.statusResidue)
	}
	if h.end < h.start || h.end-h.start > math.MaxInt64 {
		w.counts.EndBeforeStart++
	}
	w.counts.Spans++
	b := &w.batch
	b.TraceIDs = append(b.TraceIDs, id)
	b.SpanIDs = append(b.SpanIDs, spanID)
	b.ParentIDs = append(b.ParentIDs, parent)
	b.Starts = append(b.Starts, h.start)
	b.Ends = append(b.Ends, h.end)
	b.Names = append(b.Names, w.name(h.name))
	b.Kinds = append(b.Kinds, h.kind)
	b.StatusCodes = append(b.StatusCodes, h.code)
	b.StatusMessages = append(b.StatusMessages, w.text(h.message))
	b.StatusPresent = append(b.StatusPresent, h.statusPresent)
	b.TraceStates = append(b.TraceStates, w.text(h.state))
	b.Flags = append(b.Flags, h.flags)
	b.DroppedAttrs = append(b.DroppedAttrs, h.droppedAttrs)
	b.DroppedEvents = append(b.DroppedEvents, h.droppedEvents)
	b.DroppedLinks = append(b.DroppedLinks, h.droppedLink)
	b.ResourceIDs = append(b.ResourceIDs, resource)
	b.ScopeIDs = append(b.ScopeIDs, scope)
	b.AttrEnds = append(b.AttrEnds, uint32(len(b.AttrIDs)))
	b.EventEnds = append(b.EventEnds, uint32(len(b.Events)))
	b.LinkEnds = append(b.LinkEnds, uint32(len(b.Links)))
	b.Residues = append(b.Residues, w.texts.Intern(w.spanResidue))
}

// status reads a Status message into h. Given twice, the messages merge.
func (w *walker) status(h *head, b []byte) *wireError {
	h.statusPresent = true
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case tagStatusMessage:
			h.message = f.data
		case tagStatusCode:
			h.code = int32(f.num)
		default:
			w.statusResidue = f.appendRaw(w.statusResidue)
		}
	}
	return f.err
}

func (w *walker) event(b []byte) *wireError {
	var e span.Event
	var name []byte
	var err *wireError
	if len(b) < stubEventBytes {
		if err := w.stub(); err != nil {
			return err
		}
	}
	w.partResidue = w.partResidue[:0]
	w.before = beforeEvent
	f := fields{b: b}
	for err == nil && f.next() {
		switch f.tag {
		case tagEventTime:
			e.Time = f.num
		case tagEventName:
			name = f.data
		case tagEventAttr:
			w.batch.EventAttrs, err = w.attributes(w.batch.EventAttrs, &f)
		case tagEventDropped:
			e.Dropped = uint32(f.num)
		default:
			w.partResidue = f.appendRaw(w.partResidue)
		}
	}
	if err != nil {
		return err.within(&f)
	}
	e.Name, e.Residue = w.text(name), w.texts.Intern(w.partResidue)
	e.AttrEnd = uint32(len(w.batch.EventAttrs))
	w.batch.Events = append(w.batch.Events, e)
	w.before = beforeSpan
	return f.err
}

func (w *walker) link(b []byte) *wireError {
	var l span.Link
	var traceID, spanID, state []byte
	var err *wireError
	if len(b) < stubLinkBytes {
		if err := w.stub(); err != nil {
			return err
		}
	}
	w.partResidue = w.partResidue[:0]
	w.before = beforeLink
	f := fields{b: b}
	for err == nil && f.next() {
		switch f.tag {
		case tagLinkTraceID:
			traceID = f.data
		case tagLinkSpanID:
			spanID = f.data
		case tagLinkTraceState:
			state = f.data
		case tagLinkAttr:
			w.batch.LinkAttrs, err = w.attributes(w.batch.LinkAttrs, &f)
		case tagLinkDropped:
			l.Dropped = uint32(f.num)
		case tagLinkFlags:
			l.Flags = uint32(f.num)
		default:
			w.partResidue = f.appendRaw(w.partResidue)
		}
	}
	if err != nil {
		return err.within(&f)
	}
	if len(traceID) == len(l.TraceID) {
		l.TraceID = span.TraceID(traceID)
	}
	if len(traceID) > 0 && l.TraceID == (span.TraceID{}) {
		w.partResidue = appendBytes(w.partResidue, tagLinkTraceID, traceID)
	}
	if len(spanID) == len(l.SpanID) {
		l.SpanID = span.SpanID(spanID)
	}
	if len(spanID) > 0 && l.SpanID.IsZero() {
		w.partResidue = appendBytes(w.partResidue, tagLinkSpanID, spanID)
	}
	l.TraceState, l.Residue = w.text(state), w.texts.Intern(w.partResidue)
	l.AttrEnd = uint32(len(w.batch.LinkAttrs))
	w.batch.Links = append(w.batch.Links, l)
	w.before = beforeSpan
	return f.err
}

// stub counts an attribute, event or link of next to no bytes.
func (w *walker) stub() *wireError {
	if *w.stubs++; *w.stubs > StubsMax {
		return &wireError{0, fmt.Sprintf("more than %d attributes, events and links of next to no bytes", StubsMax)}
	}
	return nil
}

// text interns a text that is UTF-8 by contract; what is not is kept and counted.
func (w *walker) text(text []byte) span.TextID {
	if len(text) == 0 {
		return 0
	}
	if !validUTF8(text) {
		w.counts.InvalidUTF8++
	}
	return w.texts.Intern(text)
}

// name is text for the name of a span, which often is that of the span before.
func (w *walker) name(text []byte) span.TextID {
	if len(text) > 0 && string(w.batch.Bytes(w.lastName)) == string(text) {
		return w.lastName
	}
	invalid := w.counts.InvalidUTF8
	id := w.text(text)
	if w.lastName = id; w.counts.InvalidUTF8 != invalid {
		w.lastName = 0 // each is counted
	}
	return id
}

// validUTF8 is utf8.Valid, quicker for what is ASCII.
func validUTF8(text []byte) bool {
	const high = 0x8080808080808080
	n := len(text)
	if n < 8 {
		return utf8.Valid(text)
	}
	bits := binary.LittleEndian.Uint64(text[n-8:])
	for at := 0; at+8 < n; at += 8 {
		bits |= binary.LittleEndian.Uint64(text[at:])
	}
	return bits&high == 0 || utf8.Valid(text)
}

// peekIDs reads the ids of a span that begins with a trace id of 16 and a span id of 8
// bytes, as nearly all do, and gives the offset behind them.
func peekIDs(b []byte) (id span.TraceID, spanID span.SpanID, at int) {
	const at2 = 2 + len(id)
	if len(b) < at2+2+len(spanID) || binary.LittleEndian.Uint16(b) != tagSpanTraceID|16<<8 ||
		binary.LittleEndian.Uint16(b[at2:]) != tagSpanSpanID|8<<8 {
		return id, spanID, 0
	}
	copy(id[:], b[2:])
	copy(spanID[:], b[at2+2:])
	return id, spanID, at2 + 2 + len(spanID)
}

// findIDs reads the ids of any span: the last ones given count. ok tells for each
// whether it is one to keep the span by; a trace id of 8 bytes is padded on the left.
func findIDs(b []byte) (id span.TraceID, idOK bool, spanID span.SpanID, spanIDOK bool, err *wireError) {
	var rawID, rawSpanID []byte
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case tagSpanTraceID:
			rawID = f.data
		case tagSpanSpanID:
			rawSpanID = f.data
		}
	}
	switch len(rawID) {
	case 16:
		id = span.TraceID(rawID)
	case 8:
		copy(id[8:], rawID)
	}
	if len(rawSpanID) == len(spanID) {
		spanID = span.SpanID(rawSpanID)
	}
	return id, id != span.TraceID{}, spanID, !spanID.IsZero(), f.err
}
