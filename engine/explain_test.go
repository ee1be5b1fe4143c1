package engine_test

import (
	"context"
	"testing"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
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

// TestTemplatesOfRowGroupsAreFiltered: events that all have a name of their own have templates of
// their row groups' own. A value that none of them has is looked for in no row; one that some have
// is found.
func TestTemplatesOfRowGroupsAreFiltered(t *testing.T) {
	cut, _, err := otlp.Cut(enginetest.Crowded(), 1, firstShard)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := loaded(t, cut, engine.Options{ManualCompaction: true})
	if err := s.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]int{"9": 0, "3": (enginetest.CrowdedSpans + 3) / 7} {
		q := span.AllTime()
		q.Limit, q.Explain = span.TracesFoundMax, new(span.Explain)
		q.Tags = []span.Tag{{Key: "e", Value: value}}
		found, err := s.Find(context.Background(), q)
		if err != nil || len(found) != want {
			t.Errorf("e=%s: %d traces of %d, %v", value, len(found), want, err)
		}
		if e := q.Explain.Explained(); want == 0 && (e.Groups == 0 || e.GroupsByFilter != e.Groups || e.RowsRead > 0) {
			t.Errorf("e=%s: %+v", value, e)
		}
	}
}
