package engine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// A search in memory looks into the batches alone that may have what is asked for, and into none
// that it does not reach.
func TestASearchPassesBatchesInMemoryOver(t *testing.T) {
	s, _ := loaded(t, nil, engine.Options{MemtableBytesMax: 1 << 40, ManualCompaction: true})
	const batches = 300
	for i := range batches {
		if _, err := s.Apply(uint64(i+1), &engine.Entry{Received: int64(i + 1), Parts: []engine.Part{partOf(enginetest.Numbered(i))}}); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(q span.Query) (traces int, explained span.Explained) {
		t.Helper()
		q.StartMin, q.StartMax, q.Explain = 0, 1<<63, new(span.Explain)
		found, err := s.Find(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		return len(found), q.Explain.Explained()
	}
	traces, explained := ask(span.Query{Name: "span 7", Limit: batches})
	if looked := explained.Batches - explained.BatchesByTime - explained.BatchesByTexts; traces != 1 || looked < 1 || looked > batches/20 {
		t.Errorf("%d traces; %d of %d batches were looked into for one that has the name", traces, looked, batches)
	}
	for i := range 50 {
		traces, explained := ask(span.Query{Tags: []span.Tag{{Key: "service.name", Value: fmt.Sprint("nowhere ", i)}}, Limit: batches})
		if passed := explained.BatchesByTexts; traces != 0 || passed < batches*95/100 {
			t.Errorf("a value that is nowhere: %d traces, %d of %d batches passed over", traces, passed, batches)
		}
	}
	if _, explained := ask(span.Query{Service: "numbered", Limit: 1}); explained.BatchesByTexts != 0 || explained.GroupsNotReached < batches-2 {
		t.Errorf("a search that ends at once: %+v", explained)
	}
}
