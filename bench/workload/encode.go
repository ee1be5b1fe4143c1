package workload

import "encoding/binary"

// The fields of OTLP that are written here (opentelemetry-proto, trace/v1/trace.proto and
// common/v1/common.proto), as tags of protobuf: number<<3 | wire type.
//
//	ExportTraceServiceRequest  1 resource_spans
//	ResourceSpans  1 resource  2 scope_spans  3 schema_url
//	ScopeSpans     1 scope  2 spans
//	Resource       1 attributes
//	Scope          1 name  2 version
//	Span    1 trace_id  2 span_id  4 parent_span_id  5 name  6 kind  7 start  8 end
//	        9 attributes  11 events  13 links  15 status  16 flags
//	Event   1 time  2 name  3 attributes
//	Link    1 trace_id  2 span_id  6 flags
//	Status  2 message  3 code
//	KeyValue  1 key  2 value    AnyValue  1 string  2 bool  3 int  4 double
const (
	varintType  = 0
	fixed64Type = 1
	bytesType   = 2
	fixed32Type = 5
)

func appendTag(dst []byte, number int, wire byte) []byte {
	return binary.AppendUvarint(dst, uint64(number)<<3|uint64(wire))
}

// appendField writes a field of bytes, a text or a whole message.
func appendField[T string | []byte](dst []byte, number int, content T) []byte {
	dst = binary.AppendUvarint(appendTag(dst, number, bytesType), uint64(len(content)))
	return append(dst, content...)
}

func appendFixed64(dst []byte, number int, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(appendTag(dst, number, fixed64Type), v)
}

func appendFixed32(dst []byte, number int, v uint32) []byte {
	return binary.LittleEndian.AppendUint32(appendTag(dst, number, fixed32Type), v)
}

func appendVarint(dst []byte, number int, v uint64) []byte {
	return binary.AppendUvarint(appendTag(dst, number, varintType), v)
}

// value is an attribute's value: a text, or the bits of another type.
type value struct {
	text []byte
	bits uint64
	tag  byte // of the AnyValue field: bits are written as its wire type wants
}

// Tags of AnyValue.
const (
	stringTag = 1<<3 | bytesType
	boolTag   = 2<<3 | varintType
	intTag    = 3<<3 | varintType
	doubleTag = 4<<3 | fixed64Type
)

func ofText(text string) value { return value{text: []byte(text), tag: stringTag} }

func ofInt(v uint64) value { return value{bits: v, tag: intTag} }

func ofBool(v bool) value {
	if v {
		return value{bits: 1, tag: boolTag}
	}
	return value{tag: boolTag}
}

// appendValue writes an AnyValue, without its length.
func appendValue(dst []byte, v value) []byte {
	dst = append(dst, v.tag)
	switch v.tag {
	case stringTag:
		return append(binary.AppendUvarint(dst, uint64(len(v.text))), v.text...)
	case doubleTag:
		return binary.LittleEndian.AppendUint64(dst, v.bits)
	}
	return binary.AppendUvarint(dst, v.bits)
}

func (v value) size() int {
	switch v.tag {
	case stringTag:
		return 1 + uvarintBytes(uint64(len(v.text))) + len(v.text)
	case doubleTag:
		return 1 + 8
	}
	return 1 + uvarintBytes(v.bits)
}

// appendAttribute writes a KeyValue as field number of its owner.
func appendAttribute(dst []byte, number int, key string, v value) []byte {
	size := v.size()
	inner := 1 + uvarintBytes(uint64(len(key))) + len(key) + 1 + uvarintBytes(uint64(size)) + size
	dst = binary.AppendUvarint(appendTag(dst, number, bytesType), uint64(inner))
	dst = appendField(dst, 1, key)
	dst = binary.AppendUvarint(append(dst, 2<<3|bytesType), uint64(size))
	return appendValue(dst, v)
}

func uvarintBytes(x uint64) int {
	n := 1
	for ; x >= 0x80; x >>= 7 {
		n++
	}
	return n
}
