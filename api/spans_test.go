package api_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/expressionv1"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/span"
)

func apiOptions() api.Options { return api.Options{} }

// allSpans asks for a page of all spans.
func allSpans(size uint32, order ...*storagev2.SpanSortOrder) *storagev2.SpanQueryParameters {
	return &storagev2.SpanQueryParameters{
		StartTimeMin: &timestamppb.Timestamp{}, StartTimeMax: &timestamppb.Timestamp{Seconds: 1 << 33},
		Pagination: paged(size, ""), OrderBy: order,
	}
}

func by(name, direction string) *storagev2.SpanSortOrder {
	return &storagev2.SpanSortOrder{Expression: field("span", name), Direction: direction}
}

// spansAnswer is a page as a plain client sees it.
type spansAnswer struct {
	spans    []*tracev1.Span
	services []string
	chunks   int
	token    string
	err      error
}

func askSpans(t *testing.T, reader storagev2.TraceReaderClient, p *storagev2.SpanQueryParameters) (a spansAnswer) {
	t.Helper()
	stream, err := reader.FindSpans(t.Context(), &storagev2.FindSpansRequest{Query: p})
	for err == nil {
		var chunk *storagev2.FindSpansResponse
		if chunk, err = stream.Recv(); err != nil {
			break
		}
		if size := proto.Size(chunk); size >= 3_670_016 || len(chunk.GetSpans().GetResourceSpans()) == 0 || a.token != "" {
			t.Errorf("a chunk of %d bytes, after token %q", size, a.token)
		}
		a.chunks++
		a.token = chunk.GetNextPageToken()
		for _, resource := range chunk.GetSpans().GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, one := range scope.GetSpans() {
					a.spans = append(a.spans, one)
					service := ""
					for _, attribute := range resource.GetResource().GetAttributes() {
						service += attribute.GetValue().GetStringValue()
					}
					a.services = append(a.services, service)
				}
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		a.err = err
	}
	return a
}

// TestASearchForSpansNeedsItsBounds: times and a page; what cannot be an order is refused.
func TestASearchForSpansNeedsItsBounds(t *testing.T) {
	server, _ := storing(t)
	reader := storagev2.NewTraceReaderClient(server.connection)
	with := func(change func(p *storagev2.SpanQueryParameters)) *storagev2.SpanQueryParameters {
		p := allSpans(1)
		change(p)
		return p
	}
	yearOne := &timestamppb.Timestamp{Seconds: -62135596800}
	for name, c := range map[string]struct {
		send *storagev2.SpanQueryParameters
		want codes.Code
	}{
		"fine":             {allSpans(1), codes.OK},
		"nothing":          {nil, codes.InvalidArgument},
		"no begin":         {with(func(p *storagev2.SpanQueryParameters) { p.StartTimeMin = nil }), codes.InvalidArgument},
		"no end":           {with(func(p *storagev2.SpanQueryParameters) { p.StartTimeMax = yearOne }), codes.InvalidArgument},
		"no page":          {with(func(p *storagev2.SpanQueryParameters) { p.Pagination = nil }), codes.InvalidArgument},
		"no size":          {allSpans(0), codes.InvalidArgument},
		"the largest page": {allSpans(20_000), codes.OK},
		"too large a page": {allSpans(20_001), codes.ResourceExhausted},
		"no filter":        {with(func(p *storagev2.SpanQueryParameters) { p.Filter = &expressionv1.Call{Op: "is"} }), codes.InvalidArgument},
		"no token":         {with(func(p *storagev2.SpanQueryParameters) { p.Pagination.PageToken = "x" }), codes.InvalidArgument},
		"four orders":      {allSpans(1, by("duration", "desc"), by("spanID", ""), by("traceID", "asc"), by("startTime", "asc")), codes.OK},
		"one twice":        {allSpans(1, by("duration", "desc"), by("duration", "")), codes.InvalidArgument},
		"five orders":      {allSpans(1, by("duration", ""), by("spanID", ""), by("traceID", ""), by("startTime", ""), by("spanID", "")), codes.InvalidArgument},
		"another field":    {allSpans(1, by("name", "")), codes.InvalidArgument},
		"no such field":    {allSpans(1, by("age", "")), codes.InvalidArgument},
		"no direction":     {allSpans(1, by("duration", "up")), codes.InvalidArgument},
		"an attribute":     {allSpans(1, &storagev2.SpanSortOrder{Expression: attr("span", "k")}), codes.InvalidArgument},
		"no expression":    {allSpans(1, &storagev2.SpanSortOrder{Direction: "asc"}), codes.InvalidArgument},
		"empty range": {with(func(p *storagev2.SpanQueryParameters) {
			p.StartTimeMin, p.StartTimeMax = p.GetStartTimeMax(), p.GetStartTimeMin()
		}), codes.OK},
	} {
		if got := askSpans(t, reader, c.send); status.Code(got.err) != c.want {
			t.Errorf("%s: %v, want %v", name, got.err, c.want)
		}
	}
}

// TestFoundSpansComeInOrder: the default, and others; each with its resource, two of one id
// both, filtered by a filter.
func TestFoundSpansComeInOrder(t *testing.T) {
	server, _ := storing(t)
	reader := storagev2.NewTraceReaderClient(server.connection)
	export(t, server, trace(id(1), "one", 3), trace(id(2), "two", 3))
	twin := trace(id(1), "twin", 1)
	export(t, server, twin)
	p := allSpans(100)
	p.Filter = op("in", field("resource", "service"), list("", "one", "two", "twin")).GetCall()
	names := func(a spansAnswer) string {
		var told []string
		for i, one := range a.spans {
			told = append(told, a.services[i]+string('0'+one.GetSpanId()[7]))
		}
		return strings.Join(told, " ")
	}
	got := names(askSpans(t, reader, p))
	if got != "one3 two3 one2 two2 one1 twin1 two1" && got != "one3 two3 one2 two2 twin1 one1 two1" {
		t.Errorf("by default: %s", got)
	}
	p.OrderBy = []*storagev2.SpanSortOrder{by("traceID", "desc"), by("spanID", "")}
	if got := names(askSpans(t, reader, p)); !strings.HasPrefix(got, "two1 two2 two3 ") || !strings.HasSuffix(got, " one2 one3") {
		t.Errorf("by trace id, descending: %s", got)
	}
	p.Pagination.PageSize = 3
	first := askSpans(t, reader, p)
	if len(first.spans) != 3 || first.token == "" {
		t.Fatalf("%d spans, token %q, %v", len(first.spans), first.token, first.err)
	}
	p.Pagination.PageToken = first.token
	second := askSpans(t, reader, p)
	if got := names(second); !strings.Contains(got, "one1") || !strings.Contains(got, "twin1") || second.token == "" {
		t.Errorf("the second page: %s, token %q", got, second.token)
	}
	p.OrderBy = p.GetOrderBy()[:1]
	if other := askSpans(t, reader, p); status.Code(other.err) != codes.InvalidArgument {
		t.Errorf("a token of another order: %v", other.err)
	}
}

// TestManySpansComeInChunks of limited size, each span once; the token is on the last.
func TestManySpansComeInChunks(t *testing.T) {
	server, _ := storing(t)
	reader := storagev2.NewTraceReaderClient(server.connection)
	const spans = 15_000
	export(t, server, trace(id(7), "large", spans))
	p := allSpans(spans - 1)
	p.Filter = eq(field("resource", "service"), value("large")).GetCall()
	got := askSpans(t, reader, p)
	if got.err != nil || len(got.spans) != spans-1 || got.chunks < 2 || got.token == "" {
		t.Fatalf("%d spans in %d chunks, token %q, %v", len(got.spans), got.chunks, got.token, got.err)
	}
	if !slices.IsSortedFunc(got.spans, func(a, b *tracev1.Span) int {
		return bytes.Compare(b.GetSpanId(), a.GetSpanId()) // as they start
	}) {
		t.Error("out of order")
	}
	p.Pagination.PageToken = got.token
	last := askSpans(t, reader, p)
	if last.err != nil || len(last.spans) != 1 || last.token != "" || span.SpanID(last.spans[0].GetSpanId()) != (span.SpanID{7: 1}) {
		t.Errorf("the last page: %d spans, token %q, %v", len(last.spans), last.token, last.err)
	}
}
