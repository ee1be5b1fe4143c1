package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/bench/workload"
)

func newBench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Make workloads, load them, ask, and compare with what is right and what others do",
		Long: `Measures Stoa, or another store of traces, with spans that are made or recorded. gen makes
spans, amplify makes more of recordings, load sends them, query asks and compares every
answer with the truth, run does all of it with this binary on a folder that it makes and
removes, baseline measures what the same requests cost who decodes and drops them, report
and compare show what was measured. docs/bench.md has the command lines for other stores.`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBenchGen(), newBenchAmplify(), newBenchLoad(), newBenchIngest(), newBenchQuery(), newBenchRun(), newBenchBaseline(), newBenchSink(), newBenchReport(), newBenchCompare())
	return cmd
}

// sourceFlags say which spans are used: FILE arguments, or a workload that is made.
type sourceFlags struct {
	preset string
	knobs  workload.Config
	start  string

	amplify bench.Amplification
	cmd     *cobra.Command
}

// knobFlags are the flags of a workload; other commands than gen know them too.
var knobFlags = []string{
	"services", "pods", "trace-spans", "trace-spans-max", "depth", "attributes", "cardinality", "errors", "skew", "late", "late-max",
	"request-spans", "rate-made", "start", "kind", "seed", "spans",
}

// addWorkload offers the flags of a workload.
func (s *sourceFlags) addWorkload(cmd *cobra.Command) {
	s.cmd = cmd
	f, k := cmd.Flags(), &s.knobs
	f.StringVar(&s.preset, "preset", "", "workload: "+strings.Join(workload.PresetNames(), ", "))
	f.Uint64Var(&k.Seed, "seed", 1, "of the workload: the same flags give the same bytes")
	f.IntVar(&k.Spans, "spans", 100_000, "how many spans are made")
	f.IntVar(&k.Services, "services", 0, "services (default: the preset's, as below)")
	f.IntVar(&k.Pods, "pods", 0, "pods of all services together")
	f.Float64Var(&k.TraceSpans, "trace-spans", 0, "spans of a trace, mean")
	f.IntVar(&k.TraceSpansMax, "trace-spans-max", 0, "spans of the largest trace")
	f.IntVar(&k.Depth, "depth", 0, "calls within calls, at most")
	f.Float64Var(&k.Attributes, "attributes", 0, "attributes of a span, mean")
	f.IntVar(&k.Cardinality, "cardinality", 0, "users; sessions and addresses follow from it")
	f.Float64Var(&k.Errors, "errors", 0, "share of spans with an error, 0.01 for 1 %")
	f.DurationVar(&k.Skew, "skew", 0, "by how much a pod's clock is off, at most")
	f.Float64Var(&k.Late, "late", 0, "share of spans that are exported late")
	f.DurationVar(&k.LateMax, "late-max", 0, "how late they are, at most")
	f.IntVar(&k.RequestSpans, "request-spans", 0, "spans of a request, mean")
	f.Float64Var(&k.SpansASecond, "rate-made", 0, "spans a second of the workload's own clock")
	f.StringVar(&s.start, "start", "", "when the workload begins, such as 2026-01-01T00:00:00Z (the default)")
	f.StringVar((*string)(&k.Kind), "kind", "", "attributes: conventions, storm (keys and values of each span's own) or norepeat (values of its own)")
}

// addAmplify offers the flags of amplification.
func (s *sourceFlags) addAmplify(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&s.amplify.Times, "times", 1, "send all of it so many times, with ids of its own and later each time")
	f.Uint64Var(&s.amplify.Seed, "amplify-seed", 8, "of the ids of copies")
	f.DurationVar(&s.amplify.Gap, "gap", 0, "time between copies (default: the recording's own length)")
	f.BoolVar(&s.amplify.Interleave, "interleave", false, "the copies of a request follow one another, as many equal systems report at once")
}

// config is the workload that the flags describe.
func (s *sourceFlags) config() (workload.Config, error) {
	c, err := workload.Preset(s.preset)
	if err != nil {
		return c, usagef("--preset: %w", err)
	}
	c.Seed, c.Spans = s.knobs.Seed, s.knobs.Spans
	k := s.knobs
	for name, set := range map[string]func(){ // each sets a field of its own
		"services": func() { c.Services = k.Services }, "pods": func() { c.Pods = k.Pods },
		"trace-spans": func() { c.TraceSpans = k.TraceSpans }, "trace-spans-max": func() { c.TraceSpansMax = k.TraceSpansMax },
		"depth": func() { c.Depth = k.Depth }, "attributes": func() { c.Attributes = k.Attributes },
		"cardinality": func() { c.Cardinality = k.Cardinality }, "errors": func() { c.Errors = k.Errors },
		"skew": func() { c.Skew = k.Skew }, "late": func() { c.Late = k.Late }, "late-max": func() { c.LateMax = k.LateMax },
		"request-spans": func() { c.RequestSpans = k.RequestSpans }, "rate-made": func() { c.SpansASecond = k.SpansASecond },
		"kind": func() { c.Kind = k.Kind },
	} {
		if s.cmd.Flags().Changed(name) {
			set()
		}
	}
	if s.cmd.Flags().Changed("services") && !s.cmd.Flags().Changed("pods") {
		c.Pods = 3 * c.Services
	}
	if s.start != "" {
		if c.Start, err = time.Parse(time.RFC3339, s.start); err != nil {
			return c, usagef("--start %q: want a time such as 2026-01-01T00:00:00Z", s.start)
		}
	}
	if err := c.Check(); err != nil {
		return c, usagef("%w", err)
	}
	return c, nil
}

// source is what the command line names.
func (s *sourceFlags) source(files []string) (*bench.Source, error) {
	if s.amplify.Times < 1 || s.amplify.Times > amplifyTimesMax {
		return nil, usagef("--times %d: want 1 to %d", s.amplify.Times, amplifyTimesMax)
	}
	if s.preset != "" {
		if len(files) > 0 {
			return nil, usagef("--preset makes spans, FILE arguments are recordings: give one of them")
		}
		c, err := s.config()
		if err != nil {
			return nil, err
		}
		return bench.FromWorkload(c).Amplified(s.amplify), nil
	}
	for _, name := range knobFlags {
		if s.cmd.Flags().Changed(name) {
			return nil, usagef("--%s changes a workload: say --preset too", name)
		}
	}
	if len(files) == 0 {
		return nil, usagef("want recordings (FILE ...) or --preset NAME")
	}
	for _, name := range files {
		if _, err := os.Stat(name); err != nil {
			return nil, err
		}
	}
	return bench.FromFiles(files...).Amplified(s.amplify), nil
}

// hold keeps the source in memory and says what is done.
func hold(ctx context.Context, source *bench.Source) (spans, bytes int64, err error) {
	fmt.Fprintf(os.Stderr, "%s: reading\n", source.Name())
	held, err := source.Hold()
	if err != nil {
		return 0, 0, err
	}
	if !held {
		fmt.Fprintln(os.Stderr, "more than is held in memory: it is read again while it is sent, at the cost of the same processors; --times makes many of few")
	}
	if ctx.Err() != nil {
		return 0, 0, context.Cause(ctx)
	}
	return source.Count()
}
