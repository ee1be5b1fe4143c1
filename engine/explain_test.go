package engine_test

import (
	"context"
	"testing"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
)

// TestExplainCountsWhatASearchDid: nothing is passed over twice, and templates that match are
// some of those looked at, none where nothing can.
func TestExplainCountsWhatASearchDid(t *testing.T) {
	s, spans := loaded(t, realParts(t, "zipkin-fixtures.otlp.zst"), engine.Options{ManualCompaction: true})
	find := func(q span.Query) span.Explained {
		t.Helper()
		q.Explain = new(span.Explain)
		if _, err := s.Find(context.Background(), q); err != nil {
			t.Fatal(err)
		}
		return q.Explain.Explained()
	}
	if e := find(span.AllTime()); e.Batches == 0 || e.Segments != 0 {
		t.Errorf("in memory: %+v", e)
	}
	if err := s.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	all := span.AllTime()
	all.Limit = span.TracesFoundMax
	if e := find(all); e.Segments != 1 || e.TemplatesMatched != e.Templates || e.RowsByTemplate != int64(spans) || e.RowsRead != 0 || e.Batches != 0 {
		t.Errorf("all of %d spans: %+v", spans, e)
	}
	early := all
	early.StartMax = 1
	if e := find(early); e.SegmentsByTime != 1 || e.Groups != 0 {
		t.Errorf("before all of them: %+v", e)
	}
	named := all
	named.Name, named.Tags = "get /", []span.Tag{{Key: "http.method", Value: "GET"}}
	if e := find(named); e.TemplatesMatched == 0 || e.TemplatesMatched >= e.Templates {
		t.Errorf("by name and tag: %+v", e)
	}
	never := all
	never.Tags = []span.Tag{{Key: "no such key", Value: "x"}}
	if e := find(never); e.SegmentsByTerms != 1 || e.TemplatesMatched != 0 || e.PagesRead != 0 {
		t.Errorf("by nothing that is there: %+v", e)
	}
}
