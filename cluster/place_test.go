package cluster_test

import (
	"encoding/binary"
	"testing"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/span"
)

// TestPlaceStaysWhatItIs pins the placement: another one would look for every stored
// trace in the wrong shard.
func TestPlaceStaysWhatItIs(t *testing.T) {
	id := span.TraceID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	for _, c := range []struct {
		tenant       string
		shards, want int
	}{{"", 1, 0}, {"", 4, 1}, {"", 16, 1}, {"", 64, 49}, {"a", 16, 4}, {"ab", 64, 1}} {
		if got := cluster.Place(id, c.tenant, c.shards); got != c.want {
			t.Errorf("Place(%v, %q, %d) = %d, want %d", id, c.tenant, c.shards, got, c.want)
		}
	}
}

func TestPlaceSpreadsTracesEvenly(t *testing.T) {
	const traces, shards = 64_000, 16
	var counts [shards]int
	for i := range traces {
		var id span.TraceID
		binary.BigEndian.PutUint64(id[8:], uint64(i)) // ids that differ in few bits
		counts[cluster.Place(id, "", shards)]++
	}
	for shard, n := range counts {
		if n < traces/shards*9/10 || n > traces/shards*11/10 {
			t.Errorf("shard %d holds %d of %d traces", shard, n, traces)
		}
	}
}
