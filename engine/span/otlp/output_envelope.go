package otlp

import (
	"bytes"
	"math"
	"sort"
	"weak"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// envelopesBytesMax is the most that a resource and a scope take of an answer message,
// which repeats them: with less room for spans, a trace of small spans would be answered
// in many times its bytes.
const envelopesBytesMax = ChunkBytesMax / 4 * 3

// schemaURLBytesMax is the longest schema URL in an answer.
const schemaURLBytesMax = envelopesBytesMax / 8

// cleanedMax and cleanedBytesMax bound the envelopes kept at hand: a trace has some
// dozens of services, of some hundred bytes each.
const (
	cleanedMax      = 256
	cleanedBytesMax = 8 << 20
)

// output is an envelope in output form.
type output struct {
	envelope
	isCut bool
	hash  uint64 // of its content
}

// cleanedKey names a resource or scope of a batch, and how long it may be. It does not
// keep the batch alive: a long trace comes in a batch for each of its row groups, and is
// read in the memory of few.
type cleanedKey struct {
	batch weak.Pointer[span.Batch]
	kind  schema
	id    uint32
	limit int
}

// envelopes gives the envelopes of a row in output form. Together they stay within
// envelopesBytesMax: of one that is longer than half of it goes what the other needs. So
// the same resource may look otherwise beside another scope.
func (e *Encoder) envelopes(r span.Row) (resource, scope *output) {
	const half = envelopesBytesMax / 2
	resource = e.clean(r, resourceMessage, envelopesBytesMax)
	scope = e.clean(r, scopeMessage, envelopesBytesMax)
	if forResource, forScope := resource.size(), scope.size(); forResource+forScope > envelopesBytesMax {
		resource = e.clean(r, resourceMessage, envelopesBytesMax-min(forScope, half))
		scope = e.clean(r, scopeMessage, envelopesBytesMax-min(forResource, half))
	}
	return resource, scope
}

// clean gives the row's resource or scope in output form, of at most limit bytes.
func (e *Encoder) clean(r span.Row, s schema, limit int) *output {
	id := r.Batch.ResourceIDs[r.Pos]
	if s == scopeMessage {
		id = r.Batch.ScopeIDs[r.Pos]
	}
	key := cleanedKey{weak.Make(r.Batch), s, id, limit}
	if known := e.cleaned[key]; known != nil {
		return known
	}
	out := new(output)
	if s == scopeMessage {
		*out = outputEnvelope(scopeOf(r), r.Batch, r.Batch.ScopeAttrsOf(id), s, limit)
	} else {
		*out = outputEnvelope(resourceOf(r), r.Batch, r.Batch.ResourceAttrsOf(id), s, limit)
	}
	out.message, out.schemaURL = bytes.Clone(out.message), bytes.Clone(out.schemaURL) // from the batch's memory
	out.hash = codec.Hash64(out.schemaURL, codec.Hash64(out.message, 0))
	if e.cleaned == nil {
		e.cleaned = map[cleanedKey]*output{}
	}
	if len(e.cleaned) >= cleanedMax || e.kept+out.size() > cleanedBytesMax {
		e.forget()
	}
	e.cleaned[key] = out
	e.kept += out.size()
	return out
}

func (e *Encoder) forget() {
	clear(e.cleaned)
	e.kept = 0
}

// outputEnvelope gives the envelope in at most limit bytes: whole where it fits, else
// with its texts cut as little as it takes, and where that does not do, its list too.
func outputEnvelope(e envelope, b *span.Batch, attrs []span.Attr, s schema, limit int) output {
	o := form{output: true, textMax: schemaURLBytesMax, listMax: math.MaxInt32}
	out := output{envelope: e, isCut: len(e.schemaURL) > schemaURLBytesMax}
	out.schemaURL = o.text(e.schemaURL)
	out.message = clean(e.message, s)
	if out.size() <= limit {
		return out
	}
	out.isCut = true
	received := out.message
	fits := func(o form) bool {
		out.message = o.appendEnvelope(out.message[:0:0], received, b, attrs, s)
		return out.size() <= limit
	}
	// The least cut is sought from the strongest one, which is known to fit in the end.
	o.textMax = textMaxSmall
	if fits(o) {
		o.textMax += sort.Search(limit-textMaxSmall, func(more int) bool {
			longer := o
			longer.textMax += more + 1
			return !fits(longer)
		})
	} else {
		o.listMax = sort.Search(len(attrs), func(n int) bool {
			longer := o
			longer.listMax = n + 1
			return !fits(longer)
		})
	}
	fits(o)
	return out
}

// appendEnvelope writes a resource or scope message anew from its attributes, cut. What
// a resource says of its entities goes: it refers to attributes that may be gone.
func (o form) appendEnvelope(dst, message []byte, b *span.Batch, attrs []span.Attr, s schema) []byte {
	tag, tagDropped := uint32(tagResourceAttr), uint32(tagResourceDropped)
	if s == scopeMessage {
		name, version := scopeTexts(message)
		dst = o.appendText(dst, tagScopeName, name)
		dst = o.appendText(dst, tagScopeVersion, version)
		tag, tagDropped = tagScopeAttr, tagScopeDropped
	}
	kept, more := o.list(attrs)
	for _, a := range kept {
		dst = o.appendAttr(dst, tag, b, a)
	}
	dropped := uint32(0)
	for f := (fields{b: message}); f.next(); {
		if f.tag == tagDropped {
			dropped = uint32(f.num)
		}
	}
	return appendVarint(dst, tagDropped, uint64(dropped+more))
}
