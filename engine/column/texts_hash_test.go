package column_test

import (
	"fmt"
	"testing"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/internal/codec"
)

// TestTextsKnowTheirHashes: of each distinct text, the empty one too, however many there are and
// whatever page was before.
func TestTextsKnowTheirHashes(t *testing.T) {
	var texts column.Texts
	for _, distinct := range []int{1, 20, 3000, 2} {
		texts.Reset()
		for i := range 3 * distinct {
			var value []byte
			if i%distinct > 0 {
				value = fmt.Appendf(nil, "value %d", i%distinct)
			}
			if code := texts.Add(value); code != uint64(i%distinct) {
				t.Fatalf("%q has code %d, want %d", value, code, i%distinct)
			}
		}
		if texts.Distinct() != distinct {
			t.Fatalf("%d distinct texts, want %d", texts.Distinct(), distinct)
		}
		for code := range uint64(distinct) {
			if got, want := texts.Hash(code), codec.HashText(texts.Value(code)); got != want {
				t.Fatalf("text %d of %d has hash %x, want %x", code, distinct, got, want)
			}
		}
	}
}
