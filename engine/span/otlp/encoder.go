package otlp

import (
	"bytes"
	"math"

	"github.com/stoadb/stoa/engine/span"
)

// Encoder writes rows as TracesData messages for readers: see form. A message is shorter
// than ChunkBytesMax, holds spans of one trace only, and groups consecutive rows under
// their resource and scope. A span that does not fit a message gets its longest values
// cut, and says so in its warnings. An Encoder serves one goroutine.
type Encoder struct {
	yield    func(chunk []byte) error
	assembly assembly
	size     int // bound of the chunk's length
	last     span.Row
	any      bool // last is set and its envelopes are those below
	resource envelope
	scope    envelope
	cleaned  map[cleanedKey]envelope // of this trace: its services take turns
	spans    []byte
	chunk    []byte
}

// cleanedKey names a resource or scope of a batch.
type cleanedKey struct {
	batch *span.Batch
	kind  schema
	id    uint32
}

// cleanedMax bounds the envelopes kept at hand: a trace has some dozens of services.
const cleanedMax = 256

// WarningsKey is the attribute, an array of strings, under which Jaeger shows what it
// should tell of a span.
const WarningsKey = "@jaeger@warnings"

// Texts of warnings.
const (
	warnEndBeforeStart = "end time lies before start time; duration is taken as 0"
	warnCut            = "span was too long for an answer: long values and lists are cut"
)

// NewEncoder gives chunks to yield, which may use them until it returns.
func NewEncoder(yield func(chunk []byte) error) *Encoder { return &Encoder{yield: yield} }

// Add adds a row. Its batch must stay as it is until the next Flush.
func (e *Encoder) Add(r span.Row) error {
	if e.any && e.last.TraceID() != r.TraceID() {
		if err := e.Flush(); err != nil {
			return err
		}
	}
	newResource := !e.any || !sameResource(e.last, r)
	newScope := newResource || !sameScope(e.last, r)
	if newResource {
		e.resource = e.clean(r, resourceMessage)
	}
	if newScope {
		e.scope = e.clean(r, scopeMessage)
	}
	e.last, e.any = r, true

	at := len(e.spans)
	e.encode(r)
	encoded := e.spans[at:len(e.spans):len(e.spans)]
	if len(e.assembly.spans) > 0 && e.sizeWith(len(encoded), newResource, newScope) >= ChunkBytesMax {
		encoded = bytes.Clone(encoded) // the buffer begins anew
		if err := e.send(); err != nil {
			return err
		}
	}
	if len(e.assembly.spans) == 0 {
		newResource, newScope = true, true
	}
	e.size = e.sizeWith(len(encoded), newResource, newScope)
	if newResource {
		e.assembly.resource(e.resource)
	}
	if newScope {
		e.assembly.scope(e.scope)
	}
	e.assembly.span(encoded)
	return nil
}

// Flush gives out what is not given out yet; nothing where there is nothing.
func (e *Encoder) Flush() error {
	e.any = false
	clear(e.cleaned)
	return e.send()
}

// clean gives the row's resource or scope in output form.
func (e *Encoder) clean(r span.Row, s schema) envelope {
	id := r.Batch.ResourceIDs[r.Pos]
	if s == scopeMessage {
		id = r.Batch.ScopeIDs[r.Pos]
	}
	key := cleanedKey{r.Batch, s, id}
	out, known := e.cleaned[key]
	if known {
		return out
	}
	if s == scopeMessage {
		out = outputEnvelope(scopeOf(r), r.Batch, r.Batch.ScopeAttrsOf(id), s)
	} else {
		out = outputEnvelope(resourceOf(r), r.Batch, r.Batch.ResourceAttrsOf(id), s)
	}
	if e.cleaned == nil {
		e.cleaned = map[cleanedKey]envelope{}
	}
	if len(e.cleaned) >= cleanedMax {
		clear(e.cleaned)
	}
	e.cleaned[key] = out
	return out
}

func (e *Encoder) sizeWith(n int, newResource, newScope bool) int {
	size := e.size + n + frameBytesMax
	if newResource {
		size += e.resource.size()
	}
	if newResource || newScope {
		size += e.scope.size()
	}
	return size
}

func (e *Encoder) send() error {
	if len(e.assembly.spans) == 0 {
		return nil
	}
	e.assembly.measure()
	e.chunk = e.assembly.appendTo(e.chunk[:0])
	e.assembly.reset()
	e.spans, e.size = e.spans[:0], 0
	return e.yield(e.chunk)
}

// encode appends the span to e.spans in a form that leaves room for its envelopes.
func (e *Encoder) encode(r span.Row) {
	at := len(e.spans)
	room := ChunkBytesMax - 1 - frameBytesMax - e.resource.size() - e.scope.size()
	o := form{output: true, textMax: math.MaxInt, listMax: math.MaxInt32}
	e.spans = o.appendSpan(e.spans, r)
	for o.textMax = ValueBytesMax / 4; len(e.spans)-at > room && o.textMax >= textMaxSmall; o.textMax /= 16 {
		e.spans = o.appendSpan(e.spans[:at], r)
	}
	o.textMax = textMaxSmall
	for o.listMax = listMaxLarge; len(e.spans)-at > room && o.listMax >= 1; o.listMax /= 4 {
		e.spans = o.appendSpan(e.spans[:at], r)
	}
}

// The steps by which a span is cut that does not fit a message: first its texts from
// ValueBytesMax/4 down to textMaxSmall bytes, then its lists from listMaxLarge entries.
const (
	textMaxSmall = 64
	listMaxLarge = 16 << 10
)

// envelopeMessageMax is the longest resource or scope message in an answer, in bytes:
// each chunk repeats it, and at least half of a chunk is for spans.
const envelopeMessageMax = ChunkBytesMax / 8

func outputEnvelope(e envelope, b *span.Batch, attrs []span.Attr, s schema) envelope {
	whole := form{output: true, textMax: envelopeMessageMax}
	e.schemaURL = whole.text(e.schemaURL)
	e.message = clean(e.message, s)
	for o := (form{output: true, textMax: envelopeMessageMax / 4, listMax: listMaxLarge}); len(e.message) > envelopeMessageMax; {
		e.message = o.appendEnvelope(nil, e.message, b, attrs, s)
		if o.textMax > textMaxSmall {
			o.textMax /= 4
		} else {
			o.listMax /= 4
		}
	}
	return e
}

// appendEnvelope writes a resource or scope message anew from its attributes, cut.
func (o form) appendEnvelope(dst, message []byte, b *span.Batch, attrs []span.Attr, s schema) []byte {
	tag := uint32(tagResourceAttr)
	if s == scopeMessage {
		name, version := scopeTexts(message)
		dst = o.appendText(dst, tagScopeName, name)
		dst = o.appendText(dst, tagScopeVersion, version)
		tag = tagScopeAttr
	}
	kept, _ := o.list(attrs)
	for _, a := range kept {
		dst = o.appendAttr(dst, tag, b, a)
	}
	return dst
}

// warnings gives what a reader should be told of the span, as an ArrayValue message, nil
// for nothing.
func (o form) warnings(r span.Row) []byte {
	if !o.output {
		return nil
	}
	var list []byte
	warn := func(text string) {
		list = appendBytes(list, tagListValues, appendBytes(nil, tagAnyString, []byte(text)))
	}
	if r.End() < r.Start() || r.End()-r.Start() > math.MaxInt64 {
		warn(warnEndBeforeStart)
	}
	if o.textMax != math.MaxInt || o.listMax != math.MaxInt32 {
		warn(warnCut)
	}
	return list
}

// appendWarnings appends the warnings attribute: those the span came with and ours.
func appendWarnings(dst, came, ours []byte) []byte {
	dst, at := openMessage(dst, tagSpanAttr)
	dst = appendBytes(dst, tagKey, []byte(WarningsKey))
	dst, inner := openMessage(dst, tagKeyValue)
	dst, list := openMessage(dst, tagAnyArray)
	dst = append(append(dst, came...), ours...)
	return closeMessage(closeMessage(closeMessage(dst, list), inner), at)
}
