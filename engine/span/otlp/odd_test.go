package otlp_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/span/otlp"
)

// sameValues is a span whose values are those of the one before where it comes again: texts and
// numbers, a key twice, texts that are no UTF-8.
var sameValues = spanOf(attr("k", stringValue("x")), attr("k", intValue(7)), attr("k", stringValue("x")), attr("k", stringValue("x")), attr("bad", stringValue("\xff")), attr("\xfe", intValue(7)), attr("n", stringValue("")), attr("d", doubleBits(1)))

// oneMessage is an attribute, which is what it is where an attribute may stand, and nowhere else.
var oneMessage = keyValue("k", stringValue("x"))

// oddCases are requests that are legal and unusual; each comes back exactly.
var oddCases = map[string][]byte{
	"nothing":                       {},
	"empty ResourceSpans":           bytesField(1),
	"envelopes without spans":       bytesField(1, bytesField(1), bytesField(2, bytesField(1), textField(3, "x"))),
	"span of ids only":              request(spanOf()),
	"no resource, no scope":         bytesField(1, bytesField(2, bytesField(2, ids))),
	"empty resource, empty scope":   bytesField(1, bytesField(1), bytesField(2, bytesField(1), bytesField(2, ids))),
	"resource after its spans":      bytesField(1, bytesField(2, bytesField(2, ids)), bytesField(1, bytesField(1, keyValue("a", intValue(1))))),
	"resource twice merges":         bytesField(1, bytesField(1, bytesField(1, keyValue("a", intValue(1))), varintField(2, 1)), bytesField(2, bytesField(2, ids)), bytesField(1, bytesField(1, keyValue("b", intValue(2))), varintField(2, 2))),
	"resource three times":          bytesField(1, bytesField(1, varintField(2, 1)), bytesField(1, varintField(2, 2)), bytesField(1, varintField(77, 2)), bytesField(2, bytesField(2, ids))),
	"absent and empty beside":       msg(bytesField(1, bytesField(2, bytesField(2, ids), bytesField(2, ids))), bytesField(1, bytesField(1), bytesField(2, bytesField(1), bytesField(2, ids)), bytesField(2, bytesField(2, ids)))),
	"scope after its spans, twice":  bytesField(1, bytesField(2, bytesField(2, ids), bytesField(1, textField(1, "n")), bytesField(1, textField(2, "v"), textField(1, "m")))),
	"schema URLs, the last counts":  bytesField(1, textField(3, "a"), bytesField(2, textField(3, "b"), bytesField(2, ids), textField(3, "c")), textField(3, "")),
	"schema URLs at the end":        bytesField(1, bytesField(2, bytesField(2, ids), textField(3, "https://b/1")), bytesField(2, textField(3, "https://b/2"), bytesField(2, ids)), bytesField(2, bytesField(2, ids), textField(3, "http://"+strings.Repeat("c", 121))), textField(3, "http://a")),
	"what looks like a schema URL":  bytesField(1, bytesField(2, bytesField(1, textField(1, "n")), bytesField(2, ids, textField(3, "http://a"))), bytesField(2, bytesField(2, ids), textField(3, "https://b"), bytesField(2, ids, textField(3, "http://a")))),
	"the last schema URL is none":   bytesField(1, bytesField(1), textField(3, "http://a"), bytesField(2, textField(3, "http://b"), bytesField(2, ids), textField(3, "")), textField(3, "ftp://c")),
	"unknown fields above the span": msg(varintField(9, 1), bytesField(1, varintField(9, 1), bytesField(2, textField(9, "x"), bytesField(2, ids))), groupField(5)),
	"wrong wire types above":        msg(varintField(1, 1), bytesField(1, varintField(1, 1), varintField(2, 1), varintField(3, 1), bytesField(2, fixed32Field(1, 1), fixed64Field(2, 1), bytesField(2, ids)))),
	"entity refs":                   bytesField(1, bytesField(1, bytesField(3, textField(1, "u"), textField(2, "t"), textField(3, "k"), textField(3, "l"), varintField(9, 1))), bytesField(2, bytesField(2, ids))),
	"dropped counts in resource":    bytesField(1, bytesField(1, varintField(2, 5)), bytesField(2, bytesField(1, varintField(4, 6)), bytesField(2, ids))),

	"ids last":                  request(msg(textField(5, "n"), attr("a", intValue(1)), ids)),
	"ids twice":                 request(msg(ids, attr("a", stringValue("b")), bytesField(11, textField(2, "e"), bytesField(3, keyValue("k", intValue(1)))), bytesField(13), textField(1, traceID2))),
	"span id twice, empty last": request(msg(ids, textField(2, "")), ids),
	"bad ids":                   request(nil, textField(1, traceID1), textField(2, spanID1), msg(textField(1, strings.Repeat("\x00", 16)), textField(2, spanID1)), msg(textField(1, traceID1), textField(2, strings.Repeat("\x00", 8))), msg(textField(1, "abc"), textField(2, spanID1)), msg(textField(1, traceID1), textField(2, "abc")), msg(textField(1, traceID1[:8]), textField(2, "abcdefgh")), ids),
	"ids of another wire type":  request(msg(varintField(1, 5), ids, varintField(2, 7))),
	"parents":                   request(spanOf(textField(4, "12345678")), spanOf(textField(4, "\x00\x00\x00\x00\x00\x00\x00\x00")), spanOf(textField(4, "123")), spanOf(textField(4, "123"), textField(4, "12345678")), spanOf(textField(4, "12345678"), textField(4, ""))),
	"singular fields twice":     request(spanOf(textField(5, "a"), textField(5, "b"), varintField(6, 2), varintField(6, 0), fixed64Field(7, 5), fixed64Field(7, 6), fixed32Field(16, 1), fixed32Field(16, 2), textField(3, "s=1"), textField(3, ""))),
	"zeros on the wire":         request(spanOf(textField(5, ""), varintField(6, 0), fixed64Field(7, 0), varintField(10, 0), bytesField(15, varintField(3, 0)), fixed32Field(16, 0))),
	"numbers out of range":      request(spanOf(varintField(6, 1<<40|7), varintField(6, 1<<63), varintField(10, 1<<32|9), varintField(12, 1<<63), varintField(14, 3), bytesField(15, varintField(3, 1<<64-5)))),
	"long varints":              request(spanOf(longVarintField(6, 3), longVarintField(10, 0), longVarintField(99, 7), bytesField(9, textField(1, "k"), bytesField(2, longVarintField(3, 9))))),
	"status absent and empty":   request(spanOf(), spanOf(bytesField(15)), spanOf(bytesField(15, textField(2, "m"), varintField(3, 2)))),
	"status merges":             request(spanOf(bytesField(15, textField(2, "m"), varintField(3, 2)), bytesField(15, varintField(3, 1), varintField(9, 9)), bytesField(15, varintField(1, 9), textField(3, "x")))),
	"unknown fields":            request(spanOf(varintField(17, 1), textField(18, "x"), fixed32Field(19, 1), fixed64Field(20, 1), groupField(21, groupField(22, varintField(1, 1)), textField(2, "g")), varintField(17, 2), varintField(1<<29-1, 3))),
	"long tags":                 request(spanOf([]byte("\xbd\x000000"), []byte("\xaa\x80\x00\x01n"), []byte("\xc8\x8c\x80\x00\x01"))),
	"known fields, wrong types": request(spanOf(varintField(3, 1), varintField(4, 1), varintField(5, 1), textField(6, "x"), varintField(7, 1), fixed32Field(8, 1), varintField(9, 1), textField(10, "x"), varintField(11, 1), varintField(13, 1), varintField(15, 2), varintField(16, 3))),

	"values of each type": request(spanOf(attr("s", stringValue("x")), attr("s0", stringValue("")), attr("b", boolValue(true)), attr("b0", boolValue(false)), attr("b9", varintField(2, 9)), attr("i", intValue(-1)), attr("i0", intValue(0)), attr("d", doubleBits(0x4004000000000000)), attr("d0", doubleBits(0)), attr("-0", doubleBits(1<<63)), attr("by", bytesValue("\xff\x00")), attr("by0", bytesValue("")), attr("a0", arrayValue()), attr("m0", mapValue()), attr("e"), bytesField(9, textField(1, "no value")), bytesField(9), attr(""), attr("", intValue(1)))),
	"NaN payloads":        request(spanOf(attr("n", doubleBits(0x7ff8000000000001)), attr("n", doubleBits(0xfff0000000000123)), attr("inf", doubleBits(0x7ff0000000000000)))),
	"duplicate keys":      request(spanOf(attr("k", intValue(1)), attr("k", stringValue("1")), attr("k", intValue(1)), attr("j", intValue(1)), attr("k", doubleBits(1)))),
	"values that repeat":  request(sameValues, sameValues, spanOf(attr("k", stringValue("y"))), sameValues, spanOf(attr("k", intValue(1)), attr("k", intValue(1)), bytesField(9)), spanOf(attr("k", intValue(1)), attr("k", intValue(1)), attr("k", boolValue(true))), sameValues),
	"one message, all levels": bytesField(1, bytesField(1, bytes.Repeat(bytesField(1, oneMessage), 3)), bytesField(2, bytesField(1, bytes.Repeat(bytesField(3, oneMessage), 3)),
		bytesField(2, spanOf(bytes.Repeat(bytesField(9, oneMessage), 3), bytes.Repeat(bytesField(11, bytes.Repeat(bytesField(3, oneMessage), 3)), 2), bytes.Repeat(bytesField(13, bytes.Repeat(bytesField(4, oneMessage), 3)), 2))),
		bytesField(2, spanOf(bytesField(9, oneMessage), bytesField(3, oneMessage), bytesField(4, oneMessage), bytesField(9, oneMessage), bytesField(11, bytesField(9, oneMessage), bytesField(4, oneMessage)), bytesField(13, bytesField(4, oneMessage), bytesField(3, oneMessage)), bytesField(9, oneMessage))))),
	"lists in lists":     request(spanOf(attr("a", arrayValue(stringValue("x"), intValue(1), nil, mapValue(keyValue("k", arrayValue()), textField(1, "no value"))), nil))),
	"oneof, last wins":   request(spanOf(attr("k", intValue(1), stringValue("x")), attr("k", stringValue("x"), intValue(1)), attr("k", arrayValue(intValue(1)), stringValue("x")), attr("k", stringValue("x"), arrayValue(intValue(1))), attr("k", mapValue(), arrayValue()))),
	"oneof, lists merge": request(spanOf(attr("k", arrayValue(intValue(1)), arrayValue(intValue(2)), arrayValue(intValue(3))), attr("k", mapValue(keyValue("a")), mapValue(keyValue("b"))), attr("k", arrayValue(intValue(1)), stringValue("x"), arrayValue(intValue(2))))),
	"string table index": request(spanOf(attr("k", varintField(8, 3)), attr("k", varintField(8, 3), stringValue("x")), attr("k", stringValue("x"), varintField(8, 0)), bytesField(9, keyValue("k", intValue(1)), varintField(3, 4)))),
	"unknown in values":  request(spanOf(attr("k", stringValue("x"), varintField(99, 1)), attr("k", varintField(1, 1)), attr("k", varintField(99, 1)), attr("k", textField(3, "x"), intValue(3)))),
	"unknown in pairs":   request(spanOf(bytesField(9, keyValue("k", intValue(1)), varintField(99, 1)), bytesField(9, varintField(1, 1)), bytesField(9, varintField(2, 1), keyValue("k")), bytesField(9, groupField(7)))),
	"key after value":    request(spanOf(bytesField(9, bytesField(2, intValue(1)), textField(1, "k")), bytesField(9, textField(1, "j"), bytesField(2, intValue(1)), textField(1, "k")))),
	"value twice":        request(spanOf(bytesField(9, textField(1, "k"), bytesField(2, arrayValue(intValue(1))), bytesField(2, arrayValue(intValue(2))), bytesField(2)))),
	"unknown in lists":   request(spanOf(attr("k", bytesField(5, varintField(9, 1), bytesField(1, intValue(1)))), attr("k", bytesField(6, bytesField(1, keyValue("a", intValue(1)), varintField(9, 9)), textField(2, "x"))))),

	"events":        request(spanOf(bytesField(11, fixed64Field(1, 5), textField(2, "e"), bytesField(3, keyValue("a", intValue(1))), varintField(4, 7)), bytesField(11), bytesField(11, varintField(9, 1), varintField(2, 1), textField(2, "a"), textField(2, "b")), varintField(12, 3))),
	"links":         request(spanOf(bytesField(13, textField(1, traceID2), textField(2, spanID1), textField(3, "s"), bytesField(4, keyValue("a", intValue(1))), varintField(5, 7), fixed32Field(6, 1)), bytesField(13), varintField(14, 3))),
	"odd link ids":  request(spanOf(bytesField(13, textField(1, "12345678"), textField(2, "1")), bytesField(13, textField(1, strings.Repeat("\x00", 16)), textField(2, strings.Repeat("\x00", 8))), bytesField(13, textField(1, "x"), textField(1, ""), varintField(2, 1), textField(2, "12345678")))),
	"invalid UTF-8": bytesField(1, bytesField(1, bytesField(1, keyValue("\xff", stringValue("\xfe"))), bytesField(3, textField(1, "\xfd"))), textField(3, "\xfc"), bytesField(2, bytesField(1, textField(1, "\xfb"), textField(2, "\xfa"), bytesField(3, keyValue("k", bytesValue("\xff")))), textField(3, "\xf9"), bytesField(2, spanOf(textField(3, "\xf8"), textField(5, "a\xf7\xf7b"), attr("\xf6", stringValue("\xf5")), attr("k", arrayValue(stringValue("\xf4"), mapValue(keyValue("\xf3", stringValue("\xf2")))), nil), attr("k", stringValue("\xf1"), varintField(9, 9)), bytesField(9, keyValue("\xf0", stringValue("\xef")), varintField(9, 9)), bytesField(11, textField(2, "\xee"), bytesField(3, keyValue("\xed"))), bytesField(13, textField(3, "\xec"), bytesField(4, keyValue("\xeb"))), bytesField(15, textField(2, "\xea")))))),
	"odd times":     request(spanOf(fixed64Field(7, 10), fixed64Field(8, 9)), spanOf(fixed64Field(8, 1<<63)), spanOf(fixed64Field(7, 1<<64-1), fixed64Field(8, 1<<64-1)), spanOf(fixed64Field(7, 1))),
	"depth 64":      request(spanOf(attr("k", nested(64, intValue(1))))),
}

func TestOddSpansComeBackExactly(t *testing.T) {
	for name, raw := range oddCases {
		t.Run(name, func(t *testing.T) {
			parts, counts := promises(t, raw)
			if counts.NestedTooDeep+counts.TruncatedKeys+counts.TruncatedValues > 0 {
				t.Errorf("counts %+v", counts)
			}
			if want := name != "nothing" && name != "empty ResourceSpans" && name != "envelopes without spans"; want != (len(parts) > 0) {
				t.Errorf("%d parts", len(parts))
			}
		})
	}
}

func TestSpansWithBadIDsAreDroppedAndCounted(t *testing.T) {
	_, counts := promises(t, oddCases["bad ids"])
	if want := (otlp.Counts{Spans: 2, DroppedTraceID: 4, DroppedSpanID: 3}); counts != want {
		t.Errorf("counts %+v, want %+v", counts, want)
	}
}

func TestInvalidUTF8IsKeptAndCounted(t *testing.T) {
	if _, counts := promises(t, oddCases["invalid UTF-8"]); counts.InvalidUTF8 != 22 {
		t.Errorf("%d texts counted, 22 sent", counts.InvalidUTF8)
	}
}

// TestInvalidUTF8IsCountedEachTime: also where a value comes again.
func TestInvalidUTF8IsCountedEachTime(t *testing.T) {
	if _, counts := promises(t, oddCases["values that repeat"]); counts.InvalidUTF8 != 8 {
		t.Errorf("%d texts counted, 8 sent", counts.InvalidUTF8)
	}
}

// TestInvalidUTF8IsCountedWhereverItStands: in texts of any length, of names and of values.
func TestInvalidUTF8IsCountedWhereverItStands(t *testing.T) {
	var spans [][]byte
	invalid := 0
	for n := range 40 {
		for at := range n {
			text := strings.Repeat("x", at) + "\xff" + strings.Repeat("y", n-at-1)
			valid := strings.Repeat("x", at) + "ä" + strings.Repeat("y", n-at-1)
			named := spanOf(textField(5, text), attr("k", stringValue(text)), attr("k", stringValue(valid)))
			spans = append(spans, named, named, spanOf(textField(5, valid)))
			invalid += 4
		}
	}
	if _, counts := promises(t, request(spans...)); counts.InvalidUTF8 != invalid {
		t.Errorf("%d texts counted, %d sent", counts.InvalidUTF8, invalid)
	}
}

// TestARequestThatIsReadAnewIsCountedOnce: an envelope stands behind spans and other envelopes.
func TestARequestThatIsReadAnewIsCountedOnce(t *testing.T) {
	one := bytesField(2, spanOf(attr("k", stringValue("\xff"))))
	raw := msg(bytesField(1, bytesField(2, one, bytesField(2), one)), bytesField(1, bytesField(2, one), textField(3, "a")))
	_, counts := promises(t, raw)
	if want := (otlp.Counts{Spans: 3, DroppedTraceID: 1, InvalidUTF8: 3}); counts != want {
		t.Errorf("counts %+v, want %+v", counts, want)
	}
}

func TestEndBeforeStartIsCounted(t *testing.T) {
	if _, counts := promises(t, oddCases["odd times"]); counts.EndBeforeStart != 3 {
		t.Errorf("%d counted, 3 sent", counts.EndBeforeStart)
	}
}

// TestASpanThatStartsOverIsCountedOnce: the second id is found after texts were walked.
func TestASpanThatStartsOverIsCountedOnce(t *testing.T) {
	_, counts := promises(t, request(msg(ids, textField(5, "a"), attr("k", stringValue("\xff"), varintField(99, 1)), textField(1, traceID2))))
	if want := (otlp.Counts{Spans: 1, InvalidUTF8: 1}); counts != want {
		t.Errorf("counts %+v, want %+v", counts, want)
	}
}
