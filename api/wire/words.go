package wire

import (
	"strings"

	"github.com/stoadb/stoa/engine/span"
)

// kindNames is how jaeger.storage.v2 spells a span kind, by its OTLP number.
var kindNames = []string{
	span.KindUnspecified: "",
	span.KindInternal:    "internal",
	span.KindServer:      "server",
	span.KindClient:      "client",
	span.KindProducer:    "producer",
	span.KindConsumer:    "consumer",
}

// KindName spells a kind; a number that OTLP does not know counts as unspecified.
func KindName(kind int32) string {
	if kind < 0 || int(kind) >= len(kindNames) {
		return ""
	}
	return kindNames[kind]
}

// KindNumber reads a spelled kind, in any case.
func KindNumber(name string) (kind int32, ok bool) {
	for number, known := range kindNames {
		if strings.EqualFold(known, name) {
			return int32(number), true
		}
	}
	return 0, false
}

// Text makes valid UTF-8 of bytes that claim to be text: proto3 refuses all else, and
// one bad name must not spoil a whole answer.
func Text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
