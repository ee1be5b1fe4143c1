package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stoadb/stoa/engine"
)

// TestAFolderMayBeOpenedAgainAfterClose though writers, flushes and merges were in flight:
// after Close returns, the old shard touches nothing.
func TestAFolderMayBeOpenedAgainAfterClose(t *testing.T) {
	for seed := range uint64(seeds(t, 12)) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newWorld(t, seed, 5)
			w.mustOpen()
			requests := w.deliveries(w.gen.Spans(120))
			s := w.shard
			var running sync.WaitGroup
			for range 2 {
				running.Go(func() {
					for {
						err := errors.Join(s.Settle(context.Background()), s.Compact(context.Background()))
						if err == nil {
							continue
						}
						if !errors.Is(err, engine.ErrClosed) {
							t.Errorf("in flight: %v", err)
						}
						return
					}
				})
			}
			for i, r := range requests {
				if i == len(requests)/2 {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					if err := w.open(); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.append(r); err != nil {
					t.Fatal(err)
				}
			}
			running.Wait()
			w.check(3)
			if err := w.restart(2); err != nil {
				t.Fatal(err)
			}
			w.check(3)
			noStrays(t, w)
		})
	}
}
