package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stoadb/stoa/api/queryhttp"
	"github.com/stoadb/stoa/bench"
)

// TestTheDeepGraphIsTheSameFromServerMemoryAndFolder.
func TestTheDeepGraphIsTheSameFromServerMemoryAndFolder(t *testing.T) {
	folder := t.TempDir()
	server := startServer(t, folder)
	for range 2 { // what comes twice counts once
		wants(t, 0, nil, "import", "--again", "--addr", server.Storage, "--admin", server.Admin, fixture(t, "zipkin-fixtures"))
	}
	answers := map[string]string{}
	ask := func(where ...string) {
		t.Helper()
		for _, question := range [][]string{
			{"bookie"}, {"bookie", "-o", "csv"}, {"bookie", "-o", "jsonl", "--limit", "2"}, {"frontend", "--inner", "--json"}, {"bookie", "-o", "dot"},
			{"bookie/get /installedapps/{installedappid}/staged"}, {"bookie", "from=2018-01-01 to=2018-02-01"}, {"nobody"}, {"nobody/at all"},
		} {
			out := wants(t, 0, nil, append(append([]string{"graph", "--deep"}, question...), where...)...).out
			key := strings.Join(question, " ")
			if before, ok := answers[key]; ok && before != out {
				t.Errorf("graph --deep %s answered\n%s\nand now\n%s", key, before, out)
			}
			answers[key] = out
		}
	}
	address := func(s *bench.Server) []string { return []string{"--addr=" + s.Storage, "--query=" + s.Query} }
	ask(address(server)...)
	for _, path := range []string{"/flush", "/compact"} {
		if err := server.Ask(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		ask(address(server)...)
	}
	stopServer(t, server)
	ask("--data", folder)
	for key, want := range map[string]string{
		"bookie":                               `(?s)^CALLS +TRACES +NEWEST TRACE +PATH\n\d+ +1 +[0-9a-f]{32} +\S.* > bookie/get /installedapps/`,
		"bookie -o csv":                        `^calls,traces,newest_trace_id,path\n\d+,1,[0-9a-f]{32},`,
		"bookie -o dot":                        `(?s)^digraph paths {\n.*  "\S+/[^"]+" -> "bookie/get [^"]+" \[label="\d+"\];\n.*}\n$`,
		"nobody":                               `^no path found\n$`,
		"nobody/at all":                        `^no path found; a span within a service is on one with --inner only\n$`,
		"bookie from=2018-01-01 to=2018-02-01": `.`,
	} {
		if !regexp.MustCompile(want).MatchString(answers[key]) {
			t.Errorf("graph --deep %s:\n%s\nwant %s", key, answers[key], want)
		}
	}
	var inner queryhttp.Paths
	if err := json.Unmarshal([]byte(answers["frontend --inner --json"]), &inner); err != nil || inner.Paths == 0 || inner.IsCut {
		t.Errorf("inner: %v, %d paths, cut %t", err, inner.Paths, inner.IsCut)
	}
	if n := strings.Count(answers["bookie -o jsonl --limit 2"], "\n"); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
	wants(t, 0, []string{`\n1 of \d+ paths; --limit has more\n$`}, "graph", "--deep", "bookie", "--limit", "1", "--data", folder)
}

// The name of a service may have a slash, as its operations may.
func TestTheFocusOfADeepGraphIsTakenApart(t *testing.T) {
	services := []string{"", "a/b", "a", "frontend"} // in any order
	for focus, want := range map[string][2]string{
		"frontend": {"frontend", ""}, "frontend/op": {"frontend", "op"}, "frontend//dispatch": {"frontend", "/dispatch"}, "a/b": {"a/b", ""}, "a/b/c": {"a/b", "c"},
		"a/c": {"a", "c"}, "a": {"a", ""}, "frontends/x": {"frontends", "x"}, "x": {"x", ""}, "": {"", ""}, "/x": {"", "x"},
	} {
		if service, name := splitFocus(focus, services); service != want[0] || name != want[1] {
			t.Errorf("%q: %q and %q, want %q", focus, service, name, want)
		}
	}
}

func TestTheDeepGraphRefusesWhatItCannotDo(t *testing.T) {
	folder := t.TempDir()
	server := startServer(t, folder, "--tenants", "a,b")
	where := []string{"--addr", server.Storage, "--query", server.Query}
	wants(t, 2, []string{"--inner and --limit are for --deep"}, "graph", "--inner")
	wants(t, 2, []string{"--inner and --limit are for --deep"}, "graph", "--limit", "3")
	wants(t, 2, []string{"--limit 0: want 1 or more"}, "graph", "--deep", "a", "--limit", "0")
	wants(t, 2, []string{"graph knows from, to and since only"}, "graph", "--deep", "a", "error=true")
	wants(t, 2, []string{`--query "nowhere": want HOST:PORT`}, "graph", "--deep", "a", "--query", "nowhere")
	wants(t, 1, []string{"the query port does not answer.*--query"}, "graph", "--deep", "a", "--tenant", "a", "--addr", server.Storage, "--query", nobody(t))
	wants(t, 1, []string{"parameter 'service' is required"}, append([]string{"graph", "--deep", "", "--tenant", "a"}, where...)...)
	wants(t, 1, []string{"name yours with --tenant"}, append([]string{"graph", "--deep", "a"}, where...)...)
	wants(t, 0, []string{"no path found"}, append([]string{"graph", "--deep", "bookie", "--tenant", "b"}, where...)...)
	wants(t, 0, nil, "import", "--tenant", "a", "--addr", server.Storage, "--admin", server.Admin, fixture(t, "zipkin-fixtures"))
	wants(t, 0, []string{"bookie/"}, append([]string{"graph", "--deep", "bookie", "--tenant", "a"}, where...)...)
	wants(t, 0, []string{"no path found"}, append([]string{"graph", "--deep", "bookie", "--tenant", "b"}, where...)...)
	stopServer(t, server)
	wants(t, 0, []string{"bookie/"}, "graph", "--deep", "bookie", "--tenant", "a", "--data", folder)
}

// TestServeAnswersQueriesOverHTTP, each tenant's from its own store.
func TestServeAnswersQueriesOverHTTP(t *testing.T) {
	get := func(server *bench.Server, path, tenant string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+server.Query+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if tenant != "" {
			request.Header.Set("X-Scope", tenant)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	server := startServer(t, t.TempDir())
	wants(t, 0, nil, "import", "--addr", server.Storage, "--admin", server.Admin, fixture(t, "zipkin-fixtures"))
	if code, body := get(server, "/api/operations?service=bookie&spanKind=server", ""); code != http.StatusOK || !strings.Contains(body, `"spanKind":"server"}],"total":`) {
		t.Errorf("operations: %d %s", code, body)
	}
	tenants := startServer(t, t.TempDir(), "--tenants", "a,b", "--tenant-header", "x-scope")
	wants(t, 0, nil, "import", "--tenant", "a", "--tenant-header", "x-scope", "--addr", tenants.Storage, "--admin", tenants.Admin, fixture(t, "zipkin-fixtures"))
	for tenant, want := range map[string]string{"a": `"bookie"`, "b": `{"data":[],`, "": "missing tenant header", "c": "unknown tenant"} {
		if code, body := get(tenants, "/api/services", tenant); !strings.Contains(body, want) || (code == http.StatusOK) != (tenant == "a" || tenant == "b") {
			t.Errorf("tenant %q: %d %s, want %s", tenant, code, body, want)
		}
	}
	if _, body := get(tenants, "/api/services", "b"); strings.Contains(body, "bookie") {
		t.Errorf("b sees what a has: %s", body)
	}
}

// A table says why it does not have all paths: fewer were asked for, or the answer was full.
func TestTheDeepGraphSaysWhatItLeavesOut(t *testing.T) {
	paths := queryhttp.Paths{Dependencies: []queryhttp.Path{{Path: []queryhttp.PathEntry{{Service: "a", Operation: "b"}}, Calls: 3, Traces: 2}}, Paths: 5, IsCut: true}
	for limit, want := range map[int]string{1: "1 of 5 paths; --limit has more\n", 2: "1 of 5 paths; their names are too long for one answer to hold more\n"} {
		var out strings.Builder
		if err := (deepFlags{limit: limit}).printPaths(&out, "table", paths, false); err != nil || !strings.HasSuffix(out.String(), want) {
			t.Errorf("limit %d: %v\n%s", limit, err, out.String())
		}
	}
}
