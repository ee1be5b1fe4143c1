package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// dataFolder holds the real traces and their independently computed answers; it lies
// beside the repository, not in it.
const dataFolder = "../../../shared/data"

// needData skips, loudly, where the real traces are absent.
func needData(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(dataFolder); err != nil {
		t.Skipf("SKIP: no real traces in %s; nothing was checked", dataFolder)
	}
}

// expected is one *.expected.json: see the README beside them for each field.
type expected struct {
	Files                        []string                  `json:"files"`
	Requests                     int                       `json:"requests"`
	MaxSpansInARequest           int                       `json:"max_spans_in_a_request"`
	Spans                        int                       `json:"spans"`
	Traces                       int                       `json:"traces"`
	Services                     []string                  `json:"services"`
	SpansPerService              map[string]int            `json:"spans_per_service"`
	TracesPerService             map[string]int            `json:"traces_per_service"`
	Operations                   int                       `json:"operations"`
	TopOperations                []expectedOperation       `json:"top_operations"`
	Kinds                        map[string]int            `json:"kinds"`
	StatusErrorSpans             int                       `json:"status_error_spans"`
	TracesWithError              int                       `json:"traces_with_error"`
	Events                       int                       `json:"events"`
	Links                        int                       `json:"links"`
	Scopes                       []string                  `json:"scopes"`
	RootSpans                    int                       `json:"root_spans"`
	SpansWithMissingParent       int                       `json:"spans_with_missing_parent"`
	DuplicateSpanIDsInATrace     int                       `json:"duplicate_span_ids_in_a_trace"`
	ChildrenStartingBeforeParent int                       `json:"children_starting_before_parent"`
	ChildrenEndingAfterParent    int                       `json:"children_ending_after_parent"`
	NegativeDurations            int                       `json:"negative_durations"`
	DeepestTrace                 int                       `json:"deepest_trace"`
	WidestParent                 int                       `json:"widest_parent"`
	TraceSize                    map[string]int            `json:"trace_size"`
	FirstStart                   uint64                    `json:"first_start_ns"`
	LastStart                    uint64                    `json:"last_start_ns"`
	AttributeValueTypes          map[string]int            `json:"attribute_value_types"`
	AttributeKeys                map[string]map[string]int `json:"attribute_keys"`
	DistinctValues               map[string]int            `json:"distinct_values"`
	EdgesBetweenServices         []expectedEdge            `json:"edges_between_services"`
	EdgesWithSelf                []expectedEdge            `json:"edges_with_self"`
	TagQueries                   []expectedTagQuery        `json:"tag_queries"`
	ServiceTagQueries            []expectedServiceTag      `json:"service_tag_queries"`
	DurationQueries              []expectedDuration        `json:"duration_queries"`
	StartRangeQueries            []expectedStartRange      `json:"start_range_queries"`
	SampleTraces                 map[string]expectedTrace  `json:"sample_traces"`
}

type expectedOperation struct {
	Service   string `json:"service"`
	Kind      string `json:"kind"`
	Operation string `json:"operation"`
	Spans     int    `json:"spans"`
}

type expectedEdge struct {
	Parent string `json:"parent"`
	Child  string `json:"child"`
	Calls  uint64 `json:"calls"`
}

type expectedTagQuery struct {
	Key           string `json:"key"`
	Value         string `json:"value"`
	SpansResource int    `json:"spans_resource"`
	SpansSpan     int    `json:"spans_span"`
	SpansEvent    int    `json:"spans_event"`
	SpansAny      int    `json:"spans_any"`
	TracesAny     int    `json:"traces_any"`
}

type expectedServiceTag struct {
	Service string `json:"service"`
	Key     string `json:"key"`
	Value   string `json:"value"`
	Spans   int    `json:"spans"`
	Traces  int    `json:"traces"`
}

type expectedDuration struct {
	Service     string `json:"service"`
	MinDuration uint64 `json:"min_duration_ns"`
	Spans       int    `json:"spans"`
	Traces      int    `json:"traces"`
}

type expectedStartRange struct {
	Start  uint64 `json:"start_ns"`
	End    uint64 `json:"end_ns"`
	Spans  int    `json:"spans_started_in_range"`
	Traces int    `json:"traces"`
}

type expectedTrace struct {
	Spans         int      `json:"spans"`
	Services      []string `json:"services"`
	Start         uint64   `json:"start_ns"`
	End           uint64   `json:"end_ns"`
	SpanIDsSHA256 string   `json:"span_ids_sha256"`
}

// readExpected reads NAME.expected.json.
func readExpected(t testing.TB, name string) *expected {
	t.Helper()
	needData(t)
	b, err := os.ReadFile(filepath.Join(dataFolder, name+".expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := new(expected)
	if err := json.Unmarshal(b, want); err != nil {
		t.Fatal(err)
	}
	if want.Spans == 0 || len(want.TagQueries) == 0 || len(want.SampleTraces) == 0 {
		t.Fatalf("%s.expected.json holds no answers", name)
	}
	return want
}
