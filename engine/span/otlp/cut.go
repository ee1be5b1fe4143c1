package otlp

import (
	"bytes"
	"fmt"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// Part is what one shard gets of a request: its spans twice, as the bytes that the log
// keeps and as the batch that the memtable keeps.
type Part struct {
	Shard   int
	Spans   int
	Payload []byte     // a TracesData message; owned by the part
	Hash    codec.Hash // of Payload
	Batch   *span.Batch
}

// Cut takes an ExportTraceServiceRequest apart by shard: place tells the shard, in
// [0, shards), of a trace. The spans of a shard keep their order and envelopes; a part
// ends before the span that would make its payload longer than PartBytesMax, so that
// only one span, or a resource or scope, longer than half of that makes a longer one.
// Parts are ordered by shard. An envelope without a kept span is in no part.
//
// Equal requests give equal parts, and Cut of a part's payload gives that part. The
// request's memory may be used again when Cut returned. Errors wrap span.ErrInvalid and
// name the offset, or span.ErrTooMuch for a request over RequestBytesMax.
func Cut(request []byte, shards int, place func(span.TraceID) int) ([]Part, Counts, error) {
	c := cutter{place: place, open: make([]*part, shards), done: make([][]Part, shards), payloads: true}
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

// Walk reads a payload whole into one batch: for a part's payload a batch whose rows
// are those of the part's batch.
func Walk(payload []byte) (*span.Batch, Counts, error) {
	c := cutter{place: func(span.TraceID) int { return 0 }, open: make([]*part, 1), done: make([][]Part, 1)}
	counts, err := c.cut(payload)
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
	place    func(span.TraceID) int
	payloads bool // else one part without limit and payload

	open []*part // by shard, nil where none is open
	done [][]Part

	counts   Counts // of what belongs to no part
	serial   int
	resource envelope // around the span being read
	scope    envelope
	checked  []byte // the last Resource message found well-formed
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

// readEnvelope reads the envelope part of a ResourceSpans or ScopeSpans and checks it,
// since spans may come for no part at all.
func (c *cutter) readEnvelope(b []byte, s schema) (envelope, *wireError) {
	c.serial++
	e := envelope{serial: c.serial}
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case tagEnvelopeMessage:
			if err := c.check(f.data, s); err != nil {
				return e, err.within(&f)
			}
			e.add(f.data)
		case tagEnvelopeSchema:
			e.schemaURL = f.data
		}
	}
	return e, f.err
}

// check looks whether an envelope's message is well-formed, but not at the same resource
// again and again.
func (c *cutter) check(message []byte, s schema) *wireError {
	if s == resourceMessage {
		if bytes.Equal(message, c.checked) {
			return nil
		}
		c.checked = message
	}
	var check checker
	return check.message(message, s, 0)
}

func (c *cutter) resourceSpans(b []byte) *wireError {
	var err *wireError
	if c.resource, err = c.readEnvelope(b, resourceMessage); err != nil {
		return err
	}
	f := fields{b: b}
	for f.next() {
		if f.tag != tagEnvelopeContent {
			continue
		}
		if err := c.scopeSpans(f.data); err != nil {
			return err.within(&f)
		}
	}
	return f.err
}

func (c *cutter) scopeSpans(b []byte) *wireError {
	var err *wireError
	if c.scope, err = c.readEnvelope(b, scopeMessage); err != nil {
		return err
	}
	f := fields{b: b}
	for f.next() {
		if f.tag != tagEnvelopeContent {
			continue
		}
		if err := c.span(f.data); err != nil {
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
	if c.payloads {
		p.add(c, b)
	}
	return walked, nil
}
