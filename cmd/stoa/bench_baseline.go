package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/bench"
)

// baselineFlags say which references are measured.
type baselineFlags struct {
	pdata       string
	zstd        []string
	connections int
}

func (f *baselineFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.pdata, "pdata", "", "program of bench/pdata (default: built with go, inside a clone)")
	cmd.Flags().StringArrayVar(&f.zstd, "zstd", []string{"-3", "-19 --long=27"}, "flags of zstd; may be given several times, \"\" for none")
}

func newBenchBaseline() *cobra.Command {
	var source sourceFlags
	var f baselineFlags
	var json, label string
	cmd := &cobra.Command{
		Use:   "baseline [FILE ...]",
		Short: "Measure what decoding and dropping the same spans costs others, and what zstd makes of them",
		Long: `Sends recordings, or a workload, to servers that keep nothing, each a process of its own:
raw receives bytes, walk looks at every attribute on the wire, pdata decodes as the
OpenTelemetry Collector does. Then zstd compresses the whole stream. bench run does this
beside Stoa, so that each figure is also a ratio of one run.

pdata is a module of its own, bench/pdata: inside a clone it is built with go, elsewhere name
the program with --pdata. What cannot be measured is said, and left out.`,
		Example: "  stoa bench baseline --preset shop --spans 500000 --zstd=-3\n" +
			"  go -C bench/pdata build -o pdata-sink . && stoa bench baseline hotrod.otlp.zst --pdata bench/pdata/pdata-sink",
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := source.source(args)
			if err != nil {
				return err
			}
			if json != "" {
				if err := checkNewFile(json); err != nil {
					return err
				}
			}
			spans, bytes, err := hold(cmd.Context(), from)
			if err != nil {
				return err
			}
			record := bench.NewRecord(label, "", from, spans, bytes)
			if err := f.measure(cmd.Context(), from, &record); err != nil {
				return err
			}
			return giveRecord(cmd.OutOrStdout(), json, record)
		},
	}
	source.addWorkload(cmd)
	source.addAmplify(cmd)
	f.add(cmd)
	cmd.Flags().IntVar(&f.connections, "connections", 4, "connections, each with one request in flight")
	cmd.Flags().StringVar(&label, "label", "baseline", "name of what is measured, for reports")
	cmd.Flags().StringVar(&json, "json", "", "file to write the record to, for bench report and compare")
	return cmd
}

// measure adds the references to a record; what is skipped becomes a note.
func (f *baselineFlags) measure(ctx context.Context, from *bench.Source, record *bench.Record) error {
	skip := func(format string, args ...any) {
		note := "SKIP: " + fmt.Sprintf(format, args...)
		fmt.Fprintln(os.Stderr, note)
		record.Notes = append(record.Notes, note)
	}
	own, err := os.Executable()
	if err != nil {
		return err
	}
	commands := [][]string{{own, "bench", "sink", bench.RawSink}, {own, "bench", "sink", bench.WalkSink}}
	pdata, remove, err := f.pdataProgram(ctx)
	if err != nil {
		skip("sink pdata: %v", err)
	} else {
		defer remove()
		commands = append(commands, []string{pdata})
	}
	for i, command := range commands {
		name := []string{bench.RawSink, bench.WalkSink, "pdata"}[i]
		fmt.Fprintf(os.Stderr, "sink %s\n", name)
		sink, err := bench.MeasureSink(ctx, name, command, f.connections, from.Requests())
		if err != nil {
			return err
		}
		record.Baselines = append(record.Baselines, sink)
	}
	for _, flags := range f.zstd {
		if flags == "" {
			continue
		}
		fmt.Fprintf(os.Stderr, "zstd %s\n", flags)
		measured, err := bench.MeasureZstd(ctx, flags, from.Requests())
		if errors.Is(err, exec.ErrNotFound) {
			skip("zstd %s: the program zstd is not installed", flags)
			continue
		}
		if err != nil {
			return err
		}
		record.Zstd = append(record.Zstd, measured)
	}
	return nil
}

// pdataProgram is the one named, or one built of the clone that this process runs in.
func (f *baselineFlags) pdataProgram(ctx context.Context) (program string, remove func(), err error) {
	if f.pdata != "" {
		_, err := os.Stat(f.pdata)
		return f.pdata, func() {}, err
	}
	module := filepath.Join("bench", "pdata")
	if _, err := os.Stat(filepath.Join(module, "go.mod")); err != nil {
		return "", nil, errors.New("no bench/pdata here to build: run inside a clone, or name its program with --pdata")
	}
	folder, err := os.MkdirTemp("", "stoa-bench-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(folder) } // a temporary folder: the system has the last word
	program = filepath.Join(folder, "pdata")
	build := exec.CommandContext(ctx, "go", "-C", module, "build", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		remove()
		return "", nil, fmt.Errorf("go build: %w: %s", err, out)
	}
	return program, remove, nil
}

func newBenchSink() *cobra.Command {
	return &cobra.Command{
		Use:   "sink raw|walk",
		Short: "Serve OTLP over gRPC and keep nothing: what baseline measures",
		Long: `Serves OTLP over gRPC on a free port of this machine, prints its address, and drops what it
gets: raw looks at nothing, walk at every attribute.`,
		Example: "  stoa bench sink walk",
		Args:    exactly(1, "raw or walk"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] != bench.RawSink && args[0] != bench.WalkSink {
				return usagef("sink %q: want raw or walk", args[0])
			}
			return bench.ServeSink(cmd.Context(), args[0], func(address string) error {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), address)
				return err
			})
		},
	}
}
