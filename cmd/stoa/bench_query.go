package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/bench"
)

const benchQueryLong = `Asks a fixed mix of questions and compares every answer with the truth, which is worked out
here by loops over all spans: say the same recordings, or the same flags of a workload, that
were loaded. Wrong answers are counted, and make the exit code 1. A refusal is one: an answer of
more than the server or the client takes, or that took it too long, or the word to come again.

--api says how: jaeger-grpc is Jaeger's storage API v2, which Stoa serves and Jaeger's own
stores behind its remote_storage; jaeger-http the first HTTP API of Jaeger, which its page and
VictoriaTraces know too; jaeger-http-v3 its API v3; tempo that of Tempo, with TraceQL. Times
are as close as each can say. What an API or a server cannot be asked is told in a note, as
"not asked", and is not counted.

Classes: services, operations, graph (the service graph of all time), get (a trace by id),
get-largest (the ten largest traces), get-absent (ids that are not there), operation-100s
(service and operation in a window of 100 s), rare-tag (service and an attribute that three
traces have at most), status-500, min-duration (the slowest thousandth of a service),
operation-tag-duration, errors-100s. Searches ask for 20 whole traces; with -summaries in
their names for summaries. operation-names, over jaeger-http and tempo, asks for span names
without their kinds. Tempo promises no order, and its times bound traces, not spans.

Times are of a client of this process: until the last byte is here, before answers are
compared. Right answers alone have one; a class without any has none ("-"). --ingest asks while spans of other services arrive.`

// queryFlags are the flags of questions.
type queryFlags struct {
	api     string
	address string
	n, warm int
	time    time.Duration
	clients string
	classes []string
	rare    string
	cold    bool

	anyOrder bool
	ingest   string
	target   string
	pid      int
	label    string
	json     string
}

func newBenchQuery() *cobra.Command {
	var source sourceFlags
	var f queryFlags
	cmd := &cobra.Command{
		Use:   "query [FILE ...]",
		Short: "Ask a mix of questions, compare every answer with the truth, and time them",
		Long:  benchQueryLong,
		Example: "  stoa bench query --preset shop --spans 2000000 --clients 1,8\n" +
			"  stoa bench query hotrod.otlp.zst --class get --class rare-tag --questions 1000\n" +
			"  stoa bench query hotrod.otlp.zst --ingest max\n" +
			"  stoa bench query --preset shop --spans 200000 --api jaeger-http --addr 127.0.0.1:16686 --any-order\n" +
			"  stoa bench query --preset shop --spans 200000 --api jaeger-http --addr http://127.0.0.1:10428/select/jaeger --any-order",
		RunE: func(cmd *cobra.Command, args []string) error {
			clients, err := f.check()
			if err != nil {
				return err
			}
			from, err := source.source(args)
			if err != nil {
				return err
			}
			spans, bytes, err := from.Count()
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "%s: working out the truth of %d spans\n", from.Name(), spans)
			mix, err := bench.NewMix(untilDone(cmd.Context(), from.Requests()), bench.MixOptions{API: bench.API(f.api), Rare: f.rare, AnyOrder: f.anyOrder})
			if err != nil {
				return err
			}
			record := bench.NewRecord(f.label, "", from, spans, bytes)
			record.API = bench.API(f.api)
			if err := f.askMetered(cmd, mix, clients, &record); err != nil {
				return err
			}
			if record.Notes = mix.Notes; !f.cold {
				record.Notes = slices.Concat(mix.Notes, warmNote(f.warm))
			}
			if err := giveRecord(cmd.OutOrStdout(), f.json, record); err != nil {
				return err
			}
			return wrongAnswers(record)
		},
	}
	source.addWorkload(cmd)
	source.addAmplify(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.api, "api", string(bench.StorageGRPC), "how to ask: "+apiNames())
	flags.StringVar(&f.address, "addr", "", "server to ask, HOST:PORT, and over HTTP a URL too (default: the port of the API on this machine, "+api.StorageAddress+" for "+string(bench.StorageGRPC)+")")
	flags.IntVar(&f.n, "questions", 200, "questions of each class, of all clients together")
	flags.IntVar(&f.warm, "warm", bench.WarmQuestions, "questions of each class that each client asks before the clock counts, but cold")
	flags.DurationVar(&f.time, "class-time", 20*time.Second, "ask no more of a class after so long, and warm no longer; three questions in any case")
	flags.StringVar(&f.clients, "clients", "1", "how many ask at once; several numbers ask all of it for each: 1,8")
	flags.StringArrayVar(&f.classes, "class", nil, "ask this class only; may be given several times")
	flags.StringVar(&f.rare, "rare", "", "attribute key for rare-tag (default: one that is there)")
	flags.BoolVar(&f.cold, "cold", false, "the server was just started: ask each question once, without warming")
	flags.BoolVar(&f.anyOrder, "any-order", false, "the server promises no order, as Jaeger's own stores: any traces that match are right; no summaries")
	flags.StringVar(&f.ingest, "ingest", "", "load spans of other services meanwhile: spans a second, or max")
	flags.StringVar(&f.target, "target", "127.0.0.1:4317", "where --ingest sends them")
	flags.IntVar(&f.pid, "pid", 0, "process of the server, on this machine: what it used for all questions, and what others did meanwhile, is told")
	flags.StringVar(&f.label, "label", "stoa", "name of what is measured, for reports")
	flags.StringVar(&f.json, "json", "", "file to write the record to, for bench report and compare")
	return cmd
}

func (f *queryFlags) check() (clients []int, err error) {
	if !slices.Contains(bench.APIs(), bench.API(f.api)) {
		return nil, usagef("--api %q: want one of %s", f.api, apiNames())
	}
	if f.address == "" {
		f.address = bench.API(f.api).DefaultAddress()
	}
	if bench.API(f.api) == bench.StorageGRPC {
		err = checkAddress("addr", f.address)
	} else if err = bench.CheckURL(f.address); err != nil {
		err = usagef("--addr: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if f.n < 1 {
		return nil, usagef("--questions %d: want at least one", f.n)
	}
	if f.warm < 0 {
		return nil, usagef("--warm %d: want at least 0", f.warm)
	}
	if f.pid < 0 {
		return nil, usagef("--pid %d: want that of a process", f.pid)
	}
	if f.cold && f.ingest != "" {
		return nil, usagef("--cold and --ingest are two states: give one of them")
	}
	if f.json != "" {
		if err := checkNewFile(f.json); err != nil {
			return nil, err
		}
	}
	return parseClients(f.clients)
}

// apiNames are those of --api.
func apiNames() string {
	var names []string
	for _, a := range bench.APIs() {
		names = append(names, string(a))
	}
	return strings.Join(names, ", ")
}

// parseClients reads numbers of clients.
func parseClients(text string) (clients []int, err error) {
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 || n > benchClientsMax {
			return nil, usagef("--clients %q: want numbers of 1 to %d, with commas between them", text, benchClientsMax)
		}
		clients = append(clients, n)
	}
	return clients, nil
}

// askMetered asks, and reads what that took where the server's process is known.
func (f *queryFlags) askMetered(cmd *cobra.Command, mix *bench.Mix, clients []int, record *bench.Record) (err error) {
	if f.pid == 0 {
		record.Queries, err = f.ask(cmd, mix, clients)
		return err
	}
	meter, err := bench.NewMeter(f.pid)
	if err != nil {
		return err
	}
	defer meter.Stop()
	if record.Queries, err = f.ask(cmd, mix, clients); err != nil {
		return err
	}
	cost, err := meter.Read()
	record.Asking = &cost
	return err
}

// ask asks the mix for each number of clients.
func (f *queryFlags) ask(cmd *cobra.Command, mix *bench.Mix, clients []int) (all []bench.QueryRecord, err error) {
	for _, n := range clients {
		run := bench.MixRun{
			Measuring: bench.Measuring{API: bench.API(f.api), Address: f.address, Clients: n, Questions: f.n, Warm: f.warm, Time: f.time},
			State:     "warm", Only: f.classes, Told: tellClass,
		}
		var records []bench.QueryRecord
		switch {
		case f.ingest != "":
			run.State = "ingest"
			records, err = f.askDuringIngest(cmd.Context(), mix, run)
		default:
			if f.cold {
				run.State, run.Once = "cold", true
			}
			records, err = mix.Ask(cmd.Context(), run)
		}
		if err != nil {
			return all, err
		}
		all = slices.Concat(all, records)
	}
	return all, nil
}

// askDuringIngest asks while spans arrive.
func (f *queryFlags) askDuringIngest(ctx context.Context, mix *bench.Mix, run bench.MixRun) ([]bench.QueryRecord, error) {
	rate, err := parseRate(f.ingest)
	if err != nil {
		return nil, err
	}
	command, err := ingestCommand(f.target, ingestConnections, rate)
	if err != nil {
		return nil, err
	}
	return mix.AskDuringIngest(ctx, run, command)
}

// parseRate reads spans a second; max is 0, as fast as they are acknowledged.
func parseRate(text string) (float64, error) {
	if text == "max" {
		return 0, nil
	}
	rate, err := strconv.ParseFloat(text, 64)
	if err != nil || !(rate > 0) {
		return 0, usagef("--ingest %q: want spans a second, or max", text)
	}
	return rate, nil
}

// warmNote says how warm, where that is not as in other records.
func warmNote(questions int) []string {
	if questions == bench.WarmQuestions {
		return nil
	}
	return []string{fmt.Sprintf("warm is after at most %d questions of the class by each client", questions)}
}

// tellClass says on standard error that a class is done.
func tellClass(q bench.QueryRecord) {
	p50, p99 := q.Shown()
	fmt.Fprintf(os.Stderr, "%s: p50 %s ms, p99 %s ms, %d wrong\n", q.Group(), p50, p99, q.Wrong)
}

// wrongAnswers is an error where there are any.
func wrongAnswers(record bench.Record) error {
	if wrong := record.WrongAnswers(); wrong > 0 {
		return fmt.Errorf("%d answers are wrong", wrong)
	}
	return nil
}
