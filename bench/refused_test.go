package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/stoadb/stoa/api/pb/storagev2"
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

// TestWhatIsNotServedLaterIsAWrongAnswer: a class is left out where its first question is not
// served. After that it is a wrong answer, beside those that were counted before it.
func TestWhatIsNotServedLaterIsAWrongAnswer(t *testing.T) {
	recorded := recordedAnswers(t, "jaeger-2.13.0-http")
	truth := truthOver(t, bench.JaegerHTTP, smallWeb())
	operations := bench.TruthOperations("operations", truth)
	for at, service := range truth.Services() {
		a := maps.Clone(recorded)
		a["/api/operations?service="+service] = answered{http.StatusNotFound, "text/plain", "404 page not found"}
		checkNotServed(t, a.serve(t), operations, at)
	}
	for name, refusal := range map[string]error{
		"no such method": status.Error(codes.Unimplemented, "unknown method"), "not served": fmt.Errorf("%w: any more", bench.ErrNotServed),
	} {
		for at := range 3 {
			checkNotServed(t, recorded.serve(t), failingAt(name, at, refusal), at)
		}
	}
}

// failingAt is a class of three questions, of which one ends with an error.
func failingAt(name string, at int, err error) bench.Class {
	return bench.Class{Name: name, Questions: 3, Ask: func(_ context.Context, _ bench.Asker, i int) (int, error) {
		if i == at {
			return 0, err
		}
		return 1, nil
	}}
}

// checkNotServed asks the three questions of a class of which one is not served.
func checkNotServed(t *testing.T, address string, class bench.Class, refused int) {
	t.Helper()
	for clients := 1; clients <= 3; clients++ {
		if clients > 1 && class.Check == nil {
			continue // a class of the test's own is asked by one
		}
		measuring := bench.Measuring{API: bench.JaegerHTTP, Address: address, Clients: clients, Questions: 3}
		measured, err := measuring.Class(t.Context(), class)
		switch {
		case refused == 0:
			if !errors.Is(err, bench.ErrNotServed) && status.Code(err) != codes.Unimplemented {
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
	if err != nil || len(records) > 0 || len(mix.Notes) != 1 || !strings.HasPrefix(mix.Notes[0], class.Name+": not asked: ") {
		t.Errorf("%s: %v, %q, %v", class.Name, records, mix.Notes, err)
	}
}

// TestARefusalIsAWrongAnswerWhereverItComes, the first question included: the server takes such
// questions, and did not answer this one. The run goes on, and tells its words.
func TestARefusalIsAWrongAnswerWhereverItComes(t *testing.T) {
	address := recordedAnswers(t, "jaeger-2.13.0-http").serve(t)
	tooMuch := status.Error(codes.ResourceExhausted, "not now")
	for name, refusal := range map[string]error{
		"took too long": tooMuch, "with a delay": refused(t, codes.ResourceExhausted), "as the client tells it": fmt.Errorf("%w: %w", span.ErrTooMuch, tooMuch),
		"to come again": fmt.Errorf("%w: %w", span.ErrUnavailable, refused(t, codes.Unavailable)),
	} {
		for at := range 3 {
			class := failingAt(name, at, refusal)
			measuring := bench.Measuring{API: bench.JaegerHTTP, Address: address, Clients: 1, Questions: 3}
			measured, err := measuring.Class(t.Context(), class)
			if err != nil || measured.Wrong != 1 || measured.Asked != 3 || len(measured.Times) != 2 || measured.Answers != 2 {
				t.Errorf("%s, number %d: %+v, %v", name, at, measured, err)
				continue
			}
			if said := measured.FirstWrong.Error(); !strings.Contains(said, "not now") || !strings.Contains(said, fmt.Sprintf("%s, question %d", name, at)) {
				t.Errorf("%s, number %d: %s", name, at, said)
			}
			mix := bench.Mix{Classes: []bench.Class{class, failingAt("another", -1, nil)}}
			records, err := mix.Ask(t.Context(), bench.MixRun{Measuring: measuring})
			if err != nil || len(records) != 2 || len(mix.Notes) > 0 || records[0].Wrong != 1 || records[1].Wrong != 0 {
				t.Errorf("%s, number %d: %+v, %q, %v", name, at, records, mix.Notes, err)
			}
		}
	}
}

// TestAConnectionThatFailsEndsTheRun, at whichever question: nobody can tell what the rest took.
func TestAConnectionThatFailsEndsTheRun(t *testing.T) {
	address := recordedAnswers(t, "jaeger-2.13.0-http").serve(t)
	for name, failure := range map[string]error{
		"gone": status.Error(codes.Unavailable, "connection refused"), "no time": status.Error(codes.DeadlineExceeded, "too late"),
		"given up": status.Error(codes.Canceled, "canceled"), "given up here": context.Canceled, "wrong bytes": errors.New("no JSON"),
	} {
		for at := range 3 {
			mix := bench.Mix{Classes: []bench.Class{failingAt(name, at, failure)}}
			records, err := mix.Ask(t.Context(), bench.MixRun{Measuring: bench.Measuring{API: bench.JaegerHTTP, Address: address, Clients: 1, Questions: 3}})
			if !errors.Is(err, failure) || len(records) > 0 || len(mix.Notes) > 0 {
				t.Errorf("%s, number %d: %+v, %q, %v", name, at, records, mix.Notes, err)
			}
		}
	}
}

// servicesOf is a class that asks for services, any of which are right.
func servicesOf(name string) bench.Class {
	return bench.Class{Name: name, Questions: 3, Ask: func(ctx context.Context, c bench.Asker, _ int) (int, error) {
		services, err := c.Services(ctx)
		return len(services), err
	}}
}

// TestRefusalsOverHTTP are 429, and 503 with the word to come again; 503 alone may come from what
// stands before a server that is gone.
func TestRefusalsOverHTTP(t *testing.T) {
	for what, c := range map[string]struct {
		code  int
		after string
		wrong bool
	}{"429": {429, "", true}, "503, to come again": {503, "1", true}, "503": {503, "", false}, "500": {500, "1", false}} {
		calls := 0 // the first is of Dial
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if calls++; calls == 2 {
				if c.after != "" {
					w.Header().Set("Retry-After", c.after)
				}
				w.WriteHeader(c.code)
				_, _ = io.WriteString(w, `{"data":null,"errors":[{"code":1,"msg":"not now"}]}`) // a client that is gone has its own error
				return
			}
			_, _ = io.WriteString(w, `{"data":["till"]}`)
		}))
		defer server.Close()
		measured, err := bench.Measuring{API: bench.JaegerHTTP, Address: server.URL, Clients: 1, Questions: 3}.Class(t.Context(), servicesOf(what))
		switch {
		case !c.wrong:
			if err == nil {
				t.Errorf("%s: no error, %+v", what, measured)
			}
		case err != nil || measured.Wrong != 1 || len(measured.Times) != 2 || !strings.Contains(measured.FirstWrong.Error(), "not now"):
			t.Errorf("%s: %+v, %v", what, measured, err)
		}
	}
}

// TestRefusalsOverGRPC reach what asks with all that they say: of a server of Jaeger's storage API
// that refuses one question and answers the next.
func TestRefusalsOverGRPC(t *testing.T) {
	for what, refusal := range map[string]error{"exhausted": status.Error(codes.ResourceExhausted, "not now"), "unavailable": refused(t, codes.Unavailable)} {
		r := &reader{refusal: refusal}
		measured, err := bench.Measuring{Address: r.serve(t), Clients: 1, Questions: 3}.Class(t.Context(), servicesOf(what))
		if err != nil || measured.Wrong != 1 || len(measured.Times) != 2 || !strings.Contains(measured.FirstWrong.Error(), "not now") {
			t.Errorf("%s: %+v, %v", what, measured, err)
		}
	}
}

// reader is a server that refuses the first question for services.
type reader struct {
	storagev2.UnimplementedTraceReaderServer
	calls   atomic.Int64
	refusal error
}

func (r *reader) GetServices(context.Context, *storagev2.GetServicesRequest) (*storagev2.GetServicesResponse, error) {
	if r.calls.Add(1) == 1 {
		return nil, r.refusal
	}
	return &storagev2.GetServicesResponse{Services: []string{"till"}}, nil
}

func (r *reader) serve(t testing.TB) string {
	t.Helper()
	return served(t, func(server *grpc.Server) {
		storagev2.RegisterTraceReaderServer(server, r)
		healthv1.RegisterHealthServer(server, health.NewServer())
	})
}

// TestTimesAreOfRightAnswersAlone: wrong ones here are the fast ones.
func TestTimesAreOfRightAnswersAlone(t *testing.T) {
	address := recordedAnswers(t, "jaeger-2.13.0-http").serve(t)
	const slow = 5 * time.Millisecond
	half := bench.Class{
		Name: "half", Questions: 10,
		Ask: func(_ context.Context, _ bench.Asker, i int) (int, error) {
			if i%2 == 0 {
				time.Sleep(slow)
			}
			return 0, nil
		},
		Check: func(i int) (int, error) {
			if i%2 == 1 {
				return 7, errors.New("another")
			}
			return 3, nil
		},
	}
	none := bench.Class{Name: "none", Questions: 10, Ask: func(context.Context, bench.Asker, int) (int, error) { return 0, nil }}
	mix := bench.Mix{Classes: []bench.Class{half, none}}
	measuring := bench.Measuring{API: bench.JaegerHTTP, Address: address, Clients: 1, Questions: 10, Warm: 2}
	records, err := mix.Ask(t.Context(), bench.MixRun{Measuring: measuring})
	if err != nil || len(records) != 2 {
		t.Fatalf("%+v, %v", records, err)
	}
	if q := records[0]; q.Wrong != 6 || q.Asked != 12 || q.MS.P50 < 5 || q.ASecond > 1/slow.Seconds() || q.Answers != 3 || !q.Timed() {
		t.Errorf("half are wrong: %+v", q)
	}
	if q := records[1]; q.Wrong != 12 || q.Asked != 12 || q.MS != (bench.Spread{}) || q.ASecond != 0 || q.Timed() {
		t.Errorf("all are wrong: %+v", q)
	}
	if p50, p99 := records[1].Shown(); p50 != "-" || p99 != "-" {
		t.Errorf("all are wrong: %s, %s", p50, p99)
	}
	b, err := json.Marshal(records[1])
	if err != nil || strings.Contains(string(b), `"ms"`) || strings.Contains(string(b), `"a_second"`) {
		t.Errorf("%s, %v", b, err)
	}
	measuring.Time = time.Nanosecond // wrong answers are questions too: a class of them ends
	if measured, err := measuring.Class(t.Context(), none); err != nil || measured.Asked > 2+3 || measured.Asked < 3 {
		t.Errorf("out of time: %+v, %v", measured, err)
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
