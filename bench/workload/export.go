package workload

import "math"

// exporter is the pods' exports and the collector that puts them together.
type exporter struct {
	config  Config
	system  *system
	r       random
	waiting exportQueue
	arrived uint64 // spans, for their order

	batch []finished // of the request being put together
	wants int        // spans of it

	// What one request after the other is made in.
	byPod           [][]finished
	order           []*pod
	resource, scope []byte
}

const exportStream = math.MaxUint64 - 2

func newExporter(c Config, s *system) *exporter {
	e := &exporter{config: c, system: s, r: newRandom(c.Seed, exportStream), byPod: make([][]finished, len(s.pods))}
	e.wants = e.size()
	return e
}

// size is how many spans the next request has: a collector sends what came until its
// batch was full or its time was over.
func (e *exporter) size() int {
	mean := uint64(e.config.RequestSpans)
	return int(mean - mean/4 + e.r.below(mean/2+1))
}

func (e *exporter) add(s finished) {
	e.waiting.push(queued{s, e.arrived})
	e.arrived++
}

// until sends what pods exported before the time.
func (e *exporter) until(time uint64, yield func([]byte, error) bool) bool {
	for len(e.waiting) > 0 && e.waiting[0].export < time {
		e.batch = append(e.batch, e.waiting.pop().finished)
		if len(e.batch) == e.wants && !e.send(yield) {
			return false
		}
	}
	return true
}

// end sends all that is left.
func (e *exporter) end(yield func([]byte, error) bool) {
	if e.until(math.MaxUint64, yield) && len(e.batch) > 0 {
		e.send(yield)
	}
}

// send makes a request: spans by pod, then by library, in the order of their arrival.
func (e *exporter) send(yield func([]byte, error) bool) bool {
	e.order = e.order[:0]
	bytes := 0
	for _, s := range e.batch {
		bytes += len(s.span) + envelopeBytesUsual
		spans := &e.byPod[s.pod.number]
		if len(*spans) == 0 {
			e.order = append(e.order, s.pod)
		}
		*spans = append(*spans, s)
	}
	request := make([]byte, 0, bytes)
	for _, p := range e.order {
		e.resource = appendField(e.resource[:0], 1, p.resource)
		spans := e.byPod[p.number]
		for of := range rolesEnd {
			e.scope = e.scope[:0]
			for _, s := range spans {
				if s.role != of {
					continue
				}
				if len(e.scope) == 0 {
					e.scope = appendScope(e.scope, p.service.language, of)
				}
				e.scope = appendField(e.scope, 2, s.span)
			}
			if len(e.scope) > 0 {
				e.resource = appendField(e.resource, 2, e.scope)
			}
		}
		request = appendField(request, 1, e.resource)
		clear(spans) // lets go of the spans
		e.byPod[p.number] = spans[:0]
	}
	clear(e.batch)
	e.batch, e.wants = e.batch[:0], e.size()
	return yield(request, nil)
}

// envelopeBytesUsual is what a span's share of its resource and scope takes in a request.
const envelopeBytesUsual = 64

// appendScope writes the Scope of a role's library.
func appendScope(dst []byte, l *language, of role) []byte {
	scope := appendField(nil, 1, l.scopes[of])
	return appendField(dst, 1, appendField(scope, 2, l.scopeVersion))
}

// queued is a span in the queue; what comes first at the same time is first.
type queued struct {
	finished
	arrived uint64
}

func (q queued) before(other queued) bool {
	if q.export != other.export {
		return q.export < other.export
	}
	return q.arrived < other.arrived
}

// exportQueue is a binary heap. It is written out because container/heap would put each
// span into an interface, an allocation apiece.
type exportQueue []queued

func (q *exportQueue) push(added queued) {
	h := append(*q, added)
	at := len(h) - 1
	for at > 0 && added.before(h[(at-1)/2]) {
		h[at] = h[(at-1)/2]
		at = (at - 1) / 2
	}
	h[at] = added
	*q = h
}

func (q *exportQueue) pop() queued {
	h := *q
	first, last := h[0], h[len(h)-1]
	h[len(h)-1] = queued{} // lets go of the span
	h = h[:len(h)-1]
	at := 0
	for {
		child := 2*at + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].before(h[child]) {
			child++
		}
		if !h[child].before(last) {
			break
		}
		h[at] = h[child]
		at = child
	}
	if len(h) > 0 {
		h[at] = last
	}
	*q = h
	return first
}
