package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/engine/span"
)

// API is how a server is asked.
type API string

// The query APIs that there are clients for.
const (
	StorageGRPC API = "jaeger-grpc"    // Jaeger's storage API v2 over gRPC
	JaegerHTTP  API = "jaeger-http"    // Jaeger's first HTTP API: /api/traces, JSON of its own
	JaegerHTTP3 API = "jaeger-http-v3" // Jaeger's API v3 over HTTP: /api/v3/traces, OTLP as JSON
	TempoHTTP   API = "tempo"          // Tempo's HTTP API: TraceQL, summaries, traces as protobuf
)

// APIs gives the names of all, the one that is asked by default first.
func APIs() []API { return []API{StorageGRPC, JaegerHTTP, JaegerHTTP3, TempoHTTP} }

// Asker answers questions over one connection, one at a time. Spans come as the bytes that
// were received, valid until yield returns: what reads them is the Truth's, after the clock.
// A call that the server or its API does not serve ends with ErrNotServed.
type Asker interface {
	Services(ctx context.Context) ([]string, error)
	Operations(ctx context.Context, service string) ([]span.Operation, error)
	Dependencies(ctx context.Context, startMin, startMax uint64) ([]span.Edge, error)
	GetTraces(ctx context.Context, ids []span.TraceID, yield func(chunk []byte) error) error
	FindTraces(ctx context.Context, q span.Query, yield func(chunk []byte) error) error
	Summaries(ctx context.Context, q span.Query) ([]span.Summary, error)
}

// NameAsker is an Asker that tells names alone, of services and of their spans, as they
// were seen within a time.
type NameAsker interface {
	ServiceNames(ctx context.Context, startMin, startMax uint64) ([]string, error)
	OperationNames(ctx context.Context, service string, startMin, startMax uint64) ([]string, error)
}

// ErrNotServed marks a question that a server does not take. It is no wrong answer.
var ErrNotServed = errors.New("the server does not serve this call")

// Connection is an Asker and the connection beneath it.
type Connection struct {
	Asker
	close func() error
}

// Close ends the connection; nothing may be in flight.
func (c Connection) Close() error { return c.close() }

// Dial connects to a server: "host:port", and over HTTP a URL too, below which the API's own
// paths begin. It is an error where nobody there answers as the API says.
func (a API) Dial(ctx context.Context, address string) (Connection, error) {
	if a == StorageGRPC || a == "" {
		c, err := client.Dial(ctx, address)
		if err != nil {
			return Connection{}, err
		}
		return Connection{c, c.Close}, nil
	}
	w, err := newWeb(address)
	if err != nil {
		return Connection{}, err
	}
	var asker Asker
	switch a {
	case JaegerHTTP:
		asker = &jaegerWeb{w}
		_, err = asker.Services(ctx)
	case JaegerHTTP3:
		v3 := &jaegerWeb3{web: w}
		asker, err = v3, v3.begin(ctx)
	case TempoHTTP:
		asker = &tempoWeb{w}
		_, err = w.catalog(ctx, "/api/echo", nil)
	default:
		return Connection{}, fmt.Errorf("no API %q: there are %q", a, APIs())
	}
	if err != nil {
		_ = w.close() // the first error is the one to tell
		// Not %w: a server that is none of the API's is no class that is left out.
		return Connection{}, fmt.Errorf("no server of %s at %s: %v", a, w.root, err)
	}
	return Connection{asker, w.close}, nil
}

// DefaultAddress is where a server listens that was told nothing else.
func (a API) DefaultAddress() string {
	switch a {
	case JaegerHTTP, JaegerHTTP3:
		return "127.0.0.1:16686"
	case TempoHTTP:
		return "127.0.0.1:3200"
	}
	return api.StorageAddress
}

// notAsked says why an API cannot be asked a class, "" where it can.
func (a API) notAsked(class string) string {
	switch {
	case a == TempoHTTP && class == "graph":
		return "the API has no service graph; Tempo makes metrics of it for another store"
	case a == TempoHTTP && class == "operations":
		return "the API tells names without kinds, which operation-names asks for"
	case a == JaegerHTTP3 && class == "graph":
		return "the gateway of API v3 has no service graph"
	}
	return ""
}

// asksNames tells whether names without kinds are asked for in a call of their own.
func (a API) asksNames() bool { return a == JaegerHTTP || a == TempoHTTP }

// searchForm is one way to ask a search; suffix is what its classes end with.
type searchForm struct {
	suffix string
	class  func(name string, truth *Truth, queries []span.Query) (Class, error)
}

// searches gives the ways in which an API is asked searches, and a note of what it is not
// asked.
func (a API) searches(anyOrder bool) (forms []searchForm, note string) {
	const summaries = "-summaries"
	whole := searchForm{"", TruthFind}
	if anyOrder {
		whole.class = TruthFindAny
	}
	switch {
	case a == TempoHTTP:
		return []searchForm{{summaries, TruthSummariesAny}}, notAsked("searches for whole traces", "a search of this API answers summaries, and those are asked for")
	case a == JaegerHTTP || a == JaegerHTTP3:
		return []searchForm{whole}, notAsked("searches for summaries", "the API has none")
	case anyOrder:
		return []searchForm{whole}, ""
	}
	return []searchForm{whole, {summaries, TruthSummaries}}, ""
}

// reading is how an API tells spans.
type reading struct {
	// read adds the traces of an answer to those before it.
	read func(traces []Trace, answer []byte) ([]Trace, error)
	// unit, in nanoseconds, is what times and durations are told in whole numbers of; what is
	// less is cut off.
	unit uint64
}

func (a API) reading() reading {
	switch a {
	case JaegerHTTP:
		return reading{AppendJaegerJSON, microsecond}
	case JaegerHTTP3:
		return reading{AppendOTLPJSON, 1}
	}
	return reading{AppendTraces, 1}
}

// Units of what APIs can be asked, in nanoseconds.
const (
	microsecond = 1_000
	second      = 1_000_000_000
)

// asked makes of a search the least wide one that the API can be asked: it finds what the
// first does, and may find more.
func (a API) asked(q span.Query) span.Query {
	unit := uint64(1)
	switch a {
	case JaegerHTTP:
		unit = microsecond
	case TempoHTTP:
		unit = second
	}
	q.StartMin -= q.StartMin % unit
	q.StartMax = (q.StartMax + unit - 1) / unit * unit
	if a == JaegerHTTP || a == TempoHTTP {
		q.DurationMin -= q.DurationMin % microsecond
		q.DurationMax = (q.DurationMax + microsecond - 1) / microsecond * microsecond
	}
	return q
}
