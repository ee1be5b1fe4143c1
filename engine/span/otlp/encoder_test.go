package otlp_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// encoded gives the chunks that an Encoder makes of the rows, decoded.
func encoded(t *testing.T, rows []span.Row) []*tracev1.TracesData {
	t.Helper()
	var chunks []*tracev1.TracesData
	e := otlp.NewEncoder(func(chunk []byte) error {
		if len(chunk) == 0 || len(chunk) >= otlp.ChunkBytesMax {
			t.Errorf("a chunk of %d bytes", len(chunk))
		}
		data := &tracev1.TracesData{}
		if err := proto.Unmarshal(chunk, data); err != nil {
			t.Errorf("chunk %d: %v", len(chunks), err)
		}
		chunks = append(chunks, data)
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
	return chunks
}

func spansIn(chunks ...*tracev1.TracesData) (spans []*tracev1.Span) {
	for _, data := range chunks {
		for _, rs := range data.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				spans = append(spans, ss.Spans...)
			}
		}
	}
	return spans
}

func batchOf(t *testing.T, raw []byte) *span.Batch {
	t.Helper()
	batch, _, err := otlp.Walk(raw)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func TestOrdinarySpansAreGivenOutAsTheyCameIn(t *testing.T) {
	batch := batchOf(t, small)
	row := rowsOf(batch)
	got := encoded(t, row)
	var want tracev1.TracesData
	if err := proto.Unmarshal(small, &want); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !proto.Equal(got[0], &want) {
		t.Errorf("got %v, want %v", got, &want)
	}
}

// TestRowsShareEnvelopes: all rows of an answer, and those in a row of an exact message, which
// keeps their order.
func TestRowsShareEnvelopes(t *testing.T) {
	resource := func(name string, scopes ...[]byte) []byte {
		return bytesField(1, bytesField(1, bytesField(1, keyValue("service.name", stringValue(name)))), msg(scopes...))
	}
	scope := func(name string, spans int) []byte {
		return bytesField(2, bytesField(1, textField(1, name)), slices.Concat(slices.Repeat([][]byte{bytesField(2, ids)}, spans)...))
	}
	one := batchOf(t, msg(resource("a", scope("x", 2), scope("y", 1), scope("y", 1)), resource("b", scope("y", 1)), resource("b", scope("y", 1))))
	two := batchOf(t, msg(resource("b", scope("y", 1)), resource("a", scope("y", 1))))
	rows := append(rowsOf(one), rowsOf(two)...)
	var exact tracev1.TracesData
	if err := proto.Unmarshal(otlp.AppendTraces(nil, rows), &exact); err != nil {
		t.Fatal(err)
	}
	answer := encoded(t, rows)
	if len(answer) != 1 {
		t.Fatalf("%d chunks", len(answer))
	}
	for _, c := range []struct {
		data      *tracev1.TracesData
		groups    string
		resources int
	}{{answer[0], "[ax2 ay3 by3]", 2}, {&exact, "[ax2 ay2 by3 ay1]", 3}} {
		var got []string
		for _, rs := range c.data.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				got = append(got, fmt.Sprint(rs.Resource.Attributes[0].Value.GetStringValue(), ss.Scope.Name, len(ss.Spans)))
			}
		}
		if fmt.Sprint(got) != c.groups {
			t.Errorf("groups %v, want %s", got, c.groups)
		}
		if len(c.data.ResourceSpans) != c.resources {
			t.Errorf("%d resources, want %d", len(c.data.ResourceSpans), c.resources)
		}
	}
}

// TestAnAnswerDependsOnRowsNotOnBatches: also where envelopes differ only in whether an empty
// message was there.
func TestAnAnswerDependsOnRowsNotOnBatches(t *testing.T) {
	var whole, apart []span.Row
	var all []byte
	for i := range 60 {
		var resource, scope []byte
		switch i % 4 {
		case 1:
			resource = bytesField(1)
		case 2:
			resource = bytesField(1, resourceAttr("k", intValue(int64(i%3))))
		}
		if i%5 == 1 {
			scope = bytesField(1)
		}
		raw := bytesField(1, resource, bytesField(2, scope, bytesField(2, spanOf(textField(5, fmt.Sprint(i))))))
		all = append(all, raw...)
		apart = append(apart, rowsOf(batchOf(t, raw))...)
	}
	whole = rowsOf(batchOf(t, all))
	if got, want := encoded(t, apart), encoded(t, whole); len(got) != 1 || len(want) != 1 || !proto.Equal(got[0], want[0]) {
		t.Errorf("rows of 60 batches give\n%v\nof one\n%v", got, want)
	}
}

func TestChunksAreShortAndOfOneTrace(t *testing.T) {
	var raw [][]byte
	for i := range 9000 {
		s := spanOf(textField(5, fmt.Sprint(i)), attr("k", stringValue(strings.Repeat("x", 1000))))
		s[17] = byte(i / 8000)
		raw = append(raw, s)
	}
	chunks := encoded(t, rowsOf(batchOf(t, request(raw...))))
	if len(chunks) != 4 {
		t.Errorf("%d chunks, want three for 8 MB and one for 1 MB", len(chunks))
	}
	next := 0
	for _, data := range chunks {
		spans := spansIn(data)
		for _, s := range spans {
			if s.Name != fmt.Sprint(next) || s.TraceId[15] != spans[0].TraceId[15] {
				t.Fatalf("span %q of trace %x, want %d of %x", s.Name, s.TraceId, next, spans[0].TraceId)
			}
			next++
		}
		if len(data.ResourceSpans) != 1 || len(data.ResourceSpans[0].Resource.Attributes) != 1 {
			t.Error("a chunk without its resource")
		}
	}
	if next != len(raw) {
		t.Errorf("%d spans of %d", next, len(raw))
	}
}

func TestGiantSpansAreCutToFitAChunkAndSaySo(t *testing.T) {
	mib := strings.Repeat("m", 1<<20)
	many := func(n int, field []byte) []byte { return slices.Concat(slices.Repeat([][]byte{field}, n)...) }
	large := bytesField(1, bytesField(1, slices.Concat(slices.Repeat([][]byte{bytesField(1, keyValue("k", stringValue(mib)))}, 5)...), textField(9, mib)),
		textField(3, strings.Repeat(mib, 4)),
		bytesField(2, bytesField(1, textField(1, strings.Repeat(mib, 4)), textField(2, mib), many(90_000, bytesField(3, keyValue("key", intValue(5)))), bytesField(3, keyValue("j", bytesValue(mib)))),
			bytesField(2, spanOf(textField(5, "small")))))
	for name, c := range map[string]struct {
		raw   []byte
		check func(s *tracev1.Span) bool
	}{
		"five values": {request(spanOf(many(5, attr("k", stringValue(mib))))), func(s *tracev1.Span) bool {
			return len(s.Attributes) == 6 && len(s.Attributes[4].Value.GetStringValue()) == 256<<10
		}},
		"five bytes": {request(spanOf(many(5, attr("k", bytesValue(mib))))), func(s *tracev1.Span) bool { return len(s.Attributes) == 6 }},
		"five arrays": {request(spanOf(many(5, attr("k", arrayValue(stringValue(mib[:1<<20-100])))))), func(s *tracev1.Span) bool {
			return len(s.Attributes) == 6 && len(s.Attributes[0].Value.GetStringValue()) == 256<<10
		}},
		"name": {request(spanOf(textField(5, strings.Repeat(mib, 8)))), func(s *tracev1.Span) bool { return len(s.Name) == 256<<10 }},
		"a million links": {request(spanOf(many(1_000_000, bytesField(13, textField(2, spanID1))))), func(s *tracev1.Span) bool {
			return len(s.Links) > 1000 && len(s.Links)+int(s.DroppedLinksCount) == 1_000_000
		}},
		"a million attributes": {request(spanOf(many(1_000_000, attr("k", intValue(1))))), func(s *tracev1.Span) bool {
			return len(s.Attributes) > 1000 && len(s.Attributes)-1+int(s.DroppedAttributesCount) == 1_000_000
		}},
		"events":         {request(spanOf(many(500, bytesField(11, textField(2, "e"), many(600, bytesField(3, keyValue("k", stringValue("vvvv")))))))), func(s *tracev1.Span) bool { return len(s.Events) > 0 }},
		"unknown fields": {request(spanOf(textField(99, strings.Repeat(mib, 5)))), func(s *tracev1.Span) bool { return len(s.ProtoReflect().GetUnknown()) == 0 }},
		"not UTF-8":      {request(spanOf(textField(5, strings.Repeat("\xffa", 2<<20)))), func(s *tracev1.Span) bool { return len(s.Name) > 100 }},
		"its envelopes":  {large, func(s *tracev1.Span) bool { return s.Name == "small" }},
	} {
		t.Run(name, func(t *testing.T) {
			chunks := encoded(t, rowsOf(batchOf(t, c.raw)))
			spans := spansIn(chunks...)
			if len(chunks) != 1 || len(spans) != 1 || !c.check(spans[0]) {
				t.Fatalf("%d chunks, %d spans, or not as wanted", len(chunks), len(spans))
			}
			if got := warningsOf(spans[0]); len(got) != 1 || !strings.Contains(got[0], "cut") {
				t.Errorf("warnings %q", got)
			}
		})
	}
}

func warningsOf(s *tracev1.Span) (warnings []string) {
	for _, a := range s.Attributes {
		if a.Key == otlp.WarningsKey {
			for _, v := range a.Value.GetArrayValue().GetValues() {
				warnings = append(warnings, v.GetStringValue())
			}
		}
	}
	return warnings
}

func TestSpansThatEndBeforeTheyStartCarryAWarning(t *testing.T) {
	times := msg(fixed64Field(7, 10), fixed64Field(8, 9))
	for name, c := range map[string]struct {
		raw  []byte
		want int
	}{
		"end before start":     {spanOf(times), 1},
		"overflow":             {spanOf(fixed64Field(8, 1<<63)), 1},
		"equal":                {spanOf(fixed64Field(7, 10), fixed64Field(8, 10)), 0},
		"with warnings before": {spanOf(times, attr("a", intValue(1)), attr(otlp.WarningsKey, arrayValue(stringValue("old\xff"))), attr("b", intValue(1))), 2},
		"with another value":   {spanOf(times, attr(otlp.WarningsKey, stringValue("old"))), 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := spansIn(encoded(t, rowsOf(batchOf(t, request(c.raw))))...)[0]
			got := warningsOf(s)
			if len(got) != c.want || c.want > 0 && !strings.Contains(got[c.want-1], "before start") {
				t.Errorf("warnings %q", got)
			}
			if c.want == 2 && (got[0] != "old\uFFFD" || len(s.Attributes) != 3) {
				t.Errorf("warnings %q in %d attributes", got, len(s.Attributes))
			}
		})
	}
}

// TestOutputFormIsWhatStrictReadersTake: replaced text, no ids of odd length, no known
// field with another wire type, but fields that a newer reader may know.
func TestOutputFormIsWhatStrictReadersTake(t *testing.T) {
	s := spansIn(encoded(t, rowsOf(batchOf(t, oddCases["invalid UTF-8"])))...)[0]
	if s.Name != "a\uFFFDb" || s.Status.Message != "\uFFFD" || s.TraceState != "\uFFFD" || s.Events[0].Name != "\uFFFD" {
		t.Errorf("texts of %v", s)
	}
	list := s.Attributes[1].Value.GetArrayValue().GetValues()
	inner := list[1].GetKvlistValue().GetValues()[0]
	if list[0].GetStringValue() != "\uFFFD" || inner.Key != "\uFFFD" || inner.Value.GetStringValue() != "\uFFFD" {
		t.Errorf("nested texts of %v", s.Attributes[1])
	}
	if s.Attributes[2].Value.GetStringValue() != "\uFFFD" || s.Attributes[3].Value.GetStringValue() != "\uFFFD" {
		t.Errorf("texts of raw attributes: %v", s.Attributes[2:])
	}
	for name, want := range map[string]int{"known fields, wrong types": 0, "parents": 0, "odd link ids": 0, "unknown fields": 6} {
		fields := 0
		for _, s := range spansIn(encoded(t, rowsOf(batchOf(t, oddCases[name])))...) {
			for unknown := s.ProtoReflect().GetUnknown(); len(unknown) > 0; fields++ {
				unknown = unknown[fieldLength(unknown):]
			}
			for _, l := range s.Links {
				if len(l.ProtoReflect().GetUnknown()) > 0 {
					t.Errorf("%s: unknown fields in a link", name)
				}
			}
		}
		if fields != want {
			t.Errorf("%s: %d fields left of a residue, want %d", name, fields, want)
		}
	}
	resource := encoded(t, rowsOf(batchOf(t, oddCases["invalid UTF-8"])))[0].ResourceSpans[0]
	if a := resource.Resource.Attributes[0]; a.Key != "\uFFFD" || a.Value.GetStringValue() != "\uFFFD" || resource.SchemaUrl != "\uFFFD" {
		t.Errorf("texts of resource %v", resource.Resource)
	}
}

func TestAFailingReaderEndsTheAnswer(t *testing.T) {
	gone := errors.New("gone")
	e := otlp.NewEncoder(func([]byte) error { return gone })
	if err := e.Add(rowsOf(batchOf(t, small))[0]); err != nil {
		t.Fatal(err)
	}
	if err := e.Flush(); !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
}
