package jaegerv1_test

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/stoadb/stoa/api/jaegerv1"
	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// throughStore gives what a store answers of a request: the walk in, the encoder out.
func throughStore(t rapid.TB, request []byte) (chunks [][]byte) {
	t.Helper()
	batch, counts, err := otlp.Walk(request)
	if err != nil || counts.Dropped() > 0 || counts.NestedTooDeep+counts.EndBeforeStart > 0 {
		t.Fatalf("the store takes it as %+v, %v", counts, err)
	}
	encoder := otlp.NewEncoder(func(chunk []byte) error {
		chunks = append(chunks, slices.Clone(chunk))
		return nil
	})
	for i := range batch.Len() {
		if err := encoder.Add(span.Row{Batch: batch, Pos: i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := encoder.Flush(); err != nil {
		t.Fatal(err)
	}
	return chunks
}

// clone copies a span by its bytes: proto.Clone makes 0 of a double that is -0.
func clone(t rapid.TB, s *apiv2.Span) *apiv2.Span {
	t.Helper()
	encoded, err := proto.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	copied := &apiv2.Span{}
	if err := proto.Unmarshal(encoded, copied); err != nil {
		t.Fatal(err)
	}
	return copied
}

// roundTrip writes a span and reads it again.
func roundTrip(t rapid.TB, s *apiv2.Span) *apiv2.Span {
	t.Helper()
	request, _, err := jaegerv1.Request(clone(t, s))
	if err != nil {
		t.Fatal(err)
	}
	var spans []*apiv2.Span
	for _, chunk := range throughStore(t, request) {
		if err := jaegerv1.Spans(chunk, func(s *apiv2.Span) error {
			spans = append(spans, s)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if len(spans) != 1 {
		t.Fatalf("%d spans", len(spans))
	}
	return spans[0]
}

func normal(t rapid.TB, s *apiv2.Span) *apiv2.Span {
	t.Helper()
	s = clone(t, s)
	if _, err := jaegerv1.Normalize(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func wantSame(t rapid.TB, want, got *apiv2.Span) {
	t.Helper()
	if !proto.Equal(want, got) {
		t.Fatalf("(-written +read):\n%s", cmp.Diff(want, got, protocmp.Transform()))
	}
}

func TestSpansOfVersion1ComeBackExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySpan(t)
		wantSame(t, normal(t, s), roundTrip(t, s))
	})
}

func tag(key, value string) *apiv2.KeyValue { return &apiv2.KeyValue{Key: key, VStr: value} }

// clientSpan is a span as Jaeger's clients make them.
func clientSpan() *apiv2.Span {
	return &apiv2.Span{
		TraceId: otherID, SpanId: spanID, OperationName: "GET /", Flags: 1,
		References: []*apiv2.SpanRef{{TraceId: otherID, SpanId: parent}},
		StartTime:  &timestamppb.Timestamp{Seconds: 1_700_000_000, Nanos: 5_000}, Duration: &durationpb.Duration{Nanos: 7_000},
		Tags: []*apiv2.KeyValue{
			tag("sampler.type", "const"), tag("span.kind", "server"), tag("http.method", "GET"),
			{Key: "error", VType: apiv2.ValueType_BOOL, VBool: true}, {Key: "http.status_code", VType: apiv2.ValueType_INT64, VInt64: 500},
		},
		Logs: []*apiv2.Log{
			{Timestamp: &timestamppb.Timestamp{Seconds: 1_700_000_000}, Fields: []*apiv2.KeyValue{tag("event", "error"), tag("message", "m")}},
			{Timestamp: &timestamppb.Timestamp{Seconds: 1_700_000_000}, Fields: []*apiv2.KeyValue{tag("level", "info"), tag("event", "done")}},
		},
		Process: &apiv2.Process{ServiceName: "shop", Tags: []*apiv2.KeyValue{tag("hostname", "h"), tag("jaeger.version", "Go-2.30"), tag("ip", "1.2.3.4")}},
	}
}

func restOf(t testing.TB, s *apiv2.Span) []byte {
	t.Helper()
	one := otlpOf(t, s).GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0]
	for _, a := range one.GetAttributes() {
		if a.GetKey() == jaegerv1.RestKey {
			return a.GetValue().GetBytesValue()
		}
	}
	return nil
}

func otlpOf(t testing.TB, s *apiv2.Span) *tracev1.TracesData {
	t.Helper()
	request, _, err := jaegerv1.Request(clone(t, s))
	if err != nil {
		t.Fatal(err)
	}
	traces := &tracev1.TracesData{}
	if err := proto.Unmarshal(request, traces); err != nil {
		t.Fatal(err)
	}
	return traces
}

// everyRest is a span of which OTLP says little.
func everyRest() *apiv2.Span {
	s := clientSpan()
	s.StartTime, s.Duration = &timestamppb.Timestamp{Seconds: -62135596800}, &durationpb.Duration{Seconds: -1}
	s.ProcessId = "p1"
	s.Process.Tags = append(s.Process.Tags, tag("service.name", "x"))
	s.References = append([]*apiv2.SpanRef{{TraceId: traceID, SpanId: spanID, RefType: 1}}, s.GetReferences()...)
	s.Logs[0].Timestamp = &timestamppb.Timestamp{Seconds: -1}
	return s
}

// TestTheRestIsTheseBytes: the format is on disk.
func TestTheRestIsTheseBytes(t *testing.T) {
	noProcess := &apiv2.Span{TraceId: traceID, SpanId: spanID, StartTime: &timestamppb.Timestamp{}, Duration: &durationpb.Duration{}}
	for name, c := range map[string]struct {
		span *apiv2.Span
		want string
	}{
		// Version, flags and tags. Flags 1. Tags: of 6 plain ones in 5 steps 1 from 0 (sampler.type), 1 from
		// 3 (span.kind), 1 from 1 (http.method), 1 from 5 (error), 1 from 2 (http.status_code).
		"client span": {clientSpan(), "01 21 01 06 05 02 00 02 03 02 01 02 05 02 02"},
		"no process":  {noProcess, "01 10"},
		"everything": {everyRest(), "01 ef03 01" + // all but "no process"; flags 1
			" ffdb8ff9ce03 00" + // year 1
			" ffa7d6b907" + // -1 s
			" 02 7031" + // p1
			" 06 05 02 00 02 03 02 01 02 05 02 02" + // tags, as above
			" 03 02 06 00" + // of 3 process tags in 2 steps: all, and
			" 23 0a0c 736572766963652e6e616d65 1a01 78" + // service.name=x
			" 02 02 02 01 02 00" + // references: the second, the first
			" 02 02" + // of 2 logs in 2 steps: one with its time before 1970, and
			" 57 0a0b 08ffffffffffffffffff01 120e 0a056576656e74 1a056572726f72 120c 0a076d657373616765 1a016d" +
			" 02 01"}, // the second
	} {
		want := strings.ReplaceAll(c.want, " ", "")
		if got := hex.EncodeToString(restOf(t, c.span)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
		wantSame(t, normal(t, c.span), roundTrip(t, c.span))
	}
}

// TestWhatOTLPSaysHasNoRest: spans that were OTLP once, read as version 1 and written
// again, cost nothing more.
func TestWhatOTLPSaysHasNoRest(t *testing.T) {
	for _, request := range requestsOf(t, "zipkin-fixtures.otlp.zst") {
		for _, s := range spansOf(t, request) {
			rest := restOf(t, s)
			wantSame(t, s, roundTrip(t, s))
			if len(rest) > 0 && len(s.GetReferences()) == 0 {
				t.Errorf("%d bytes of rest for %v", len(rest), s)
			}
		}
	}
}

// withRest gives the request of a span with another rest.
func withRest(t testing.TB, traces *tracev1.TracesData, rest []byte) []byte {
	t.Helper()
	for _, a := range traces.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetAttributes() {
		if a.GetKey() == jaegerv1.RestKey {
			a.Value = &commonv1.AnyValue{Value: &commonv1.AnyValue_BytesValue{BytesValue: rest}}
		}
	}
	request, err := proto.Marshal(traces)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// TestADamagedRestLosesOnlyTheRest cuts it at every byte and flips every bit: the span
// comes as the adapter would tell it, with a warning, or as another rest would.
func TestADamagedRestLosesOnlyTheRest(t *testing.T) {
	traces, rest := otlpOf(t, everyRest()), restOf(t, everyRest())
	plain := spansOf(t, withRest(t, otlpOf(t, everyRest()), []byte{1, 0}))[0]
	check := func(damaged []byte) (isRefused bool) {
		t.Helper()
		got := spansOf(t, withRest(t, traces, damaged))[0]
		if _, err := proto.Marshal(got); err != nil {
			t.Fatalf("%x: %v", damaged, err)
		}
		if len(got.GetWarnings()) == 0 {
			if _, err := jaegerv1.Normalize(got); err != nil {
				t.Fatalf("%x: Jaeger cannot read %v: %v", damaged, got, err)
			}
			return false
		}
		if !strings.Contains(got.GetWarnings()[0], "lost: ") {
			t.Fatalf("%x: %q", damaged, got.GetWarnings())
		}
		got.Warnings = nil
		wantSame(t, plain, got)
		return true
	}
	for cut := range rest {
		if !check(rest[:cut]) {
			t.Errorf("cut at %d: taken", cut)
		}
	}
	if !check(append(slices.Clone(rest), 0)) {
		t.Error("a byte more: taken")
	}
	refused := 0
	for bit := range len(rest) * 8 {
		damaged := slices.Clone(rest)
		damaged[bit/8] ^= 1 << (bit % 8)
		if check(damaged) {
			refused++
		}
	}
	if refused < len(rest) {
		t.Errorf("of %d bits only %d are missed", len(rest)*8, refused)
	}
}

// TestHostileRestsAreBounded: a rest names no more items than it has bytes, nor more than
// a span may have.
func TestHostileRestsAreBounded(t *testing.T) {
	tags := byte(1 << 5)
	for name, rest := range map[string][]byte{
		"an item twice":     {1, tags, 6, 2, 2, 0, 2, 0},
		"more than all":     {1, tags, 6, 1, 14, 0},
		"behind the end":    {1, tags, 6, 1, 2, 6},
		"an empty run":      {1, tags, 6, 1, 0, 0},
		"many empty items":  append([]byte{1, tags, 6, 0x81, 0x80, 0x04}, slices.Repeat([]byte{1}, 65537)...),
		"steps without end": {1, tags, 6, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"a long item":       {1, tags, 6, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1},
		"a newer version":   {2, 0},
		"unknown parts":     {1, 0x80, 0x20},
		"no text":           {1, 8, 1, 0xff},
		"nanoseconds":       {1, 2, 0, 0x80, 0x94, 0xeb, 0xdc, 0x03},
		"nothing":           {},
	} {
		got := spansOf(t, withRest(t, otlpOf(t, clientSpan()), rest))[0]
		if len(got.GetWarnings()) != 1 || len(got.GetTags()) != 6 {
			t.Errorf("%s: %v", name, got)
		}
	}
	// A list that the store cut on the way is not what the rest was made for.
	got := spansOf(t, withRest(t, otlpOf(t, clientSpan()), []byte{1, tags, 7, 1, 2, 6}))[0]
	if len(got.GetWarnings()) != 0 || len(got.GetTags()) != 6 {
		t.Errorf("a cut list: %v", got)
	}
}

// TestLongPartsComeBackAsFarAsTheyFit: values up to 1 MiB do, and a rest up to 1 MiB.
func TestLongPartsComeBackAsFarAsTheyFit(t *testing.T) {
	s := clientSpan()
	s.Tags[0].VStr = strings.Repeat("x", otlp.ValueBytesMax)
	s.Warnings = []string{strings.Repeat("w", 1<<19)}
	wantSame(t, normal(t, s), roundTrip(t, s))

	s = clientSpan()
	s.Tags[0].Key = strings.Repeat("k", otlp.KeyBytesMax+1)
	wantSame(t, normal(t, s), roundTrip(t, s)) // the key is in the rest

	s = clientSpan()
	s.Tags = append(s.Tags, tag("service", strings.Repeat("y", otlp.ValueBytesMax+1)))
	got := roundTrip(t, s)
	if got.GetFlags() != 1 || len(got.GetTags()[4].GetVStr()) > otlp.ValueBytesMax {
		t.Errorf("a longer value: flags %d, %d tags", got.GetFlags(), len(got.GetTags()))
	}
}

// TestShortenedSpansFitAndSaySo, and what fits is left alone.
func TestShortenedSpansFitAndSaySo(t *testing.T) {
	whole := clientSpan()
	for range 200 {
		whole.Tags = append(whole.Tags, tag("key", strings.Repeat("v", 50)))
		whole.Logs = append(whole.Logs, whole.GetLogs()[0])
		whole.Process.Tags = append(whole.Process.Tags, tag("process", "value"))
		whole.Warnings = append(whole.Warnings, "w")
	}
	size := proto.Size(whole)
	for bytesMax := size; bytesMax > 1_000; bytesMax -= 97 {
		s := clone(t, whole)
		jaegerv1.Shorten(s, bytesMax)
		switch last := s.GetWarnings()[len(s.GetWarnings())-1]; {
		case bytesMax == size:
			wantSame(t, whole, s)
		case proto.Size(s) > bytesMax || !strings.Contains(last, "too long for an answer"):
			t.Fatalf("%d bytes for %d, %q", proto.Size(s), bytesMax, last)
		}
	}
	process := whole.GetProcess()
	tags := len(process.GetTags())
	shared := clone(t, whole)
	shared.Process = process
	jaegerv1.Shorten(shared, 1_000)
	if len(process.GetTags()) != tags {
		t.Error("a process that other spans share is cut")
	}
	chunk := &storagev1.SpansResponseChunk{Spans: []*apiv2.Span{shared}}
	if proto.Size(chunk) > 1_010 {
		t.Errorf("%d bytes", proto.Size(chunk))
	}
}
