package api_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// counted is what one request adds to the counters.
type counted struct {
	stored, invalid, overload, failed, accepted uint64
	// DroppedOrChanged holds what is above 0.
	DroppedOrChanged map[string]uint64
}

func countedSince(before, after api.Stats) counted {
	c := counted{
		after.Exports - before.Exports, after.ExportsInvalid - before.ExportsInvalid, after.ExportsOverload - before.ExportsOverload,
		after.ExportsFailed - before.ExportsFailed, after.SpansAccepted - before.SpansAccepted, map[string]uint64{},
	}
	for _, pair := range [][2]map[string]uint64{{before.SpansDropped, after.SpansDropped}, {before.SpansChanged, after.SpansChanged}} {
		for name, n := range pair[1] {
			if n > pair[0][name] {
				c.DroppedOrChanged[name] = n - pair[0][name]
			}
		}
	}
	return c
}

// deep is a value of so many arrays one inside the other.
func deep(arrays int) *commonv1.AnyValue {
	value := &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: 1}}
	for range arrays {
		value = &commonv1.AnyValue{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: &commonv1.ArrayValue{Values: []*commonv1.AnyValue{value}}}}
	}
	return value
}

// change makes a request of a resource with three spans.
type change func(t *testing.T, r *tracev1.ResourceSpans) []byte

// first changes the first span.
func first(do func(s *tracev1.Span)) change {
	return func(t *testing.T, r *tracev1.ResourceSpans) []byte {
		do(r.GetScopeSpans()[0].GetSpans()[0])
		return requestOf(t, r)
	}
}

// give gives the first span an attribute.
func give(key string, value *commonv1.AnyValue) change {
	return first(func(s *tracev1.Span) { s.Attributes = append(s.Attributes, &commonv1.KeyValue{Key: key, Value: value}) })
}

func longText(n int) *commonv1.AnyValue {
	return stringAttribute("", strings.Repeat("x", n)).GetValue()
}

func names(pairs ...any) map[string]uint64 {
	m := map[string]uint64{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = uint64(pairs[i+1].(int))
	}
	return m
}

// badInputs are those of docs/limits.md, beside what is as long or deep as permitted.
var badInputs = map[string]struct {
	request change
	code    codes.Code
	want    counted
}{
	"nothing bad":       {first(func(*tracev1.Span) {}), codes.OK, counted{stored: 1, accepted: 3}},
	"8 byte trace id":   {first(func(s *tracev1.Span) { s.TraceId = []byte("12345678") }), codes.OK, counted{stored: 1, accepted: 3}},
	"zero trace id":     {first(func(s *tracev1.Span) { s.TraceId = make([]byte, 16) }), codes.OK, counted{stored: 1, accepted: 2, DroppedOrChanged: names("trace_id", 1)}},
	"odd trace id":      {first(func(s *tracev1.Span) { s.TraceId = []byte("odd") }), codes.OK, counted{stored: 1, accepted: 2, DroppedOrChanged: names("trace_id", 1)}},
	"zero span id":      {first(func(s *tracev1.Span) { s.SpanId = make([]byte, 8) }), codes.OK, counted{stored: 1, accepted: 2, DroppedOrChanged: names("span_id", 1)}},
	"odd span id":       {first(func(s *tracev1.Span) { s.SpanId = make([]byte, 9) }), codes.OK, counted{stored: 1, accepted: 2, DroppedOrChanged: names("span_id", 1)}},
	"depth 64":          {give("k", deep(64)), codes.OK, counted{stored: 1, accepted: 3}},
	"depth 65":          {give("k", deep(65)), codes.OK, counted{stored: 1, accepted: 3, DroppedOrChanged: names("nested_too_deep", 1)}},
	"depth 1,001":       {give("k", deep(1001)), codes.InvalidArgument, counted{invalid: 1}},
	"end before start":  {first(func(s *tracev1.Span) { s.EndTimeUnixNano = 1 }), codes.OK, counted{stored: 1, accepted: 3, DroppedOrChanged: names("end_before_start", 1)}},
	"duration overflow": {first(func(s *tracev1.Span) { s.StartTimeUnixNano, s.EndTimeUnixNano = 0, 1<<63 }), codes.OK, counted{stored: 1, accepted: 3, DroppedOrChanged: names("end_before_start", 1)}},
	"time 0":            {first(func(s *tracev1.Span) { s.StartTimeUnixNano, s.EndTimeUnixNano = 0, 0 }), codes.OK, counted{stored: 1, accepted: 3}},
	"a value of 1 MiB":  {give("k", longText(otlp.ValueBytesMax)), codes.OK, counted{stored: 1, accepted: 3}},
	"a longer value":    {give("k", longText(otlp.ValueBytesMax+1)), codes.OK, counted{stored: 1, accepted: 3, DroppedOrChanged: names("value_truncated", 1)}},
	"a key of 1 KiB":    {give(strings.Repeat("k", 1<<10), longText(1)), codes.OK, counted{stored: 1, accepted: 3}},
	"a longer key":      {give(strings.Repeat("k", 1<<10+1), longText(1)), codes.OK, counted{stored: 1, accepted: 3, DroppedOrChanged: names("key_truncated", 1)}},
	"in a resource": {func(t *testing.T, r *tracev1.ResourceSpans) []byte {
		r.Resource.Attributes = append(r.GetResource().GetAttributes(), &commonv1.KeyValue{Key: strings.Repeat("k", 2000), Value: longText(1)})
		return requestOf(t, r)
	}, codes.OK, counted{stored: 1, accepted: 3, DroppedOrChanged: names("key_truncated", 1)}},
	"invalid UTF-8": {func(t *testing.T, r *tracev1.ResourceSpans) []byte {
		return bytes.Replace(first(func(s *tracev1.Span) { s.Name = "no text" })(t, r), []byte("no text"), []byte("no\xfftext"), 1)
	}, codes.OK, counted{stored: 1, accepted: 3, DroppedOrChanged: names("invalid_utf8", 1)}},
	"duplicate keys": {give("note", longText(5)), codes.OK, counted{stored: 1, accepted: 3}},
	"several at once": {func(t *testing.T, r *tracev1.ResourceSpans) []byte {
		r.GetScopeSpans()[0].GetSpans()[1].EndTimeUnixNano = 1
		return give("k", deep(65))(t, r)
	}, codes.OK, counted{stored: 1, accepted: 3, DroppedOrChanged: names("nested_too_deep", 1, "end_before_start", 1)}},
	"cut":         {func(t *testing.T, r *tracev1.ResourceSpans) []byte { b := requestOf(t, r); return b[:len(b)-1] }, codes.InvalidArgument, counted{invalid: 1}},
	"no protobuf": {func(*testing.T, *tracev1.ResourceSpans) []byte { return []byte("not protobuf") }, codes.InvalidArgument, counted{invalid: 1}},
	"a million stubs": {func(t *testing.T, r *tracev1.ResourceSpans) []byte {
		r.GetScopeSpans()[0].GetSpans()[0].Links = slices.Repeat([]*tracev1.Span_Link{{}}, otlp.StubsMax+1)
		return requestOf(t, r)
	}, codes.InvalidArgument, counted{invalid: 1}},
	"over 64 MiB": {func(*testing.T, *tracev1.ResourceSpans) []byte { return make([]byte, otlp.RequestBytesMax+1) }, codes.ResourceExhausted, counted{invalid: 1}},
}

func TestEachBadInputIsCountedUnderItsName(t *testing.T) {
	server := start(t, &scripted{}, api.Options{})
	for name, c := range badInputs {
		t.Run(name, func(t *testing.T) {
			before := server.Stats()
			rejected, err := server.Export(t.Context(), c.request(t, trace(id(1), "s", 3)))
			if status.Code(err) != c.code {
				t.Fatal(err)
			}
			if c.want.DroppedOrChanged == nil {
				c.want.DroppedOrChanged = map[string]uint64{}
			}
			if diff := cmp.Diff(c.want, countedSince(before, server.Stats()), cmp.AllowUnexported(counted{})); diff != "" {
				t.Errorf("counters (-want +got):\n%s", diff)
			}
			if dropped := int64(3 - c.want.accepted); err == nil && rejected.Spans != dropped {
				t.Errorf("told of %d spans, %d dropped", rejected.Spans, dropped)
			}
		})
	}
	before := server.Stats()
	if err := call(t, server.storage, collectorv1.TraceService_Export_FullMethodName, "gzip", frame(true, []byte("no gzip"))); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	if got := countedSince(before, server.Stats()); got.invalid != 1 || got.failed != 0 {
		t.Errorf("what does not decompress: %s", fmt.Sprint(got))
	}
}
