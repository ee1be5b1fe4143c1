package enginetest

import (
	"encoding/binary"
	"math"
)

// The wire types of protobuf that OTLP uses.
const (
	varintField  = 0
	fixed64Field = 1
	bytesField   = 2
	fixed32Field = 5
)

// message is protobuf bytes in the making. It writes what it is told, also what no
// generated encoder would: fields out of order, twice, of the wrong length.
type message []byte

func (m *message) tag(field, wire int) { *m = binary.AppendUvarint(*m, uint64(field<<3|wire)) }

func (m *message) varint(field int, v uint64) {
	m.tag(field, varintField)
	*m = binary.AppendUvarint(*m, v)
}

func (m *message) fixed64(field int, v uint64) {
	m.tag(field, fixed64Field)
	*m = binary.LittleEndian.AppendUint64(*m, v)
}

func (m *message) fixed32(field int, v uint32) {
	m.tag(field, fixed32Field)
	*m = binary.LittleEndian.AppendUint32(*m, v)
}

func (m *message) bytes(field int, b []byte) {
	m.tag(field, bytesField)
	*m = binary.AppendUvarint(*m, uint64(len(b)))
	*m = append(*m, b...)
}

func (m *message) text(field int, s string) { m.bytes(field, []byte(s)) }

// anyText and the others below are AnyValue messages.
func anyText(s string) (m message) {
	m.text(1, s)
	return m
}

func anyBool(v bool) (m message) {
	n := uint64(0)
	if v {
		n = 1
	}
	m.varint(2, n)
	return m
}

func anyInt(v int64) (m message) {
	m.varint(3, uint64(v))
	return m
}

func anyDouble(v float64) (m message) {
	m.fixed64(4, math.Float64bits(v))
	return m
}

func anyArray(items ...message) (m message) {
	var list message
	for _, item := range items {
		list.bytes(1, item)
	}
	m.bytes(5, list)
	return m
}

func anyMap(pairs ...message) (m message) {
	var list message
	for _, pair := range pairs {
		list.bytes(1, pair)
	}
	m.bytes(6, list)
	return m
}

func anyBytes(b []byte) (m message) {
	m.bytes(7, b)
	return m
}

// keyValue is a KeyValue message; a nil value is left out.
func keyValue(key string, value message) (m message) {
	m.text(1, key)
	if value != nil {
		m.bytes(2, value)
	}
	return m
}
