package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/stoadb/stoa/engine/span"
)

// adminHandler is the operator's port:
//
//	GET  /health   the process answers
//	GET  /ready    200 where the store serves well, else 503 and why
//	GET  /metrics  Options.Metrics
//	any  /imports/ Options.Imports                                   or those of the
//	GET  /attributes, /attributes/KEY  Options.Attributes             tenant that is
//	GET  /rates    Options.Rates                                     named, where there are
//	GET  /edges    Options.Edges
//	GET  /debug/pprof/  Go's own profiles of the process: profile (processor time), heap, goroutine ...
//	POST /flush    write memtables to segments      {"done":"flush","seconds":1.5}
//	POST /compact  merge segments                   {"done":"compact","seconds":1.5}
//	POST /settle   flush, and merge by the policy   {"done":"settle","seconds":1.5}
//
// Failures are plain text. Of flush, compact and settle one runs at a time; a client that
// goes away stops its own.
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { answerText(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /ready", s.ready)
	if s.options.Metrics != nil {
		mux.Handle("GET /metrics", s.options.Metrics)
	}
	imports, attributes, rates, edges := s.options.Imports, s.options.Attributes, s.options.Rates, s.options.Edges
	if s.tenants != nil {
		imports = s.tenantHandler(func(t Tenant) http.Handler { return t.Imports })
		attributes = s.tenantHandler(func(t Tenant) http.Handler { return t.Attributes })
		rates = s.tenantHandler(func(t Tenant) http.Handler { return t.Rates })
		edges = s.tenantHandler(func(t Tenant) http.Handler { return t.Edges })
	}
	if imports != nil {
		mux.Handle("/imports/", s.bounded(imports))
	}
	if attributes != nil {
		mux.Handle("GET /attributes", s.asked(attributes))
		mux.Handle("GET /attributes/", s.asked(attributes))
	}
	if rates != nil {
		mux.Handle("GET /rates", s.asked(rates))
	}
	if edges != nil {
		mux.Handle("GET /edges", s.asked(edges))
	}
	mux.HandleFunc("GET /debug/pprof/", profiles(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/profile", profiles(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", profiles(pprof.Trace))
	mux.HandleFunc("POST /flush", s.operate("flush", s.operator.Flush))
	mux.HandleFunc("POST /compact", s.operate("compact", s.operator.Compact))
	mux.HandleFunc("POST /settle", s.operate("settle", s.operator.Settle))
	return s.guard(mux)
}

// guard catches panics, and keeps web pages out: a browser on this machine must not
// flush the store because some page told it to.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if cause := recover(); cause != nil {
				s.stats.panics.Add(1)
				s.options.Log.Error("panic in an admin request", "path", r.URL.Path, "panic", cause)
				answerText(w, http.StatusInternalServerError, "internal error")
			}
		}()
		if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Header.Get("Origin") != "" {
			answerText(w, http.StatusForbidden, "requests from web pages are not served")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// asked serves a question about data as the query port does, under the limits of all reading calls.
// Of their places, and of what the store reads with, such questions have half at most, so that
// they do not keep programs from asking:
//  1. refuse web pages, and requests with a body
//  2. admit it
//  3. watch its time, and that of who takes the answer
//  4. serve it, at leisure, catching a panic
//  5. count it
func (s *Server) asked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		counted := &countedWriter{ResponseWriter: w, code: http.StatusOK}
		limit := s.options.WorkTimeMax
		ctx, cancel := context.WithTimeoutCause(span.AtLeisure(r.Context()), limit, fmt.Errorf("%w: more than %v (WorkTimeMax)", errWorkTime, limit))
		defer cancel()
		defer func() { s.stats.countCall(queryMethod(r), queryCode(counted.code, ctx.Err())) }()
		defer s.recoverQuery(counted, r, answerText)
		switch {
		case isFromPage(r):
			answerText(counted, http.StatusForbidden, "requests from web pages are not served")
			return
		case r.ContentLength != 0: // -1 where the body is chunked
			s.refuseBody(counted, answerText)
			return
		case !s.adminQueries.take(1):
			s.refuseBusy(counted, s.adminQueries.limit, answerText)
			return
		}
		defer s.adminQueries.give(1)
		if !s.admitQuestion() {
			s.refuseBusy(counted, s.queries.limit, answerText)
			return
		}
		counted.question = s.process
		defer func() {
			counted.question = nil
			s.questionEnded()
		}()
		if err := http.NewResponseController(w).SetWriteDeadline(s.options.Now().Add(limit + s.options.PeerTimeMax)); err != nil {
			answerText(counted, http.StatusInternalServerError, err.Error())
			return
		}
		next.ServeHTTP(counted, r.WithContext(ctx))
	})
}

// isFromPage tells of requests that a browser makes because a page told it to. They would slow the
// process down although the page cannot read the answer.
func isFromPage(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return r.Header.Get("Origin") != "" || site != "" && site != "none" && site != "same-origin"
}

// profiles keeps web pages out, and bounds how long one is taken.
func profiles(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if isFromPage(r) {
			answerText(w, http.StatusForbidden, "requests from web pages are not served")
			return
		}
		if seconds, err := strconv.ParseFloat(r.FormValue("seconds"), 64); err == nil && seconds > profileSecondsMax {
			answerText(w, http.StatusBadRequest, fmt.Sprintf("seconds=%v: at most %d", seconds, profileSecondsMax))
			return
		}
		next(w, r)
	}
}

// bounded limits a request's body in size and in time.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(s.options.Now().Add(adminReadTimeMax)); err != nil {
			answerText(w, http.StatusInternalServerError, err.Error())
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, adminBodyBytesMax)
		next.ServeHTTP(w, r)
	})
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		answerText(w, http.StatusServiceUnavailable, "draining")
		return
	}
	if err := s.operator.Ready(); err != nil {
		answerText(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	answerText(w, http.StatusOK, "ready")
}

func (s *Server) operate(name string, run func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.compacting.TryLock() {
			answerText(w, http.StatusConflict, "a flush, a compaction or a settling is running already")
			return
		}
		defer s.compacting.Unlock()
		begin := s.options.Now()
		if err := run(r.Context()); err != nil {
			code := http.StatusInternalServerError
			if errors.Is(err, span.ErrUnavailable) {
				code = http.StatusServiceUnavailable
			}
			s.options.Log.Error("operation failed", "operation", name, "error", err)
			answerText(w, code, name+": "+err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		// The answer is lost where the client has gone; the work is done.
		_ = json.NewEncoder(w).Encode(struct {
			Done    string  `json:"done"`
			Seconds float64 `json:"seconds"`
		}{name, s.options.Now().Sub(begin).Round(time.Millisecond).Seconds()})
	}
}

func answerText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	// As above: nobody is left to tell.
	_, _ = w.Write([]byte(text + "\n"))
}
