package bench

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// Compared is one figure of two records.
type Compared struct {
	Metric           // the second's
	Before   Metric  // the first's
	Ratio    float64 // second over first; 0 where either is 0 or there is none
	Relevant bool    // counts for the mean: both were measured and neither is 0
}

// Compare gives the figures that both records have, in the order of the second, and the
// geometric mean of the ratios of what costs something: above 1 the second is dearer.
// Figures of which more is better count by their inverse. What the client and the
// references took belongs to neither, and ratios to them say the same twice.
func Compare(before, after Record) (all []Compared, mean float64) {
	known := make(map[string]Metric)
	for _, m := range before.Metrics() {
		known[m.Key()] = m
	}
	sum, n := 0.0, 0
	for _, m := range after.Metrics() {
		old, ok := known[m.Key()]
		if !ok {
			continue
		}
		c := Compared{Metric: m, Before: old}
		if old.Value > 0 && m.Value > 0 {
			c.Ratio = m.Value / old.Value
			c.Relevant = isStores(m)
		}
		if c.Relevant {
			cost := math.Log(c.Ratio)
			if m.Higher {
				cost = -cost
			}
			sum, n = sum+cost, n+1
		}
		all = append(all, c)
	}
	return all, math.Exp(sum / float64(max(1, n)))
}

// Missing names the figures that before has and after has not: whole classes or other groups, and
// single figures where after has some of their group.
func Missing(before, after Record) (missing []string) {
	groups, figures := make(map[string]bool), make(map[string]bool)
	for _, m := range after.Metrics() {
		groups[m.Group], figures[m.Key()] = true, !m.None
	}
	for _, m := range before.Metrics() {
		switch {
		case m.None || figures[m.Key()]:
		case !groups[m.Group]:
			once(&missing, m.Group)
		default:
			missing = append(missing, m.Group+", "+m.Name)
		}
	}
	return missing
}

// Within is an error where after is no proof of being as good as before: its mean is above limit,
// answers of it are wrong, or it lacks a figure, which no mean tells of.
func Within(before, after Record, limit float64) error {
	var beyond []string
	if _, mean := Compare(before, after); mean > limit {
		beyond = append(beyond, fmt.Sprintf("the mean is %.3f of before, beyond %.3f", mean, limit))
	}
	if wrong := after.WrongAnswers(); wrong > 0 {
		beyond = append(beyond, fmt.Sprintf("%d answers are wrong", wrong))
	}
	if missing := Missing(before, after); len(missing) > 0 {
		beyond = append(beyond, "missing: "+strings.Join(missing, "; "))
	}
	if len(beyond) == 0 {
		return nil
	}
	return errors.New(strings.Join(beyond, "; "))
}

// isStores tells whether a figure is of the store that was measured.
func isStores(m Metric) bool {
	isReference := len(m.Group) > 5 && (m.Group[:5] == "sink " || m.Group[:5] == "zstd ")
	return !isReference && m.Name != "client CPU" && m.Unit != "answers" && m.Unit != "spans" && m.Unit != unitRatio
}

// WriteComparison prints two records side by side, after what keeps them from being compared: their
// notes, wrong answers, and figures that only the first has.
func WriteComparison(w io.Writer, before, after Record) error {
	all, mean := Compare(before, after)
	if before.Source.Name != after.Source.Name || before.Source.Spans != after.Source.Spans {
		fmt.Fprintf(w, "note: not the same spans: %s (%d), %s (%d)\n", before.Source.Name, before.Source.Spans, after.Source.Name, after.Source.Spans)
	}
	if before.Machine != after.Machine {
		fmt.Fprintf(w, "note: not the same machine: %+v, %+v\n", before.Machine, after.Machine)
	}
	if a, b := before.Load, after.Load; a != nil && b != nil && a.SettledBy != b.SettledBy {
		fmt.Fprintf(w, "note: not settled alike: %s, %s\n", a.SettledBy, b.SettledBy)
	}
	for _, side := range []struct {
		name string
		Record
	}{{"before", before}, {"after", after}} {
		for _, note := range side.Notes {
			fmt.Fprintf(w, "note of %s: %s\n", side.name, note)
		}
		for _, q := range side.Queries {
			if q.Wrong > 0 {
				fmt.Fprintf(w, "WRONG %s: %s\n", side.name, q.wrongText())
			}
		}
	}
	for _, what := range Missing(before, after) {
		fmt.Fprintf(w, "missing after: %s\n", what)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\t\t%s %s\t%s %s\t\tratio\t\n", before.Label, before.Version, after.Label, after.Version)
	group := ""
	for _, c := range all {
		name := ""
		if c.Group != group {
			group, name = c.Group, c.Group
		}
		ratio := "-"
		if c.Ratio > 0 {
			ratio = fmt.Sprintf("%.3f", c.Ratio)
		}
		if c.Higher {
			ratio += " (more is better)"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t\n", name, c.Name, c.Before.Text(), c.Text(), c.Unit, ratio)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "geometric mean of what the store takes: %.3f of before\n", mean)
	return err
}
