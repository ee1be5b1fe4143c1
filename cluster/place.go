package cluster

import (
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// placeHash is the name of the hash below, as it stands in the epoch record: another
// hash is another placement of the same traces.
const placeHash = "xxh3-64(tenant,0,trace-id)"

// Place is the shard that holds a trace: XXH3-64 over the tenant, a zero byte and the
// trace id, modulo the number of shards of the epoch. It is pure: every node and every
// run of one epoch answers the same.
func Place(traceID span.TraceID, tenant string, shards int) int {
	if shards == 1 {
		return 0
	}
	var space [80]byte
	key := append(space[:0], tenant...)
	key = append(append(key, 0), traceID[:]...)
	return int(codec.Hash64(key, 0) % uint64(shards))
}
