package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

// outputFlags choose the form of an answer.
type outputFlags struct {
	form string
	json bool
}

// add offers the forms; the first is the default.
func (o *outputFlags) add(cmd *cobra.Command, forms ...string) {
	cmd.Flags().StringVarP(&o.form, "output", "o", forms[0], "form of the answer: "+strings.Join(forms, ", "))
	cmd.Flags().BoolVar(&o.json, "json", false, "the same as --output json")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if o.json {
			o.form = "json"
		}
		if !slices.Contains(forms, o.form) {
			return usagef("--output %s: want %s", o.form, strings.Join(forms, ", "))
		}
		return nil
	}
}

// printTable writes rows as columns under a head.
func printTable(w io.Writer, head []string, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		fmt.Fprintln(table, strings.TrimRight(strings.Join(cells, "\t"), "\t "))
	}
	return table.Flush()
}

// printCSV writes rows as RFC 4180 has them.
func printCSV(w io.Writer, head []string, rows [][]string) error {
	return csv.NewWriter(w).WriteAll(append([][]string{head}, rows...))
}

// printJSON writes one indented document.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// printJSONLines writes one document a line.
func printJSONLines[T any](w io.Writer, values []T) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for _, value := range values {
		if err := encoder.Encode(value); err != nil {
			return err
		}
	}
	return nil
}

// printable makes text from a span safe for a terminal: what could move the cursor or
// change colours is shown as an escape.
func printable(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return text
	}
	var clean strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			clean.WriteRune(r)
		} else {
			fmt.Fprintf(&clean, "\\u%04x", r)
		}
	}
	return clean.String()
}

// isTerminal tells whether f is one.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// colours tells whether to use them on standard output: NO_COLOR, see no-color.org.
func colours() bool { return os.Getenv("NO_COLOR") == "" && isTerminal(os.Stdout) }

// timeOf is the time of unix nanoseconds, which may lie after the year 2262.
func timeOf(nanoseconds uint64) time.Time {
	return time.Unix(int64(nanoseconds/1e9), int64(nanoseconds%1e9)).UTC()
}

// timeText is for tables: milliseconds, UTC.
func timeText(nanoseconds uint64) string {
	return timeOf(nanoseconds).Format("2006-01-02 15:04:05.000")
}

// durationText has three or four figures and a unit.
func durationText(nanoseconds uint64) string {
	switch {
	case nanoseconds < 1e3:
		return fmt.Sprintf("%dns", nanoseconds)
	case nanoseconds < 1e6:
		return fmt.Sprintf("%.4gµs", float64(nanoseconds)/1e3)
	case nanoseconds < 1e9:
		return fmt.Sprintf("%.4gms", float64(nanoseconds)/1e6)
	case nanoseconds < 60e9:
		return fmt.Sprintf("%.4gs", float64(nanoseconds)/1e9)
	}
	return timeSpanText(nanoseconds)
}

// timeSpanText is for what lasts minutes and longer.
func timeSpanText(nanoseconds uint64) string {
	seconds := nanoseconds / 1e9
	if days := seconds / 86400; days > 0 {
		return fmt.Sprintf("%dd%dh", days, seconds/3600%24)
	}
	return (time.Duration(seconds) * time.Second).String()
}
