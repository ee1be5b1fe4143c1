package enginetest

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/stoadb/stoa/engine/span"
)

// Mix says what a load has so much of that a segment of it takes another form.
type Mix int

// The loads. Each has a little of everything besides.
const (
	MixPlain  Mix = iota
	MixNames      // names and lists of keys without end: row groups have templates of their own
	MixKeys       // more keys than columns: the rest in map columns
	MixLong       // names so long that terms do not pay: none are written
	MixValues     // so many values that no column keeps filters
	MixFew        // few templates, and values that stand with some of them: standing terms
	MixAll        // all of these, but for the few
	Mixes
)

// longText are texts that differ only where terms and templates have long stopped to look.
func (g *Generator) longText() string {
	return strings.Repeat("long ", 51) + fmt.Sprint("end ", g.rand.IntN(3)) + strings.Repeat("x", g.rand.IntN(2)*300)
}

// longName gives the name of a number: one that no compressor makes short.
func longName(number int) string {
	random := rand.New(rand.NewPCG(uint64(number), 0))
	name := fmt.Sprint("name ", number)
	for len(name) < 400 {
		name += fmt.Sprintf(" %x", random.Uint64())
	}
	return name
}

// Mixed makes n spans of a load.
func (g *Generator) Mixed(mix Mix, n int) []Span {
	all := make([]Span, n)
	for i := range all {
		if mix == MixFew {
			all[i] = g.few()
			continue
		}
		s := g.span()
		g.varied(&s.span)
		if mix == MixNames || mix == MixAll {
			s.span.text(5, fmt.Sprint("name ", g.rand.IntN(2*n)))
			var e message
			e.text(2, fmt.Sprint("event ", g.rand.IntN(2*n)))
			e.bytes(3, keyValue("message", anyText(pick(g, texts))))
			s.span.bytes(11, e)
		}
		if mix == MixLong || mix == MixAll {
			s.span.text(5, longName(g.rand.IntN(2*n)))
		}
		if mix == MixValues || mix == MixAll && i%16 == 0 {
			for key := range 300 {
				s.span.bytes(9, keyValue(fmt.Sprint("wide.", key), anyText(fmt.Sprint(g.rand.IntN(1<<20)))))
			}
		}
		all[i] = s
	}
	if mix == MixKeys || mix == MixAll {
		for key := range 4200 {
			all[0].span.bytes(9, keyValue(fmt.Sprint("key.", key), anyInt(int64(key%7))))
		}
	}
	return all
}

// few makes a span of one of 140 operations, each of one of seven services, with four zones of forty:
// with these there are too many templates, so that zones stand with the rows, each with few operations.
func (g *Generator) few() Span {
	s := Span{TraceID: pick(g, g.traces), hasResource: true}
	operation := g.rand.IntN(140)
	s.resource.bytes(1, keyValue("service.name", anyText(fmt.Sprint("few ", operation%7))))
	var id span.SpanID
	for i := range id {
		id[i] = byte(1 + g.rand.IntN(255))
	}
	s.span.bytes(1, s.TraceID[:])
	s.span.bytes(2, id[:])
	s.span.text(5, fmt.Sprint("operation ", operation))
	s.span.varint(6, span.KindServer)
	start := baseTime + uint64(g.rand.IntN(1<<30))
	s.span.fixed64(7, start)
	s.span.fixed64(8, start+uint64(g.rand.IntN(1<<20)))
	s.span.bytes(9, keyValue("k", anyInt(int64(operation%3))))
	s.span.bytes(9, keyValue("zone", anyText(fmt.Sprint("zone ", (operation*7+g.rand.IntN(4)*9)%40))))
	s.span.bytes(9, keyValue("message", anyText(fmt.Sprint("user ", g.rand.IntN(900)))))
	return s
}

// varied adds what stands in columns of its own: identifiers, numbers, long texts; and keys
// that stand twice, with values of several types, of which the last counts.
func (g *Generator) varied(m *message) {
	m.bytes(9, keyValue("order", anyText(fmt.Sprintf("%08x", g.rand.IntN(1<<10)))))
	m.bytes(9, keyValue("bytes", anyInt(int64(g.rand.IntN(500)-100))))
	if g.rand.IntN(3) == 0 {
		m.bytes(9, keyValue("digits", anyText(fmt.Sprint(g.rand.IntN(300)))))
	}
	if g.rand.IntN(4) == 0 {
		m.bytes(9, keyValue("ratio", anyDouble(float64(g.rand.IntN(64))/4)))
	}
	if g.rand.IntN(6) == 0 {
		m.bytes(9, keyValue("text", anyText(g.longText())))
	}
	if g.rand.IntN(12) == 0 {
		m.text(3, g.longText())
	}
	if g.rand.IntN(12) == 0 {
		var status message
		status.text(2, g.longText())
		status.varint(3, span.StatusError)
		m.bytes(15, status)
	}
	for range g.rand.IntN(3) {
		key := pick(g, []string{"order", "bytes", "k", "digits", fmt.Sprint("key.", g.rand.IntN(4200))})
		m.bytes(9, keyValue(key, g.value(1)))
		m.bytes(9, keyValue(key, pick(g, []message{anyText("7"), anyInt(7), anyDouble(7), anyBool(true), anyText(g.longText())})))
	}
	var e message
	e.text(2, "exception")
	e.bytes(3, keyValue("order", anyText(fmt.Sprintf("%08x", g.rand.IntN(1<<10)))))
	e.bytes(3, keyValue(fmt.Sprint("key.", g.rand.IntN(4200)), g.value(1)))
	if g.rand.IntN(4) == 0 {
		m.bytes(11, e)
	}
	if g.rand.IntN(8) == 0 {
		var l message
		other := pick(g, g.traces)
		l.bytes(1, other[:])
		l.bytes(2, []byte{0, 0, 0, 0, 0, 0, 1, 1})
		l.bytes(4, keyValue("bytes", anyInt(int64(g.rand.IntN(500)))))
		m.bytes(13, l)
	}
}

// MixedQuery is Query with values that are nearly there.
func (g *Generator) MixedQuery(m *Model) span.Query {
	q := g.Query(m)
	if len(q.Tags) == 0 && g.rand.IntN(3) > 0 {
		q.Tags = append(q.Tags, span.Tag{Key: "order", Value: fmt.Sprintf("%08x", g.rand.IntN(1<<10))})
	}
	for i := range q.Tags {
		t := &q.Tags[i]
		switch g.rand.IntN(24) {
		case 0:
			t.Value += "x"
		case 1:
			t.Value = t.Value[:max(len(t.Value), 1)-1]
		case 2:
			t.Value = t.Value[:min(len(t.Value), 256)]
		case 3:
			t.Value = "0" + t.Value
		case 4:
			t.Value = g.longText()
		case 5:
			t.Value = "7"
		case 6:
			t.Key = fmt.Sprint("key.", g.rand.IntN(4400))
		}
	}
	return q
}
