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
// It holds slices of the caller's memory, and copies once, when all lengths are known.
type assembly struct {
	resources []group // groups in scopes
	scopes    []group // groups in spans
	spans     [][]byte
}

// group is an envelope and where its content begins, up to the next one's begin.
type group struct {
	envelope
	first int
	bytes int // of the whole message, known when measured
}

func (a *assembly) reset() {
	clear(a.resources)
	clear(a.scopes)
	clear(a.spans)
	a.resources, a.scopes, a.spans = a.resources[:0], a.scopes[:0], a.spans[:0]
}

// resource begins a ResourceSpans, scope a ScopeSpans in it; span adds to that.
func (a *assembly) resource(e envelope) {
	a.resources = append(a.resources, group{envelope: e, first: len(a.scopes)})
}

func (a *assembly) scope(e envelope) {
	a.scopes = append(a.scopes, group{envelope: e, first: len(a.spans)})
}

func (a *assembly) span(b []byte) { a.spans = append(a.spans, b) }

// fieldBytes is the length of a bytes field with a tag of one byte.
func fieldBytes(n int) int { return 1 + varintBytes(uint64(n)) + n }

func (g *group) measure() {
	if g.present {
		g.bytes += fieldBytes(len(g.message))
	}
	if len(g.schemaURL) > 0 {
		g.bytes += fieldBytes(len(g.schemaURL))
	}
}

// end is where the content of groups[i] ends, of total things.
func end(groups []group, i, total int) int {
	if i+1 < len(groups) {
		return groups[i+1].first
	}
	return total
}

// measure finds the length of every message and gives that of the whole.
func (a *assembly) measure() int {
	for i := range a.scopes {
		g := &a.scopes[i]
		g.bytes = 0
		g.measure()
		for _, b := range a.spans[g.first:end(a.scopes, i, len(a.spans))] {
			g.bytes += fieldBytes(len(b))
		}
	}
	total := 0
	for i := range a.resources {
		g := &a.resources[i]
		g.bytes = 0
		g.measure()
		for _, s := range a.scopes[g.first:end(a.resources, i, len(a.scopes))] {
			g.bytes += fieldBytes(s.bytes)
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
		for j := r.first; j < end(a.resources, i, len(a.scopes)); j++ {
			s := &a.scopes[j]
			dst = s.open(dst, tagEnvelopeContent)
			for _, b := range a.spans[s.first:end(a.scopes, j, len(a.spans))] {
				dst = appendBytes(dst, tagEnvelopeContent, b)
			}
			dst = s.close(dst)
		}
		dst = r.close(dst)
	}
	return dst
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
