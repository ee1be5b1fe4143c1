package engine_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
)

// expected is what the tests here read of ALL.expected.json: answers counted by a script
// that shares no code with us.
type expected struct {
	Files         []string
	Spans, Traces int
	Services      []string
	Operations    int
	Edges         []struct {
		Parent, Child string
		Calls         uint64
	} `json:"edges_with_self"`
	TagQueries []struct {
		Key, Value string
		Spans      int `json:"spans_any"`
		Traces     int `json:"traces_any"`
	} `json:"tag_queries"`
	DurationQueries []struct {
		Service       string
		Min           uint64 `json:"min_duration_ns"`
		Spans, Traces int
	} `json:"duration_queries"`
	StartQueries []struct {
		Start  uint64 `json:"start_ns"`
		End    uint64 `json:"end_ns"`
		Spans  int    `json:"spans_started_in_range"`
		Traces int
	} `json:"start_range_queries"`
}

// TestRealTracesAnswerAsExpected in one shard: in memory, in segments, merged into one.
func TestRealTracesAnswerAsExpected(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: loads all real data")
	}
	text, err := os.ReadFile("../../shared/data/ALL.expected.json")
	if err != nil {
		t.Skip("SKIP: the shared data set is not here: ", err)
	}
	var want expected
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for state, memtableBytes := range map[string]int64{"memtable": 1 << 40, "segments": 12 << 20} {
		s, _ := loaded(t, nil, engine.Options{MemtableBytesMax: memtableBytes, ManualCompaction: true})
		seq := uint64(0)
		for _, file := range want.Files {
			for _, p := range realParts(t, file) {
				seq++
				e := &engine.Entry{Received: 1_767_225_600_000_000_000 + int64(seq), Parts: []engine.Part{engine.NewPart(p.Batch, p.Bytes)}}
				if _, err := s.Apply(seq, e); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Run(state, func(t *testing.T) { want.check(t, s, 4) })
		if state == "segments" {
			if err := s.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := s.Compact(context.Background()); err != nil {
				t.Fatal(err)
			}
			t.Run("merged", func(t *testing.T) { want.check(t, s, 1) })
			if st := s.Stats(); st.SegmentRows != int64(want.Spans) || st.Traces != int64(want.Traces) || st.Segments != 1 {
				t.Fatalf("merged: %+v", st)
			}
		}
		_ = s.Close()
	}
}

// check compares all answers; of the tag queries it asks every tagStep-th.
func (want *expected) check(t *testing.T, s *engine.Shard, tagStep int) {
	services, err := s.Services(t.Context())
	if err != nil || !slices.Equal(services, want.Services) {
		t.Errorf("services %q, want %q (%v)", services, want.Services, err)
	}
	operations, err := s.Operations(context.Background(), "")
	names := make(map[[2]string]bool)
	for _, o := range operations {
		names[[2]string{o.Service, o.Name}] = true
	}
	if err != nil || len(names) != want.Operations {
		t.Errorf("%d operations, want %d (%v)", len(names), want.Operations, err)
	}
	wantEdges := make(map[[2]string]uint64)
	for _, e := range want.Edges {
		wantEdges[[2]string{e.Parent, e.Child}] = e.Calls
	}
	edges, err := edgesOf(s)
	if diff := cmp.Diff(wantEdges, edges); err != nil || diff != "" {
		t.Errorf("edges (-want +got), %v:\n%s", err, diff)
	}
	all := span.Query{StartMax: math.MaxUint64, Limit: span.TracesFoundMax}
	count(t, s, "everything", all, want.Spans, want.Traces)
	for i, tag := range want.TagQueries {
		// These have a meaning of their own beside the attributes that the script counted.
		if i%tagStep != 0 || slices.Contains([]string{"error", "event", "span.kind", "span.status"}, tag.Key) {
			continue
		}
		q := all
		q.Tags = []span.Tag{{Key: tag.Key, Value: tag.Value}}
		count(t, s, tag.Key+"="+tag.Value, q, tag.Spans, tag.Traces)
	}
	for _, d := range want.DurationQueries {
		q := all
		q.DurationMin, q.Service = d.Min, d.Service
		count(t, s, "duration", q, d.Spans, d.Traces)
	}
	for _, r := range want.StartQueries {
		q := all
		q.StartMin, q.StartMax = r.Start, r.End-1
		count(t, s, "start range", q, r.Spans, r.Traces)
	}
}

func count(t *testing.T, s *engine.Shard, what string, q span.Query, spans, traces int) {
	t.Helper()
	n := 0
	err := s.Spans(context.Background(), q, func(span.Row) error {
		n++
		return nil
	})
	if err != nil || n != spans {
		t.Errorf("%s: %d spans, want %d (%v)", what, n, spans, err)
	}
	found, err := s.Find(context.Background(), q)
	if err != nil || len(found) != traces {
		t.Errorf("%s: %d traces, want %d (%v)", what, len(found), traces, err)
	}
}
