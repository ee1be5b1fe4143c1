package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/bench"
)

func newBenchReport() *cobra.Command {
	var output outputFlags
	var html string
	cmd := &cobra.Command{
		Use:   "report FILE ...",
		Short: "Show records: as tables, as benchmark lines, or as a page with plots",
		Long: `Shows what bench load, query, run and baseline wrote with --json. gobench prints lines of
Go's benchmarks, which benchstat reads. markdown prints one table, a column for each label
(and API), for a load and questions of a store that share its label. --html writes one page with plots that needs nothing
from anywhere; records of different sizes are also plotted against their spans.`,
		Example: "  stoa bench report today.json\n  stoa bench report -o gobench run*.json > new.txt && benchstat old.txt new.txt\n" +
			"  stoa bench report --html report.html stoa-2M.json stoa-10M.json jaeger.json",
		Args: atLeastOneRecord,
		RunE: func(cmd *cobra.Command, args []string) error {
			var records []bench.Record
			for _, name := range args {
				record, err := bench.ReadRecord(name)
				if err != nil {
					return err
				}
				records = append(records, record)
			}
			if html != "" {
				return writeHTML(html, records)
			}
			w := cmd.OutOrStdout()
			switch output.form {
			case "json":
				return printJSON(w, records)
			case "gobench":
				return bench.WriteBenchmarks(w, records)
			case "markdown":
				return bench.WriteMarkdown(w, records)
			}
			for i, record := range records {
				if i > 0 {
					fmt.Fprintln(w)
				}
				if err := bench.WriteTable(w, record); err != nil {
					return err
				}
			}
			return nil
		},
	}
	output.add(cmd, "table", "gobench", "markdown", "json")
	cmd.Flags().StringVar(&html, "html", "", "write a page with plots to this file")
	return cmd
}

func atLeastOneRecord(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("want records, files that --json wrote")
	}
	return nil
}

// writeHTML writes the page; an existing one is replaced, it can be made again.
func writeHTML(name string, records []bench.Record) error {
	labels := make([]string, len(records))
	for i, record := range records {
		labels[i] = record.Label
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(bench.WriteHTML(f, "stoa bench: "+strings.Join(labels, ", "), records), f.Close())
}

func newBenchCompare() *cobra.Command {
	var limit float64
	cmd := &cobra.Command{
		Use:   "compare BEFORE AFTER",
		Short: "Compare two records figure by figure",
		Long: `Compares the figures that two records share: two commits, or Stoa and another store. The
ratio is AFTER to BEFORE. The geometric mean of the ratios takes in what the store took;
figures of which more is better count by their inverse. Times are of right answers; the notes
and wrong answers of both are told, and what BEFORE has and AFTER has not. With --limit the
exit code is 1 where the mean is above it (1.05 is five percent dearer), where AFTER has wrong
answers, and where it lacks a figure or a class of BEFORE. Records of one run each say little
about times; take runs in turn.`,
		Example: "  stoa bench compare old.json new.json --limit 1.05",
		Args:    exactly(2, "two records, files that --json wrote"),
		RunE: func(cmd *cobra.Command, args []string) error {
			before, err := bench.ReadRecord(args[0])
			if err != nil {
				return err
			}
			after, err := bench.ReadRecord(args[1])
			if err != nil {
				return err
			}
			if err := bench.WriteComparison(cmd.OutOrStdout(), before, after); err != nil {
				return err
			}
			if limit > 0 {
				return bench.Within(before, after, limit)
			}
			return nil
		},
	}
	cmd.Flags().Float64Var(&limit, "limit", 0, "largest mean that is no error, such as 1.05, and then wrong answers and missing figures are errors too (default: none is)")
	return cmd
}
