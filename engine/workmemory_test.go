package engine_test

import (
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/stoadb/stoa/bench/workload"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// TestSpansUnlikeEachOtherAreTakenInMemoryThatStays: what is worked with to make a part of spans that
// have no word in common outlives collections of garbage, of which such spans bring many. A part then
// allocates its batch, and little else.
func TestSpansUnlikeEachOtherAreTakenInMemoryThatStays(t *testing.T) {
	config, err := workload.Preset("storm")
	if err != nil {
		t.Fatal(err)
	}
	config.Spans = 12_000
	least := math.Inf(1) // what other tests left running allocates too, but not all the time
	for request, err := range workload.Requests(config) {
		if err != nil {
			t.Fatal(err)
		}
		request = slices.Clone(request)
		makeParts(t, request) // what is worked with has its size now
		runtime.GC()
		runtime.GC() // two empty a sync.Pool
		before := allocatedBytes()
		needed := makeParts(t, request)
		least = min(least, float64(allocatedBytes()-before)/float64(needed))
	}
	if least > 1.25 {
		t.Errorf("to make parts allocated %.2f times what their batches take", least)
	}
}

// makeParts makes parts of a request as a node does, and gives the bytes of their batches.
func makeParts(t *testing.T, request []byte) (bytes int) {
	cut, _, err := otlp.Cut(request, 1, func(span.TraceID) int { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cut {
		part := engine.NewPart(c.Batch, c.Bytes)
		part.FreeForm()
		bytes += c.Batch.MemoryBytes()
	}
	return bytes
}

func allocatedBytes() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}
