package otlp

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/stoadb/stoa/engine/span"
)

// value is an AnyValue as protobuf understands it.
type value struct {
	kind   span.ValueType
	bits   uint64 // of a bool, int or double
	data   []byte // of all others
	odd    bool   // kind and data alone do not give the message back
	merged bool   // data is our own memory
}

// decodeAny reads an AnyValue: the last member given counts, but two lists of one kind
// in a row merge.
func decodeAny(b []byte) (value, *wireError) {
	v := value{kind: span.EmptyValue}
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case tagAnyString:
			v = value{kind: span.StringValue, data: f.data, odd: v.odd}
		case tagAnyBytes:
			v = value{kind: span.BytesValue, data: f.data, odd: v.odd}
		case tagAnyBool:
			v = value{kind: span.BoolValue, odd: v.odd}
			if f.num != 0 {
				v.bits = 1
			}
		case tagAnyInt:
			v = value{kind: span.IntValue, bits: f.num, odd: v.odd}
		case tagAnyDouble:
			v = value{kind: span.DoubleValue, bits: f.num, odd: v.odd}
		case tagAnyArray:
			v.list(span.ArrayValue, f.data)
		case tagAnyMap:
			v.list(span.MapValue, f.data)
		case tagAnyStrindex:
			v = value{kind: span.EmptyValue, odd: true}
		default:
			v.odd = true
		}
	}
	return v, f.err
}

func (v *value) list(kind span.ValueType, data []byte) {
	if v.kind != kind {
		*v = value{kind: kind, data: data, odd: v.odd}
		return
	}
	if !v.merged {
		v.data = bytes.Clone(v.data)
	}
	v.data = append(v.data, data...)
	v.merged = true
}

// attributes appends to dst the attribute that f has just read, and those that follow it.
// Where the message that is likely to come comes, framed as it was, nothing is read at all.
func (w *walker) attributes(dst []span.Attr, f *fields) ([]span.Attr, *wireError) {
	for {
		if k := w.attribute(f.b[f.begin:f.at], f.data); k > 0 {
			dst = append(dst, w.keys[k].attr)
		} else {
			var err *wireError
			if dst, err = w.oddAttribute(dst, f.data); err != nil {
				return dst, err
			}
		}
		b, at, keys, before := f.b, f.at, w.keys, w.before
		for at < len(b) && uint32(b[at]) == f.tag {
			k := keys[before].next
			message := keys[k].message
			if len(message) == 0 || len(message) > len(b)-at || string(b[at:at+len(message)]) != string(message) {
				break
			}
			dst = append(dst, keys[k].attr)
			before = k
			at += len(message)
		}
		f.at, w.before = at, before
		if !f.again() {
			return dst, nil
		}
	}
}

// spanAttributes is attributes for those of a span, whose ids it appends.
func (w *walker) spanAttributes(dst []uint32, f *fields) ([]uint32, *wireError) {
	for {
		if k := w.attribute(f.b[f.begin:f.at], f.data); k > 0 {
			dst = append(dst, w.attrID(k))
		} else {
			var err *wireError
			if w.odd, err = w.oddAttribute(w.odd[:0], f.data); err != nil {
				return dst, err
			}
			for _, a := range w.odd {
				dst = append(dst, w.attrs.ID(&w.batch, a))
			}
		}
		b, at, keys, before := f.b, f.at, w.keys, w.before
		for at < len(b) && uint32(b[at]) == f.tag {
			k := keys[before].next
			message := keys[k].message
			if len(message) == 0 || len(message) > len(b)-at || string(b[at:at+len(message)]) != string(message) {
				break
			}
			id := keys[k].id
			if id == 0 { // an event had it last
				id = w.attrID(k) + 1
			}
			dst = append(dst, id-1)
			before = k
			at += len(message)
		}
		f.at, w.before = at, before
		if !f.again() {
			return dst, nil
		}
	}
}

// attribute reads the KeyValue message kv, which stands in its frame, and gives the key that now
// has it. Nearly all are one key and one value with one member; 0 is one that takes the long way.
func (w *walker) attribute(frame, kv []byte) int32 {
	if len(kv) < 4 || kv[0] != tagKey {
		return 0
	}
	at := 2 + int(kv[1]) // a key of 128 bytes takes the long way
	if kv[1] >= 0x80 || at > len(kv)-2 || kv[at] != tagKeyValue {
		return 0
	}
	key, any := kv[2:at], shortBytes(kv[at+1:])
	if len(any) < 2 {
		return 0
	}
	a := span.Attr{}
	switch rest := any[1:]; any[0] {
	case tagAnyString:
		text := shortBytes(rest)
		if text == nil || len(text) > ValueBytesMax {
			return 0
		}
		k := w.key(key)
		w.stringAttr(k, text, frame)
		return k
	case tagAnyInt, tagAnyBool:
		bits, at := varint(rest, 0)
		if at != len(rest) {
			return 0
		}
		a.Type, a.Value = span.IntValue, bits
		if any[0] == tagAnyBool {
			a.Type, a.Value = span.BoolValue, min(bits, 1)
		}
	case tagAnyDouble:
		if len(rest) != 8 {
			return 0
		}
		a.Type, a.Value = span.DoubleValue, binary.LittleEndian.Uint64(rest)
	default:
		return 0
	}
	k := w.key(key)
	w.numberAttr(k, a, frame)
	return k
}

// shortBytes gives what stands behind the length that b begins with, if it is all the rest;
// else nil.
func shortBytes(b []byte) []byte {
	if len(b) > 0 && b[0] < 0x80 && int(b[0]) == len(b)-1 {
		return b[1:]
	}
	return longBytes(b)
}

func longBytes(b []byte) []byte {
	if n, at := varint(b, 0); at > 0 && n == uint64(len(b)-at) {
		return b[at:]
	}
	return nil
}

// oddAttribute is attribute for every message, with the limits and the exact keeping of
// what no type of ours holds.
func (w *walker) oddAttribute(dst []span.Attr, kv []byte) ([]span.Attr, *wireError) {
	if len(kv) < stubAttrBytes {
		if err := w.stub(); err != nil {
			return dst, err
		}
	}
	var key, any []byte
	var check checker
	values, exact := 0, true // exact: key and merged value give the message back
	f := fields{b: kv}
	for f.next() {
		switch f.tag {
		case tagKey:
			key = f.data
		case tagKeyValue:
			if err := check.message(f.data, anyValue, 0); err != nil {
				return dst, err.within(&f)
			}
			switch values++; values {
			case 1:
				any = f.data
			case 2:
				any = append(bytes.Clone(any), f.data...)
			default:
				any = append(any, f.data...)
			}
		default:
			exact = false
		}
	}
	if f.err != nil {
		return dst, f.err
	}
	v := value{kind: span.NoValue}
	if values > 0 {
		var err *wireError
		if v, err = decodeAny(any); err != nil {
			return dst, err
		}
	}
	w.counts.InvalidUTF8 += check.invalidUTF8
	return w.limited(dst, kv, key, any, v, exact, check.deepest), nil
}

// limited appends the attribute after applying the limits of depth and length.
func (w *walker) limited(dst []span.Attr, kv, key, any []byte, v value, exact bool, depth int) []span.Attr {
	if len(key) > KeyBytesMax {
		key = cutText(key, KeyBytesMax)
		w.counts.TruncatedKeys++
		exact = true // as exact as it can be: parts unknown to us go with the key's end
	}
	if depth > DepthMax {
		v = value{kind: span.StringValue, data: []byte(TooDeep)}
		w.counts.NestedTooDeep++
		exact = true
	}
	k := w.key(key)
	a := span.Attr{Key: w.keys[k].attr.Key, Type: v.kind, Value: v.bits}
	truncated := false
	switch {
	case !exact && len(kv) <= ValueBytesMax:
		a.Type, a.Value = span.RawAttribute, uint64(w.texts.Intern(kv))
		return append(dst, a)
	case v.odd && len(any) <= ValueBytesMax:
		a.Type, a.Value = span.RawValue, uint64(w.texts.Intern(any))
		return append(dst, a)
	case !exact || v.odd || len(v.data) > ValueBytesMax:
		truncated = true
		v = v.cut(ValueBytesMax)
		a.Type = v.kind
	}
	if a.Type.HasText() {
		a.Value = uint64(w.texts.Intern(v.data))
	}
	dst = append(dst, a)
	if truncated {
		w.counts.TruncatedValues++
		marker := append(bytes.Clone(key), TruncatedSuffix...)
		dst = append(dst, span.Attr{Key: w.keys[w.key(marker)].attr.Key, Type: span.BoolValue, Value: 1})
	}
	return dst
}

// cut gives v in at most limit bytes. A list that is longer becomes the begin of its
// text: half a message would be none.
func (v value) cut(limit int) value {
	v.odd = false
	if len(v.data) <= limit {
		return v
	}
	switch v.kind {
	case span.ArrayValue, span.MapValue:
		v.data = appendValueText(nil, v, limit)
		v.kind = span.StringValue
		fallthrough
	case span.StringValue:
		v.data = cutText(v.data, limit)
	default:
		v.data = v.data[:min(len(v.data), limit)]
	}
	return v
}

// cutText gives at most limit bytes of text, not ending inside a character.
func cutText(text []byte, limit int) []byte {
	if len(text) <= limit {
		return text
	}
	for end := limit; end > 0 && end > limit-utf8.UTFMax; end-- {
		if utf8.RuneStart(text[end]) {
			return text[:end]
		}
	}
	return text[:limit]
}
