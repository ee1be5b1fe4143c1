package engine_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/internal/vfs"
)

// What works in the background is told so before it works: a flusher, and a merger where there is
// one.
func TestBackgroundGoroutinesAreTold(t *testing.T) {
	for merging, want := range map[bool]int32{false: 1, true: 2} {
		var told atomic.Int32
		s, err := engine.Open(engine.Options{FS: vfs.NewCrash(1), Dir: worldDir, ManualCompaction: !merging, Background: func() { told.Add(1) }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Apply(1, &engine.Entry{Received: 1, Parts: []engine.Part{partOf(enginetest.Numbered(1))}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if told.Load() != want {
			t.Errorf("merging %v: %d goroutines were told, not %d", merging, told.Load(), want)
		}
	}
}
