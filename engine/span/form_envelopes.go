package span

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// The resources and scopes of a batch:
//
//	resources v; each: message v, schema URL v, service v, present u8 (0, 1), attributes v
//	scopes    v; each: message v, schema URL v, name v, version v, present u8, attributes v
//	each attribute, of all resources and then of all scopes: key v, type u8, value v
//
// A message says what its attributes say, in the bytes that nearly all senders write: then it
// is not written. The first resource or scope that has it gives it back. It is written all
// the same where the bytes differ, and where its text is also that of an attribute, a name or
// a version, so that what gives a message never is one given.

// Marks of texts.
const (
	textUsed    uint8 = 1 << iota // by an attribute of a resource or scope, a name or a version
	textTried                     // the message of a resource or scope that was looked at
	textDerived                   // a message that its attributes give
)

// envelopeView is a resource or scope with its attributes.
type envelopeView struct {
	message       TextID
	name, version TextID
	attrs         []Attr
	attrTag       byte
}

// envelopes is the number of resources and scopes.
func (b *Batch) envelopes() int { return len(b.Resources) + len(b.Scopes) }

// envelope gives a resource, or behind the last of them a scope.
func (b *Batch) envelope(i int) envelopeView {
	if i < len(b.Resources) {
		return envelopeView{message: b.Resources[i].Message, attrs: b.ResourceAttrsOf(uint32(i)), attrTag: 1<<3 | 2}
	}
	i -= len(b.Resources)
	s := &b.Scopes[i]
	return envelopeView{message: s.Message, name: s.Name, version: s.Version, attrs: b.ScopeAttrsOf(uint32(i)), attrTag: 3<<3 | 2}
}

// markUsed marks the texts that no message may be.
func (s *formScratch) markUsed(b *Batch, texts int) {
	s.marks = cleared(s.marks, texts+1)
	for _, attrs := range [2][]Attr{b.ResourceAttrs, b.ScopeAttrs} {
		for _, a := range attrs {
			s.marks[a.Key] |= textUsed
			if a.Type.HasText() {
				s.marks[a.Value] |= textUsed
			}
		}
	}
	for i := range b.Scopes {
		s.marks[b.Scopes[i].Name] |= textUsed
		s.marks[b.Scopes[i].Version] |= textUsed
	}
}

// findDerived marks the messages that need not be written, and lists them by id.
func (w *formWriter) findDerived(b *Batch) {
	w.markUsed(b, max(len(b.TextEnd), 1)-1)
	w.derived = w.derived[:0]
	for i := range b.envelopes() {
		e := b.envelope(i)
		mark := &w.marks[e.message]
		if e.message == 0 || *mark != 0 {
			continue
		}
		*mark = textTried
		want := b.Bytes(e.message)
		w.message = e.append(w.message[:0], b)
		if bytes.Equal(w.message, want) {
			*mark |= textDerived
			w.derived = append(w.derived, e.message)
		}
	}
	slices.Sort(w.derived)
}

// bytes is the length of what append appends.
func (e *envelopeView) bytes(texts *Batch) int {
	n := 0
	for _, id := range [2]TextID{e.name, e.version} {
		if id != 0 {
			n += fieldLen(texts.TextBytes(id))
		}
	}
	for _, a := range e.attrs {
		n += fieldLen(attrLen(a, texts))
	}
	return n
}

// append appends the message.
func (e *envelopeView) append(dst []byte, texts *Batch) []byte {
	if e.name != 0 {
		dst = appendField(dst, 1<<3|2, texts.Bytes(e.name))
	}
	if e.version != 0 {
		dst = appendField(dst, 2<<3|2, texts.Bytes(e.version))
	}
	for _, a := range e.attrs {
		dst = appendAttr(dst, e.attrTag, a, texts)
	}
	return dst
}

// fieldLen is the length of a field of n bytes with a tag of one.
func fieldLen(n int) int { return 1 + varintLen(uint64(n)) + n }

// The tag of an AnyValue's member, by type; 0 for types that are no member.
var memberTags = [ValueTypes]byte{
	StringValue: 1<<3 | 2, BoolValue: 2 << 3, IntValue: 3 << 3, DoubleValue: 4<<3 | 1,
	ArrayValue: 5<<3 | 2, MapValue: 6<<3 | 2, BytesValue: 7<<3 | 2,
}

// valueLen is the length of an AnyValue.
func valueLen(a Attr, texts *Batch) int {
	switch a.Type {
	case StringValue, BytesValue, ArrayValue, MapValue:
		return fieldLen(texts.TextBytes(TextID(a.Value)))
	case BoolValue:
		return 2
	case IntValue:
		return 1 + varintLen(a.Value)
	case DoubleValue:
		return 9
	}
	return 0
}

// keyLen is the length of a KeyValue's key, field 1.
func keyLen(a Attr, texts *Batch) int {
	if a.Key == 0 {
		return 0
	}
	return fieldLen(texts.TextBytes(a.Key))
}

// attrLen is the length of a KeyValue: key 1, value 2.
func attrLen(a Attr, texts *Batch) int { return keyLen(a, texts) + fieldLen(valueLen(a, texts)) }

// appendAttr appends a field that is a KeyValue.
func appendAttr(dst []byte, tag byte, a Attr, texts *Batch) []byte {
	value := valueLen(a, texts)
	dst = appendLength(append(dst, tag), keyLen(a, texts)+fieldLen(value))
	if a.Key != 0 {
		dst = appendField(dst, 1<<3|2, texts.Bytes(a.Key))
	}
	dst = appendLength(append(dst, 2<<3|2), value)
	member := memberTags[a.Type]
	switch a.Type {
	case StringValue, BytesValue, ArrayValue, MapValue:
		return appendField(dst, member, texts.Bytes(TextID(a.Value)))
	case BoolValue, IntValue:
		return binary.AppendUvarint(append(dst, member), a.Value)
	case DoubleValue:
		return binary.LittleEndian.AppendUint64(append(dst, member), a.Value)
	}
	return dst
}

// appendField appends a field of bytes.
func appendField(dst []byte, tag byte, value []byte) []byte {
	return append(appendLength(append(dst, tag), len(value)), value...)
}

// appendLength appends a varint, which is nearly always one byte.
func appendLength(dst []byte, n int) []byte {
	if n < 0x80 {
		return append(dst, byte(n))
	}
	return binary.AppendUvarint(dst, uint64(n))
}

func appendEnvelopes(dst []byte, b *Batch) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b.Resources)))
	before := uint32(0)
	for i := range b.Resources {
		e := &b.Resources[i]
		dst = appendEnvelope(dst, e.Present, e.AttrEnd-before, e.Message, e.SchemaURL, e.Service)
		before = e.AttrEnd
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Scopes)))
	before = 0
	for i := range b.Scopes {
		e := &b.Scopes[i]
		dst = appendEnvelope(dst, e.Present, e.AttrEnd-before, e.Message, e.SchemaURL, e.Name, e.Version)
		before = e.AttrEnd
	}
	for _, attrs := range [2][]Attr{b.ResourceAttrs, b.ScopeAttrs} {
		for _, a := range attrs {
			dst = append(binary.AppendUvarint(dst, uint64(a.Key)), byte(a.Type))
			dst = binary.AppendUvarint(dst, a.Value)
		}
	}
	return dst
}

func appendEnvelope(dst []byte, present bool, attrs uint32, texts ...TextID) []byte {
	for _, id := range texts {
		dst = binary.AppendUvarint(dst, uint64(id))
	}
	if present {
		dst = append(dst, 1)
	} else {
		dst = append(dst, 0)
	}
	return binary.AppendUvarint(dst, uint64(attrs))
}

// envelopeReader reads what appendEnvelopes wrote.
type envelopeReader struct {
	*room
	texts int
}

func (r envelopeReader) text() TextID { return TextID(readCount(r.Reader, r.texts)) }

func (r envelopeReader) flag() bool {
	v := r.Uint8()
	if v > 1 {
		r.Fail("flag %d", v)
	}
	return v == 1
}

// end reads how many attributes there are behind those before.
func (r envelopeReader) end(before int) uint32 {
	return uint32(before + readCount(r.Reader, r.Len()/3-before))
}

// read fills the resources and scopes of b.
func (r envelopeReader) read(b *Batch) {
	b.Resources = made[Resource](r.take(uint64(readCount(r.Reader, r.Len()/5)), resourceBytes))
	attrs := 0
	for i := range b.Resources {
		e := &b.Resources[i]
		e.Message, e.SchemaURL, e.Service, e.Present, e.AttrEnd = r.text(), r.text(), r.text(), r.flag(), r.end(attrs)
		attrs = int(e.AttrEnd)
	}
	resourceAttrs := attrs
	b.Scopes = made[Scope](r.take(uint64(readCount(r.Reader, r.Len()/6)), scopeBytes))
	attrs = 0
	for i := range b.Scopes {
		e := &b.Scopes[i]
		e.Message, e.SchemaURL, e.Name, e.Version, e.Present, e.AttrEnd = r.text(), r.text(), r.text(), r.text(), r.flag(), r.end(attrs)
		attrs = int(e.AttrEnd)
	}
	if r.Err() != nil {
		return
	}
	if resourceAttrs+attrs > r.Len()/3 {
		r.Fail("%d attributes in %d bytes", resourceAttrs+attrs, r.Len())
		return
	}
	all := made[Attr](r.take(uint64(resourceAttrs+attrs), attrBytes))
	if r.Err() != nil {
		return
	}
	for i := range all {
		all[i] = r.attr()
	}
	b.ResourceAttrs, b.ScopeAttrs = all[:resourceAttrs:resourceAttrs], all[resourceAttrs:]
}

func (r envelopeReader) attr() Attr {
	a := Attr{Key: r.text(), Type: ValueType(r.Uint8()), Value: readUvarint(r.Reader)}
	if a.Type >= ValueTypes || a.Value > valueMax(a.Type, r.texts) {
		r.Fail("an attribute of type %d with value %d", a.Type, a.Value)
		return Attr{}
	}
	return a
}

// valueMax is the largest value of an attribute in a batch of so many texts.
func valueMax(t ValueType, texts int) uint64 {
	switch {
	case t.HasText():
		return uint64(texts)
	case t == NoValue || t == EmptyValue:
		return 0
	case t == BoolValue:
		return 1
	}
	return ^uint64(0)
}

// made makes n values, nil for none.
func made[T any](n int) []T {
	if n == 0 {
		return nil
	}
	return make([]T, n)
}
