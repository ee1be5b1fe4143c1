package bench

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// WriteTable prints a record for people: one figure a line, with its targets where they
// apply.
func WriteTable(w io.Writer, r Record) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s, %s\n", r.Label, r.Version, r.Time)
	fmt.Fprintf(&text, "%s: %d spans, %.1f bytes of OTLP each\n", r.Source.Name, r.Source.Spans, float64(r.Source.Bytes)/float64(max(1, r.Source.Spans)))
	fmt.Fprintf(&text, "%d processors, %s, %s, %s\n", r.Machine.Processors, r.Machine.Model, r.Machine.System, r.Machine.Go)
	if l := r.Load; l != nil {
		fmt.Fprintf(&text, "load: %d connections to %s, %d requests, %d retries, settled: %s; others used %.0f %% of the machine\n",
			l.Connections, l.Target, l.Requests, l.Retries, l.SettledBy, 100*l.Settled.OthersShare)
	}
	if r.API != "" {
		fmt.Fprintf(&text, "asked over %s\n", r.API)
	}
	if c := r.Asking; c != nil {
		fmt.Fprintf(&text, "questions: the server used %s s of CPU, the client %s; others used %.0f %% of the machine\n",
			Number(c.CPUSeconds), Number(c.ClientSeconds), 100*c.OthersShare)
	}
	writeMetrics(&text, r.Metrics())
	for _, q := range r.Queries {
		if q.Wrong > 0 {
			fmt.Fprintf(&text, "WRONG: %s\n", q.wrongText())
		}
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&text, "note: %s\n", note)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// writeMetrics prints one figure a line, the name of a group beside its first.
func writeMetrics(w io.Writer, metrics []Metric) {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	group := ""
	for _, m := range metrics {
		if m.Unit == "answers" && m.Value == 0 {
			continue // no wrong answers
		}
		if m.Group == group {
			fmt.Fprint(table, "\t")
		} else {
			group = m.Group
			fmt.Fprintf(table, "%s\t", group)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t", m.Name, m.Text(), m.Unit)
		if verdict := m.Verdict(); verdict != "" {
			fmt.Fprintf(table, "must %s\tgoal %s\t%s\t", Number(m.Must), Number(m.Goal), verdict)
		}
		fmt.Fprintln(table)
	}
	_ = table.Flush() // memory does not fail
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

// Number has three or four figures, whole ones from a thousand on.
func Number(v float64) string {
	if math.Abs(v) >= 1000 || v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// WriteBenchmarks prints records as lines of Go's benchmarks, which benchstat reads: one
// line for each thing that was measured. They know no word for a figure that there is not: it is
// left out.
func WriteBenchmarks(w io.Writer, records []Record) error {
	var text strings.Builder
	for _, r := range records {
		fmt.Fprintf(&text, "goos: %s\npkg: stoa/bench\ncpu: %s\n", strings.SplitN(r.Machine.System, "/", 2)[0], r.Machine.Model)
		metrics := r.Metrics()
		for i := 0; i < len(metrics); {
			group := metrics[i].Group
			fmt.Fprintf(&text, "Benchmark%s/%s-%d\t1", camel(r.Source.Name), dashed(group), r.Machine.Processors)
			for ; i < len(metrics) && metrics[i].Group == group; i++ {
				m := metrics[i]
				if m.None {
					continue
				}
				fmt.Fprintf(&text, "\t%s %s", strconv.FormatFloat(m.Value, 'g', 6, 64), dashed(m.Name+" "+m.Unit))
			}
			text.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// dashed is a name without spaces.
func dashed(name string) string {
	return strings.ReplaceAll(strings.NewReplacer(", ", "/", " / ", "-per-").Replace(name), " ", "-")
}

// camel is a name that may follow "Benchmark".
func camel(name string) string {
	var b strings.Builder
	upper := true
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			if upper && r >= 'a' && r <= 'z' {
				r -= 'a' - 'A'
			}
			upper = false
			b.WriteRune(r)
		default:
			upper = true
		}
	}
	return b.String()
}
