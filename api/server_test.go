package api_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// scripted is a Store and an Operator that does what a test says; what it does not say
// is answered with nothing.
type scripted struct {
	write       func(ctx context.Context, request []byte) (otlp.Counts, error)
	find        func(ctx context.Context, q span.Query) ([]span.Found, error)
	get         func(ctx context.Context, id span.TraceID, yield func(span.Chunk) error) error
	summaries   func(ctx context.Context, q span.Query) ([]span.Summary, error)
	summariesOf func(ctx context.Context, found []span.Found) ([]span.Summary, error)
	findSpans   func(ctx context.Context, q span.SpanQuery, yield func(f span.FoundSpan) error) (bool, error)
	services    []string
	operations  []span.Operation
	edges       []span.Edge
	failure     error // of services, operations, edges
	operate     func(ctx context.Context) error
	ready       error

	mu         sync.Mutex
	edgeRanges [][2]uint64
	service    string
}

func (s *scripted) Write(ctx context.Context, request []byte) (otlp.Counts, error) {
	if s.write == nil {
		_, counts, err := otlp.Walk(request)
		return counts, err
	}
	return s.write(ctx, request)
}

func (s *scripted) Find(ctx context.Context, q span.Query) ([]span.Found, error) {
	if s.find == nil {
		return nil, nil
	}
	return s.find(ctx, q)
}

func (s *scripted) Get(ctx context.Context, id span.TraceID, yield func(span.Chunk) error) error {
	if s.get == nil {
		return nil
	}
	return s.get(ctx, id, yield)
}

func (s *scripted) Summaries(ctx context.Context, q span.Query) ([]span.Summary, error) {
	if s.summaries == nil {
		return nil, nil
	}
	return s.summaries(ctx, q)
}

func (s *scripted) SummariesOf(ctx context.Context, found []span.Found) ([]span.Summary, error) {
	if s.summariesOf == nil {
		return nil, nil
	}
	return s.summariesOf(ctx, found)
}

func (s *scripted) FindSpans(ctx context.Context, q span.SpanQuery, yield func(f span.FoundSpan) error) (bool, error) {
	if s.findSpans == nil {
		return false, nil
	}
	return s.findSpans(ctx, q, yield)
}

func (s *scripted) Services(context.Context) ([]string, error) { return s.services, s.failure }

func (s *scripted) Operations(_ context.Context, service string) ([]span.Operation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.service = service
	return s.operations, s.failure
}

func (s *scripted) Edges(_ context.Context, startMin, startMax uint64) ([]span.Edge, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.edgeRanges = append(s.edgeRanges, [2]uint64{startMin, startMax})
	return s.edges, s.failure
}

func (s *scripted) Flush(ctx context.Context) error  { return s.Compact(ctx) }
func (s *scripted) Settle(ctx context.Context) error { return s.Compact(ctx) }
func (s *scripted) Ready() error                     { return s.ready }

func (s *scripted) Compact(ctx context.Context) error {
	if s.operate == nil {
		return nil
	}
	return s.operate(ctx)
}

// running is a server on real sockets, with a plain connection and a client to it.
type running struct {
	*api.Server
	storage, otlp, admin, archive, query string // addresses
	connection                           *grpc.ClientConn
	*client.Client
}

// served is what a server stands on.
type served interface {
	api.Store
	api.Operator
}

func start(t testing.TB, store served, options api.Options) *running {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	listeners := api.Listeners{Storage: listen(), OTLP: listen(), Admin: listen(), Archive: listen(), Query: listen()}
	r := &running{
		Server:  api.NewServer(store, store, options),
		storage: listeners.Storage.Addr().String(),
		otlp:    listeners.OTLP.Addr().String(),
		admin:   "http://" + listeners.Admin.Addr().String(),
		archive: listeners.Archive.Addr().String(),
		query:   "http://" + listeners.Query.Addr().String(),
	}
	served := make(chan error, 1)
	go func() { served <- r.Serve(listeners) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		r.Stop(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	r.connection = connect(t, r.storage)
	var err error
	if r.Client, err = client.Dial(t.Context(), r.storage); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// connect makes a connection with gRPC's defaults, as every Jaeger has: it receives at
// most 4 MiB a message.
func connect(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	connection, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

// id gives a trace id with number n in it.
func id(n int) span.TraceID {
	return span.TraceID{0: 0xa0, 12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}
}
