package otlp_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

func TestValuesAsText(t *testing.T) {
	double := func(v float64) []byte { return attr("k", doubleBits(math.Float64bits(v))) }
	for _, c := range []struct {
		attr []byte
		want string
	}{
		{attr("k", stringValue("text as it is \xff")), "text as it is \xff"},
		{attr("k", stringValue("")), ""},
		{attr("k"), ""},
		{bytesField(9, textField(1, "k")), ""},
		{attr("k", intValue(-9223372036854775808)), "-9223372036854775808"},
		{attr("k", intValue(0)), "0"},
		{attr("k", boolValue(true)), "true"},
		{attr("k", boolValue(false)), "false"},
		{double(2), "2"},
		{double(-0.5), "-0.5"},
		{double(0.1), "0.1"},
		{double(1e6), "1000000"},
		{double(1e20), "100000000000000000000"},
		{double(1e21), "1e+21"},
		{double(1e-6), "0.000001"},
		{double(1e-7), "1e-7"},
		{double(1.5e-10), "1.5e-10"},
		{double(math.Copysign(0, -1)), "-0"},
		{double(math.NaN()), "NaN"},
		{double(math.Inf(1)), "+Inf"},
		{attr("k", bytesValue("\xff\x00a")), "/wBh"},
		{attr("k", arrayValue()), "[]"},
		{attr("k", mapValue()), "{}"},
		{attr("k", arrayValue(stringValue("a\"<\n"), intValue(1), boolValue(true), nil, doubleBits(math.Float64bits(1)), bytesValue("a"), arrayValue(intValue(2)))),
			`["a\"\u003c\n",1,true,null,1,"YQ==",[2]]`},
		{attr("k", arrayValue(stringValue("é\xff"), doubleBits(0x7ff0000000000000))), `["é\ufffd","+Inf"]`},
		{attr("k", mapValue(keyValue("b", intValue(1)), keyValue("a", stringValue("x")), textField(1, "c"), keyValue("b", intValue(2)))),
			`{"a":"x","b":2,"c":null}`},
		{attr("k", intValue(1), varintField(99, 1)), "1"},
		{attr("k", arrayValue(intValue(1)), arrayValue(intValue(2))), "[1,2]"},
		{bytesField(9, keyValue("k", mapValue(keyValue("a"))), bytesField(2, mapValue(keyValue("b")))), `{"a":null,"b":null}`},
		{bytesField(9, textField(1, "k"), varintField(99, 1)), ""},
		{attr("k", nested(64, nil)), strings.Repeat("[", 64) + "null" + strings.Repeat("]", 64)},
	} {
		batch := batchOf(t, request(spanOf(c.attr)))
		attrs := span.Row{Batch: batch}.AppendAttrs(nil)
		if got := string(otlp.AppendText([]byte("="), batch, attrs[0])); got != "="+c.want {
			t.Errorf("%x: %s, want %s", c.attr, got, c.want)
		}
	}
}

// TestAskingForTextChangesNothing: a batch is read by many at once, and lists that merge
// are put together somewhere else.
func TestAskingForTextChangesNothing(t *testing.T) {
	batch := batchOf(t, request(spanOf(
		bytesField(9, keyValue("k", arrayValue(intValue(1))), bytesField(2, arrayValue(intValue(2))), varintField(99, 1)),
		attr("k", arrayValue(stringValue("a"), msg(arrayValue(intValue(1)), arrayValue(intValue(2))))),
		attr("k", mapValue(msg(keyValue("a", arrayValue(intValue(1))), bytesField(2, arrayValue(intValue(2)))))),
		attr("after", stringValue("untouched")))))
	before := string(batch.Text)
	want := []string{"k=[1,2]", `k=["a",[1,2]]`, `k={"a":[1,2]}`, "after=untouched"}
	for range 2 {
		if got := texts(batch, (span.Row{Batch: batch}).AppendAttrs(nil)); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	encoded(t, rowsOf(batch))
	if string(batch.Text) != before {
		t.Error("the batch changed")
	}
}

func TestServiceIsTheLastServiceNameAsText(t *testing.T) {
	for want, resource := range map[string][]byte{
		"b":  msg(bytesField(1, keyValue("service.name", stringValue("a"))), bytesField(1, keyValue("service.name", stringValue("b"))), bytesField(1, keyValue("x", stringValue("c")))),
		"5":  bytesField(1, keyValue("service.name", intValue(5))),
		"x":  bytesField(1, keyValue("service.name", stringValue("x")), varintField(9, 1)),
		"":   nil,
		"[]": bytesField(1, keyValue("service.name", arrayValue())),
	} {
		batch := batchOf(t, bytesField(1, bytesField(1, resource), bytesField(2, bytesField(2, ids))))
		if got := string((span.Row{Batch: batch}).Service()); got != want {
			t.Errorf("service %q, want %q", got, want)
		}
	}
}
