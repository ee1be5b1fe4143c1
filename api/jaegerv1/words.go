package jaegerv1

import (
	"strings"

	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// Prefix begins the keys of span attributes that Stoa reserves for version 1. They are no
// tags: Spans does not show them, and a tag of such a name travels in the rest.
const Prefix = "@stoa@v1."

// RestKey is the attribute with what OTLP cannot say of a span; see rest.go.
const RestKey = Prefix + "rest"

// The tags and log fields that stand for fields of OTLP, and what else Jaeger's adapter
// spells in words.
const (
	tagKind         = "span.kind"
	tagError        = "error"
	tagStatusCode   = "otel.status_code"
	tagStatusText   = "otel.status_description"
	tagScopeName    = "otel.scope.name"
	tagScopeVersion = "otel.scope.version"
	tagTraceState   = "w3c.tracestate"
	fieldEvent      = "event"

	attrService = "service.name"
	attrRefType = "opentracing.ref_type"

	statusOK    = "OK"
	statusError = "ERROR"
	childOf     = "child_of"
	followsFrom = "follows_from"

	// noService is the service of a resource without a single attribute.
	noService = "OTLPResourceNoServiceName"
)

// isReserved tells of keys that a tag cannot have in OTLP.
func isReserved(key string) bool {
	return key == otlp.WarningsKey || strings.HasPrefix(key, Prefix)
}

func textTag(key, value string) *apiv2.KeyValue {
	return &apiv2.KeyValue{Key: key, VType: apiv2.ValueType_STRING, VStr: value}
}
