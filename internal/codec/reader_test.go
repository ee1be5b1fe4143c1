package codec_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/internal/codec"
)

// Reading varints in one loop is reading them one by one, wrong bytes included.
func TestManyVarintsReadAsOneByOne(t *testing.T) {
	byteOf := rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte{0x80, 0xff, 0x01, 0x02, 0x00}))
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(byteOf, 0, 60).Draw(t, "data")
		n := rapid.IntRange(0, 12).Draw(t, "n")
		one, many := codec.NewReader(data), codec.NewReader(data)
		want, got := make([]uint64, n), make([]uint64, n)
		for i := range want {
			want[i] = one.Uvarint()
		}
		many.Uvarints(got)
		if (one.Err() == nil) != (many.Err() == nil) || one.Offset() != many.Offset() {
			t.Fatalf("%v at %d, one by one %v at %d", many.Err(), many.Offset(), one.Err(), one.Offset())
		}
		if one.Err() == nil && !slices.Equal(got, want) {
			t.Fatalf("%v, one by one %v", got, want)
		}
	})
}
