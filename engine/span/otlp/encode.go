package otlp

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/stoadb/stoa/engine/span"
)

// AppendTraces appends a TracesData message with the rows to dst, exactly as they came
// in: proto.Unmarshal of it gives the spans that it gives of the requests received, even
// texts that are no UTF-8. Rows in a row with one resource and scope share envelopes.
func AppendTraces(dst []byte, rows []span.Row) []byte {
	e := exactEncoders.Get().(*exactEncoder)
	resource, scope := 0, 0
	for i, r := range rows {
		newResource := i == 0 || !sameResource(rows[i-1], r)
		if newResource {
			resource = e.assembly.resource(resourceOf(r))
		}
		if newResource || !sameScope(rows[i-1], r) {
			scope = e.assembly.scope(resource, scopeOf(r))
		}
		at := len(e.spans)
		e.spans = exactForm.appendSpan(e.spans, r)
		e.assembly.span(scope, e.spans[at:len(e.spans):len(e.spans)])
	}
	dst = slices.Grow(dst, e.assembly.measure())
	dst = e.assembly.appendTo(dst)
	e.assembly.reset()
	if e.spans = e.spans[:0]; cap(e.spans) <= scratchBytesMax {
		exactEncoders.Put(e)
	}
	return dst
}

// exactEncoder is the working memory of AppendTraces.
type exactEncoder struct {
	assembly assembly
	spans    []byte
}

var exactEncoders = sync.Pool{New: func() any { return new(exactEncoder) }}

func resourceOf(r span.Row) envelope {
	e := r.Resource()
	return envelope{message: r.Batch.Bytes(e.Message), schemaURL: r.Batch.Bytes(e.SchemaURL), present: e.Present}
}

func scopeOf(r span.Row) envelope {
	e := r.Scope()
	return envelope{message: r.Batch.Bytes(e.Message), schemaURL: r.Batch.Bytes(e.SchemaURL), present: e.Present}
}

func sameResource(a, b span.Row) bool {
	if a.Batch == b.Batch && a.Batch.ResourceIDs[a.Pos] == b.Batch.ResourceIDs[b.Pos] {
		return true
	}
	x, y := resourceOf(a), resourceOf(b)
	return x.equal(&y)
}

func sameScope(a, b span.Row) bool {
	if a.Batch == b.Batch && a.Batch.ScopeIDs[a.Pos] == b.Batch.ScopeIDs[b.Pos] {
		return true
	}
	x, y := scopeOf(a), scopeOf(b)
	return x.equal(&y)
}

// form is how a span is written. The zero form is exact. The output form is what strict
// readers take: texts are UTF-8, ids have their length, known fields their wire type;
// texts and lists may be cut to make a giant fit.
type form struct {
	output  bool
	textMax int // bytes of a text or raw value in output form
	listMax int // entries of a list in output form

	warnEnvelope bool // the span's warnings say that its envelopes are cut

	written *written // attributes of spans before, nil to write each anew
}

var exactForm = form{}

// appendSpan appends the content of a Span message.
func (o form) appendSpan(dst []byte, r span.Row) []byte {
	b, pos := r.Batch, r.Pos
	dst = appendBytes(dst, tagSpanTraceID, b.TraceIDs[pos][:])
	dst = appendBytes(dst, tagSpanSpanID, b.SpanIDs[pos][:])
	dst = o.appendText(dst, tagSpanTraceState, b.Bytes(b.TraceStates[pos]))
	if parent := &b.ParentIDs[pos]; !parent.IsZero() {
		dst = appendBytes(dst, tagSpanParentID, parent[:])
	}
	dst = o.appendText(dst, tagSpanName, b.Bytes(b.Names[pos]))
	dst = appendVarint(dst, tagSpanKind, uint64(int64(b.Kinds[pos])))
	dst = appendFixed64(dst, tagSpanStart, b.Starts[pos])
	dst = appendFixed64(dst, tagSpanEnd, b.Ends[pos])
	attrs, moreAttrs := cutList(o, r.AttrIDs())
	warnings := o.warnings(r)
	if o.written != nil && warnings == nil {
		dst, attrs = o.written.appendAttrs(o, dst, r), nil
	}
	for _, id := range attrs {
		a := b.Attrs[id]
		if warnings != nil && a.Type == span.ArrayValue && string(b.Bytes(a.Key)) == WarningsKey {
			_, came := o.plain(b, a, b.Bytes(span.TextID(a.Value)))
			dst = appendWarnings(dst, came, warnings)
			warnings = nil
			continue
		}
		dst = o.appendAttr(dst, tagSpanAttr, b, a)
	}
	if warnings != nil {
		dst = appendWarnings(dst, nil, warnings)
	}
	dst = appendVarint(dst, tagSpanDroppedAttrs, uint64(b.DroppedAttrs[pos]+moreAttrs))
	begin, end := r.EventRange()
	keep := o.listEnd(begin, end)
	for i := begin; i < keep; i++ {
		dst = o.appendEvent(dst, b, i)
	}
	dst = appendVarint(dst, tagSpanDroppedEvents, uint64(b.DroppedEvents[pos]+end-keep))
	begin, end = r.LinkRange()
	keep = o.listEnd(begin, end)
	for i := begin; i < keep; i++ {
		dst = o.appendLink(dst, b, i)
	}
	dst = appendVarint(dst, tagSpanDroppedLinks, uint64(b.DroppedLinks[pos]+end-keep))
	if b.StatusPresent[pos] {
		var at int
		dst, at = openMessage(dst, tagSpanStatus)
		dst = o.appendText(dst, tagStatusMessage, b.Bytes(b.StatusMessages[pos]))
		dst = appendVarint(dst, tagStatusCode, uint64(int64(b.StatusCodes[pos])))
		dst = closeMessage(dst, at)
	}
	dst = appendFixed32(dst, tagSpanFlags, b.Flags[pos])
	return o.appendResidue(dst, b.Bytes(b.Residues[pos]), spanMessage)
}

func (o form) appendEvent(dst []byte, b *span.Batch, i uint32) []byte {
	e := &b.Events[i]
	dst, at := openMessage(dst, tagSpanEvent)
	dst = appendFixed64(dst, tagEventTime, e.Time)
	dst = o.appendText(dst, tagEventName, b.Bytes(e.Name))
	attrs, more := cutList(o, b.EventAttrsOf(i))
	for _, a := range attrs {
		dst = o.appendAttr(dst, tagEventAttr, b, a)
	}
	dst = appendVarint(dst, tagEventDropped, uint64(e.Dropped+more))
	dst = o.appendResidue(dst, b.Bytes(e.Residue), eventMessage)
	return closeMessage(dst, at)
}

func (o form) appendLink(dst []byte, b *span.Batch, i uint32) []byte {
	l := &b.Links[i]
	dst, at := openMessage(dst, tagSpanLink)
	if l.TraceID != (span.TraceID{}) {
		dst = appendBytes(dst, tagLinkTraceID, l.TraceID[:])
	}
	if !l.SpanID.IsZero() {
		dst = appendBytes(dst, tagLinkSpanID, l.SpanID[:])
	}
	dst = o.appendText(dst, tagLinkTraceState, b.Bytes(l.TraceState))
	attrs, more := cutList(o, b.LinkAttrsOf(i))
	for _, a := range attrs {
		dst = o.appendAttr(dst, tagLinkAttr, b, a)
	}
	dst = appendVarint(dst, tagLinkDropped, uint64(l.Dropped+more))
	dst = appendFixed32(dst, tagLinkFlags, l.Flags)
	dst = o.appendResidue(dst, b.Bytes(l.Residue), linkMessage)
	return closeMessage(dst, at)
}

// appendAttr appends a KeyValue field exactly.
func appendAttr(dst []byte, tag uint32, b *span.Batch, a span.Attr) []byte {
	return exactForm.appendAttr(dst, tag, b, a)
}

func (o form) appendAttr(dst []byte, tag uint32, b *span.Batch, a span.Attr) []byte {
	var data []byte
	if a.Type.HasText() {
		data = b.Bytes(span.TextID(a.Value))
	}
	if o.output {
		a, data = o.plain(b, a, data)
	}
	dst, at := openMessage(dst, tag)
	if a.Type == span.RawAttribute {
		return closeMessage(append(dst, data...), at)
	}
	dst = o.appendText(dst, tagKey, b.Bytes(a.Key))
	if a.Type == span.NoValue {
		return closeMessage(dst, at)
	}
	dst, inner := openMessage(dst, tagKeyValue)
	switch a.Type {
	case span.StringValue:
		dst = appendBytes(dst, tagAnyString, data)
	case span.BoolValue:
		dst = append(appendTag(dst, tagAnyBool), byte(a.Value))
	case span.IntValue:
		dst = binary.AppendUvarint(appendTag(dst, tagAnyInt), a.Value)
	case span.DoubleValue:
		dst = binary.LittleEndian.AppendUint64(appendTag(dst, tagAnyDouble), a.Value)
	case span.BytesValue:
		dst = appendBytes(dst, tagAnyBytes, data)
	case span.ArrayValue:
		dst = appendBytes(dst, tagAnyArray, data)
	case span.MapValue:
		dst = appendBytes(dst, tagAnyMap, data)
	case span.RawValue:
		dst = append(dst, data...)
	}
	return closeMessage(closeMessage(dst, inner), at)
}

// appendText appends a text field, nothing for an empty text.
func (o form) appendText(dst []byte, tag uint32, text []byte) []byte {
	if len(text) == 0 {
		return dst
	}
	if o.output {
		text = o.text(text)
	}
	return appendBytes(dst, tag, text)
}

func (o form) appendResidue(dst, residue []byte, s schema) []byte {
	if o.output {
		return o.cleanResidue(dst, residue, s)
	}
	return append(dst, residue...)
}

func appendFixed64(dst []byte, tag uint32, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return binary.LittleEndian.AppendUint64(appendTag(dst, tag), v)
}

func appendFixed32(dst []byte, tag uint32, v uint32) []byte {
	if v == 0 {
		return dst
	}
	return binary.LittleEndian.AppendUint32(appendTag(dst, tag), v)
}
