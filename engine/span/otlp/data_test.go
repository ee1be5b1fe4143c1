package otlp_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine/span/otlp"
)

func TestRealTracesComeBackExactly(t *testing.T) {
	for _, name := range dataFiles {
		t.Run(name, func(t *testing.T) {
			requests := requestsOf(t, name, math.MaxInt)
			if testing.Short() {
				requests = requests[:min(len(requests), 20)]
			}
			for i, request := range requests {
				parts, counts := mustCut(t, request, shards)
				if counts.Dropped() > 0 {
					t.Fatalf("request %d: counts %+v", i, counts)
				}
				got := truth{}
				for _, p := range parts {
					keepsForm(t, p.Batch)
					if i%10 == 0 {
						comesAgain(t, p)
						readable(t, p.Batch)
					}
					for id, spans := range truthOf(t, otlp.AppendTraces(nil, rowsOf(p.Batch))) {
						got[id] = append(got[id], spans...)
					}
				}
				if diff := cmp.Diff(truthOf(t, request), got.sort()); diff != "" {
					t.Fatalf("request %d of %s: %s", i, name, diff)
				}
			}
		})
	}
}
