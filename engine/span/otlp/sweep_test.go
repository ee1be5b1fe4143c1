package otlp_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stoadb/stoa/engine/span/otlp"
)

// small is a request with one of everything.
var small = bytesField(1,
	bytesField(1, bytesField(1, keyValue("service.name", stringValue("shop"))), varintField(2, 1)),
	bytesField(2, bytesField(1, textField(1, "lib"), textField(2, "1")),
		bytesField(2, spanOf(textField(3, "s=1"), textField(4, "12345678"), textField(5, "GET /"), varintField(6, 2),
			fixed64Field(7, 1<<60), fixed64Field(8, 1<<60+5), attr("s", stringValue("x")), attr("i", intValue(-5)),
			attr("d", doubleBits(1)), attr("a", arrayValue(boolValue(true), mapValue(keyValue("k", bytesValue("b")))), nil),
			bytesField(11, fixed64Field(1, 3), textField(2, "e"), bytesField(3, keyValue("k"))),
			bytesField(13, textField(1, traceID2), textField(2, spanID1), fixed32Field(6, 1)),
			bytesField(15, textField(2, "m"), varintField(3, 2)), fixed32Field(16, 257), varintField(200, 1))),
		textField(3, "url")),
	textField(3, "url"))

func TestEveryPrefixOfARequestGetsProtobufsVerdict(t *testing.T) {
	for cut := range len(small) + 1 {
		promises(t, small[:cut])
	}
	for name, raw := range oddCases {
		for cut := range len(raw) {
			t.Run(fmt.Sprintf("%s/%d", name, cut), func(t *testing.T) { promises(t, raw[:cut]) })
		}
	}
}

func TestEveryFlippedBitGetsProtobufsVerdict(t *testing.T) {
	for i := range len(small) * 8 {
		flipped := bytes.Clone(small)
		flipped[i/8] ^= 1 << (i % 8)
		promises(t, flipped)
	}
}

// TestPiecesThatOnlyTogetherParseAreRefused: protobuf reads each piece by itself.
func TestPiecesThatOnlyTogetherParseAreRefused(t *testing.T) {
	a, b := []byte{2 << 3}, []byte{1}
	for name, raw := range map[string][]byte{
		"resource": bytesField(1, bytesField(1, a), bytesField(1, b), bytesField(2, bytesField(2, ids))),
		"scope":    bytesField(1, bytesField(2, bytesField(1, a), bytesField(1, b), bytesField(2, ids))),
		"status":   request(spanOf(bytesField(15, a), bytesField(15, b))),
		"value":    request(spanOf(bytesField(9, bytesField(2, a), bytesField(2, b)))),
		"array":    request(spanOf(attr("k", bytesField(5, a), bytesField(5, b)))),
	} {
		if parts, _ := promises(t, raw); parts != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestBrokenGroupsAreRefused(t *testing.T) {
	for name, group := range map[string][]byte{
		"without end":       {21<<3&0x7f | 3 | 0x80, 1},
		"end alone":         {5<<3 | 4},
		"end of another":    {5<<3 | 3, 6<<3 | 4},
		"ends crossed":      {5<<3 | 3, 6<<3 | 3, 5<<3 | 4, 6<<3 | 4},
		"inner without end": {5<<3 | 3, 6<<3 | 3, 5<<3 | 4},
		"value cut off":     {5<<3 | 3, 1<<3 | 5, 0, 0, 5<<3 | 4},
		"number 0":          {5<<3 | 3, 0, 0, 5<<3 | 4},
		"wire type 6":       {5<<3 | 3, 1<<3 | 6, 5<<3 | 4},
		"length beyond":     {5<<3 | 3, 1<<3 | 2, 200, 1, 5<<3 | 4},
		"length of 63 bits": {5<<3 | 3, 1<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 5<<3 | 4},
		"varint of 70 bits": {5<<3 | 3, 1 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 5<<3 | 4},
	} {
		if parts, _ := promises(t, request(spanOf(group))); parts != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestEveryByteValueEverywhere is the flip of whole bytes: all 256 values at every place.
func TestEveryByteValueEverywhereGetsProtobufsVerdict(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: 256 values at each byte are for the long run")
	}
	for i := range small {
		for v := range 256 {
			changed := bytes.Clone(small)
			changed[i] = byte(v)
			promises(t, changed)
		}
	}
}

func TestErrorsNameTheOffset(t *testing.T) {
	wrong := []byte{0x0a, 9, 'x'} // the only 9 in each request, but for lengths that are others
	value := keyValue("k", arrayValue(nil, wrong))
	for name, raw := range map[string][]byte{
		"attribute":          request(spanOf(attr("k", stringValue("x"))), spanOf(bytesField(9, value))),
		"event":              request(spanOf(bytesField(11, bytesField(3, value)))),
		"link":               request(spanOf(bytesField(13, bytesField(4, value)))),
		"status":             request(spanOf(bytesField(15, wrong))),
		"dropped span":       request(bytesField(9, value)),
		"resource":           bytesField(1, bytesField(1, bytesField(1, value)), bytesField(2, bytesField(2, ids))),
		"resource, unused":   bytesField(1, bytesField(1, bytesField(1, value))),
		"resource in pieces": bytesField(1, bytesField(1), bytesField(1, bytesField(1, value)), bytesField(2, bytesField(2, ids))),
		"entity":             bytesField(1, bytesField(1, bytesField(3, wrong)), bytesField(2, bytesField(2, ids))),
		"scope":              bytesField(1, bytesField(2, bytesField(2, ids), bytesField(1, bytesField(3, value)))),
		"scope, unused":      bytesField(1, bytesField(2, bytesField(1, bytesField(3, value)))),
		"request":            msg(request(ids), wrong),
	} {
		_, _, err := otlp.Cut(raw, 1, placeBy(1))
		want := fmt.Sprintf("invalid request: OTLP trace data: offset %d: length beyond the end", bytes.LastIndex(raw, wrong))
		if err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", name, err, want)
		}
	}
}
