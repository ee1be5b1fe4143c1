package queryhttp_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/api/queryhttp"
)

// FuzzQuery: any parameters are answered or refused, in valid JSON, and refused in Jaeger's form.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"service=a&quantile=0.5", "service=a&service=b&groupByOperation=1&step=1000&ratePer=7000&lookback=100000&endTs=1000000&quantile=1",
		"service=a&spanKind=client&spanKind=x", "service=a&step=9223372036854&ratePer=9223372036854&lookback=9223372036854&endTs=9223372036854&quantile=0",
		"service=a&step=1&ratePer=9223372036854", "service=a&start=1&end=9223372036854000&limit=1&inner=t", "service=%ff&from=18446744073709551615&to=0", "service=a&endTs=0", "service=a;b&%zz",
		"service=a&prettyPrint=1&quantile=NaN", "service=a&quantile=-0", "service=a&quantile=1e-400", "service=a&endTs=+5&lookback=-0",
	} {
		f.Add(seed)
	}
	w := newWorld(f, queryhttp.Options{})
	end := uint64(now.UnixMilli())
	w.write(request(f, made{"a", "n", server, end - 1000, 5, true}, made{"a", "m", server, 0, 5, false}, made{"b", "n", server, 999_000, 0, false}))
	handler := queryhttp.New(w.store, queryhttp.Options{Now: func() time.Time { return now }})
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/api/services", "/api/operations", "/api/dependencies", "/api/metrics/calls", "/api/metrics/errors", "/api/metrics/latencies", "/api/deep-dependencies"} {
			asked := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path, RawQuery: query}, Proto: "HTTP/1.1", Header: http.Header{}}
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, asked.WithContext(t.Context()))
			body := recorder.Body.String()
			var errors struct{ Errors []struct{ Code int } }
			switch {
			case !json.Valid([]byte(body)):
				t.Fatalf("%s?%s: not JSON: %.300q", path, query, body)
			case recorder.Code == http.StatusOK:
			case recorder.Code != http.StatusBadRequest || json.Unmarshal([]byte(body), &errors) != nil || len(errors.Errors) != 1 || errors.Errors[0].Code != recorder.Code:
				t.Fatalf("%s?%s: %d %.300q", path, query, recorder.Code, body)
			}
			if strings.Contains(path, "metrics") && recorder.Code == http.StatusOK && !strings.Contains(body, `"metrics":`) && !strings.Contains(body, `"metrics": `) {
				t.Fatalf("%s?%s: %.300q", path, query, body)
			}
		}
	})
}
