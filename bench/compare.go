package bench

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
)

// Compared is one figure of two records.
type Compared struct {
	Metric           // as the second has it; Value is the second's
	Before   float64 // the first's value
	Ratio    float64 // second over first; 0 where either is 0
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
		c := Compared{Metric: m, Before: old.Value}
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

// isStores tells whether a figure is of the store that was measured.
func isStores(m Metric) bool {
	isReference := len(m.Group) > 5 && (m.Group[:5] == "sink " || m.Group[:5] == "zstd ")
	return !isReference && m.Name != "client CPU" && m.Unit != "answers" && m.Unit != "spans" && m.Unit != unitRatio
}

// WriteComparison prints two records side by side.
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
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t\n", name, c.Name, Number(c.Before), Number(c.Value), c.Unit, ratio)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "geometric mean of what the store takes: %.3f of before\n", mean)
	return err
}
