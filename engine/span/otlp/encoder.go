package otlp

import (
	"math"
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// Encoder writes rows as TracesData messages for readers: see form. A message is shorter
// than ChunkBytesMax, holds spans of one trace only, and has each resource and scope of
// theirs once, in the order of their first spans; spans of one scope stand in the order of
// the rows. A span that does not fit a message gets its longest values
// cut, and says so in its warnings; a resource and scope that leave no room for spans
// are cut too, and the first span of theirs says so. An Encoder serves one goroutine.
type Encoder struct {
	yield    func(chunk []byte) error
	assembly assembly
	size     int          // bound of the chunk's length
	trace    span.TraceID // of the rows so far, where there are any
	any      bool
	groups   groups
	cleaned  cleaned
	written  written
	spans    []byte
	chunk    []byte
}

// WarningsKey is the attribute, an array of strings, under which Jaeger shows what it
// should tell of a span.
const WarningsKey = "@jaeger@warnings"

// Texts of warnings.
const (
	warnEndBeforeStart = "end time lies before start time; duration is taken as 0"
	warnCut            = "span was too long for an answer: long values and lists are cut"
	warnEnvelopeCut    = "resource and scope were too long for an answer: long values and lists of theirs are cut"
)

// NewEncoder gives chunks to yield, which may use them until it returns.
func NewEncoder(yield func(chunk []byte) error) *Encoder { return &Encoder{yield: yield} }

// Add adds a row. Its batch must stay as it is until the next Flush, but for written attributes.
func (e *Encoder) Add(r span.Row) error {
	if e.any && e.trace != r.TraceID() {
		if err := e.Flush(); err != nil {
			return err
		}
	}
	e.trace, e.any = r.TraceID(), true

	g := e.group(r)
	encoded := e.encode(r, g)
	if len(e.assembly.spans) > 0 && e.size+g.sizeWith(len(encoded)) >= ChunkBytesMax {
		if err := e.send(); err != nil {
			return err
		}
		g = e.group(r)
		encoded = e.encode(r, g) // in the buffer that begins anew
	}
	e.size += g.sizeWith(len(encoded))
	if g.resourceAt == 0 {
		g.resourceAt = e.assembly.resource(g.resource.envelope)
		e.groups.resources[g.resource.hash] = g.resourceAt
	}
	if g.scopeAt == 0 {
		g.scopeAt = e.assembly.scope(g.resourceAt, g.scope.envelope)
		e.groups.scopes[scopeKey{g.scope.hash, g.resourceAt}] = g.scopeAt
	}
	e.assembly.span(g.scopeAt, encoded)
	return nil
}

// Reset makes the encoder begin anew, for another reader, with the memory that it has; what
// was not given out is forgotten. The zero Encoder becomes ready by it.
func (e *Encoder) Reset(yield func(chunk []byte) error) {
	e.cleaned.endAnswer()
	e.begin()
	*e = Encoder{
		yield: yield, assembly: e.assembly, groups: e.groups, cleaned: e.cleaned, written: e.written, spans: e.spans, chunk: e.chunk[:0],
	}
}

// MemoryBytes is what an encoder between two answers holds, at most.
func (e *Encoder) MemoryBytes() int {
	return cap(e.spans) + cap(e.chunk) + e.assembly.memoryBytes() + e.groups.memoryBytes() + e.cleaned.bytes + e.written.memoryBytes()
}

// Flush gives out what is not given out yet; nothing where there is nothing.
func (e *Encoder) Flush() error {
	e.any = false
	return e.send()
}

// send gives out the message at hand, and begins the next one.
func (e *Encoder) send() error {
	if len(e.assembly.spans) == 0 {
		return nil
	}
	e.chunk = slices.Grow(e.chunk[:0], e.assembly.measure())
	e.chunk = e.assembly.appendTo(e.chunk)
	e.begin()
	return e.yield(e.chunk)
}

// begin begins a message.
func (e *Encoder) begin() {
	e.assembly.reset()
	e.spans, e.size = e.spans[:0], 0
	e.groups.forget()
	e.written.forget()
}

// encode appends the span to e.spans in a form that leaves room for its envelopes, and
// gives what it appended. The first span of envelopes that are cut says so.
func (e *Encoder) encode(r span.Row, g *grouped) []byte {
	at := len(e.spans)
	room := ChunkBytesMax - 1 - frameBytesMax - g.resource.size() - g.scope.size()
	o := form{output: true, textMax: math.MaxInt, listMax: math.MaxInt32}
	o.warnEnvelope = g.scopeAt == 0 && (g.resource.isCut || g.scope.isCut)
	o.written = &e.written
	e.spans = o.appendSpan(e.spans, r)
	if o.written = nil; len(e.spans)-at > room {
		e.written.forget() // what stands from at on will be written anew
	}
	for o.textMax = ValueBytesMax / 4; len(e.spans)-at > room && o.textMax >= textMaxSmall; o.textMax /= 16 {
		e.spans = o.appendSpan(e.spans[:at], r)
	}
	o.textMax = textMaxSmall
	for o.listMax = listMaxLarge; len(e.spans)-at > room && o.listMax >= 1; o.listMax /= 4 {
		e.spans = o.appendSpan(e.spans[:at], r)
	}
	return e.spans[at:len(e.spans):len(e.spans)]
}

// The steps by which a span is cut that does not fit a message: first its texts from
// ValueBytesMax/4 down to textMaxSmall bytes, then its lists from listMaxLarge entries.
const (
	textMaxSmall = 64
	listMaxLarge = 16 << 10
)

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
	if o.warnEnvelope {
		warn(warnEnvelopeCut)
	}
	return list
}

// appendWarnings appends the warnings attribute, those the span came with and ours; nothing where
// we have none.
func appendWarnings(dst, came, ours []byte) []byte {
	if ours == nil {
		return dst
	}
	dst, at := openMessage(dst, tagSpanAttr)
	dst = appendBytes(dst, tagKey, []byte(WarningsKey))
	dst, inner := openMessage(dst, tagKeyValue)
	dst, list := openMessage(dst, tagAnyArray)
	dst = append(append(dst, came...), ours...)
	return closeMessage(closeMessage(closeMessage(dst, list), inner), at)
}
