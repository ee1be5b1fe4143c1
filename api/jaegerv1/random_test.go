package jaegerv1_test

import (
	"math"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/stoadb/stoa/api/jaegerv1"
	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// keys are those with a meaning, and a few without; texts likewise.
var (
	keys = []string{"span.kind", "error", "otel.status_code", "otel.status_description", "otel.scope.name", "otel.scope.version",
		"w3c.tracestate", "event", "service.name", "http.status_code", "opentracing.ref_type", otlp.WarningsKey, jaegerv1.RestKey,
		jaegerv1.Prefix + "other", "hostname", "jaeger.version", "a", "b", ""}
	texts = []string{"", "client", "server", "producer", "consumer", "internal", "CLIENT", "OK", "ERROR", "ok", "true", "child_of", "500", "x\u00e9", "[]"}
	times = []int64{0, 1, 1_700_000_000, -1, -62135596800, 9_223_372_036, 9_223_372_037, 253402300799}
)

func anyTag(t *rapid.T) *apiv2.KeyValue {
	tag := &apiv2.KeyValue{Key: rapid.SampledFrom(keys).Draw(t, "key"), VType: apiv2.ValueType(rapid.IntRange(0, 5).Draw(t, "type"))}
	isOdd := rapid.IntRange(0, 20).Draw(t, "odd") == 0 // values beside the type's own
	if tag.GetVType() == apiv2.ValueType_STRING || isOdd {
		tag.VStr = rapid.SampledFrom(texts).Draw(t, "text")
	}
	if tag.GetVType() == apiv2.ValueType_BOOL || isOdd {
		tag.VBool = rapid.Bool().Draw(t, "bool")
	}
	if tag.GetVType() == apiv2.ValueType_INT64 || isOdd {
		tag.VInt64 = rapid.Int64().Draw(t, "int")
	}
	if tag.GetVType() == apiv2.ValueType_FLOAT64 || isOdd {
		tag.VFloat64 = rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1.5, math.NaN(), math.Inf(-1), 1e300}).Draw(t, "double")
	}
	if tag.GetVType() == apiv2.ValueType_BINARY || isOdd {
		tag.VBinary = rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "bytes")
	}
	return tag
}

func anyTime(t *rapid.T) *timestamppb.Timestamp {
	if rapid.IntRange(0, 9).Draw(t, "no time") == 0 {
		return nil
	}
	return &timestamppb.Timestamp{Seconds: rapid.SampledFrom(times).Draw(t, "seconds"), Nanos: int32(rapid.SampledFrom([]int{0, 1, 854_775_807, 999_999_999}).Draw(t, "nanos"))}
}

func anyReference(t *rapid.T) *apiv2.SpanRef {
	return &apiv2.SpanRef{
		TraceId: rapid.SampledFrom([][]byte{traceID, otherID, otherID[8:], nil}).Draw(t, "trace"),
		SpanId:  rapid.SampledFrom([][]byte{spanID, parent, nil}).Draw(t, "span"),
		RefType: apiv2.SpanRefType(rapid.IntRange(0, 2).Draw(t, "type")),
	}
}

func listOf[T any](t *rapid.T, name string, n int, item func(t *rapid.T) T) []T {
	return rapid.SliceOfN(rapid.Custom(item), 0, n).Draw(t, name)
}

// anySpan is any span that Jaeger's own server would take.
func anySpan(t *rapid.T) *apiv2.Span {
	s := &apiv2.Span{
		TraceId:       rapid.SampledFrom([][]byte{traceID, otherID, otherID[8:]}).Draw(t, "trace id"),
		SpanId:        rapid.SampledFrom([][]byte{spanID, parent}).Draw(t, "span id"),
		OperationName: rapid.SampledFrom(texts).Draw(t, "name"),
		References:    listOf(t, "references", 3, anyReference),
		Flags:         rapid.SampledFrom([]uint32{0, 1, 3, math.MaxUint32}).Draw(t, "flags"),
		StartTime:     anyTime(t),
		Tags:          listOf(t, "tags", 8, anyTag),
		Logs: listOf(t, "logs", 3, func(t *rapid.T) *apiv2.Log {
			return &apiv2.Log{Timestamp: anyTime(t), Fields: listOf(t, "fields", 3, anyTag)}
		}),
		ProcessId: rapid.SampledFrom([]string{"", "p1"}).Draw(t, "process id"),
		Warnings:  rapid.SliceOfN(rapid.SampledFrom(texts), 0, 2).Draw(t, "warnings"),
	}
	if rapid.IntRange(0, 9).Draw(t, "no duration") > 0 {
		s.Duration = &durationpb.Duration{Seconds: rapid.SampledFrom([]int64{0, 1, -1, 9_000_000_000, -9_000_000_000}).Draw(t, "duration")}
	}
	if rapid.IntRange(0, 9).Draw(t, "no process") > 0 {
		s.Process = &apiv2.Process{
			ServiceName: rapid.SampledFrom([]string{"svc", "", "OTLPResourceNoServiceName"}).Draw(t, "service"),
			Tags:        listOf(t, "process tags", 4, anyTag),
		}
	}
	return s
}
