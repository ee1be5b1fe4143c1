package e2e_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fetch gives the status and the decoded body of a request.
func fetch(t *testing.T, address string) (int, any) {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close() // read to its end
	if err != nil {
		t.Fatal(err)
	}
	var body any
	if err := json.Unmarshal(content, &body); err != nil {
		t.Fatalf("%s: %s: %v in %s", address, answer.Status, err, content)
	}
	return answer.StatusCode, unordered(body)
}

// unordered sorts lists whose order Jaeger takes from a map: the data of an answer, and labels.
func unordered(body any) any {
	switch body := body.(type) {
	case map[string]any:
		for name, value := range body {
			value = unordered(value)
			if list, ok := value.([]any); ok && (name == "data" || name == "labels") {
				slices.SortFunc(list, func(a, b any) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			}
			body[name] = value
		}
	case []any:
		for i := range body {
			body[i] = unordered(body[i])
		}
	}
	return body
}

// same asks both for the same and compares status and body, field by field.
func (j *jaeger) same(t *testing.T, stoa *server, path string) {
	t.Helper()
	wantCode, want := fetch(t, j.query+path)
	code, got := fetch(t, stoa.query+path)
	// The names of a service without operations are null from Jaeger, and an empty list from Stoa.
	if list, ok := want.(map[string]any); ok && wantCode == http.StatusOK && strings.HasSuffix(path, "/operations") && list["data"] == nil {
		list["data"] = []any{}
	}
	if code != wantCode || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: Jaeger answers %d\n%v\nStoa %d\n%v", path, wantCode, want, code, got)
	}
}

// TestStoaAnswersQueriesAsJaegerDoes: the query port of Stoa, and that of a Jaeger in front of it,
// give the same status and the same JSON, for what is there and for what is asked wrongly.
func TestStoaAnswersQueriesAsJaegerDoes(t *testing.T) {
	all := built(t)
	for _, g := range generations {
		t.Run(g.name, func(t *testing.T) {
			r := recording{name: "hotrod", requests: 100}
			want := r.truth(t)
			stoa := startStoa(t, all.stoa, t.TempDir())
			j := g.start(t, all, stoa.storage, "")
			j.load(t, stoa, r, want.Spans)
			paths := []string{"/api/services", "/api/operations", "/api/operations?spanKind=server", "/api/dependencies?endTs=x", "/api/dependencies?endTs=1&lookback=x"}
			for _, service := range append(want.Services, "nobody") {
				paths = append(paths, "/api/services/"+url.PathEscape(service)+"/operations")
				for _, kind := range []string{"", "server", "client", "internal"} {
					paths = append(paths, "/api/operations?"+url.Values{"service": {service}, "spanKind": {kind}}.Encode())
				}
			}
			end := want.LastStart/1e6 + 1
			for _, service := range []string{"", "driver", "nobody"} {
				paths = append(paths, fmt.Sprintf("/api/dependencies?endTs=%d&lookback=%d&service=%s", end, end-want.FirstStart/1e6, service),
					fmt.Sprintf("/api/dependencies?endTs=%d&lookback=5000&service=%s&prettyPrint=true", end, service))
			}
			for _, which := range []string{"calls", "errors", "latencies"} {
				for _, wrong := range []string{"", "service=a&spanKind=x", "service=a&spanKind=", "service=a&endTs=x", "service=a&lookback=1h", "service=a&step=1m", "service=a&ratePer=x", "service=a&groupByOperation=x"} {
					paths = append(paths, "/api/metrics/"+which+"?"+wrong)
					if which == "latencies" {
						paths = append(paths, "/api/metrics/latencies?quantile=0.5&"+wrong, "/api/metrics/latencies?quantile=x&"+wrong)
					}
				}
			}
			for _, path := range paths {
				j.same(t, stoa, path)
			}
		})
	}
}

// familyAnswer is Jaeger's MetricFamily.
type familyAnswer struct {
	Metrics []struct {
		Labels       []struct{ Name, Value string }
		MetricPoints []struct {
			GaugeValue struct{ DoubleValue any }
			Timestamp  time.Time
		}
	}
}

// prometheus answers every question of Jaeger with the series that Stoa has, so that what Jaeger
// makes of them can be compared with what Stoa says itself.
type prometheus struct {
	t       *testing.T
	series  atomic.Pointer[familyAnswer]
	queries atomic.Pointer[url.Values]
}

func (p *prometheus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.t.Error(err)
	}
	p.queries.Store(&r.Form)
	type line struct {
		Metric map[string]string `json:"metric"`
		Values [][2]any          `json:"values"`
	}
	result := []line{}
	for _, m := range p.series.Load().Metrics {
		one := line{Metric: map[string]string{}}
		for _, label := range m.Labels {
			one.Metric[strings.Replace(label.Name, "operation", "span_name", 1)] = label.Value
		}
		for _, point := range m.MetricPoints {
			value := fmt.Sprint(point.GaugeValue.DoubleValue) // "NaN" too
			if number, ok := point.GaugeValue.DoubleValue.(float64); ok {
				value = strconv.FormatFloat(number, 'g', -1, 64)
			}
			one.Values = append(one.Values, [2]any{float64(point.Timestamp.UnixMilli()) / 1000, value})
		}
		result = append(result, one)
	}
	w.Header().Set("Content-Type", "application/json")
	err := json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": result}})
	if err != nil {
		p.t.Error(err)
	}
}

// TestMetricsAreSpelledAsJaegerSpellsThem: Jaeger 2, given the values of Stoa by way of a Prometheus,
// makes the JSON of them that Stoa makes, names, help, numbers, times and all; and where a request
// says nothing it asks for the range, step, window and kind that Stoa takes.
func TestMetricsAreSpelledAsJaegerSpellsThem(t *testing.T) {
	all := built(t)
	r := recording{name: "hotrod", requests: 100}
	want := r.truth(t)
	stoa := startStoa(t, all.stoa, t.TempDir())
	p := &prometheus{t: t}
	p.series.Store(&familyAnswer{})
	backend := httptest.NewServer(p)
	t.Cleanup(backend.Close)
	j := startJaeger2With(t, all, stoa.storage, ", metrics: some", fmt.Sprintf("    metric_backends:\n      some: {prometheus: {endpoint: %q}}", backend.URL))
	j.load(t, stoa, r, want.Spans)
	end := want.LastStart/1e6 + 100_000
	asked := 0
	for _, which := range []string{"calls", "errors", "latencies"} {
		for _, group := range []string{"", "&groupByOperation=true"} {
			for _, rest := range []string{"", "&step=1500&ratePer=3000&lookback=200000", "&spanKind=client&spanKind=server&step=60000"} {
				path := fmt.Sprintf("/api/metrics/%s?service=frontend&quantile=0.95&endTs=%d%s%s", which, end, group, rest)
				var series familyAnswer
				_, body := fetch(t, stoa.query+path)
				content, err := json.Marshal(body)
				if err == nil {
					err = json.Unmarshal(content, &series)
				}
				if err != nil || len(series.Metrics) == 0 {
					t.Fatalf("%s: %v, %d series", path, err, len(series.Metrics))
				}
				p.series.Store(&series)
				j.same(t, stoa, path)
				asked++
				q := *p.queries.Load()
				if rest != "" {
					continue
				}
				seconds := func(name string) float64 {
					n, err := strconv.ParseFloat(q.Get(name), 64)
					if err != nil {
						t.Fatalf("%s: Prometheus is asked for %v", path, q)
					}
					return n
				}
				if length := seconds("end") - seconds("start"); length < 3599.9 || length > 3600.1 || seconds("step") != 5 || !strings.Contains(q.Get("query"), "[10m]") ||
					!strings.Contains(q.Get("query"), `span_kind =~ "SPAN_KIND_SERVER"`) {
					t.Errorf("%s: Prometheus is asked for %v", path, q)
				}
				points := series.Metrics[0].MetricPoints
				if n := len(points); n != 3600/5 && n != 3600/5+1 || points[1].Timestamp.Sub(points[0].Timestamp) != 5*time.Second {
					t.Errorf("%s: %d points", path, n)
				}
			}
		}
	}
	// Of a service that nobody knows both have a family without series.
	p.series.Store(&familyAnswer{})
	j.same(t, stoa, "/api/metrics/calls?service=nobody")
	j.same(t, stoa, "/api/metrics/minstep")
	t.Logf("%d families compared", asked)
}
