package queryhttp

import (
	"context"

	"github.com/stoadb/stoa/engine/span"
)

// Store is what is asked. Every method may be called from any number of goroutines, returns
// promptly when ctx ends, and marks its errors with the kinds of engine/span.
type Store interface {
	// Services gives the distinct service names, sorted.
	Services(ctx context.Context) ([]string, error)
	// Operations gives the distinct (name, kind) of a service, sorted; every service for "".
	Operations(ctx context.Context, service string) ([]span.Operation, error)
	// Edges gives the calls whose callee starts in [startMin, startMax], unix nanoseconds, sorted
	// by parent then child; edges from a service to itself included.
	Edges(ctx context.Context, startMin, startMax uint64) ([]span.Edge, error)
	// Rates counts the distinct spans that are asked for, by operation and step. The rates belong
	// to the caller.
	Rates(ctx context.Context, q span.RateQuery) ([]*span.Rate, error)
	// Paths gathers the paths that are asked for, which belong to the caller.
	Paths(ctx context.Context, q span.PathQuery) (*span.Paths, error)
}
