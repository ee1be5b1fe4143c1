package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/bench"
)

// ingestConnections are those of a load beside the questions of bench query.
const ingestConnections = 4

// ingestCommand is the command line of a load beside questions, by this binary.
func ingestCommand(target string, connections int, rate float64) ([]string, error) {
	own, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return []string{
		own, "bench", "ingest", "--target", target, "--connections", strconv.Itoa(connections), "--rate", strconv.FormatFloat(rate, 'g', -1, 64),
	}, nil
}

func newBenchIngest() *cobra.Command {
	load := bench.Loading{Patience: time.Minute}
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "Send spans of other services without end: what runs beside questions",
		Long: `Sends spans of shop, of services that no question of bench query asks for, until it is ended,
and prints how many are accepted so far, at a line each. bench query --ingest and bench run
start it as a process of its own: a sender that shared one with who asks would be part of what
the answers take.`,
		Example: "  stoa bench ingest --target 127.0.0.1:4317 --rate 20000",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if load.SpansASecond < 0 || load.Connections < 1 {
				return usagef("--rate is not negative, --connections at least 1")
			}
			load.Told = func(spans int64) { fmt.Fprintln(cmd.OutOrStdout(), spans) }
			return load.SendIngest(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&load.Target, "target", "127.0.0.1:4317", "HOST:PORT of OTLP over gRPC, or http://HOST:PORT/v1/traces")
	flags.IntVar(&load.Connections, "connections", ingestConnections, "connections, each with one request in flight")
	flags.Float64Var(&load.SpansASecond, "rate", 0, "spans a second (default: as fast as they are acknowledged)")
	return cmd
}
