package bench

import "fmt"

// Metric is one figure of a record, as tables, comparisons and plots show it.
type Metric struct {
	Group string // what was done: "load", "query get, warm, 1 client"
	Name  string
	Unit  string
	Value float64
	// Higher is better: spans a second. Else lower is.
	Higher bool
	// Must and Goal are the project's targets, 0 where there is none. They hold for the
	// preset shop with two million spans on the machine that they were set for; ratios
	// hold anywhere.
	Must, Goal float64
	// None is of a class without a right answer: there is no figure, and Value is 0.
	None bool
	// Wrong is of a class with wrong answers, which reaches no target.
	Wrong bool
}

// noFigure stands where a figure would.
const noFigure = "-"

// Text is the figure as tables show it.
func (m Metric) Text() string {
	if m.None {
		return noFigure
	}
	return Number(m.Value)
}

// Key tells metrics of one record apart, and finds the same one in another.
func (m Metric) Key() string { return m.Group + "/" + m.Name }

// Verdict says how a metric stands to its targets: "goal", "must", "missed", "wrong" where it is
// of a class with wrong answers, or "" where there is no target.
func (m Metric) Verdict() string {
	reaches := func(target float64) bool {
		if m.Higher {
			return m.Value >= target
		}
		return m.Value <= target
	}
	switch {
	case m.Must == 0 && m.Goal == 0:
		return ""
	case m.Wrong || m.None:
		return "wrong"
	case reaches(m.Goal):
		return "goal"
	case reaches(m.Must):
		return "must"
	}
	return "missed"
}

// Metrics gives all figures of a record, in the order of a report.
func (r Record) Metrics() []Metric {
	var all []Metric
	if r.Load != nil {
		all = append(all, r.loadMetrics()...)
	}
	if r.Open != nil {
		all = append(all, Metric{Group: "open", Name: "ready", Unit: "ms", Value: r.Open.MS})
	}
	for _, q := range r.Queries {
		all = append(all, q.metrics()...)
	}
	all = groupedMetrics(append(all, r.baselineMetrics()...))
	for i := range all {
		t := targets[all[i].Key()]
		if all[i].Unit != unitRatio && !r.isTargets() {
			continue
		}
		all[i].Must, all[i].Goal = t[0], t[1]
	}
	return all
}

// metrics are the figures of a class: times and the rate of right answers, and how many were wrong.
func (q QueryRecord) metrics() []Metric {
	figure := func(name, unit string, value float64) Metric {
		m := Metric{Group: q.Group(), Name: name, Unit: unit, Wrong: q.Wrong > 0, None: !q.Timed()}
		if !m.None {
			m.Value = value
		}
		return m
	}
	all := []Metric{
		figure("p50", "ms", q.MS.P50), figure("p99", "ms", q.MS.P99),
		{Group: q.Group(), Name: "wrong", Unit: "answers", Value: float64(q.Wrong)},
	}
	if q.Clients > 1 {
		rate := figure("questions", "1/s", q.ASecond)
		rate.Higher = true
		all = append(all, rate)
	}
	return all
}

// isTargets tells whether targets in absolute figures apply.
func (r Record) isTargets() bool {
	w := r.Source.Workload
	return w != nil && w.Preset == "shop" && r.Source.Spans == 2_000_000
}

// Group names what was asked, and how.
func (q QueryRecord) Group() string {
	return fmt.Sprintf("%s, %s, %s", q.Class, q.State, clientsText(q.Clients))
}

func clientsText(n int) string {
	if n == 1 {
		return "1 client"
	}
	return fmt.Sprintf("%d clients", n)
}

// unitRatio is of figures that hold on any machine.
const unitRatio = "x"

// accepted is how many spans the server took, which is what costs are divided by.
func (l *LoadRecord) accepted() int64 { return max(0, l.Spans-l.Rejected) }

func (r Record) loadMetrics() []Metric {
	l := r.Load
	if l.Spans == 0 || l.Seconds == 0 {
		return nil
	}
	rejected := Metric{Group: "load", Name: "rejected", Unit: "spans", Value: float64(l.Rejected)}
	if l.accepted() == 0 {
		return []Metric{rejected} // there is nothing that the rest could be of
	}
	spans := float64(l.accepted())
	millions := spans / 1e6
	all := []Metric{
		{Group: "load", Name: "spans", Unit: "1/s", Value: spans / l.Seconds, Higher: true},
		{Group: "load", Name: "export p50", Unit: "ms", Value: l.Export.P50},
		{Group: "load", Name: "export p99", Unit: "ms", Value: l.Export.P99},
		{Group: "load", Name: "client CPU", Unit: "s/Mspan", Value: l.Accepted.ClientSeconds / millions},
		rejected,
	}
	if l.Settled.CPUSeconds > 0 {
		all = append(all,
			Metric{Group: "load", Name: "CPU accepted", Unit: "s/Mspan", Value: l.Accepted.CPUSeconds / millions},
			Metric{Group: "load", Name: "CPU settled", Unit: "s/Mspan", Value: l.Settled.CPUSeconds / millions},
			Metric{Group: "load", Name: "RssAnon peak", Unit: "MiB", Value: float64(l.Settled.AnonBytes) / (1 << 20)},
			Metric{Group: "load", Name: "RssFile peak", Unit: "MiB", Value: float64(l.Settled.FileBytes) / (1 << 20)},
			Metric{Group: "load", Name: "written", Unit: "B/span", Value: float64(l.Settled.DeviceBytes) / spans})
	}
	if disk := l.disk(); disk > 0 {
		all = append(all, Metric{Group: "load", Name: "disk", Unit: "B/span", Value: disk / spans})
		if l.Settled.DeviceBytes > 0 {
			all = append(all, Metric{Group: "load", Name: "written / disk", Unit: unitRatio, Value: float64(l.Settled.DeviceBytes) / disk})
		}
	}
	return all
}

// disk is what the files take, in bytes: their lengths, or what the disk gave for them
// where that is less. Some stores make files of gigabytes and fill them later.
func (l *LoadRecord) disk() float64 {
	if l.DiskBlocks > 0 {
		return float64(min(l.DiskBytes, l.DiskBlocks))
	}
	return float64(l.DiskBytes)
}

// baselineMetrics are what the references took, and the load as a ratio to them.
func (r Record) baselineMetrics() []Metric {
	var all []Metric
	for _, s := range r.Baselines {
		if s.Spans == 0 || s.Seconds == 0 {
			continue
		}
		perMillion := s.Cost.CPUSeconds / (float64(s.Spans) / 1e6)
		all = append(all,
			Metric{Group: "sink " + s.Sink, Name: "CPU", Unit: "s/Mspan", Value: perMillion},
			Metric{Group: "sink " + s.Sink, Name: "spans", Unit: "1/s", Value: float64(s.Spans) / s.Seconds, Higher: true})
		if r.Load != nil && r.Load.accepted() > 0 && perMillion > 0 {
			all = append(all, Metric{
				Group: "load", Name: "CPU settled / sink " + s.Sink, Unit: unitRatio,
				Value: r.Load.Settled.CPUSeconds / (float64(r.Load.accepted()) / 1e6) / perMillion,
			})
		}
	}
	for _, z := range r.Zstd {
		if z.Spans == 0 {
			continue
		}
		perSpan := float64(z.Bytes) / float64(z.Spans)
		all = append(all, Metric{Group: "zstd " + z.Flags, Name: "disk", Unit: "B/span", Value: perSpan})
		if r.Load != nil && r.Load.accepted() > 0 && r.Load.disk() > 0 {
			all = append(all, Metric{
				Group: "load", Name: "disk / zstd " + z.Flags, Unit: unitRatio,
				Value: r.Load.disk() / float64(r.Load.accepted()) / perSpan,
			})
		}
	}
	return all
}

// targets are must and goal by the key of a metric. What is asked is warm, one client.
var targets = map[string][2]float64{
	"load/spans":                                 {300_000, 600_000},
	"load/CPU settled":                           {3.0, 2.0},
	"load/RssAnon peak":                          {500, 350},
	"load/disk":                                  {36, 30},
	"load/written / disk":                        {4, 4},
	"load/CPU settled / sink pdata":              {1.0, 0.7},
	"load/disk / zstd -19 --long=27":             {0.80, 0.65},
	"get, warm, 1 client/p50":                    {0.6, 0.3},
	"get, warm, 1 client/p99":                    {2, 1},
	"get-largest, warm, 1 client/p50":            {30, 12},
	"get-largest, warm, 1 client/p99":            {60, 25},
	"get-absent, warm, 1 client/p50":             {0.3, 0.2},
	"get-absent, warm, 1 client/p99":             {0.8, 0.5},
	"operation-100s, warm, 1 client/p50":         {5, 2},
	"operation-100s, warm, 1 client/p99":         {15, 6},
	"rare-tag, warm, 1 client/p50":               {3, 1},
	"rare-tag, warm, 1 client/p99":               {12, 5},
	"status-500, warm, 1 client/p50":             {6, 3},
	"status-500, warm, 1 client/p99":             {20, 10},
	"min-duration, warm, 1 client/p50":           {6, 3},
	"min-duration, warm, 1 client/p99":           {20, 10},
	"operation-tag-duration, warm, 1 client/p50": {1.5, 0.8},
	"operation-tag-duration, warm, 1 client/p99": {12, 6},
	"errors-100s, warm, 1 client/p50":            {4, 2},
	"errors-100s, warm, 1 client/p99":            {15, 6},
	"services, warm, 1 client/p50":               {0.3, 0.2},
	"operations, warm, 1 client/p50":             {0.3, 0.2},
	"graph, warm, 1 client/p50":                  {5, 1},
	"graph, warm, 1 client/p99":                  {15, 5},
}
