package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/expressionv1"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/span"
)

// asked serves a store that records the query that a search becomes.
func asked(t *testing.T) (storagev2.TraceReaderClient, func(*storagev2.TraceQueryParameters) (*span.Query, error)) {
	var last *span.Query
	server := start(t, &scripted{find: func(_ context.Context, q span.Query) ([]span.Found, error) {
		last = &q
		return nil, nil
	}}, api.Options{})
	reader := storagev2.NewTraceReaderClient(server.connection)
	return reader, func(p *storagev2.TraceQueryParameters) (*span.Query, error) {
		last = nil
		_, err := reader.FindTraceIDs(t.Context(), &storagev2.FindTraceIDsRequest{Query: p})
		return last, err
	}
}

func text(key, value string) *storagev2.KeyValue {
	return &storagev2.KeyValue{Key: key, Value: &storagev2.AnyValue{Value: &storagev2.AnyValue_StringValue{StringValue: value}}}
}

// TestSearchIsUnderstoodAsJaegerMeansIt covers what Jaeger sends for "not given": the
// year 1, a duration {}, a search depth of 0; and the edges of times.
func TestSearchIsUnderstoodAsJaegerMeansIt(t *testing.T) {
	_, ask := asked(t)
	yearOne := &timestamppb.Timestamp{Seconds: -62135596800}
	all := span.AllTime()
	with := func(change func(*span.Query)) *span.Query {
		q := all
		change(&q)
		return &q
	}
	for name, c := range map[string]struct {
		send *storagev2.TraceQueryParameters
		want *span.Query // nil: nothing can match, the store is not asked
	}{
		"nothing":       {nil, &all},
		"empty":         {&storagev2.TraceQueryParameters{}, &all},
		"year one":      {&storagev2.TraceQueryParameters{StartTimeMin: yearOne, StartTimeMax: yearOne}, &all},
		"no duration":   {&storagev2.TraceQueryParameters{DurationMin: &durationpb.Duration{}, DurationMax: &durationpb.Duration{}}, &all},
		"depth below 0": {&storagev2.TraceQueryParameters{SearchDepth: -5}, &all},
		"depth":         {&storagev2.TraceQueryParameters{SearchDepth: 7}, with(func(q *span.Query) { q.Limit = 7 })},
		"names":         {&storagev2.TraceQueryParameters{ServiceName: "s", OperationName: "o"}, with(func(q *span.Query) { q.Service, q.Name = "s", "o" })},
		"times": {
			&storagev2.TraceQueryParameters{StartTimeMin: &timestamppb.Timestamp{Seconds: 5, Nanos: 1}, StartTimeMax: &timestamppb.Timestamp{Seconds: 6}},
			with(func(q *span.Query) { q.StartMin, q.StartMax = 5_000_000_001, 6_000_000_000 }),
		},
		"time zero is a time": {
			&storagev2.TraceQueryParameters{StartTimeMin: &timestamppb.Timestamp{}, StartTimeMax: &timestamppb.Timestamp{}},
			with(func(q *span.Query) { q.StartMax = 0 }),
		},
		"before 1970":       {&storagev2.TraceQueryParameters{StartTimeMin: &timestamppb.Timestamp{Seconds: -1}}, &all},
		"until before 1970": {&storagev2.TraceQueryParameters{StartTimeMax: &timestamppb.Timestamp{Seconds: -1, Nanos: 5}}, nil},
		"2262 and later": {
			&storagev2.TraceQueryParameters{StartTimeMin: &timestamppb.Timestamp{Seconds: 9_300_000_000}, StartTimeMax: &timestamppb.Timestamp{Seconds: 253402300799}},
			with(func(q *span.Query) { q.StartMin, q.StartMax = 9_300_000_000_000_000_000, math.MaxUint64 }),
		},
		"durations": {
			&storagev2.TraceQueryParameters{DurationMin: &durationpb.Duration{Nanos: 3}, DurationMax: &durationpb.Duration{Seconds: 2}},
			with(func(q *span.Query) { q.DurationMin, q.DurationMax = 3, 2_000_000_000 }),
		},
		"empty time range": {
			&storagev2.TraceQueryParameters{StartTimeMin: &timestamppb.Timestamp{Seconds: 2}, StartTimeMax: &timestamppb.Timestamp{Seconds: 1}}, nil,
		},
		"empty duration range": {
			&storagev2.TraceQueryParameters{DurationMin: &durationpb.Duration{Seconds: 2}, DurationMax: &durationpb.Duration{Seconds: 1}}, nil,
		},
	} {
		got, err := ask(c.send)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestMalformedSearchIsInvalidArgument(t *testing.T) {
	_, ask := asked(t)
	many := make([]*storagev2.KeyValue, span.TagsMax+1)
	for i := range many {
		many[i] = text(fmt.Sprint(i), "")
	}
	if q, err := ask(&storagev2.TraceQueryParameters{Attributes: many[1:]}); err != nil || len(q.Tags) != 64 {
		t.Errorf("64 tags: %v, asked %v", err, q)
	}
	for name, c := range map[string]struct {
		send *storagev2.TraceQueryParameters
		want codes.Code
	}{
		"nanos":             {&storagev2.TraceQueryParameters{StartTimeMin: &timestamppb.Timestamp{Nanos: 1e9}}, codes.InvalidArgument},
		"negative nanos":    {&storagev2.TraceQueryParameters{StartTimeMax: &timestamppb.Timestamp{Nanos: -1}}, codes.InvalidArgument},
		"negative duration": {&storagev2.TraceQueryParameters{DurationMin: &durationpb.Duration{Seconds: -1}}, codes.InvalidArgument},
		"many tags":         {&storagev2.TraceQueryParameters{Attributes: many}, codes.ResourceExhausted},
	} {
		if q, err := ask(c.send); status.Code(err) != c.want || q != nil {
			t.Errorf("%s: %v, want %v; asked %v", name, err, c.want, q)
		}
	}
}

// TestTypedTagsAreSpelledAsStoredValuesAre: rule 6 of the contract.
func TestTypedTagsAreSpelledAsStoredValuesAre(t *testing.T) {
	_, ask := asked(t)
	list := func(values ...*storagev2.AnyValue) *storagev2.AnyValue {
		return &storagev2.AnyValue{Value: &storagev2.AnyValue_ArrayValue{ArrayValue: &storagev2.ArrayValue{Values: values}}}
	}
	number := func(n int64) *storagev2.AnyValue {
		return &storagev2.AnyValue{Value: &storagev2.AnyValue_IntValue{IntValue: n}}
	}
	double := func(f float64) *storagev2.AnyValue {
		return &storagev2.AnyValue{Value: &storagev2.AnyValue_DoubleValue{DoubleValue: f}}
	}
	for _, c := range []struct {
		value *storagev2.AnyValue
		want  string
	}{
		{nil, ""},
		{&storagev2.AnyValue{}, ""},
		{text("", "x y").GetValue(), "x y"},
		{number(-42), "-42"},
		{&storagev2.AnyValue{Value: &storagev2.AnyValue_BoolValue{BoolValue: true}}, "true"},
		{&storagev2.AnyValue{Value: &storagev2.AnyValue_BoolValue{}}, "false"},
		{double(2), "2"},
		{double(2.5), "2.5"},
		{&storagev2.AnyValue{Value: &storagev2.AnyValue_BytesValue{BytesValue: []byte{0, 255}}}, "AP8="},
		{list(number(1), text("", "a").GetValue()), `[1,"a"]`},
		{&storagev2.AnyValue{Value: &storagev2.AnyValue_KvlistValue{KvlistValue: &storagev2.KeyValueList{
			Values: []*storagev2.KeyValue{{Key: "k", Value: number(1)}},
		}}}, `{"k":1}`},
	} {
		q, err := ask(&storagev2.TraceQueryParameters{Attributes: []*storagev2.KeyValue{text("first", "1"), {Key: "k", Value: c.value}}})
		if err != nil {
			t.Errorf("%v: %v", c.value, err)
			continue
		}
		if diff := cmp.Diff([]span.Tag{{Key: "first", Value: "1"}, {Key: "k", Value: c.want}}, q.Tags); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.value, diff)
		}
	}
	deep := number(1)
	for range 200 {
		deep = list(deep)
	}
	if _, err := ask(&storagev2.TraceQueryParameters{Attributes: []*storagev2.KeyValue{{Key: "k", Value: deep}}}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("deep value: %v", err)
	}
	if _, err := ask(&storagev2.TraceQueryParameters{Attributes: []*storagev2.KeyValue{
		{Key: "k", Value: list(text("", strings.Repeat("x", 1<<20)).GetValue())}, // with the list around it, 4 bytes too long
	}}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("long value: %v", err)
	}
}

// TestWhatCannotBeAnsweredIsRefused asks all searching methods for what excludes itself.
func TestWhatCannotBeAnsweredIsRefused(t *testing.T) {
	reader, _ := asked(t)
	call := &expressionv1.Call{Op: "exists", Args: []*expressionv1.Expression{
		{Term: &expressionv1.Expression_Attr{Attr: &expressionv1.AttributeReference{Key: "k"}}},
	}}
	search := func(p *storagev2.TraceQueryParameters) map[string]error {
		_, ids := reader.FindTraceIDs(t.Context(), &storagev2.FindTraceIDsRequest{Query: p})
		summaries, err := reader.FindTraceSummaries(t.Context(), &storagev2.FindTraceSummariesRequest{Query: p})
		if err == nil {
			_, err = summaries.Recv()
		}
		traces, tracesErr := reader.FindTraces(t.Context(), &storagev2.FindTracesRequest{Query: p})
		if tracesErr == nil {
			_, tracesErr = traces.Recv()
		}
		return map[string]error{"ids": ids, "summaries": err, "traces": tracesErr}
	}
	page := func(size uint32, token string) *storagev2.Pagination {
		return &storagev2.Pagination{PageSize: size, PageToken: token}
	}
	for name, c := range map[string]struct {
		send         *storagev2.TraceQueryParameters
		want, traces codes.Code
	}{
		"filter and service":  {&storagev2.TraceQueryParameters{Filter: call, ServiceName: "s"}, codes.InvalidArgument, codes.InvalidArgument},
		"filter and name":     {&storagev2.TraceQueryParameters{Filter: call, OperationName: "s"}, codes.InvalidArgument, codes.InvalidArgument},
		"filter and duration": {&storagev2.TraceQueryParameters{Filter: call, DurationMax: &durationpb.Duration{Nanos: 1}}, codes.InvalidArgument, codes.InvalidArgument},
		"filter and tag":      {&storagev2.TraceQueryParameters{Filter: call, Attributes: []*storagev2.KeyValue{text("a", "b")}}, codes.InvalidArgument, codes.InvalidArgument},
		"too large a page":    {&storagev2.TraceQueryParameters{Pagination: page(20_001, "")}, codes.ResourceExhausted, codes.InvalidArgument},
		"page without size":   {&storagev2.TraceQueryParameters{Pagination: page(0, "")}, codes.InvalidArgument, codes.InvalidArgument},
		"page with token":     {&storagev2.TraceQueryParameters{Pagination: page(10, "x")}, codes.InvalidArgument, codes.InvalidArgument},
		"page and depth":      {&storagev2.TraceQueryParameters{Pagination: page(10, ""), SearchDepth: 10}, codes.InvalidArgument, codes.InvalidArgument},
	} {
		for method, err := range search(c.send) {
			want := c.want
			if method == "traces" {
				want = c.traces
			}
			if status.Code(err) != want || status.Convert(err).Message() == "" {
				t.Errorf("%s, %s: %v, want %v and why", name, method, err, want)
			}
		}
	}
}

// TestCapabilitiesSayExactlyWhatHolds: without_service_name and same_span_conjunction
// hold (the search below, and the engine's own tests), filters with all levels and
// operators (filter_test.go), pages and spans in any order (pages_test.go, spans_test.go).
func TestCapabilitiesSayExactlyWhatHolds(t *testing.T) {
	store := memory()
	server := start(t, store, api.Options{})
	answer, err := storagev2.NewCapabilitiesClient(server.connection).GetCapabilities(t.Context(), &storagev2.GetCapabilitiesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	search := answer.GetSearch()
	if !search.GetWithoutServiceName() || !search.GetSameSpanConjunction() {
		t.Errorf("capabilities %v lack what holds", search)
	}
	if diff := cmp.Diff([]string{"span", "resource", "scope", "event", "link"}, search.GetFilter().GetLevels()); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}
	operators := []string{"and", "eq", "exists", "fulltext", "gt", "gte", "in", "lt", "lte", "ne", "not", "not_in", "or", "phrase", "regex", "some"}
	if diff := cmp.Diff(operators, slices.Sorted(slices.Values(search.GetFilter().GetOperators()))); diff != "" {
		t.Errorf("operators (-want +got):\n%s", diff)
	}
	if !search.GetPaginated() || !search.GetSpanSearch() || !search.GetSpanSorting() {
		t.Errorf("capabilities %v lack pages and spans", search)
	}
	export(t, server, trace(id(1), "one", 3), trace(id(2), "two", 3))
	ids, err := server.FindTraceIDs(t.Context(), span.AllTime())
	if err != nil || len(ids) != 2 {
		t.Errorf("search without a service: %v, %v", ids, err)
	}
}

// TestLimitIsExactAndNeverSilentlyLower: a limit of 10^9 is answered while the answer
// fits, and refused where it is full.
func TestLimitIsExactAndNeverSilentlyLower(t *testing.T) {
	var there atomic.Int64
	server := start(t, &scripted{
		find: func(_ context.Context, q span.Query) ([]span.Found, error) {
			found := make([]span.Found, min(int(there.Load()), q.Limit))
			for i := range found {
				found[i].TraceID = id(i)
			}
			return found, nil
		},
		summaries: func(_ context.Context, q span.Query) ([]span.Summary, error) {
			return make([]span.Summary, min(int(there.Load()), q.Limit)), nil
		},
	}, api.Options{})
	for _, c := range []struct{ there, limit, want int }{
		{5, 3, 3}, {5, 5, 5}, {5, 1_000_000_000, 5}, {50_000, 20_000, 20_000}, {50_000, 20_001, -1}, {50_000, 1_000_000_000, -1},
	} {
		there.Store(int64(c.there))
		q := span.AllTime()
		q.Limit = c.limit
		ids, err := server.FindTraceIDs(t.Context(), q)
		if c.want < 0 {
			if !errors.Is(err, span.ErrTooMuch) || !strings.Contains(err.Error(), "20000") {
				t.Errorf("%+v: %v, want ErrTooMuch that names the limit", c, err)
			}
		} else if err != nil || len(ids) != c.want || len(ids) > 0 && ids[len(ids)-1] != id(c.want-1) {
			t.Errorf("%+v: %d ids, %v", c, len(ids), err)
		}
		summaries, err := server.Summaries(t.Context(), q)
		if c.want < 0 && !errors.Is(err, span.ErrTooMuch) || c.want >= 0 && (err != nil || len(summaries) != c.want) {
			t.Errorf("%+v: %d summaries, %v", c, len(summaries), err)
		}
	}
}

// TestSummariesComeInSeveralMessages, each of which a plain client can receive.
func TestSummariesComeInSeveralMessages(t *testing.T) {
	var want []span.Summary
	for i := range 20_000 {
		s := span.Summary{
			TraceID: id(i), RootService: "root\xff", RootName: strings.Repeat("n", 200), HasRoot: true,
			Start: uint64(i), End: math.MaxUint64, Spans: i, Errors: 2, Orphans: 1,
		}
		for service := range 5 {
			s.Services = append(s.Services, span.ServiceCount{Service: fmt.Sprintf("service-%d-%s", service, strings.Repeat("s", 50)), Spans: 1, Errors: service})
		}
		want = append(want, s)
	}
	server := start(t, &scripted{summaries: func(context.Context, span.Query) ([]span.Summary, error) { return want, nil }}, api.Options{})
	got, err := server.Summaries(t.Context(), span.Query{StartMax: math.MaxUint64, Limit: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i].RootService = "root\uFFFD"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("summaries (-want +got):\n%s", diff[:min(len(diff), 2000)])
	}
	stream, err := storagev2.NewTraceReaderClient(server.connection).FindTraceSummaries(t.Context(), &storagev2.FindTraceSummariesRequest{Query: &storagev2.TraceQueryParameters{SearchDepth: 20_000}})
	if err != nil {
		t.Fatal(err)
	}
	messages := 0
	for ; ; messages++ {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || len(chunk.GetSummaries()) == 0 || chunk.GetNextPageToken() != "" {
			t.Fatalf("message %d: %d summaries, %v", messages, len(chunk.GetSummaries()), err)
		}
	}
	if messages < 2 {
		t.Errorf("%d messages: the test's answer is too small to show anything", messages)
	}
}
