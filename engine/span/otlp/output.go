package otlp

import (
	"unicode/utf8"

	"github.com/stoadb/stoa/engine/span"
)

// text gives a text in output form: UTF-8, U+FFFD for what is not, at most textMax
// bytes.
func (o form) text(text []byte) []byte {
	text = cutText(text, o.textMax)
	if utf8.Valid(text) {
		return text
	}
	return cutText(toValidUTF8(text), o.textMax)
}

// plain gives an attribute in output form: without raw parts unknown to us, cut where it
// is too long.
func (o form) plain(b *span.Batch, a span.Attr, data []byte) (span.Attr, []byte) {
	switch a.Type {
	case span.RawValue, span.RawAttribute, span.ArrayValue, span.MapValue, span.BytesValue:
	case span.StringValue:
		return a, o.text(data)
	default:
		return a, data
	}
	v := value{kind: a.Type, bits: a.Value, data: data}.effective()
	if len(v.data) > o.textMax {
		v = v.cut(o.textMax)
	}
	switch v.kind {
	case span.ArrayValue:
		v.data = clean(v.data, arrayValue)
	case span.MapValue:
		v.data = clean(v.data, keyValueList)
	case span.StringValue:
		v.data = o.text(v.data)
	}
	if len(v.data) > o.textMax { // replacing made it longer
		v = v.cut(o.textMax)
	}
	a.Type, a.Value = v.kind, v.bits
	return a, v.data
}

// cutList gives the entries to write and how many are left out.
func cutList[T any](o form, attrs []T) ([]T, uint32) {
	if !o.output || len(attrs) <= o.listMax {
		return attrs, 0
	}
	return attrs[:o.listMax], uint32(len(attrs) - o.listMax)
}

func (o form) listEnd(begin, end uint32) uint32 {
	if !o.output {
		return end
	}
	return min(end, begin+uint32(o.listMax))
}
