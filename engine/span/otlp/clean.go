package otlp

import (
	"bytes"
	"unicode/utf8"
)

// clean gives a raw message in output form: its texts are UTF-8, and fields that a
// strict reader refuses or nobody knows are gone.
func clean(b []byte, s schema) []byte {
	if len(b) == 0 {
		return nil
	}
	return appendClean(make([]byte, 0, len(b)+len(b)/8), b, s)
}

func appendClean(dst, b []byte, s schema) []byte {
	f := fields{b: b}
	for f.next() {
		r := ruleOf(s, f.tag)
		if !r.known || uint32(r.wire) != f.tag&7 {
			continue
		}
		switch {
		case r.message != noSchema:
			var at int
			dst, at = openMessage(dst, f.tag)
			dst = closeMessage(appendClean(dst, f.data, r.message), at)
		case r.text && !utf8.Valid(f.data):
			dst = appendBytes(dst, f.tag, toValidUTF8(f.data))
		default:
			dst = f.appendRaw(dst)
		}
	}
	return dst
}

// cleanResidue appends the residue fields that readers of every version take: those
// with numbers unknown to us. The rest are ids of odd length and known fields of another
// wire type, which make strict readers refuse the whole message, and groups.
func (o form) cleanResidue(dst, residue []byte, s schema) []byte {
	if len(residue) == 0 || len(residue) > o.textMax {
		return dst
	}
	f := fields{b: residue}
	for f.next() {
		if !ruleOf(s, f.tag).known && f.tag&7 != wireStartGroup {
			dst = f.appendRaw(dst)
		}
	}
	return dst
}

func toValidUTF8(text []byte) []byte { return bytes.ToValidUTF8(text, []byte("\uFFFD")) }
