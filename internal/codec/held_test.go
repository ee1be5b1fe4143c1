package codec_test

import (
	"runtime"
	"testing"

	"github.com/stoadb/stoa/internal/codec"
)

// TestHeldOutlivesCollections up to as many as it may hold; each is had by one at a time.
func TestHeldOutlivesCollections(t *testing.T) {
	made := 0
	h := codec.Held[[]byte]{Most: 2, New: func() *[]byte { made++; return new([]byte) }}
	var out []*[]byte
	for range 5 {
		out = append(out, h.Get())
	}
	if made != 5 {
		t.Fatalf("%d were made for 5", made)
	}
	for _, v := range out {
		h.Put(v)
	}
	for range 3 {
		runtime.GC() // two empty a sync.Pool
	}
	made = 0
	seen := make(map[*[]byte]bool)
	for range 3 {
		seen[h.Get()] = true
	}
	if made != 1 || len(seen) != 3 || !seen[out[0]] || !seen[out[1]] {
		t.Errorf("of 5 put back 2 should be there after collections: %d were made, %d differ", made, len(seen))
	}
}
