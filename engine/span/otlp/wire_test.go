package otlp_test

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Builders of wire bytes for the cases that no generated type can express.

func msg(parts ...[]byte) []byte { return slices.Concat(parts...) }

func bytesField(number protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), msg(parts...))
}

func textField(number protowire.Number, text string) []byte { return bytesField(number, []byte(text)) }

func varintField(number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), v)
}

func fixed64Field(number protowire.Number, v uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), v)
}

func fixed32Field(number protowire.Number, v uint32) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(nil, number, protowire.Fixed32Type), v)
}

func groupField(number protowire.Number, parts ...[]byte) []byte {
	b := protowire.AppendTag(nil, number, protowire.StartGroupType)
	return protowire.AppendTag(append(b, msg(parts...)...), number, protowire.EndGroupType)
}

// longVarintField is varintField with a longer varint than needed, which is legal.
func longVarintField(number protowire.Number, v byte) []byte {
	return append(protowire.AppendTag(nil, number, protowire.VarintType), v|0x80, 0x80, 0)
}

// AnyValue members.

func stringValue(text string) []byte          { return textField(1, text) }
func boolValue(v bool) []byte                 { return varintField(2, protowire.EncodeBool(v)) }
func intValue(v int64) []byte                 { return varintField(3, uint64(v)) }
func doubleBits(v uint64) []byte              { return fixed64Field(4, v) }
func arrayValue(items ...[]byte) []byte       { return bytesField(5, repeated(items)) }
func mapValue(keyValues ...[]byte) []byte     { return bytesField(6, repeated(keyValues)) }
func bytesValue(b string) []byte              { return textField(7, b) }
func keyValue(key string, v ...[]byte) []byte { return msg(textField(1, key), bytesField(2, v...)) }

// repeated is field 1, once per item.
func repeated(items [][]byte) []byte {
	var b []byte
	for _, item := range items {
		b = append(b, bytesField(1, item)...)
	}
	return b
}

// Parts of a span.

const (
	traceID1 = "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"
	traceID2 = "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x11"
	spanID1  = "\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8"
)

var ids = msg(textField(1, traceID1), textField(2, spanID1))

func spanOf(fields ...[]byte) []byte { return msg(ids, msg(fields...)) }

func attr(key string, v ...[]byte) []byte { return bytesField(9, keyValue(key, v...)) }

// request puts spans under one resource and scope.
func request(spans ...[]byte) []byte {
	var b []byte
	for _, s := range spans {
		b = append(b, bytesField(2, s)...)
	}
	return bytesField(1, bytesField(1, bytesField(1, keyValue("service.name", stringValue("shop")))), bytesField(2, b))
}

// nested wraps a value in n arrays.
func nested(n int, v []byte) []byte {
	for range n {
		v = arrayValue(v)
	}
	return v
}

// fieldLength is the length of the first field of b.
func fieldLength(b []byte) int {
	_, _, n := protowire.ConsumeField(b)
	return n
}
