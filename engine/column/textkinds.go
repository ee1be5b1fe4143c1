package column

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
)

// What the texts of a page all are, above the bit of the dictionary; the numbers are stored.
// Every kind but the first writes a text in one way only, so that it comes back exactly.
const (
	textsAny     = 0 // chunks of the texts as they are
	textsUUID    = 2 // chunks of 16 bytes each: canonical, in lower case
	textsHex     = 4 // chunks of half as many bytes: lower case, even length
	textsDecimal = 6 // numbers below 1<<63 without sign and leading zeros: as integers, no chunks
	textsKinds   = 8
)

var textsKindNames = [textsKinds]string{textsAny: "texts", textsUUID: "UUIDs", textsHex: "hexadecimal texts", textsDecimal: "decimal numbers"}

const (
	uuidBytes     = 16
	uuidTextBytes = 36
)

// pack tells what the entries of text all are. Bytes that stand for them are then in p.packed, and
// their lengths in p.lengths. For UUIDs and hexadecimal digits that needs no trial: zstd cannot
// spend less than half a byte on a digit that nothing foretells, and what repeats in digits
// repeats in bytes.
func (p *Pages) pack(text []byte) (kind byte) {
	var ok bool
	if len(text) == uuidTextBytes*len(p.lengths) && !slices.ContainsFunc(p.lengths, func(n uint64) bool { return n != uuidTextBytes }) {
		if p.packed, ok = appendUUIDBytes(p.packed[:0], text); ok {
			for i := range p.lengths {
				p.lengths[i] = uuidBytes
			}
			return textsUUID
		}
	}
	if p.areDecimal(text) { // "10" is hexadecimal too
		return textsDecimal
	}
	if len(text) == 0 || slices.ContainsFunc(p.lengths, func(n uint64) bool { return n%2 != 0 }) {
		return textsAny
	}
	if p.packed, ok = appendHexBytes(p.packed[:0], text); !ok {
		return textsAny
	}
	for i := range p.lengths {
		p.lengths[i] /= 2
	}
	return textsHex
}

// areDecimal tells whether the entries of text all are decimal numbers.
func (p *Pages) areDecimal(text []byte) bool {
	for _, n := range p.lengths {
		if !isDecimal(text[:n]) {
			return false
		}
		text = text[n:]
	}
	return true
}

// appendDecimals appends the numbers, unless digits would take less: zstd spends 3.4 bits on
// one that nothing foretells, and less on others.
func (p *Pages) appendDecimals(dst, text []byte) (_ []byte, ok bool) {
	p.numbers = p.numbers[:0]
	at, digits := len(dst), len(text)
	for _, n := range p.lengths {
		p.numbers = append(p.numbers, decimalOf(text[:n]))
		text = text[n:]
	}
	dst = p.appendLighter(dst, p.numbers)
	if (len(dst)-at-decimalBytesMore)*decimalShare > digits*decimalShareOf {
		return dst[:at], false
	}
	return dst, true
}

func isDecimal(t []byte) bool {
	if len(t) == 0 || len(t) > decimalTextBytesMax || t[0] == '0' && len(t) > 1 {
		return false
	}
	for _, c := range t {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(t) < decimalTextBytesMax || string(t) <= "9223372036854775807"
}

// decimalOf is the number of a text that isDecimal.
func decimalOf(t []byte) (v uint64) {
	for _, c := range t {
		v = 10*v + uint64(c-'0')
	}
	return v
}

// appendUUIDBytes appends the 16 bytes of each of the UUIDs that text is; ok is false where it is
// something else.
func appendUUIDBytes(dst, text []byte) (_ []byte, ok bool) {
	for ; len(text) >= uuidTextBytes; text = text[uuidTextBytes:] {
		t := (*[uuidTextBytes]byte)(text)
		a, okA := hexWord(binary.LittleEndian.Uint64(t[0:]))
		b, okB := hexWord(uint64(binary.LittleEndian.Uint32(t[9:])) | uint64(binary.LittleEndian.Uint32(t[14:]))<<32)
		c, okC := hexWord(uint64(binary.LittleEndian.Uint32(t[19:])) | uint64(binary.LittleEndian.Uint32(t[24:]))<<32)
		d, okD := hexWord(binary.LittleEndian.Uint64(t[28:]))
		if t[8] != '-' || t[13] != '-' || t[18] != '-' || t[23] != '-' || !okA || !okB || !okC || !okD {
			return dst, false
		}
		dst = binary.LittleEndian.AppendUint64(dst, uint64(a)|uint64(b)<<32)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(c)|uint64(d)<<32)
	}
	return dst, len(text) == 0
}

// appendHexBytes appends the bytes that text has as hexadecimal digits; ok is false where it is
// something else.
func appendHexBytes(dst, text []byte) (_ []byte, ok bool) {
	for ; len(text) >= 8; text = text[8:] {
		raw, ok := hexWord(binary.LittleEndian.Uint64(text))
		if !ok {
			return dst, false
		}
		dst = binary.LittleEndian.AppendUint32(dst, raw)
	}
	rest := [8]byte{'0', '0', '0', '0', '0', '0', '0', '0'}
	copy(rest[:], text)
	raw, ok := hexWord(binary.LittleEndian.Uint64(rest[:]))
	for range len(text) / 2 {
		dst = append(dst, byte(raw))
		raw >>= 8
	}
	return dst, ok && len(text)%2 == 0
}

// hexWord gives the 4 bytes that 8 hexadecimal digits stand for, all of them at once; ok is false
// where one of them is something else.
func hexWord(digits uint64) (raw uint32, ok bool) {
	const each = 0x0101010101010101
	nibbles := digits&(0x0f*each) + 9*(digits>>6&each) // 'a' is 0x61
	letters := (nibbles + 6*each) >> 4 & each
	ok = nibbles&(0xf0*each) == 0 && nibbles+'0'*each+('a'-'0'-10)*letters == digits
	pairs := (nibbles<<4 | nibbles>>8) & 0x00ff00ff00ff00ff
	pairs = (pairs | pairs>>8) & 0x0000ffff0000ffff
	return uint32(pairs | pairs>>16), ok
}

func appendUUID(dst, raw []byte) []byte {
	dst = hex.AppendEncode(dst, raw[:4])
	for _, part := range [][]byte{raw[4:6], raw[6:8], raw[8:10], raw[10:uuidBytes]} {
		dst = hex.AppendEncode(append(dst, '-'), part)
	}
	return dst
}

func appendHexText(dst, raw []byte) []byte { return hex.AppendEncode(dst, raw) }

func appendDecimal(dst []byte, v uint64) []byte { return strconv.AppendUint(dst, v, 10) }

// packed gives the bytes that stand for a text in the chunks of a kind; ok is false where no
// text of that kind is this one.
func packed(kind byte, text []byte) (raw []byte, ok bool) {
	switch {
	case kind == textsAny:
		return text, true
	case kind == textsUUID && len(text) == uuidTextBytes:
		return appendUUIDBytes(nil, text)
	case kind == textsHex:
		return appendHexBytes(nil, text)
	}
	return nil, false
}
