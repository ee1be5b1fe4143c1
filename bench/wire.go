package bench

import (
	"encoding/binary"

	"github.com/stoadb/stoa/internal/codec"
)

// The measuring room reads OTLP with a few lines of its own: what it sends and what it
// checks must not lean on the code that is measured.
//
//	ExportTraceServiceRequest, TracesData   1 resource_spans
//	ResourceSpans                           2 scope_spans
//	ScopeSpans                              2 spans
//	Span      1 trace_id  2 span_id  4 parent_span_id  5 name
//	          7 start  8 end (fixed64)  11 events  13 links
//	Event     1 time (fixed64)
//	Link      1 trace_id  2 span_id

// Wire types of protobuf.
const (
	varintWire  = 0
	fixed64Wire = 1
	bytesWire   = 2
	groupWire   = 3
	endWire     = 4
	fixed32Wire = 5
)

// field is one field of a message: value is a slice of the message, the content of a
// bytes field and the encoded number of others; a group has none.
type field struct {
	number uint64
	wire   byte
	value  []byte
}

// is reports whether the field has the number and wire type.
func (f field) is(number uint64, wire byte) bool { return f.number == number && f.wire == wire }

// varint is the number of a varint field.
func (f field) varint() uint64 {
	v, _ := binary.Uvarint(f.value)
	return v
}

// nextField reads the first field of b, which is not empty, and gives what follows it.
func nextField(b []byte) (f field, rest []byte, err error) {
	f, rest, err = nextToken(b)
	if err != nil || f.wire != groupWire {
		return f, rest, err
	}
	for depth := 1; depth > 0; {
		var inner field
		if inner, rest, err = nextToken(rest); err != nil {
			return field{}, nil, err
		}
		switch inner.wire {
		case groupWire:
			depth++
		case endWire:
			depth--
		}
		if depth > groupDepthMax {
			return field{}, nil, codec.Corrupt("groups nested deeper than %d", groupDepthMax)
		}
	}
	return f, rest, nil
}

// nextToken is nextField for which the begin and the end of a group are fields.
func nextToken(b []byte) (f field, rest []byte, err error) {
	tag, n := binary.Uvarint(b)
	if n <= 0 {
		return field{}, nil, codec.Corrupt("a field's tag is not a varint")
	}
	f.number, f.wire, b = tag>>3, byte(tag&7), b[n:]
	size := uint64(0)
	switch f.wire {
	case varintWire:
		if _, n = binary.Uvarint(b); n <= 0 {
			return field{}, nil, codec.Corrupt("value of field %d is not a varint", f.number)
		}
		size = uint64(n)
	case fixed64Wire:
		size = 8
	case fixed32Wire:
		size = 4
	case bytesWire:
		if size, n = binary.Uvarint(b); n <= 0 {
			return field{}, nil, codec.Corrupt("length of field %d is not a varint", f.number)
		}
		b = b[n:]
	case groupWire, endWire:
	default:
		return field{}, nil, codec.Corrupt("field %d has wire type %d", f.number, f.wire)
	}
	if size > uint64(len(b)) {
		return field{}, nil, codec.Corrupt("field %d ends %d bytes beyond its message", f.number, size-uint64(len(b)))
	}
	f.value = b[:size:size]
	return f, b[size:], nil
}

// eachField calls visit with every field of a message.
func eachField(message []byte, visit func(field) error) error {
	for len(message) > 0 {
		f, rest, err := nextField(message)
		if err != nil {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
		message = rest
	}
	return nil
}

// eachMessage calls visit with every message that stands in field number of message.
func eachMessage(message []byte, number uint64, visit func(inner []byte) error) error {
	return eachField(message, func(f field) error {
		if !f.is(number, bytesWire) {
			return nil
		}
		return visit(f.value)
	})
}

// eachSpan calls visit with every Span message of an export request, as a slice of it.
func eachSpan(request []byte, visit func(span []byte) error) error {
	return eachMessage(request, 1, func(resourceSpans []byte) error {
		return eachMessage(resourceSpans, 2, func(scopeSpans []byte) error {
			return eachMessage(scopeSpans, 2, visit)
		})
	})
}
