package api_test

import (
	"testing"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/stoadb/stoa/engine/span"
)

// conjunctionLevels are the levels of an attribute, each with a key of its own.
var conjunctionLevels = []string{"span", "resource", "scope", "event", "link"}

// onOneSpan makes a span that has an attribute on each level, but for one: that level stands on a
// second span of the trace, under a resource and a scope of its own.
func onOneSpan(id span.TraceID, but string) []*tracev1.ResourceSpans {
	of := func(number byte, has func(level string) bool) *tracev1.ResourceSpans {
		on := func(level string) []*commonv1.KeyValue {
			if !has(level) {
				return nil
			}
			return []*commonv1.KeyValue{stringAttribute(level+".key", "v")}
		}
		return &tracev1.ResourceSpans{
			Resource: &resourcev1.Resource{Attributes: on("resource")},
			ScopeSpans: []*tracev1.ScopeSpans{{
				Scope: &commonv1.InstrumentationScope{Attributes: on("scope")},
				Spans: []*tracev1.Span{{
					TraceId: id[:], SpanId: []byte{number, 0, 0, 0, 0, 0, 0, 1}, Name: "n", StartTimeUnixNano: 1_700_000_000_000_000_000, EndTimeUnixNano: 1_700_000_000_000_000_001,
					Attributes: on("span"),
					Events:     []*tracev1.Span_Event{{Name: "e", Attributes: on("event")}},
					Links:      []*tracev1.Span_Link{{TraceId: id[:], SpanId: []byte("eight by"), Attributes: on("link")}},
				}},
			}},
		}
	}
	return []*tracev1.ResourceSpans{of(1, func(level string) bool { return level != but }), of(2, func(level string) bool { return level == but })}
}

// TestAllTagsHoldOnOneSpan over all five levels, what Capabilities calls same_span_conjunction: a
// trace that has all of them, but not on one span, is not found.
func TestAllTagsHoldOnOneSpan(t *testing.T) {
	server, store := storing(t)
	whole := id(1)
	export(t, server, onOneSpan(whole, "")...)
	for i, level := range conjunctionLevels {
		export(t, server, onOneSpan(id(2+i), level)...)
	}
	for _, state := range []string{"memtable", "segment"} {
		q := span.AllTime()
		for i, level := range conjunctionLevels {
			q.Tags = append(q.Tags, span.Tag{Key: level + ".key", Value: "v"})
			one := span.AllTime()
			one.Tags = q.Tags[i:]
			if found, err := server.FindTraceIDs(t.Context(), one); err != nil || len(found) != 1+len(conjunctionLevels) {
				t.Errorf("%s, %s alone: %v, %v", state, level, found, err)
			}
		}
		found, err := server.FindTraceIDs(t.Context(), q)
		if err != nil || len(found) != 1 || found[0] != whole {
			t.Errorf("%s: %v, %v; want %v alone", state, found, err, whole)
		}
		if err := store.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
