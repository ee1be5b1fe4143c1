package bench_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/engine/span"
)

// There is no Tempo here: its answers are shaped by its documentation, "Tempo HTTP API",
// sections Query, Search, Search tag values and Search tag values V2.

// tempoTrace is a trace of a search's answer; other fields stand beside those that are read.
func tempoTrace(id string, start uint64, durationMS int) string {
	return fmt.Sprintf(`{"traceID":%q,"rootServiceName":"shop","rootTraceName":"work","startTimeUnixNano":"%d","durationMs":%d,`+
		`"spanSets":[{"spans":[{"spanID":"563d623c76514f8e","startTimeUnixNano":"%d","durationNanos":"446979497",`+
		`"attributes":[{"key":"status","value":{"stringValue":"error"}}]}],"matched":1}]}`, id, start, durationMS, start)
}

func tempoFound(traces ...string) answered {
	return answered{http.StatusOK, "application/json", `{"traces":[` + strings.Join(traces, ",") + `],"metrics":{"totalBlocks":13,"inspectedBytes":"3811736"}}`}
}

// The two traces of smallWeb as a search tells them. Zeros in front of an id are left out.
var (
	tempoOne = tempoTrace("1010101010101010101010101010101", begin+second+1_234_567, 3001)
	tempoTwo = tempoTrace("2020202020202020202020202020202", begin+2*second+1_234_568, 3001)
)

// Paths of the searches of webClasses.
func tempoSearch(q string, start, end int) string {
	return "/api/search?" + url.Values{"q": {q}, "limit": {"20"}, "start": {fmt.Sprint(start)}, "end": {fmt.Sprint(end)}}.Encode()
}

const tempoQuery = `{ resource.service.name = "till" && name = "work" && duration >= 1001us && duration <= 10000000us`

var (
	tempoWide   = tempoSearch(tempoQuery+" }", 1767225600, 1767225700)
	tempoNarrow = tempoSearch(tempoQuery+" }", 1767225603, 1767225700)
	tempoTagged = tempoSearch(tempoQuery+` && (.order = "2" || .order = 2) }`, 1767225600, 1767225700)
)

// tempoAnswers are those to the questions of webClasses.
func tempoAnswers(t testing.TB) answers {
	t.Helper()
	const window = "end=1767225607&start=1767225600"
	a := answers{
		"/api/echo": {http.StatusOK, "text/plain", "echo"},
		"/api/search/tag/service.name/values?" + window: {http.StatusOK, "application/json", `{"tagValues":["till","bank","shop"],"metrics":{"inspectedBytes":"431380"}}`},
		tempoWide:   tempoFound(tempoTwo, tempoOne),
		tempoNarrow: tempoFound(tempoTwo),
		tempoTagged: tempoFound(tempoTwo),
		"/api/traces/03030303030303030303030303030303": {http.StatusNotFound, "text/plain", ""},
	}
	for _, service := range []string{"shop", "till", "bank"} {
		q := url.QueryEscape(fmt.Sprintf("{ resource.service.name = %q }", service))
		a["/api/v2/search/tag/name/values?end=1767225607&q="+q+"&start=1767225600"] = answered{
			http.StatusOK, "application/json", `{"tagValues":[{"type":"string","value":"work"}],"metrics":{"inspectedBytes":"502756"}}`,
		}
	}
	for trace := 1; trace <= 2; trace++ { // batches, field 1, are what TracesData calls resource spans
		data := smallWeb()
		for _, rs := range data.ResourceSpans {
			scope := rs.ScopeSpans[0]
			scope.Spans = slices.DeleteFunc(scope.Spans, func(s *tracev1.Span) bool { return int(s.TraceId[0]) != trace })
		}
		a["/api/traces/"+span.TraceID(traceOf(trace)).String()] = answered{http.StatusOK, "application/protobuf", string(encoded(t, data))}
	}
	return a
}

// TestTempoIsReadAsDocumented: answers shaped by the documentation are right, and wrong where
// one span, or one summary, is another.
func TestTempoIsReadAsDocumented(t *testing.T) {
	api := bench.TempoHTTP
	address := tempoAnswers(t).serve(t)
	for what, c := range changes {
		data := smallWeb()
		c.change(data)
		want := slices.DeleteFunc(slices.Clone(c.wrong), func(class string) bool {
			// A summary tells when its trace began and ended.
			return class == "graph" || class == "operations" || class == "find" && !slices.Contains([]string{"a span less", "a microsecond late", "a nanosecond late"}, what)
		})
		got := wrongOf(t, api, address, truthOver(t, api, data))
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q are wrong, not %q", what, got, want)
		}
	}
	truth := truthOver(t, api, smallWeb())
	for what, c := range map[string]struct {
		path  string
		told  answered
		right bool
	}{
		"the other order":          {tempoWide, tempoFound(tempoOne, tempoTwo), true},
		"one that was under way":   {tempoNarrow, tempoFound(tempoOne, tempoTwo), true},
		"a rounded duration":       {tempoWide, tempoFound(tempoTrace("1010101010101010101010101010101", begin+second+1_234_567, 3002), tempoTwo), true},
		"one is missing":           {tempoWide, tempoFound(tempoOne), false},
		"one began before the end": {tempoNarrow, tempoFound(tempoOne), false},
		"none":                     {tempoWide, tempoFound(), false},
		"one comes twice":          {tempoWide, tempoFound(tempoOne, tempoTwo, tempoOne), false},
		"one does not match":       {tempoTagged, tempoFound(tempoOne, tempoTwo), false},
		"another id":               {tempoWide, tempoFound(tempoOne, tempoTwo, tempoTrace("303", begin, 1)), false},
		"another start":            {tempoWide, tempoFound(tempoTrace("1010101010101010101010101010101", begin+second+1_234_568, 3001), tempoTwo), false},
		"another duration":         {tempoWide, tempoFound(tempoTrace("1010101010101010101010101010101", begin+second+1_234_567, 3003), tempoTwo), false},
		"a trace of another span":  {"/api/traces/02020202020202020202020202020202", tempoAnswers(t)["/api/traces/01010101010101010101010101010101"], false},
		"a service less":           {"/api/search/tag/service.name/values?end=1767225607&start=1767225600", answered{http.StatusOK, "application/json", `{"tagValues":["till","bank"]}`}, false},
	} {
		a := tempoAnswers(t)
		a[c.path] = c.told
		if wrong := wrongOf(t, api, a.serve(t), truth); (len(wrong) == 0) != c.right {
			t.Errorf("%s: %q are wrong", what, wrong)
		}
	}
}

// TestSearchesAreSpelledInTraceQL as its documentation has it.
func TestSearchesAreSpelledInTraceQL(t *testing.T) {
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Query().Get("q")
		_, _ = w.Write([]byte("{}")) // whoever asked is still there
	}))
	defer server.Close()
	c, err := bench.TempoHTTP.Dial(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // nothing is in flight any more
	for want, q := range map[string]span.Query{
		`{ resource.service.name = "a" }`:                         {Service: "a"},
		`{ name = "GET \"/\"" }`:                                  {Name: `GET "/"`},
		`{ duration >= 1500us }`:                                  {DurationMin: 1_500_000},
		`{ status = error }`:                                      {Tags: []span.Tag{{Key: "error", Value: "true"}}},
		`{ .app.order.id = "o-1" }`:                               {Tags: []span.Tag{{Key: "app.order.id", Value: "o-1"}}},
		`{ (.http.status = "500" || .http.status = 500) }`:        {Tags: []span.Tag{{Key: "http.status", Value: "500"}}},
		`{ ."a key" = "v" }`:                                      {Tags: []span.Tag{{Key: "a key", Value: "v"}}},
		`{ resource.service.name = "a" && .b = "c" && .d = "e" }`: {Service: "a", Tags: []span.Tag{{Key: "b", Value: "c"}, {Key: "d", Value: "e"}}},
	} {
		if _, err := c.Summaries(t.Context(), q); err != nil || asked != want {
			t.Errorf("%+v is %q, not %q, %v", q, asked, want, err)
		}
	}
}
