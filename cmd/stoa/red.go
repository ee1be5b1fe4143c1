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

// Rate, errors and durations of operations, asked for on the admin port:
//
//	GET /rates?service=S&name=N&kind=server,consumer&from=NANO&to=NANO&step=60s
//	{"rates":[{"service":"S","name":"N","kind":"server","start":"...","startUnixNano":"...","spans":"12","errors":"1",
//	  "p50Nano":"...","p90Nano":"...","p95Nano":"...","p99Nano":"..."}, ...]}
//
// All parameters may be left out: any service, any name, all kinds, all time, one step.

const redLong = `Counts spans by operation: how many there were, how many failed, and how long they took
(median, 90th, 95th and 99th of 100, to 1.6 %), straight from the spans that are stored: no
other process, no sampling, and spans that came late are in the answer. Each distinct span
counts once, in the step of its start.

The text may name service and name (or operation), and bound the time: from, to, since, as
in find. Counted are spans that serve: kinds server and consumer, and spans without a kind.
A range that begins and has no end, such as since=1h, ends now. A rate a second is told where
the range or the step has a length.`

// redKindsDefault are the kinds that serve.
const redKindsDefault = "server,consumer,unspecified"

func newRed() *cobra.Command {
	var target targetFlags
	var output outputFlags
	var kinds string
	var step time.Duration
	cmd := &cobra.Command{
		Use:   "red ['TEXT']",
		Short: "Print rate, errors and durations of operations",
		Long:  redLong,
		Example: `  stoa red since=1h
  stoa red service=frontend since=15m --step 1m -o csv
  stoa red 'service=mysql name="SQL SELECT"' --kind all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			now := time.Now()
			text, err := parseQuery(strings.Join(args, " "), now)
			if err != nil {
				return err
			}
			q := span.RateQuery{StartMin: text.StartMin, StartMax: redEnd(text, now), Step: uint64(step)}
			if !readNames(text.Filter, &q) {
				return usagef("red knows service, name, from, to and since only")
			}
			if step < 0 {
				return usagef("--step %v: less than nothing", step)
			}
			if q.Kinds, err = parseKinds(kinds); err != nil {
				return usageError{fmt.Errorf("--kind %w", err)}
			}
			return withStore(cmd, target, func(ctx context.Context, s asked) error {
				rates, err := askRates(ctx, s, q)
				if err != nil {
					return err
				}
				return printRates(cmd.OutOrStdout(), output.form, q, rates.Rates)
			})
		},
	}
	target.add(cmd)
	cmd.Flags().StringVar(&target.admin, "admin", "", "admin port of the server, HOST:PORT (default: one below the port of --addr)")
	output.add(cmd, "table", "json", "jsonl", "csv")
	cmd.Flags().StringVar(&kinds, "kind", redKindsDefault, "kinds of spans to count, with commas between them, or all")
	cmd.Flags().DurationVar(&step, "step", 0, "count by steps of this length, such as 1m (default: the whole range as one)")
	return cmd
}

// redEnd is where the range of a text ends: now, where it begins before that and says nothing of its end.
func redEnd(text span.Query, now time.Time) uint64 {
	if at := uint64(now.UnixNano()); text.StartMin > 0 && text.StartMin < at && text.StartMax == math.MaxUint64 {
		return at
	}
	return text.StartMax
}

// readNames reads the service and the name out of what a text asks for; false where it asks
// for anything else.
func readNames(f span.Filter, q *span.RateQuery) bool {
	switch f := f.(type) {
	case nil:
		return true
	case span.And:
		for _, part := range f.Parts {
			if !readNames(part, q) {
				return false
			}
		}
		return true
	case span.Comparison:
		constant, isConstant := f.Right.(span.Constant)
		name := &q.Service
		switch {
		case f.Left == span.SpanName:
			name = &q.Name
		case f.Left != span.ResourceService:
			return false
		}
		if !isConstant || f.Op != span.Equal || *name != "" && *name != constant.Text {
			return false
		}
		*name = constant.Text
		return true
	}
	return false
}

// parseKinds reads names of kinds; none and "all" is all of them.
func parseKinds(text string) (kinds []int32, err error) {
	if text == "" || text == "all" {
		return nil, nil
	}
	for name := range strings.SplitSeq(text, ",") {
		kind, ok := wire.KindNumber(name)
		switch {
		case name == "unspecified":
			kind = span.KindUnspecified
		case !ok || name == "":
			return nil, fmt.Errorf("%q: want all, or some of unspecified, internal, server, client, producer, consumer", name)
		}
		kinds = append(kinds, kind)
	}
	return kinds, nil
}

type ratesJSON struct {
	Rates []rateJSON `json:"rates"`
}

// rateJSON is a span.Rate as the admin port and the command tell it. Numbers that may exceed
// 2^53 stand as text, as in summaryJSON.
type rateJSON struct {
	Service       string `json:"service"`
	Name          string `json:"name"`
	Kind          string `json:"kind"`
	Start         string `json:"start"`
	StartUnixNano string `json:"startUnixNano"`
	Spans         uint64 `json:"spans,string"`
	Errors        uint64 `json:"errors,string"`
	P50Nano       uint64 `json:"p50Nano,string"`
	P90Nano       uint64 `json:"p90Nano,string"`
	P95Nano       uint64 `json:"p95Nano,string"`
	P99Nano       uint64 `json:"p99Nano,string"`
}

func rateToJSON(r *span.Rate) rateJSON {
	return rateJSON{
		Service: r.Service, Name: r.Name, Kind: kindName(r.Kind),
		Start: timeOf(r.Start).Format(time.RFC3339Nano), StartUnixNano: strconv.FormatUint(r.Start, 10),
		Spans: r.Spans, Errors: r.Errors,
		P50Nano: r.Durations.Quantile(0.5), P90Nano: r.Durations.Quantile(0.9),
		P95Nano: r.Durations.Quantile(0.95), P99Nano: r.Durations.Quantile(0.99),
	}
}

// ratesHandler serves them from the store.
func ratesHandler(store *cluster.Store) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := ratesOf(r.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		rates, err := store.Rates(r.Context(), q)
		answer := ratesJSON{Rates: make([]rateJSON, len(rates))}
		for i := range rates {
			answer.Rates[i] = rateToJSON(rates[i])
		}
		answerJSON(w, r, answer, err)
	})
}

// ratesOf reads the parameters of /rates.
func ratesOf(values url.Values) (q span.RateQuery, err error) {
	q = span.RateQuery{Service: values.Get("service"), Name: values.Get("name"), StartMax: math.MaxUint64}
	if q.Kinds, err = parseKinds(values.Get("kind")); err != nil {
		return q, fmt.Errorf("kind %w", err)
	}
	if err = readRange(values, &q.StartMin, &q.StartMax); err != nil {
		return q, err
	}
	if text := values.Get("step"); text != "" {
		step, err := time.ParseDuration(text)
		if err != nil || step < 0 {
			return q, fmt.Errorf("step %q: want a duration such as 60s", text)
		}
		q.Step = uint64(step)
	}
	return q, nil
}

func askRates(ctx context.Context, s asked, q span.RateQuery) (rates ratesJSON, err error) {
	values := url.Values{"service": {q.Service}, "name": {q.Name}, "step": {time.Duration(q.Step).String()},
		"from": {strconv.FormatUint(q.StartMin, 10)}, "to": {strconv.FormatUint(q.StartMax, 10)}}
	names := make([]string, len(q.Kinds))
	for i, kind := range q.Kinds {
		if names[i] = kindName(kind); kind == span.KindUnspecified {
			names[i] = "unspecified"
		}
	}
	values.Set("kind", strings.Join(names, ","))
	return rates, askAdmin(ctx, s, "/rates", values, &rates)
}

// printRates prints what red counted.
func printRates(w io.Writer, form string, q span.RateQuery, rates []rateJSON) error {
	exact := func(n uint64) string { return strconv.FormatUint(n, 10) }
	switch form {
	case "json":
		return printJSON(w, rates)
	case "jsonl":
		return printJSONLines(w, rates)
	case "csv":
		rows := make([][]string, len(rates))
		for i, r := range rates {
			rows[i] = []string{r.Service, r.Name, r.Kind, r.StartUnixNano, exact(r.Spans), exact(r.Errors), exact(r.P50Nano), exact(r.P90Nano), exact(r.P95Nano), exact(r.P99Nano)}
		}
		return printCSV(w, []string{"service", "name", "kind", "start_unix_nano", "spans", "errors", "p50_nano", "p90_nano", "p95_nano", "p99_nano"}, rows)
	}
	if len(rates) == 0 {
		_, err := fmt.Fprintln(w, "no span found")
		return err
	}
	seconds := rateSeconds(q)
	head := []string{"SERVICE", "OPERATION", "KIND", "SPANS", "PER SECOND", "ERRORS", "P50", "P90", "P95", "P99"}
	if q.Step > 0 {
		head = append(head, "START (UTC)")
	}
	rows := make([][]string, len(rates))
	for i, r := range rates {
		rate := "-"
		if seconds > 0 {
			rate = strconv.FormatFloat(float64(r.Spans)/seconds, 'g', 4, 64)
		}
		rows[i] = []string{r.Service, r.Name, r.Kind, exact(r.Spans), rate, shareText(r.Errors, r.Spans),
			durationText(r.P50Nano), durationText(r.P90Nano), durationText(r.P95Nano), durationText(r.P99Nano)}
		if q.Step > 0 {
			start, _ := strconv.ParseUint(r.StartUnixNano, 10, 64)
			rows[i] = append(rows[i], timeText(start))
		}
	}
	return printTable(w, head, rows)
}

// rateSeconds is how long the time is that spans are counted in; 0 where it has no bounds.
func rateSeconds(q span.RateQuery) float64 {
	switch {
	case q.Step > 0:
		return float64(q.Step) / 1e9
	case q.StartMin == 0 || q.StartMax == math.MaxUint64:
		return 0
	}
	return float64(q.StartMax-q.StartMin) / 1e9
}
