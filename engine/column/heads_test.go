package column_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/internal/codec"
)

// byHand reads value i of a block of packed values above its base, bit by bit, as the drawing in
// docs/format/segment.md has them.
func byHand(payload []byte, h column.BlockHead, i int) uint64 {
	width := int(h.Tag)
	bit := func(n int) uint64 { return uint64(payload[h.Offset+n/8]>>(n%8)) & 1 }
	at := i * width
	if h.Values == 128 { // two lanes, their words in turn
		at = i / 2 * width
	}
	v := uint64(0)
	for k := range width {
		n := at + k
		if h.Values == 128 {
			n = (2*(n/64)+i%2)*64 + n%64
		}
		v |= bit(n) << k
	}
	return h.Base + v
}

// With the heads of mini-blocks a person finds any value, in one block of many too.
func TestAValueIsFoundByHandWithTheHeads(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 17, 128, 129, 300, 512} {
		values := make([]uint64, n)
		for i := range values {
			values[i] = 1_700_000_000_000_000_000 + random.Uint64N(1<<19)
		}
		payload := column.AppendInts(nil, values)
		heads, ok, err := column.BlockHeads(payload, n)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			if n > 1 {
				t.Errorf("%d values do not stand in mini-blocks", n)
			}
			continue
		}
		next := heads[0].Offset
		for _, h := range heads {
			if h.Offset != next {
				t.Errorf("%d values: a body at %d, want %d", n, h.Offset, next)
			}
			next += h.Bytes
			if h.Tag > 64 || !strings.Contains(h.String(), "base + ") {
				continue
			}
			for i := range h.Values {
				if got := byHand(payload, h, i); got != values[h.First+i] {
					t.Fatalf("%d values: value %d is %d by hand, %d as written: %v", n, h.First+i, got, values[h.First+i], h)
				}
			}
		}
		if next != len(payload) {
			t.Errorf("%d values: the last body ends at %d of %d", n, next, len(payload))
		}
	}
}

// Wrong bytes have no heads, or other ones.
func TestHeadsOfWrongBytesAreDamageOrHarmless(t *testing.T) {
	values := make([]uint64, 300)
	random := rand.New(rand.NewPCG(2, 2))
	for i := range values {
		values[i] = 1_000_000 + random.Uint64N(1<<11)
		if i > 128 && i%40 == 0 {
			values[i] <<= 20 // patched
		}
	}
	payload := column.AppendInts(nil, values)
	if _, ok, err := column.BlockHeads(payload, len(values)); !ok || err != nil {
		t.Fatalf("no mini-blocks: %v", err)
	}
	for cut := range payload {
		if _, _, err := column.BlockHeads(payload[:cut], len(values)); !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	for bit := range 8 * len(payload) {
		payload[bit/8] ^= 1 << (bit % 8)
		if heads, _, err := column.BlockHeads(payload, len(values)); err != nil && !errors.Is(err, codec.ErrCorrupt) || len(heads) > 3 {
			t.Errorf("bit %d flipped: %d heads, %v", bit, len(heads), err)
		}
		payload[bit/8] ^= 1 << (bit % 8)
	}
	// A page of another form has none.
	if _, ok, err := column.BlockHeads(binary.AppendUvarint([]byte{0}, 7), 300); ok || err != nil {
		t.Errorf("a constant has heads: %v", err)
	}
}
