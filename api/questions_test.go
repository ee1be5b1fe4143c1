package api_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// inFlight counts as Questions do.
type inFlight struct{ now, begun atomic.Int64 }

func (f *inFlight) Begin() { f.now.Add(1); f.begun.Add(1) }
func (f *inFlight) End()   { f.now.Add(-1) }

// Each question is told of while it is served, over both versions of the storage API and over HTTP,
// a tenant's too, whether it is answered, fails, panics or is given up. Writes, the admin port and
// what is refused are none.
func TestQuestionsAreToldOfWhileTheyAreServed(t *testing.T) {
	var told inFlight
	var during int64
	look := func() { during = told.now.Load() }
	store := &scripted{
		find: func(ctx context.Context, q span.Query) ([]span.Found, error) {
			look()
			if q.Service == "panic" {
				panic("as asked")
			}
			return nil, ctx.Err()
		},
		write:   func(context.Context, []byte) (otlp.Counts, error) { look(); return otlp.Counts{}, nil },
		operate: func(context.Context) error { look(); return nil },
	}
	query := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { look() })
	acme := api.Tenant{Name: "acme", Store: store, Query: query}
	plain := start(t, store, api.Options{Questions: &told, Query: query})
	tenants := start(t, &scripted{}, api.Options{Questions: &told, Tenants: api.Tenants{List: []api.Tenant{acme}}})
	second := func(ctx context.Context, server *running, service string) codes.Code {
		_, err := server.FindTraceIDs(ctx, span.Query{Service: service, Limit: 1})
		return status.Code(err)
	}
	overHTTP := func(url string, tenant ...string) codes.Code {
		return map[int]codes.Code{200: codes.OK, 401: codes.Unauthenticated}[askedOverHTTP(t, http.MethodGet, url, tenant...)]
	}
	for _, c := range []struct {
		name string
		ask  func() codes.Code
		code codes.Code
		want int64 // in flight while it is served
	}{
		{"version 2", func() codes.Code { return second(t.Context(), plain, "shop") }, codes.OK, 1},
		{"a panic", func() codes.Code { return second(t.Context(), plain, "panic") }, codes.Internal, 1},
		{"version 1", func() codes.Code {
			_, err := storagev1.NewSpanReaderPluginClient(plain.connection).FindTraceIDs(t.Context(), &storagev1.FindTraceIDsRequest{Query: &storagev1.TraceQueryParameters{ServiceName: "shop", NumTraces: 1}})
			return status.Code(err)
		}, codes.OK, 1},
		{"a tenant's", func() codes.Code { return second(as(t.Context(), "acme"), tenants, "shop") }, codes.OK, 1},
		{"HTTP", func() codes.Code { return overHTTP(plain.query + "/any") }, codes.OK, 1},
		{"a tenant's over HTTP", func() codes.Code { return overHTTP(tenants.query+"/any", "acme") }, codes.OK, 1},
		{"nobody's", func() codes.Code { return second(t.Context(), tenants, "shop") }, codes.Unauthenticated, -1},
		{"nobody's over HTTP", func() codes.Code { return overHTTP(tenants.query + "/any") }, codes.Unauthenticated, -1},
		{"a write", func() codes.Code {
			_, err := plain.Export(t.Context(), enginetest.Numbered(1))
			return status.Code(err)
		}, codes.OK, 0},
		{"the operator", func() codes.Code {
			return map[int]codes.Code{200: codes.OK}[askedOverHTTP(t, http.MethodPost, plain.admin+"/flush")]
		}, codes.OK, 0},
	} {
		during = -1
		before := told.begun.Load()
		if code := c.ask(); code != c.code {
			t.Errorf("%s: %v, want %v", c.name, code, c.code)
		}
		if during != c.want {
			t.Errorf("%s: %d in flight while it was served, want %d", c.name, during, c.want)
		}
		if got := told.begun.Load() - before; got > 0 != (c.want > 0) { // more than one where the machine is slow
			t.Errorf("%s: told of %d", c.name, got)
		}
		eventually(t, c.name, func() bool { return told.now.Load() == 0 })
	}
}

// A question that is not sent yet is in flight no more after a while, and is again once it comes.
func TestAQuestionWhosePeerIsSlowIsNotInFlight(t *testing.T) {
	var told inFlight
	asked, goOn := make(chan int64), make(chan struct{})
	store := &scripted{find: func(context.Context, span.Query) ([]span.Found, error) {
		asked <- told.now.Load()
		<-goOn
		return nil, nil
	}}
	server := start(t, store, api.Options{Questions: &told})
	stream, err := server.connection.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, storagev2.TraceReader_FindTraceIDs_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it does not come", func() bool { return told.begun.Load() == 1 && told.now.Load() == 0 })
	if err := stream.SendMsg(&storagev2.FindTraceIDsRequest{Query: &storagev2.TraceQueryParameters{ServiceName: "shop", SearchDepth: 1}}); err != nil {
		t.Fatal(err)
	}
	if now := <-asked; now != 1 {
		t.Errorf("%d in flight while it is answered", now)
	}
	close(goOn)
	eventually(t, "it is answered", func() bool { return told.now.Load() == 0 })
}

// A question that is refused for want of room is none; one that is given up is in flight until then.
func TestQuestionsRefusedAndGivenUp(t *testing.T) {
	var told inFlight
	store := &scripted{find: func(ctx context.Context, _ span.Query) ([]span.Found, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	server := start(t, store, api.Options{Questions: &told, QueriesMax: 1})
	ask := func(ctx context.Context) codes.Code {
		_, err := server.FindTraceIDs(ctx, span.Query{Service: "shop", Limit: 1})
		return status.Code(err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	gone := make(chan codes.Code)
	go func() { gone <- ask(ctx) }()
	eventually(t, "one waits", func() bool { return told.now.Load() == 1 })
	if code := ask(t.Context()); code != codes.Unavailable {
		t.Errorf("one too many: %v", code)
	}
	if got := told.now.Load(); got != 1 {
		t.Errorf("%d questions in flight, one was refused", got)
	}
	giveUp()
	if code := <-gone; code != codes.Canceled {
		t.Errorf("given up: %v", code)
	}
	eventually(t, "the one that was given up", func() bool { return told.now.Load() == 0 })
}

// askedOverHTTP gives the status of an answer; the call is a tenant's where one is named.
func askedOverHTTP(t *testing.T, method, url string, tenant ...string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tenant {
		request.Header.Set(api.TenantHeader, name)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close() // nothing of it is read
	return answer.StatusCode
}

// eventually waits until that holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 5000 {
		if holds() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("%s: never", what)
}
