package otlp

import "encoding/binary"

// frameBytesMax bounds a tag and a length around one message.
const frameBytesMax = 1 + 5

// assembly puts encoded spans together under their envelopes:
//
//	TracesData { repeated ResourceSpans = 1 }
//	ResourceSpans { Resource = 1; repeated ScopeSpans = 2; schema_url = 3 }
//	ScopeSpans { InstrumentationScope = 1; repeated Span = 2; schema_url = 3 }
//
// Spans come in any order of their groups, and stand in each in the order in which they came. It
// holds slices of the caller's memory, and copies once, when all lengths are known.
type assembly struct {
	resources []group // their content are scopes
	scopes    []group // their content are spans
	spans     []assembled
}

// group is an envelope and its content, a list. Places in lists are numbered from 1; 0 is none.
type group struct {
	envelope
	first, last int // of the content
	next        int // of a scope: the next one of its resource
	bytes       int // of the whole message, known when measured
}

// assembled is an encoded span, and the next one of its scope.
type assembled struct {
	bytes []byte
	next  int
}

func (a *assembly) reset() {
	clear(a.resources)
	clear(a.scopes)
	clear(a.spans)
	a.resources, a.scopes, a.spans = a.resources[:0], a.scopes[:0], a.spans[:0]
}

// resource begins a ResourceSpans and gives its place.
func (a *assembly) resource(e envelope) int {
	a.resources = append(a.resources, group{envelope: e})
	return len(a.resources)
}

// scope begins a ScopeSpans of a resource and gives its place.
func (a *assembly) scope(resource int, e envelope) int {
	a.scopes = append(a.scopes, group{envelope: e})
	place, r := len(a.scopes), &a.resources[resource-1]
	if r.first == 0 {
		r.first = place
	} else {
		a.scopes[r.last-1].next = place
	}
	r.last = place
	return place
}

// span adds a span to a scope.
func (a *assembly) span(scope int, b []byte) {
	a.spans = append(a.spans, assembled{bytes: b})
	place, s := len(a.spans), &a.scopes[scope-1]
	if s.first == 0 {
		s.first = place
	} else {
		a.spans[s.last-1].next = place
	}
	s.last = place
}

// memoryBytes is what the lists hold, by capacity.
func (a *assembly) memoryBytes() int {
	const groupBytes, spanBytes = 120, 32
	return groupBytes*(cap(a.resources)+cap(a.scopes)) + spanBytes*cap(a.spans)
}

// fieldBytes is the length of a bytes field with a tag of one byte.
func fieldBytes(n int) int { return 1 + varintBytes(uint64(n)) + n }

// measure gives what the envelope takes.
func (g *group) measure() (bytes int) {
	if g.present {
		bytes += fieldBytes(len(g.message))
	}
	if len(g.schemaURL) > 0 {
		bytes += fieldBytes(len(g.schemaURL))
	}
	return bytes
}

// measure finds the length of every message and gives that of the whole.
func (a *assembly) measure() int {
	for i := range a.scopes {
		g := &a.scopes[i]
		g.bytes = g.measure()
		for at := g.first; at > 0; at = a.spans[at-1].next {
			g.bytes += fieldBytes(len(a.spans[at-1].bytes))
		}
	}
	total := 0
	for i := range a.resources {
		g := &a.resources[i]
		g.bytes = g.measure()
		for at := g.first; at > 0; at = a.scopes[at-1].next {
			g.bytes += fieldBytes(a.scopes[at-1].bytes)
		}
		total += fieldBytes(g.bytes)
	}
	return total
}

// appendTo appends the whole to dst, after measure.
func (a *assembly) appendTo(dst []byte) []byte {
	for i := range a.resources {
		r := &a.resources[i]
		dst = r.open(dst, tagResourceSpans)
		for at := r.first; at > 0; at = a.scopes[at-1].next {
			dst = a.appendScope(dst, &a.scopes[at-1])
		}
		dst = r.close(dst)
	}
	return dst
}

func (a *assembly) appendScope(dst []byte, s *group) []byte {
	dst = s.open(dst, tagEnvelopeContent)
	for at := s.first; at > 0; at = a.spans[at-1].next {
		dst = appendBytes(dst, tagEnvelopeContent, a.spans[at-1].bytes)
	}
	return s.close(dst)
}

func (g *group) open(dst []byte, tag uint32) []byte {
	dst = binary.AppendUvarint(appendTag(dst, tag), uint64(g.bytes))
	if g.present {
		dst = appendBytes(dst, tagEnvelopeMessage, g.message)
	}
	return dst
}

func (g *group) close(dst []byte) []byte {
	if len(g.schemaURL) > 0 {
		dst = appendBytes(dst, tagEnvelopeSchema, g.schemaURL)
	}
	return dst
}
