package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/bench"
)

func newBenchGen() *cobra.Command {
	var source sourceFlags
	var out string
	cmd := &cobra.Command{
		Use:   "gen --preset NAME --out FILE",
		Short: "Make a workload and write it as a recording (.otlp.zst)",
		Long: `Makes the spans of a system of services that call each other, and writes the requests that
a collector would send: a zstd stream of records, each a varint length and an
ExportTraceServiceRequest, as import and load read them. The same flags give the same
requests on every machine. - writes to standard output.

Presets: shop is a web shop of 42 services in 125 pods, with traces of 23 spans and a tail up
to thousands; deep has calls hundreds deep; huge has traces of thousands of spans; storm has
keys and values that no other span has; batch has jobs of thousands of items, messages and
late exports; norepeat has values and names that come once. A flag changes what it names.`,
		Example: "  stoa bench gen --preset shop --spans 2000000 --out shop.otlp.zst\n" +
			"  stoa bench gen --preset storm --spans 50000 --attributes 40 --out - | zstdcat | wc -c",
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if source.preset == "" || out == "" {
				return usagef("want --preset and --out")
			}
			c, err := source.config()
			if err != nil {
				return err
			}
			return writeRecording(cmd, out, bench.FromWorkload(c).Requests(), int64(c.Spans))
		},
	}
	source.addWorkload(cmd)
	cmd.Flags().StringVar(&out, "out", "", "file to write, or - for standard output")
	return cmd
}

func newBenchAmplify() *cobra.Command {
	var source sourceFlags
	var out string
	cmd := &cobra.Command{
		Use:   "amplify FILE ... --times N --out FILE",
		Short: "Write recordings many times over, each copy with ids of its own",
		Long: `Writes the requests of recordings so many times. The first copy is as it was; in the others
trace and span ids become others (equal ones stay equal) and times move on; all else stays
byte for byte. So copies share their texts: queries and processor time may be read from
amplified loads, bytes on disk belong to the recordings as they are.`,
		Example: "  stoa bench amplify hotrod.otlp.zst --times 20 --out hotrod20.otlp.zst",
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return usagef("want --out")
			}
			from, err := source.source(args)
			if err != nil {
				return err
			}
			spans, _, err := from.Count()
			if err != nil {
				return err
			}
			return writeRecording(cmd, out, from.Requests(), spans)
		},
	}
	source.cmd = cmd // files only
	source.addAmplify(cmd)
	cmd.Flags().StringVar(&out, "out", "", "file to write, or - for standard output")
	return cmd
}

// writeRecording writes a new file, or nothing: an interrupted one goes.
func writeRecording(cmd *cobra.Command, name string, requests iter.Seq2[[]byte, error], spans int64) error {
	if name == "-" {
		return writeRecords(cmd, cmd.OutOrStdout(), "bench", requests, spans)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	err = writeRecords(cmd, f, name, requests, spans)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

func writeRecords(cmd *cobra.Command, w io.Writer, name string, requests iter.Seq2[[]byte, error], all int64) error {
	bar := newCount(os.Stderr, isTerminal(os.Stderr), name, "spans", all)
	spans, bytes, err := bench.WriteRequests(w, untilDone(cmd.Context(), requests), func(spans, _ int64) { bar.set(spans, spans) })
	bar.end()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stderr, "%s: %d spans, %d bytes of OTLP, %.1f a span\n", name, spans, bytes, float64(bytes)/float64(max(1, spans)))
	return err
}

// untilDone ends a sequence with the context.
func untilDone(ctx context.Context, requests iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for request, err := range requests {
			if ctx.Err() != nil {
				yield(nil, context.Cause(ctx))
				return
			}
			if !yield(request, err) {
				return
			}
		}
	}
}
