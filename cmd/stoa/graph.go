package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/engine/span"
)

func newGraph() *cobra.Command {
	var target targetFlags
	var output outputFlags
	var deep deepFlags
	cmd := &cobra.Command{
		Use:   "graph ['TEXT']",
		Short: "Print which service calls which, and how often",
		Long: `Prints the service graph: a call for each span whose parent belongs to another service.
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
				edges, err := s.Dependencies(ctx, q.StartMin, q.StartMax)
				if err != nil {
					return err
				}
				return printGraph(cmd.OutOrStdout(), output.form, edgesToJSON(edges))
			})
		},
	}
	target.add(cmd)
	cmd.Flags().StringVar(&target.query, "query", "", "query port of the server, HOST:PORT, for --deep (default: port 16686 of the host of --addr)")
	cmd.Flags().StringVar(&deep.focus, "deep", "", "print the paths through this service, or SERVICE/OPERATION, instead")
	cmd.Flags().BoolVar(&deep.inner, "inner", false, "with --deep: every span is a hop, not only those that enter a service")
	cmd.Flags().IntVar(&deep.limit, "limit", 100, "with --deep: paths to print, the most frequent first")
	output.add(cmd, "table", "json", "jsonl", "csv", "dot")
	return cmd
}

// edgeJSON is a span.Edge as the commands print it.
type edgeJSON struct {
	Parent string `json:"parent"`
	Child  string `json:"child"`
	Calls  uint64 `json:"calls"`
}

func edgesToJSON(edges []span.Edge) []edgeJSON {
	out := make([]edgeJSON, len(edges))
	for i, e := range edges {
		out[i] = edgeJSON(e)
	}
	return out
}

// printGraph prints the edges.
func printGraph(w io.Writer, form string, edges []edgeJSON) error {
	rows := make([][]string, len(edges))
	for i, e := range edges {
		rows[i] = []string{e.Parent, e.Child, strconv.FormatUint(e.Calls, 10)}
	}
	switch form {
	case "json":
		return printJSON(w, edges)
	case "jsonl":
		return printJSONLines(w, edges)
	case "csv":
		return printCSV(w, []string{"parent", "child", "calls"}, rows)
	case "dot":
		return printDot(w, edges)
	}
	if len(edges) == 0 {
		_, err := fmt.Fprintln(w, "no call between services found")
		return err
	}
	return printTable(w, []string{"PARENT", "CHILD", "CALLS"}, rows)
}

// printDot prints the graph in the language of Graphviz.
func printDot(w io.Writer, edges []edgeJSON) error {
	var dot strings.Builder
	dot.WriteString("digraph services {\n  rankdir=LR;\n  node [shape=box];\n")
	for _, e := range edges {
		fmt.Fprintf(&dot, "  %s -> %s [label=\"%d\"];\n", dotName(e.Parent), dotName(e.Child), e.Calls)
	}
	dot.WriteString("}\n")
	_, err := io.WriteString(w, dot.String())
	return err
}

func dotName(service string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(service) + `"`
}
