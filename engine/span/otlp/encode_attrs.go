package otlp

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/stoadb/stoa/engine/span"
)

// AnswerAttrs writes attributes of spans as an Encoder does: rows that have them written already
// are answered without a look at each. It writes those alone that a walk over them gives back as
// they are, so that an Encoder can take a giant's apart again.
type AnswerAttrs struct{}

var _ span.AttrWriter = AnswerAttrs{}

// AppendKey appends the key field of an attribute.
func (AnswerAttrs) AppendKey(dst []byte, key []byte) (_ []byte, ok bool) {
	if len(key) > KeyBytesMax || !utf8.Valid(key) {
		return dst, false
	}
	if len(key) > 0 {
		dst = appendBytes(dst, tagKey, key)
	}
	return dst, true
}

// AppendAttr appends an attribute field of a span. ok is false for attributes kept raw, for texts
// that are no UTF-8, for what a walk would cut, and for lists that have anything in them that is
// cleaned away.
func (AnswerAttrs) AppendAttr(dst, key []byte, kind span.ValueType, number uint64, text []byte) (_ []byte, ok bool) {
	switch kind {
	case span.NoValue, span.EmptyValue, span.IntValue, span.DoubleValue:
	case span.BoolValue:
		if number > 1 {
			return dst, false
		}
	case span.StringValue:
		if len(text) > ValueBytesMax || !utf8.Valid(text) {
			return dst, false
		}
		if whole := len(key) + 4 + len(text); whole < 0x80 { // nearly all
			dst = append(append(dst, tagSpanAttr, byte(whole)), key...)
			return append(append(dst, tagKeyValue, byte(2+len(text)), tagAnyString, byte(len(text))), text...), true
		}
	case span.BytesValue:
		if len(text) > ValueBytesMax {
			return dst, false
		}
	case span.ArrayValue:
		if !isPlain(text, arrayValue) {
			return dst, false
		}
	case span.MapValue:
		if !isPlain(text, keyValueList) {
			return dst, false
		}
	default:
		return dst, false
	}
	n := anyBytes(kind, number, text)
	dst = binary.AppendUvarint(append(dst, tagSpanAttr), uint64(len(key)+valueBytes(kind, n)))
	return appendValue(append(dst, key...), kind, n, number, text), true
}

// isPlain reports whether a list is in output form, and no deeper than one may be.
func isPlain(list []byte, s schema) bool {
	var check checker
	if len(list) > ValueBytesMax || check.message(list, s, 0) != nil || check.deepest > DepthMax || check.invalidUTF8 > 0 {
		return false
	}
	return bytes.Equal(clean(list, s), list)
}

// appendSpanAttrs appends the attributes of a span, with its warnings, and gives how many are left
// out. Written ones are exact: they stand as they are in any form that cuts nothing, which has no
// warning then.
func (o form) appendSpanAttrs(dst []byte, r span.Row) (_ []byte, more uint32) {
	warnings := o.warnings(r)
	if written, ok := r.WrittenAttrs(); ok {
		if warnings == nil {
			return append(dst, written...), 0
		}
		w := newWalker(new(int))
		defer w.release()
		_, _ = w.flatten(written, tagSpanAttr, beforeScope) // it is well-formed
		list, more := cutList(o, w.envelopeAttrs)
		for _, a := range list {
			dst = o.appendWarned(dst, &w.batch, a, &warnings)
		}
		return appendWarnings(dst, nil, warnings), more
	}
	if o.written != nil && warnings == nil {
		return o.written.appendAttrs(o, dst, r), 0
	}
	ids, more := cutList(o, r.AttrIDs())
	for _, id := range ids {
		dst = o.appendWarned(dst, r.Batch, r.Batch.Attrs[id], &warnings)
	}
	return appendWarnings(dst, nil, warnings), more
}

// appendWarned appends an attribute; to the warnings that a span came with it appends ours, which
// are told by then.
func (o form) appendWarned(dst []byte, b *span.Batch, a span.Attr, ours *[]byte) []byte {
	if *ours == nil || a.Type != span.ArrayValue || string(b.Bytes(a.Key)) != WarningsKey {
		return o.appendAttr(dst, tagSpanAttr, b, a)
	}
	_, came := o.plain(b, a, b.Bytes(span.TextID(a.Value)))
	dst = appendWarnings(dst, came, *ours)
	*ours = nil
	return dst
}
