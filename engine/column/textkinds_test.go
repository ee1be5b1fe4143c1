package column_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/column"
)

// Every byte at every place of a text that is all digits otherwise: the form says so where it
// still is one, and each text comes back exactly.
func TestTextsOfDigitsButForOneByteComeBackExactly(t *testing.T) {
	const uuid = "0f8fad5b-d9cb-469f-a165-70867728950e"
	for _, l := range []struct{ text, form string }{
		{uuid, "plain UUIDs"},
		{"0123456789abcdef", "plain hexadecimal texts"},
		{"0f8fad5bd9cb469fa16570", "plain hexadecimal texts"},
		{"a0", "plain hexadecimal texts"},
	} {
		for at := range len(l.text) {
			dash := l.text[at] == '-'
			for c := range 256 {
				changed := []byte(l.text)
				changed[at] = byte(c)
				if string(changed) == l.text {
					continue
				}
				values := [][]byte{[]byte(l.text), changed}
				payload := payloadOf(values)
				same := !dash && strings.IndexByte("0123456789abcdef", byte(c)) >= 0
				if form := column.TextsForm(payload); (form == l.form) != same {
					t.Fatalf("%q beside %q stand as %s", changed, l.text, form)
				}
				texts, err := column.OpenTexts(payload, len(values))
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range values {
					if got, err := texts.Value(i); err != nil || !bytes.Equal(got, want) {
						t.Fatalf("value %d is %q, %v, not %q", i, got, err, want)
					}
				}
			}
		}
	}
}

// What is a UUID only where two texts stand side by side, or has an odd number of digits, is none.
func TestTextsAreOfAKindOneByOne(t *testing.T) {
	const uuid = "0f8fad5b-d9cb-469f-a165-70867728950e"
	for form, values := range map[string][]string{
		"plain texts":             {uuid[:35], uuid[35:] + uuid},
		"plain hexadecimal texts": {uuid[:8], "", uuid[24:]},
		"plain decimal numbers":   {"1", "23", "9223372036854775807"},
	} {
		lists := make([][]byte, len(values))
		for i, v := range values {
			lists[i] = []byte(v)
		}
		payload := payloadOf(lists)
		if got := column.TextsForm(payload); got != form {
			t.Errorf("%q stand as %s, not %s", values, got, form)
		}
		wantTexts(t, payload, lists, nil)
	}
	odd := [][]byte{[]byte("abc"), []byte("def0a")}
	if got := column.TextsForm(payloadOf(odd)); got != "plain texts" {
		t.Errorf("%q stand as %s", odd, got)
	}
}
