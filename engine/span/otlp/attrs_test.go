package otlp_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// writtenOf gives a batch with the same rows, their attributes written; ok is false where AnswerAttrs
// refuses one of them.
func writtenOf(b *span.Batch) (_ *span.Batch, ok bool) {
	w, writer := *b, otlp.AnswerAttrs{}
	w.Attrs, w.AttrIDs, w.AttrEnds = nil, nil, nil
	w.WrittenEnds = make([]uint32, b.Len())
	for i, r := range rowsOf(b) {
		for _, a := range r.AppendAttrs(nil) {
			before := len(w.Written)
			key, ok := writer.AppendKey(nil, b.Bytes(a.Key))
			if !ok {
				return nil, false
			}
			number, text := a.Value, []byte(nil)
			if a.Type.HasText() {
				number, text = 0, b.Bytes(span.TextID(a.Value))
			}
			if w.Written, ok = writer.AppendAttr(w.Written, key, a.Type, number, text); !ok {
				if len(w.Written) != before {
					panic("what is refused was appended")
				}
				return nil, false
			}
		}
		w.WrittenEnds[i] = uint32(len(w.Written))
	}
	return &w, true
}

// chunksOf gives the messages of rows one after another, each behind its length.
func chunksOf(t failer, e *otlp.Encoder, rows []span.Row) (out []byte) {
	t.Helper()
	e.Reset(func(chunk []byte) error {
		out = append(fmt.Appendf(out, "%d:", len(chunk)), chunk...)
		return nil
	})
	for _, r := range rows {
		if err := e.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	return out
}

// answersAlike checks that rows with written attributes are answered byte for byte as those with
// lists, and come out exactly; it gives whether they can be written.
func answersAlike(t failer, b *span.Batch) bool {
	t.Helper()
	w, ok := writtenOf(b)
	if !ok {
		return false
	}
	rows, written := rowsOf(b), rowsOf(w)
	if !bytes.Equal(chunksOf(t, new(otlp.Encoder), rows), chunksOf(t, new(otlp.Encoder), written)) {
		t.Fatalf("rows with written attributes are answered in other bytes")
	}
	if !bytes.Equal(otlp.AppendTraces(nil, rows), otlp.AppendTraces(nil, written)) {
		t.Fatalf("rows with written attributes come out as others")
	}
	return true
}

// alone gives a batch of one row each.
func alone(t *testing.T, b *span.Batch) (list []*span.Batch) {
	t.Helper()
	for _, r := range rowsOf(b) {
		list = append(list, batchOf(t, otlp.AppendTraces(nil, []span.Row{r})))
	}
	return list
}

// TestWrittenAttributesAreAnsweredInTheSameBytes: of rows with everything odd, of giants whose
// values and lists are cut, of spans that get warnings; each row alone, since one that is refused
// has all stand in lists.
func TestWrittenAttributesAreAnsweredInTheSameBytes(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 0))
	mib := stringValue(strings.Repeat("m", 1<<20))
	var many []byte
	for i := range 40_000 {
		many = append(many, attr(fmt.Sprint("k", i%7), intValue(int64(i)))...)
	}
	times := msg(fixed64Field(7, 10), fixed64Field(8, 9))
	cases := map[string][]byte{
		"repeating":            repeating(random, 300),
		"giants":               request(spanOf(attr("a", mib), attr("b", mib), attr("c", mib), attr("d", mib), attr("e", stringValue("é")))),
		"many beside a giant":  request(spanOf(many, bytesField(11, textField(2, strings.Repeat("e", 4<<20))))),
		"end before start":     request(spanOf(times, attr("a", intValue(1))), spanOf(times)),
		"with warnings before": request(spanOf(times, attr("a", intValue(1)), attr(otlp.WarningsKey, arrayValue(stringValue("old"))), attr("b", intValue(1)))),
		"warnings of a type":   request(spanOf(times, attr(otlp.WarningsKey, stringValue("old")))),
		"cut envelopes":        enveloped(msg(resourceAttr("a", mib), resourceAttr("b", mib), resourceAttr("c", mib)), scopeAttr("a", mib), 2, 1),
		"lists":                request(spanOf(attr("a", arrayValue(mapValue(keyValue("k", intValue(1)), keyValue("", nil))))), spanOf(attr("a", mapValue())), spanOf(attr("", arrayValue()))),
	}
	for name, raw := range oddCases {
		cases["odd: "+name] = raw
	}
	written, refused := 0, 0
	for name, raw := range cases {
		t.Run(name, func(t *testing.T) {
			b, _, err := otlp.Walk(raw)
			if err != nil {
				return
			}
			answersAlike(t, b)
			for _, one := range alone(t, b) {
				if answersAlike(t, one) {
					written++
				} else {
					refused++
				}
			}
		})
	}
	if written < 200 || refused < 20 {
		t.Errorf("%d rows could be written, %d not", written, refused)
	}
}

// TestAttributesThatDependOnMoreAreRefused, and those that would not come back.
func TestAttributesThatDependOnMoreAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		key, value []byte
		want       bool
	}{
		"text":                   {[]byte("k"), stringValue("v"), true},
		"empty text":             {[]byte("k"), stringValue(""), true},
		"text of 120 bytes":      {[]byte("k"), stringValue(strings.Repeat("v", 120)), true},
		"text of a MiB":          {[]byte("k"), stringValue(strings.Repeat("v", 1<<20)), true},
		"text that is no UTF-8":  {[]byte("k"), stringValue("\xff"), false},
		"key that is no UTF-8":   {[]byte("\xff"), stringValue("v"), false},
		"number":                 {[]byte("k"), intValue(-1), true},
		"bytes":                  {[]byte("k"), bytesValue("\xff"), true},
		"no value":               {[]byte("k"), nil, true},
		"list":                   {[]byte("k"), arrayValue(stringValue("v")), true},
		"list with odd text":     {[]byte("k"), arrayValue(stringValue("\xff")), false},
		"list with more":         {[]byte("k"), bytesField(5, textField(9, "unknown")), false},
		"map":                    {[]byte("k"), mapValue(keyValue("k", intValue(1))), true},
		"map with odd keys":      {[]byte("k"), mapValue(keyValue("\xff", intValue(1))), false},
		"value with more":        {[]byte("k"), msg(stringValue("v"), textField(9, "unknown")), false},
		"value with two members": {[]byte("k"), msg(stringValue("v"), intValue(1)), true}, // the last one counts
	} {
		t.Run(name, func(t *testing.T) {
			kv := textField(1, string(c.key))
			if c.value != nil {
				kv = append(kv, bytesField(2, c.value)...)
			}
			b := batchOf(t, request(spanOf(bytesField(9, kv))))
			if got := answersAlike(t, b); got != c.want {
				t.Errorf("written: %v, want %v", got, c.want)
			}
		})
	}
	deep := bytesField(1, stringValue("v"))
	for range otlp.DepthMax - 1 {
		deep = bytesField(1, bytesField(5, deep))
	}
	if !writes(span.ArrayValue, 0, deep) || !writes(span.BoolValue, 1, nil) || !writes(span.BytesValue, 0, make([]byte, otlp.ValueBytesMax)) {
		t.Error("what is within the limits is refused")
	}
	for name, written := range map[string]bool{
		"a text that is too long": writes(span.StringValue, 0, make([]byte, otlp.ValueBytesMax+1)),
		"bytes that are too long": writes(span.BytesValue, 0, make([]byte, otlp.ValueBytesMax+1)),
		"a list that is too long": writes(span.ArrayValue, 0, bytesField(1, stringValue(strings.Repeat("v", otlp.ValueBytesMax)))),
		"a list that is too deep": writes(span.ArrayValue, 0, bytesField(1, bytesField(5, deep))),
		"a broken list":           writes(span.ArrayValue, 0, []byte{10, 9}),
		"a boolean of two":        writes(span.BoolValue, 2, nil),
		"a raw value":             writes(span.RawValue, 0, intValue(1)),
		"a raw attribute":         writes(span.RawAttribute, 0, keyValue("k", nil)),
	} {
		if written {
			t.Errorf("%s is written", name)
		}
	}
	if _, ok := (otlp.AnswerAttrs{}).AppendKey(nil, make([]byte, otlp.KeyBytesMax+1)); ok {
		t.Error("a key that is too long is written")
	}
}

func writes(kind span.ValueType, number uint64, text []byte) bool {
	_, ok := otlp.AnswerAttrs{}.AppendAttr(nil, nil, kind, number, text)
	return ok
}

// TestMarksNameEnvelopes: rows whose resources and scopes have marks are answered as those without,
// over many answers of one encoder, in which batches take turns.
func TestMarksNameEnvelopes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 0))
	again := new(otlp.Encoder)
	var batches, marked []*span.Batch
	for i := range 12 {
		var raw []byte
		for k := range 1 + random.IntN(70) {
			raw = append(raw, enveloped(resourceAttr("k", intValue(int64(k%60+i%3))), scopeAttr("s", stringValue(strings.Repeat("x", random.IntN(3)*300_000))), 1, 1+random.IntN(3))...)
		}
		b := batchOf(t, raw)
		m := *b
		for at := range b.Resources {
			m.ResourceMarks = append(m.ResourceMarks, uint64(i)<<32|uint64(at))
		}
		for at := range b.Scopes {
			m.ScopeMarks = append(m.ScopeMarks, uint64(i)<<32|uint64(at))
		}
		batches, marked = append(batches, b), append(marked, &m)
	}
	for range 40 {
		var rows, of []span.Row
		for range 1 + random.IntN(300) {
			i := random.IntN(1 + random.IntN(len(batches)))
			pos := random.IntN(batches[i].Len())
			rows, of = append(rows, span.Row{Batch: batches[i], Pos: pos}), append(of, span.Row{Batch: marked[i], Pos: pos})
		}
		if !bytes.Equal(chunksOf(t, new(otlp.Encoder), rows), chunksOf(t, again, of)) {
			t.Fatal("rows with marks are answered in other bytes")
		}
		if n := again.MemoryBytes(); n > 40<<20 {
			t.Fatalf("%d bytes", n)
		}
	}
}
