package queryhttp_test

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/api/queryhttp"
)

// listing is Jaeger's form of an answer.
type listing[T any] struct {
	Data                 []T
	Total, Limit, Offset int
	Errors               []string
}

type operationJSON struct{ Name, SpanKind string }

type dependencyJSON struct {
	Parent, Child string
	CallCount     uint64
}

// asksFor compares a list, which must not be null, with the one that is wanted.
func asksFor[T any](t *testing.T, root, path string, parameters url.Values, counts bool, want []T) {
	t.Helper()
	var got listing[T]
	ask(t, root, path, parameters, &got)
	total := 0
	if counts {
		total = len(want)
	}
	if diff := gocmp.Diff(want, got.Data); diff != "" || got.Total != total || got.Data == nil {
		t.Errorf("%s %v: total %d, want %d (-want +got):\n%s", path, parameters, got.Total, total, diff)
	}
}

// TestTheCatalogIsThatOfTheSpans: services, operations and who calls whom.
func TestTheCatalogIsThatOfTheSpans(t *testing.T) {
	w := newWorld(t, queryhttp.Options{})
	w.eachForm([]func(){func() { w.load("zipkin-fixtures", 0) }, func() { w.load("hotrod", 100) }}, func() {
		services := w.model.Services()
		asksFor(t, w.url, "/api/services", nil, true, services)
		for _, service := range append(services, "nobody") {
			var names []string
			byKind := map[string][]operationJSON{}
			for o := range w.model.Operations(service) {
				if o.Service != service {
					continue // the model takes "" for every service
				}
				kind := kindNames[o.Kind]
				if kind == "unspecified" {
					kind = ""
				}
				names = append(names, o.Name)
				byKind[""] = append(byKind[""], operationJSON{o.Name, kind})
				if kind != "" {
					byKind[kind] = append(byKind[kind], operationJSON{o.Name, kind})
				}
			}
			if service == "" {
				continue // no path and no parameter can say it
			}
			slices.Sort(names)
			asksFor(t, w.url, "/api/services/"+url.PathEscape(service)+"/operations", nil, true, append([]string{}, slices.Compact(names)...))
			for _, kind := range []string{"", "server", "client", "producer"} {
				list := append([]operationJSON{}, byKind[kind]...)
				slices.SortFunc(list, func(a, b operationJSON) int {
					return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(slices.Index(kindNames, a.SpanKind), slices.Index(kindNames, b.SpanKind)))
				})
				asksFor(t, w.url, "/api/operations", url.Values{"service": {service}, "spanKind": {kind}}, true, list)
			}
		}
		rows := w.rows()
		for i := range 10 {
			end, lookback := rows[i*len(rows)/10].Start()/1e6, uint64([]int{0, 50, 5_000, 1e12}[i%4])
			edges := func(service string) (list []dependencyJSON) {
				for pair, calls := range w.model.Edges((end-min(end, lookback))*1e6, end*1e6) {
					if pair[0] != pair[1] && (service == "" || pair[0] == service || pair[1] == service) {
						list = append(list, dependencyJSON{pair[0], pair[1], calls})
					}
				}
				slices.SortFunc(list, func(a, b dependencyJSON) int {
					return cmp.Or(cmp.Compare(a.Parent, b.Parent), cmp.Compare(a.Child, b.Child))
				})
				return append([]dependencyJSON{}, list...)
			}
			for _, service := range []string{"", "driver", "nobody"} {
				asked := url.Values{"endTs": {strconv.FormatUint(end, 10)}, "lookback": {strconv.FormatUint(lookback, 10)}, "service": {service}}
				asksFor(t, w.url, "/api/dependencies", asked, false, edges(service))
			}
		}
	})
}

// What is empty is an empty list; Jaeger's page takes null for a failure.
func TestAnEmptyStoreHasEmptyLists(t *testing.T) {
	w := newWorld(t, queryhttp.Options{})
	const empty = `{"data":[],"total":0,"limit":0,"offset":0,"errors":null}`
	for _, path := range []string{"/api/services", "/api/services/a/operations", "/api/dependencies"} {
		if code, body := get(t, w.url, path, nil); code != http.StatusOK || body != empty {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, body := get(t, w.url, "/api/operations", url.Values{"service": {"a"}}); code != http.StatusOK || body != empty {
		t.Errorf("operations: %d %s", code, body)
	}
	for _, path := range []string{"/api/deep-dependencies", "/analytics/v1/dependencies"} {
		if code, body := get(t, w.url, path, url.Values{"service": {"a"}}); code != http.StatusOK || body != `{"dependencies":[],"paths":0,"deeper":0,"isCut":false}` {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

// A day until now is the range of dependencies where none is said; calls within a service are not
// among them. Names that are not UTF-8 are made valid, and equal ones are one.
func TestDependenciesByDefault(t *testing.T) {
	day := uint64(24 * 3600 * 1000)
	end := uint64(now.UnixMilli())
	w := newWorld(t, queryhttp.Options{})
	w.write(tree(t,
		call{1, 0, "web", end}, call{2, 1, "x\xff", end}, call{3, 1, "x\xfe", end - day}, call{4, 1, "x\xff", end - day + 1}, call{5, 1, "web", end - day},
		call{6, 1, "x\xff", end - day - 1}, call{7, 1, "x\xff", end + 1}, call{8, 1, "web", end + 1}))
	for path, want := range map[string]string{
		"/api/dependencies":            `{"data":[{"parent":"web","child":"x�","callCount":3}],"total":0,"limit":0,"offset":0,"errors":null}`,
		"/api/services":                `{"data":["web","x�"],"total":2,"limit":0,"offset":0,"errors":null}`,
		"/api/services/web/operations": `{"data":["op"],"total":1,"limit":0,"offset":0,"errors":null}`,
	} {
		if code, body := get(t, w.url, path, nil); code != http.StatusOK || body != want {
			t.Errorf("%s: %d\n%s\nwant\n%s", path, code, body, want)
		}
	}
}
