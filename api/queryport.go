package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/stoadb/stoa/api/queryhttp"
)

// queryHandler is the query port: Options.Query, or that of the tenant that the header names,
// under the limits of all reading calls. It is to HTTP what serveCall is to gRPC:
//  1. find its tenant's handler, where there are tenants, or refuse it
//  2. admit it
//  3. watch its time
//  4. serve it, catching a panic
//  5. count it
func (s *Server) queryHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		counted := &countedWriter{ResponseWriter: w, code: http.StatusOK}
		// Who serves the request may fill in which of its patterns it met: the name to count it
		// under, which has none of the request's own words.
		ctx, cancel := context.WithTimeoutCause(r.Context(), s.options.WorkTimeMax, fmt.Errorf("%w: more than %v (WorkTimeMax)", errWorkTime, s.options.WorkTimeMax))
		defer cancel()
		r = r.WithContext(ctx)
		defer func() { s.stats.countCall(queryMethod(r), queryCode(counted.code, ctx.Err())) }()
		defer s.recoverQuery(counted, r)
		handler, err := s.queryOf(r)
		switch {
		case errors.Is(err, errNoTenant):
			queryhttp.Refuse(counted, http.StatusUnauthorized, err.Error())
		case err != nil:
			queryhttp.Refuse(counted, http.StatusForbidden, err.Error())
		case handler == nil:
			queryhttp.Refuse(counted, http.StatusNotFound, "not served")
		case !s.queries.take(1):
			delay := retryDelayMin + time.Duration(s.options.Random()*float64(retryDelaySpread))
			counted.Header().Set("Retry-After", strconv.Itoa(int((delay+time.Second-1)/time.Second)))
			queryhttp.Refuse(counted, http.StatusServiceUnavailable, fmt.Sprintf("%d queries run already", s.options.QueriesMax))
		default:
			defer s.queries.give(1)
			handler.ServeHTTP(counted, r)
		}
	})
}

// queryOf finds what serves a request, by the header alone: this port is not the operator's.
func (s *Server) queryOf(r *http.Request) (http.Handler, error) {
	if s.tenants == nil {
		return s.options.Query, nil
	}
	side, err := s.tenantOf(r.Header.Values(s.options.Tenants.Header))
	if err != nil {
		return nil, err
	}
	return side.query, nil
}

// recoverQuery is recoverCall for a request.
func (s *Server) recoverQuery(w http.ResponseWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	s.stats.panics.Add(1)
	s.options.Log.Error("panic in a query", "path", r.URL.Path, "panic", cause, "stack", string(debug.Stack()))
	queryhttp.Refuse(w, http.StatusInternalServerError, "internal error")
}

// countedWriter remembers the status.
type countedWriter struct {
	http.ResponseWriter
	code int
}

func (w *countedWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets net/http find what the writer can do.
func (w *countedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// queryMethod names the request in Stats.
func queryMethod(r *http.Request) string {
	if r.Pattern == "" {
		return "HTTP refused"
	}
	return "HTTP " + r.Pattern
}

// queryCode says a status in the words of calls.
func queryCode(status int, ended error) codes.Code {
	switch {
	case errors.Is(ended, context.Canceled):
		return codes.Canceled
	case status < http.StatusBadRequest:
		return codes.OK
	}
	known := map[int]codes.Code{
		http.StatusBadRequest: codes.InvalidArgument, http.StatusUnauthorized: codes.Unauthenticated, http.StatusForbidden: codes.PermissionDenied,
		http.StatusNotFound: codes.NotFound, http.StatusServiceUnavailable: codes.Unavailable, http.StatusGatewayTimeout: codes.DeadlineExceeded,
	}
	if code, ok := known[status]; ok {
		return code
	}
	return codes.Internal
}
