package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/span"
)

// The service graph, asked for on the admin port, as Jaeger's protocol has calls alone:
//
//	GET /edges?from=NANO&to=NANO
//	{"edges":[{"parent":"A","child":"B","calls":12,"errors":1,
//	  "p50Nano":"...","p95Nano":"...","p99Nano":"..."}, ...]}

func newGraph() *cobra.Command {
	var target targetFlags
	var output outputFlags
	var deep deepFlags
	cmd := &cobra.Command{
		Use:   "graph ['TEXT']",
		Short: "Print which service calls which, how often, and how that went",
		Long: `Prints the service graph: a call for each span whose parent belongs to another service, with
how many of these spans failed, and how long they took (median, 95th and 99th of 100, to 1.6 %).
The text may bound the time of the callee's start: from, to, since, as in find.

With --deep SERVICE[/OPERATION] it prints the deep graph of that service: the distinct paths
from the root of a trace to a leaf that go through it, with how many calls went that way, in how
many traces, and the newest of these. A path's hops are roots, spans of another service than the
hop before, and spans of kind server; --inner takes every span. The text bounds the start of the
path's first span of that service.`,
		Example: `  stoa graph since=24h
  stoa graph --deep driver since=1h
  stoa graph --deep 'frontend/HTTP GET /dispatch' -o dot
  stoa graph -o dot | dot -Tsvg > graph.svg`,
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := parseQuery(strings.Join(args, " "), time.Now())
			if err != nil {
				return err
			}
			if q.Filter != nil {
				return usagef("graph knows from, to and since only")
			}
			if !cmd.Flags().Changed("deep") && (deep.inner || cmd.Flags().Changed("limit")) {
				return usagef("--inner and --limit are for --deep")
			}
			if deep.limit < 1 {
				return usagef("--limit %d: want 1 or more", deep.limit)
			}
			return withStore(cmd, target, func(ctx context.Context, s asked) error {
				if cmd.Flags().Changed("deep") {
					return deep.printDeep(ctx, cmd.OutOrStdout(), output.form, s, q)
				}
				values := url.Values{"from": {strconv.FormatUint(q.StartMin, 10)}, "to": {strconv.FormatUint(q.StartMax, 10)}}
				var graph graphJSON
				if err := askAdmin(ctx, s, "/edges", values, &graph); err != nil {
					return err
				}
				return printGraph(cmd.OutOrStdout(), output.form, graph.Edges)
			})
		},
	}
	target.add(cmd)
	cmd.Flags().StringVar(&target.query, "query", "", "query port of the server, HOST:PORT, for --deep (default: port 16686 of the host of --addr)")
	cmd.Flags().StringVar(&deep.focus, "deep", "", "print the paths through this service, or SERVICE/OPERATION, instead")
	cmd.Flags().BoolVar(&deep.inner, "inner", false, "with --deep: every span is a hop, not only those that enter a service")
	cmd.Flags().IntVar(&deep.limit, "limit", 100, "with --deep: paths to print, at most 10,000, the most frequent first")
	cmd.Flags().StringVar(&target.admin, "admin", "", "admin port of the server, HOST:PORT (default: one below the port of --addr)")
	output.add(cmd, "table", "json", "jsonl", "csv", "dot")
	return cmd
}

type graphJSON struct {
	Edges []edgeJSON `json:"edges"`
}

// edgeJSON is a span.EdgeRate as the admin port and the command tell it. Durations stand as
// text, as in rateJSON.
type edgeJSON struct {
	Parent  string `json:"parent"`
	Child   string `json:"child"`
	Calls   uint64 `json:"calls"`
	Errors  uint64 `json:"errors"`
	P50Nano uint64 `json:"p50Nano,string"`
	P95Nano uint64 `json:"p95Nano,string"`
	P99Nano uint64 `json:"p99Nano,string"`
}

// edgesHandler serves the calls between services, as the Jaeger API does: without those of a
// service to itself, and under valid names, of which two may have become one.
func edgesHandler(store *cluster.Store) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := span.EdgeQuery{StartMax: math.MaxUint64}
		if err := readRange(r.URL.Query(), &q.StartMin, &q.StartMax); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		stored, err := store.EdgeRates(r.Context(), q)
		named := span.NewEdges()
		for _, e := range stored {
			if e.Parent != e.Child {
				e.Parent, e.Child = wire.Text(e.Parent), wire.Text(e.Child)
				named.Add(e)
			}
		}
		edges := named.Sorted()
		answer := graphJSON{Edges: make([]edgeJSON, len(edges))}
		for i, e := range edges {
			answer.Edges[i] = edgeJSON{
				e.Parent, e.Child, e.Calls, e.Errors, e.Durations.Quantile(0.5), e.Durations.Quantile(0.95), e.Durations.Quantile(0.99),
			}
		}
		answerJSON(w, r, answer, err)
	})
}

// readRange reads the parameters from and to, where they are given.
func readRange(values url.Values, from, to *uint64) (err error) {
	for _, bound := range []struct {
		name string
		to   *uint64
	}{{"from", from}, {"to", to}} {
		if text := values.Get(bound.name); text != "" {
			if *bound.to, err = strconv.ParseUint(text, 10, 64); err != nil {
				return fmt.Errorf("%s %q: want nanoseconds since 1970", bound.name, text)
			}
		}
	}
	return nil
}

// printGraph prints the edges.
func printGraph(w io.Writer, form string, edges []edgeJSON) error {
	exact := func(n uint64) string { return strconv.FormatUint(n, 10) }
	rows := make([][]string, len(edges))
	switch form {
	case "json":
		return printJSON(w, edges)
	case "jsonl":
		return printJSONLines(w, edges)
	case "csv":
		for i, e := range edges {
			rows[i] = []string{e.Parent, e.Child, exact(e.Calls), exact(e.Errors), exact(e.P50Nano), exact(e.P95Nano), exact(e.P99Nano)}
		}
		return printCSV(w, []string{"parent", "child", "calls", "errors", "p50_nano", "p95_nano", "p99_nano"}, rows)
	case "dot":
		return printDot(w, edges)
	}
	if len(edges) == 0 {
		_, err := fmt.Fprintln(w, "no call between services found")
		return err
	}
	for i, e := range edges {
		rows[i] = []string{e.Parent, e.Child, exact(e.Calls), shareText(e.Errors, e.Calls), durationText(e.P50Nano), durationText(e.P95Nano), durationText(e.P99Nano)}
	}
	return printTable(w, []string{"PARENT", "CHILD", "CALLS", "ERRORS", "P50", "P95", "P99"}, rows)
}

// shareText tells which part of all there is, in percent.
func shareText(part, all uint64) string {
	return strconv.FormatFloat(100*float64(part)/float64(all), 'f', 1, 64) + " %"
}

// printDot prints the graph in the language of Graphviz; edges with errors are red.
func printDot(w io.Writer, edges []edgeJSON) error {
	var dot strings.Builder
	dot.WriteString("digraph services {\n  rankdir=LR;\n  node [shape=box];\n")
	for _, e := range edges {
		calls, failed := "calls", ""
		if e.Calls == 1 {
			calls = "call"
		}
		if e.Errors > 0 {
			failed = ", color=red"
		}
		fmt.Fprintf(&dot, "  %s -> %s [label=\"%d %s\\n%s errors\\np95 %s\"%s];\n",
			dotName(e.Parent), dotName(e.Child), e.Calls, calls, shareText(e.Errors, e.Calls), durationText(e.P95Nano), failed)
	}
	dot.WriteString("}\n")
	_, err := io.WriteString(w, dot.String())
	return err
}

func dotName(service string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(service) + `"`
}
