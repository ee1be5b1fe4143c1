package span_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/span"
)

// A Resolver that has seen other traces says what ResolveParents says, of short traces and long.
func TestAResolverFindsTheSameParents(t *testing.T) {
	var r span.Resolver
	var dst []int32
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 30).Draw(t, "rows")
		if rapid.IntRange(0, 20).Draw(t, "long") == 0 {
			n = 4094 + n
		}
		ids := rapid.IntRange(1, n+1).Draw(t, "ids")
		var spanIDs, parentIDs []span.SpanID
		var kinds []int32
		id := func(v int) (id span.SpanID) {
			binary.LittleEndian.PutUint64(id[:], uint64(v)<<40)
			return id
		}
		seed := rapid.Uint64().Draw(t, "seed")
		next := func(n int) int {
			seed = seed*6364136223846793005 + 1442695040888963407
			return int(seed >> 33 % uint64(n))
		}
		for range n {
			spanIDs, parentIDs, kinds = append(spanIDs, id(next(ids)+1)), append(parentIDs, id(next(ids+1))), append(kinds, int32(next(4)))
		}
		want := span.ResolveParents(nil, spanIDs, parentIDs, kinds)
		if dst = r.Resolve(dst, spanIDs, parentIDs, kinds); !slices.Equal(want, dst) {
			t.Fatalf("%v, want %v", dst, want)
		}
	})
}
