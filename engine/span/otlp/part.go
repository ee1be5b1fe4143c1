package otlp

import "github.com/stoadb/stoa/internal/invariant"

// part is a part being filled.
type part struct {
	walker *walker
	bytes  int // what its spans took, each envelope once

	walkedIn            int // serial of the scope that resourceID and scopeID are for
	resourceID, scopeID uint32
	resource, scope     int // serials of the envelopes counted last
}

// release gives the working memory back. The part must not be used any more.
func (p *part) release() {
	p.walker.release()
	p.walker = nil
}

// partFor gives the open part of a shard with room for a span of n bytes, and has the
// span's resource and scope in the part's batch.
func (c *cutter) partFor(shard, n int) (*part, *wireError) {
	invariant.Check(shard >= 0 && shard < len(c.open), "shard %d of %d", shard, len(c.open))
	p := c.open[shard]
	if p != nil && c.limited && p.bytes > 0 && p.bytesWith(c, n) > c.bytesMax() {
		c.finish(shard)
		p = nil
	}
	if p == nil {
		p = &part{walker: newWalker(&c.stubs)}
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

// bytesMax is what a part may grow to. A part whose envelope is large may hold as many
// bytes of spans again, or a large resource would be repeated for every span.
func (c *cutter) bytesMax() int {
	return max(PartBytesMax, 2*(c.resource.size()+c.scope.size()))
}

// bytesWith is what the part's spans take with one more of n bytes.
func (p *part) bytesWith(c *cutter, n int) int {
	bytes := p.bytes + n + frameBytesMax
	if p.resource != c.resource.serial {
		bytes += c.resource.size()
	}
	if p.scope != c.scope.serial {
		bytes += c.scope.size()
	}
	return bytes
}

// add counts a span of n bytes, already walked.
func (p *part) add(c *cutter, n int) {
	p.bytes = p.bytesWith(c, n)
	p.resource, p.scope = c.resource.serial, c.scope.serial
}

// finish ends the open part of a shard.
func (c *cutter) finish(shard int) {
	p := c.open[shard]
	c.open[shard] = nil
	c.counts.Add(p.walker.counts)
	if rows := p.walker.batch.Len(); rows > 0 {
		c.done[shard] = append(c.done[shard], Part{Shard: shard, Spans: rows, Bytes: p.bytes, Batch: p.walker.batch.Compact()})
	}
	p.release()
}
