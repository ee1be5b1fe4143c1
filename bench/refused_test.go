package bench_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/engine/span"
)

// tracedAnswers are those of a server of each API over HTTP, and how it tells no trace.
func tracedAnswers(t testing.TB) map[bench.API]answers {
	t.Helper()
	return map[bench.API]answers{
		bench.JaegerHTTP: recordedAnswers(t, "jaeger-2.13.0-http"), bench.JaegerHTTP3: recordedAnswers(t, "jaeger-2.13.0-http-v3"),
		bench.TempoHTTP: tempoAnswers(t),
	}
}

// ofTrace are the paths of one trace among the answers.
func ofTrace(a answers, trace int) (paths []string) {
	for path := range a {
		if strings.Contains(path, "/traces/"+span.TraceID(traceOf(trace)).String()) {
			paths = append(paths, path)
		}
	}
	return paths
}

// TestNoTraceIsRightOnlyWhereTracesAreServed: a server that answers 404 to every trace does
// not know the path, so nothing is asked of it; one that lost a trace gives a wrong answer.
func TestNoTraceIsRightOnlyWhereTracesAreServed(t *testing.T) {
	ids := []span.TraceID{span.TraceID(traceOf(1)), span.TraceID(traceOf(2))}
	absent := []span.TraceID{span.TraceID(traceOf(3))}
	noPath := answered{http.StatusNotFound, "text/plain", "404 page not found"}
	for api, all := range tracedAnswers(t) {
		truth := truthOver(t, api, smallWeb())
		for what, c := range map[string]struct {
			lost   []int
			served bool
			wrong  int // of get
		}{
			"as recorded": {nil, true, 0}, "the first is lost": {[]int{1}, true, 1}, "the last is lost": {[]int{2}, true, 1},
			"no traces are served": {[]int{1, 2, 3}, false, 0},
		} {
			a := maps.Clone(all)
			for _, trace := range c.lost {
				paths := ofTrace(a, trace)
				if len(paths) == 0 {
					t.Fatalf("%s: no recording of trace %d", api, trace)
				}
				for _, path := range paths {
					a[path] = noPath
				}
			}
			address := a.serve(t)
			for name, asked := range map[string][]span.TraceID{"get": ids, "get-absent": absent} {
				class, err := bench.TruthGet(name, truth, asked)
				if err != nil {
					t.Fatal(err)
				}
				for clients := 1; clients <= 2; clients++ {
					measuring := bench.Measuring{API: api, Address: address, Clients: clients, Questions: 2}
					measured, err := measuring.Class(t.Context(), class)
					if (err == nil) != c.served || err != nil && !errors.Is(err, bench.ErrNotServed) {
						t.Errorf("%s, %s, %s: %v", api, what, name, err)
					}
					if want := c.wrong * len(asked) / 2; measured.Wrong != want {
						t.Errorf("%s, %s, %s: %d wrong, not %d: %v", api, what, name, measured.Wrong, want, measured.FirstWrong)
					}
				}
			}
		}
	}
}

// TestALaterRefusalIsAWrongAnswer: a class is left out where its first question is refused.
// After that a refusal is a wrong answer, beside those that were counted before it.
func TestALaterRefusalIsAWrongAnswer(t *testing.T) {
	recorded := recordedAnswers(t, "jaeger-2.13.0-http")
	truth := truthOver(t, bench.JaegerHTTP, smallWeb())
	operations := bench.TruthOperations("operations", truth)
	for at, service := range truth.Services() {
		a := maps.Clone(recorded)
		a["/api/operations?service="+service] = answered{http.StatusNotFound, "text/plain", "404 page not found"}
		checkRefused(t, a.serve(t), operations, at)
	}
	for name, refusal := range map[string]error{
		"no such method": status.Error(codes.Unimplemented, "unknown method"), "too long": status.Error(codes.ResourceExhausted, "limit exceeded"),
		"not served": fmt.Errorf("%w: any more", bench.ErrNotServed),
	} {
		for at := range 3 {
			class := bench.Class{Name: name, Questions: 3, Ask: func(_ context.Context, _ bench.Asker, i int) (int, error) {
				if i == at {
					return 0, refusal
				}
				return 1, nil
			}}
			checkRefused(t, recorded.serve(t), class, at)
		}
	}
}

// checkRefused asks the three questions of a class of which one is refused.
func checkRefused(t *testing.T, address string, class bench.Class, refused int) {
	t.Helper()
	for clients := 1; clients <= 3; clients++ {
		if clients > 1 && class.Check == nil {
			continue // a class of the test's own is asked by one
		}
		measuring := bench.Measuring{API: bench.JaegerHTTP, Address: address, Clients: clients, Questions: 3}
		measured, err := measuring.Class(t.Context(), class)
		switch {
		case refused == 0:
			if code := status.Code(err); !errors.Is(err, bench.ErrNotServed) && code != codes.Unimplemented && code != codes.ResourceExhausted {
				t.Errorf("%s, the first of %d clients is refused: %v", class.Name, clients, err)
			}
		case err != nil || measured.Wrong != 1 || measured.Asked != 3 || measured.FirstWrong == nil:
			t.Errorf("%s, number %d of %d clients is refused: %+v, %v", class.Name, refused, clients, measured, err)
		}
	}
	if refused != 0 {
		return
	}
	mix := bench.Mix{Classes: []bench.Class{class}}
	records, err := mix.Ask(t.Context(), bench.MixRun{Measuring: bench.Measuring{API: bench.JaegerHTTP, Address: address, Clients: 1, Questions: 3}})
	if err != nil || len(records) > 0 || len(mix.Notes) != 1 || !strings.HasPrefix(mix.Notes[0], class.Name+": not asked: "+bench.ErrNotServed.Error()) ||
		strings.Contains(mix.Notes[0], "limit exceeded") != (class.Name == "too long") {
		t.Errorf("%s: %v, %q, %v", class.Name, records, mix.Notes, err)
	}
}

// TestAttributesAreHeededWhereNoneMatch: an answer without a trace to a search for an
// attribute that no span has is that of a server which looks at attributes.
func TestAttributesAreHeededWhereNoneMatch(t *testing.T) {
	for body, want := range map[string]struct{ served, asked bool }{
		`{"result":{"resourceSpans":[]}}`: {true, true}, `{"result":{}}`: {true, true}, ``: {true, true}, `{"result":`: {false, false},
		`{"result":{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"1","spanId":"2"}]}]}]}}`: {true, false},
	} {
		a := recordedAnswers(t, "jaeger-2.13.0-http-v3")
		first := 0
		for path := range a {
			if strings.Contains(path, "stoa.bench.absent") {
				a[path] = answered{http.StatusOK, "application/json", body}
				first++
			}
		}
		if first == 0 { // one for each service that came first in a recording
			t.Fatalf("%d recorded searches for an attribute that is absent", first)
		}
		address := a.serve(t)
		c, err := bench.JaegerHTTP3.Dial(t.Context(), address)
		if (err == nil) != want.served {
			t.Errorf("%q: %v", body, err)
		}
		if err != nil {
			continue
		}
		err = c.FindTraces(t.Context(), span.Query{Service: "till", Tags: handTags, StartMax: begin}, func([]byte) error { return nil })
		if errors.Is(err, bench.ErrNotServed) == want.asked {
			t.Errorf("%q: a search for an attribute: %v", body, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
