package otlp

import (
	"math"
	"sort"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// envelopesBytesMax is the most that a resource and a scope take of an answer message,
// which repeats them: with less room for spans, a trace of small spans would be answered
// in many times its bytes.
const envelopesBytesMax = ChunkBytesMax / 4 * 3

// schemaURLBytesMax is the longest schema URL in an answer.
const schemaURLBytesMax = envelopesBytesMax / 8

// output is an envelope in output form.
type output struct {
	envelope
	isCut bool
	hash  uint64 // of its content

	from  envelope      // as it was received, where it is whole
	cutOf [2]codec.Hash // else, message and schema URL as they were received, which may be megabytes
}

// envelopes gives the envelopes of a row in output form. Together they stay within
// envelopesBytesMax: of one that is longer than half of it goes what the other needs. So
// the same resource may look otherwise beside another scope.
func (e *Encoder) envelopes(r span.Row) (resource, scope *output) {
	b := r.Batch
	if b.ResourceMarks == nil {
		return e.envelopesOf(r)
	}
	marks := [2]uint64{b.ResourceMarks[b.ResourceIDs[r.Pos]], b.ScopeMarks[b.ScopeIDs[r.Pos]]}
	if known, ok := e.cleaned.marked[marks]; ok {
		return known[0], known[1]
	}
	times := e.cleaned.forgotten
	if resource, scope = e.envelopesOf(r); times == e.cleaned.forgotten {
		e.cleaned.mark(marks, resource, scope)
	}
	return resource, scope
}

// envelopesOf is envelopes of rows without marks.
func (e *Encoder) envelopesOf(r span.Row) (resource, scope *output) {
	const half = envelopesBytesMax / 2
	fromResource, fromScope := resourceOf(r), scopeOf(r)
	resource = e.cleaned.output(fromResource, resourceMessage, envelopesBytesMax)
	scope = e.cleaned.output(fromScope, scopeMessage, envelopesBytesMax)
	if forResource, forScope := resource.size(), scope.size(); forResource+forScope > envelopesBytesMax {
		resource = e.cleaned.output(fromResource, resourceMessage, envelopesBytesMax-min(forScope, half))
		scope = e.cleaned.output(fromScope, scopeMessage, envelopesBytesMax-min(forResource, half))
	}
	return resource, scope
}

// outputEnvelope gives the envelope in at most limit bytes: whole where it fits, else
// with its texts cut as little as it takes, and where that does not do, its list too.
func outputEnvelope(e envelope, s schema, limit int) output {
	o := form{output: true, textMax: schemaURLBytesMax, listMax: math.MaxInt32}
	out := output{envelope: e, isCut: len(e.schemaURL) > schemaURLBytesMax}
	out.schemaURL = o.text(e.schemaURL)
	out.message = clean(e.message, s)
	if out.size() <= limit {
		return out
	}
	out.isCut = true
	received := out.message
	w := newWalker(new(int))
	defer w.release()
	attrs := w.attrsOf(e.message, s)
	fits := func(o form) bool {
		out.message = o.appendEnvelope(out.message[:0:0], received, &w.batch, attrs, s)
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
	kept, more := cutList(o, attrs)
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
