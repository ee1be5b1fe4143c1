package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/bench"
)

const benchLoadLong = `Sends recordings, or a workload that is made, to any server of OTLP as fast as it acknowledges
them, or at a rate. What is sent is read into memory before, where it fits 2 GiB. A refusal
that names a delay is obeyed; other answers that may pass are met as the OpenTelemetry
Collector does: 5 s, then half as long again up to 30 s, for --patience.

--target is HOST:PORT of OTLP over gRPC, or a URL of OTLP over HTTP (protobuf). With --pid the
processor time, memory and device writes of that process are read, with --folder what lies on
the disk. Before that Stoa is settled by --admin: it flushes, and merges until its policy asks for
nothing more (--settle policy), or into one segment for each shard and window, few where one could not hold them
(--settle compact). Another store is given until its process was quiet for --quiet.`

// loadFlags are the flags of a load.
type loadFlags struct {
	run   bench.LoadRun
	label string
	json  string
}

func newBenchLoad() *cobra.Command {
	var source sourceFlags
	f := loadFlags{}
	cmd := &cobra.Command{
		Use:   "load [FILE ...]",
		Short: "Send spans to any OTLP server and tell what that took",
		Long:  benchLoadLong,
		Example: "  stoa bench load --preset shop --spans 2000000 --pid $(pgrep -x stoa) --folder ./stoa-data --admin 127.0.0.1:17270\n" +
			"  stoa bench load hotrod.otlp.zst --target http://127.0.0.1:4318/v1/traces --rate 20000",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			from, err := source.source(args)
			if err != nil {
				return err
			}
			spans, bytes, err := hold(cmd.Context(), from)
			if err != nil {
				return err
			}
			record := bench.NewRecord(f.label, "", from, spans, bytes)
			load, err := loadWithBar(cmd.Context(), f.run, from.Requests(), spans)
			if err != nil {
				return fmt.Errorf("after %d spans: %w", load.Spans, err)
			}
			record.Load = &load
			return giveRecord(cmd.OutOrStdout(), f.json, record)
		},
	}
	source.addWorkload(cmd)
	source.addAmplify(cmd)
	f.add(cmd)
	return cmd
}

func (f *loadFlags) add(cmd *cobra.Command) {
	flags, r := cmd.Flags(), &f.run
	flags.StringVar(&r.Target, "target", "127.0.0.1:4317", "HOST:PORT of OTLP over gRPC, or http://HOST:PORT/v1/traces")
	flags.IntVar(&r.Connections, "connections", 4, "connections, each with one request in flight")
	flags.Float64Var(&r.SpansASecond, "rate", 0, "spans a second (default: as fast as they are acknowledged)")
	flags.DurationVar(&r.Patience, "patience", 5*time.Minute, "how long a request is sent again where the server does not say when")
	flags.IntVar(&r.PID, "pid", 0, "process of the server, on this machine")
	flags.StringVar(&r.Folder, "folder", "", "folder of the server's files")
	flags.StringArrayVar(&r.Skipped, "skip", nil, "names of folders in it that do not count (default with --admin: log)")
	flags.StringVar(&r.Admin, "admin", "", "admin port of Stoa, HOST:PORT: settle it after the load")
	addSettle(cmd, &r.Settle)
	flags.DurationVar(&r.Quiet, "quiet", 0, "without --admin: wait after the load until the process used next to nothing for so long")
	flags.DurationVar(&r.QuietMost, "quiet-max", 10*time.Minute, "how long that is waited for")
	flags.StringVar(&f.label, "label", "stoa", "name of what is measured, for reports")
	flags.StringVar(&f.json, "json", "", "file to write the record to, for bench report and compare")
}

// addSettle adds how Stoa settles.
func addSettle(cmd *cobra.Command, settle *bench.Settling) {
	cmd.Flags().StringVar((*string)(settle), "settle", string(bench.SettledByPolicy), "how Stoa settles after the load: policy (all merges that its policy asks for) or compact (one segment a shard and window)")
}

func (f *loadFlags) check() error {
	r := &f.run
	if r.SpansASecond < 0 || r.Patience < 0 || r.Quiet < 0 || r.QuietMost < 0 || r.PID < 0 {
		return usagef("--rate, --patience, --quiet, --quiet-max and --pid are not negative")
	}
	if err := r.Settle.Check(); err != nil {
		return usagef("--settle %w", err)
	}
	if r.Quiet > 0 && r.PID == 0 {
		return usagef("--quiet looks at a process: say --pid")
	}
	if r.Admin != "" {
		if err := checkAddress("admin", r.Admin); err != nil {
			return err
		}
		if len(r.Skipped) == 0 {
			r.Skipped = []string{"log"}
		}
	}
	if f.json != "" {
		if err := checkNewFile(f.json); err != nil {
			return err
		}
	}
	return nil
}

// checkNewFile finds out before a long run that its record would replace a file.
func checkNewFile(name string) error {
	if _, err := os.Stat(name); err == nil {
		return fmt.Errorf("%s is there already", name)
	}
	return nil
}

// loadWithBar runs a load and shows how far it is.
func loadWithBar(ctx context.Context, run bench.LoadRun, requests iter.Seq2[[]byte, error], spans int64) (bench.LoadRecord, error) {
	bar := newCount(os.Stderr, isTerminal(os.Stderr), run.Target, "spans", spans)
	run.Told = func(spans int64) { bar.set(spans, spans) }
	run.Acknowledged = func() { bar.say("all is acknowledged; waiting until the server has settled") }
	run.Waiting = func(refusal error) { bar.say(fmt.Sprintf("waiting, the server says: %v", refusal)) }
	defer bar.end()
	return run.Run(ctx, requests)
}

// giveRecord prints a record, and writes it to a file where one is named.
func giveRecord(w io.Writer, name string, record bench.Record) error {
	if name != "" {
		if err := bench.WriteRecord(name, record); err != nil {
			return err
		}
	}
	return bench.WriteTable(w, record)
}
