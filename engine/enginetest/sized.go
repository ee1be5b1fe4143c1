package enginetest

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/stoadb/stoa/engine/span"
)

// Sized is a span of which only the key and the size matter. Two of one trace and start have one
// key; their texts, and so their ties, differ by Copy.
type Sized struct {
	Trace int    // numbers the trace and the span, from 0
	Copy  int    // of those with one key
	At    uint64 // nanoseconds after the first start
	Bytes int    // of its attributes, up to a MiB each, which do not compress well
}

// ID is the trace of the span.
func (s Sized) ID() (id span.TraceID) {
	binary.BigEndian.PutUint64(id[:], 88)
	binary.BigEndian.PutUint64(id[8:], uint64(s.Trace)+1)
	return id
}

// SizedPayload is a request of such spans.
func SizedPayload(list ...Sized) []byte {
	spans := make([]Span, len(list))
	for i, one := range list {
		s := Span{hasResource: true}
		s.resource.bytes(1, keyValue("service.name", anyText("sized")))
		id := one.ID()
		s.span.bytes(1, id[:])
		s.span.bytes(2, id[8:])
		s.span.text(5, "sized")
		s.span.fixed64(7, baseTime+one.At)
		s.span.fixed64(8, baseTime+one.At+500)
		text, random := make([]byte, one.Bytes), rand.New(rand.NewPCG(uint64(one.Trace), uint64(one.Copy)))
		for j := range text {
			text[j] = ' ' + byte(random.IntN(90))
		}
		for len(text) > 0 {
			n := min(len(text), 1<<20)
			s.span.bytes(9, keyValue("text", anyText(string(text[:n]))))
			text = text[n:]
		}
		spans[i] = s
	}
	return Payload(spans)
}
