package enginetest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/stoadb/stoa/engine/span"
)

// Numbered is a request of one plain span named "span <i>", in a trace of its own.
func Numbered(i int) []byte { return NumberedAt(i, i) }

// NumberedAt is Numbered with the start of span at.
func NumberedAt(i, at int) []byte {
	s := Span{hasResource: true}
	s.resource.bytes(1, keyValue("service.name", anyText("numbered")))
	id := []byte(fmt.Sprintf("%016d", i))
	s.span.bytes(1, id)
	s.span.bytes(2, id[8:])
	s.span.text(5, fmt.Sprintf("span %d", i))
	s.span.fixed64(7, baseTime+uint64(at)*1_000_000)
	s.span.fixed64(8, baseTime+uint64(at)*1_000_000+500)
	return Payload([]Span{s})
}

// Wide is Numbered with a text of 200 KB that takes half of that packed.
func Wide(i int) []byte {
	s := Span{hasResource: true}
	s.resource.bytes(1, keyValue("service.name", anyText("wide")))
	id := []byte(fmt.Sprintf("%016d", i))
	s.span.bytes(1, id)
	s.span.bytes(2, id[8:])
	s.span.text(5, "wide")
	s.span.fixed64(7, baseTime+uint64(i)*1_000_000)
	s.span.fixed64(8, baseTime+uint64(i)*1_000_000+500)
	random := rand.New(rand.NewPCG(uint64(i), 9))
	half := make([]byte, 50_000)
	for at := range half {
		half[at] = byte(random.Uint32())
	}
	text := hex.EncodeToString(half)
	s.span.bytes(9, keyValue("text", anyText(text+text)))
	return Payload([]Span{s})
}

// Varied is a request of n spans whose values are too many for templates, and whose keys are
// too many for columns: each has "own" twice, as text i and then i+1, an int "number" i, a
// key of its own, and an event that says the number as text.
func Varied(n int) []byte {
	spans := make([]Span, n)
	for i := range spans {
		s := Span{hasResource: true}
		s.resource.bytes(1, keyValue("service.name", anyText("varied")))
		s.span.bytes(1, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 77), uint64(i/4+1)))
		s.span.bytes(2, binary.BigEndian.AppendUint64(nil, uint64(i+1)))
		s.span.text(5, "varied")
		s.span.fixed64(7, baseTime+uint64(i)*1000)
		s.span.fixed64(8, baseTime+uint64(i)*1500)
		for _, pair := range []message{
			keyValue("own", anyText(fmt.Sprint("value ", i))), keyValue("own", anyText(fmt.Sprint("value ", i+1))),
			keyValue("number", anyInt(int64(i))), keyValue(fmt.Sprint("key ", i), anyText("here")),
		} {
			s.span.bytes(9, pair)
		}
		var event message
		event.text(2, "said")
		event.bytes(3, keyValue("text", anyText(fmt.Sprint("it was ", i))))
		s.span.bytes(11, event)
		spans[i] = s
	}
	return Payload(spans)
}

// Wrapping is two spans, of traces 1 and 2. The first starts a nanosecond before the end of
// time and ends a second later, which wraps: its duration is 0. The second lasts a second.
func Wrapping() []byte {
	spans := make([]Span, 2)
	for i, start := range []uint64{math.MaxUint64 - 1, baseTime} {
		s := &spans[i].span
		s.bytes(1, binary.BigEndian.AppendUint64(make([]byte, 8), uint64(i+1)))
		s.bytes(2, binary.BigEndian.AppendUint64(nil, uint64(i+1)))
		s.fixed64(7, start)
		s.fixed64(8, start+1_000_000_000)
	}
	return Payload(spans)
}

// LongTraceID is the trace of Long.
var LongTraceID = span.TraceID{15: 42}

// Long is a request of n spans of one trace, numbered from the first, of about 700 bytes
// each; no two Longs of different numbers share a span. Three services take turns.
func Long(first, n int) []byte {
	spans := make([]Span, n)
	for i := range spans {
		s := Span{TraceID: LongTraceID, hasResource: true}
		s.resource.bytes(1, keyValue("service.name", anyText(fmt.Sprintf("long %d", (first+i)%3))))
		s.span.bytes(1, LongTraceID[:])
		s.span.bytes(2, binary.BigEndian.AppendUint64(nil, uint64(first+i+1)))
		s.span.text(5, "step")
		s.span.fixed64(7, baseTime+uint64(first+i)*1000)
		s.span.fixed64(8, baseTime+uint64(first+i)*1000+500)
		s.span.bytes(9, keyValue("text", anyText(strings.Repeat(fmt.Sprintf("%d ", first+i), 100))))
		spans[i] = s
	}
	return Payload(spans)
}

// Telling is a request of one span that has something on every level: what a test of
// tags asks for by name.
func Telling() []byte {
	s := Span{hasResource: true, hasScope: true}
	attr := func(m *message, field int, key string, value message) { m.bytes(field, keyValue(key, value)) }
	attr(&s.resource, 1, "service.name", anyText("shop"))
	attr(&s.resource, 1, "zone", anyText("eu"))
	s.scope.text(1, "tracer")
	s.scope.text(2, "1.2")
	attr(&s.scope, 3, "built", anyBool(true))
	m := &s.span
	m.bytes(1, append(make([]byte, 15), 7))
	m.bytes(2, append(make([]byte, 7), 7))
	m.text(3, "vendor=1")
	m.text(5, "buy")
	m.varint(6, span.KindServer)
	m.fixed64(7, baseTime)
	m.fixed64(8, baseTime+2_000_000)
	attr(m, 9, "http.status_code", anyInt(500))
	attr(m, 9, "twice", anyText("first"))
	attr(m, 9, "twice", anyText("last"))
	attr(m, 9, "ratio", anyDouble(2.5))
	attr(m, 9, "whole", anyDouble(3))
	attr(m, 9, "raw", anyBytes([]byte{1, 2, 3}))
	attr(m, 9, "list", anyArray(anyInt(1), anyText("a")))
	attr(m, 9, "empty", anyText(""))
	attr(m, 9, "flag", anyBool(false))
	attr(m, 9, "scope.name", anyText("a real attribute"))
	var first, second message
	first.fixed64(1, baseTime)
	first.text(2, "exception")
	attr(&first, 3, "exception.type", anyText("Timeout"))
	second.text(2, "retry")
	attr(&second, 3, "attempt", anyInt(2))
	m.bytes(11, first)
	m.bytes(11, second)
	var link message
	link.bytes(1, append(make([]byte, 15), 9))
	link.bytes(2, append(make([]byte, 7), 9))
	attr(&link, 4, "why", anyText("batch"))
	m.bytes(13, link)
	var status message
	status.text(2, "card refused")
	status.varint(3, span.StatusError)
	m.bytes(15, status)
	return Payload([]Span{s})
}
