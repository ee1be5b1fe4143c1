package column_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/internal/codec"
)

// intLists gives lists that lead to each form: constant, near a minimum, far apart, ordered.
func intLists() *rapid.Generator[[]uint64] {
	edge := rapid.SampledFrom([]uint64{0, 1, 127, 128, 255, 256, 1 << 32, math.MaxInt64, 1 << 63, math.MaxUint64})
	return rapid.OneOf(
		rapid.SliceOf(rapid.Uint64()),
		rapid.SliceOf(edge),
		rapid.SliceOf(rapid.Uint64Range(1000, 1300)),
		rapid.SliceOfN(rapid.Just(uint64(7)), 0, 50),
		rapid.Custom(func(t *rapid.T) []uint64 {
			values := rapid.SliceOf(rapid.Uint64()).Draw(t, "values")
			slices.Sort(values)
			return values
		}),
		rapid.Custom(func(t *rapid.T) []uint64 {
			values, at := []uint64{}, rapid.Uint64().Draw(t, "base")
			for range rapid.IntRange(0, 60).Draw(t, "n") {
				at += uint64(rapid.Int64Range(-5, 90).Draw(t, "step")) // wraps where base is at an end
				values = append(values, at)
			}
			return values
		}),
	)
}

func TestIntegersComeBackExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := intLists().Draw(t, "values")
		data := column.AppendInts([]byte("before"), values)[6:]
		r := codec.NewReader(append(data, 0xaa))
		got := column.DecodeInts([]uint64{42}, r, len(values))
		if r.Err() != nil || r.Len() != 1 || !slices.Equal(got[1:], values) || got[0] != 42 {
			t.Fatalf("%v gives %v, %d bytes left, %v", values, got, r.Len(), r.Err())
		}
		if len(values) > 0 && len(data) > 1+10+1+8*len(values) {
			t.Fatalf("%d values take %d bytes", len(values), len(data))
		}
	})
}

func TestPagesComeBackExactlyOrAreRefused(t *testing.T) {
	for _, payload := range [][]byte{nil, {7}, bytes.Repeat([]byte("again "), 100), []byte("0123456789abcdefghijklmnopqrstuvwxyz")} {
		for _, compress := range []bool{false, true} {
			page := column.AppendPage(nil, payload, compress)
			if len(page) > len(payload)+5 {
				t.Fatalf("%d bytes became a page of %d", len(payload), len(page))
			}
			got, _, err := column.OpenPage(page, nil)
			if err != nil || !bytes.Equal(got, payload) {
				t.Fatalf("%q gives %q, %v", payload, got, err)
			}
			for bit := range len(page) * 8 {
				flipped := slices.Clone(page)
				flipped[bit/8] ^= 1 << (bit % 8)
				if _, _, err := column.OpenPage(flipped, nil); !errors.Is(err, codec.ErrCorrupt) {
					t.Fatalf("bit %d flipped: %v", bit, err)
				}
			}
			for cut := range len(page) {
				if _, _, err := column.OpenPage(page[:cut], nil); !errors.Is(err, codec.ErrCorrupt) {
					t.Fatalf("cut to %d: %v", cut, err)
				}
			}
		}
	}
	if page := column.AppendPage(nil, bytes.Repeat([]byte("again "), 100), true); len(page) > 60 {
		t.Fatalf("600 bytes of repetition take %d", len(page))
	}
}

func FuzzDecodeInts(f *testing.F) {
	for _, values := range [][]uint64{{1, 1, 1}, {5, 900, 3}, {1 << 60, 2, 1 << 50}, {10, 11, 12, 14, 1 << 40}} {
		f.Add(column.AppendInts(nil, values), uint16(len(values)))
	}
	f.Fuzz(func(t *testing.T, data []byte, n uint16) {
		r := codec.NewReader(data)
		values := column.DecodeInts(nil, r, int(n))
		if r.Err() != nil {
			return
		}
		if len(values) != int(n) {
			t.Fatalf("%d values, %d asked", len(values), n)
		}
		again := column.DecodeInts(nil, codec.NewReader(column.AppendInts(nil, values)), int(n))
		if !slices.Equal(values, again) {
			t.Fatalf("%v and %v", values, again)
		}
	})
}

func FuzzOpenPage(f *testing.F) {
	f.Add(column.AppendPage(nil, bytes.Repeat([]byte("again "), 100), true))
	f.Add(column.AppendPage(nil, []byte("raw"), false))
	f.Fuzz(func(t *testing.T, page []byte) {
		if _, _, err := column.OpenPage(page, nil); err != nil && !errors.Is(err, codec.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
