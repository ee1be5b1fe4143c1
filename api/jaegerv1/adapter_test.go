package jaegerv1_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/stoadb/stoa/api/jaegerv1"
	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
)

var update = flag.Bool("update", false, "write the requests in testdata/cases again; then run testdata/adapter there")

var (
	traceID = []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	otherID = []byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}
	spanID  = []byte{1, 0, 0, 0, 0, 0, 0, 1}
	parent  = []byte{2, 0, 0, 0, 0, 0, 0, 2}
)

func value(v any) *commonv1.AnyValue {
	switch v := v.(type) {
	case string:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: v}}
	case bool:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_BoolValue{BoolValue: v}}
	case int:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: int64(v)}}
	case float64:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_DoubleValue{DoubleValue: v}}
	case []byte:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_BytesValue{BytesValue: v}}
	case []any:
		list := &commonv1.ArrayValue{}
		for _, item := range v {
			list.Values = append(list.Values, value(item))
		}
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: list}}
	case []*commonv1.KeyValue:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_KvlistValue{KvlistValue: &commonv1.KeyValueList{Values: v}}}
	}
	return &commonv1.AnyValue{}
}

// attrs makes attributes of keys and values in turn.
func attrs(pairs ...any) []*commonv1.KeyValue {
	var list []*commonv1.KeyValue
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, &commonv1.KeyValue{Key: pairs[i].(string), Value: value(pairs[i+1])})
	}
	return list
}

func with(change func(s *tracev1.Span)) *tracev1.Span {
	s := &tracev1.Span{TraceId: traceID, SpanId: spanID, Name: "name", StartTimeUnixNano: 1_700_000_000_123_456_789, EndTimeUnixNano: 1_700_000_001_000_000_000}
	change(s)
	return s
}

func under(resource []*commonv1.KeyValue, scope *commonv1.InstrumentationScope, spans ...*tracev1.Span) *tracev1.ResourceSpans {
	return &tracev1.ResourceSpans{Resource: &resourcev1.Resource{Attributes: resource}, ScopeSpans: []*tracev1.ScopeSpans{{Scope: scope, Spans: spans}}}
}

// one is a request of one span in a service.
func one(change func(s *tracev1.Span)) []*tracev1.ResourceSpans {
	return []*tracev1.ResourceSpans{under(attrs("service.name", "svc"), nil, with(change))}
}

var everyType = attrs("text", "t", "empty", "", "true", true, "false", false, "int", -5, "zero", 0, "large", math.MinInt64,
	"double", 2.5, "whole", 2.0, "tiny", 1e-9, "nan", math.NaN(), "bytes", []byte{0, 255}, "no bytes", []byte{}, "nothing", nil,
	"list", []any{"a<&>\u2028", 1, 2.0, 1e21, true, nil, []byte("xyz"), []any{}, attrs()},
	"map", attrs("z", 1, "a", []any{"x"}, "z", 2), "", "no key", "text", "again")

var cases = map[string][]*tracev1.ResourceSpans{
	"bare":          one(func(*tracev1.Span) {}),
	"no resource":   {{ScopeSpans: []*tracev1.ScopeSpans{{Spans: []*tracev1.Span{with(func(*tracev1.Span) {})}}}}},
	"no service":    {under(attrs("host", "h"), nil, with(func(*tracev1.Span) {}))},
	"empty service": {under(attrs("service.name", ""), nil, with(func(*tracev1.Span) {}))},
	"resource":      {under(append(attrs("a", 1, "service.name", "svc"), everyType...), nil, with(func(*tracev1.Span) {}))},
	"scope":         {under(attrs("service.name", "s"), &commonv1.InstrumentationScope{Name: "lib", Version: "1.2", Attributes: attrs("k", "v")}, with(func(s *tracev1.Span) { s.Attributes = attrs("k", "v") }))},
	"scope version": {under(attrs("service.name", "s"), &commonv1.InstrumentationScope{Version: "1.2"}, with(func(*tracev1.Span) {}))},
	"types":         one(func(s *tracev1.Span) { s.Attributes = everyType }),
	"own words": one(func(s *tracev1.Span) {
		s.Attributes = attrs("span.kind", "client", "error", true, "otel.status_code", "OK", "otel.status_description", "d", "w3c.tracestate", "x", "otel.scope.name", "n")
		s.Kind, s.Status, s.TraceState = tracev1.Span_SPAN_KIND_SERVER, &tracev1.Status{Code: tracev1.Status_STATUS_CODE_ERROR, Message: "m"}, "a=b"
	}),
	"kind 1": one(func(s *tracev1.Span) { s.Kind = 1 }),
	"kind 2": one(func(s *tracev1.Span) { s.Kind = 2 }),
	"kind 3": one(func(s *tracev1.Span) { s.Kind = 3 }),
	"kind 4": one(func(s *tracev1.Span) { s.Kind = 4 }),
	"kind 5": one(func(s *tracev1.Span) { s.Kind = 5 }),
	"kind 6": one(func(s *tracev1.Span) { s.Kind = 6 }),
	"status ok": one(func(s *tracev1.Span) {
		s.Status = &tracev1.Status{Code: tracev1.Status_STATUS_CODE_OK, Message: "fine"}
	}),
	"status error":   one(func(s *tracev1.Span) { s.Status = &tracev1.Status{Code: tracev1.Status_STATUS_CODE_ERROR} }),
	"status message": one(func(s *tracev1.Span) { s.Status = &tracev1.Status{Message: "only text"} }),
	"status 3":       one(func(s *tracev1.Span) { s.Status = &tracev1.Status{Code: 3} }),
	"trace state":    one(func(s *tracev1.Span) { s.TraceState = "a=b,c=d" }),
	"flags":          one(func(s *tracev1.Span) { s.Flags = 0x301 }),
	"parent":         one(func(s *tracev1.Span) { s.ParentSpanId = parent }),
	"links": one(func(s *tracev1.Span) {
		s.ParentSpanId = parent
		s.Links = []*tracev1.Span_Link{
			{TraceId: otherID, SpanId: parent, TraceState: "s", Attributes: attrs("k", "v")},
			{TraceId: traceID, SpanId: spanID, Attributes: attrs("opentracing.ref_type", "child_of")},
			{TraceId: traceID, SpanId: spanID, Attributes: attrs("opentracing.ref_type", "other")},
			{TraceId: otherID, SpanId: spanID, Attributes: attrs("opentracing.ref_type", 1, "opentracing.ref_type", "child_of")},
			{},
		}
	}),
	"link to the parent": one(func(s *tracev1.Span) {
		s.ParentSpanId = parent
		s.Links = []*tracev1.Span_Link{{TraceId: traceID, SpanId: parent}, {TraceId: otherID, SpanId: parent}}
	}),
	"links without parent": one(func(s *tracev1.Span) { s.Links = []*tracev1.Span_Link{{TraceId: traceID, SpanId: parent}} }),
	"events": one(func(s *tracev1.Span) {
		s.Events = []*tracev1.Span_Event{
			{TimeUnixNano: 5, Name: "named", Attributes: everyType},
			{TimeUnixNano: 1_700_000_000_000_000_001, Attributes: attrs("k", "v")},
			{Name: "both", Attributes: attrs("a", 1, "event", "attr")},
			{Name: "number", Attributes: attrs("event", 7)},
			{},
		}
	}),
	"time 0":           one(func(s *tracev1.Span) { s.StartTimeUnixNano, s.EndTimeUnixNano = 0, 0 }),
	"end before start": one(func(s *tracev1.Span) { s.EndTimeUnixNano = 1_700_000_000_000_000_000 }),
	"after 2262":       one(func(s *tracev1.Span) { s.StartTimeUnixNano, s.EndTimeUnixNano = math.MaxUint64-5, math.MaxUint64 }),
	"long":             one(func(s *tracev1.Span) { s.StartTimeUnixNano, s.EndTimeUnixNano = 1<<63, 1<<63-1 }),
	"warnings": one(func(s *tracev1.Span) {
		s.Attributes = attrs("a", 1, otlp.WarningsKey, []any{"w", "", 5, "x\u00e9"}, "b", 2)
	}),
	"no warnings":     one(func(s *tracev1.Span) { s.Attributes = attrs(otlp.WarningsKey, []any{}) }),
	"warning as text": one(func(s *tracev1.Span) { s.Attributes = attrs(otlp.WarningsKey, "text", otlp.WarningsKey, []any{"x"}) }),
	"short trace id":  one(func(s *tracev1.Span) { s.TraceId = otherID }),
	"two resources": {
		under(attrs("service.name", "a"), nil, with(func(*tracev1.Span) {}), with(func(s *tracev1.Span) { s.SpanId = parent })),
		under(attrs("service.name", "b", "k", "v"), nil, with(func(*tracev1.Span) {})),
	},
}

// TestSpansAreThoseOfJaegersAdapter over hand-made cases, whose answers Jaeger's own code
// gave (testdata/adapter).
func TestSpansAreThoseOfJaegersAdapter(t *testing.T) {
	for name, resources := range cases {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", "cases", name)
			request, err := proto.MarshalOptions{Deterministic: true}.Marshal(&tracev1.TracesData{ResourceSpans: resources})
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file+".otlp", request, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			encoded, err := os.ReadFile(file + ".spans")
			if err != nil {
				t.Fatal(err)
			}
			want := &storagev1.SpansResponseChunk{}
			if err := proto.Unmarshal(encoded, want); err != nil {
				t.Fatal(err)
			}
			if got := spansOf(t, request); !proto.Equal(want, &storagev1.SpansResponseChunk{Spans: got}) {
				t.Errorf("(-adapter +got):\n%s", cmp.Diff(want.GetSpans(), got, protocmp.Transform()))
			}
		})
	}
}

func spansOf(t testing.TB, chunk []byte) (spans []*apiv2.Span) {
	t.Helper()
	if err := jaegerv1.Spans(chunk, func(s *apiv2.Span) error {
		spans = append(spans, s)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return spans
}

// TestSpansDifferFromTheAdapterWhereDocsSay holds the deliberate differences of docs/api.md.
func TestSpansDifferFromTheAdapterWhereDocsSay(t *testing.T) {
	for name, c := range map[string]struct {
		resource, span []*commonv1.KeyValue
		service, tag   string
	}{
		"the last of several names is the service": {resource: attrs("service.name", "a", "service.name", "b"), service: "b"},
		"a service that is no text is told":        {resource: attrs("service.name", 7), service: "7"},
		"a list with NaN is told":                  {resource: attrs("service.name", "s"), span: attrs("k", []any{1, math.NaN()}), service: "s", tag: `[1,"NaN"]`},
	} {
		request, err := proto.Marshal(&tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{
			under(c.resource, nil, with(func(s *tracev1.Span) { s.Attributes = c.span })),
		}})
		if err != nil {
			t.Fatal(err)
		}
		got := spansOf(t, request)[0]
		if got.GetProcess().GetServiceName() != c.service || len(got.GetProcess().GetTags()) > 0 || len(c.span) > 0 && got.GetTags()[0].GetVStr() != c.tag {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// realTraces are the recordings, with the number and the SHA-256 of the spans that
// Jaeger's adapter makes of them: `zstd -dc FILE | go run . -stream` in testdata/adapter.
var realTraces = map[string]string{
	"zipkin-fixtures.otlp.zst":              "1094 7933d680891a39a8e7d6de3ad8fa31c9979434154071bccb20589abaec1869e6",
	"jaeger-integration-fixtures.otlp.zst":  "38 7c65d2fa48c8ad810effe356506907df915a14c93920d3f7da21d50507922186",
	"hotrod.otlp.zst":                       "147159 c5480c50f3bda0d33d104c837c90cd1f806854d2d5147e2dfcef6a4b649836fb",
	"nezha-trainticket-2023-01-29.otlp.zst": "321068 0aee425968b087d60b22c06cb5ef326f508c632f1b18c9298b49dcccb540c2db",
}

func TestSpansOfRealTracesAreThoseOfJaegersAdapter(t *testing.T) {
	for name, want := range realTraces {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "zipkin-fixtures.otlp.zst" {
				t.Skip("the others take seconds")
			}
			hash, count := sha256.New(), 0
			for _, request := range requestsOf(t, name) {
				for _, s := range spansOf(t, request) {
					message, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
					if err != nil {
						t.Fatal(err)
					}
					hash.Write(message)
					count++
				}
			}
			if got := fmt.Sprintf("%d %x", count, hash.Sum(nil)); got != want {
				t.Errorf("got %s, the adapter has %s", got, want)
			}
		})
	}
}

// requestsOf reads a recording of ../shared/data.
func requestsOf(t testing.TB, name string) (requests [][]byte) {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("SKIP: %s is absent from ../shared/data of the repository root: nothing was proved over real traces", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := codec.NewZstdReader(file, codec.FileWindowBytesMax)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for len(all) > 0 {
		n, k := binary.Uvarint(all)
		requests = append(requests, all[k:k+int(n)])
		all = all[k+int(n):]
	}
	return requests
}
