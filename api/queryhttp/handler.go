package queryhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"time"

	"github.com/stoadb/stoa/engine/span"
)

// Options of a handler. A zero field takes its default.
type Options struct {
	Log *slog.Logger     // hears of failures of the store
	Now func() time.Time // the end of a range that has none
	// HideReasons keeps from the asker why the store is not available: a tenant must not learn
	// of others.
	HideReasons bool
}

// handler answers from one store.
type handler struct {
	store   Store
	options Options
}

// New makes a handler of
//
//	GET /api/services
//	GET /api/services/{service}/operations
//	GET /api/operations?service&spanKind
//	GET /api/dependencies?endTs&lookback&service
//	GET /api/metrics/calls, errors, latencies ?service&groupByOperation&endTs&lookback&step&ratePer&spanKind&quantile
//	GET /api/metrics/minstep
//	GET /api/deep-dependencies, /analytics/v1/dependencies ?service&operation&start&end
//
// Any other path is 404, in the same form as all errors, and so is one that is not clean.
func New(store Store, o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &handler{store: store, options: o}
	mux := http.NewServeMux()
	for pattern, answer := range map[string]func(r *http.Request) (any, error){
		"GET /api/services":                      h.services,
		"GET /api/services/{service}/operations": h.operationNames,
		"GET /api/operations":                    h.operations,
		"GET /api/dependencies":                  h.dependencies,
		"GET /api/metrics/calls":                 h.calls,
		"GET /api/metrics/errors":                h.errors,
		"GET /api/metrics/latencies":             h.latencies,
		"GET /api/metrics/minstep":               h.minStep,
		"GET /api/deep-dependencies":             h.paths,
		"GET /analytics/v1/dependencies":         h.paths,
		"/":                                      func(r *http.Request) (any, error) { return nil, notServed(r) },
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			values, err := url.ParseQuery(r.URL.RawQuery)
			if err != nil && pattern != "/" {
				h.fail(w, r, failure{http.StatusBadRequest, fmt.Errorf("unable to parse the query string: %w", err)})
				return
			}
			content, err := answer(r)
			if err != nil {
				h.fail(w, r, err)
				return
			}
			h.write(w, r, content, values.Get("prettyPrint"))
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isClean(r.URL.EscapedPath()) {
			h.fail(w, r, notServed(r))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// isClean reports whether a path is one that a ServeMux serves; others it would answer with a
// page that sends the asker elsewhere.
func isClean(escaped string) bool {
	clean := path.Clean("/" + escaped)
	return escaped == clean || clean != "/" && escaped == clean+"/"
}

func notServed(r *http.Request) error {
	return failure{http.StatusNotFound, fmt.Errorf("%s %s is not served here", r.Method, r.URL.Path)}
}

// listing is Jaeger's form of an answer, and of an error.
type listing struct {
	Data   any       `json:"data"`
	Total  int       `json:"total"`
	Limit  int       `json:"limit"`
	Offset int       `json:"offset"`
	Errors []problem `json:"errors"`
}

type problem struct {
	Code int    `json:"code"`
	Msg  string `json:"msg"`
}

// failure is an error with the status that it is answered with.
type failure struct {
	code int
	error
}

func (f failure) Unwrap() error { return f.error }

// fail answers an error. A client that has gone is not answered.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	code, reason := http.StatusInternalServerError, err.Error()
	known := failure{}
	switch {
	case errors.As(err, &known):
		code = known.code
	case errors.Is(err, span.ErrInvalid), errors.Is(err, span.ErrTooMuch):
		code = http.StatusBadRequest
	case errors.Is(err, span.ErrUnavailable):
		code = http.StatusServiceUnavailable
		if h.options.HideReasons {
			reason = "the store is not available now; the server's log says why"
		}
	case errors.Is(r.Context().Err(), context.Canceled):
		return
	case r.Context().Err() != nil:
		code, reason = http.StatusGatewayTimeout, context.Cause(r.Context()).Error()
	}
	if code >= http.StatusInternalServerError {
		h.options.Log.Error("query failed", "path", r.URL.Path, "error", err)
	}
	Refuse(w, code, reason)
}

// Refuse answers with Jaeger's form of an error. It serves whoever stands in front of the handler.
func Refuse(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// Where nobody is left to read it, nothing is lost; here and below.
	_ = json.NewEncoder(w).Encode(listing{Errors: []problem{{code, reason}}})
}

// write answers with JSON, indented where the parameter prettyPrint, whose text is pretty, asks for it.
func (h *handler) write(w http.ResponseWriter, r *http.Request, content any, pretty string) {
	w.Header().Set("Content-Type", "application/json")
	f, isFamily := content.(*family)
	switch {
	case pretty != "" && pretty != "false":
		plain, err := json.Marshal(content)
		var indented bytes.Buffer
		if err == nil {
			err = json.Indent(&indented, plain, "", "    ")
		}
		if err != nil {
			h.fail(w, r, err)
			return
		}
		_, _ = w.Write(indented.Bytes())
	case isFamily:
		_ = f.write(w)
	default:
		_ = json.NewEncoder(w).Encode(content)
	}
}
