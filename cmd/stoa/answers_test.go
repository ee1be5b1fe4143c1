package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	storage "github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// How the fields of an expected file are asked for:
//
//	field                          asked through                what differs, and why
//	services                       GetServices                  "" is listed
//	operations                     the engine's operations      GetOperations needs a service, "" has none
//	traces_per_service             FindTraceIDs by service      "" is not searched: an empty service means any
//	top_operations, spans_*        the engine's matching spans  the storage API counts no spans
//	traces, sample_traces, kinds,  FindTraceIDs, then GetTraces all traces are fetched and counted with
//	  events, keys, depths ...     of every trace               protobuf's own types (census_test.go)
//	children_*_parent              the same                     where five receivers share a message's id the
//	                                                            file takes the first that arrived: a range here
//	status_error, missing parents  FindTraceSummaries           once more, from the summaries
//	edges_between_services         GetDependencies              shared span ids by the data README's rule
//	edges_with_self                the engine's edges           the storage API leaves out self-calls
//	tag_queries                    FindTraceIDs + the engine    bytes are base64 here, hex in the file;
//	                                                            spans by level: of the matching spans
//	service_tag_queries            the engine's matching spans  exact; FindTraceIDs looks at more levels: it
//	                                                            finds all of these, and where only span
//	                                                            attributes hold the value no others
//	duration_queries               FindTraceIDs + the engine
//	tag, service_tag and           the engine by filter, spans  once more; by level, exactly;
//	  duration queries, errors     of each level; FindTraceIDs   of a large file every eighth
//	start_range_queries            FindTraceIDs + the engine    end_ns - 1: the protocol's range is inclusive;
//	                                                            an empty range cannot be asked: skipped, named
type answers struct {
	t      *testing.T
	want   *expected
	store  *cluster.Store
	reader storage.TraceReaderClient
	edges  storage.DependencyReaderClient
}

func newAnswers(t *testing.T, want *expected, store *cluster.Store, conn *grpc.ClientConn) *answers {
	return &answers{t, want, store, storage.NewTraceReaderClient(conn), storage.NewDependencyReaderClient(conn)}
}

// all asks every question.
func (a *answers) all() {
	a.t.Helper()
	a.catalog()
	a.wholeTraces()
	a.summaries()
	a.graph()
	a.rates()
	a.tags()
	a.serviceTags()
	a.durations()
	a.ranges()
	a.filters()
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// params is a search over all time without a limit that matters.
func params() *storage.TraceQueryParameters {
	return &storage.TraceQueryParameters{SearchDepth: span.TracesFoundMax}
}

func (a *answers) find(q *storage.TraceQueryParameters) [][]byte {
	a.t.Helper()
	found, err := a.reader.FindTraceIDs(context.Background(), &storage.FindTraceIDsRequest{Query: q})
	if err != nil {
		a.t.Fatalf("FindTraceIDs(%v): %v", q, err)
	}
	ids := make([][]byte, 0, len(found.TraceIds))
	for _, one := range found.TraceIds {
		ids = append(ids, one.TraceId)
	}
	return ids
}

// spans calls visit with every span that matches, and gives their number.
func (a *answers) spans(q span.Query, visit func(span.Row)) int {
	a.t.Helper()
	n := 0
	err := a.store.Spans(context.Background(), q, func(row span.Row) error {
		n++
		if visit != nil {
			visit(row)
		}
		return nil
	})
	if err != nil {
		a.t.Fatalf("spans of %+v: %v", q, err)
	}
	return n
}

func (a *answers) catalog() {
	ctx := context.Background()
	services, err := a.reader.GetServices(ctx, &storage.GetServicesRequest{})
	if err != nil {
		a.t.Fatal(err)
	}
	got := slices.Clone(services.Services)
	slices.Sort(got)
	if !slices.Equal(got, a.want.Services) {
		a.t.Errorf("services: got %q, want %q", got, a.want.Services)
	}
	operations, err := a.store.Operations(ctx, "")
	if err != nil {
		a.t.Fatal(err)
	}
	names := map[[2]string]bool{}
	for _, op := range operations {
		names[[2]string{op.Service, op.Name}] = true
	}
	equal(a.t, "operations", len(names), a.want.Operations)
	asked := map[[2]string]bool{}
	for _, service := range a.want.Services {
		if service == "" {
			continue
		}
		list, err := a.reader.GetOperations(ctx, &storage.GetOperationsRequest{Service: service})
		if err != nil {
			a.t.Fatal(err)
		}
		for _, op := range list.Operations {
			asked[[2]string{service, op.Name}] = true
		}
		q := params()
		q.ServiceName = service
		equal(a.t, "traces of "+service, len(a.find(q)), a.want.TracesPerService[service])
		ask := span.AllTime()
		ask.Service = service
		equal(a.t, "spans of "+service, a.spans(ask, nil), a.want.SpansPerService[service])
	}
	for pair := range names {
		if pair[0] != "" && !asked[pair] {
			a.t.Errorf("operation %q is not among those of its service", pair)
		}
	}
	for _, op := range a.want.TopOperations {
		if op.Service == "" {
			continue
		}
		ask := span.AllTime()
		ask.Service, ask.Name = op.Service, op.Operation
		kinds := map[string]int{}
		a.spans(ask, func(row span.Row) { kinds[kindNames[row.Kind()]]++ })
		equal(a.t, "spans of operation "+op.Service+" "+op.Operation, kinds[op.Kind], op.Spans)
	}
}

// rates counts all spans by operation, and the failed ones, over one step and over many.
func (a *answers) rates() {
	a.t.Helper()
	for _, step := range []uint64{0, 3600e9} {
		rates, err := a.store.Rates(context.Background(), span.RateQuery{StartMax: math.MaxUint64, Step: step})
		if err != nil {
			a.t.Fatal(err)
		}
		spans, failed, timed := map[expectedOperation]int{}, 0, uint64(0)
		for _, r := range rates {
			spans[expectedOperation{Service: r.Service, Kind: kindNames[r.Kind], Operation: r.Name}] += int(r.Spans)
			failed += int(r.Errors)
			timed += r.Durations.Total()
		}
		equal(a.t, "spans timed by rates", timed, uint64(a.want.Spans))
		equal(a.t, "failed spans by rates", failed, a.want.StatusErrorSpans)
		for _, op := range a.want.TopOperations {
			want := op.Spans
			op.Spans = 0
			equal(a.t, "rate of "+op.Service+" "+op.Operation, spans[op], want)
		}
	}
}

var kindNames = map[int32]string{0: "UNSPECIFIED", 1: "INTERNAL", 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}

// wholeTraces fetches every trace and takes the census.
func (a *answers) wholeTraces() {
	ids := a.find(params())
	equal(a.t, "traces found", len(ids), a.want.Traces)
	c := newCensus()
	for part := range slices.Chunk(ids, 500) {
		request := new(storage.GetTracesRequest)
		for _, id := range part {
			request.Query = append(request.Query, &storage.GetTraceParams{TraceId: id})
		}
		stream, err := a.reader.GetTraces(context.Background(), request)
		if err != nil {
			a.t.Fatal(err)
		}
		var current []*trace.ResourceSpans
		var id string
		for {
			chunk, err := stream.Recv()
			if err == io.EOF {
				break
			}
			if err != nil {
				a.t.Fatal(err)
			}
			next := string(chunk.ResourceSpans[0].ScopeSpans[0].Spans[0].TraceId)
			if next != id && current != nil {
				c.add(current)
				current = nil
			}
			id = next
			current = append(current, chunk.ResourceSpans...)
		}
		if current != nil {
			c.add(current)
		}
	}
	compareCensus(a.t, c, a.want)
}

func (a *answers) summaries() {
	stream, err := a.reader.FindTraceSummaries(context.Background(), &storage.FindTraceSummariesRequest{Query: params()})
	if err != nil {
		a.t.Fatal(err)
	}
	var traces, spans, errors, orphans, failed int
	for {
		chunk, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			a.t.Fatal(err)
		}
		for _, s := range chunk.Summaries {
			traces++
			spans += int(s.SpanCount)
			errors += int(s.ErrorSpanCount)
			orphans += int(s.OrphanSpanCount)
			if s.ErrorSpanCount > 0 {
				failed++
			}
			if sample, ok := a.want.SampleTraces[hex.EncodeToString(s.TraceId)]; ok {
				equal(a.t, "summary's spans", int(s.SpanCount), sample.Spans)
				equal(a.t, "summary's start", s.MinStartTimeUnixNano, sample.Start)
				equal(a.t, "summary's end", s.MaxEndTimeUnixNano, sample.End)
				equal(a.t, "summary's services", len(s.Services), len(sample.Services))
			}
		}
	}
	equal(a.t, "summaries", traces, a.want.Traces)
	equal(a.t, "spans in summaries", spans, a.want.Spans)
	equal(a.t, "error spans in summaries", errors, a.want.StatusErrorSpans)
	equal(a.t, "orphans in summaries", orphans, a.want.SpansWithMissingParent)
	equal(a.t, "failed traces in summaries", failed, a.want.TracesWithError)
	q := params()
	q.Attributes = []*storage.KeyValue{{Key: "error", Value: &storage.AnyValue{Value: &storage.AnyValue_BoolValue{BoolValue: true}}}}
	equal(a.t, "traces with error=true", len(a.find(q)), a.want.TracesWithError)
}

func (a *answers) graph() {
	// The range is open at both ends: the data reaches from 2016 to 2026.
	answer, err := a.edges.GetDependencies(context.Background(), &storage.GetDependenciesRequest{
		StartTime: timestamppb.New(time.Unix(0, 0)), EndTime: timestamppb.New(time.Unix(4e9, 0)),
	})
	if err != nil {
		a.t.Fatal(err)
	}
	got := map[[2]string]uint64{}
	for _, d := range answer.Dependencies {
		got[[2]string{d.Parent, d.Child}] += d.CallCount
	}
	compareEdges(a.t, "edges between services", got, a.want.EdgesBetweenServices)
	self, err := a.store.Edges(context.Background(), 0, math.MaxUint64)
	if err != nil {
		a.t.Fatal(err)
	}
	got = map[[2]string]uint64{}
	for _, e := range self {
		got[[2]string{e.Parent, e.Child}] += e.Calls
	}
	compareEdges(a.t, "edges with self", got, a.want.EdgesWithSelf)
}

// texts are the ways a value of an expected file may be spelled here: as it is, or, for
// bytes, base64 for its hex.
func texts(value string) []string {
	if b, err := hex.DecodeString(value); err == nil && len(b) > 0 {
		return []string{value, base64.StdEncoding.EncodeToString(b)}
	}
	return []string{value}
}

// levels counts on which levels one key=value stands in the matching spans.
type levels struct {
	resource, span, event, any int
	traces                     map[span.TraceID]bool // of the spans that hold it at span level
}

func (a *answers) levels(service, key, text string) levels {
	ask := span.AllTime()
	ask.Service = service
	ask.Tags = []span.Tag{{Key: key, Value: text}}
	n := levels{traces: map[span.TraceID]bool{}}
	n.any = a.spans(ask, func(row span.Row) {
		holds := func(list []span.Attr) bool {
			return slices.ContainsFunc(list, func(attr span.Attr) bool {
				return row.Batch.String(attr.Key) == key && string(otlp.AppendText(nil, row.Batch, attr)) == text
			})
		}
		if holds(row.Batch.ResourceAttrsOf(row.Batch.ResourceIDs[row.Pos])) {
			n.resource++
		}
		if holds(row.AppendAttrs(nil)) {
			n.span++
			n.traces[row.TraceID()] = true
		}
		begin, end := row.EventRange()
		for i := begin; i < end; i++ {
			if holds(row.Batch.EventAttrsOf(i)) {
				n.event++
				break
			}
		}
	})
	return n
}

func (a *answers) tags() {
	for _, q := range a.want.TagQueries {
		var n levels
		traces := map[string]bool{}
		for _, text := range texts(q.Value) {
			one := a.levels("", q.Key, text)
			n.resource, n.span, n.event, n.any = n.resource+one.resource, n.span+one.span, n.event+one.event, n.any+one.any
			search := params()
			search.Attributes = []*storage.KeyValue{textTag(q.Key, text)}
			for _, id := range a.find(search) {
				traces[string(id)] = true
			}
		}
		what := "tag " + q.Key + "=" + q.Value + ": "
		equal(a.t, what+"spans by resource", n.resource, q.SpansResource)
		equal(a.t, what+"spans by span", n.span, q.SpansSpan)
		equal(a.t, what+"spans by event", n.event, q.SpansEvent)
		equal(a.t, what+"spans", n.any, q.SpansAny)
		equal(a.t, what+"traces", len(traces), q.TracesAny)
	}
}

func (a *answers) serviceTags() {
	for _, q := range a.want.ServiceTagQueries {
		var n levels
		traces, found := map[span.TraceID]bool{}, map[string]bool{}
		for _, text := range texts(q.Value) {
			one := a.levels(q.Service, q.Key, text)
			n.span, n.any = n.span+one.span, n.any+one.any
			maps.Copy(traces, one.traces)
			search := params()
			search.ServiceName = q.Service
			search.Attributes = []*storage.KeyValue{textTag(q.Key, text)}
			for _, id := range a.find(search) {
				found[string(id)] = true
			}
		}
		what := "service " + q.Service + " tag " + q.Key + "=" + q.Value + ": "
		equal(a.t, what+"spans", n.span, q.Spans)
		equal(a.t, what+"traces", len(traces), q.Traces)
		for id := range traces {
			if !found[string(id[:])] {
				a.t.Errorf("%strace %v is not found", what, id)
			}
		}
		if n.any == n.span { // else a search looks at more levels than the file counts
			equal(a.t, what+"traces found", len(found), q.Traces)
		}
	}
}

func (a *answers) durations() {
	for _, q := range a.want.DurationQueries {
		ask := span.AllTime()
		ask.Service, ask.DurationMin = q.Service, q.MinDuration
		what := "duration " + time.Duration(q.MinDuration).String() + " of service " + q.Service
		equal(a.t, what+": spans", a.spans(ask, nil), q.Spans)
		search := params()
		search.ServiceName = q.Service
		search.DurationMin = durationpb.New(time.Duration(q.MinDuration))
		equal(a.t, what+": traces", len(a.find(search)), q.Traces)
	}
}

func (a *answers) ranges() {
	for _, q := range a.want.StartRangeQueries {
		if q.Start == q.End {
			a.t.Logf("skipped: the range [%d, %d) is empty, an inclusive one cannot say that", q.Start, q.End)
			continue
		}
		ask := span.AllTime()
		ask.StartMin, ask.StartMax = q.Start, q.End-1
		equal(a.t, "spans in range", a.spans(ask, nil), q.Spans)
		search := params()
		search.StartTimeMin = timestamppb.New(time.Unix(0, int64(q.Start)))
		search.StartTimeMax = timestamppb.New(time.Unix(0, int64(q.End-1)))
		equal(a.t, "traces in range", len(a.find(search)), q.Traces)
	}
}

func textTag(key, value string) *storage.KeyValue {
	return &storage.KeyValue{Key: key, Value: &storage.AnyValue{Value: &storage.AnyValue_StringValue{StringValue: value}}}
}
