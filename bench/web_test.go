package bench_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/engine/span"
)

var record = flag.Bool("record", false, "ask the real Jaegers again for testdata/answers")

// answers are what a server said, by the path and parameters that were asked for.
type answers map[string]answered

type answered struct {
	Status int    `json:"status"`
	Form   string `json:"form"` // Content-Type
	Body   string `json:"body"`
}

// serve answers as recorded, 500 where nothing is: a client that asks otherwise than it did
// fails.
func (a answers) serve(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told, ok := a[r.URL.RequestURI()]
		if !ok {
			http.Error(w, "nobody asked for "+r.URL.RequestURI(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", told.Form)
		w.WriteHeader(told.Status)
		_, _ = io.WriteString(w, told.Body) // a client that is gone has its own error
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// recorder stands before a server and writes down what is asked and answered.
func recorder(t testing.TB, server string) (address string, all func() answers) {
	t.Helper()
	var mu sync.Mutex
	recorded := answers{}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := http.Get("http://" + server + r.URL.RequestURI())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close() // read to its end
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		mu.Lock()
		recorded[r.URL.RequestURI()] = answered{answer.StatusCode, answer.Header.Get("Content-Type"), string(body)}
		mu.Unlock()
		w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
		w.WriteHeader(answer.StatusCode)
		_, _ = w.Write(body) // a client that is gone has its own error
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL, func() answers { mu.Lock(); defer mu.Unlock(); return recorded }
}

// webRecordings are one of each real Jaeger and API.
var webRecordings = map[string]struct {
	api   bench.API
	start func(testing.TB) peer
}{
	"jaeger-2.13.0-http":    {bench.JaegerHTTP, startJaeger2Memory},
	"jaeger-2.13.0-http-v3": {bench.JaegerHTTP3, startJaeger2Memory},
	"jaeger-1.76.0-http":    {bench.JaegerHTTP, startJaeger1Memory},
}

func answersFile(name string) string { return filepath.Join("testdata", "answers", name+".json") }

func recordedAnswers(t testing.TB, name string) answers {
	t.Helper()
	b, err := os.ReadFile(answersFile(name))
	if err != nil {
		t.Fatal(err)
	}
	var a answers
	if err := json.Unmarshal(b, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// smallWeb are the test's own two traces with times that no API but OTLP can tell, and a
// parent that a link names too. Jaeger's collector does not skip groups: there are none.
func smallWeb() *tracev1.TracesData {
	data := small()
	data.ProtoReflect().SetUnknown(nil)
	for _, rs := range data.ResourceSpans {
		rs.ProtoReflect().SetUnknown(nil)
		rs.ScopeSpans[0].ProtoReflect().SetUnknown(nil)
	}
	for i, s := range spansIn(data) {
		s.ProtoReflect().SetUnknown(nil)
		s.Links[0].ProtoReflect().SetUnknown(nil)
		s.Events, s.Attributes = nil, s.Attributes[1:] // which nobody reads
		s.StartTimeUnixNano += 1_234_567 + uint64(i)
		s.EndTimeUnixNano += 2_345_678
	}
	child := spansIn(data)[2]
	child.Links = append(child.Links, &tracev1.Span_Link{TraceId: child.TraceId, SpanId: child.ParentSpanId})
	return data
}

// webClasses are one class of each kind that the API can be asked.
func webClasses(t testing.TB, api bench.API, truth *bench.Truth) []bench.Class {
	t.Helper()
	ids := []span.TraceID{span.TraceID(traceOf(1)), span.TraceID(traceOf(2)), span.TraceID(traceOf(3))}
	q := span.Query{
		Service: "till", Name: "work", StartMin: begin, StartMax: begin + 100*second, DurationMin: 1_001_000, DurationMax: 10 * second, Limit: 20,
	}
	queries := []span.Query{q, q}
	queries[1].StartMin = begin + 3*second
	if api != bench.JaegerHTTP3 { // 2.13.0 heeds no attributes there
		queries = append(queries, q)
		queries[2].Tags = []span.Tag{{Key: "order", Value: "2"}}
	}
	get, err1 := bench.TruthGet("get", truth, ids)
	find := bench.TruthFindAny
	if api == bench.TempoHTTP {
		find = bench.TruthSummariesAny
	}
	search, err2 := find("find", truth, queries)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	classes := []bench.Class{get, search, bench.TruthServices("services", truth)}
	if api != bench.TempoHTTP {
		classes = append(classes, bench.TruthOperations("operations", truth))
	}
	if api != bench.JaegerHTTP3 {
		classes = append(classes, bench.TruthOperationNames("operation-names", truth))
	}
	if api == bench.JaegerHTTP {
		classes = append(classes, bench.TruthGraph("graph", truth))
	}
	return classes
}

// truthOver is the truth that answers of an API are compared with.
func truthOver(t testing.TB, api bench.API, data *tracev1.TracesData) *bench.Truth {
	t.Helper()
	truth, err := bench.NewTruth(handTags)
	if err != nil {
		t.Fatal(err)
	}
	truth.Over(api)
	if err := truth.Add(encoded(t, data)); err != nil {
		t.Fatal(err)
	}
	return truth
}

// wrongOf asks each class as often as it has questions and tells which got a wrong answer.
func wrongOf(t testing.TB, api bench.API, address string, truth *bench.Truth) (wrong []string) {
	t.Helper()
	for _, class := range webClasses(t, api, truth) {
		measured, err := bench.Measuring{API: api, Address: address, Clients: 1, Questions: class.Questions}.Class(t.Context(), class)
		if err != nil {
			t.Fatalf("%s: %v", class.Name, err)
		}
		if measured.Wrong > 0 {
			wrong = append(wrong, class.Name)
		}
	}
	return wrong
}

// changes are other spans than were sent, and the classes that such an answer is wrong for.
var changes = map[string]struct {
	change func(*tracev1.TracesData)
	wrong  []string
}{
	"as sent":            {func(*tracev1.TracesData) {}, nil},
	"another name":       {func(d *tracev1.TracesData) { spansIn(d)[4].Name = "rest" }, []string{"find", "get", "operation-names", "operations"}},
	"another parent":     {func(d *tracev1.TracesData) { spansIn(d)[3].ParentSpanId = spanOf(99) }, []string{"find", "get", "graph"}},
	"no parent":          {func(d *tracev1.TracesData) { spansIn(d)[2].ParentSpanId = nil }, []string{"find", "get", "graph"}},
	"another span id":    {func(d *tracev1.TracesData) { spansIn(d)[5].SpanId = spanOf(98) }, []string{"find", "get"}},
	"a nanosecond late":  {func(d *tracev1.TracesData) { spansIn(d)[1].StartTimeUnixNano++ }, []string{"find", "get"}},
	"a microsecond late": {func(d *tracev1.TracesData) { spansIn(d)[1].StartTimeUnixNano += 1_000 }, []string{"find", "get"}},
	"a microsecond more": {func(d *tracev1.TracesData) { spansIn(d)[1].EndTimeUnixNano += 1_000 }, []string{"find", "get"}},
	"a span less": {func(d *tracev1.TracesData) {
		scope := d.ResourceSpans[0].ScopeSpans[0]
		scope.Spans = scope.Spans[:1]
	}, []string{"find", "get", "graph"}},
	"another service": {func(d *tracev1.TracesData) {
		d.ResourceSpans[2].Resource.Attributes[0].Value = d.ResourceSpans[0].Resource.Attributes[0].Value
	}, []string{"graph", "services"}},
}

// TestClientsReadWhatRealJaegersAnswered: recorded answers of each real Jaeger are right where
// the truth is that of what was sent, and wrong where one span is another. The client asks what
// it asked when they were recorded (-record, where `make peers` has built Jaegers).
func TestClientsReadWhatRealJaegersAnswered(t *testing.T) {
	for name, r := range webRecordings {
		t.Run(name, func(t *testing.T) {
			if *record {
				recordAnswers(t, name, r.api, r.start)
			}
			address := recordedAnswers(t, name).serve(t)
			if r.api == bench.JaegerHTTP3 {
				tagged := span.Query{Service: "till", Tags: handTags, StartMax: begin + 100*second}
				class, err := bench.TruthFindAny("tagged", truthOver(t, r.api, smallWeb()), []span.Query{tagged})
				if err != nil {
					t.Fatal(err)
				}
				_, err = bench.Measuring{API: r.api, Address: address, Clients: 1, Questions: 1}.Class(t.Context(), class)
				if !errors.Is(err, bench.ErrNotServed) {
					t.Errorf("attributes that it takes no heed of: %v", err)
				}
			}
			for what, c := range changes {
				data := smallWeb()
				c.change(data)
				got := wrongOf(t, r.api, address, truthOver(t, r.api, data))
				want := slices.DeleteFunc(slices.Clone(c.wrong), func(class string) bool {
					return r.api == bench.JaegerHTTP3 && (class == "graph" || class == "operation-names")
				})
				if r.api == bench.JaegerHTTP && what == "a nanosecond late" {
					want = nil // it tells microseconds
				}
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("%s: %q are wrong, not %q", what, got, want)
				}
			}
		})
	}
}

// TestAnswersByHand: what no recording holds. Absent data is no trace, an error is told, and
// of several references the one that says CHILD_OF names the parent.
func TestAnswersByHand(t *testing.T) {
	one := `{"data":[{"traceID":"1","spans":[{"traceID":"1","spanID":"2","operationName":"a","startTime":3,"duration":4,"references":[%s]}]}]}`
	child, follows := `{"refType":"CHILD_OF","traceID":"1","spanID":"5"}`, `{"refType":"FOLLOWS_FROM","traceID":"1","spanID":"6"}`
	elsewhere := `{"refType":"CHILD_OF","traceID":"9","spanID":"7"}`
	sum := func(references ...string) uint64 {
		traces, err := bench.AppendJaegerJSON(nil, fmt.Appendf(nil, one, strings.Join(references, ",")))
		if err != nil || len(traces) != 1 || traces[0].Spans != 1 || traces[0].ID != (span.TraceID{15: 1}) {
			t.Fatalf("%v, %v", traces, err)
		}
		return traces[0].Sum
	}
	if want := sum(child); sum(follows, child) != want || sum(elsewhere, child, follows) != want || sum(follows) == want || sum(elsewhere) != sum() || sum() == want {
		t.Error("another parent than the one that is a span's child")
	}
	for _, c := range []struct {
		api     bench.API
		body    string
		refused bool
	}{
		{bench.JaegerHTTP, `{"data":null,"errors":[{"code":404,"msg":"trace not found"}]}`, false},
		{bench.JaegerHTTP, `{"data":[],"errors":null}`, false},
		{bench.JaegerHTTP, `{"data":null,"errors":[{"code":500,"msg":"broken"}]}`, true},
		{bench.JaegerHTTP, `{"data":[{"traceID":"x","spans":[]}]}`, true},
		{bench.JaegerHTTP, fmt.Sprintf(one, `{"refType":"CHILD_OF","traceID":"1","spanID":"11112222333344445"}`), true},
		{bench.JaegerHTTP3, `{"error":{"httpCode":500,"message":"broken"}}`, true},
		{bench.JaegerHTTP3, `{"result":{}}{"result":{"resourceSpans":[]}}`, false},
		{bench.JaegerHTTP3, `{"result":{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"1","spanId":"zz"}]}]}]}}`, true},
	} {
		if traces, err := readers[c.api](nil, []byte(c.body)); (err != nil) != c.refused || len(traces) > 0 {
			t.Errorf("%s: %v, %v", c.body, traces, err)
		}
	}
}

func recordAnswers(t *testing.T, name string, api bench.API, start func(testing.TB) peer) {
	t.Helper()
	p := start(t)
	requests := [][]byte{encoded(t, smallWeb())}
	if _, err := (bench.Loading{Target: p.otlp, Connections: 1}).Send(t.Context(), bench.Held(requests)); err != nil {
		t.Fatal(err)
	}
	p.waitQuiet(t)
	address, all := recorder(t, p.query)
	wrongOf(t, api, address, truthOver(t, api, smallWeb()))
	b, err := json.MarshalIndent(all(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(answersFile(name), append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// readers are how the answers of an API become traces.
var readers = map[bench.API]func([]bench.Trace, []byte) ([]bench.Trace, error){
	bench.JaegerHTTP: bench.AppendJaegerJSON, bench.JaegerHTTP3: bench.AppendOTLPJSON,
}

// TestACutAnswerIsNoAnswer, wherever it is cut.
func TestACutAnswerIsNoAnswer(t *testing.T) {
	for name, r := range webRecordings {
		cuts := 0
		for path, told := range recordedAnswers(t, name) {
			if !strings.Contains(path, "/traces") || told.Status != http.StatusOK {
				continue
			}
			body := strings.TrimSpace(told.Body)
			if traces, err := readers[r.api](nil, []byte(body)); err != nil || len(traces) == 0 {
				t.Fatalf("%s: %d traces, %v", path, len(traces), err)
			}
			for cut := range len(body) - 1 {
				if cut == 0 && r.api == bench.JaegerHTTP3 {
					continue // a stream of no messages
				}
				if traces, err := readers[r.api](nil, []byte(body[:cut])); err == nil {
					t.Fatalf("%s, cut at %d: %d traces", path, cut, len(traces))
				}
				cuts++
			}
		}
		if cuts < 1_000 {
			t.Errorf("%s: %d cuts", name, cuts)
		}
	}
}

// FuzzAnswers: no bytes that a server sends end the reader of them.
func FuzzAnswers(f *testing.F) {
	for name := range webRecordings {
		for _, told := range recordedAnswers(f, name) {
			f.Add([]byte(told.Body))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for api, read := range readers {
			traces, err := read(nil, body)
			if err == nil && len(traces) > len(body) {
				t.Errorf("%s: %d traces of %d bytes", api, len(traces), len(body))
			}
		}
	})
}

// TestAServerOfAnotherAPIIsToldAtOnce: a page, a refusal, nobody, or an address that is none.
func TestAServerOfAnotherAPIIsToldAtOnce(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html>")) // whoever asked is still there
	}))
	defer page.Close()
	nothing := httptest.NewServer(http.NotFoundHandler())
	defer nothing.Close()
	for _, api := range bench.APIs()[1:] {
		for _, address := range []string{page.URL, nothing.URL, "127.0.0.1:1", "nowhere", "ftp://127.0.0.1:1", "http://127.0.0.1:1?a=b"} {
			if c, err := api.Dial(t.Context(), address); err == nil {
				t.Errorf("%s at %s: no error, %v", api, address, c.Close())
			} else if errors.Is(err, bench.ErrNotServed) {
				t.Errorf("%s at %s: would be left out, not told: %v", api, address, err)
			}
		}
	}
	if _, err := bench.API("thrift").Dial(t.Context(), nothing.URL); err == nil {
		t.Error("an API that there is none of")
	}
}

// TestCallsThatAServerDoesNotServeAreLeftOut, however it says so; any other trouble ends the
// questions.
func TestCallsThatAServerDoesNotServeAreLeftOut(t *testing.T) {
	const path = "/api/operations?service=till"
	for what, c := range map[string]struct {
		told    answered
		leftOut bool
	}{
		"not found":        {answered{http.StatusNotFound, "text/plain", "404 page not found"}, true},
		"status 501":       {answered{http.StatusNotImplemented, "text/plain", ""}, true},
		"no such method":   {answered{http.StatusMethodNotAllowed, "text/plain", ""}, true},
		"unsupported path": {answered{http.StatusBadRequest, "text/plain", `unsupported path requested: "/api/operations"`}, true},
		"a page":           {answered{http.StatusOK, "text/html; charset=utf-8", "<!doctype html>"}, true},
		"another refusal":  {answered{http.StatusBadRequest, "text/plain", "no such service"}, false},
		"trouble":          {answered{http.StatusInternalServerError, "application/json", `{"data":null}`}, false},
		"no JSON":          {answered{http.StatusOK, "application/json", `{"data":`}, false},
		"no kind":          {answered{http.StatusOK, "application/json", `{"data":[{"name":"a","spanKind":"wild"}]}`}, false},
	} {
		a := recordedAnswers(t, "jaeger-2.13.0-http")
		a[path] = c.told
		connection, err := bench.JaegerHTTP.Dial(t.Context(), a.serve(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = connection.Operations(t.Context(), "till"); err == nil || errors.Is(err, bench.ErrNotServed) != c.leftOut {
			t.Errorf("%s: %v", what, err)
		}
		if err := connection.Close(); err != nil {
			t.Error(err)
		}
	}
}
