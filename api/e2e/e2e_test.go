package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recordings are those of a whole run; the short one takes enough of HotROD to have
// whole traces.
func recordings(short bool) []recording {
	if short {
		return []recording{{name: "zipkin-fixtures"}, {name: "hotrod", requests: 200}}
	}
	return []recording{
		{name: "zipkin-fixtures"}, {name: "jaeger-integration-fixtures"}, {name: "hotrod"},
		{name: "nezha-trainticket-2023-01-29"}, {name: "nezha-trainticket-2023-01-30-logs"},
	}
}

// TestJaegerAnswersFromStoa sends each recording through each Jaeger and asks Jaeger.
func TestJaegerAnswersFromStoa(t *testing.T) {
	all := built(t)
	for _, g := range generations {
		for _, r := range recordings(testing.Short()) {
			t.Run(g.name+"/"+r.name, func(t *testing.T) {
				want := r.truth(t)
				stoa := startStoa(t, all.stoa, t.TempDir())
				j := g.start(t, all, stoa.storage, "")
				j.load(t, stoa, r, want.Spans)
				j.checkCatalog(t, want)
				j.checkTraces(t, want)
				j.checkSearches(t, want)
				j.checkDependencies(t, want)
				if code := j.archive(t, anyTrace(want)); code != http.StatusInternalServerError {
					t.Errorf("archiving without an archive: %d, want 500", code)
				}
			})
		}
	}
}

// send posts an export request to Jaeger's receiver in requests of an SDK's size, again
// where Jaeger says that it is busy, as an SDK does.
func (j *jaeger) send(t *testing.T, request []byte) {
	t.Helper()
	for _, part := range cut(t, request) {
		for {
			answer, err := http.Post(j.otlp, "application/x-protobuf", bytes.NewReader(part))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close() // read to its end
			if err == nil && answer.StatusCode == http.StatusOK {
				break
			}
			if err != nil || answer.StatusCode != http.StatusServiceUnavailable {
				t.Fatalf("Jaeger's receiver: %s %q %v", answer.Status, body, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// ingestTimeMax is how long Stoa may wait for the next span: Jaeger writes on after it has
// answered the sender.
const ingestTimeMax = 30 * time.Second

// loadsMax is how often a recording is sent.
const loadsMax = 3

// load sends a recording and waits until Stoa has applied all of its spans. Jaeger 1 gives
// up what it could not write within five seconds, which happens on a busy machine, and
// counts it: what is missing here must have been counted there, and is sent again with all
// the rest. Copies are not applied twice.
func (j *jaeger) load(t *testing.T, stoa *server, r recording, want int) {
	t.Helper()
	for range loadsMax {
		r.each(t, func(request []byte) { j.send(t, request) })
		got := stoa.awaitSpans(t, want)
		if got == want {
			return
		}
		lost := j.lost(t)
		t.Logf("%d of %d spans came to Stoa; Jaeger says that it lost %d or fewer", got, want, lost)
		if got > want || lost < want-got {
			break
		}
	}
	t.Fatal("spans are lost, or there are too many")
}

// lost is how many spans Jaeger 1 did not save, as it counts: all of a request where one
// of them failed.
func (j *jaeger) lost(t *testing.T) int {
	t.Helper()
	if j.admin == "" {
		return 0
	}
	return sumOf(t, j.admin+"/metrics", func(line string) bool {
		return strings.HasPrefix(line, "jaeger_collector_spans_saved_by_svc_total{") && strings.Contains(line, `result="err"`)
	})
}

// awaitSpans waits until Stoa has applied so many spans, or no more come.
func (s *server) awaitSpans(t *testing.T, want int) int {
	t.Helper()
	last, moved := 0, time.Now()
	for last < want && time.Since(moved) < ingestTimeMax {
		n := sumOf(t, "http://"+s.admin+"/metrics", func(line string) bool { return strings.HasPrefix(line, "stoa_applied_spans_total{") })
		if n != last {
			last, moved = n, time.Now()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return last
}

// sumOf adds up the values of the metrics whose lines are wanted.
func sumOf(t *testing.T, address string, wanted func(line string) bool) (sum int) {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // read to its end
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		line := lines.Text()
		if !wanted(line) {
			continue
		}
		n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += int(n)
	}
	return sum
}

// traceAnswer is a trace in Jaeger's JSON, as far as it is compared.
type traceAnswer struct {
	TraceID string `json:"traceID"`
	Spans   []struct {
		SpanID string `json:"spanID"`
	} `json:"spans"`
}

// id is the trace id in full length; Jaeger leaves zeros in front out.
func (a traceAnswer) id() string { return fmt.Sprintf("%032s", a.TraceID) }

// ask gets a path of Jaeger's API into data and gives the status.
func (j *jaeger) ask(t *testing.T, path string, parameters url.Values, data any) int {
	t.Helper()
	answer, err := http.Get(j.query + path + "?" + parameters.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // read as far as it is wanted
	body := struct {
		Data   any `json:"data"`
		Errors any `json:"errors"`
	}{Data: data}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		t.Fatalf("%s: %s: %v", path, answer.Status, err)
	}
	if answer.StatusCode == http.StatusOK && body.Errors != nil {
		t.Errorf("%s: %v", path, body.Errors)
	}
	return answer.StatusCode
}

func (j *jaeger) checkCatalog(t *testing.T, want *truth) {
	t.Helper()
	var services []string
	j.ask(t, "/api/services", nil, &services)
	slices.Sort(services)
	if !slices.Equal(services, want.Services) {
		t.Errorf("services:\ngot  %q\nwant %q", services, want.Services)
	}
	names := map[string][]string{}
	for o := range want.operations {
		names[o.service] = append(names[o.service], o.name)
	}
	for service, want := range names {
		var got []string
		j.ask(t, "/api/services/"+url.PathEscape(service)+"/operations", nil, &got)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("operations of %q:\ngot  %q\nwant %q", service, got, want)
		}
	}
}

// checkTraces compares traces by id, span by span. Raw, since Jaeger gives spans that
// share an id new ones for its page.
func (j *jaeger) checkTraces(t *testing.T, want *truth) {
	t.Helper()
	for id, sample := range want.SampleTraces {
		var got []traceAnswer
		if code := j.ask(t, "/api/traces/"+id, url.Values{"raw": {"true"}}, &got); code != http.StatusOK || len(got) != 1 {
			t.Errorf("trace %s: %d, %d traces", id, code, len(got))
			continue
		}
		var ids []string
		for _, s := range got[0].Spans {
			ids = append(ids, s.SpanID)
		}
		if got[0].id() != id || len(ids) != sample.Spans || hashOf(ids) != sample.SHA256 {
			t.Errorf("trace %s: got %s with %d spans, want %d", id, got[0].id(), len(ids), sample.Spans)
		}
	}
	if code := j.ask(t, "/api/traces/00000000000000000000000000abcdef", nil, nil); code != http.StatusNotFound {
		t.Errorf("an unknown trace: %d, want 404", code)
	}
}

// tracesAskedMax is the longest answer asked for: Jaeger always sends whole traces.
const tracesAskedMax = 1300

// search asks within the recording's time and gives the ids, each of which must come once.
func (j *jaeger) search(t *testing.T, want *truth, parameters url.Values) map[string]bool {
	t.Helper()
	parameters.Set("start", strconv.FormatUint(want.FirstStart/1000, 10))
	parameters.Set("end", strconv.FormatUint(want.LastStart/1000+1, 10))
	parameters.Set("limit", "10000")
	parameters.Set("raw", "true")
	var got []traceAnswer
	if code := j.ask(t, "/api/traces", parameters, &got); code != http.StatusOK {
		t.Errorf("search %v: %d", parameters, code)
	}
	ids := map[string]bool{}
	for _, one := range got {
		if ids[one.id()] {
			t.Errorf("search %v: trace %s came twice", parameters, one.id())
		}
		ids[one.id()] = true
	}
	return ids
}

func (j *jaeger) checkSearches(t *testing.T, want *truth) {
	t.Helper()
	asked := 0
	count := func(traces int, parameters url.Values) (got map[string]bool, isAsked bool) {
		if traces > tracesAskedMax || parameters.Get("service") == "" { // without a service Jaeger refuses
			return nil, false
		}
		asked++
		if got = j.search(t, want, parameters); len(got) != traces {
			t.Errorf("search %v: %d traces, want %d", parameters, len(got), traces)
		}
		return got, true
	}
	for _, q := range want.Tags {
		tags, err := json.Marshal(map[string]string{q.Key: asStored(q)})
		if err != nil {
			t.Fatal(err)
		}
		count(q.Traces, url.Values{"service": {named(q.Service)}, "tags": {string(tags)}})
	}
	for _, q := range want.Durations {
		if q.Service != "" {
			count(q.Traces, url.Values{"service": {q.Service}, "minDuration": {fmt.Sprintf("%dns", q.MinDuration)}})
		}
	}
	for o, traces := range want.operations {
		if got, isAsked := count(len(traces), url.Values{"service": {o.service}, "operation": {o.name}}); isAsked && !maps.Equal(got, traces) {
			t.Errorf("operation %v: traces %v, want %v", o, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(traces)))
		}
		if !testing.Short() && asked > 60 {
			break // long answers each; the order of a map makes it others each time
		}
	}
	if asked == 0 {
		t.Error("no search was asked")
	}
}

// asStored spells a value as a search of Stoa takes it: the one of bytes in the recordings,
// hexadecimal in the expected file, is base64.
func asStored(q tagQuery) string {
	if b, err := hex.DecodeString(q.Value); err == nil && q.Key == "blob" {
		return base64.StdEncoding.EncodeToString(b)
	}
	return q.Value
}

func (j *jaeger) checkDependencies(t *testing.T, want *truth) {
	t.Helper()
	end := want.LastStart/1e6 + 1
	var got []struct {
		Parent    string `json:"parent"`
		Child     string `json:"child"`
		CallCount uint64 `json:"callCount"`
	}
	j.ask(t, "/api/dependencies", url.Values{
		"endTs":    {strconv.FormatUint(end, 10)},
		"lookback": {strconv.FormatUint(end-want.FirstStart/1e6, 10)},
	}, &got)
	calls := map[[2]string]uint64{}
	for _, e := range got {
		calls[[2]string{e.Parent, e.Child}] += e.CallCount
	}
	for _, e := range want.Edges {
		if n := calls[[2]string{e.Parent, e.Child}]; n != e.Calls {
			t.Errorf("%s -> %s: %d calls, want %d", e.Parent, e.Child, n, e.Calls)
		}
	}
	if len(calls) != len(want.Edges) {
		t.Errorf("%d edges, want %d", len(calls), len(want.Edges))
	}
}
