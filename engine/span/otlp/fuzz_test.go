package otlp_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// FuzzCut feeds any bytes: no panic, protobuf's verdict, and everything in promises.
func FuzzCut(f *testing.F) {
	f.Add(small)
	for _, name := range sortedCases() {
		f.Add(oddCases[name])
	}
	f.Fuzz(func(t *testing.T, raw []byte) { promises(t, raw) })
}

// FuzzSpan puts any bytes behind the ids of a span and inside an attribute's value, where
// whole random requests seldom get.
func FuzzSpan(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add(attr("k", stringValue("x")), stringValue("x"))
	f.Add(bytesField(11, textField(2, "e")), arrayValue(mapValue(keyValue("k", intValue(1)))))
	f.Fuzz(func(t *testing.T, fields, value []byte) {
		promises(t, request(spanOf(fields)))
		promises(t, request(spanOf(attr("k", value))))
	})
}

// FuzzText asks for the text of any value: the same twice, and short for short values.
func FuzzText(f *testing.F) {
	f.Add(mapValue(keyValue("k", arrayValue(doubleBits(1<<62), bytesValue("\xff")))))
	f.Fuzz(func(t *testing.T, value []byte) {
		batch, _, err := otlp.Walk(request(spanOf(attr("k", value))))
		if err != nil {
			return
		}
		for _, a := range (span.Row{Batch: batch}).AppendAttrs(nil) {
			text := otlp.AppendText(nil, batch, a)
			if again := otlp.AppendText([]byte("x"), batch, a); !bytes.Equal(again[1:], text) {
				t.Fatalf("%q, then %q", text, again)
			}
			if len(text) > 64+16*len(value) {
				t.Fatalf("%d bytes of text for a value of %d", len(text), len(value))
			}
		}
	})
}

func sortedCases() []string {
	names := make([]string, 0, len(oddCases))
	for name := range oddCases {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
