package otlp

import (
	"fmt"

	"github.com/stoadb/stoa/engine/span"
)

// Part is what one shard gets of a request.
type Part struct {
	Shard int
	Spans int
	Bytes int // what the spans and their envelopes take as OTLP, up to some bytes a message
	Batch *span.Batch
}

// Cut takes an ExportTraceServiceRequest apart by shard: place tells the shard, in
// [0, shards), of a trace. The spans of a shard keep their order and envelopes; a part
// ends before the span that would make its Bytes more than PartBytesMax, so that only one
// span, or a resource or scope, longer than half of that makes a larger one.
// Parts are ordered by shard. An envelope without a kept span is in no part.
//
// Equal requests give equal parts, down to the numbers of texts. The request's memory may be
// used again when Cut returned. Errors wrap span.ErrInvalid and name the offset, or
// span.ErrTooMuch for a request over RequestBytesMax.
func Cut(request []byte, shards int, place func(span.TraceID) int) ([]Part, Counts, error) {
	c := cutter{place: place, open: make([]*part, shards), done: make([][]Part, shards), limited: true}
	counts, err := c.cut(request)
	if err != nil {
		return nil, Counts{}, err
	}
	parts := make([]Part, 0, shards)
	for _, done := range c.done {
		parts = append(parts, done...)
	}
	return parts, counts, nil
}

// Walk reads a request whole into one batch.
func Walk(request []byte) (*span.Batch, Counts, error) {
	c := cutter{place: func(span.TraceID) int { return 0 }, open: make([]*part, 1), done: make([][]Part, 1)}
	counts, err := c.cut(request)
	if err != nil {
		return nil, Counts{}, err
	}
	if len(c.done[0]) == 0 {
		empty := &span.Batch{}
		empty.AddText(nil)
		return empty, counts, nil
	}
	return c.done[0][0].Batch, counts, nil
}

// cutter is one pass over a request. It reads the fields of a ResourceSpans and of a
// ScopeSpans twice, the first time hopping over their content, because the envelope may
// stand behind what it holds.
type cutter struct {
	place   func(span.TraceID) int
	limited bool // else one part without limit

	open []*part // by shard, nil where none is open
	done [][]Part

	counts   Counts // of what belongs to no part
	serial   int
	stubs    int      // see StubsMax
	resource envelope // around the span being read
	scope    envelope
}

func (c *cutter) cut(request []byte) (Counts, error) {
	if len(request) > RequestBytesMax {
		return Counts{}, fmt.Errorf("%w: OTLP request of %d bytes, limit %d", span.ErrTooMuch, len(request), RequestBytesMax)
	}
	err := c.request(request)
	for shard, p := range c.open {
		if p == nil {
			continue
		}
		if err == nil {
			c.finish(shard)
			continue
		}
		p.release()
	}
	if err != nil {
		return Counts{}, invalid(err)
	}
	return c.counts, nil
}

func (c *cutter) request(b []byte) *wireError {
	f := fields{b: b}
	for f.next() {
		if f.tag != tagResourceSpans {
			continue
		}
		if err := c.resourceSpans(f.data); err != nil {
			return err.within(&f)
		}
	}
	return f.err
}

// readEnvelope reads the envelope part of a ResourceSpans or ScopeSpans.
func (c *cutter) readEnvelope(b []byte) (envelope, *wireError) {
	c.serial++
	e := envelope{serial: c.serial}
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case tagEnvelopeMessage:
			e.add(f.data)
		case tagEnvelopeSchema:
			e.schemaURL = f.data
		}
	}
	return e, f.err
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

func (c *cutter) resourceSpans(b []byte) *wireError {
	var err *wireError
	if c.resource, err = c.readEnvelope(b); err != nil {
		return err
	}
	return c.resource.check(b, resourceMessage, c.contents(b, c.scopeSpans))
}

func (c *cutter) scopeSpans(b []byte) *wireError {
	var err *wireError
	if c.scope, err = c.readEnvelope(b); err != nil {
		return err
	}
	return c.scope.check(b, scopeMessage, c.contents(b, c.span))
}

// contents visits the ScopeSpans of a ResourceSpans, or the spans of a ScopeSpans.
func (c *cutter) contents(b []byte, visit func([]byte) *wireError) *wireError {
	f := fields{b: b}
	for f.next() {
		if f.tag != tagEnvelopeContent {
			continue
		}
		if err := visit(f.data); err != nil {
			return err.within(&f)
		}
	}
	return f.err
}

// span finds the span's part and appends it there. Ids that stand where all senders put
// them are read without a walk; should one come again later in the span, the part was
// chosen too early and the span starts over.
func (c *cutter) span(b []byte) *wireError {
	if id, spanID, at := peekIDs(b); at > 0 && id != (span.TraceID{}) && !spanID.IsZero() {
		result, err := c.walk(b, at, id, spanID, false)
		if err != nil || result == walked {
			return err
		}
	}
	id, idOK, spanID, spanIDOK, err := findIDs(b)
	if err != nil {
		return err
	}
	if idOK && spanIDOK {
		_, err := c.walk(b, 0, id, spanID, true)
		return err
	}
	if !idOK {
		c.counts.DroppedTraceID++
	} else {
		c.counts.DroppedSpanID++
	}
	var check checker
	return check.message(b, spanMessage, 0)
}

func (c *cutter) walk(b []byte, at int, id span.TraceID, spanID span.SpanID, fixedIDs bool) (walkResult, *wireError) {
	p, err := c.partFor(c.place(id), len(b))
	if err != nil {
		return walked, err
	}
	before := p.walker.mark()
	result, err := p.walker.span(b, at, id, spanID, fixedIDs, p.resourceID, p.scopeID)
	if err != nil {
		return walked, err
	}
	if result != walked {
		p.walker.undo(before)
		return result, nil
	}
	p.add(c, len(b))
	return walked, nil
}
