package otlp

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/stoadb/stoa/engine/span"
)

// AppendText appends an attribute's value as text, as a legacy search compares it: text
// as it is, integers decimal, true or false, doubles in the shortest form (2 for 2.0),
// bytes in base64, arrays and maps as JSON without spaces, its maps sorted by key. An
// attribute without a value gives nothing.
func AppendText(dst []byte, b *span.Batch, a span.Attr) []byte {
	v := value{kind: a.Type, bits: a.Value}
	if a.Type.HasText() {
		v.data = b.Bytes(span.TextID(a.Value))
	}
	return appendValueText(dst, v.effective(), math.MaxInt)
}

// effective gives what an attribute kept raw means; kept bytes are well-formed.
func (v value) effective() value {
	raw := v.data
	switch v.kind {
	case span.RawAttribute:
		_, raw = keyAndValue(v.data)
		if raw == nil {
			return value{kind: span.NoValue}
		}
		fallthrough
	case span.RawValue:
		v, _ = decodeAny(raw)
		v.odd = false
	}
	return v
}

// keyAndValue gives the key and the AnyValue message, nil where there is none, of a
// KeyValue.
func keyAndValue(kv []byte) (key, any []byte) {
	merged := false
	f := fields{b: kv}
	for f.next() {
		switch {
		case f.tag == tagKey:
			key = f.data
		case f.tag == tagKeyValue && any == nil:
			any = f.data
		case f.tag == tagKeyValue:
			if !merged {
				any, merged = slices.Clone(any), true
			}
			any = append(any, f.data...)
		}
	}
	return key, any
}

// appendValueText appends at most some bytes more than limit.
func appendValueText(dst []byte, v value, limit int) []byte {
	switch v.kind {
	case span.StringValue:
		return append(dst, v.data...)
	case span.BoolValue:
		return strconv.AppendBool(dst, v.bits != 0)
	case span.IntValue:
		return strconv.AppendInt(dst, int64(v.bits), 10)
	case span.DoubleValue:
		return appendDouble(dst, math.Float64frombits(v.bits))
	case span.BytesValue:
		return base64.StdEncoding.AppendEncode(dst, v.data)
	case span.ArrayValue, span.MapValue:
		return appendJSON(dst, v, limit)
	}
	return dst
}

// appendDouble is the form of JSON, which is that of ECMAScript: an exponent only for
// the very small and the very large.
func appendDouble(dst []byte, v float64) []byte {
	abs := math.Abs(v)
	if abs != 0 && (abs < 1e-6 || abs >= 1e21) && !math.IsInf(v, 0) {
		dst = strconv.AppendFloat(dst, v, 'e', -1, 64)
		if n := len(dst); n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
			dst[n-2] = dst[n-1] // e-09 to e-9
			dst = dst[:n-1]
		}
		return dst
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

// appendJSON appends a value inside a list as JSON. It stops after limit bytes; what
// stands then is a begin, no JSON.
func appendJSON(dst []byte, v value, limit int) []byte {
	switch v.kind {
	case span.StringValue:
		return appendJSONString(dst, v.data)
	case span.BytesValue:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), v.data), '"')
	case span.DoubleValue:
		if d := math.Float64frombits(v.bits); math.IsNaN(d) || math.IsInf(d, 0) {
			return append(appendDouble(append(dst, '"'), d), '"')
		}
		return appendValueText(dst, v, limit)
	case span.BoolValue, span.IntValue:
		return appendValueText(dst, v, limit)
	case span.ArrayValue:
		dst = append(dst, '[')
		first := true
		for f := (fields{b: v.data}); f.next() && len(dst) <= limit; {
			if f.tag != tagListValues {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			item, _ := decodeAny(f.data)
			dst = appendJSON(dst, item, limit)
		}
		return append(dst, ']')
	case span.MapValue:
		return appendJSONMap(dst, v, limit)
	}
	return append(dst, "null"...)
}

// appendJSONMap appends a map with sorted keys; of equal ones the last counts.
func appendJSONMap(dst []byte, v value, limit int) []byte {
	items := map[string][]byte{}
	for f := (fields{b: v.data}); f.next(); {
		if f.tag == tagListValues {
			key, any := keyAndValue(f.data)
			items[string(key)] = any
		}
	}
	keys := make([]string, 0, len(items))
	for key := range items {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	dst = append(dst, '{')
	for i, key := range keys {
		if len(dst) > limit {
			break
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, []byte(key)), ':')
		item := value{kind: span.NoValue}
		if any := items[key]; any != nil {
			item, _ = decodeAny(any)
		}
		dst = appendJSON(dst, item, limit)
	}
	return append(dst, '}')
}

// appendJSONString is the text as encoding/json writes it; most needs no escape.
func appendJSONString(dst, text []byte) []byte {
	for _, c := range text {
		if c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(string(text)) // a string is never refused
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), text...), '"')
}
