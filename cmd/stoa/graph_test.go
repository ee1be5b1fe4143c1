package main

import (
	"encoding/json"
	"slices"
	"testing"
)

// checkGraph asks for the service graph in each form, a server by its admin port.
func checkGraph(t *testing.T, where func(args ...string) []string, admin string) {
	t.Helper()
	with := func(args ...string) []string {
		if args = where(args...); slices.Contains(args, "--addr") {
			args = append(args, "--admin", admin)
		}
		return args
	}
	wants(t, 0, []string{`(?m)^PARENT +CHILD +CALLS +ERRORS +P50 +P95 +P99\n`, `(?m)^frontend +backend +1 +0\.0 % +\S+s +\S+s +\S+s$`,
		`(?m)^execution +alice +1 +100\.0 %`}, with("graph")...)
	wants(t, 0, []string{`^digraph services \{`, `"frontend" -> "backend" \[label="1 call\\n0\.0 % errors\\np95 \S+s"\];`,
		`"execution" -> "alice" \[.*, color=red\];`}, with("graph", "-o", "dot")...)
	wants(t, 0, []string{`^parent,child,calls,errors,p50_nano,p95_nano,p99_nano\n`, `(?m)^frontend,backend,1,0,\d+,\d+,\d+$`}, with("graph", "-o", "csv")...)
	wants(t, 0, []string{"no call between services found"}, with("graph", "from=1990-01-01", "to=1991-01-01")...)
	var edges []edgeJSON
	if err := json.Unmarshal([]byte(wants(t, 0, nil, with("graph", "--json")...).out), &edges); err != nil {
		t.Fatal(err)
	}
	for _, e := range edges {
		if e.Parent == e.Child || e.Calls == 0 || e.Errors > e.Calls || e.P50Nano > e.P95Nano || e.P95Nano > e.P99Nano {
			t.Errorf("edge %+v", e)
		}
	}
}
