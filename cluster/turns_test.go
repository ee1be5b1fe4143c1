package cluster_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// A request waits for its turn to be walked until its context ends, and one that is refused leaves
// its turn to the next.
func TestRequestsTakeTurns(t *testing.T) {
	shared := cluster.NewShared()
	o := small(vfs.NewCrash(1))
	o.Shared = shared
	store := open(t, o)
	for range 100 {
		if _, err := store.Write(t.Context(), []byte("no request")); !errors.Is(err, span.ErrInvalid) {
			t.Fatalf("what is no request: %v", err)
		}
	}
	if _, err := store.Write(t.Context(), enginetest.Numbered(1)); err != nil {
		t.Fatalf("after refused ones: %v", err)
	}
	free := cluster.TakeTurns(shared)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Write(ctx, enginetest.Numbered(2)); !errors.Is(err, context.Canceled) {
		t.Fatalf("without a turn: %v", err)
	}
	free()
	if _, err := store.Write(t.Context(), enginetest.Numbered(2)); err != nil {
		t.Fatal(err)
	}
}
