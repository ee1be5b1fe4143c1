package otlp

import (
	"bytes"
	"math"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// envelope is what stands around spans: a resource or a scope, with its schema URL.
type envelope struct {
	message   []byte // the Resource or InstrumentationScope; pieces concatenated
	schemaURL []byte
	present   bool // the message was there, if empty
	pieces    int
	walked    bool // some part has it
	serial    int  // counts the request's envelopes, tells two of them apart
}

// add merges another piece of the message: protobuf merges by concatenation.
func (e *envelope) add(piece []byte) {
	e.present = true
	switch e.pieces++; e.pieces {
	case 1:
		e.message = piece
	case 2:
		e.message = append(bytes.Clone(e.message), piece...)
	default:
		e.message = append(e.message, piece...)
	}
}

// readEnvelope reads the envelope part of a ResourceSpans or ScopeSpans. A guess reads what
// stands in front of the content, and looks for a schema URL at the message's end.
func (c *cutter) readEnvelope(b []byte, guess bool) (envelope, *wireError) {
	c.serial++
	e := envelope{serial: c.serial}
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case tagEnvelopeMessage:
			e.add(f.data)
		case tagEnvelopeSchema:
			e.schemaURL = f.data
		case tagEnvelopeContent:
			if guess {
				e.schemaURL = schemaURLAtEnd(b[f.at:], e.schemaURL)
				return e, nil
			}
		}
	}
	return e, f.err
}

// schemaURLAtEnd gives what may well be the last field of a message, a schema URL; otherwise
// where there is none. A schema URL is one of HTTP. Spans seldom end with a character, so most
// content is known by its last byte.
func schemaURLAtEnd(b, otherwise []byte) []byte {
	const scheme = "http"
	if len(b) == 0 || b[len(b)-1] <= ' ' {
		return otherwise
	}
	b = b[max(0, len(b)-2-math.MaxInt8):] // longer ones have another form of length
	for {
		at := bytes.IndexByte(b, tagEnvelopeSchema)
		if at < 0 || at+2 > len(b) {
			return otherwise
		}
		text := b[at+2:]
		if len(text) == int(b[at+1]) && len(text) >= len(scheme) && string(text[:len(scheme)]) == scheme {
			return text
		}
		b = b[at+1:]
	}
}

// check looks whether the pieces of an envelope's message are well-formed. Most
// need no look, a part's batch has walked them; not so where no span was kept, where the
// message came in pieces, and where something is wrong: then the fault in the message
// goes first, with its own offset.
func (e *envelope) check(b []byte, s schema, err *wireError) *wireError {
	if e.walked && e.pieces == 1 && err == nil {
		return nil
	}
	f := fields{b: b}
	for f.next() {
		if f.tag != tagEnvelopeMessage {
			continue
		}
		var check checker
		if err := check.message(f.data, s, 0); err != nil {
			return err.within(&f)
		}
	}
	return err
}

// size bounds what the envelope takes in a message, framing included.
func (e *envelope) size() int { return len(e.message) + len(e.schemaURL) + 3*frameBytesMax }

// equal compares content.
func (e *envelope) equal(other *envelope) bool {
	return e.present == other.present && bytes.Equal(e.message, other.message) &&
		bytes.Equal(e.schemaURL, other.schemaURL)
}

// hash is one of the content: of an empty message another one than of none.
func (e *envelope) hash() uint64 {
	seed := uint64(0)
	if e.present {
		seed = 1
	}
	return codec.Hash64(e.schemaURL, codec.Hash64(e.message, seed))
}

// resourceKey tells the distinct envelopes of a batch apart.
type resourceKey struct {
	message, schemaURL span.TextID
	present            bool
}

// lastEnvelope is the envelope added last to the batch, in the request's memory, and
// its position: senders repeat one resource many times.
type lastEnvelope struct {
	envelope
	position uint32
	set      bool
}

func (l *lastEnvelope) matches(e *envelope) bool { return l.set && l.equal(e) }

// resource gives the position of a resource in the batch, adding it when it is new. Its
// message is well-formed.
func (w *walker) resource(e *envelope) (uint32, *wireError) {
	if w.lastRes.matches(e) {
		return w.lastRes.position, nil
	}
	message, err := w.flatten(e.message, tagResourceAttr, beforeResource)
	if err != nil {
		return 0, err
	}
	b := &w.batch
	key := resourceKey{w.texts.Intern(message), w.text(e.schemaURL), e.present}
	position, seen := w.resources[key]
	if !seen {
		position = uint32(len(b.Resources))
		b.ResourceAttrs = append(b.ResourceAttrs, w.envelopeAttrs...)
		b.Resources = append(b.Resources, span.Resource{
			Message: key.message, SchemaURL: key.schemaURL, Present: e.present,
			Service: w.serviceName(w.envelopeAttrs), AttrEnd: uint32(len(b.ResourceAttrs)),
		})
		w.resources[key] = position
	}
	w.lastRes = lastEnvelope{*e, position, true}
	return position, nil
}

// scope is resource for the instrumentation scope.
func (w *walker) scope(e *envelope) (uint32, *wireError) {
	if w.lastScope.matches(e) {
		return w.lastScope.position, nil
	}
	message, err := w.flatten(e.message, tagScopeAttr, beforeScope)
	if err != nil {
		return 0, err
	}
	b := &w.batch
	key := resourceKey{w.texts.Intern(message), w.text(e.schemaURL), e.present}
	position, seen := w.scopes[key]
	if !seen {
		position = uint32(len(b.Scopes))
		b.ScopeAttrs = append(b.ScopeAttrs, w.envelopeAttrs...)
		name, version := scopeTexts(e.message)
		b.Scopes = append(b.Scopes, span.Scope{
			Message: key.message, SchemaURL: key.schemaURL, Present: e.present,
			Name: w.text(name), Version: w.text(version), AttrEnd: uint32(len(b.ScopeAttrs)),
		})
		w.scopes[key] = position
	}
	w.lastScope = lastEnvelope{*e, position, true}
	return position, nil
}

// flatten reads the attributes of an envelope's message to w.envelopeAttrs and gives the
// message to keep: as received, but with the attributes that exceed a limit replaced.
func (w *walker) flatten(message []byte, attrTag uint32, level int32) ([]byte, *wireError) {
	w.envelopeAttrs, w.before = w.envelopeAttrs[:0], level
	before := w.counts
	f := fields{b: message}
	for f.next() {
		var err *wireError
		switch {
		case f.tag == attrTag:
			w.envelopeAttrs, err = w.attributes(w.envelopeAttrs, &f)
		case f.tag == tagResourceEntityRef && level == beforeResource:
			var check checker
			err = check.message(f.data, entityRef, 0)
			w.counts.InvalidUTF8 += check.invalidUTF8
		}
		if err != nil {
			return nil, err.within(&f)
		}
	}
	before.InvalidUTF8 = w.counts.InvalidUTF8
	if f.err != nil || before == w.counts {
		return message, f.err
	}
	return w.rewrite(message, attrTag, level), nil
}

// rewrite is flatten for a message, already counted, in which an attribute exceeds a limit.
func (w *walker) rewrite(message []byte, attrTag uint32, level int32) []byte {
	w.envelopeAttrs, w.envelope, w.before = w.envelopeAttrs[:0], w.envelope[:0], level
	counts, stubs := w.counts, *w.stubs
	*w.stubs = 0
	f := fields{b: message}
	for f.next() {
		if f.tag != attrTag {
			w.envelope = f.appendRaw(w.envelope)
			continue
		}
		before, known := w.counts, len(w.envelopeAttrs)
		w.envelopeAttrs, _ = w.oddAttribute(w.envelopeAttrs, f.data) // it was well-formed
		before.InvalidUTF8 = w.counts.InvalidUTF8
		if before == w.counts {
			w.envelope = f.appendRaw(w.envelope)
			continue
		}
		for _, a := range w.envelopeAttrs[known:] {
			w.envelope = appendAttr(w.envelope, attrTag, &w.batch, a)
		}
	}
	w.counts, *w.stubs = counts, stubs
	return w.envelope
}

// attrsOf gives the attributes of an envelope that was walked before, in the walker's memory; its
// message is the one that was kept then.
func (w *walker) attrsOf(message []byte, s schema) []span.Attr {
	tag, level := uint32(tagResourceAttr), int32(beforeResource)
	if s == scopeMessage {
		tag, level = tagScopeAttr, beforeScope
	}
	_, _ = w.flatten(message, tag, level) // it was well-formed
	return w.envelopeAttrs
}

// serviceName is the last service.name among a resource's attributes, as text.
func (w *walker) serviceName(attrs []span.Attr) span.TextID {
	for i := len(attrs) - 1; i >= 0; i-- {
		if string(w.batch.Bytes(attrs[i].Key)) != "service.name" {
			continue
		}
		if attrs[i].Type == span.StringValue {
			return span.TextID(attrs[i].Value)
		}
		return w.texts.Intern(AppendText(nil, &w.batch, attrs[i]))
	}
	return 0
}

// scopeTexts gives name and version of an InstrumentationScope.
func scopeTexts(message []byte) (name, version []byte) {
	f := fields{b: message}
	for f.next() {
		switch f.tag {
		case tagScopeName:
			name = f.data
		case tagScopeVersion:
			version = f.data
		}
	}
	return name, version
}
