package queryhttp_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/api/queryhttp"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// checkPaths compares an answer with the model's paths, which are written out way by way.
func (w *world) checkPaths(asked url.Values, q span.PathQuery, limit int) (distinct int) {
	w.t.Helper()
	var got queryhttp.Paths
	ask(w.t, w.url, "/api/deep-dependencies", asked, &got)
	want, deeper := w.model.Paths(q)
	if got.Paths != len(want) || got.Deeper != deeper || len(got.Dependencies) != min(limit, len(want)) || got.IsCut != (len(want) > limit || deeper > 0) {
		w.t.Fatalf("%v: %d paths of %d, %d deeper, cut %t; want %d and %d", asked, len(got.Dependencies), got.Paths, got.Deeper, got.IsCut, len(want), deeper)
	}
	last := uint64(1 << 63)
	for _, p := range got.Dependencies {
		key := span.Path{IsCut: p.IsCut}
		hasFocus := false
		for _, hop := range p.Path {
			key.Hops = append(key.Hops, span.Hop{Service: hop.Service, Name: hop.Operation})
			hasFocus = hasFocus || hop.Service == q.Service && (q.Name == "" || hop.Operation == q.Name)
		}
		one := want[enginetest.PathText(key)]
		wanted := queryhttp.Path{Path: p.Path, Attributes: []queryhttp.PathAttribute{}, Calls: one.Calls, Traces: one.Traces, IsCut: p.IsCut}
		for _, found := range one.Newest {
			wanted.Attributes = append(wanted.Attributes, queryhttp.PathAttribute{Key: "exemplar_trace_id", Value: found.TraceID.String()})
		}
		if diff := gocmp.Diff(wanted, p); diff != "" || !hasFocus || p.Calls > last {
			w.t.Fatalf("%v: through the focus %t, after one of %d calls (-want +got):\n%s", asked, hasFocus, last, diff)
		}
		last = p.Calls
	}
	return len(want)
}

// TestPathsAreThoseOfTheTraces, from the root to the leaf, counted and with examples.
func TestPathsAreThoseOfTheTraces(t *testing.T) {
	w := newWorld(t, queryhttp.Options{})
	r := rand.New(rand.NewPCG(3, 4))
	longest := 0
	w.eachForm([]func(){func() { w.load("hotrod", 60) }, func() { w.load("zipkin-fixtures", 0) }, func() { w.load("hotrod", 90) }}, func() {
		rows := w.rows()
		for range 12 {
			some := rows[r.IntN(len(rows))]
			q := span.PathQuery{Service: string(some.Service()), StartMax: 1<<64 - 1, Inner: r.IntN(2) == 0}
			if q.Service == "" {
				continue
			}
			if r.IntN(2) == 0 {
				q.Name = string(some.Name())
			}
			if r.IntN(2) == 0 {
				q.StartMax = some.Start()
			}
			asked := url.Values{"service": {q.Service}, "operation": {q.Name}, "inner": {strconv.FormatBool(q.Inner)}, "from": {"0"}, "to": {strconv.FormatUint(q.StartMax, 10)}}
			n := w.checkPaths(asked, q, 1000)
			longest = max(longest, n)
			asked.Set("limit", "3")
			w.checkPaths(asked, q, 3)
		}
	})
	if longest < 10 {
		t.Errorf("no question has more than %d paths", longest)
	}
}

// The range of a deep graph is a day until now where nothing is said, as Jaeger's page says with
// start and end 0; they are microseconds, endTs and lookback milliseconds, from and to nanoseconds.
func TestTheRangeOfPaths(t *testing.T) {
	w := newWorld(t, queryhttp.Options{})
	hour := uint64(3600 * 1000)
	end := uint64(now.UnixMilli())
	w.write(request(t, made{service: "a", name: "future", start: end + 1}, made{service: "a", name: "now", start: end}, made{service: "a", name: "hour", start: end - hour},
		made{service: "a", name: "day", start: end - 24*hour}, made{service: "a", name: "older", start: end - 24*hour - 1}, made{service: "a", name: "first", start: 0}))
	number := func(n uint64) []string { return []string{strconv.FormatUint(n, 10)} }
	for _, c := range []struct {
		asked url.Values
		want  []string
	}{
		{url.Values{}, []string{"day", "hour", "now"}},
		{url.Values{"start": {"0"}, "end": {"0"}}, []string{"day", "hour", "now"}},
		{url.Values{"lookback": number(hour)}, []string{"hour", "now"}},
		{url.Values{"endTs": number(end - 1), "lookback": number(hour)}, []string{"hour"}},
		{url.Values{"start": number((end - hour) * 1000), "end": number((end + 1) * 1000)}, []string{"future", "hour", "now"}},
		{url.Values{"start": number((end-hour)*1000 + 1)}, []string{"now"}},
		{url.Values{"end": number(end*1000 - 1)}, []string{"hour", "day"}},
		{url.Values{"from": {"0"}, "to": number(end*1e6 - 1)}, []string{"first", "older", "day", "hour"}},
		{url.Values{"from": number((end-hour)*1e6 + 1)}, []string{"now"}},
	} {
		c.asked.Set("service", "a")
		for _, path := range []string{"/api/deep-dependencies", "/analytics/v1/dependencies"} {
			var answer queryhttp.Paths
			ask(t, w.url, path, c.asked, &answer)
			var got []string
			for _, p := range answer.Dependencies {
				got = append(got, p.Path[0].Operation)
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("%s %v: %q, want %q", path, c.asked, got, c.want)
			}
		}
	}
}

// TestTheAnswerAboutPathsIsBounded: a name that the store has once stands on each
// path. Those with the most calls are told, as many as 16 MiB hold, and the answer says that it is cut.
func TestTheAnswerAboutPathsIsBounded(t *testing.T) {
	w := newWorld(t, queryhttp.Options{})
	const children, bytesMax = 80, 16 << 20
	long := strings.Repeat("<", 80_000) // six bytes each in JSON
	calls := []call{{id: 1, service: long, start: 1}}
	for i := range children {
		for range 1 + i%2 { // of every other path there are two
			calls = append(calls, call{id: byte(len(calls) + 1), parent: 1, service: strconv.Itoa(i), start: 2})
		}
	}
	w.write(tree(t, calls...))
	for limit, want := range map[int]int{10: 10, 1000: -1} {
		code, body := get(t, w.url, "/api/deep-dependencies", url.Values{"service": {long}, "from": {"0"}, "limit": {strconv.Itoa(limit)}})
		var got queryhttp.Paths
		if err := json.Unmarshal([]byte(body), &got); err != nil || code != http.StatusOK {
			t.Fatalf("limit %d: %d %v", limit, code, err)
		}
		if want < 0 { // the last that is told leaves no room for one more
			want = bytesMax / (len(body) / max(1, len(got.Dependencies)))
		}
		if len(got.Dependencies) != want || !got.IsCut || got.Paths != children || len(body) > bytesMax+1000 {
			t.Errorf("limit %d: %d paths of %d in %d bytes, cut %t; want %d", limit, len(got.Dependencies), got.Paths, len(body), got.IsCut, want)
		}
		for i, path := range got.Dependencies {
			if path.Calls != 2 {
				t.Fatalf("path %d has %d calls, and there are others with 2", i, path.Calls)
			}
		}
	}
}
