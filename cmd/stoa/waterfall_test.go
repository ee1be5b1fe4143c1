package main

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// drawn is the waterfall of rows of one trace, without its head.
func drawn(t *testing.T, rows []span.Row) []string {
	t.Helper()
	slices.SortFunc(rows, span.Compare)
	var out bytes.Buffer
	if err := printWaterfall(&out, rows[0].TraceID(), rows, false); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	return lines[3:]
}

// TestWaterfallShowsEverySpanOnce whatever ids, times and names the spans have.
func TestWaterfallShowsEverySpanOnce(t *testing.T) {
	for seed := range uint64(50) {
		b, _, err := otlp.Walk(enginetest.Payload(enginetest.NewGenerator(seed, 2).Spans(40)))
		if err != nil {
			t.Fatal(err)
		}
		byTrace := make(map[span.TraceID][]span.Row)
		for pos := range b.Len() {
			row := span.Row{Batch: b, Pos: pos}
			byTrace[row.TraceID()] = append(byTrace[row.TraceID()], row)
		}
		for id, rows := range byTrace {
			if lines := drawn(t, rows); len(lines) != len(rows) {
				t.Errorf("seed %d, trace %v: %d spans on %d lines", seed, id, len(rows), len(lines))
			}
		}
	}
}

// linked makes spans of which the i-th has the parent that parent names; 0 is none.
func linked(t *testing.T, n int, parent func(i int) int) []span.Row {
	t.Helper()
	id := func(i int) []byte {
		if i == 0 {
			return nil
		}
		return binary.BigEndian.AppendUint64(nil, uint64(i))
	}
	spans := make([]*trace.Span, n)
	for i := range spans {
		spans[i] = &trace.Span{
			TraceId: append(make([]byte, 15), 1), SpanId: id(i + 1), ParentSpanId: id(parent(i + 1)), Name: "a\x1b[2Jb\nc",
			StartTimeUnixNano: uint64(1000 + i), EndTimeUnixNano: uint64(2000 + i),
		}
	}
	request, err := proto.Marshal(&trace.TracesData{ResourceSpans: []*trace.ResourceSpans{{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{{
			Key: "service.name", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "shop"}},
		}}},
		ScopeSpans: []*trace.ScopeSpans{{Spans: spans}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := otlp.Walk(request)
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]span.Row, b.Len())
	for pos := range rows {
		rows[pos] = span.Row{Batch: b, Pos: pos}
	}
	return rows
}

func TestWaterfallOfRingsAndDeepChains(t *testing.T) {
	for _, c := range []struct {
		name    string
		n       int
		parent  func(i int) int
		orphans int
	}{
		{"a ring of three with a tail", 5, func(i int) int { return []int{0, 3, 1, 2, 1, 4}[i] }, 1},
		{"two rings", 4, func(i int) int { return []int{0, 2, 1, 4, 3}[i] }, 2},
		{"a chain", 50_000, func(i int) int { return i - 1 }, 0},
		{"parents elsewhere", 3, func(i int) int { return i + 100 }, 3},
	} {
		lines := drawn(t, linked(t, c.n, c.parent))
		orphans := 0
		for _, line := range lines {
			if strings.Contains(line, "is missing") {
				orphans++
			}
		}
		if len(lines) != c.n || orphans != c.orphans {
			t.Errorf("%s: %d spans on %d lines, %d without their parent, want %d", c.name, c.n, len(lines), orphans, c.orphans)
		}
	}
}

func TestNamesCannotMoveTheCursor(t *testing.T) {
	line := drawn(t, linked(t, 1, func(int) int { return 0 }))[0]
	if strings.ContainsAny(line, "\x1b\n") || !strings.Contains(line, `a\u001b[2Jb\u000ac`) {
		t.Errorf("printed %q", line)
	}
}
