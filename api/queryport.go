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
//  1. refuse it where it has a body
//  2. find its tenant's handler, where there are tenants, or refuse it
//  3. admit it
//  4. watch its time
//  5. serve it, catching a panic
//  6. count it
func (s *Server) queryHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		counted := &countedWriter{ResponseWriter: w, code: http.StatusOK}
		// Who serves the request may fill in which of its patterns it met: the name to count it
		// under, which has none of the request's own words.
		ctx, cancel := context.WithTimeoutCause(r.Context(), s.options.WorkTimeMax, fmt.Errorf("%w: more than %v (WorkTimeMax)", errWorkTime, s.options.WorkTimeMax))
		defer cancel()
		r = r.WithContext(ctx)
		defer func() { s.stats.countCall(queryMethod(r), queryCode(counted.code, ctx.Err())) }()
		defer s.recoverQuery(counted, r, queryhttp.Refuse)
		if r.ContentLength != 0 { // -1 where the body is chunked
			s.refuseBody(counted, queryhttp.Refuse)
			return
		}
		handler, err := s.queryOf(r)
		switch {
		case errors.Is(err, errNoTenant):
			queryhttp.Refuse(counted, http.StatusUnauthorized, err.Error())
		case err != nil:
			queryhttp.Refuse(counted, http.StatusForbidden, err.Error())
		case handler == nil:
			queryhttp.Refuse(counted, http.StatusNotFound, "not served")
		case !s.admitQuestion():
			s.refuseBusy(counted, s.options.QueriesMax, queryhttp.Refuse)
		default:
			counted.question = s.process
			defer func() {
				counted.question = nil
				s.questionEnded()
			}()
			handler.ServeHTTP(counted, r)
		}
	})
}

// refusal answers a request that is not served, in the words of its port.
type refusal func(w http.ResponseWriter, code int, reason string)

// refuseBusy answers a request beside as many as may run, and says when to come again.
func (s *Server) refuseBusy(w http.ResponseWriter, most int64, refuse refusal) {
	delay := retryDelayMin + time.Duration(s.options.Random()*float64(retryDelaySpread))
	w.Header().Set("Retry-After", strconv.Itoa(int((delay+time.Second-1)/time.Second)))
	refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d queries run already", most))
}

// refuseBody answers a request that announces a body. Before it sends an answer that its buffer
// does not hold, net/http reads the body to its end: who announced one and does not send it would
// keep the query's place for ever. No query needs a body, so none gets so far; and what is read of
// this one behind the answer, so that the answer arrives, has its time.
func (s *Server) refuseBody(w http.ResponseWriter, refuse refusal) {
	w.Header().Set("Connection", "close")
	if err := http.NewResponseController(w).SetReadDeadline(s.options.Now().Add(s.options.PeerTimeMax)); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	refuse(w, http.StatusBadRequest, "a query has no body")
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

// recoverQuery is recoverCall for a request. An answer that has begun cannot become an error any
// more: its connection is cut, so that nobody takes it for whole.
func (s *Server) recoverQuery(w *countedWriter, r *http.Request, refuse refusal) {
	cause := recover()
	if cause == nil {
		return
	}
	s.stats.panics.Add(1)
	s.options.Log.Error("panic in a query", "path", r.URL.Path, "panic", cause, "stack", string(debug.Stack()))
	if w.hasBegun {
		w.code = http.StatusInternalServerError // as which it is counted
		if connection, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = connection.Close() // what was on its way is lost, as it should be
		}
		return
	}
	refuse(w, http.StatusInternalServerError, "internal error")
}

// countedWriter remembers the status, and whether any of the answer was written. As with call, nothing
// makes way for a question whose peer is slow to take what is written: Write and FlushError are what may
// wait for it.
type countedWriter struct {
	http.ResponseWriter
	code     int
	hasBegun bool
	question *process // which was told of the question in flight; nil where none is
}

func (w *countedWriter) WriteHeader(code int) {
	w.code, w.hasBegun = code, true
	w.ResponseWriter.WriteHeader(code)
}

func (w *countedWriter) Write(b []byte) (int, error) {
	w.hasBegun = true
	defer w.restsWhileSlow()()
	return w.ResponseWriter.Write(b)
}

// FlushError is what http.ResponseController flushes by.
func (w *countedWriter) FlushError() error {
	w.hasBegun = true
	defer w.restsWhileSlow()()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *countedWriter) restsWhileSlow() (goOn func()) {
	if w.question == nil {
		return func() {}
	}
	return w.question.restsWhileSlow()
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
