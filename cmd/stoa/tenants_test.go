package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/client"
	collector "github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// ofTenant is a request of one span of trace n, whose service and name tell whose it is.
func ofTenant(tenant string, n int) *collector.ExportTraceServiceRequest {
	service := "shop of " + tenant
	return &collector.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: service}}}}},
		ScopeSpans: []*trace.ScopeSpans{{Spans: []*trace.Span{{
			TraceId: fmt.Appendf(nil, "trace %010d", n), SpanId: fmt.Appendf(nil, "%08d", n), Name: fmt.Sprintf("%s %d", service, n),
			Kind: trace.Span_SPAN_KIND_SERVER, StartTimeUnixNano: 1_790_000_000_000_000_000, EndTimeUnixNano: 1_790_000_000_001_000_000,
		}}}},
	}}}
}

// sendAs writes such a request; as nobody for "".
func sendAs(ctx context.Context, conn *grpc.ClientConn, tenant string, n int) error {
	if tenant != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, api.TenantHeader, tenant)
	}
	_, err := collector.NewTraceServiceClient(conn).Export(ctx, ofTenant(tenant, n))
	return err
}

// namesAs gives the names of all spans that a tenant sees.
func namesAs(t *testing.T, address, tenant string) map[string]bool {
	t.Helper()
	c, err := client.DialTenant(t.Context(), address, api.TenantHeader, tenant)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // nothing is under way any more
	q := span.AllTime()
	q.Limit = span.TracesFoundMax
	ids, err := c.FindTraceIDs(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	operations, err := c.Operations(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, o := range operations {
		names[o.Name] = true
	}
	if len(ids) != len(names) {
		t.Errorf("as %s: %d traces with %d names", tenant, len(ids), len(names))
	}
	return names
}

// TestTenantsStayApartThroughSIGKILL: two write under the same trace ids while the server is
// killed again and again. Each has all that was acknowledged to it, and nothing else.
func TestTenantsStayApartThroughSIGKILL(t *testing.T) {
	folder := t.TempDir()
	tenants := []string{"a", "b"}
	acknowledged := map[string]map[string]bool{"a": {}, "b": {}}
	check := func(server *bench.Server) {
		t.Helper()
		for _, tenant := range tenants {
			names := namesAs(t, server.Storage, tenant)
			for name := range acknowledged[tenant] {
				if !names[name] {
					t.Fatalf("as %s: %q was acknowledged and is gone", tenant, name)
				}
			}
			for name := range names {
				if !strings.HasPrefix(name, "shop of "+tenant+" ") {
					t.Fatalf("as %s: %q", tenant, name)
				}
			}
		}
	}
	for cycle := range 3 {
		server := startServer(t, folder, "--tenants", "a,b")
		check(server)
		var writers sync.WaitGroup
		for _, tenant := range tenants {
			conn := dial(t, server.Storage)
			writers.Go(func() {
				for n := cycle * 100_000; sendAs(context.Background(), conn, tenant, n) == nil; n++ {
					acknowledged[tenant][fmt.Sprintf("shop of %s %d", tenant, n)] = true // each writer has a map of its own
				}
			})
		}
		time.Sleep(300 * time.Millisecond)
		if cycle == 1 {
			if err := server.Ask(context.Background(), "/flush"); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(100 * time.Millisecond)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		writers.Wait()
	}
	server := startServer(t, folder, "--tenants", "b,a") // the order means nothing
	check(server)
	if len(acknowledged["a"]) == 0 || len(acknowledged["b"]) == 0 {
		t.Fatal("nothing was acknowledged")
	}
	stopServer(t, server)
	wants(t, 0, []string{`tenants/a: 1 shards, \d+ segments with [1-9]`, `tenants/b: 1 shards, \d+ segments with [1-9]`, `tenants/b/archive: `}, "verify", folder)
	wants(t, 0, []string{`Tenant a: [1-9]\d* spans`, `Tenant b: [1-9]\d* spans`}, "analyze", folder)
	wants(t, 0, []string{`"tenant": "b"`}, "analyze", folder, "--output", "json")
}

// TestAFolderKeepsWhatCameBeforeTenants, and after them: nothing is mixed, and what is not
// served is said.
func TestAFolderKeepsWhatCameBeforeTenants(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	server := startServer(t, folder)
	if err := sendAs(t.Context(), dial(t, server.Storage), "", 1); err != nil {
		t.Fatal(err)
	}
	stopServer(t, server)

	server = startServer(t, folder, "--tenants", "a,b")
	for _, tenant := range []string{"a", "b"} {
		if names := namesAs(t, server.Storage, tenant); len(names) != 0 {
			t.Errorf("as %s: %v", tenant, names)
		}
		if err := sendAs(t.Context(), dial(t, server.OTLP), tenant, 1); err != nil {
			t.Error(err)
		}
	}
	if err := sendAs(t.Context(), dial(t, server.OTLP), "", 2); err == nil {
		t.Error("nobody's span is taken")
	}
	stopServer(t, server)
	if out := server.Output(); !strings.Contains(out, "NOT SERVED            1 spans that came before there were tenants") {
		t.Errorf("the start does not tell of the span from before:\n%s", out)
	}

	// Without tenants nobody writes here any more, and a reader is told what he does not see.
	wants(t, 1, []string{`holds the data of tenants \(a,b\)`, `--tenants a,b`}, "serve", "--data", folder, "--storage-port", "0", "--admin-port", "0", "--otlp-grpc-port", "0", "--archive-port", "0", "--query-port", "0")
	wants(t, 1, []string{`holds the data of tenants`}, "import", "--data", folder, os.DevNull)
	if r := wants(t, 0, []string{`shop of`}, "services", "--data", folder); !strings.Contains(r.err, "--tenant") || strings.Contains(r.out, "of a") {
		t.Errorf("%+v", r)
	}
	wants(t, 0, []string{`shop of a`}, "services", "--data", folder, "--tenant", "a")
	wants(t, 1, []string{`has no tenant c; it has: a,b`}, "services", "--data", folder, "--tenant", "c")

	server = startServer(t, folder, "--tenants", "b")
	wants(t, 1, []string{"PermissionDenied", "unknown tenant"}, "services", "--addr", server.Storage, "--tenant", "a")
	stopServer(t, server)
	if out := server.Output(); !strings.Contains(out, "--tenants leaves out: a;") {
		t.Errorf("the start does not tell of a:\n%s", out)
	}
	server = startServer(t, folder, "--tenants", "a")
	if names := namesAs(t, server.Storage, "a"); !maps.Equal(names, map[string]bool{"shop of a 1": true}) {
		t.Errorf("a has %v", names)
	}
	stopServer(t, server)

	// A tenant's folder is a data folder itself: taken out, it serves alone.
	alone := filepath.Join(t.TempDir(), "alone")
	if err := os.Rename(filepath.Join(folder, "tenants", "b"), alone); err != nil {
		t.Fatal(err)
	}
	stopServer(t, startServer(t, alone))
	wants(t, 0, []string{`shop of b`}, "services", "--data", alone)
}

// recorded writes a file of requests, as an import takes it.
func recorded(t *testing.T, tenant string, requests int) string {
	t.Helper()
	var records []byte
	for n := range requests {
		request, err := proto.Marshal(ofTenant(tenant, n))
		if err != nil {
			t.Fatal(err)
		}
		records = append(binary.AppendUvarint(records, uint64(len(request))), request...)
	}
	name := filepath.Join(t.TempDir(), "one.otlp.zst")
	if err := os.WriteFile(name, codec.AppendZstd(nil, records), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestAnImportIsOfATenant, with a ledger for each: what one has imported the other has not.
func TestAnImportIsOfATenant(t *testing.T) {
	folder, file := filepath.Join(t.TempDir(), "data"), recorded(t, "a", 3)
	wants(t, 0, []string{"3 requests imported, "}, "import", "--data", folder, "--tenant", "a", file)
	wants(t, 0, []string{"imported before, 3 requests"}, "import", "--data", folder, "--tenant", "a", file)
	server := startServer(t, folder, "--tenants", "a,b")
	to := []string{"import", "--addr", server.Storage, "--admin", server.Admin, file}
	wants(t, 0, []string{"imported before, 3 requests"}, append(to, "--tenant", "a")...)
	if names := namesAs(t, server.Storage, "b"); len(names) != 0 {
		t.Errorf("b has %v", names)
	}
	wants(t, 0, []string{"3 requests imported, "}, append(to, "--tenant", "b")...)
	wants(t, 0, []string{"imported before, 3 requests"}, append(to, "--tenant", "b")...)
	wants(t, 1, []string{"name yours with --tenant NAME"}, to...)
	wants(t, 1, []string{"unknown tenant"}, append(to, "--tenant", "c")...)
	if names := namesAs(t, server.Storage, "b"); len(names) != 3 {
		t.Errorf("b has %v", names)
	}
	stopServer(t, server)
}

// TestCommandsAskAsATenant, a server and a folder.
func TestCommandsAskAsATenant(t *testing.T) {
	folder := t.TempDir()
	server := startServer(t, folder, "--tenants", "a,b", "--tenant-header", "X-Scope-OrgID")
	for _, tenant := range []string{"a", "b"} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-scope-orgid", tenant)
		for n := range 3 {
			if _, err := collector.NewTraceServiceClient(dial(t, server.Storage)).Export(ctx, ofTenant(tenant, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	asks := [][]string{{"find"}, {"trace", fmt.Sprintf("%x", fmt.Sprintf("trace %010d", 1))}, {"services"}, {"graph"}, {"attributes"}, {"attributes", "service.name"}, {"red"}}
	for _, ask := range asks {
		addressed := append(slices.Clone(ask), "--addr", server.Storage, "--admin", server.Admin)
		if ask[0] != "attributes" && ask[0] != "red" && ask[0] != "graph" {
			addressed = append(slices.Clone(ask), "--addr", server.Storage)
			wants(t, 1, []string{"name yours with --tenant NAME", "Unauthenticated"}, addressed...)
		} else {
			wants(t, 1, []string{`missing tenant`}, addressed...)
		}
		wants(t, 0, nil, append(addressed, "--tenant", "a", "--tenant-header", "x-scope-orgid")...)
	}
	code, metrics := get(t, server.AdminURL()+"/metrics")
	for _, line := range []string{`stoa_tenant_rows{store="spans",tenant="a"} 3`, `stoa_tenant_rows{store="archive",tenant="b"} 0`, `stoa_tenant_segment_bytes{store="spans",tenant="b"} 0`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("metrics, %d: no line %s", code, line)
		}
	}
	if err := server.Ask(t.Context(), "/flush"); err != nil {
		t.Fatal(err)
	}
	if _, metrics := get(t, server.AdminURL()+"/metrics"); strings.Contains(metrics, `stoa_tenant_segment_bytes{store="spans",tenant="b"} 0`) {
		t.Error("flush left a tenant out")
	}
	for _, path := range []string{"/compact", "/settle"} {
		if err := server.Ask(t.Context(), path); err != nil {
			t.Fatal(err)
		}
	}
	stopServer(t, server)
	for _, ask := range asks {
		wants(t, 0, nil, append(slices.Clone(ask), "--data", folder, "--tenant", "b")...)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// TestWrongTenantsExitWith2 before anything is opened.
func TestWrongTenantsExitWith2(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprintf("t%d", i)
	}
	for text, names := range map[string]string{
		"want 1 to 64 characters": "", "a dot in front": "a,.b", "want letters": "a/b", "a stands twice": "a,b,a", "differ in case only": "a,A", "65 names, at most 64": strings.Join(many, ","),
	} {
		wants(t, 2, []string{text}, "serve", "--data", folder, "--tenants", names)
	}
	wants(t, 2, []string{"--tenant-header"}, "serve", "--data", folder, "--tenant-header", "grpc-x")
	wants(t, 2, []string{"--tenant: tenant"}, "find", "--tenant", "")
	wants(t, 2, []string{"--tenant: tenant"}, "find", "--tenant", "../a")
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder: %v", err)
	}
}

// TestWhatLiesAmongTenantsFolders: what an early kill leaves is no tenant, what is somebody else's is
// refused and left as it is.
func TestWhatLiesAmongTenantsFolders(t *testing.T) {
	folder := t.TempDir()
	stopServer(t, startServer(t, folder))
	inside := filepath.Join(folder, "tenants")
	for _, name := range []string{"early", ".hidden", "foreign"} {
		if err := os.MkdirAll(filepath.Join(inside, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"early/lock", ".hidden/notes", "file"} {
		if err := os.WriteFile(filepath.Join(inside, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := wants(t, 0, []string{"no damage"}, "verify", folder); strings.Contains(r.out, "early") {
		t.Errorf("verify: %s", r.out)
	}
	stopServer(t, startServer(t, folder)) // no tenant's data is there yet

	notes := filepath.Join(inside, "foreign", "notes")
	if err := os.WriteFile(notes, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	wants(t, 1, []string{"tenant foreign: data folder .*not a Stoa data folder"}, append(serveOn(folder), "--tenants", "early,foreign")...)
	if b, err := os.ReadFile(notes); string(b) != "mine" || err != nil {
		t.Errorf("the notes: %q, %v", b, err)
	}
	wants(t, 1, []string{"foreign: this is not a Stoa data folder"}, "verify", folder)
	for _, name := range []string{"foreign", "early"} { // the start had made early's before it came to the other
		if err := os.RemoveAll(filepath.Join(inside, name)); err != nil {
			t.Fatal(err)
		}
	}
	server := startServer(t, folder, "--tenants", "early", "--shards", "2")
	wants(t, 1, []string{"is in use"}, "services", "--data", folder, "--tenant", "early")
	wants(t, 1, []string{"is in use"}, "services", "--data", filepath.Join(inside, "early"))
	stopServer(t, server)
	wants(t, 1, []string{"tenant early: data folder .*has 2 shards, 3 were asked for"}, append(serveOn(folder), "--tenants", "early", "--shards", "3")...)
}
