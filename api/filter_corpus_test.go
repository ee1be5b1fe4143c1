package api_test

import (
	"encoding/binary"
	"testing"
	"time"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/expressionv1"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// The nodes of a filter on the wire.

func op(name string, args ...*expressionv1.Expression) *expressionv1.Expression {
	return &expressionv1.Expression{Term: &expressionv1.Expression_Call{Call: &expressionv1.Call{Op: name, Args: args}}}
}

// attr is an attribute of a level, of the span or its resource for "".
func attr(level, key string) *expressionv1.Expression {
	return &expressionv1.Expression{Term: &expressionv1.Expression_Attr{Attr: &expressionv1.AttributeReference{Level: level, Key: key}}}
}

func field(level, name string) *expressionv1.Expression {
	return &expressionv1.Expression{Term: &expressionv1.Expression_Field{Field: &expressionv1.FieldReference{Level: level, Name: name}}}
}

func nested(level string) *expressionv1.Expression {
	return &expressionv1.Expression{Term: &expressionv1.Expression_Nested{Nested: &expressionv1.NestedReference{Level: level}}}
}

// value is a constant without a type.
func value(text string) *expressionv1.Expression { return typed("", text) }

func typed(typeName, text string) *expressionv1.Expression {
	return &expressionv1.Expression{Term: &expressionv1.Expression_Scalar{Scalar: &expressionv1.Scalar{Type: typeName, Value: text}}}
}

func list(typeName string, values ...string) *expressionv1.Expression {
	return &expressionv1.Expression{Term: &expressionv1.Expression_List{List: &expressionv1.List{Type: typeName, Values: values}}}
}

// The attributes of the corpus.

func intAttribute(key string, v int64) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: v}}}
}

func doubleAttribute(key string, v float64) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_DoubleValue{DoubleValue: v}}}
}

func boolAttribute(key string, v bool) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_BoolValue{BoolValue: v}}}
}

func bytesAttribute(key string, v ...byte) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_BytesValue{BytesValue: v}}}
}

func listAttribute(key string, values ...*commonv1.KeyValue) *commonv1.KeyValue {
	array := &commonv1.ArrayValue{}
	for _, v := range values {
		array.Values = append(array.Values, v.GetValue())
	}
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: array}}}
}

// corpusStart is when all spans of the corpus start.
var corpusStart = uint64(time.Date(2026, 8, 16, 18, 56, 20, 123456789, time.UTC).UnixNano())

// corpusNames are the traces of the corpus, one span each, in the order of their ids.
var corpusNames = []string{"cart", "shop", "bare"}

// corpus is three spans that differ on every level:
//   - cart has everything;
//   - shop has some of the same values under other types or on other levels;
//   - bare has nothing but what every span has.
func corpus() []*tracev1.ResourceSpans {
	spanID := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	one, two, three, other := id(1), id(2), id(3), id(99)
	cart := &tracev1.Span{
		TraceId: one[:], SpanId: spanID(1), ParentSpanId: spanID(0xabc), TraceState: "vendor=1", Name: "GET /cart",
		Kind: tracev1.Span_SPAN_KIND_SERVER, StartTimeUnixNano: corpusStart, EndTimeUnixNano: corpusStart + 2_000_000_000,
		Status: &tracev1.Status{Code: tracev1.Status_STATUS_CODE_ERROR, Message: "card refused"},
		Attributes: []*commonv1.KeyValue{
			intAttribute("http.status_code", 500), stringAttribute("zone", "us"), intAttribute("retry", 9), doubleAttribute("ratio", 2.5),
			doubleAttribute("whole", 3), boolAttribute("flag", true), stringAttribute("empty", ""), intAttribute("big", 1<<53+1),
			stringAttribute("note", "Please REFUND: the refund-policy says no"), bytesAttribute("raw", 1, 2, 3),
			listAttribute("list", intAttribute("", 1), stringAttribute("", "a")), intAttribute("after", 12), doubleAttribute("before", 11.5),
			stringAttribute("duration", "2s"), stringAttribute("operation", "GET /cart"), stringAttribute("word", "Käse"), stringAttribute("again", "refund refund policy"),
		},
		Events: []*tracev1.Span_Event{
			{TimeUnixNano: corpusStart + 50_000, Name: "exception", Attributes: []*commonv1.KeyValue{stringAttribute("type", "Timeout"), intAttribute("attempt", 1)}},
			{TimeUnixNano: corpusStart - 1_000_000, Name: "retry", Attributes: []*commonv1.KeyValue{stringAttribute("type", "Reset"), intAttribute("attempt", 2)}},
		},
		Links: []*tracev1.Span_Link{
			{TraceId: two[:], SpanId: spanID(2), Attributes: []*commonv1.KeyValue{stringAttribute("why", "batch")}},
			{TraceId: other[:], SpanId: spanID(7), TraceState: "x=1", Attributes: []*commonv1.KeyValue{stringAttribute("why", "follow")}},
		},
	}
	shop := &tracev1.Span{
		TraceId: two[:], SpanId: spanID(2), Name: "POST /shop", Kind: tracev1.Span_SPAN_KIND_CLIENT,
		StartTimeUnixNano: corpusStart, EndTimeUnixNano: corpusStart + 5_000_000,
		Attributes: []*commonv1.KeyValue{
			stringAttribute("http.status_code", "500"), intAttribute("retry", 11), stringAttribute("ratio", "2.5"), intAttribute("whole", 3),
			stringAttribute("flag", "true"), stringAttribute("note", "policy, refund"), stringAttribute("env", "test"),
		},
		Events: []*tracev1.Span_Event{
			{TimeUnixNano: corpusStart + 1, Name: "exception", Attributes: []*commonv1.KeyValue{stringAttribute("type", "Reset")}},
			{TimeUnixNano: corpusStart + 2, Name: "", Attributes: []*commonv1.KeyValue{stringAttribute("type", "Timeout")}},
		},
	}
	bare := &tracev1.Span{
		TraceId: three[:], SpanId: spanID(3), StartTimeUnixNano: corpusStart, EndTimeUnixNano: corpusStart,
		Status: &tracev1.Status{Code: tracev1.Status_STATUS_CODE_OK},
	}
	return []*tracev1.ResourceSpans{
		{
			Resource:  &resourcev1.Resource{Attributes: []*commonv1.KeyValue{stringAttribute("service.name", "cart"), stringAttribute("zone", "eu"), stringAttribute("env", "prod")}},
			SchemaUrl: "https://example.org/1",
			ScopeSpans: []*tracev1.ScopeSpans{{
				Scope:     &commonv1.InstrumentationScope{Name: "lib", Version: "1.2", Attributes: []*commonv1.KeyValue{boolAttribute("built", true)}},
				SchemaUrl: "https://example.org/2", Spans: []*tracev1.Span{cart},
			}},
		},
		{
			Resource:   &resourcev1.Resource{Attributes: []*commonv1.KeyValue{stringAttribute("service.name", "shop"), stringAttribute("env", "prod")}},
			ScopeSpans: []*tracev1.ScopeSpans{{Scope: &commonv1.InstrumentationScope{}, Spans: []*tracev1.Span{shop}}},
		},
		{ScopeSpans: []*tracev1.ScopeSpans{{Spans: []*tracev1.Span{bare}}}},
	}
}

// storing serves the real store, which holds the corpus.
func storing(t *testing.T) (*running, *cluster.Store) {
	t.Helper()
	store, err := cluster.Open(t.Context(), cluster.Options{FS: vfs.NewCrash(1), Shards: 2, ReserveBytes: -1, Log: wal.Options{FileBytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close(t.Context()) })
	server := start(t, over(store), api.Options{})
	export(t, server, corpus()...)
	return server, store
}

// over passes on to a store.
func over(store *cluster.Store) *scripted {
	return &scripted{
		write: store.Write, find: store.Find, get: store.Get, summaries: store.Summaries,
		summariesOf: store.SummariesOf, findSpans: store.FindSpans,
	}
}
