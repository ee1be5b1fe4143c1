package otlp

import (
	"sync"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
)

// part is a part being filled.
type part struct {
	walker   *walker
	assembly assembly
	size     int // bound of the payload's length

	walkedIn            int // serial of the scope that resourceID and scopeID are for
	resourceID, scopeID uint32
	resource, scope     int // serials of the groups open in the assembly
}

// parts keeps working memory between requests.
var parts = sync.Pool{New: func() any { return new(part) }}

func newPart(stubs *int) *part {
	p := parts.Get().(*part)
	*p = part{walker: newWalker(stubs), assembly: p.assembly}
	return p
}

// release gives the working memory back. The part must not be used any more.
func (p *part) release() {
	p.walker.release()
	p.walker = nil
	p.assembly.reset()
	if cap(p.assembly.spans) <= PartBytesMax/minSpanBytes {
		parts.Put(p)
	}
}

// payloads keeps payloads for the next requests.
var payloads codec.BufferPool

// FreePayload gives a payload back that nobody looks at any more. It need not be called.
func (p *Part) FreePayload() {
	payload := p.Payload
	p.Payload = nil
	payloads.Put(&payload)
}

// partFor gives the open part of a shard with room for a span of n bytes, and has the
// span's resource and scope in the part's batch.
func (c *cutter) partFor(shard, n int) (*part, *wireError) {
	invariant.Check(shard >= 0 && shard < len(c.open), "shard %d of %d", shard, len(c.open))
	p := c.open[shard]
	if p != nil && c.payloads && len(p.assembly.spans) > 0 && p.sizeWith(c, n) > c.sizeMax() {
		c.finish(shard)
		p = nil
	}
	if p == nil {
		p = newPart(&c.stubs)
		c.open[shard] = p
	}
	if p.walkedIn == c.scope.serial {
		return p, nil
	}
	var err *wireError
	if p.resourceID, err = p.walker.resource(&c.resource); err != nil {
		return p, err
	}
	if p.scopeID, err = p.walker.scope(&c.scope); err != nil {
		return p, err
	}
	p.walkedIn = c.scope.serial
	c.resource.walked, c.scope.walked = true, true
	return p, nil
}

// sizeMax is what a part may grow to. A part whose envelope is large may hold as many
// bytes of spans again, or a large resource would be repeated for every span.
func (c *cutter) sizeMax() int {
	return max(PartBytesMax, 2*(c.resource.size()+c.scope.size()))
}

// sizeWith bounds the payload with one more span of n bytes.
func (p *part) sizeWith(c *cutter, n int) int {
	size := p.size + n + frameBytesMax
	if p.resource != c.resource.serial {
		size += c.resource.size()
	}
	if p.scope != c.scope.serial {
		size += c.scope.size()
	}
	return size
}

// add adds the span message b, already walked, to the payload.
func (p *part) add(c *cutter, b []byte) {
	p.size = p.sizeWith(c, len(b))
	if p.resource != c.resource.serial {
		p.resource = c.resource.serial
		p.assembly.resource(c.resource)
	}
	if p.scope != c.scope.serial {
		p.scope = c.scope.serial
		p.assembly.scope(c.scope)
	}
	p.assembly.span(b)
}

// finish ends the open part of a shard.
func (c *cutter) finish(shard int) {
	p := c.open[shard]
	c.open[shard] = nil
	c.counts.Add(p.walker.counts)
	if rows := p.walker.batch.Len(); rows > 0 {
		out := Part{Shard: shard, Spans: rows, Batch: p.walker.finish()}
		if c.payloads {
			out.Payload = p.assembly.appendTo((*payloads.Get(p.assembly.measure()))[:0])
			out.Hash = codec.HashBytes(out.Payload)
		}
		c.done[shard] = append(c.done[shard], out)
	}
	p.release()
}
