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
	dst, moreAttrs := o.appendSpanAttrs(dst, r)
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
	if a.Type == span.RawAttribute {
		return appendBytes(dst, tag, data)
	}
	key := b.Bytes(a.Key)
	if o.output {
		key = o.text(key)
	}
	return appendKeyValue(dst, tag, key, a.Type, a.Value, data)
}

// appendKeyValue appends a KeyValue field of any type but RawAttribute.
func appendKeyValue(dst []byte, tag uint32, key []byte, kind span.ValueType, number uint64, data []byte) []byte {
	n, head := anyBytes(kind, number, data), 0
	if len(key) > 0 {
		head = fieldBytes(len(key))
	}
	dst = binary.AppendUvarint(appendTag(dst, tag), uint64(head+valueBytes(kind, n)))
	if len(key) > 0 {
		dst = appendBytes(dst, tagKey, key)
	}
	return appendValue(dst, kind, n, number, data)
}

// anyBytes is the length of an AnyValue message.
func anyBytes(kind span.ValueType, number uint64, data []byte) int {
	switch kind {
	case span.NoValue, span.EmptyValue:
		return 0
	case span.BoolValue:
		return 1 + 1
	case span.IntValue:
		return 1 + varintBytes(number)
	case span.DoubleValue:
		return 1 + 8
	case span.RawValue:
		return len(data)
	default:
		return fieldBytes(len(data))
	}
}

// valueBytes is the length of the field that an AnyValue of n bytes stands in, if it stands.
func valueBytes(kind span.ValueType, n int) int {
	if kind == span.NoValue {
		return 0
	}
	return fieldBytes(n)
}

// appendValue appends the value field of a KeyValue, whose AnyValue has n bytes.
func appendValue(dst []byte, kind span.ValueType, n int, number uint64, data []byte) []byte {
	if kind == span.NoValue {
		return dst
	}
	dst = binary.AppendUvarint(append(dst, tagKeyValue), uint64(n))
	switch kind {
	case span.StringValue:
		dst = appendBytes(dst, tagAnyString, data)
	case span.BoolValue:
		dst = append(dst, tagAnyBool, byte(number))
	case span.IntValue:
		dst = binary.AppendUvarint(append(dst, tagAnyInt), number)
	case span.DoubleValue:
		dst = binary.LittleEndian.AppendUint64(append(dst, tagAnyDouble), number)
	case span.BytesValue:
		dst = appendBytes(dst, tagAnyBytes, data)
	case span.ArrayValue:
		dst = appendBytes(dst, tagAnyArray, data)
	case span.MapValue:
		dst = appendBytes(dst, tagAnyMap, data)
	case span.RawValue:
		dst = append(dst, data...)
	}
	return dst
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
