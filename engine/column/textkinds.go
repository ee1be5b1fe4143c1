package column

import (
	"encoding/hex"
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

// kindOf gives what the texts all are, of what is smaller. For UUIDs and hexadecimal digits
// that needs no trial: zstd cannot spend less than half a byte on a digit that nothing
// foretells, and what repeats in digits repeats in bytes.
func kindOf(texts int, text func(i int) []byte) byte {
	uuid, hexed, decimal, filled := true, true, true, false
	for i := 0; i < texts && (uuid || hexed || decimal); i++ {
		t := text(i)
		filled = filled || len(t) > 0
		uuid = uuid && isUUID(t)
		hexed = hexed && isHex(t)
		decimal = decimal && isDecimal(t)
	}
	switch {
	case uuid:
		return textsUUID
	case decimal: // "10" is hexadecimal too
		return textsDecimal
	case hexed && filled:
		return textsHex
	}
	return textsAny
}

func isUUID(t []byte) bool {
	if len(t) != uuidTextBytes {
		return false
	}
	for i, c := range t {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !isHexDigit(c) {
				return false
			}
		}
	}
	return true
}

func isHex(t []byte) bool {
	if len(t)%2 != 0 {
		return false
	}
	for _, c := range t {
		if !isHexDigit(c) {
			return false
		}
	}
	return true
}

func isHexDigit(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

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

// appendUUIDBytes appends the 16 bytes of a text that isUUID.
func appendUUIDBytes(dst, t []byte) []byte {
	for _, part := range [][]byte{t[:8], t[9:13], t[14:18], t[19:23], t[24:]} {
		dst = appendHexBytes(dst, part)
	}
	return dst
}

// appendHexBytes appends the bytes of a text that isHex.
func appendHexBytes(dst, t []byte) []byte {
	for ; len(t) >= 2; t = t[2:] {
		dst = append(dst, nibble(t[0])<<4|nibble(t[1]))
	}
	return dst
}

func nibble(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
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
	case kind == textsUUID && isUUID(text):
		return appendUUIDBytes(nil, text), true
	case kind == textsHex && isHex(text):
		return appendHexBytes(nil, text), true
	}
	return nil, false
}
