package span_test

import (
	"testing"

	"github.com/stoadb/stoa/engine/span"
)

// TestTheFloorIsTheLastTraceOfAllShards: it is there as soon as all together have as many as the
// answer holds, follows them, and never falls.
func TestTheFloorIsTheLastTraceOfAllShards(t *testing.T) {
	found := func(starts ...uint64) (list []span.Found) {
		for _, start := range starts {
			list = append(list, span.Found{Start: start})
		}
		return list
	}
	together := span.NewTogether(3, 3)
	for i, told := range []struct {
		shard int
		found []span.Found
		floor uint64
	}{
		{0, nil, 0},
		{0, found(90, 50), 0},
		{2, found(70), 50},
		{1, found(60, 60, 10), 60},
		{1, found(80, 60, 60, 10), 70},
		{0, found(90), 70}, // it has forgotten what stands below the floor
		{2, found(100, 95, 85), 90},
	} {
		together.Tell(told.shard, told.found)
		if got := together.Floor(); got != told.floor {
			t.Errorf("after %d: floor %d, want %d", i, got, told.floor)
		}
	}
}
