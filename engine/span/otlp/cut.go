package otlp

import (
	"bytes"
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

// cutter is one pass over a request. An envelope may stand behind what it holds, so the fields of a
// ResourceSpans and of a ScopeSpans are read twice, the first time hopping over their content. A hop
// waits for memory at every span. Nearly all senders write the message of a scope first and its
// schema URL last: the first pass guesses that they did instead of hopping over spans, and looks
// behind them whether it was so. Where it was not, or anything is wrong, the request is gone through
// again from its begin without a guess.
type cutter struct {
	place    func(span.TraceID) int
	limited  bool // else one part without limit
	guessing bool // what stands behind the spans of a scope: see readEnvelope

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
	c.guessing = true
	err := c.request(request)
	if err != nil {
		c.reset()
		err = c.request(request)
	}
	if err != nil {
		c.reset()
		return Counts{}, invalid(err)
	}
	for shard, p := range c.open {
		if p != nil {
			c.finish(shard)
		}
	}
	return c.counts, nil
}

// reset goes back to the begin of the request, and guesses no more.
func (c *cutter) reset() {
	for _, p := range c.open {
		if p != nil {
			p.release()
		}
	}
	clear(c.open)
	clear(c.done)
	*c = cutter{place: c.place, limited: c.limited, open: c.open, done: c.done}
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

func (c *cutter) resourceSpans(b []byte) *wireError {
	var err *wireError
	// A resource's scopes are few, and one with a schema URL may be the last thing in a resource without.
	if c.resource, err = c.readEnvelope(b, false); err != nil {
		return err
	}
	return c.resource.check(b, resourceMessage, c.contents(b, &c.resource, c.scopeSpans))
}

func (c *cutter) scopeSpans(b []byte) *wireError {
	var err *wireError
	if c.scope, err = c.readEnvelope(b, c.guessing); err != nil {
		return err
	}
	return c.scope.check(b, scopeMessage, c.contents(b, &c.scope, c.span))
}

// contents visits the ScopeSpans of a ResourceSpans, or the spans of a ScopeSpans, and looks
// whether the envelope is the one taken for it.
func (c *cutter) contents(b []byte, e *envelope, visit func([]byte) *wireError) *wireError {
	pieces, schemaURL := 0, []byte(nil)
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case tagEnvelopeContent:
			if err := visit(f.data); err != nil {
				return err.within(&f)
			}
		case tagEnvelopeMessage:
			pieces++
		case tagEnvelopeSchema:
			schemaURL = f.data
		}
	}
	if f.err == nil && (pieces != e.pieces || !bytes.Equal(schemaURL, e.schemaURL)) {
		return &wireError{f.at, "envelope behind its content"}
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
