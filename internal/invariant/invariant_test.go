package invariant_test

import (
	"testing"

	"github.com/stoadb/stoa/internal/invariant"
)

// Wrong code stops with the message; right code goes on.
func TestCheck(t *testing.T) {
	invariant.Check(true, "never said")
	defer func() {
		if got := recover(); got != "invariant broken: 2 is not 3" {
			t.Fatalf("stopped with %v", got)
		}
	}()
	invariant.Check(false, "%d is not %d", 2, 3)
}
