package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/engine/span"
)

const findLong = `Finds the traces that hold a span on which the whole text holds, newest first.

A word is KEY=VALUE, and words side by side all hold. service, name (or operation),
minDuration, maxDuration, from, to and since are Stoa's own; any other key is a tag,
looked for in the attributes of the span, its resource, scope, events and links, and
compared as text. error=true finds spans of status Error. Keys and values with spaces
stand in quotes.

Beyond words there are expressions: and, or, not, ( ); the operators = != < <= > >=
=~ !~ in, not in; span.KEY, resource.KEY, scope.KEY, event.KEY and link.KEY for the
attributes of one level, and its fields, such as span.duration, span.status, span.kind,
event.name; exists(KEY), some(event, CONDITION), phrase(KEY, "WORDS"), fulltext(...).
docs/find.md has all of it. A text that is nothing but words KEY=VALUE is always read as
words, even with parentheses in them.`

func newFind() *cobra.Command {
	var target targetFlags
	var output outputFlags
	var limit int
	var explain bool
	cmd := &cobra.Command{
		Use:   "find ['TEXT' | WORD ...]",
		Short: "Find traces, newest first",
		Long:  findLong,
		Example: `  stoa find 'service=frontend error=true http.status_code=500 minDuration=10ms'
  stoa find 'service=driver since=1h' --limit 5 --json
  stoa find 'service=frontend and (error=true or span.duration > 1s) and not span.kind = client'
  stoa find 'http.response.status_code >= 500 or some(event, event.level = error and event.timeSinceStart > 1ms)'
  stoa find 'name="HTTP GET /dispatch" from=2026-11-22T10:00:00Z to=2026-11-22T11:00:00Z'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			text := strings.Join(args, " ")
			q, err := parseQuery(text, time.Now())
			if err != nil {
				return err
			}
			if limit < 1 || limit > span.TracesFoundMax {
				return usagef("--limit %d: want 1 to %d", limit, span.TracesFoundMax)
			}
			q.Limit = limit
			return withStore(cmd, target, func(ctx context.Context, s asked) error {
				if !explain {
					found, err := s.Summaries(ctx, q)
					if err != nil {
						return err
					}
					return errors.Join(printSummaries(cmd.OutOrStdout(), output.form, found), printReading(cmd.ErrOrStderr(), text, q, len(found)))
				}
				found, explained, err := s.ExplainedSummaries(ctx, q)
				if found == nil && err != nil {
					return err
				}
				err = errors.Join(printSummaries(cmd.OutOrStdout(), output.form, found), err, printReading(cmd.ErrOrStderr(), text, q, len(found)))
				if err != nil {
					return err
				}
				return printExplained(cmd.ErrOrStderr(), explained)
			})
		},
	}
	target.add(cmd)
	output.add(cmd, "table", "json", "jsonl", "csv")
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "at most this many traces")
	cmd.Flags().BoolVar(&explain, "explain", false, "say on standard error, after the answer, what the search did")
	return cmd
}

// summaryJSON is a span.Summary as the commands print it. Times stand as RFC 3339 for
// people and as unix nanoseconds, in text because JSON's numbers end at 2^53.
type summaryJSON struct {
	TraceID       string             `json:"traceId"`
	RootService   string             `json:"rootService"`
	RootName      string             `json:"rootName"`
	Start         string             `json:"start"`
	StartUnixNano string             `json:"startUnixNano"`
	EndUnixNano   string             `json:"endUnixNano"`
	DurationNano  string             `json:"durationNano"`
	Spans         int                `json:"spans"`
	Errors        int                `json:"errors"`
	Orphans       int                `json:"orphans"`
	Services      []serviceCountJSON `json:"services"`
}

type serviceCountJSON struct {
	Service string `json:"service"`
	Spans   int    `json:"spans"`
	Errors  int    `json:"errors"`
}

func summaryToJSON(s span.Summary) summaryJSON {
	out := summaryJSON{
		TraceID: s.TraceID.String(), RootService: s.RootService, RootName: s.RootName,
		Start:         timeOf(s.Start).Format(time.RFC3339Nano),
		StartUnixNano: strconv.FormatUint(s.Start, 10), EndUnixNano: strconv.FormatUint(s.End, 10),
		DurationNano: strconv.FormatUint(span.Duration(s.Start, s.End), 10),
		Spans:        s.Spans, Errors: s.Errors, Orphans: s.Orphans, Services: []serviceCountJSON{},
	}
	for _, service := range s.Services {
		out.Services = append(out.Services, serviceCountJSON(service))
	}
	return out
}

// printSummaries prints what find found.
func printSummaries(w io.Writer, form string, found []span.Summary) error {
	switch form {
	case "json", "jsonl":
		documents := make([]summaryJSON, len(found))
		for i, s := range found {
			documents[i] = summaryToJSON(s)
		}
		if form == "json" {
			return printJSON(w, documents)
		}
		return printJSONLines(w, documents)
	case "csv":
		head := []string{"trace_id", "start_unix_nano", "duration_nano", "spans", "errors", "services", "root_service", "root_name"}
		exact := func(n uint64) string { return strconv.FormatUint(n, 10) }
		return printCSV(w, head, summaryRows(found, exact, exact))
	}
	if len(found) == 0 {
		_, err := fmt.Fprintln(w, "no trace found")
		return err
	}
	head := []string{"TRACE ID", "START (UTC)", "DURATION", "SPANS", "ERRORS", "SERVICES", "ROOT SERVICE", "ROOT NAME"}
	return printTable(w, head, summaryRows(found, timeText, durationText))
}

// summaryRows gives a row for each summary; start and duration spell nanoseconds.
func summaryRows(found []span.Summary, start, duration func(uint64) string) [][]string {
	rows := make([][]string, len(found))
	for i, s := range found {
		rows[i] = []string{
			s.TraceID.String(), start(s.Start), duration(span.Duration(s.Start, s.End)),
			strconv.Itoa(s.Spans), strconv.Itoa(s.Errors), strconv.Itoa(len(s.Services)), s.RootService, s.RootName,
		}
	}
	return rows
}
