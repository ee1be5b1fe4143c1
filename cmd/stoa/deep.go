package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/stoadb/stoa/api/queryhttp"
	"github.com/stoadb/stoa/engine/span"
)

// deepFlags are those of graph --deep.
type deepFlags struct {
	focus string
	inner bool
	limit int
}

// printDeep asks the query port for the paths through what the flag names, and prints them.
func (f deepFlags) printDeep(ctx context.Context, w io.Writer, form string, s asked, q span.Query) error {
	services, err := s.Services(ctx)
	if err != nil {
		return err
	}
	service, name := splitFocus(f.focus, services)
	paths, err := askPaths(ctx, s, url.Values{
		"service": {service}, "operation": {name}, "inner": {strconv.FormatBool(f.inner)}, "limit": {strconv.Itoa(f.limit)},
		"from": {strconv.FormatUint(q.StartMin, 10)}, "to": {strconv.FormatUint(q.StartMax, 10)},
	})
	if err != nil {
		return err
	}
	return f.printPaths(w, form, paths, !f.inner && name != "")
}

// splitFocus takes SERVICE[/OPERATION] apart. Names of services may have slashes too: one that
// is known wins, the longest of several, and else the first slash counts.
func splitFocus(focus string, services []string) (service, name string) {
	found := false
	for _, known := range services {
		if rest, ok := strings.CutPrefix(focus, known); ok && known != "" && len(known) >= len(service) && (rest == "" || rest[0] == '/') {
			service, name, found = known, strings.TrimPrefix(rest, "/"), true
		}
	}
	if !found {
		service, name, _ = strings.Cut(focus, "/")
	}
	return service, name
}

// askPaths asks the query port. A question may take as long as the server lets it.
func askPaths(ctx context.Context, s asked, values url.Values) (paths queryhttp.Paths, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.query+"/api/deep-dependencies?"+values.Encode(), http.NoBody)
	if err != nil {
		return paths, err
	}
	if s.tenant != "" {
		request.Header.Set(s.header, s.tenant)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return paths, fmt.Errorf("the query port does not answer (name it with --query): %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(response.Body, adminReasonBytesMax)) // what came of it says what there is to say
		var refusal struct{ Errors []struct{ Msg string } }
		if err := json.Unmarshal(reason, &refusal); err == nil && len(refusal.Errors) > 0 {
			reason = []byte(refusal.Errors[0].Msg)
		}
		return paths, fmt.Errorf("GET %s: %s: %s", request.URL, response.Status, strings.TrimSpace(string(reason)))
	}
	if err := json.NewDecoder(response.Body).Decode(&paths); err != nil {
		return paths, fmt.Errorf("GET %s: %w", request.URL, err)
	}
	return paths, nil
}

// printPaths prints a path a line, the most frequent first; the arrows of a path lead from caller
// to callee.
func (f deepFlags) printPaths(w io.Writer, form string, paths queryhttp.Paths, innerMayHelp bool) error {
	switch form {
	case "json":
		return printJSON(w, paths)
	case "jsonl":
		return printJSONLines(w, paths.Dependencies)
	case "dot":
		return printPathsDot(w, paths.Dependencies)
	}
	rows := make([][]string, len(paths.Dependencies))
	for i, p := range paths.Dependencies {
		example := ""
		if len(p.Attributes) > 0 {
			example = p.Attributes[0].Value
		}
		hops := make([]string, len(p.Path))
		for j, hop := range p.Path {
			hops[j] = hop.Service + "/" + hop.Operation
		}
		if p.IsCut {
			hops = append(hops, "...")
		}
		rows[i] = []string{strconv.FormatUint(p.Calls, 10), strconv.FormatUint(p.Traces, 10), example, strings.Join(hops, " > ")}
	}
	if form == "csv" {
		return printCSV(w, []string{"calls", "traces", "newest_trace_id", "path"}, rows)
	}
	if len(rows) == 0 && paths.Deeper == 0 {
		text := "no path found"
		if innerMayHelp {
			text += "; a span within a service is on one with --inner only"
		}
		_, err := fmt.Fprintln(w, text)
		return err
	}
	if err := printTable(w, []string{"CALLS", "TRACES", "NEWEST TRACE", "PATH"}, rows); err != nil {
		return err
	}
	if paths.Paths > len(rows) {
		why := "--limit has more"
		if len(rows) < f.limit {
			why = "their names are too long for one answer to hold more"
		}
		if _, err := fmt.Fprintf(w, "%d of %d paths; %s\n", len(rows), paths.Paths, why); err != nil {
			return err
		}
	}
	if paths.Deeper > 0 {
		_, err := fmt.Fprintf(w, "%d more calls, whose paths have more than %d hops before they get there\n", paths.Deeper, span.PathHopsMax)
		return err
	}
	return nil
}

// printPathsDot prints the paths as one graph: calls add up on each step from hop to hop.
func printPathsDot(w io.Writer, paths []queryhttp.Path) error {
	type step struct{ from, to queryhttp.PathEntry }
	calls := map[step]uint64{}
	var steps []step
	alone := map[queryhttp.PathEntry]bool{}
	for _, p := range paths {
		if len(p.Path) == 1 {
			alone[p.Path[0]] = true
		}
		onPath := map[step]bool{} // a path that goes round is counted once on each step
		for i := range len(p.Path) - 1 {
			s := step{p.Path[i], p.Path[i+1]}
			if onPath[s] {
				continue
			}
			onPath[s] = true
			if calls[s] == 0 {
				steps = append(steps, s)
			}
			calls[s] += p.Calls
		}
	}
	name := func(e queryhttp.PathEntry) string { return dotName(e.Service + "/" + e.Operation) }
	lines := make([]string, 0, len(steps)+len(alone))
	for _, s := range steps {
		lines = append(lines, fmt.Sprintf("  %s -> %s [label=\"%d\"];\n", name(s.from), name(s.to), calls[s]))
	}
	for e := range alone {
		lines = append(lines, "  "+name(e)+";\n")
	}
	slices.Sort(lines)
	_, err := io.WriteString(w, "digraph paths {\n  rankdir=LR;\n  node [shape=box];\n"+strings.Join(lines, "")+"}\n")
	return err
}
