package workload

import (
	"encoding/binary"
	"math"
)

// traces makes one trace after the other, as users come.
type traces struct {
	system   *system
	arrivals random
	gap      uint64 // mean nanoseconds between two traces
	left     int    // spans
	number   uint64

	start uint64 // of the present trace, unix nanoseconds
	spans []finished
}

// finished is a span that waits for its export. The bytes are a Span message.
type finished struct {
	export uint64 // unix nanoseconds
	pod    *pod
	role   role
	span   []byte
}

func newTraces(c Config, s *system) *traces {
	return &traces{
		system: s, arrivals: newRandom(c.Seed, arrivalStream), left: c.Spans,
		gap: uint64(math.Round(c.TraceSpans / c.SpansASecond * 1e9)), start: uint64(c.Start.UnixNano()),
	}
}

// next makes a trace; its spans are valid until the call after.
func (t *traces) next() bool {
	if t.left == 0 {
		return false
	}
	c := &t.system.config
	t.start += t.arrivals.exponential(t.gap)
	r := newRandom(c.Seed, t.number)
	t.number++
	spans := min(traceSize(r, c), t.left)
	t.left -= spans
	g := &growth{system: t.system, r: r, spans: t.spans[:0], started: t.start}
	g.traceID[0], g.traceID[1] = r.uint64()|1, r.uint64()|1
	g.user, g.order = r.skewed(uint64(c.Cardinality)), r.uint64()
	entries := t.system.entries
	entry := entries[r.skewed(uint64(len(entries)))]
	g.serve(entry, g.podOf(entry), nil, t.start, spans, 1)
	t.spans = g.spans
	return true
}

// What sizes of traces are made of, in sixteenths of a span for a mean of 23: most lie
// around the median, and of every hundred one comes from a tail without end.
const (
	sizeMedian    = 16 * 14
	sizeSigma     = one * 13 / 10 // doublings
	sizeTailLeast = 16 * 100
	sizeTailAlpha = one * 16 / 10
	sizeMean      = 23_000 // thousandths of a span
)

func traceSize(r random, c *Config) int {
	var sixteenths uint64
	if r.chance(10_000) {
		sixteenths = r.pareto(sizeTailLeast, sizeTailAlpha)
	} else {
		sixteenths = r.logNormal(sizeMedian, sizeSigma)
	}
	mean := uint64(math.Round(c.TraceSpans * 1000))
	sixteenths = min(sixteenths, 1<<32) * mean / sizeMean
	return int(min(max(1, (sixteenths+8)/16), uint64(c.TraceSpansMax)))
}

// growth is a trace under way.
type growth struct {
	system      *system
	r           random
	traceID     [2]uint64
	user, order uint64
	started     uint64
	spans       []finished
	scratch     []byte // the value being drawn
	message     []byte // the inner message being written
	sent        []uint64
}

// call is what is known of a span when it is written.
type call struct {
	site       *site
	pod, peer  *pod
	id         uint64
	parent     uint64
	start, end uint64
	status     uint64 // of HTTP
	failed     bool
	origin     bool     // the error began here
	links      []uint64 // ids of the messages' spans
}

func (g *growth) podOf(o *operation) *pod {
	pods := o.service.pods
	return pods[g.r.below(uint64(len(pods)))]
}

// work is how long a site's own work takes, in nanoseconds.
func (g *growth) work(s *site) uint64 { return min(g.r.logNormal(s.median, one), spanDurationMax) }

// serve spends spans on an operation and what it does within its span, and gives the
// operation's call.
func (g *growth) serve(o *operation, p *pod, caller *call, start uint64, spans, depth int) call {
	own := call{site: &o.site, pod: p, id: g.r.uint64() | 1, start: start}
	if caller != nil {
		own.parent, own.links = caller.id, caller.links
	}
	at := start + g.work(&o.site)
	begun := at // where steps that go together begin
	for i, left := 0, spans-1; left > 0; i++ {
		next := &o.steps[i%len(o.steps)]
		if !next.parallel {
			begun = at
		}
		spent, inner := g.take(o, next, &own, begun, left, depth)
		left -= spent
		at = max(at, inner.end)
		own.failed = own.failed || inner.failed && g.r.chance(failurePasses)
	}
	own.end = at + g.work(&o.site)/2
	own.origin = !own.failed && g.r.chance(g.system.errors)
	own.failed = own.failed || own.origin
	own.status = g.httpStatus(own.failed)
	g.write(&own)
	return own
}

// failurePasses is in how many of a million cases who waits for a failed call fails too.
const failurePasses = 400_000

// take goes one step of an operation and tells how many of the left spans it took.
func (g *growth) take(o *operation, s *step, parent *call, start uint64, left, depth int) (spent int, done call) {
	c := &g.system.config
	if s.target == nil || left < 2 || depth >= c.Depth {
		leaf := s
		if s.target != nil {
			leaf = &o.steps[0]
		}
		done = call{site: &leaf.site, pod: parent.pod, id: g.r.uint64() | 1, parent: parent.id, start: start, end: start + g.work(&leaf.site)}
		done.origin = g.r.chance(g.system.errors)
		done.failed = done.origin
		g.write(&done)
		return 1, done
	}
	share := c.ShareMin + int(g.r.below(uint64(c.ShareMax-c.ShareMin)+1))
	inner := 1 + (left-2)*share/100
	peer := g.podOf(s.target)
	done = call{site: &s.site, pod: parent.pod, peer: peer, id: g.r.uint64() | 1, parent: parent.id, start: start}
	if s.role == publish {
		done.end = start + g.work(&s.site)
		g.sent = append(g.sent, done.id)
		done.links = g.sent[len(g.sent)-min(len(g.sent), 1+int(g.r.below(uint64(c.LinksPerBatch)))):]
		// Nobody waits for who takes the message.
		g.serve(s.target, peer, &done, done.end+g.work(&s.target.site)*16, inner, depth+1)
		done.links = nil
		g.write(&done)
		return 1 + inner, done
	}
	wire := g.work(&s.site)
	answer := g.serve(s.target, peer, &done, start+wire/2, inner, depth+1)
	done.end, done.failed, done.status = answer.end+wire/2, answer.failed, answer.status
	g.write(&done)
	return 1 + inner, done
}

func (g *growth) httpStatus(failed bool) uint64 {
	if failed {
		return []uint64{500, 500, 500, 503, 504}[g.r.below(5)]
	}
	if g.r.chance(15_000) {
		return []uint64{404, 400, 401, 409, 429}[g.r.skewed(5)]
	}
	return []uint64{200, 200, 200, 200, 201, 204, 304}[g.r.skewed(7)]
}

// write makes the Span message and leaves it to its pod.
func (g *growth) write(c *call) {
	b := make([]byte, 0, spanBytesUsual)
	traceID := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, 0, 16), g.traceID[0]), g.traceID[1])
	b = appendField(b, 1, traceID)
	b = appendSpanID(b, 2, c.id)
	if c.parent != 0 {
		b = appendSpanID(b, 4, c.parent)
	}
	b = g.appendName(b, c.site.name)
	b = appendVarint(b, 6, kinds[c.site.role])
	b = appendFixed64(b, 7, c.start+uint64(c.pod.skew))
	b = appendFixed64(b, 8, c.end+uint64(c.pod.skew))
	b = g.appendAttributes(b, c)
	b = g.appendEvents(b, c)
	for _, id := range c.links {
		if c.site.role == consume {
			g.message = appendFixed32(appendSpanID(appendField(g.message[:0], 1, traceID), 2, id), 6, sampledFlags)
			b = appendField(b, 13, g.message)
		}
	}
	if c.failed {
		g.message = appendVarint(appendField(g.message[:0], 2, errorText(c)), 3, 2)
		b = appendField(b, 15, g.message)
	}
	b = appendFixed32(b, 16, sampledFlags)
	g.spans = append(g.spans, finished{g.exported(c), c.pod, c.site.role, b})
}

// spanBytesUsual is room that most spans are content with.
const spanBytesUsual = 640

// sampledFlags say that the span was sampled and that its parent is known to be remote or
// not (trace.proto, SpanFlags).
const sampledFlags = 0x101

func appendSpanID(dst []byte, number int, id uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.AppendUvarint(appendTag(dst, number, bytesType), 8), id)
}

// exported is when the span leaves its pod: at the end of an interval, or late.
func (g *growth) exported(c *call) uint64 {
	config := &g.system.config
	at := c.end
	if g.r.chance(g.system.late) {
		at += g.r.below(uint64(config.LateMax) + 1)
	}
	return (at+c.pod.phase)/exportInterval*exportInterval + exportInterval - c.pod.phase
}
