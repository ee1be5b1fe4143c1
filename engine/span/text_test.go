package span_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/span"
)

func TestInternedTextComesBackAndEqualTextHasOneID(t *testing.T) {
	var n span.Interner
	rapid.Check(t, func(t *rapid.T) {
		b := &span.Batch{}
		n.Reset(b) // used again and again, as the walker does
		ids := map[string]span.TextID{}
		for _, text := range rapid.SliceOf(rapid.SliceOfN(rapid.ByteRange(0, 3), 0, 6)).Draw(t, "texts") {
			id := n.Intern(text)
			if before, seen := ids[string(text)]; seen && before != id {
				t.Fatalf("%q is %d and %d", text, before, id)
			}
			ids[string(text)] = id
			if !bytes.Equal(b.Bytes(id), text) || (id == 0) != (len(text) == 0) {
				t.Fatalf("%q came back from %d as %q", text, id, b.Bytes(id))
			}
		}
		distinct := len(ids)
		if _, empty := ids[""]; !empty {
			distinct++
		}
		if len(b.TextEnd) != distinct {
			t.Fatalf("%d texts in the table, %d distinct", len(b.TextEnd), distinct)
		}
	})
}

func TestAnInternerGrows(t *testing.T) {
	b := &span.Batch{}
	n := span.NewInterner(b)
	text := func(i int) []byte { return []byte{byte(i), byte(i >> 8), byte(i >> 16)} }
	for round := range 2 {
		for i := range 100_000 {
			if id := n.Intern(text(i)); id != span.TextID(i+1) {
				t.Fatalf("round %d: text %d has id %d", round, i, id)
			}
		}
	}
}

// TestAnInternerUsedAgainKnowsNothingOfBefore: behind batches of any size.
func TestAnInternerUsedAgainKnowsNothingOfBefore(t *testing.T) {
	var n span.Interner
	for round, texts := range []int{0, 1, 30_000, 5, 300, 10_000, 0, 1_000, 5, 5, 5, 5, 5, 5, 10_000} {
		b := &span.Batch{}
		n.Reset(b)
		for range 2 {
			for i := range texts {
				if id := n.Intern([]byte{byte(i), byte(i >> 8)}); id != span.TextID(i+1) {
					t.Fatalf("round %d: text %d has id %d", round, i, id)
				}
			}
		}
		if want := texts + 1; len(b.TextEnd) != want {
			t.Fatalf("round %d: %d texts, want %d", round, len(b.TextEnd), want)
		}
	}
}

func TestTextOfOtherRoomsIsNotLookedUp(t *testing.T) {
	b := &span.Batch{}
	if b.AddText(nil) != 0 || b.AddText([]byte("a")) != 1 || b.AddText([]byte("a")) != 2 || b.String(2) != "a" || b.String(0) != "" {
		t.Error("AddText gives each text an id of its own")
	}
}

func TestBounds(t *testing.T) {
	b := &span.Batch{}
	if lo, hi := b.Bounds(); lo <= hi {
		t.Errorf("an empty batch has bounds %d to %d", lo, hi)
	}
	b.Starts = []uint64{5, 1 << 63, 0, 7}
	if lo, hi := b.Bounds(); lo != 0 || hi != 1<<63 {
		t.Errorf("bounds %d to %d", lo, hi)
	}
}

func TestTraceIDsAsText(t *testing.T) {
	for text, want := range map[string]string{
		"0102030405060708090a0b0c0d0e0f10": "0102030405060708090a0b0c0d0e0f10",
		"ABCDEF":                           "00000000000000000000000000abcdef",
		"1":                                "00000000000000000000000000000001",
		"":                                 "", "g": "", "0102030405060708090a0b0c0d0e0f1000": "", "-1": "",
	} {
		id, err := span.ParseTraceID(text)
		if (err != nil) != (want == "") || err == nil && id.String() != want {
			t.Errorf("%q: %s, %v", text, id, err)
		}
	}
	if (span.SpanID{1, 2}).String() != "0102000000000000" || !(span.SpanID{}).IsZero() || (span.SpanID{7: 1}).IsZero() {
		t.Error("span ids")
	}
	if (span.TraceID{1}).Compare(span.TraceID{15: 255}) <= 0 || (span.SpanID{1}).Compare(span.SpanID{7: 255}) <= 0 {
		t.Error("ids are compared as big-endian numbers")
	}
}

func TestAnswersAreNewestFirstThenByTraceID(t *testing.T) {
	old, newer, twin := span.Found{Start: 1}, span.Found{Start: 1 << 63}, span.Found{Start: 1, TraceID: span.TraceID{1}}
	if !newer.Before(old) || old.Before(newer) || !old.Before(twin) || twin.Before(old) || old.Before(old) {
		t.Error("order of Found")
	}
}
