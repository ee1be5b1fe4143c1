package invariant_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stoadb/stoa/internal/invariant"
)

func boom() { panic("boom") }

// A panic of one of a crew comes to who waits, with its stack, when all others have ended.
func TestACrewBringsPanicsToWhoWaits(t *testing.T) {
	for name, begin := range map[string]func(*invariant.Crew){
		"in a goroutine": func(c *invariant.Crew) { c.Go(boom) },
		"where it waits": func(c *invariant.Crew) { c.Do(boom) },
		"in one of a crew of its own": func(c *invariant.Crew) {
			c.Go(func() {
				var inner invariant.Crew
				inner.Go(boom)
				inner.Wait()
			})
		},
		"in all": func(c *invariant.Crew) { c.Go(boom); c.Go(boom); c.Do(boom) },
	} {
		t.Run(name, func(t *testing.T) {
			var ended atomic.Int32
			caught := invariant.Caught(func() {
				var crew invariant.Crew
				release := make(chan struct{})
				for range 3 {
					crew.Go(func() { <-release; ended.Add(1) })
				}
				begin(&crew)
				crew.Go(func() { close(release) })
				crew.Wait()
			})
			if caught == nil || caught.Cause != "boom" || !strings.Contains(caught.Stack, "invariant_test.boom") {
				t.Errorf("caught %v", caught)
			}
			if n := ended.Load(); n != 3 {
				t.Errorf("%d of 3 others had ended", n)
			}
		})
	}
	var crew invariant.Crew
	crew.Go(func() {})
	crew.Do(func() {})
	crew.Wait()
}
