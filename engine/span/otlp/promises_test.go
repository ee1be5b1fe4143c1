package otlp_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

const shards = 3

// failer is what testing.T and rapid.T share.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// promises checks everything that holds for any bytes, and gives what Cut gave.
func promises(t failer, raw []byte) ([]otlp.Part, otlp.Counts) {
	t.Helper()
	want, verdict := lenientTruthOf(raw)
	before := bytes.Clone(raw)
	parts, counts, err := otlp.Cut(raw, shards, placeBy(shards))
	if !bytes.Equal(raw, before) {
		t.Fatal("Cut changed the request")
	}
	switch {
	case err != nil && !errors.Is(err, span.ErrInvalid):
		t.Fatalf("error of another kind: %v", err)
	case err != nil && verdict == nil && !strings.Contains(err.Error(), "nested"):
		t.Fatalf("refused what protobuf accepts: %v", err)
	case err == nil && verdict != nil:
		t.Fatalf("accepted what protobuf refuses: %v", verdict)
	case err != nil:
		return nil, counts
	}
	wasCut := counts.NestedTooDeep+counts.TruncatedKeys+counts.TruncatedValues > 0
	got, spans := truth{}, 0
	for _, p := range parts {
		spans += p.Spans
		keepsForm(t, p.Batch)
		if !wasCut {
			comesAgain(t, p)
		}
		for id, tuples := range mustLenientTruth(t, otlp.AppendTraces(nil, rowsOf(p.Batch))) {
			if placeBy(shards)(span.TraceID([]byte(id))) != p.Shard {
				t.Fatalf("trace %x is in shard %d", id, p.Shard)
			}
			got[id] = append(got[id], tuples...)
		}
		readable(t, p.Batch)
		answersAlike(t, p.Batch)
	}
	if spans != counts.Spans || spans != countOf(want) {
		t.Fatalf("%d spans in parts, %d counted, %d in the request", spans, counts.Spans, countOf(want))
	}
	if wasCut {
		return parts, counts
	}
	if diff := cmp.Diff(want, got.sort()); diff != "" {
		t.Fatalf("what comes out is not what went in: %s", diff)
	}
	return parts, counts
}

func mustLenientTruth(t failer, raw []byte) truth {
	t.Helper()
	out, err := lenientTruthOf(raw)
	if err != nil {
		t.Fatalf("protobuf refuses what we wrote: %v", err)
	}
	return out
}

func countOf(t truth) (n int) {
	for _, spans := range t {
		n += len(spans)
	}
	return n
}

// comesAgain checks that the part's spans, sent as what AppendTraces makes of them, are the
// same spans: a part in quarantine can be sent again.
func comesAgain(t failer, p otlp.Part) {
	t.Helper()
	request := otlp.AppendTraces(nil, rowsOf(p.Batch))
	batch, counts, err := otlp.Walk(request)
	if err != nil || counts.Spans != p.Spans {
		t.Fatalf("Walk of a part of %d spans: %+v, %v", p.Spans, counts, err)
	}
	sameRows(t, p.Batch, batch)
	again, _, err := otlp.Cut(request, shards, placeBy(shards))
	if err != nil || len(again) != 1 || again[0].Shard != p.Shard {
		t.Fatalf("Cut of a part's spans gives %d parts, %v", len(again), err)
	}
	sameRows(t, p.Batch, again[0].Batch)
}

// keepsForm checks that the form of a batch gives it back, in every field and about the memory
// that it had, and that it is the only form of it.
func keepsForm(t failer, b *span.Batch) {
	t.Helper()
	form := b.AppendBinary([]byte("before"))
	if !bytes.HasPrefix(form, []byte("before")) {
		t.Fatal("AppendBinary does not append")
	}
	form = form[len("before"):]
	memory := b.MemoryBytes()
	got, err := span.DecodeBatch(form, memory+memory/20)
	if err != nil {
		t.Fatalf("a form of %d bytes for %d rows: %v", len(form), b.Len(), err)
	}
	sameFields(t, b, got)
	if got.MemoryBytes() > memory+memory/20 {
		t.Fatalf("%d bytes of memory, it had %d", got.MemoryBytes(), memory)
	}
	if again := got.AppendBinary(nil); !bytes.Equal(again, form) {
		t.Fatalf("another form of the same batch: %x, then %x", form, again)
	}
}

// sameFields compares batches field by field; no list and an empty one are the same, and equal
// attributes may stand under other ids.
func sameFields(t failer, want, got *span.Batch) {
	t.Helper()
	for pos := range want.Len() {
		a, b := span.Row{Batch: want, Pos: pos}.AppendAttrs(nil), span.Row{Batch: got, Pos: pos}.AppendAttrs(nil)
		if !slices.Equal(a, b) {
			t.Fatalf("row %d has attributes %v, want %v", pos, b, a)
		}
	}
	x, y := reflect.ValueOf(want).Elem(), reflect.ValueOf(got).Elem()
	for i := range x.NumField() {
		a, b := x.Field(i), y.Field(i)
		name := x.Type().Field(i).Name
		if name == "Attrs" || name == "AttrIDs" || a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
			continue
		}
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			t.Fatalf("%s: %v, want %v", name, b.Interface(), a.Interface())
		}
	}
}

func sameRows(t failer, want, got *span.Batch) {
	t.Helper()
	if want.Len() != got.Len() {
		t.Fatalf("%d rows, want %d", got.Len(), want.Len())
	}
	for i := range want.Len() {
		if !bytes.Equal(span.AppendContent(nil, span.Row{Batch: want, Pos: i}), span.AppendContent(nil, span.Row{Batch: got, Pos: i})) {
			t.Fatalf("row %d differs", i)
		}
	}
}

// readable checks the output form: what generated Go types and strict readers accept, and
// nothing else than the reference, but for what is too long for a chunk.
func readable(t failer, b *span.Batch) {
	t.Helper()
	want := referenceOf(t, b)
	spans := 0
	e := otlp.NewEncoder(func(chunk []byte) error {
		if len(chunk) == 0 || len(chunk) >= otlp.ChunkBytesMax {
			t.Fatalf("a chunk of %d bytes", len(chunk))
		}
		var data tracev1.TracesData
		if err := proto.Unmarshal(chunk, &data); err != nil {
			t.Fatalf("output form: %v", err)
		}
		for i, got := range deliveredIn(&data) {
			if mine := want[spans+i]; mine.span != got.span && mine.bytes < otlp.ChunkBytesMax/4*3 {
				t.Fatalf("readers get\n%s\nwant\n%s", got.span, mine.span)
			}
		}
		ids := map[string]bool{}
		for _, rs := range data.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					spans++
					ids[string(s.TraceId)] = true
					legalIDs(t, s)
				}
			}
		}
		if len(ids) != 1 {
			t.Fatalf("a chunk of %d traces", len(ids))
		}
		return nil
	})
	for _, r := range rowsOf(b) {
		if err := e.Add(r); err != nil {
			t.Fatal(err)
		}
		for _, a := range r.AppendAttrs(nil) {
			otlp.AppendText(nil, b, a)
		}
	}
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	if spans != b.Len() {
		t.Fatalf("%d spans given out of %d", spans, b.Len())
	}
}

func legalIDs(t failer, s *tracev1.Span) {
	t.Helper()
	legal := len(s.TraceId) == 16 && len(s.SpanId) == 8 && (len(s.ParentSpanId) == 0 || len(s.ParentSpanId) == 8)
	for _, l := range s.Links {
		legal = legal && (len(l.TraceId) == 0 || len(l.TraceId) == 16) && (len(l.SpanId) == 0 || len(l.SpanId) == 8)
	}
	if !legal {
		t.Fatalf("ids of odd length in output form: %v", s)
	}
}
