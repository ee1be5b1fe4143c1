package otlp_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// repeating are spans of a trace whose attributes repeat in every way that tells them apart: keys,
// values, types of equal bits, lengths beyond what is remembered, and giants between them that
// are written several times until they fit.
func repeating(random *rand.Rand, n int) []byte {
	var spans [][]byte
	for i := range n {
		var attrs []byte
		for range random.IntN(8) {
			key := fmt.Sprint("k", random.IntN(4))
			value := msg(varintField(2, uint64(random.IntN(2))))
			switch random.IntN(6) {
			case 0:
				value = stringValue(fmt.Sprint("v", random.IntN(3)))
			case 1:
				value = msg(varintField(3, uint64(random.IntN(2))))
			case 2:
				value = stringValue("\xffbroken")
			case 3:
				value = stringValue(strings.Repeat(fmt.Sprint(random.IntN(2)), 70_000))
			case 4:
				value = nil
			}
			attrs = append(attrs, attr(key, value)...)
		}
		if i%30 == 0 { // what stands between the two moves with each try
			giant := attr("giant", stringValue(strings.Repeat("g", otlp.ValueBytesMax)))
			attrs = msg(giant, attrs, giant, giant, giant)
		}
		spans = append(spans, spanOf(textField(5, fmt.Sprint(i)), attrs, bytesField(11, textField(2, "e"), bytesField(3, keyValue("k1", stringValue("v1"))))))
	}
	return request(spans...)
}

// TestAttributesStandAsIfWrittenAlone: a span among others is given out as it is alone, whatever
// stood before it, in rows of several batches that take turns.
func TestAttributesStandAsIfWrittenAlone(t *testing.T) {
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 0))
		one, two := rowsOf(batchOf(t, repeating(random, 120))), rowsOf(batchOf(t, repeating(random, 120)))
		var rows []span.Row
		for len(one)+len(two) > 0 {
			from := &one
			if len(one) == 0 || len(two) > 0 && random.IntN(2) == 0 {
				from = &two
			}
			n := min(len(*from), 1+random.IntN(9))
			rows, *from = append(rows, (*from)[:n]...), (*from)[n:]
		}
		chunks := encoded(t, rows)
		if got := spansIn(chunks...); len(got) == len(rows) && len(chunks) > 3 {
			for i, r := range rows {
				if want := spansIn(encoded(t, []span.Row{r})...)[0]; !proto.Equal(got[i], want) {
					t.Fatalf("seed %d: span %d of %d among others is not what it is alone:\n%.2000v\n%.2000v", seed, i, len(rows), got[i], want)
				}
			}
		} else {
			t.Fatalf("%d of %d spans in %d chunks", len(got), len(rows), len(chunks))
		}
	}
}

// TestAnEncoderIsUsedAgain: what it remembers of an answer is not taken for the next one's, where
// numbers of texts mean others.
func TestAnEncoderIsUsedAgain(t *testing.T) {
	var got []byte
	e := otlp.NewEncoder(func(chunk []byte) error { got = append(got[:0], chunk...); return nil })
	for i := range 4 {
		b := batchOf(t, request(spanOf(attr("k", stringValue(fmt.Sprint("v", i)))), spanOf(attr("k", stringValue(fmt.Sprint("v", i))))))
		for _, r := range rowsOf(b) {
			if err := e.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(got), fmt.Sprint("v", i)); n != 2 {
			t.Errorf("answer %d has its value %d times", i, n)
		}
		*b = span.Batch{} // its memory is another's now
		e.Reset(func(chunk []byte) error { got = append(got[:0], chunk...); return nil })
	}
}

// TestAnEncoderKnowsEnvelopesByTheirContent: what it keeps of one answer is in the next one where
// that has the same, and nowhere else; giants are not kept.
func TestAnEncoderKnowsEnvelopesByTheirContent(t *testing.T) {
	mib := stringValue(strings.Repeat("m", 1<<20))
	var got []byte
	yield := func(chunk []byte) error { got = append(got, chunk...); return nil }
	answer := func(e *otlp.Encoder, raw []byte) []byte {
		got = nil
		e.Reset(yield)
		for _, r := range rowsOf(batchOf(t, raw)) {
			if err := e.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
		return got
	}
	scope := bytesField(2, bytesField(1, textField(1, "s")), bytesField(2, ids))
	again := new(otlp.Encoder)
	for range 2 {
		for i, raw := range [][]byte{
			enveloped(resourceAttr("k", stringValue("a")), nil, 2, 1),
			enveloped(resourceAttr("k", stringValue("b")), nil, 2, 1),
			enveloped(resourceAttr("k", stringValue("\xff")), nil, 2, 1),
			bytesField(1, bytesField(1, resourceAttr("k", stringValue("a"))), scope, textField(3, "a schema")),
			bytesField(1, scope),
			bytesField(1, bytesField(1), scope),
			enveloped(nil, scopeAttr("\xffk", stringValue("v")), 2, 1),
			enveloped(scopeAttr("\xffk", stringValue("v")), nil, 2, 1), // an entity of a resource
			enveloped(msg(resourceAttr("a", mib), resourceAttr("b", mib), resourceAttr("c", mib)), scopeAttr("a", mib), 2, 1),
			enveloped(msg(resourceAttr("a", mib), resourceAttr("b", mib), resourceAttr("c", mib)), nil, 2, 1),
		} {
			before := strings.Clone(string(answer(new(otlp.Encoder), raw)))
			if string(answer(again, raw)) != before {
				t.Errorf("answer %d of an encoder used again is another than that of a new one", i)
			}
		}
	}
	again.Reset(nil)
	if n := again.MemoryBytes(); n > 9<<20 {
		t.Errorf("%d bytes are kept", n)
	}
}

// TestAnEncoderCountsWhatItNotesOfEnvelopes: what one answer's many resources took stays its own,
// but for those of a giant.
func TestAnEncoderCountsWhatItNotesOfEnvelopes(t *testing.T) {
	bytesAfter := func(resources int) int {
		var raw []byte
		for i := range resources {
			raw = append(raw, enveloped(resourceAttr("k", intValue(int64(i))), nil, 1, 1)...)
		}
		yield := func([]byte) error { return nil }
		e := otlp.NewEncoder(yield)
		for _, r := range rowsOf(batchOf(t, raw)) {
			if err := e.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
		before := e.MemoryBytes()
		e.Reset(yield)
		if after := e.MemoryBytes(); after != before {
			t.Errorf("%d bytes after %d resources, %d once reset", before, resources, after)
		}
		return e.MemoryBytes()
	}
	few, many, giant := bytesAfter(1), bytesAfter(1000), bytesAfter(20_000)
	if many < few+1000*(64+2*120) { // an entry of the maps, a resource and a scope to be put together
		t.Errorf("%d bytes after 1,000 resources, %d after one", many, few)
	}
	if most := 20 << 20; giant > most {
		t.Errorf("%d bytes after 20,000 resources, more than %d", giant, most)
	}
	if otlp.NewEncoder(nil).MemoryBytes() != 0 {
		t.Error("a new encoder holds something")
	}
}

// TestAttributesOfNothing: an attribute whose numbers are all 0 is not taken for a place that is
// not used yet.
func TestAttributesOfNothing(t *testing.T) {
	rows := rowsOf(batchOf(t, request(spanOf(bytesField(9)), spanOf(bytesField(9)), spanOf(bytesField(9, bytesField(2, varintField(3, math.MaxUint64)))))))
	for i, s := range spansIn(encoded(t, rows)...) {
		if len(s.Attributes) != 1 || (s.Attributes[0].Value == nil) == (i == 2) {
			t.Errorf("span %d: %v", i, s)
		}
	}
}
