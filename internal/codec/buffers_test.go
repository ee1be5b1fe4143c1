package codec_test

import (
	"testing"

	"github.com/stoadb/stoa/internal/codec"
)

// A buffer has the length asked for, whatever the pool keeps, and two that are out at once
// share nothing; what the pool did not make does no harm.
func TestBuffersHaveTheLengthAskedFor(t *testing.T) {
	var pool codec.BufferPool
	foreign := make([]byte, 10)
	none := []byte(nil)
	for _, b := range []*[]byte{&foreign, &none} {
		pool.Put(b)
	}
	for _, length := range []int{0, 1, 4095, 4096, 4097, 100_000, 1 << 20, 1<<20 + 1, 5 << 18, 5<<18 + 1, 8 << 20, 8<<20 + 1, 3, 70_000, 4096} {
		a, b := pool.Get(length), pool.Get(length)
		if len(*a) != length || len(*b) != length {
			t.Fatalf("%d and %d bytes, %d asked for", len(*a), len(*b), length)
		}
		for i := range *a {
			(*a)[i], (*b)[i] = 1, 2
		}
		for i := range *a {
			if (*a)[i] != 1 || (*b)[i] != 2 {
				t.Fatalf("byte %d of %d is shared", i, length)
			}
		}
		pool.Put(a)
		pool.Put(b)
	}
}

// A buffer that was put back is given again, and is at most a quarter longer than what is asked
// for.
func TestBuffersComeAgain(t *testing.T) {
	for length := 4096; length <= 8<<20; length += length/7 + 1 {
		var pool codec.BufferPool
		b := pool.Get(length)
		if cap(*b) > length+length/4+1 {
			t.Errorf("%d bytes for %d", cap(*b), length)
		}
		pool.Put(b)
		if again := pool.Get(length); again != b {
			t.Errorf("%d bytes did not come again", length)
		}
	}
}
