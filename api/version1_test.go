package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// realStore opens a store in memory, which the test's end closes.
func realStore(t testing.TB, disk vfs.FS) *cluster.Store {
	t.Helper()
	store, err := cluster.Open(context.Background(), cluster.Options{FS: disk, Shards: 3, ReserveBytes: -1, Log: wal.Options{FileBytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close(context.Background()) })
	return store
}

// firstJaeger is a Jaeger that speaks version 1, with gRPC's defaults.
type firstJaeger struct {
	*running
	storagev1.SpanReaderPluginClient
	writer       storagev1.SpanWriterPluginClient
	streams      storagev1.StreamingSpanWriterPluginClient
	dependencies storagev1.DependenciesReaderPluginClient
}

func startFirst(t testing.TB, store served, options api.Options) *firstJaeger {
	t.Helper()
	server := start(t, store, options)
	return &firstJaeger{
		server, storagev1.NewSpanReaderPluginClient(server.connection), storagev1.NewSpanWriterPluginClient(server.connection),
		storagev1.NewStreamingSpanWriterPluginClient(server.connection), storagev1.NewDependenciesReaderPluginClient(server.connection),
	}
}

func (j *firstJaeger) write(t testing.TB, spans ...*apiv2.Span) {
	t.Helper()
	for _, s := range spans {
		if _, err := j.writer.WriteSpan(t.Context(), &storagev1.WriteSpanRequest{Span: s}); err != nil {
			t.Fatal(err)
		}
	}
}

// read reads a stream to its end, and checks what holds of every one: traces whole in a
// row, no chunk empty, mixed or too long.
func read(t testing.TB, stream grpc.ServerStreamingClient[storagev1.SpansResponseChunk], err error) (order []span.TraceID, spans map[span.TraceID][]*apiv2.Span, _ error) {
	t.Helper()
	spans = map[span.TraceID][]*apiv2.Span{}
	for err == nil {
		var chunk *storagev1.SpansResponseChunk
		if chunk, err = stream.Recv(); err != nil {
			break
		}
		if len(chunk.GetSpans()) == 0 || proto.Size(chunk) > 3_500<<10 {
			t.Errorf("a chunk of %d spans, %d bytes", len(chunk.GetSpans()), proto.Size(chunk))
		}
		id := span.TraceID(chunk.GetSpans()[0].GetTraceId())
		if len(order) == 0 || order[len(order)-1] != id {
			if spans[id] != nil {
				t.Errorf("trace %v comes back", id)
			}
			order = append(order, id)
		}
		for _, s := range chunk.GetSpans() {
			if span.TraceID(s.GetTraceId()) != id {
				t.Errorf("a chunk of several traces")
			}
			spans[id] = append(spans[id], s)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return order, spans, err
}

func (j *firstJaeger) get(t testing.TB, id span.TraceID) ([]*apiv2.Span, error) {
	t.Helper()
	stream, err := j.GetTrace(t.Context(), &storagev1.GetTraceRequest{TraceId: id[:]})
	_, spans, err := read(t, stream, err)
	return spans[id], err
}

func (j *firstJaeger) find(t testing.TB, q *storagev1.TraceQueryParameters) []span.TraceID {
	t.Helper()
	stream, err := j.FindTraces(t.Context(), &storagev1.FindTracesRequest{Query: q})
	order, _, err := read(t, stream, err)
	if err != nil {
		t.Fatalf("%v: %v", q, err)
	}
	ids, err := j.FindTraceIDs(t.Context(), &storagev1.FindTraceIDsRequest{Query: q})
	if err != nil {
		t.Fatal(err)
	}
	var same []span.TraceID
	for _, one := range ids.GetTraceIds() {
		same = append(same, span.TraceID(one))
	}
	if !slices.Equal(order, same) {
		t.Errorf("%v: FindTraces %v, FindTraceIDs %v", q, order, same)
	}
	return order
}

func firstTag(key, value string) *apiv2.KeyValue { return &apiv2.KeyValue{Key: key, VStr: value} }

// firstSpan is span n of a trace, as Jaeger's clients make them: n seconds later than the
// first, n milliseconds long.
func firstSpan(id span.TraceID, n int) *apiv2.Span {
	return &apiv2.Span{
		TraceId: id[:], SpanId: []byte{7: byte(n)}, OperationName: fmt.Sprintf("op %d", n), Flags: 1,
		StartTime: &timestamppb.Timestamp{Seconds: 1_700_000_000 + int64(n)}, Duration: &durationpb.Duration{Nanos: int32(n) * 1e6},
		Tags: []*apiv2.KeyValue{
			firstTag("span.kind", "server"), {Key: "http.status_code", VType: apiv2.ValueType_INT64, VInt64: int64(n)},
			{Key: "ratio", VType: apiv2.ValueType_FLOAT64, VFloat64: 2}, {Key: "sampled", VType: apiv2.ValueType_BOOL, VBool: true},
			{Key: "raw", VType: apiv2.ValueType_BINARY, VBinary: []byte("xyz")},
		},
		Logs: []*apiv2.Log{{
			Timestamp: &timestamppb.Timestamp{Seconds: 1_700_000_000}, Fields: []*apiv2.KeyValue{firstTag("event", "retry"), firstTag("attempt", "two")},
		}},
		Process: &apiv2.Process{ServiceName: "shop", Tags: []*apiv2.KeyValue{firstTag("hostname", "h1")}},
	}
}

func firstChild(id span.TraceID, n, parent int, service string) *apiv2.Span {
	s := firstSpan(id, n)
	s.Process.ServiceName = service
	s.References = []*apiv2.SpanRef{{TraceId: id[:], SpanId: []byte{7: byte(parent)}}}
	return s
}

func wantSpans(t testing.TB, want, got []*apiv2.Span) {
	t.Helper()
	byID := func(a, b *apiv2.Span) int { return strings.Compare(string(a.GetSpanId()), string(b.GetSpanId())) }
	want, got = slices.SortedFunc(slices.Values(want), byID), slices.SortedFunc(slices.Values(got), byID)
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
}

// TestVersion1SpansComeBackFromTheStore by memory, from segments, and to readers of
// version 2; spans of OTLP come to readers of version 1.
func TestVersion1SpansComeBackFromTheStore(t *testing.T) {
	store := realStore(t, vfs.NewCrash(1))
	jaeger := startFirst(t, store, api.Options{})
	want := []*apiv2.Span{firstSpan(id(1), 1), firstChild(id(1), 2, 1, "store"), firstChild(id(1), 3, 2, "")}
	want[2].Process = nil
	want[1].Warnings = []string{"clock skew"}
	jaeger.write(t, want...)
	jaeger.write(t, want[0]) // once more is once
	for range 2 {
		got, err := jaeger.get(t, id(1))
		if err != nil {
			t.Fatal(err)
		}
		wantSpans(t, want, got)
		if err := store.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	summaries, err := jaeger.Summaries(t.Context(), span.AllTime())
	if err != nil || len(summaries) != 1 || summaries[0].Spans != 3 || summaries[0].RootService != "shop" {
		t.Errorf("version 2 sees %+v, %v", summaries, err)
	}

	export(t, jaeger.running, trace(id(2), "otlp", 2))
	got, err := jaeger.get(t, id(2))
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	other := id(2)
	wantSpans(t, []*apiv2.Span{{
		TraceId: other[:], SpanId: []byte{7: 2}, OperationName: "step 1",
		References: []*apiv2.SpanRef{{TraceId: other[:], SpanId: []byte{7: 1}}},
		StartTime:  &timestamppb.Timestamp{Seconds: 1_700_000_000, Nanos: 1}, Duration: &durationpb.Duration{Nanos: 5_000},
		Tags:    []*apiv2.KeyValue{firstTag("note", strings.Repeat("x", 200)), firstTag("span.kind", "server")},
		Process: &apiv2.Process{ServiceName: "otlp"},
	}}, got[1:])
}

// TestAWrittenSpanSurvivesAPowerCut: OK means durable, alone and in a stream.
func TestAWrittenSpanSurvivesAPowerCut(t *testing.T) {
	disk := vfs.NewCrash(2)
	jaeger := startFirst(t, realStore(t, disk), api.Options{})
	jaeger.write(t, firstSpan(id(1), 1))
	stream, err := jaeger.streams.WriteSpanStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		if err := stream.Send(&storagev1.WriteSpanRequest{Span: firstSpan(id(2), n+1)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
	after := startFirst(t, realStore(t, disk.Crash()), api.Options{})
	for trace, spans := range map[span.TraceID]int{id(1): 1, id(2): 20} {
		if got, err := after.get(t, trace); err != nil || len(got) != spans {
			t.Errorf("%d spans of %d, %v", len(got), spans, err)
		}
	}
}

// TestAnUnknownTraceIsNotFoundByTheseWords: Jaeger's client looks for both.
func TestAnUnknownTraceIsNotFoundByTheseWords(t *testing.T) {
	jaeger := startFirst(t, realStore(t, vfs.NewCrash(3)), api.Options{})
	_, err := jaeger.get(t, id(9))
	if status.Code(err) != codes.NotFound || status.Convert(err).Message() != "trace not found" {
		t.Error(err)
	}
	for _, odd := range [][]byte{nil, make([]byte, 15)} {
		stream, err := jaeger.GetTrace(t.Context(), &storagev1.GetTraceRequest{TraceId: odd})
		if _, _, err = read(t, stream, err); status.Code(err) != codes.InvalidArgument {
			t.Errorf("id of %d bytes: %v", len(odd), err)
		}
	}
	small := id(0)
	clear(small[:8])
	small[15] = 7
	jaeger.write(t, firstSpan(small, 1))
	stream, err := jaeger.GetTrace(t.Context(), &storagev1.GetTraceRequest{TraceId: small[8:], StartTime: &timestamppb.Timestamp{Seconds: 5}})
	if _, spans, err := read(t, stream, err); err != nil || len(spans[small]) != 1 {
		t.Errorf("an id of 8 bytes: %v, %v", spans, err)
	}
}

// TestVersion1SearchIsTheLegacySearch over spans written in version 1.
func TestVersion1SearchIsTheLegacySearch(t *testing.T) {
	jaeger := startFirst(t, realStore(t, vfs.NewCrash(4)), api.Options{})
	for n := 1; n <= 4; n++ {
		jaeger.write(t, firstSpan(id(n), n))
	}
	failed := firstChild(id(1), 9, 1, "db")
	failed.Tags = append(failed.Tags, &apiv2.KeyValue{Key: "error", VType: apiv2.ValueType_BOOL, VBool: true}, firstTag("otel.scope.name", "lib"), firstTag("w3c.tracestate", "a=b"))
	failed.Tags[0].VStr = "client"
	jaeger.write(t, failed)
	at := func(seconds int64) *timestamppb.Timestamp {
		return &timestamppb.Timestamp{Seconds: 1_700_000_000 + seconds}
	}
	yearOne := &timestamppb.Timestamp{Seconds: -62135596800}
	tags := func(pairs ...string) *storagev1.TraceQueryParameters {
		q := &storagev1.TraceQueryParameters{Tags: map[string]string{}, StartTimeMin: yearOne, StartTimeMax: yearOne}
		for i := 0; i < len(pairs); i += 2 {
			q.Tags[pairs[i]] = pairs[i+1]
		}
		return q
	}
	all := []int{1, 4, 3, 2}
	for name, c := range map[string]struct {
		q    *storagev1.TraceQueryParameters
		want []int
	}{
		"nothing asked":              {nil, all},
		"times and limit not given":  {&storagev1.TraceQueryParameters{StartTimeMin: yearOne, StartTimeMax: yearOne, DurationMin: &durationpb.Duration{}, NumTraces: -1}, all},
		"limit":                      {&storagev1.TraceQueryParameters{NumTraces: 2}, []int{1, 4}},
		"service":                    {&storagev1.TraceQueryParameters{ServiceName: "shop"}, []int{4, 3, 2, 1}},
		"operation":                  {&storagev1.TraceQueryParameters{ServiceName: "shop", OperationName: "op 3"}, []int{3}},
		"operation of another":       {&storagev1.TraceQueryParameters{ServiceName: "db", OperationName: "op 1"}, nil},
		"both ends":                  {&storagev1.TraceQueryParameters{StartTimeMin: at(2), StartTimeMax: at(3)}, []int{3, 2}},
		"durations":                  {&storagev1.TraceQueryParameters{DurationMin: &durationpb.Duration{Nanos: 2e6}, DurationMax: &durationpb.Duration{Nanos: 3e6}}, []int{3, 2}},
		"int":                        {tags("http.status_code", "3"), []int{3}},
		"double":                     {tags("ratio", "2", "http.status_code", "4"), []int{4}},
		"bool":                       {tags("sampled", "true"), all},
		"binary":                     {tags("raw", "eHl6", "http.status_code", "2"), []int{2}},
		"process":                    {tags("hostname", "h1", "http.status_code", "2"), []int{2}},
		"field of a log":             {tags("attempt", "two", "http.status_code", "2"), []int{2}},
		"event":                      {tags("event", "retry", "http.status_code", "2"), []int{2}},
		"error":                      {tags("error", "true"), []int{1}},
		"no error":                   {tags("error", "false"), []int{4, 3, 2, 1}},
		"kind":                       {tags("span.kind", "client"), []int{1}},
		"scope":                      {tags("otel.scope.name", "lib"), []int{1}},
		"trace state":                {tags("w3c.tracestate", "a=b"), []int{1}},
		"on two spans":               {tags("error", "true", "http.status_code", "1"), nil},
		"on one span, of its levels": {tags("error", "true", "http.status_code", "9", "hostname", "h1"), []int{1}},
	} {
		want := []span.TraceID(nil)
		for _, n := range c.want {
			want = append(want, id(n))
		}
		if got := jaeger.find(t, c.q); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if _, err := jaeger.FindTraceIDs(t.Context(), &storagev1.FindTraceIDsRequest{Query: &storagev1.TraceQueryParameters{DurationMin: &durationpb.Duration{Seconds: -1}}}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
}

// TestVersion1LimitIsOneHundredUnlessGiven, exactly.
func TestVersion1LimitIsOneHundredUnlessGiven(t *testing.T) {
	jaeger := startFirst(t, realStore(t, vfs.NewCrash(5)), api.Options{})
	for n := range 103 {
		export(t, jaeger.running, trace(id(n), "s", 1))
	}
	for limit, want := range map[int32]int{0: 100, -5: 100, 101: 101, 1: 1, math.MaxInt32: 103} {
		if got := jaeger.find(t, &storagev1.TraceQueryParameters{ServiceName: "s", NumTraces: limit}); len(got) != want {
			t.Errorf("limit %d: %d traces", limit, len(got))
		}
	}
}

// TestVersion1CatalogAndDependencies are those of version 2.
func TestVersion1CatalogAndDependencies(t *testing.T) {
	jaeger := startFirst(t, realStore(t, vfs.NewCrash(6)), api.Options{})
	client := firstChild(id(1), 2, 1, "shop")
	client.OperationName, client.Tags[0].VStr = "op 1", "client"
	internal := firstSpan(id(1), 5)
	internal.Tags = nil
	nameless := firstSpan(id(2), 4)
	nameless.Process = &apiv2.Process{}
	jaeger.write(t, firstSpan(id(1), 1), client, firstChild(id(1), 3, 2, "store"), internal, nameless)

	services, err := jaeger.GetServices(t.Context(), &storagev1.GetServicesRequest{})
	if err != nil || !slices.Equal(services.GetServices(), []string{"", "shop", "store"}) {
		t.Errorf("%v, %v", services, err)
	}
	operation := func(name, kind string) *storagev1.Operation {
		return &storagev1.Operation{Name: name, SpanKind: kind}
	}
	for _, c := range []struct {
		service, kind string
		names         []string
		want          []*storagev1.Operation
	}{
		{"shop", "", []string{"op 1", "op 5"}, []*storagev1.Operation{operation("op 1", "client"), operation("op 1", "server"), operation("op 5", "")}},
		{"shop", "server", []string{"op 1"}, []*storagev1.Operation{operation("op 1", "server")}},
		{"store", "", []string{"op 3"}, []*storagev1.Operation{operation("op 3", "server")}},
		{"none", "", nil, nil},
	} {
		got, err := jaeger.GetOperations(t.Context(), &storagev1.GetOperationsRequest{Service: c.service, SpanKind: c.kind})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&storagev1.GetOperationsResponse{OperationNames: c.names, Operations: c.want}, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s %s: %s", c.service, c.kind, diff)
		}
	}
	for _, c := range []struct {
		start, end int64
		want       []*apiv2.DependencyLink
	}{
		{1_700_000_000, 1_700_000_003, []*apiv2.DependencyLink{{Parent: "shop", Child: "store", CallCount: 1, Source: "jaeger"}}},
		{1_700_000_000, 1_700_000_002, nil},
		{-62135596800, -62135596800, []*apiv2.DependencyLink{{Parent: "shop", Child: "store", CallCount: 1, Source: "jaeger"}}},
	} {
		got, err := jaeger.dependencies.GetDependencies(t.Context(), &storagev1.GetDependenciesRequest{
			StartTime: &timestamppb.Timestamp{Seconds: c.start}, EndTime: &timestamppb.Timestamp{Seconds: c.end},
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got.GetDependencies(), protocmp.Transform()); diff != "" {
			t.Errorf("%d to %d: %s", c.start, c.end, diff)
		}
	}
}

// TestHugeTracesOfVersion1ComeInMessagesThatFit: each span has its process with it, so
// that one chunk of OTLP is many messages here, and JSON is longer than what it tells of.
func TestHugeTracesOfVersion1ComeInMessagesThatFit(t *testing.T) {
	jaeger := startFirst(t, realStore(t, vfs.NewCrash(7)), api.Options{})
	large := trace(id(1), "s", 10_008)
	large.Resource.Attributes = append(large.GetResource().GetAttributes(), stringAttribute("long", strings.Repeat("p", 3_000)))
	export(t, jaeger.running, large)
	other := trace(id(2), "s", 1)
	attribute := &commonv1.KeyValue{Key: "list", Value: deep(1)}
	attribute.GetValue().GetArrayValue().Values[0] = stringAttribute("", strings.Repeat("<", 1_000_000)).GetValue()
	other.ScopeSpans[0].Spans[0].Attributes = append(other.GetScopeSpans()[0].GetSpans()[0].GetAttributes(), attribute)
	export(t, jaeger.running, other)

	stream, err := jaeger.FindTraces(t.Context(), &storagev1.FindTracesRequest{})
	_, spans, err := read(t, stream, err)
	if err != nil || len(spans[id(1)]) != 10_008 || len(spans[id(2)]) != 1 {
		t.Fatalf("%d and %d spans, %v", len(spans[id(1)]), len(spans[id(2)]), err)
	}
	if warnings := spans[id(2)][0].GetWarnings(); len(warnings) != 1 || !strings.Contains(warnings[0], "too long for an answer") {
		t.Errorf("%q", warnings)
	}
}

// TestCapabilitiesOfVersion1AreReal: no streams, since Jaeger loses spans in them, and no
// archive where there is none; see TestCapabilitiesTellOfAnArchive.
func TestCapabilitiesOfVersion1AreReal(t *testing.T) {
	server := start(t, &scripted{}, api.Options{})
	got, err := storagev1.NewPluginCapabilitiesClient(server.connection).Capabilities(t.Context(), &storagev1.CapabilitiesRequest{})
	if err != nil || !proto.Equal(got, &storagev1.CapabilitiesResponse{}) {
		t.Errorf("%v, %v", got, err)
	}
	_, err = storagev1.NewArchiveSpanWriterPluginClient(server.connection).WriteArchiveSpan(t.Context(), &storagev1.WriteSpanRequest{Span: firstSpan(id(1), 1)})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("archive: %v", err)
	}
	if _, err := storagev1.NewSpanWriterPluginClient(server.connection).Close(t.Context(), &storagev1.CloseWriterRequest{}); err != nil {
		t.Errorf("Close: %v", err)
	}
	_, err = storagev1.NewSpanWriterPluginClient(connect(t, server.otlp)).WriteSpan(t.Context(), &storagev1.WriteSpanRequest{Span: firstSpan(id(1), 1)})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("on the OTLP port: %v", err)
	}
}

// BenchmarkWriteSpan is what gRPC and this package cost for a span, without a store.
func BenchmarkWriteSpan(b *testing.B) {
	jaeger := startFirst(b, &scripted{}, api.Options{})
	request := &storagev1.WriteSpanRequest{Span: firstSpan(id(1), 1)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jaeger.writer.WriteSpan(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriteSpanStream is a span of one stream where the disk takes 1 ms for a sync.
func BenchmarkWriteSpanStream(b *testing.B) {
	jaeger := startFirst(b, &scripted{write: func(context.Context, []byte) (otlp.Counts, error) {
		time.Sleep(time.Millisecond)
		return otlp.Counts{Spans: 1}, nil
	}}, api.Options{})
	stream, err := jaeger.streams.WriteSpanStream(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	request := &storagev1.WriteSpanRequest{Span: firstSpan(id(1), 1)}
	for b.Loop() {
		if err := stream.Send(request); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkGetTraceVersion1 is what they cost for a chunk of an answer; see
// BenchmarkGetTraces.
func BenchmarkGetTraceVersion1(b *testing.B) {
	chunk := requestOf(b, trace(id(1), "s", 4096))
	jaeger := startFirst(b, &scripted{get: func(_ context.Context, _ span.TraceID, yield func(span.Chunk) error) error {
		return yield(span.Chunk{Bytes: chunk})
	}}, api.Options{})
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jaeger.get(b, id(1)); err != nil {
			b.Fatal(err)
		}
	}
}
