package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/bench"
)

const benchRunLong = `Measures this binary as one command: it serves a new folder as a process of its own, is
loaded, settles, is started again, and asked: cold, warm with each number of --clients, and
while it is loaded. Every answer is compared with the truth. The references of bench
baseline are measured in the same run, so that figures are also ratios.

What is used up of the machine by others is told, as everything in seconds depends on it: of
the load, and of the questions but those asked while it is loaded, beside a process that loads.
A refusal is a wrong answer; times are of right answers alone. Wrong answers make the exit code 1.
The folder is removed at the end, or kept where --folder names it.`

// runFlags are the flags of a whole run.
type runFlags struct {
	folder       string
	serve        []string
	clients      string
	n, warm      int
	time         time.Duration
	connections  int
	ingest       string
	settle       bench.Settling
	skipBaseline bool
	baseline     baselineFlags
	label, json  string
}

func newBenchRun() *cobra.Command {
	var source sourceFlags
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [FILE ...]",
		Short: "Load, settle and ask this binary, beside the references, in one run",
		Long:  benchRunLong,
		Example: "  stoa bench run --json today.json                        # the workload of the targets\n" +
			"  stoa bench run hotrod.otlp.zst --times 20 --clients 1,8\n" +
			"  stoa bench run --preset storm --spans 200000 --skip-baseline",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && source.preset == "" {
				source.preset = "shop"
				if !cmd.Flags().Changed("spans") {
					source.knobs.Spans = 2_000_000
				}
			}
			from, err := source.source(args)
			if err != nil {
				return err
			}
			record, err := f.run(cmd, from)
			if err != nil {
				return err
			}
			if err := giveRecord(cmd.OutOrStdout(), f.json, record); err != nil {
				return err
			}
			return wrongAnswers(record)
		},
	}
	source.addWorkload(cmd)
	source.addAmplify(cmd)
	f.baseline.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.folder, "folder", "", "new folder for the data, kept (default: a temporary one, removed)")
	flags.StringArrayVar(&f.serve, "serve", nil, "flag for serve, such as --serve=--shards=8; may be given several times")
	flags.StringVar(&f.clients, "clients", "1,8", "how many ask at once; all is asked for each number")
	flags.IntVar(&f.n, "questions", 200, "questions of each class, of all clients together")
	flags.IntVar(&f.warm, "warm", bench.WarmQuestions, "questions of each class that each client asks before the clock counts, but cold")
	flags.DurationVar(&f.time, "class-time", 20*time.Second, "ask no more of a class after so long, and warm no longer; three questions in any case")
	flags.IntVar(&f.connections, "connections", 4, "connections of the load, each with one request in flight")
	flags.StringVar(&f.ingest, "ingest", "max", "load beside the last questions: spans a second, max, or none")
	addSettle(cmd, &f.settle)
	flags.BoolVar(&f.skipBaseline, "skip-baseline", false, "measure no references")
	flags.StringVar(&f.label, "label", "stoa", "name of what is measured, for reports")
	flags.StringVar(&f.json, "json", "", "file to write the record to, for bench report and compare")
	return cmd
}

func (f *runFlags) run(cmd *cobra.Command, from *bench.Source) (record bench.Record, err error) {
	ctx := cmd.Context()
	clients, err := parseClients(f.clients)
	if err != nil {
		return record, err
	}
	rate := 0.0
	if f.ingest != "none" {
		if rate, err = parseRate(f.ingest); err != nil {
			return record, err
		}
	}
	if err := f.settle.Check(); err != nil {
		return record, usagef("--settle %w", err)
	}
	if f.n < 1 || f.connections < 1 || f.warm < 0 {
		return record, usagef("--questions and --connections are at least 1, --warm is at least 0")
	}
	if f.json != "" {
		if err := checkNewFile(f.json); err != nil {
			return record, err
		}
	}
	folder, remove, err := f.newFolder()
	if err != nil {
		return record, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	spans, bytes, err := hold(ctx, from)
	if err != nil {
		return record, err
	}
	record = bench.NewRecord(f.label, version(), from, spans, bytes)
	if !f.skipBaseline {
		f.baseline.connections = f.connections
		if err := f.baseline.measure(ctx, from, &record); err != nil {
			return record, err
		}
	}
	if err := f.load(ctx, folder, from, &record); err != nil {
		return record, err
	}
	fmt.Fprintf(os.Stderr, "working out the truth of %d spans\n", spans)
	mix, err := bench.NewMix(untilDone(ctx, from.Requests()), bench.MixOptions{})
	if err != nil {
		return record, err
	}
	err = f.ask(ctx, folder, mix, clients, rate, &record)
	record.Notes = slices.Concat(record.Notes, mix.Notes, warmNote(f.warm))
	return record, err
}

// newFolder makes the data's folder.
func (f *runFlags) newFolder() (folder string, remove func() error, err error) {
	if f.folder == "" {
		folder, err = os.MkdirTemp("", "stoa-bench-")
		return folder, func() error { return os.RemoveAll(folder) }, err
	}
	// What stands there already would be measured too.
	return f.folder, func() error { return nil }, os.Mkdir(f.folder, 0o755)
}

// load starts a server on an empty folder, loads it until it has settled, and ends it.
func (f *runFlags) load(ctx context.Context, folder string, from *bench.Source, record *bench.Record) error {
	server, err := f.start(ctx, folder)
	if err != nil {
		return err
	}
	run := bench.LoadRun{
		Loading: bench.Loading{Target: server.OTLP, Connections: f.connections, Patience: time.Minute},
		PID:     server.PID(), Folder: folder, Skipped: []string{"log"}, Admin: server.Admin, Settle: f.settle,
	}
	load, err := loadWithBar(ctx, run, untilDone(ctx, from.Requests()), record.Source.Spans)
	load.Target = "OTLP over gRPC" // the port is of no interest
	record.Load = &load
	if err != nil {
		return errors.Join(err, server.Kill())
	}
	return server.Stop()
}

func (f *runFlags) start(ctx context.Context, folder string) (*bench.Server, error) {
	own, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return bench.StartServer(ctx, own, folder, f.serve...)
}

// ask starts the server again, with nothing in memory, and asks in all states.
func (f *runFlags) ask(ctx context.Context, folder string, mix *bench.Mix, clients []int, rate float64, record *bench.Record) error {
	if err := bench.DropCached(folder); err != nil {
		record.Notes = append(record.Notes, fmt.Sprintf("cold questions met files that the kernel had in memory: %v", err))
	}
	begin := time.Now()
	server, err := f.start(ctx, folder)
	if err != nil {
		return err
	}
	record.Open = &bench.OpenRecord{MS: time.Since(begin).Seconds() * 1e3}
	err = f.askServer(ctx, server, mix, clients, rate, record)
	if err != nil {
		return errors.Join(err, server.Kill())
	}
	return server.Stop()
}

func (f *runFlags) askServer(ctx context.Context, server *bench.Server, mix *bench.Mix, clients []int, rate float64, record *bench.Record) error {
	run := bench.MixRun{Told: tellClass}
	run.Address, run.Questions, run.Time = server.Storage, f.n, f.time
	if err := f.askAlone(ctx, run, server.PID(), mix, clients, record); err != nil || f.ingest == "none" {
		return err
	}
	run.State, run.Warm, run.Clients = "ingest", f.warm, clients[0]
	command, err := ingestCommand(server.OTLP, f.connections, rate)
	if err != nil {
		return err
	}
	records, err := mix.AskDuringIngest(ctx, run, command)
	record.Queries = slices.Concat(record.Queries, records)
	return err
}

// askAlone asks while nothing arrives, and reads what that took.
func (f *runFlags) askAlone(ctx context.Context, run bench.MixRun, pid int, mix *bench.Mix, clients []int, record *bench.Record) error {
	meter, err := bench.NewMeter(pid)
	if err != nil {
		return err
	}
	defer meter.Stop()
	run.State, run.Once, run.Clients = "cold", true, 1
	records, err := mix.Ask(ctx, run)
	record.Queries = slices.Concat(record.Queries, records)
	run.State, run.Once, run.Warm = "warm", false, f.warm
	for _, n := range clients {
		if err != nil {
			return err
		}
		run.Clients = n
		records, err = mix.Ask(ctx, run)
		record.Queries = slices.Concat(record.Queries, records)
	}
	if err != nil {
		return err
	}
	cost, err := meter.Read()
	record.Asking = &cost
	return err
}
