package enginetest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/stoadb/stoa/engine/span"
)

// Span is one generated span with its envelopes, as OTLP messages. Requests are made of
// any number of them in any order, so the same span can travel in several.
type Span struct {
	TraceID     span.TraceID
	hasResource bool
	resource    message // Resource
	resourceURL string
	hasScope    bool
	scope       message // InstrumentationScope
	scopeURL    string
	span        message // Span
}

// Generator makes random spans that are legal OTLP and awkward: few services, names and
// keys, so that queries hit; equal starts, shared ids, odd times and values.
type Generator struct {
	rand   *rand.Rand
	traces []span.TraceID
	ids    map[span.TraceID][]span.SpanID
}

// NewGenerator makes spans of so many traces; the seed says which.
func NewGenerator(seed uint64, traces int) *Generator {
	g := &Generator{rand: rand.New(rand.NewPCG(seed, 0x5704)), ids: make(map[span.TraceID][]span.SpanID)}
	for range traces {
		var id span.TraceID
		for i := range id {
			// Few distinct bytes: ids that differ late, and 64-bit ones.
			id[i] = byte(g.rand.IntN(3))
		}
		if g.rand.IntN(4) == 0 {
			clear(id[:8])
		}
		id[15] |= 1
		g.traces = append(g.traces, id)
	}
	return g
}

// Spans makes n spans; some of them are equal to others.
func (g *Generator) Spans(n int) []Span {
	all := make([]Span, 0, n)
	for range n {
		if len(all) > 0 && g.rand.IntN(20) == 0 {
			all = append(all, all[g.rand.IntN(len(all))])
			continue
		}
		all = append(all, g.span())
	}
	return all
}

var (
	keys     = []string{"http.status_code", "error", "span.kind", "k", "event", "resource.zone", "zone", "scope.name", "message", "", "\xff\xfe", "service.name"}
	texts    = []string{"", "a", "true", "false", "500", "2", "SERVER", "server", "frontend", "exception", "\xffbroken", "käse", "lib", "1.0", "boom", "The card, the CARD was refused: try-the card"}
	names    = []string{"GET /", "POST /", "dispatch", "", "\xf0\x28"}
	services = []string{"frontend", "driver", "redis", "", "route"}
)

func pick[T any](g *Generator, list []T) T { return list[g.rand.IntN(len(list))] }

// baseTime is where most starts are: 2026-01-01.
const baseTime = 1_767_225_600_000_000_000

// start is a time that is often equal to another, or awkward.
func (g *Generator) start() uint64 {
	switch g.rand.IntN(24) {
	case 0:
		return 0
	case 1:
		return 9_214_646_400_000_000_000 + uint64(g.rand.IntN(3)) // 2262, beyond int64 a little later
	case 2:
		return math.MaxUint64 - uint64(g.rand.IntN(2))
	case 3:
		return math.MaxInt64 + uint64(g.rand.IntN(3))
	case 4:
		return 1
	}
	return baseTime + uint64(g.rand.IntN(40))*1_000_000_000
}

func (g *Generator) end(start uint64) uint64 {
	switch g.rand.IntN(10) {
	case 0:
		return start - uint64(g.rand.IntN(100)) // before the start, or a wrap
	case 1:
		return 0
	case 2:
		return start
	case 3:
		return math.MaxUint64
	}
	return start + uint64(g.rand.IntN(20))*50_000_000
}

// span makes a span of one of the traces, often near one made before.
func (g *Generator) span() Span {
	s := Span{TraceID: pick(g, g.traces)}
	var m message
	m.bytes(1, s.TraceID[:])
	known := g.ids[s.TraceID]
	var id span.SpanID
	if len(known) > 0 && g.rand.IntN(8) == 0 {
		id = pick(g, known) // shared ids, and different spans of one id
	} else {
		for i := range id {
			id[i] = byte(g.rand.IntN(3))
		}
		id[7] |= 1
	}
	m.bytes(2, id[:])
	if g.rand.IntN(8) == 0 {
		m.text(3, pick(g, texts))
	}
	switch n := g.rand.IntN(10); {
	case n < 6 && len(known) > 0:
		parent := pick(g, known)
		m.bytes(4, parent[:])
	case n == 6:
		m.bytes(4, []byte{9, 9, 9, 9, 9, 9, 9, byte(g.rand.IntN(3))}) // an orphan
	case n == 7:
		m.bytes(4, []byte{1, 2, 3}) // odd length
	case n == 8:
		m.bytes(4, make([]byte, 8))
	}
	g.ids[s.TraceID] = append(known, id)
	m.text(5, pick(g, names))
	if kind := g.rand.IntN(8); kind > 0 {
		m.varint(6, uint64(kind-1)) // 6 is unknown to everybody
	}
	start := g.start()
	m.fixed64(7, start)
	m.fixed64(8, g.end(start))
	g.lists(&m, start)
	g.status(&m)
	if g.rand.IntN(6) == 0 {
		m.fixed32(16, uint32(g.rand.IntN(1024)))
	}
	if g.rand.IntN(10) == 0 {
		m.text(100, "a field from the future")
	}
	s.span = m
	g.envelope(&s)
	return s
}

// lists adds attributes, events and links.
func (g *Generator) lists(m *message, start uint64) {
	for range g.rand.IntN(5) {
		m.bytes(9, g.attribute())
	}
	if g.rand.IntN(8) == 0 {
		m.varint(10, uint64(g.rand.IntN(5)))
	}
	for range max(0, g.rand.IntN(5)-2) {
		var e message
		e.fixed64(1, g.eventTime(start))
		e.text(2, pick(g, texts))
		for range g.rand.IntN(3) {
			e.bytes(3, g.attribute())
		}
		if g.rand.IntN(4) == 0 {
			e.varint(4, 3)
		}
		m.bytes(11, e)
	}
	for range max(0, g.rand.IntN(5)-3) {
		var l message
		other := pick(g, g.traces)
		l.bytes(1, other[:])
		l.bytes(2, []byte{0, 0, 0, 0, 0, 0, 1, byte(g.rand.IntN(3))})
		for range g.rand.IntN(3) {
			l.bytes(4, g.attribute())
		}
		m.bytes(13, l)
	}
}

// eventTime is near the span's start: after it, before it, or as far as can be.
func (g *Generator) eventTime(start uint64) uint64 {
	switch g.rand.IntN(12) {
	case 0:
		return math.MaxUint64
	case 1, 2, 3:
		return start - uint64(g.rand.IntN(1000))
	}
	return start + uint64(g.rand.IntN(1000))
}

func (g *Generator) status(m *message) {
	var status message
	switch g.rand.IntN(5) {
	case 0:
		return
	case 1: // there, and empty
	case 2:
		status.varint(3, span.StatusOK)
	default:
		status.text(2, pick(g, texts))
		status.varint(3, span.StatusError)
	}
	m.bytes(15, status)
}

func (g *Generator) envelope(s *Span) {
	if s.hasResource = g.rand.IntN(12) > 0; s.hasResource {
		if g.rand.IntN(12) > 0 {
			s.resource.bytes(1, keyValue("service.name", anyText(pick(g, services))))
		}
		if g.rand.IntN(3) == 0 {
			s.resource.bytes(1, keyValue("zone", anyText(pick(g, texts[:4]))))
		}
		if g.rand.IntN(6) == 0 {
			s.resource.bytes(1, g.attribute())
		}
	}
	if g.rand.IntN(6) == 0 {
		s.resourceURL = "https://example.org/1.2"
	}
	if s.hasScope = g.rand.IntN(4) > 0; s.hasScope {
		s.scope.text(1, pick(g, []string{"", "lib", "other"}))
		if g.rand.IntN(2) == 0 {
			s.scope.text(2, pick(g, []string{"1.0", "2"}))
		}
		if g.rand.IntN(6) == 0 {
			s.scope.bytes(3, g.attribute())
		}
	}
	if g.rand.IntN(8) == 0 {
		s.scopeURL = "https://example.org/1.3"
	}
}

func (g *Generator) attribute() message {
	key := pick(g, keys)
	if g.rand.IntN(25) == 0 {
		key = fmt.Sprintf("rare.%d", g.rand.IntN(30))
	}
	if g.rand.IntN(30) == 0 {
		return keyValue(key, nil)
	}
	if g.rand.IntN(30) == 0 { // two members, of which the last counts; fields from the future
		v := append(g.value(0), g.value(1)...)
		if g.rand.IntN(2) == 0 {
			v.text(100, "future")
			return keyValue(key, v)
		}
		odd := keyValue(key, v)
		odd.text(100, "future")
		return odd
	}
	return keyValue(key, g.value(3))
}

// value is an AnyValue, nested at most depth deep.
func (g *Generator) value(depth int) message {
	kinds := 9
	if depth == 0 {
		kinds = 7
	}
	switch g.rand.IntN(kinds) {
	case 0, 1:
		return anyText(pick(g, texts))
	case 2:
		return anyInt(pick(g, []int64{0, 1, 2, 500, -1, 1<<53 + 1, math.MaxInt64, math.MinInt64}))
	case 3:
		return anyBool(g.rand.IntN(2) == 0)
	case 4:
		return anyDouble(pick(g, []float64{0, math.Copysign(0, -1), 2, 2.5, 500, 1 << 53, 1 << 63, 1e300, math.Inf(1), math.NaN()}))
	case 5:
		return anyBytes([]byte(pick(g, texts)))
	case 6:
		return message{} // an AnyValue with nothing in it
	case 7:
		return anyArray(g.value(depth-1), g.value(depth-1))
	}
	return anyMap(keyValue(pick(g, keys), g.value(depth-1)), keyValue(pick(g, keys), g.value(depth-1)))
}

// Payload makes one OTLP request of the spans. Neighbours of one envelope share it.
func Payload(spans []Span) []byte {
	var request, resourceSpans, scopeSpans message
	flushScope := func(s *Span) {
		if s.scopeURL != "" {
			scopeSpans.text(3, s.scopeURL)
		}
		resourceSpans.bytes(2, scopeSpans)
		scopeSpans = nil
	}
	flushResource := func(s *Span) {
		if s.resourceURL != "" {
			resourceSpans.text(3, s.resourceURL)
		}
		request.bytes(1, resourceSpans)
		resourceSpans = nil
	}
	for i := range spans {
		s := &spans[i]
		newResource := i == 0 || !s.sameResource(&spans[i-1])
		newScope := newResource || !s.sameScope(&spans[i-1])
		if i > 0 && newScope {
			flushScope(&spans[i-1])
		}
		if i > 0 && newResource {
			flushResource(&spans[i-1])
		}
		if newResource && s.hasResource {
			resourceSpans.bytes(1, s.resource)
		}
		if newScope && s.hasScope {
			scopeSpans.bytes(1, s.scope)
		}
		scopeSpans.bytes(2, s.span)
	}
	if len(spans) > 0 {
		flushScope(&spans[len(spans)-1])
		flushResource(&spans[len(spans)-1])
	}
	return request
}

func (s *Span) sameResource(o *Span) bool {
	return s.hasResource == o.hasResource && string(s.resource) == string(o.resource) && s.resourceURL == o.resourceURL
}

func (s *Span) sameScope(o *Span) bool {
	return s.hasScope == o.hasScope && string(s.scope) == string(o.scope) && s.scopeURL == o.scopeURL
}
