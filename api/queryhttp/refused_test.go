package queryhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/api/queryhttp"
	"github.com/stoadb/stoa/engine/span"
)

// refusal is Jaeger's form of an error, each of its fields.
func refusal(code int, reason string) string {
	text, err := json.Marshal(reason)
	if err != nil {
		panic(fmt.Sprintf("a text of the test: %v", err))
	}
	return fmt.Sprintf(`{"data":null,"total":0,"limit":0,"offset":0,"errors":[{"code":%d,"msg":%s}]}`, code, text)
}

// TestBadParametersAreRefused in Jaeger's form, and where Jaeger refuses them too in its words.
func TestBadParametersAreRefused(t *testing.T) {
	w := newWorld(t, queryhttp.Options{})
	const tooLate = "want 0 to 9223372036854"
	for asked, want := range map[string]string{
		"/api/metrics/calls":                                    "unable to parse param 'service': please provide at least one service name",
		"/api/metrics/errors?spanKind=x":                        "unable to parse param 'service': please provide at least one service name",
		"/api/metrics/latencies":                                `unable to parse param 'quantile': strconv.ParseFloat: parsing "": invalid syntax`,
		"/api/metrics/latencies?service=a&quantile=most":        `unable to parse param 'quantile': strconv.ParseFloat: parsing "most": invalid syntax`,
		"/api/metrics/latencies?service=a&quantile=1.5":         "unable to parse param 'quantile': want 0 to 1",
		"/api/metrics/latencies?service=a&quantile=NaN":         "unable to parse param 'quantile': want 0 to 1",
		"/api/metrics/calls?service=a&groupByOperation=perhaps": `unable to parse param 'groupByOperation': strconv.ParseBool: parsing "perhaps": invalid syntax`,
		"/api/metrics/calls?service=a&spanKind=SERVER":          "unable to parse param 'spanKind': unsupported span kind: 'SERVER'",
		"/api/metrics/calls?service=a&spanKind=":                "unable to parse param 'spanKind': unsupported span kind: ''",
		"/api/metrics/calls?service=a&endTs=now":                `unable to parse param 'endTs': strconv.ParseInt: parsing "now": invalid syntax`,
		"/api/metrics/calls?service=a&lookback=1h":              `unable to parse param 'lookback': strconv.ParseInt: parsing "1h": invalid syntax`,
		"/api/metrics/calls?service=a&step=1m":                  `unable to parse param 'step': strconv.ParseInt: parsing "1m": invalid syntax`,
		"/api/metrics/calls?service=a&ratePer=1m":               `unable to parse param 'ratePer': strconv.ParseInt: parsing "1m": invalid syntax`,
		"/api/metrics/calls?service=a&step=0":                   "unable to parse param 'step': want 1 to 9223372036854",
		"/api/metrics/calls?service=a&ratePer=-1":               "unable to parse param 'ratePer': want 1 to 9223372036854",
		"/api/metrics/calls?service=a&lookback=-1":              "unable to parse param 'lookback': " + tooLate,
		"/api/metrics/calls?service=a&endTs=9223372036855":      "unable to parse param 'endTs': " + tooLate,
		"/api/metrics/calls?service=a&step=1&lookback=11000":    "limit exceeded: 11001 points of a series, at most 11000: ask for a longer step or a shorter lookback",
		"/api/metrics/calls?service=a&step=7000&ratePer=600001": "limit exceeded: step and ratePer are multiples of 1 ms only, and 4198001 of these are to be counted, at most 100000: " +
			"ask with a ratePer that is a multiple of the step",
		"/api/metrics/calls?" + strings.Repeat("&service=a", 30) + manyServices(): "unable to parse param 'service': 17 services, at most 16",
		"/api/operations":                                "parameter 'service' is required",
		"/api/dependencies?endTs=x":                      `unable to parse param 'endTs': strconv.ParseInt: parsing "x": invalid syntax`,
		"/api/dependencies?lookback=x":                   `unable to parse param 'lookback': strconv.ParseInt: parsing "x": invalid syntax`,
		"/api/deep-dependencies":                         "parameter 'service' is required",
		"/api/deep-dependencies?service=a&start=x":       `unable to parse param 'start': strconv.ParseInt: parsing "x": invalid syntax`,
		"/api/deep-dependencies?service=a&end=-1":        "unable to parse param 'end': want 0 to 9223372036854000",
		"/api/deep-dependencies?service=a&from=-1":       `unable to parse param 'from': strconv.ParseUint: parsing "-1": invalid syntax`,
		"/api/deep-dependencies?service=a&limit=0":       "unable to parse param 'limit': want 1 to 10000",
		"/api/deep-dependencies?service=a&inner=perhaps": `unable to parse param 'inner': strconv.ParseBool: parsing "perhaps": invalid syntax`,
	} {
		path, query, _ := strings.Cut(asked, "?")
		parameters, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if code, body := get(t, w.url, path, parameters); code != http.StatusBadRequest || body != refusal(code, want) {
			t.Errorf("%s: %d %s\nwant %s", asked, code, body, refusal(http.StatusBadRequest, want))
		}
	}
	for _, path := range []string{"/", "/api/traces", "/api/metrics/rates", "/api/services/a"} {
		if code, body := get(t, w.url, path, nil); code != http.StatusNotFound || body != refusal(code, "GET "+path+" is not served here") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	answer, err := http.Post(w.url+"/api/services", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close() // nothing of it is read
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("POST: %s", answer.Status)
	}
}

// A path that is not clean is not served: the asker is not sent elsewhere. Escaped, its parts are names.
func TestPathsThatAreNotCleanAreRefused(t *testing.T) {
	w := newWorld(t, queryhttp.Options{})
	for path, decoded := range map[string]string{"//api/services": "", "/api//services": "", "/api/./services": "", "/api/metrics/../services": "", "/api/services/a//operations": "",
		"/api/services//operations": "", "/api/services/": "", "/api/services/a%2Fb": "/api/services/a/b"} {
		code, body := get(t, w.url, path, nil)
		if decoded == "" {
			decoded = path
		}
		if code != http.StatusNotFound || body != refusal(code, "GET "+decoded+" is not served here") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	for _, path := range []string{"/api/services/a%2F%2Fb/operations", "/api/services/%2E%2E/operations"} { // names of services
		if code, body := get(t, w.url, path, nil); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

// A query string that cannot be parsed is refused whole: what stands behind the bad part counts too.
func TestBadQueryStringsAreRefused(t *testing.T) {
	w := newWorld(t, queryhttp.Options{})
	for _, asked := range append(everyPath, "/api/metrics/minstep") {
		path, query, _ := strings.Cut(asked, "?")
		for bad, reason := range map[string]string{"%zz": `invalid URL escape "%zz"`, "a;b": "invalid semicolon separator in query"} {
			want := refusal(http.StatusBadRequest, "unable to parse the query string: "+reason)
			if code, body := getText(t, w.url+path+"?"+query+"&"+bad); code != http.StatusBadRequest || body != want {
				t.Errorf("%s with %s: %d %s", asked, bad, code, body)
			}
		}
	}
}

func manyServices() (text string) {
	for i := range 16 {
		text += fmt.Sprint("&service=", i)
	}
	return text
}

// failing is a store that cannot answer.
type failing struct {
	queryhttp.Store
	err error
}

func (f failing) Services(context.Context) ([]string, error)                   { return nil, f.err }
func (f failing) Operations(context.Context, string) ([]span.Operation, error) { return nil, f.err }
func (f failing) Edges(context.Context, uint64, uint64) ([]span.Edge, error)   { return nil, f.err }
func (f failing) Rates(context.Context, span.RateQuery) ([]*span.Rate, error)  { return nil, f.err }
func (f failing) Paths(context.Context, span.PathQuery) (*span.Paths, error)   { return nil, f.err }

var everyPath = []string{
	"/api/services", "/api/services/a/operations", "/api/operations?service=a", "/api/dependencies", "/api/metrics/calls?service=a",
	"/api/metrics/errors?service=a", "/api/metrics/latencies?service=a&quantile=0.5", "/api/deep-dependencies?service=a", "/analytics/v1/dependencies?service=a",
}

// A failure of the store is told with a status of its kind; why it is not available a tenant is not told.
func TestFailuresOfTheStoreAreTold(t *testing.T) {
	for _, c := range []struct {
		err    error
		hide   bool
		code   int
		reason string
	}{
		{fmt.Errorf("%w: the disk is full", span.ErrUnavailable), false, 503, "unavailable: the disk is full"},
		{fmt.Errorf("%w: the disk is full", span.ErrUnavailable), true, 503, "the store is not available now; the server's log says why"},
		{fmt.Errorf("%w: 3", span.ErrTooMuch), true, 400, "limit exceeded: 3"},
		{errors.New("page 4 is damaged"), true, 500, "page 4 is damaged"},
	} {
		root := serve(t, failing{err: c.err}, queryhttp.Options{HideReasons: c.hide})
		for _, path := range everyPath {
			path, query, _ := strings.Cut(path, "?")
			parameters, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			if code, body := get(t, root, path, parameters); code != c.code || body != refusal(c.code, c.reason) {
				t.Errorf("%v from %s: %d %s", c.err, path, code, body)
			}
		}
	}
}

// waiting is a store whose questions take until they are called off.
type waiting struct {
	queryhttp.Store
	asked, ended chan string
}

func (s waiting) wait(ctx context.Context, what string) error {
	s.asked <- what
	<-ctx.Done()
	s.ended <- what
	return ctx.Err()
}

func (s waiting) Services(ctx context.Context) ([]string, error) { return nil, s.wait(ctx, "services") }
func (s waiting) Operations(ctx context.Context, _ string) ([]span.Operation, error) {
	return nil, s.wait(ctx, "operations")
}
func (s waiting) Edges(ctx context.Context, _, _ uint64) ([]span.Edge, error) {
	return nil, s.wait(ctx, "edges")
}
func (s waiting) Rates(ctx context.Context, _ span.RateQuery) ([]*span.Rate, error) {
	return nil, s.wait(ctx, "rates")
}
func (s waiting) Paths(ctx context.Context, _ span.PathQuery) (*span.Paths, error) {
	return nil, s.wait(ctx, "paths")
}

// A request whose client has gone ends in the store too.
func TestACancelledRequestStops(t *testing.T) {
	store := waiting{asked: make(chan string, 1), ended: make(chan string, 1)}
	root := serve(t, store, queryhttp.Options{})
	var stopped []string
	for _, path := range everyPath {
		ctx, cancel := context.WithCancel(t.Context())
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, root+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			answer, err := http.DefaultClient.Do(request)
			if err == nil {
				err = answer.Body.Close()
			}
			done <- err
		}()
		<-store.asked
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", path, err)
		}
		select {
		case what := <-store.ended:
			stopped = append(stopped, what)
		case <-time.After(time.Minute):
			t.Fatalf("%s goes on though nobody waits for it", path)
		}
	}
	slices.Sort(stopped)
	if stopped = slices.Compact(stopped); len(stopped) != 5 {
		t.Errorf("only %q were asked", stopped)
	}
}
