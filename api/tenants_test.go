package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/vfs"
)

// as gives a context of calls that name these tenants.
func as(ctx context.Context, tenants ...string) context.Context {
	for _, tenant := range tenants {
		ctx = metadata.AppendToOutgoingContext(ctx, api.TenantHeader, tenant)
	}
	return ctx
}

// methodsOf lists the full names of services' methods.
func methodsOf(descs ...*grpc.ServiceDesc) (methods []string) {
	for _, desc := range descs {
		for _, method := range desc.Methods {
			methods = append(methods, "/"+desc.ServiceName+"/"+method.MethodName)
		}
		for _, stream := range desc.Streams {
			methods = append(methods, "/"+desc.ServiceName+"/"+stream.StreamName)
		}
	}
	return methods
}

// The methods of each port.
var (
	exportMethods  = methodsOf(&collectorv1.TraceService_ServiceDesc)
	archiveMethods = append(methodsOf(&storagev2.TraceReader_ServiceDesc, &storagev2.DependencyReader_ServiceDesc, &storagev2.Capabilities_ServiceDesc,
		&storagev1.SpanReaderPlugin_ServiceDesc, &storagev1.DependenciesReaderPlugin_ServiceDesc, &storagev1.PluginCapabilities_ServiceDesc,
		&storagev1.SpanWriterPlugin_ServiceDesc, &storagev1.StreamingSpanWriterPlugin_ServiceDesc), exportMethods...)
	storageMethods = append(methodsOf(&storagev1.ArchiveSpanReaderPlugin_ServiceDesc, &storagev1.ArchiveSpanWriterPlugin_ServiceDesc), archiveMethods...)
)

// TestEveryCallNamesOneKnownTenant on every port: none is Unauthenticated, two and an unknown
// one PermissionDenied, and the words are the same whoever else there is. Health and reflection need none.
func TestEveryCallNamesOneKnownTenant(t *testing.T) {
	options := api.Options{Tenants: api.Tenants{List: []api.Tenant{
		{Name: "acme", Store: &scripted{}, Archive: &scripted{}}, {Name: "Umbrella", Store: &scripted{}, Archive: &scripted{}},
	}}}
	server := start(t, &scripted{}, options)
	if len(storageMethods) != 22 {
		t.Fatalf("%d methods: %q", len(storageMethods), storageMethods)
	}
	for port, p := range map[string]struct {
		address string
		methods []string
	}{"storage": {server.storage, storageMethods}, "otlp": {server.otlp, exportMethods}, "archive": {server.archive, archiveMethods}} {
		connection := connect(t, p.address)
		for _, method := range p.methods {
			for name, c := range map[string]struct {
				tenants []string
				code    codes.Code
				text    string
			}{
				"none":           {nil, codes.Unauthenticated, "missing tenant header"},
				"two":            {[]string{"acme", "Umbrella"}, codes.PermissionDenied, "extra tenant header"},
				"one twice":      {[]string{"acme", "acme"}, codes.PermissionDenied, "extra tenant header"},
				"unknown":        {[]string{"nobody"}, codes.PermissionDenied, "unknown tenant"},
				"empty":          {[]string{""}, codes.PermissionDenied, "unknown tenant"},
				"another case":   {[]string{"umbrella"}, codes.PermissionDenied, "unknown tenant"},
				"two in a value": {[]string{"acme,Umbrella"}, codes.PermissionDenied, "unknown tenant"},
				"a path":         {[]string{"../acme"}, codes.PermissionDenied, "unknown tenant"},
			} {
				err := connection.Invoke(as(t.Context(), c.tenants...), method, &emptypb.Empty{}, &emptypb.Empty{})
				if status.Code(err) != c.code || status.Convert(err).Message() != c.text {
					t.Errorf("%s %s, %s: %v, want %v %q", port, method, name, err, c.code, c.text)
				}
			}
			for _, tenant := range []string{"acme", "Umbrella"} {
				err := connection.Invoke(as(t.Context(), tenant), method, &emptypb.Empty{}, &emptypb.Empty{})
				if code := status.Code(err); code == codes.Unauthenticated || code == codes.PermissionDenied || code == codes.Unimplemented {
					t.Errorf("%s %s as %s: %v", port, method, tenant, err)
				}
			}
		}
		if _, err := healthv1.NewHealthClient(connection).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
			t.Errorf("%s: health: %v", port, err)
		}
		stream, err := reflectionv1.NewServerReflectionClient(connection).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		reflect(t, stream, &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	}
	if stats := server.Stats(); stats.QueriesRunning != 0 || stats.BytesInFlight != 0 || stats.SpansAccepted != 0 {
		t.Errorf("in the end: %+v", stats)
	}
}

// TestWithoutTenantsTheHeaderIsIgnored, as often as it comes.
func TestWithoutTenantsTheHeaderIsIgnored(t *testing.T) {
	server := start(t, &scripted{services: []string{"shop"}}, api.Options{})
	for _, tenants := range [][]string{nil, {"acme"}, {"acme", "acme"}, {""}} {
		if services, err := server.Services(as(t.Context(), tenants...)); len(services) != 1 || err != nil {
			t.Errorf("as %q: %q, %v", tenants, services, err)
		}
	}
}

// TestTheHeaderOfTenantsCanBeAnother, and then the usual one says nothing.
func TestTheHeaderOfTenantsCanBeAnother(t *testing.T) {
	server := start(t, &scripted{}, api.Options{Tenants: api.Tenants{Header: "x-scope-orgid", List: []api.Tenant{{Name: "acme", Store: &scripted{services: []string{"shop"}}}}}})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "X-Scope-OrgID", "acme")
	if services, err := server.Services(ctx); len(services) != 1 || err != nil {
		t.Errorf("%q, %v", services, err)
	}
	if _, err := server.Services(as(t.Context(), "acme")); status.Code(err) != codes.Unauthenticated {
		t.Errorf("by the usual header: %v", err)
	}
}

// TestATenantWithoutAnArchiveHasNone although another has one, and the main store's is nobody's.
func TestATenantWithoutAnArchiveHasNone(t *testing.T) {
	server := start(t, &scripted{}, api.Options{Archive: &scripted{services: []string{"main"}}, Tenants: api.Tenants{List: []api.Tenant{
		{Name: "with", Store: &scripted{}, Archive: &scripted{services: []string{"kept"}}}, {Name: "without", Store: &scripted{}},
	}}})
	archive := storagev2.NewTraceReaderClient(connect(t, server.archive))
	answer, err := archive.GetServices(as(t.Context(), "with"), &storagev2.GetServicesRequest{})
	if err != nil || fmt.Sprint(answer.GetServices()) != "[kept]" {
		t.Errorf("with: %v, %v", answer, err)
	}
	if answer, err := archive.GetServices(as(t.Context(), "without"), &storagev2.GetServicesRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("without: %v, %v", answer, err)
	}
	stream, err := storagev1.NewArchiveSpanReaderPluginClient(server.connection).GetArchiveTrace(as(t.Context(), "without"), &storagev1.GetTraceRequest{TraceId: make([]byte, 16)})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("the archive's service without an archive: %v", err)
	}
	capabilities := storagev1.NewPluginCapabilitiesClient(server.connection)
	for tenant, want := range map[string]bool{"with": true, "without": false} {
		if answer, err := capabilities.Capabilities(as(t.Context(), tenant), &storagev1.CapabilitiesRequest{}); err != nil || answer.GetArchiveSpanReader() != want {
			t.Errorf("%s: %v, %v", tenant, answer, err)
		}
	}
}

// TestARefusalTellsATenantNothingOfOthers: neither how full the disk is nor how much is in
// flight, which without tenants are told.
func TestARefusalTellsATenantNothingOfOthers(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	full := &scripted{write: func(context.Context, []byte) (otlp.Counts, error) {
		return otlp.Counts{}, fmt.Errorf("%w: 12345 bytes free", span.ErrUnavailable)
	}}
	busy := &scripted{write: func(context.Context, []byte) (otlp.Counts, error) {
		close(entered)
		<-release
		return otlp.Counts{}, nil
	}}
	server := start(t, full, api.Options{BytesInFlightMax: 1, Tenants: api.Tenants{List: []api.Tenant{{Name: "a", Store: busy}, {Name: "b", Store: full}}}})
	request := requestOf(t, trace(id(1), "s", 1))
	refused := func(what string) {
		t.Helper()
		_, err := server.Export(as(t.Context(), "b"), request)
		if status.Code(err) != codes.Unavailable || strings.ContainsAny(status.Convert(err).Message(), "0123456789") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("full disk")
	broken := errors.New("write data/0001.log: 12345 bytes: no space left")
	full.write = func(context.Context, []byte) (otlp.Counts, error) { return otlp.Counts{}, broken }
	refused("failing disk")
	done := make(chan error, 1)
	go func() {
		_, err := server.Export(as(context.Background(), "a"), request)
		done <- err
	}()
	<-entered
	refused("bytes in flight")
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	alone := start(t, full, api.Options{})
	if _, err := alone.Export(t.Context(), request); !strings.Contains(fmt.Sprint(err), "12345") {
		t.Errorf("without tenants: %v", err)
	}
}

// TestTheAdminPortAnswersForTheTenantNamed, by parameter or header.
func TestTheAdminPortAnswersForTheTenantNamed(t *testing.T) {
	says := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, text+" "+r.URL.Path) })
	}
	main := says("main")
	server := start(t, &scripted{}, api.Options{Imports: main, Attributes: main, Rates: main, Edges: main, Metrics: main, Tenants: api.Tenants{List: []api.Tenant{
		{Name: "a", Store: &scripted{}, Imports: says("a"), Attributes: says("a"), Rates: says("a"), Edges: says("a")}, {Name: "b", Store: &scripted{}, Rates: says("b")},
	}}})
	for _, c := range []struct {
		path, header string
		code         int
		text         string
	}{
		{"/attributes?tenant=a", "", 200, "a /attributes"}, {"/attributes/k?tenant=a", "", 200, "a /attributes/k"}, {"/imports/h?tenant=a", "", 200, "a /imports/h"},
		{"/rates?tenant=b", "", 200, "b /rates"}, {"/rates", "b", 200, "b /rates"}, {"/edges?tenant=a", "", 200, "a /edges"},
		{"/edges?tenant=b", "", 404, "404 page not found\n"},
		{"/rates?tenant=b", "b", 403, "extra tenant header\n"}, {"/rates?tenant=a&tenant=b", "", 403, "extra tenant header\n"},
		{"/rates?tenant=c", "", 403, "unknown tenant\n"}, {"/rates?tenant=", "", 403, "unknown tenant\n"},
		{"/rates", "", 401, "missing tenant: name it as ?tenant=NAME\n"}, {"/attributes", "", 401, "missing tenant: name it as ?tenant=NAME\n"},
		{"/imports/h", "", 401, "missing tenant: name it as ?tenant=NAME\n"}, {"/imports/h?tenant=b", "", 404, "404 page not found\n"},
		{"/metrics", "", 200, "main /metrics"}, {"/health", "", 200, "ok\n"},
	} {
		var headers []string
		if c.header != "" {
			headers = []string{"X-Tenant", c.header}
		}
		if code, text := ask(t, http.MethodGet, server.admin+c.path, headers...); code != c.code || text != c.text {
			t.Errorf("%s, header %q: %d %q, want %d %q", c.path, c.header, code, text, c.code, c.text)
		}
	}
}

// TestATokenBelongsToItsTenant: of ids, of summaries and of spans; where there are no tenants
// it is what it was.
func TestATokenBelongsToItsTenant(t *testing.T) {
	stores := map[string]api.Store{"": realStore(t, vfs.NewCrash(1)), "a": realStore(t, vfs.NewCrash(2)), "b": realStore(t, vfs.NewCrash(3))}
	server := start(t, &scripted{}, api.Options{Tenants: api.Tenants{List: []api.Tenant{{Name: "a", Store: stores["a"]}, {Name: "b", Store: stores["b"]}}}})
	for _, store := range stores {
		for n := range 3 {
			if _, err := store.Write(t.Context(), requestOf(t, trace(id(n), "s", 1))); err != nil {
				t.Fatal(err)
			}
		}
	}
	reader := storagev2.NewTraceReaderClient(server.connection)
	for what, page := range map[string]func(ctx context.Context, token string) (string, error){
		"ids": func(ctx context.Context, token string) (string, error) {
			answer, err := reader.FindTraceIDs(ctx, &storagev2.FindTraceIDsRequest{Query: &storagev2.TraceQueryParameters{Pagination: paged(1, token)}})
			return answer.GetNextPageToken(), err
		},
		"summaries": func(ctx context.Context, token string) (string, error) {
			stream, err := reader.FindTraceSummaries(ctx, &storagev2.FindTraceSummariesRequest{Query: &storagev2.TraceQueryParameters{Pagination: paged(1, token)}})
			if err != nil {
				return "", err
			}
			answer, err := stream.Recv()
			return answer.GetNextPageToken(), err
		},
		"spans": func(ctx context.Context, token string) (string, error) {
			q := allSpans(1)
			q.Pagination = paged(1, token)
			stream, err := reader.FindSpans(ctx, &storagev2.FindSpansRequest{Query: q})
			if err != nil {
				return "", err
			}
			answer, err := stream.Recv()
			return answer.GetNextPageToken(), err
		},
	} {
		tokens := map[string]string{}
		for _, tenant := range []string{"a", "b"} {
			token, err := page(as(t.Context(), tenant), "")
			if err != nil || token == "" {
				t.Fatalf("%s as %s: %q, %v", what, tenant, token, err)
			}
			tokens[tenant] = token
		}
		for _, tenant := range []string{"a", "b"} {
			for of, token := range tokens {
				next, err := page(as(t.Context(), tenant), token)
				if of == tenant && (err != nil || next == "") || of != tenant && status.Code(err) != codes.InvalidArgument {
					t.Errorf("%s: %s's token as %s: %q, %v", what, of, tenant, next, err)
				}
			}
		}
	}
}

// TestNamesOfTenantsAndTheirHeader that are refused, and some that are not.
func TestNamesOfTenantsAndTheirHeader(t *testing.T) {
	for _, name := range []string{"a", "A-1_b.c", strings.Repeat("x", 64), "-", "0"} {
		if err := api.CheckTenantName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", ".a", "a/b", `a\b`, "a b", "a,b", "a:b", "ä", "a\x00", strings.Repeat("x", 65)} {
		if err := api.CheckTenantName(name); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
	for _, key := range []string{"x-tenant", "x-scope-orgid", "t_1.2"} {
		if err := api.CheckTenantHeader(key); err != nil {
			t.Errorf("header %q: %v", key, err)
		}
	}
	for _, key := range []string{"", "X-Tenant", "grpc-tenant", "tenant-bin", ":authority", "a b", "ı", strings.Repeat("x", 65)} {
		if err := api.CheckTenantHeader(key); err == nil {
			t.Errorf("header %q is taken", key)
		}
	}
}
