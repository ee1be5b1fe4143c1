package bench

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// chart is a plot whose every coordinate is worked out: the template only prints it.
type chart struct {
	Title, Note   string
	Width, Height int
	Ticks         []tick
	Labels        []label
	Bars          []bar
	Lines         []line
}

type tick struct {
	X, Y, TextY float64
	Text        string
}

type label struct {
	X, Y         float64
	Anchor, Text string
}

type bar struct {
	X, Y, Width, Height float64
	Colour, Text        string
}

type line struct{ Colour, Points string }

// What charts measure, in pixels.
const (
	chartWidth  = 940
	labelWidth  = 240
	valueWidth  = 90
	barHeight   = 11
	barGap      = 9
	axisHeight  = 22
	scaleHeight = 220
)

// charts gives the plots that the records have something for.
func charts(records []Record) []chart {
	var all []chart
	for _, panel := range []struct{ title, unit string }{
		{"Processor seconds of a million spans", "s/Mspan"}, {"Bytes of a span", "B/span"}, {"Spans a second", "1/s"},
		{"Memory, peak", "MiB"}, {"Ratios", unitRatio},
	} {
		c := barChart(panel.title, records, func(m Metric) bool { return m.Unit == panel.unit && !strings.Contains(m.Group, "client") })
		if len(c.Bars) > 0 {
			all = append(all, c)
		}
	}
	all = append(all, queryCharts(records)...)
	return append(all, scaleCharts(records)...)
}

// barChart has a row for each metric wanted, in it a bar for each record.
func barChart(title string, records []Record, want func(Metric) bool) chart {
	c := chart{Title: title, Width: chartWidth}
	var rows []Metric
	values := make(map[string][]*Metric)
	largest := 0.0
	for i, r := range records {
		for _, m := range r.Metrics() {
			if !want(m) {
				continue
			}
			if values[m.Key()] == nil {
				rows = append(rows, m)
				values[m.Key()] = make([]*Metric, len(records))
			}
			values[m.Key()][i] = &m
			largest = max(largest, m.Value)
		}
	}
	y := 0.0
	for _, row := range rows {
		c.Labels = append(c.Labels, label{labelWidth - 8, y + barHeight, "end", rowLabel(row)})
		for i, m := range values[row.Key()] {
			if m == nil {
				continue
			}
			width := (chartWidth - labelWidth - valueWidth) * m.Value / max(largest, 1e-12)
			c.Bars = append(c.Bars, bar{labelWidth, y, max(width, 1), barHeight, colour(i), records[i].Label + ": " + Number(m.Value) + " " + m.Unit})
			c.Labels = append(c.Labels, label{labelWidth + width + 6, y + barHeight - 1, "start", Number(m.Value)})
			y += barHeight + 2
		}
		y += barGap
	}
	c.Height = int(y) + 4
	return c
}

func rowLabel(m Metric) string {
	if m.Group == "load" {
		return m.Name
	}
	return m.Group + " " + m.Name
}

// queryCharts has one plot for each state and number of clients: from p50, the full bar,
// to p99, on a logarithmic axis. A class without a right answer has no bar.
func queryCharts(records []Record) []chart {
	type state struct {
		name    string
		clients int
	}
	var states []state
	for _, r := range records {
		for _, q := range r.Queries {
			if s := (state{q.State, q.Clients}); !slices.Contains(states, s) {
				states = append(states, s)
			}
		}
	}
	var all []chart
	for _, s := range states {
		in := func(q QueryRecord) bool { return q.State == s.name && q.Clients == s.clients }
		c := queryChart(records, in)
		c.Title = fmt.Sprintf("Questions, %s, %s: milliseconds", s.name, clientsText(s.clients))
		c.Note = "The thick bar ends at the median, the thin one at the 99th percentile. Logarithmic."
		all = append(all, c)
	}
	return all
}

func queryChart(records []Record, in func(QueryRecord) bool) chart {
	c := chart{Width: chartWidth}
	var classes []string
	least, largest := math.Inf(1), 0.0
	for _, r := range records {
		for _, q := range r.Queries {
			if !in(q) {
				continue
			}
			if !slices.Contains(classes, q.Class) {
				classes = append(classes, q.Class)
			}
			if q.Timed() {
				least, largest = min(least, max(q.MS.P50, 1e-3)), max(largest, q.MS.P99)
			}
		}
	}
	if largest == 0 {
		least, largest = 1, 1 // no bar: any axis will do
	}
	from, until := math.Floor(math.Log10(least/1.5)), math.Ceil(math.Log10(max(largest, least*1.5)))
	place := func(ms float64) float64 {
		return labelWidth + (chartWidth-labelWidth-valueWidth)*(math.Log10(max(ms, 1e-3))-from)/(until-from)
	}
	y := 0.0
	for _, class := range classes {
		c.Labels = append(c.Labels, label{labelWidth - 8, y + barHeight, "end", class})
		for i, r := range records {
			for _, q := range r.Queries {
				if !in(q) || q.Class != class {
					continue
				}
				p50, p99 := q.Shown()
				text, end := fmt.Sprintf("%s: p50 %s, p99 %s", r.Label, p50, p99), float64(labelWidth)
				if q.Timed() {
					end = place(q.MS.P99)
					c.Bars = append(c.Bars,
						bar{labelWidth, y, max(place(q.MS.P50)-labelWidth, 1), barHeight, colour(i), text},
						bar{labelWidth, y + barHeight/2 - 1, max(end-labelWidth, 1), 2, colour(i), text})
				}
				if q.Wrong > 0 {
					p50 += fmt.Sprintf(" (%d of %d wrong)", q.Wrong, q.Asked)
				}
				c.Labels = append(c.Labels, label{end + 6, y + barHeight - 1, "start", p50})
				y += barHeight + 2
			}
		}
		y += barGap
	}
	for power := from; power <= until; power++ {
		x := place(math.Pow(10, power))
		c.Ticks = append(c.Ticks, tick{x, y, y + 15, Number(math.Pow(10, power))})
	}
	c.Height = int(y) + axisHeight
	return c
}

// scaleCharts plot cost against spans where records differ in that.
func scaleCharts(records []Record) []chart {
	var sizes []int64
	for _, r := range records {
		if !slices.Contains(sizes, r.Source.Spans) && r.Source.Spans > 0 {
			sizes = append(sizes, r.Source.Spans)
		}
	}
	if len(sizes) < 2 {
		return nil
	}
	slices.Sort(sizes)
	var all []chart
	for _, key := range []string{
		"load/CPU settled", "load/disk", "load/RssAnon peak", "open/ready", "get, warm, 1 client/p50", "get, warm, 1 client/p99",
		"operation-100s, warm, 1 client/p99", "rare-tag, warm, 1 client/p99",
	} {
		if c, ok := scaleChart(records, key, float64(sizes[0]), float64(sizes[len(sizes)-1])); ok {
			all = append(all, c)
		}
	}
	return all
}

// scaleChart is one figure against spans (logarithmic), a line for each label.
func scaleChart(records []Record, key string, least, most float64) (c chart, ok bool) {
	type point struct{ spans, value float64 }
	var labels []string
	points := make(map[string][]point)
	unit, largest := "", 0.0
	for _, r := range records {
		for _, m := range r.Metrics() {
			if m.Key() != key || m.None {
				continue
			}
			if !slices.Contains(labels, r.Label) {
				labels = append(labels, r.Label)
			}
			points[r.Label] = append(points[r.Label], point{float64(r.Source.Spans), m.Value})
			unit, largest = m.Unit, max(largest, m.Value)
		}
	}
	c = chart{Title: fmt.Sprintf("%s by spans, %s", strings.ReplaceAll(key, "/", ": "), unit), Width: chartWidth, Height: scaleHeight + axisHeight + 10}
	x := func(spans float64) float64 {
		return labelWidth + (chartWidth-labelWidth-valueWidth)*math.Log(spans/least)/math.Log(most/least)
	}
	y := func(value float64) float64 { return 10 + (scaleHeight-10)*(1-value/max(largest, 1e-12)) }
	for i, name := range labels {
		slices.SortFunc(points[name], func(a, b point) int { return cmp.Compare(a.spans, b.spans) })
		var text strings.Builder
		for _, p := range points[name] {
			fmt.Fprintf(&text, "%.1f,%.1f ", x(p.spans), y(p.value))
			c.Labels = append(c.Labels, label{x(p.spans), y(p.value) - 4, "middle", Number(p.value)})
			c.Bars = append(c.Bars, bar{x(p.spans) - 3, y(p.value) - 3, 6, 6, colour(i), name})
			c.Ticks = append(c.Ticks, tick{x(p.spans), scaleHeight, scaleHeight + 15, Number(p.spans)})
			ok = ok || p.spans != least
		}
		c.Lines = append(c.Lines, line{colour(i), strings.TrimSpace(text.String())})
		last := points[name][len(points[name])-1]
		c.Labels = append(c.Labels, label{labelWidth - 12, y(last.value), "end", name})
	}
	return c, ok
}
