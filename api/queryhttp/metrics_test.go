package queryhttp_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/stoadb/stoa/api/queryhttp"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// familyJSON is Jaeger's MetricFamily as its page reads it.
type familyJSON struct {
	Name, Type, Help string
	Metrics          []struct {
		Labels       []struct{ Name, Value string }
		MetricPoints []struct {
			GaugeValue struct{ DoubleValue json.RawMessage }
			Timestamp  time.Time
		}
	}
}

// line is one series: values by milliseconds since 1970.
type line map[int64]float64

// lines gives the series of a family by service, or service and operation.
func (f familyJSON) lines(t testing.TB) (lines map[[2]string]line, order [][2]string) {
	t.Helper()
	lines = map[[2]string]line{}
	for _, m := range f.Metrics {
		var key [2]string
		for i, l := range m.Labels {
			if want := []string{"service_name", "operation"}[i]; l.Name != want {
				t.Fatalf("label %d is %s, want %s", i, l.Name, want)
			}
			key[i] = l.Value
		}
		points := line{}
		for _, p := range m.MetricPoints {
			value := math.NaN()
			if string(p.GaugeValue.DoubleValue) != `"NaN"` {
				if err := json.Unmarshal(p.GaugeValue.DoubleValue, &value); err != nil {
					t.Fatal(err)
				}
			}
			points[p.Timestamp.UnixMilli()] = value
		}
		if len(points) != len(m.MetricPoints) {
			t.Fatalf("%v: %d points at %d times", key, len(m.MetricPoints), len(points))
		}
		lines[key] = points
		order = append(order, key)
	}
	return lines, order
}

var kindNames = []string{"unspecified", "internal", "server", "client", "producer", "consumer"}

// metricsAsked is a question for metrics; times are milliseconds.
type metricsAsked struct {
	which                       string // calls, errors, latencies
	services                    []string
	byOperation                 bool
	kinds                       []int32 // nil: the parameter is missing
	end, lookback, step, window int64
	quantile                    float64
}

func (q metricsAsked) parameters() url.Values {
	number := func(n int64) []string { return []string{strconv.FormatInt(n, 10)} }
	v := url.Values{"service": q.services, "endTs": number(q.end), "lookback": number(q.lookback), "step": number(q.step), "ratePer": number(q.window)}
	if q.byOperation {
		v.Set("groupByOperation", "true")
	}
	for _, kind := range q.kinds {
		v.Add("spanKind", kindNames[kind])
	}
	if q.which == "latencies" {
		v.Set("quantile", fmt.Sprint(q.quantile))
	}
	return v
}

// wanted computes the answer point by point, with a loop over all spans for each.
func (q metricsAsked) wanted(rows []span.Row) map[[2]string]line {
	if q.kinds == nil {
		q.kinds = []int32{span.KindServer}
	}
	var times []int64
	for t := q.end / q.step * q.step; t > 0 && (len(times) == 0 || t >= q.end-q.lookback); t -= q.step {
		times = append(times, t)
	}
	begin, end := uint64(max(times[len(times)-1]-q.window, 0))*1e6, uint64(times[0])*1e6
	of := map[[2]string][]span.Row{}
	for _, row := range rows {
		if !slices.Contains(q.services, string(row.Service())) || !slices.Contains(q.kinds, row.Kind()) || row.Start() < begin || row.Start() >= end {
			continue
		}
		key := [2]string{string(row.Service())}
		if q.byOperation {
			key[1] = string(row.Name())
		}
		of[key] = append(of[key], row)
	}
	lines := map[[2]string]line{}
	for key, rows := range of {
		lines[key] = line{}
		for _, t := range times {
			var durations []uint64
			failed := 0
			for _, row := range rows {
				if start := row.Start(); start >= uint64(max(t-q.window, 0))*1e6 && start < uint64(t)*1e6 {
					durations = append(durations, row.Duration())
					if row.StatusCode() == span.StatusError {
						failed++
					}
				}
			}
			slices.Sort(durations)
			lines[key][t] = q.value(durations, failed)
		}
	}
	return lines
}

func (q metricsAsked) value(durations []uint64, failed int) float64 {
	n := float64(len(durations))
	switch {
	case q.which == "calls":
		return n * 1000 / float64(q.window)
	case n == 0:
		return math.NaN()
	case q.which == "errors":
		return float64(failed) / n
	}
	return float64(durations[max(int(math.Ceil(q.quantile*n)), 1)-1]) / 1e6
}

// check asks and compares: counts exactly, durations to 1.6 %.
func (w *world) checkMetrics(rows []span.Row, q metricsAsked) {
	w.t.Helper()
	var f familyJSON
	ask(w.t, w.url, "/api/metrics/"+q.which, q.parameters(), &f)
	got, order := f.lines(w.t)
	want := q.wanted(rows)
	if !slices.IsSortedFunc(order, func(a, b [2]string) int {
		return cmp.Or(cmp.Compare(slices.Index(q.services, a[0]), slices.Index(q.services, b[0])), cmp.Compare(a[1], b[1]))
	}) {
		w.t.Errorf("%+v: series in the order %q", q, order)
	}
	if len(got) != len(want) {
		w.t.Fatalf("%+v: %d series, want %d", q, len(got), len(want))
	}
	allowed := 1e-9
	if q.which == "latencies" {
		allowed = 1.0 / 64
	}
	for key, points := range want {
		if len(got[key]) != len(points) {
			w.t.Fatalf("%+v: %v has %d points, want %d", q, key, len(got[key]), len(points))
		}
		for t, value := range points {
			have, ok := got[key][t]
			if !ok || math.IsNaN(have) != math.IsNaN(value) || math.Abs(have-value) > allowed*value {
				w.t.Fatalf("%+v: %v at %d: %v (%t), want %v", q, key, t, have, ok, value)
			}
		}
	}
}

// TestMetricsAreThoseOfALoopOverTheSpans: with any parameters, in any state of the store.
func TestMetricsAreThoseOfALoopOverTheSpans(t *testing.T) {
	w := newWorld(t, queryhttp.Options{})
	r := rand.New(rand.NewPCG(1, 2))
	w.eachForm([]func(){func() { w.load("hotrod", 150) }, func() { w.load("zipkin-fixtures", 0) }, func() { w.load("hotrod", 160) }}, func() {
		rows := w.rows()
		services := append(w.model.Services(), "nobody")
		for range 40 {
			some := rows[r.IntN(len(rows))]
			q := metricsAsked{
				which:    []string{"calls", "errors", "latencies"}[r.IntN(3)],
				services: []string{string(some.Service())}, byOperation: r.IntN(2) == 0, quantile: []float64{0, 0.5, 0.95, 1, r.Float64()}[r.IntN(5)],
				end:      int64(some.Start()/1e6) + int64(r.IntN(60_000)),
				lookback: int64([]int{0, 1_000, 60_000, 300_000}[r.IntN(4)]), step: []int64{1_000, 5_000, 7_000, 60_000, 250}[r.IntN(5)], window: []int64{500, 5_000, 10_000, 60_000, 600_000}[r.IntN(5)],
			}
			for range r.IntN(3) {
				if service := services[r.IntN(len(services))]; !slices.Contains(q.services, service) {
					q.services = append(q.services, service)
				}
			}
			switch r.IntN(3) {
			case 0:
				q.kinds = []int32{some.Kind()}
			case 1:
				q.kinds = []int32{0, 1, 2, 3, 4, 5}
			}
			w.checkMetrics(rows, q)
		}
	})
}

// At the beginning of time a window has no place to begin; a span without a time stands there.
func TestMetricsAtTheBeginningOfTime(t *testing.T) {
	w := newWorld(t, queryhttp.Options{})
	w.write(request(t, made{service: "a", name: "n", start: 0, took: 5}, made{service: "a", name: "n", start: 2_500, took: 5}))
	for _, end := range []int64{1_000, 2_000, 2_999, 3_000, 10_000} {
		for _, lookback := range []int64{0, 1_000, 100_000} {
			w.checkMetrics(w.rows(), metricsAsked{which: "calls", services: []string{"a"}, kinds: []int32{0}, end: end, lookback: lookback, step: 1_000, window: 2_000})
		}
	}
	if code, body := get(t, w.url, "/api/metrics/calls", url.Values{"service": {"a"}, "endTs": {"0"}, "spanKind": {"unspecified"}}); code != http.StatusOK || !strings.HasSuffix(body, `"metrics":[]}`) {
		t.Errorf("at 0: %d %s", code, body)
	}
}

const server = tracev1.Span_SPAN_KIND_SERVER

// TestTheFamilyIsSpelledAsJaegerSpellsIt, byte for byte: names, help, labels, numbers, times.
func TestTheFamilyIsSpelledAsJaegerSpellsIt(t *testing.T) {
	w := newWorld(t, queryhttp.Options{})
	w.write(request(t,
		made{"a", "<x>", server, 1_500, 12, true}, made{"a", "<x>", server, 1_750, 12, false}, made{"a", "y", server, 3_000, 12, false},
		made{"a", "z", tracev1.Span_SPAN_KIND_CLIENT, 1_750, 12, false}, made{"b", "x", server, 1_750, 12, false}))
	asked := url.Values{"service": {"a"}, "endTs": {"3000"}, "lookback": {"1500"}, "step": {"500"}, "ratePer": {"1000"}, "quantile": {"0.5"}}
	const labels = `[{"labels":[{"name":"service_name","value":"a"}],"metricPoints":[`
	point := func(value, time string) string {
		return `{"gaugeValue":{"doubleValue":` + value + `},"timestamp":"1970-01-01T00:00:0` + time + `Z"}`
	}
	for path, want := range map[string]string{
		"calls": `{"name":"service_call_rate","type":"GAUGE","help":"calls/sec, grouped by service","metrics":` + labels +
			strings.Join([]string{point("0", "1.500"), point("2", "2"), point("2", "2.500"), point("0", "3")}, ",") + `]}]}`,
		"errors": `{"name":"service_error_rate","type":"GAUGE","help":"error rate, computed as a fraction of errors/sec over calls/sec, grouped by service","metrics":` + labels +
			strings.Join([]string{point(`"NaN"`, "1.500"), point("0.5", "2"), point("0.5", "2.500"), point(`"NaN"`, "3")}, ",") + `]}]}`,
		"latencies": `{"name":"service_latencies","type":"GAUGE","help":"0.50th quantile latency, grouped by service","metrics":` + labels +
			strings.Join([]string{point(`"NaN"`, "1.500"), point("11.927551", "2"), point("11.927551", "2.500"), point(`"NaN"`, "3")}, ",") + `]}]}`,
	} {
		if code, body := get(t, w.url, "/api/metrics/"+path, asked); code != http.StatusOK || body != want {
			t.Errorf("%s: %d\n%s\nwant\n%s", path, code, body, want)
		}
	}
	asked.Set("groupByOperation", "true")
	asked.Set("lookback", "0")
	asked.Set("endTs", "4000")
	for path, want := range map[string]string{
		"calls":     `{"name":"service_operation_call_rate","type":"GAUGE","help":"calls/sec, grouped by service \u0026 operation","metrics":[{"labels":[{"name":"service_name","value":"a"},{"name":"operation","value":"y"}],"metricPoints":[` + point("1", "4") + `]}]}`,
		"errors":    `{"name":"service_operation_error_rate","type":"GAUGE","help":"error rate, computed as a fraction of errors/sec over calls/sec, grouped by service \u0026 operation","metrics":[{"labels":[{"name":"service_name","value":"a"},{"name":"operation","value":"y"}],"metricPoints":[` + point("0", "4") + `]}]}`,
		"latencies": `{"name":"service_operation_latencies","type":"GAUGE","help":"0.50th quantile latency, grouped by service \u0026 operation","metrics":[{"labels":[{"name":"service_name","value":"a"},{"name":"operation","value":"y"}],"metricPoints":[` + point("11.927551", "4") + `]}]}`,
	} {
		if code, body := get(t, w.url, "/api/metrics/"+path, asked); code != http.StatusOK || body != want {
			t.Errorf("%s by operation: %d\n%s\nwant\n%s", path, code, body, want)
		}
		pretty := url.Values{"prettyPrint": {"true"}}
		for name, list := range asked {
			pretty[name] = list
		}
		if _, body := get(t, w.url, "/api/metrics/"+path, pretty); !strings.Contains(body, "\n    \"type\": \"GAUGE\",\n") {
			t.Errorf("%s is not pretty: %s", path, body)
		}
	}
	// Nobody knows the service: a family without a series, as Jaeger answers.
	if _, body := get(t, w.url, "/api/metrics/calls", url.Values{"service": {"nobody"}}); body != `{"name":"service_call_rate","type":"GAUGE","help":"calls/sec, grouped by service","metrics":[]}` {
		t.Errorf("of nobody: %s", body)
	}
	if _, body := get(t, w.url, "/api/metrics/minstep", nil); body != `{"data":1,"total":0,"limit":0,"offset":0,"errors":null}` {
		t.Errorf("the shortest step: %s", body)
	}
}

// What is not said is as Jaeger takes it: an hour until now in steps of 5 s, each point of the 10
// minutes before it, spans of kind server. An empty parameter says nothing.
func TestWhatIsNotSaidIsAsJaegerTakesIt(t *testing.T) {
	w := newWorld(t, queryhttp.Options{})
	end := uint64(now.UnixMilli())
	var spans []made
	for i := range uint64(80) {
		spans = append(spans, made{"a", "n", server, end - i*53_000, i + 1, i%3 == 0}, made{"a", "n", tracev1.Span_SPAN_KIND_CLIENT, end - i*53_000, i + 1, i%3 == 0})
	}
	w.write(request(t, spans...))
	for _, which := range []string{"calls", "errors", "latencies"} {
		said := metricsAsked{which: which, services: []string{"a"}, end: now.UnixMilli(), lookback: 3_600_000, step: 5_000, window: 600_000, kinds: []int32{2}, quantile: 0.9}
		w.checkMetrics(w.rows(), said)
		_, want := get(t, w.url, "/api/metrics/"+which, said.parameters())
		for _, extra := range []url.Values{{}, {"endTs": {""}, "step": {""}, "lookback": {""}, "ratePer": {""}, "groupByOperation": {""}}} {
			extra.Set("service", "a")
			extra.Set("quantile", "0.9")
			if _, body := get(t, w.url, "/api/metrics/"+which, extra); body != want {
				t.Errorf("%s with %v differs from what is said in full", which, extra)
			}
		}
	}
}

// More operations and steps than the store gives at once are asked for piece by piece.
func TestMoreRatesThanTheStoreGivesAtOnce(t *testing.T) {
	w := newWorld(t, queryhttp.Options{})
	const n = span.RatesMax + 5000
	for first := 0; first < n; first += 5000 {
		var some []byte
		for i := range 5000 {
			some = append(some, enginetest.Numbered(first+i)...) // one a millisecond, each of a name of its own
		}
		w.write(some)
	}
	rows := w.rows()
	end := int64(rows[0].Start() / 1e6)
	for _, row := range rows {
		end = max(end, int64(row.Start()/1e6))
	}
	_, err := w.store.Rates(context.Background(), span.RateQuery{StartMax: math.MaxUint64, Step: 1e9})
	if !errors.Is(err, span.ErrTooMuch) {
		t.Fatalf("the store gives all of them: %v", err)
	}
	q := metricsAsked{which: "calls", services: []string{"numbered"}, kinds: []int32{0}, end: end + 1_000, lookback: n, step: 1_000, window: 2_000}
	w.checkMetrics(rows, q)
	q.byOperation = true // so many series there is no answer for
	if code, body := get(t, w.url, "/api/metrics/calls", q.parameters()); code != http.StatusBadRequest || !strings.Contains(body, "limit exceeded") {
		t.Errorf("%d series: %d %.300s", n, code, body)
	}
}

// Answers of more points, and windows of more steps, than are kept are refused, not cut.
// Refusing costs no more memory than answering does, also where it turns out late.
func TestTooManyPointsAreRefused(t *testing.T) {
	w := newWorld(t, queryhttp.Options{})
	var some []byte
	for i := range 200 {
		some = append(some, enginetest.Numbered(i)...)
	}
	w.write(some)
	end := int64(w.rows()[0].Start()/1e9)*1000 + 10_000
	for _, c := range []struct {
		lookback, step, window int64
		reason                 string // "" where it is answered
	}{
		{2_499 * 1000, 1_000, 60_000, ""}, // 500,000 points
		{2_500 * 1000, 1_000, 60_000, "more than 500000 points"},
		{0, 1_000, 250_000, ""}, // 50,000 cells
		{0, 1_000, 251_000, "each of a window of 251 steps"},
	} {
		q := metricsAsked{which: "calls", services: []string{"numbered"}, byOperation: true, kinds: []int32{0}, end: end, lookback: c.lookback, step: c.step, window: c.window}
		code, body := get(t, w.url, "/api/metrics/calls", q.parameters())
		if isAnswered := code == http.StatusOK; isAnswered != (c.reason == "") || !strings.Contains(body, c.reason) {
			t.Errorf("%+v: %d %.300s", c, code, body)
		}
	}

	const latest, operations = 2_000_000_000_000, 5_000
	var late []made
	for i := range operations {
		late = append(late, made{service: "late", name: strconv.Itoa(i), kind: server, start: latest - 1})
	}
	w.write(request(t, late...))
	q := metricsAsked{which: "calls", services: []string{"late"}, byOperation: true, kinds: []int32{span.KindServer}, end: latest, lookback: 10_999_000, step: 1_000, window: 1_000}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	code, body := get(t, w.url, "/api/metrics/calls", q.parameters())
	runtime.ReadMemStats(&after)
	if code != http.StatusBadRequest || !strings.Contains(body, "more than 500000 points") {
		t.Errorf("late operations: %d %.300s", code, body)
	}
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 100<<20 {
		t.Errorf("%d bytes were allocated to refuse 55,000,000 points", bytes)
	}
}
