package jaegerv1_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api/jaegerv1"
	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

func writeRequest(t testing.TB, s *apiv2.Span) []byte {
	t.Helper()
	request, err := proto.Marshal(&storagev1.WriteSpanRequest{Span: s})
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// TestSpansThatJaegerCouldNotReadAreRefused, and those without proper ids are counted as
// OTLP's are.
func TestSpansThatJaegerCouldNotReadAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *apiv2.Span)
		counts otlp.Counts
	}{
		"zero trace id":      {func(s *apiv2.Span) { s.TraceId = make([]byte, 16) }, otlp.Counts{DroppedTraceID: 1}},
		"no trace id":        {func(s *apiv2.Span) { s.TraceId = nil }, otlp.Counts{DroppedTraceID: 1}},
		"odd trace id":       {func(s *apiv2.Span) { s.TraceId = traceID[:15] }, otlp.Counts{DroppedTraceID: 1}},
		"zero span id":       {func(s *apiv2.Span) { s.SpanId = make([]byte, 8) }, otlp.Counts{DroppedSpanID: 1}},
		"no span id":         {func(s *apiv2.Span) { s.SpanId = nil }, otlp.Counts{DroppedSpanID: 1}},
		"odd span id":        {func(s *apiv2.Span) { s.SpanId = traceID }, otlp.Counts{DroppedSpanID: 1}},
		"reference to trace": {func(s *apiv2.Span) { s.References[0].TraceId = spanID[:7] }, otlp.Counts{DroppedTraceID: 1}},
		"reference to span":  {func(s *apiv2.Span) { s.References[0].SpanId = spanID[:7] }, otlp.Counts{DroppedSpanID: 1}},
		"start":              {func(s *apiv2.Span) { s.StartTime.Nanos = -1 }, otlp.Counts{}},
		"start of year 0":    {func(s *apiv2.Span) { s.StartTime.Seconds = -62135596801 }, otlp.Counts{}},
		"duration":           {func(s *apiv2.Span) { s.Duration.Nanos = 1e9 }, otlp.Counts{}},
		"300 years":          {func(s *apiv2.Span) { s.Duration.Seconds = 300 * 365 * 86400 }, otlp.Counts{}},
		"-300 years":         {func(s *apiv2.Span) { s.Duration.Seconds = -300 * 365 * 86400 }, otlp.Counts{}},
		"time of a log":      {func(s *apiv2.Span) { s.Logs[0].Timestamp = &timestamppb.Timestamp{Seconds: math.MaxInt64} }, otlp.Counts{}},
	} {
		s := clientSpan()
		c.change(s)
		if _, counts, err := jaegerv1.Request(s); !errors.Is(err, span.ErrInvalid) || counts != c.counts {
			t.Errorf("%s: %+v, %v", name, counts, err)
		}
	}
}

// TestNormalIsWhatJaegerHolds: ids in full, times and durations always there.
func TestNormalIsWhatJaegerHolds(t *testing.T) {
	s := &apiv2.Span{TraceId: otherID[8:], SpanId: spanID, References: []*apiv2.SpanRef{{}, {TraceId: traceID[:8]}}, Logs: []*apiv2.Log{{}}}
	want := &apiv2.Span{
		TraceId: otherID, SpanId: spanID, StartTime: &timestamppb.Timestamp{Seconds: -62135596800}, Duration: &durationpb.Duration{},
		References: []*apiv2.SpanRef{
			{TraceId: make([]byte, 16), SpanId: make([]byte, 8)},
			{TraceId: append(make([]byte, 8), traceID[:8]...), SpanId: make([]byte, 8)},
		},
		Logs: []*apiv2.Log{{Timestamp: &timestamppb.Timestamp{Seconds: -62135596800}}},
	}
	wantSame(t, want, normal(t, s))
	wantSame(t, want, roundTrip(t, s))
}

// TestTextsThatAreNoUTF8AreRepaired: Jaeger's encoder lets them through, and its servers
// take them.
func TestTextsThatAreNoUTF8AreRepaired(t *testing.T) {
	s := clientSpan()
	s.Tags[0].VStr, s.Logs[0].Fields[0].Key, s.OperationName, s.Warnings = "bad#1", "bad#2", "bad#3", []string{"bad#4", "good"}
	s.Tags = append(s.Tags, &apiv2.KeyValue{Key: "binary", VType: apiv2.ValueType_BINARY, VBinary: []byte("bad#")})
	request := []byte(strings.ReplaceAll(string(writeRequest(t, s)), "bad#", "bad\xff"))
	got, counts, err := jaegerv1.Decode(request)
	if err != nil || counts.InvalidUTF8 != 4 {
		t.Fatalf("%+v, %v", counts, err)
	}
	s.Tags[0].VStr, s.Logs[0].Fields[0].Key, s.OperationName, s.Warnings[0] = "bad\uFFFD1", "bad\uFFFD2", "bad\uFFFD3", "bad\uFFFD4"
	s.Tags[len(s.GetTags())-1].VBinary = []byte("bad\xff")
	wantSame(t, s, got)
}

// TestEveryCutOfARequestIsRefusedOrASpan, and every flipped bit.
func TestEveryCutOfARequestIsRefusedOrASpan(t *testing.T) {
	request := writeRequest(t, everyRest())
	refused := 0
	try := func(damaged []byte) {
		t.Helper()
		if _, err := jaegerv1.Measure(damaged); err != nil {
			if !errors.Is(err, span.ErrInvalid) {
				t.Fatalf("%x: %v", damaged, err)
			}
			refused++
			return
		}
		s, _, err := jaegerv1.Decode(damaged)
		if err == nil {
			_, _, err = jaegerv1.Request(s)
		}
		if err != nil {
			if !errors.Is(err, span.ErrInvalid) {
				t.Fatalf("%x: %v", damaged, err)
			}
			refused++
			return
		}
		wantSame(t, normal(t, s), roundTrip(t, s))
	}
	for cut := range request {
		try(request[:cut])
	}
	if refused != len(request) {
		t.Errorf("of %d cuts %d are refused", len(request), refused)
	}
	for bit := range len(request) * 8 {
		damaged := slices.Clone(request)
		damaged[bit/8] ^= 1 << (bit % 8)
		try(damaged)
	}
}

// TestASpanOfCountlessPartsIsRefused before it is decoded.
func TestASpanOfCountlessPartsIsRefused(t *testing.T) {
	for name, s := range map[string]*apiv2.Span{
		"tags":       {Tags: slices.Repeat([]*apiv2.KeyValue{{}}, 1<<16)},
		"fields":     {Logs: []*apiv2.Log{{Fields: slices.Repeat([]*apiv2.KeyValue{{}}, 1<<16)}}},
		"logs":       {Logs: slices.Repeat([]*apiv2.Log{{}}, 1<<16)},
		"references": {References: slices.Repeat([]*apiv2.SpanRef{{}}, 1<<16)},
		"process":    {Process: &apiv2.Process{Tags: slices.Repeat([]*apiv2.KeyValue{{}}, 1<<16)}},
		"warnings":   {Warnings: slices.Repeat([]string{""}, 1<<16)},
	} {
		if _, err := jaegerv1.Measure(writeRequest(t, s)); !errors.Is(err, span.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := clientSpan()
	for len(s.GetTags()) < 60_000 {
		s.Tags = append(s.Tags, &apiv2.KeyValue{})
	}
	request := writeRequest(t, s)
	if bytes, err := jaegerv1.Measure(request); err != nil || bytes < len(request)+60_000*100 {
		t.Errorf("60,000 tags take %d bytes, %v", bytes, err)
	}
	wantSame(t, normal(t, s), roundTrip(t, s))
}

// FuzzWriteSpan: whatever a writer sends is refused, or comes back as it was.
func FuzzWriteSpan(f *testing.F) {
	f.Add(writeRequest(f, clientSpan()))
	f.Add(writeRequest(f, everyRest()))
	f.Add(writeRequest(f, &apiv2.Span{TraceId: traceID, SpanId: spanID}))
	f.Fuzz(func(t *testing.T, request []byte) {
		if _, err := jaegerv1.Measure(request); err != nil || len(request) > 1<<16 {
			t.Skip()
		}
		s, _, err := jaegerv1.Decode(request)
		if err == nil {
			_, err = jaegerv1.Normalize(s)
		}
		if err != nil {
			if !errors.Is(err, span.ErrInvalid) {
				t.Fatal(err)
			}
			t.Skip()
		}
		wantSame(t, s, roundTrip(t, s))
	})
}

// FuzzSpans: whatever a store holds under the name of a rest, spans come out that Jaeger
// can read.
func FuzzSpans(f *testing.F) {
	f.Add(restOf(f, clientSpan()))
	f.Add(restOf(f, everyRest()))
	f.Fuzz(func(t *testing.T, rest []byte) {
		for _, s := range spansOf(t, withRest(t, otlpOf(t, everyRest()), rest)) {
			if _, err := jaegerv1.Normalize(s); err != nil {
				t.Fatal(err)
			}
			if _, err := proto.Marshal(s); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	s := clientSpan()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := jaegerv1.Request(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSpans(b *testing.B) {
	request := requestsOf(b, "hotrod.otlp.zst")[0]
	b.SetBytes(int64(len(request)))
	b.ReportAllocs()
	for b.Loop() {
		if err := jaegerv1.Spans(request, func(*apiv2.Span) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
