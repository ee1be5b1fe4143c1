package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // writers may compress
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/api/wire"
)

// Where Stoa listens unless told otherwise; all of it on loopback only.
const (
	StorageAddress = "127.0.0.1:17271" // Jaeger's storage API and OTLP
	OTLPAddress    = "127.0.0.1:4317"  // OTLP alone, where programs expect it
	ArchiveAddress = "127.0.0.1:17272" // as StorageAddress, of the archive
	AdminAddress   = "127.0.0.1:17270" // metrics, readiness, flush, compact
	QueryAddress   = "127.0.0.1:16686" // services, metrics and graphs over HTTP, where Jaeger's page is
)

// Options of a Server. A zero field takes its default; see limits.go.
type Options struct {
	Archive Store // holds what was archived; nil: there is no archive

	// Tenants, where there are some, have all calls and all that the admin port answers about
	// data to themselves: the Server's own store, Archive and handlers then serve nobody.
	Tenants Tenants

	Log     *slog.Logger
	Metrics http.Handler // answers /metrics; nil: 404
	Imports http.Handler // answers /imports/, with small requests; nil: 404
	// Attributes answers GET /attributes and below, Rates GET /rates and Edges GET /edges, each under
	// the limits of questions; its requests' contexts are at leisure (span.AtLeisure). nil: 404.
	Attributes, Rates, Edges http.Handler
	// Query answers the query port, all of it; see package queryhttp. nil: 404.
	Query http.Handler

	// Questions, where set, is told of each question: the store, or what works beside it, may
	// make way. Its methods may be called from any goroutine.
	Questions Questions

	BytesInFlightMax int64         // requests received and not yet answered
	QueriesMax       int64         // reading calls at once
	PeerTimeMax      time.Duration // for a peer to send a request or take a message
	WorkTimeMax      time.Duration // for the store between two messages of an answer
	SelfCalls        bool          // GetDependencies also counts calls within a service

	Now    func() time.Time
	Random func() float64 // in [0, 1): spreads the retry delays
}

// Listeners are what a Server serves on; a nil one is not served.
type Listeners struct{ Storage, OTLP, Admin, Archive, Query net.Listener }

// Server answers for one Store, and for the archive beside it; or for those of tenants,
// each of which has a Server of its own behind the one that listens. Its methods may be
// called from any goroutine.
type Server struct {
	*process
	tenant          string // "" where tenancy is off
	store           Store
	implementations map[string]any     // what serves each service, by its full name
	storage         *grpc.Server       // all services; nil of a tenant
	archive         *Server            // of Options.Archive; it has no archive itself
	query           http.Handler       // of a tenant: answers the query port
	tenants         map[string]*Server // by name; nil where tenancy is off
}

// process is what the servers of archives and tenants share with the one beside them:
// limits bound all together.
type process struct {
	operator Operator
	options  Options

	ingest      *grpc.Server // OTLP only
	admin       *http.Server
	queryServer *http.Server
	health      *health.Server
	draining    atomic.Bool
	stopping    chan struct{} // closed when a stop begins

	writes, queries budget
	adminQueries    budget        // those of queries that the admin port asks
	ahead           chan struct{} // holds one for each trace read ahead
	stats           counters
	compacting      sync.Mutex // held while the operator's flush or compaction runs
	lastComplaint   atomic.Int64
}

// NewServer makes a server that is not listening yet.
func NewServer(store Store, operator Operator, o Options) *Server {
	s := &Server{process: &process{operator: operator, options: o.withDefaults(), health: health.NewServer(), stopping: make(chan struct{}),
		ahead: make(chan struct{}, readersAheadMax)}}
	s.writes.limit, s.queries.limit = s.options.BytesInFlightMax, s.options.QueriesMax
	s.adminQueries.limit = max(s.options.QueriesMax/2, 1)

	s.answerFor(store, o.Archive)
	s.addTenants()
	s.ingest = s.newGRPC()
	s.register(s.ingest, traceService())
	s.registerStorage()
	if s.archive != nil {
		s.archive.registerStorage()
	}
	for service := range s.storage.GetServiceInfo() {
		s.health.SetServingStatus(service, healthv1.HealthCheckResponse_SERVING)
	}
	// No ReadTimeout: when it passes, net/http ends the context of a request that is still
	// being served, and a compaction takes its time. See bounded for bodies.
	s.admin = &http.Server{
		Handler:           s.adminHandler(),
		ReadHeaderTimeout: adminReadTimeMax,
		IdleTimeout:       adminIdleTimeMax,
		MaxHeaderBytes:    headerBytesMax,
		ErrorLog:          slog.NewLogLogger(s.options.Log.Handler(), slog.LevelDebug),
	}
	s.queryServer = &http.Server{
		Handler:           s.queryHandler(),
		ReadHeaderTimeout: adminReadTimeMax,
		WriteTimeout:      s.options.WorkTimeMax + s.options.PeerTimeMax,
		IdleTimeout:       adminIdleTimeMax,
		MaxHeaderBytes:    headerBytesMax,
		ErrorLog:          s.admin.ErrorLog,
	}
	return s
}

// answerFor makes what answers for a store, and for the archive beside it where there is one.
func (s *Server) answerFor(store, archive Store) {
	s.store = store
	s.implementations = map[string]any{
		storagev2.TraceReader_ServiceDesc.ServiceName:      traceReader{server: s},
		storagev2.DependencyReader_ServiceDesc.ServiceName: dependencyReader{server: s},
		storagev2.Capabilities_ServiceDesc.ServiceName:     capabilities{},
		collectorv1.TraceService_ServiceDesc.ServiceName:   s,
	}
	if archive != nil {
		s.archive = &Server{process: s.process, tenant: s.tenant}
		s.archive.answerFor(archive, nil)
	}
	s.addVersion1()
}

// addTenants makes the servers of the tenants, which share nothing but the process.
func (s *Server) addTenants() {
	if len(s.options.Tenants.List) == 0 {
		return
	}
	s.tenants = map[string]*Server{}
	archives := map[string]*Server{}
	for _, t := range s.options.Tenants.List {
		side := &Server{process: s.process, tenant: t.Name, query: t.Query}
		side.answerFor(t.Store, t.Archive)
		s.tenants[t.Name] = side
		if side.archive != nil {
			archives[t.Name] = side.archive
		}
	}
	if s.archive == nil && len(archives) > 0 {
		s.archive = &Server{process: s.process}
	}
	if s.archive != nil {
		s.archive.tenants = archives
	}
}

// registerStorage makes the server of all services.
func (s *Server) registerStorage() {
	s.storage = s.newGRPC()
	services := []*grpc.ServiceDesc{
		asStreams(storagev2.TraceReader_ServiceDesc), asStreams(storagev2.DependencyReader_ServiceDesc), asStreams(storagev2.Capabilities_ServiceDesc),
		traceService(),
	}
	services = append(services, version1Services()...)
	if s.archive != nil {
		services = append(services, archiveServices()...)
	}
	s.register(s.storage, services...)
}

// register adds services of ours, and what every port serves. What implements ours is not
// told to grpc: serveCall finds it, for each call.
func (s *Server) register(g *grpc.Server, services ...*grpc.ServiceDesc) {
	for _, desc := range services {
		g.RegisterService(desc, nil)
	}
	healthv1.RegisterHealthServer(g, s.health)
	reflection.Register(g)
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.BytesInFlightMax == 0 {
		o.BytesInFlightMax = bytesInFlightMax
	}
	if o.QueriesMax == 0 {
		o.QueriesMax = queriesMax
	}
	if o.PeerTimeMax == 0 {
		o.PeerTimeMax = peerTimeMax
	}
	if o.Tenants.Header == "" {
		o.Tenants.Header = TenantHeader
	}
	if o.WorkTimeMax == 0 {
		o.WorkTimeMax = workTimeMax
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return o
}

func (s *Server) newGRPC() *grpc.Server {
	return grpc.NewServer(
		grpc.ForceServerCodecV2(wire.Codec{}),
		grpc.StreamInterceptor(s.serveCall),
		grpc.UnaryInterceptor(s.serveOther),
		grpc.MaxRecvMsgSize(smallBytesMax), // of what receive.go does not receive
		grpc.MaxConcurrentStreams(streamsMax),
		grpc.MaxHeaderListSize(headerBytesMax),
		grpc.ConnectionTimeout(connectTimeMax),
		grpc.SharedWriteBuffer(true),
		grpc.WriteBufferSize(writeBufferBytes),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingInterval, Timeout: pingTimeMax}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: clientPingInterval, PermitWithoutStream: true}),
	)
}

// Serve serves on all listeners, which it closes in the end. It returns nil after Stop,
// or the first listener's error, having stopped the others.
func (s *Server) Serve(l Listeners) error {
	var group sync.WaitGroup
	failed := make(chan error, 5)
	start := func(name string, listener net.Listener, serve func(net.Listener) error) {
		if listener == nil {
			return
		}
		group.Go(func() {
			err := serve(listener)
			if err == nil || errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, http.ErrServerClosed) {
				return
			}
			failed <- fmt.Errorf("%s on %s: %w", name, listener.Addr(), err)
			s.halt()
		})
	}
	start("storage", l.Storage, s.storage.Serve)
	start("otlp", l.OTLP, s.ingest.Serve)
	if s.archive != nil {
		start("archive", l.Archive, s.archive.storage.Serve)
	}
	start("admin", l.Admin, s.admin.Serve)
	start("query", l.Query, s.queryServer.Serve)
	group.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// Stop tells health checks and /ready that the server goes away, lets the running calls
// finish until ctx ends, and cuts off the rest.
func (s *Server) Stop(ctx context.Context) {
	if !s.draining.Swap(true) {
		close(s.stopping)
	}
	s.health.Shutdown()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		var group sync.WaitGroup
		for _, g := range s.grpcServers() {
			group.Go(g.GracefulStop)
		}
		group.Go(func() { _ = s.queryServer.Shutdown(ctx) }) // what ctx cuts off, halt does too
		group.Wait()
	}()
	select {
	case <-finished:
	case <-ctx.Done():
	}
	s.halt()
	<-finished
}

// halt stops serving at once.
func (s *Server) halt() {
	for _, g := range s.grpcServers() {
		g.Stop()
	}
	// Close only fails to close listeners that are closed already.
	_ = s.admin.Close()
	_ = s.queryServer.Close()
}

func (s *Server) grpcServers() []*grpc.Server {
	if s.archive == nil {
		return []*grpc.Server{s.ingest, s.storage}
	}
	return []*grpc.Server{s.ingest, s.storage, s.archive.storage}
}

// traceService describes OTLP's collector service by hand: the generated one would
// decode the request.
func traceService() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: collectorv1.TraceService_ServiceDesc.ServiceName,
		Metadata:    collectorv1.TraceService_ServiceDesc.Metadata,
		Streams: []grpc.StreamDesc{{
			StreamName:    "Export",
			ServerStreams: true,
			Handler:       onCall((*Server).export),
		}},
	}
}
