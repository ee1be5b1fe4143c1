package otlp_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

// shape says which fields a random message may have; anything else is drawn as noise.
type shape struct {
	texts, varints, fixed64s, fixed32s []protowire.Number
	messages                           map[protowire.Number]*shape
	ids                                bool // begins with trace and span id
}

var anyShape, spanShape, requestShape = shapes()

func shapes() (*shape, *shape, *shape) {
	type numbers = []protowire.Number
	type children = map[protowire.Number]*shape
	value := &shape{texts: numbers{1, 7}, varints: numbers{2, 3, 8}, fixed64s: numbers{4}}
	pair := &shape{texts: numbers{1}, varints: numbers{3}, messages: children{2: value}}
	value.messages = children{5: {messages: children{1: value}}, 6: {messages: children{1: pair}}}
	entity := &shape{texts: numbers{1, 2, 3, 4}}
	resource := &shape{varints: numbers{2}, messages: children{1: pair, 3: entity}}
	scope := &shape{texts: numbers{1, 2}, varints: numbers{4}, messages: children{3: pair}}
	event := &shape{texts: numbers{2}, varints: numbers{4}, fixed64s: numbers{1}, messages: children{3: pair}}
	link := &shape{texts: numbers{1, 2, 3}, varints: numbers{5}, fixed32s: numbers{6}, messages: children{4: pair}}
	status := &shape{texts: numbers{2}, varints: numbers{3}}
	spans := &shape{texts: numbers{1, 2, 3, 4, 5}, varints: numbers{6, 10, 12, 14}, fixed64s: numbers{7, 8},
		fixed32s: numbers{16}, messages: children{9: pair, 11: event, 13: link, 15: status}, ids: true}
	scopeSpans := &shape{texts: numbers{3}, messages: children{1: scope, 2: spans}}
	resourceSpans := &shape{texts: numbers{3}, messages: children{1: resource, 2: scopeSpans}}
	return value, spans, &shape{messages: children{1: resourceSpans}}
}

// message draws a message of the shape, at most depth messages deep.
func (s *shape) message(t *rapid.T, depth int) []byte {
	var b []byte
	if s.ids && !chance(t, 10) {
		b = append(b, drawIDs(t)...)
	}
	for range rapid.IntRange(0, 5).Draw(t, "fields") {
		b = append(b, s.field(t, depth)...)
	}
	return b
}

func (s *shape) field(t *rapid.T, depth int) []byte {
	if chance(t, 12) {
		return noise(t, 3)
	}
	if len(s.messages) > 0 && depth > 0 && (chance(t, 2) || len(s.texts) == 0) {
		numbers := make([]protowire.Number, 0, len(s.messages))
		for n := protowire.Number(1); int(n) < 17; n++ {
			if s.messages[n] != nil {
				numbers = append(numbers, n)
			}
		}
		n := rapid.SampledFrom(numbers).Draw(t, "message")
		return bytesField(n, s.messages[n].message(t, depth-1))
	}
	var kinds []func() []byte
	if len(s.texts) > 0 {
		kinds = append(kinds, func() []byte { return textField(rapid.SampledFrom(s.texts).Draw(t, "text"), drawText(t)) })
	}
	if len(s.varints) > 0 {
		kinds = append(kinds, func() []byte { return drawVarint(t, rapid.SampledFrom(s.varints).Draw(t, "varint")) })
	}
	if len(s.fixed64s) > 0 {
		kinds = append(kinds, func() []byte {
			return fixed64Field(rapid.SampledFrom(s.fixed64s).Draw(t, "fixed64"), rapid.Uint64().Draw(t, "bits"))
		})
	}
	if len(s.fixed32s) > 0 {
		kinds = append(kinds, func() []byte {
			return fixed32Field(rapid.SampledFrom(s.fixed32s).Draw(t, "fixed32"), rapid.Uint32().Draw(t, "bits"))
		})
	}
	if len(kinds) == 0 {
		return nil
	}
	return rapid.SampledFrom(kinds).Draw(t, "kind")()
}

// noise draws a field of any number and wire type.
func noise(t *rapid.T, depth int) []byte {
	n := protowire.Number(rapid.OneOf(rapid.Int32Range(1, 20), rapid.Int32Range(1, 1<<29-1)).Draw(t, "number"))
	switch rapid.IntRange(0, 4).Draw(t, "wire") {
	case 0:
		return drawVarint(t, n)
	case 1:
		return fixed64Field(n, rapid.Uint64().Draw(t, "bits"))
	case 2:
		return fixed32Field(n, rapid.Uint32().Draw(t, "bits"))
	case 3:
		if depth > 0 {
			return groupField(n, noise(t, depth-1))
		}
	}
	// No length that a nested message could stand in: the bytes of a known field must parse.
	return textField(n, rapid.SampledFrom([]string{"", "", "\x08\x01", "\x12\x00"}).Draw(t, "bytes"))
}

func drawVarint(t *rapid.T, n protowire.Number) []byte {
	if chance(t, 5) {
		return longVarintField(n, byte(rapid.IntRange(0, 127).Draw(t, "small")))
	}
	return varintField(n, rapid.Uint64().Draw(t, "varint"))
}

func drawText(t *rapid.T) string {
	return rapid.OneOf(rapid.SampledFrom([]string{"", "a", "service.name", "12345678", traceID1, spanID1, "\xff", "\u00e9\xc3"}),
		rapid.StringN(0, 40, -1)).Draw(t, "text")
}

func drawIDs(t *rapid.T) []byte {
	id := []byte(traceID1)
	id[15] = byte(rapid.IntRange(0, 4).Draw(t, "trace"))
	spanID := []byte(spanID1)
	spanID[7] = byte(rapid.IntRange(0, 3).Draw(t, "span"))
	if chance(t, 10) {
		id = id[8:]
	}
	return msg(bytesField(1, id), bytesField(2, spanID))
}

// chance is true once in n.
func chance(t *rapid.T, n int) bool { return rapid.IntRange(1, n).Draw(t, "chance") == 1 }

func TestRandomSpansComeBackExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spans := make([][]byte, rapid.IntRange(0, 6).Draw(t, "spans"))
		for i := range spans {
			spans[i] = msg(drawIDs(t), spanShape.message(t, 6))
		}
		promises(t, msg(request(spans...), requestShape.message(t, 8)))
	})
}

func TestRandomValuesComeBackExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		promises(t, request(spanOf(attr("k", anyShape.message(t, 7)))))
	})
}
