package engine

import (
	"context"
	"errors"
	"testing"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/vfs"
)

// countedContext ends after so many looks at it.
type countedContext struct {
	context.Context
	left *int
}

func (c countedContext) Err() error {
	if *c.left--; *c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestSplitTracesAreSoughtUntilTheQuestionEnds: who goes over the trace tables of all segments looks at the context at
// least once in splitEach traces of each, ends at whichever look, and keeps nothing then.
func TestSplitTracesAreSoughtUntilTheQuestionEnds(t *testing.T) {
	const segments, traces = 3, 2*splitEach + 1
	s, err := Open(Options{FS: vfs.NewCrash(1), Dir: "shard-0", ManualCompaction: true, MemtableBytesMax: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := range segments {
		list := make([]enginetest.Sized, traces)
		for i := range list {
			list[i] = enginetest.Sized{Trace: i, At: uint64(n*traces+i) * 1000, Bytes: 1}
		}
		batch, _, err := otlp.Walk(enginetest.SizedPayload(list...))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Apply(uint64(n+1), &Entry{Received: 1, Parts: []Part{NewPart(batch, 1)}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	v := s.live
	const plenty = 1 << 20
	for looks := 0; ; looks++ {
		left := looks
		split, err := v.splitSegments(countedContext{t.Context(), &left})
		if err == nil {
			if len(split.traces) != traces || looks < segments+segments*traces/splitEach {
				t.Errorf("%d split traces, %d looks", len(split.traces), looks)
			}
			return
		}
		if !errors.Is(err, context.Canceled) || v.split.Load() != nil || looks == plenty {
			t.Fatalf("%d looks: %v", looks, err)
		}
	}
}
