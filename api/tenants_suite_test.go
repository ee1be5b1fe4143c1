package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// question is one call of a reading method.
type question struct {
	method  string
	request proto.Message
	answer  func() proto.Message
}

func answering[T any, P interface {
	*T
	proto.Message
}]() proto.Message {
	return P(new(T))
}

// askAll asks in the words of the wire, and gives all messages of the answer as text.
func (q question) ask(ctx context.Context, connection *grpc.ClientConn) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, q.method)
	if err != nil {
		return "", err
	}
	if err := stream.SendMsg(q.request); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if err := stream.CloseSend(); err != nil {
		return "", err
	}
	var text strings.Builder
	for {
		message := q.answer()
		err := stream.RecvMsg(message)
		if errors.Is(err, io.EOF) {
			return text.String(), nil
		}
		if err != nil {
			return text.String(), err
		}
		// prototext puts in spaces at random; what differs must be the answer.
		text.WriteString(strings.Join(strings.Fields(prototext.Format(message)), " ") + "\n")
	}
}

// questions are calls of every reading method of both protocols, about all the ids.
func questions(ids []span.TraceID) (list []question) {
	add := func(method string, request proto.Message, answer func() proto.Message) {
		list = append(list, question{method, request, answer})
	}
	all := &storagev2.TraceQueryParameters{SearchDepth: 1000}
	page := &storagev2.TraceQueryParameters{Pagination: paged(1000, "")}
	first := &storagev1.TraceQueryParameters{NumTraces: 1000}
	gets := &storagev2.GetTracesRequest{}
	for _, id := range ids {
		gets.Query = append(gets.Query, &storagev2.GetTraceParams{TraceId: id[:]})
		add(storagev1.SpanReaderPlugin_GetTrace_FullMethodName, &storagev1.GetTraceRequest{TraceId: id[:]}, answering[storagev1.SpansResponseChunk])
		add(storagev1.ArchiveSpanReaderPlugin_GetArchiveTrace_FullMethodName, &storagev1.GetTraceRequest{TraceId: id[:]}, answering[storagev1.SpansResponseChunk])
	}
	add(storagev2.TraceReader_GetTraces_FullMethodName, gets, answering[tracev1.TracesData])
	add(storagev2.TraceReader_FindTraces_FullMethodName, &storagev2.FindTracesRequest{Query: all}, answering[tracev1.TracesData])
	for _, q := range []*storagev2.TraceQueryParameters{all, page, {ServiceName: "shop of a", SearchDepth: 1000}, {Attributes: []*storagev2.KeyValue{text("of", "b")}, SearchDepth: 1000}} {
		add(storagev2.TraceReader_FindTraceIDs_FullMethodName, &storagev2.FindTraceIDsRequest{Query: q}, answering[storagev2.FindTraceIDsResponse])
		add(storagev2.TraceReader_FindTraceSummaries_FullMethodName, &storagev2.FindTraceSummariesRequest{Query: q}, answering[storagev2.FindTraceSummariesResponse])
	}
	add(storagev2.TraceReader_FindSpans_FullMethodName, &storagev2.FindSpansRequest{Query: allSpans(1000)}, answering[storagev2.FindSpansResponse])
	add(storagev2.TraceReader_GetServices_FullMethodName, &storagev2.GetServicesRequest{}, answering[storagev2.GetServicesResponse])
	add(storagev2.DependencyReader_GetDependencies_FullMethodName, &storagev2.GetDependenciesRequest{}, answering[storagev2.GetDependenciesResponse])
	add(storagev2.Capabilities_GetCapabilities_FullMethodName, &storagev2.GetCapabilitiesRequest{}, answering[storagev2.GetCapabilitiesResponse])
	add(storagev1.SpanReaderPlugin_FindTraces_FullMethodName, &storagev1.FindTracesRequest{Query: first}, answering[storagev1.SpansResponseChunk])
	add(storagev1.SpanReaderPlugin_FindTraceIDs_FullMethodName, &storagev1.FindTraceIDsRequest{Query: first}, answering[storagev1.FindTraceIDsResponse])
	add(storagev1.SpanReaderPlugin_GetServices_FullMethodName, &storagev1.GetServicesRequest{}, answering[storagev1.GetServicesResponse])
	add(storagev1.DependenciesReaderPlugin_GetDependencies_FullMethodName, &storagev1.GetDependenciesRequest{EndTime: &timestamppb.Timestamp{Seconds: 1 << 33}}, answering[storagev1.GetDependenciesResponse])
	add(storagev1.PluginCapabilities_Capabilities_FullMethodName, &storagev1.CapabilitiesRequest{}, answering[storagev1.CapabilitiesResponse])
	for _, service := range []string{"", "shop of a", "shop of b"} {
		add(storagev2.TraceReader_GetOperations_FullMethodName, &storagev2.GetOperationsRequest{Service: service}, answering[storagev2.GetOperationsResponse])
		add(storagev1.SpanReaderPlugin_GetOperations_FullMethodName, &storagev1.GetOperationsRequest{Service: service}, answering[storagev1.GetOperationsResponse])
	}
	return list
}

// writingMethods are those that questions leaves out.
var writingMethods = []string{
	collectorv1.TraceService_Export_FullMethodName, storagev1.SpanWriterPlugin_WriteSpan_FullMethodName, storagev1.SpanWriterPlugin_Close_FullMethodName,
	storagev1.StreamingSpanWriterPlugin_WriteSpanStream_FullMethodName, storagev1.ArchiveSpanWriterPlugin_WriteArchiveSpan_FullMethodName,
}

// household is some tenants' stores, on disks that a kill can be tried on.
type household struct {
	names           []string
	disks, archives map[string]*vfs.Crash
	stores, kept    map[string]*cluster.Store
}

func openHousehold(t *testing.T, h *household) {
	t.Helper()
	h.stores, h.kept = map[string]*cluster.Store{}, map[string]*cluster.Store{}
	for _, name := range h.names {
		h.stores[name], h.kept[name] = smallStore(t, h.disks[name]), smallStore(t, h.archives[name])
	}
}

// smallStore is realStore with a small log: what a kill leaves is copied whole.
func smallStore(t *testing.T, disk vfs.FS) *cluster.Store {
	t.Helper()
	store, err := cluster.Open(t.Context(), cluster.Options{FS: disk, Shards: 2, ReserveBytes: -1, Log: wal.Options{FileBytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close(context.Background()) })
	return store
}

func (h *household) serve(t *testing.T) *running {
	t.Helper()
	var tenants api.Tenants
	for _, name := range h.names {
		tenants.List = append(tenants.List, api.Tenant{Name: name, Store: h.stores[name], Archive: h.kept[name]})
	}
	return start(t, &scripted{services: []string{"main"}}, api.Options{Archive: &scripted{services: []string{"main"}}, Tenants: tenants})
}

// spansOf makes one trace of a tenant: ids are the same for all, the rest tells whose it is.
func spansOf(tenant string, n int, random *rand.Rand) []*apiv2.Span {
	var spans []*apiv2.Span
	for i := range 1 + random.IntN(4) {
		one := firstSpan(id(n), i+1)
		if i > 0 {
			one = firstChild(id(n), i+1, i, "stock of "+tenant)
		} else {
			one.Process.ServiceName = "shop of " + tenant
		}
		one.OperationName += " of " + tenant
		one.Tags = append(one.Tags, firstTag("of", tenant))
		spans = append(spans, one)
	}
	return spans
}

// fill writes as a tenant, by a way that chance picks: OTLP on either port, a span, a stream of
// spans; and to the archive.
func fill(t *testing.T, server *running, tenant string, ids int, random *rand.Rand) {
	t.Helper()
	ctx := as(t.Context(), tenant)
	ports := []*grpc.ClientConn{server.connection, connect(t, server.otlp)}
	for n := range ids {
		if random.IntN(3) == 0 {
			continue // an id that others may have
		}
		spans := spansOf(tenant, n, random)
		var err error
		switch way := random.IntN(4); way {
		case 0, 1:
			resources := trace(id(n), "shop of "+tenant, len(spans))
			for _, one := range resources.GetScopeSpans()[0].GetSpans() {
				one.Name += " of " + tenant
			}
			_, err = collectorv1.NewTraceServiceClient(ports[way]).Export(ctx, &collectorv1.ExportTraceServiceRequest{ResourceSpans: []*tracev1.ResourceSpans{resources}})
		case 2:
			for _, one := range spans {
				_, failed := storagev1.NewSpanWriterPluginClient(server.connection).WriteSpan(ctx, &storagev1.WriteSpanRequest{Span: one})
				err = errors.Join(err, failed)
			}
		case 3:
			var stream grpc.ClientStreamingClient[storagev1.WriteSpanRequest, storagev1.WriteSpanResponse]
			if stream, err = storagev1.NewStreamingSpanWriterPluginClient(server.connection).WriteSpanStream(ctx); err != nil {
				t.Fatal(err)
			}
			for _, one := range spans {
				err = errors.Join(err, stream.Send(&storagev1.WriteSpanRequest{Span: one}))
			}
			_, failed := stream.CloseAndRecv()
			err = errors.Join(err, failed)
		}
		if random.IntN(2) == 0 {
			for _, one := range spansOf(tenant, n, random) {
				_, failed := storagev1.NewArchiveSpanWriterPluginClient(server.connection).WriteArchiveSpan(ctx, &storagev1.WriteSpanRequest{Span: one})
				err = errors.Join(err, failed)
			}
		}
		if err != nil {
			t.Fatalf("as %s: %v", tenant, err)
		}
	}
}

// whole is what each tenant is answered by a server that has its stores and no tenants:
// the truth. Keys are port, method and request.
func (h *household) whole(t *testing.T, tenant string, list []question) map[string]string {
	t.Helper()
	type servedStore struct {
		api.Store
		api.Operator
	}
	server := start(t, servedStore{h.stores[tenant], h.stores[tenant]}, api.Options{Archive: h.kept[tenant]})
	return answersOf(t, t.Context(), server, list)
}

func answersOf(t *testing.T, ctx context.Context, server *running, list []question) map[string]string {
	t.Helper()
	answers := map[string]string{}
	for port, connection := range map[string]*grpc.ClientConn{"storage": server.connection, "archive": connect(t, server.archive)} {
		for _, q := range list {
			text, err := q.ask(ctx, connection)
			if err != nil {
				text += fmt.Sprint(err)
			}
			answers[fmt.Sprint(port, " ", q.method, " ", q.request)] = text
		}
	}
	return answers
}

// check asks everything as each tenant, as nobody, as two and as one who is unknown.
func (h *household) check(t *testing.T, state string, ids []span.TraceID) {
	t.Helper()
	list, server := questions(ids), h.serve(t)
	for _, tenant := range h.names {
		got := answersOf(t, as(t.Context(), tenant), server, list)
		if diff := cmp.Diff(h.whole(t, tenant, list), got); diff != "" {
			t.Errorf("%s: as %s, beside what a server of this tenant alone answers:\n%s", state, tenant, diff)
		}
		own := 0
		for asked, answer := range got {
			for _, other := range h.names {
				if other != tenant && strings.Contains(answer, " of "+other) {
					t.Errorf("%s: as %s, %s: spans of %s", state, tenant, asked, other)
				}
			}
			own += strings.Count(answer, " of "+tenant)
		}
		if own == 0 {
			t.Errorf("%s: as %s nothing was answered", state, tenant)
		}
	}
	for who, c := range map[string]struct {
		tenants []string
		code    codes.Code
	}{"nobody": {nil, codes.Unauthenticated}, "two": {h.names[:2], codes.PermissionDenied}, "unknown": {[]string{"z"}, codes.PermissionDenied}} {
		for _, connection := range []*grpc.ClientConn{server.connection, connect(t, server.archive)} {
			for _, q := range list {
				text, err := q.ask(as(t.Context(), c.tenants...), connection)
				if isArchive := strings.Contains(q.method, "Archive"); text != "" || status.Code(err) != c.code && !(isArchive && status.Code(err) == codes.Unimplemented) {
					t.Errorf("%s: %s as %s: %q, %v", state, q.method, who, text, err)
				}
			}
		}
	}
}

// TestTenantsAnswersAreTheirOwn: tenants write different spans under the same ids, by every way
// there is. Whatever is asked of whatever method, each is answered what a server of its own would
// answer: from memory, from segments, and after a kill.
func TestTenantsAnswersAreTheirOwn(t *testing.T) {
	var covered []string
	for _, q := range questions(nil) {
		covered = append(covered, q.method)
	}
	covered = append(append(covered, writingMethods...), storagev1.SpanReaderPlugin_GetTrace_FullMethodName, storagev1.ArchiveSpanReaderPlugin_GetArchiveTrace_FullMethodName)
	for _, method := range storageMethods {
		if !slices.Contains(covered, method) {
			t.Errorf("nothing asks %s", method)
		}
	}
	for seed := range uint64(3) {
		random := rand.New(rand.NewPCG(seed, 1))
		h := &household{names: []string{"a", "b", "c"}, disks: map[string]*vfs.Crash{}, archives: map[string]*vfs.Crash{}}
		for i, name := range h.names {
			h.disks[name], h.archives[name] = vfs.NewCrash(seed+uint64(2*i)), vfs.NewCrash(seed+uint64(2*i+1))
		}
		openHousehold(t, h)
		server := h.serve(t)
		var ids []span.TraceID
		for n := range 12 {
			ids = append(ids, id(n))
		}
		for _, name := range h.names {
			fill(t, server, name, len(ids), random)
		}
		for _, tenants := range [][]string{nil, h.names[:2], {"z"}} { // and nothing of this is written
			if _, err := server.Export(as(t.Context(), tenants...), requestOf(t, trace(id(0), "shop of a", 9))); err == nil {
				t.Errorf("written as %q", tenants)
			}
		}
		h.check(t, fmt.Sprintf("seed %d, memory", seed), ids)
		for _, name := range h.names {
			if err := errors.Join(h.stores[name].Flush(t.Context()), h.kept[name].Flush(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		h.check(t, fmt.Sprintf("seed %d, flushed", seed), ids)
		for _, name := range h.names {
			fill(t, server, name, len(ids), random)
			h.disks[name], h.archives[name] = h.disks[name].KillCopy(), h.archives[name].KillCopy()
		}
		openHousehold(t, h)
		h.check(t, fmt.Sprintf("seed %d, killed", seed), ids)
	}
}
