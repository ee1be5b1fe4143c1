// Package workload makes the spans of a system that does not exist, for measurements that
// no recording is large or odd enough for: services with pods call each other, wait for
// databases, caches and queues, fail now and then, and export what they did in batches,
// some of it late.
//
// One flow: newSystem draws services, pods and operations; a trace is grown from an entry
// operation until it has the number of spans drawn for it; its spans wait until their pod
// exports them; a collector puts the exported ones together to requests. Requests gives
// those, ExportTraceServiceRequest messages of OTLP, in the order in which they would
// arrive.
//
// The same Config gives the same bytes on every machine: all draws are made in whole
// numbers from seeded PCG streams (math/rand/v2), and nothing depends on the order of a
// map, the clock or the number of processors. It starts no goroutines.
package workload

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// Kind is what attributes a workload's spans have.
type Kind string

// Kinds of attributes.
const (
	// Conventions are those of OpenTelemetry's semantic conventions by the role of a span,
	// filled up with an application's own, from flags to unique ids.
	Conventions Kind = "conventions"
	// Storm gives every attribute of every span a key and a value of its own.
	Storm Kind = "storm"
	// NoRepeat has ordinary keys; no value and no span name comes twice.
	NoRepeat Kind = "norepeat"
)

// Config says what to make. The zero value of a field is not a default: begin with Preset.
type Config struct {
	Preset string `json:"preset"` // where the other fields began
	Seed   uint64 `json:"seed"`
	Spans  int    `json:"spans"` // exactly as many are made

	Prefix   string `json:"prefix,omitempty"` // of the services' names
	Services int    `json:"services"`
	Pods     int    `json:"pods"` // of all services together

	TraceSpans    float64 `json:"trace_spans"`     // mean
	TraceSpansMax int     `json:"trace_spans_max"` // the largest
	Depth         int     `json:"depth"`           // calls within calls, at most
	// ShareMin and ShareMax bound how much of what is left of a call's spans the next call
	// within it takes, in percent: small shares make broad traces, large ones deep.
	ShareMin int `json:"share_min"`
	ShareMax int `json:"share_max"`

	Kind        Kind    `json:"kind"`
	Attributes  float64 `json:"attributes"`  // of a span, mean
	Cardinality int     `json:"cardinality"` // users; sessions and addresses follow from it
	Errors      float64 `json:"errors"`      // share of spans with status Error, about

	Start         time.Time     `json:"start"`
	SpansASecond  float64       `json:"spans_a_second"` // of the system's own clock
	Pace          float64       `json:"pace"`           // durations, as multiples of a web shop's
	Skew          time.Duration `json:"skew"`           // pods' clocks are off by at most that
	Late          float64       `json:"late"`           // share of spans that are exported late
	LateMax       time.Duration `json:"late_max"`       // by so much at most
	RequestSpans  int           `json:"request_spans"`  // mean
	LinksPerBatch int           `json:"links"`          // messages that one consumer takes at once, at most
}

// presets by name. Shop resembles the workload that the peers' figures of the project's
// targets were taken with: 2.0 M spans in 86,767 traces of 42 services in 125 pods.
var presets = map[string]Config{
	"shop": {
		Services: 42, Pods: 125, TraceSpans: 23, TraceSpansMax: 7_200, Depth: 12, ShareMin: 20, ShareMax: 75,
		Kind: Conventions, Attributes: 12.3, Cardinality: 20_000, Errors: 0.01,
		SpansASecond: 575, Pace: 1, Skew: 2 * time.Millisecond, Late: 0.005, LateMax: 3 * time.Minute, RequestSpans: 4_000, LinksPerBatch: 1,
	},
	// Calls within calls within calls: what a reader that recurses, or draws, fears.
	"deep": {
		Services: 30, Pods: 60, TraceSpans: 400, TraceSpansMax: 4_000, Depth: 1_000, ShareMin: 97, ShareMax: 100,
		Kind: Conventions, Attributes: 9, Cardinality: 20_000, Errors: 0.005,
		SpansASecond: 575, Pace: 0.2, Skew: 2 * time.Millisecond, Late: 0.005, LateMax: 3 * time.Minute, RequestSpans: 4_000, LinksPerBatch: 1,
	},
	// Few traces of thousands of spans each.
	"huge": {
		Services: 42, Pods: 125, TraceSpans: 5_000, TraceSpansMax: 60_000, Depth: 20, ShareMin: 5, ShareMax: 50,
		Kind: Conventions, Attributes: 12.3, Cardinality: 20_000, Errors: 0.01,
		SpansASecond: 2_000, Pace: 0.5, Skew: 2 * time.Millisecond, Late: 0.005, LateMax: 3 * time.Minute, RequestSpans: 4_000, LinksPerBatch: 1,
	},
	// Every span with keys and values that no other has.
	"storm": {
		Services: 12, Pods: 24, TraceSpans: 12, TraceSpansMax: 500, Depth: 8, ShareMin: 20, ShareMax: 75,
		Kind: Storm, Attributes: 12, Cardinality: 20_000, Errors: 0.01,
		SpansASecond: 575, Pace: 1, Skew: 2 * time.Millisecond, Late: 0.005, LateMax: 3 * time.Minute, RequestSpans: 2_000, LinksPerBatch: 1,
	},
	// Jobs of hours with thousands of items side by side, messages taken by the dozen,
	// and pods that export late.
	"batch": {
		Services: 8, Pods: 64, TraceSpans: 800, TraceSpansMax: 20_000, Depth: 5, ShareMin: 0, ShareMax: 4,
		Kind: Conventions, Attributes: 10, Cardinality: 2_000, Errors: 0.02,
		SpansASecond: 300, Pace: 400, Skew: 50 * time.Millisecond, Late: 0.05, LateMax: 30 * time.Minute, RequestSpans: 4_000, LinksPerBatch: 20,
	},
	// Nothing repeats: no dictionary, template or match of a compressor pays.
	"norepeat": {
		Services: 12, Pods: 24, TraceSpans: 12, TraceSpansMax: 500, Depth: 8, ShareMin: 20, ShareMax: 75,
		Kind: NoRepeat, Attributes: 12, Cardinality: 20_000, Errors: 0.01,
		SpansASecond: 575, Pace: 1, Skew: 2 * time.Millisecond, Late: 0.005, LateMax: 3 * time.Minute, RequestSpans: 4_000, LinksPerBatch: 1,
	},
}

// PresetNames are sorted.
func PresetNames() []string {
	names := make([]string, 0, len(presets))
	for name := range presets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Preset gives a config to begin with: seed 1, 100,000 spans, and time from 2026 on.
func Preset(name string) (Config, error) {
	c, ok := presets[name]
	if !ok {
		return Config{}, fmt.Errorf("no workload %q, want one of %s", name, strings.Join(PresetNames(), ", "))
	}
	c.Preset, c.Seed, c.Spans = name, 1, 100_000
	c.Start = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	return c, nil
}

// Check says what of a config makes no sense.
func (c Config) Check() error {
	span := func(name string, value, least, most float64) error {
		if value >= least && value <= most { // not a number is neither
			return nil
		}
		return fmt.Errorf("%s %v: want %v to %v", name, value, least, most)
	}
	for _, err := range []error{
		span("spans", float64(c.Spans), 1, spansMax),
		span("services", float64(c.Services), 1, servicesMax),
		span("pods", float64(c.Pods), float64(c.Services), podsMax),
		span("spans of a trace", c.TraceSpans, 1, traceSpansMax),
		span("largest trace", float64(c.TraceSpansMax), 1, traceSpansMax),
		span("depth", float64(c.Depth), 1, depthMax),
		span("least share", float64(c.ShareMin), 0, 100),
		span("largest share", float64(c.ShareMax), float64(c.ShareMin), 100),
		span("attributes", c.Attributes, 0, attributesMax),
		span("cardinality", float64(c.Cardinality), 1, cardinalityMax),
		span("errors", c.Errors, 0, 0.5),
		span("start, unix seconds", float64(c.Start.Unix()), 0, startSecondsMax),
		span("spans a second", c.SpansASecond, 0.001, 1e9),
		span("pace", c.Pace, 0.001, 1e6),
		span("skew, seconds", c.Skew.Seconds(), 0, 3600),
		span("late", c.Late, 0, 1),
		span("late at most, seconds", c.LateMax.Seconds(), 0, 86400),
		span("spans of a request", float64(c.RequestSpans), 1, requestSpansMax),
		span("links", float64(c.LinksPerBatch), 1, linksMax),
	} {
		if err != nil {
			return err
		}
	}
	if !slices.Contains([]Kind{Conventions, Storm, NoRepeat}, c.Kind) {
		return fmt.Errorf("kind of attributes %q: want %s, %s or %s", c.Kind, Conventions, Storm, NoRepeat)
	}
	return nil
}

// Requests gives the requests of a config in the order of their arrival. A yielded
// request belongs to the caller. A config that makes no sense is the only error.
func Requests(c Config) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if err := c.Check(); err != nil {
			yield(nil, err)
			return
		}
		made := newExporter(c, newSystem(c))
		traces := newTraces(c, made.system)
		for traces.next() {
			if !made.until(traces.start, yield) {
				return
			}
			for _, s := range traces.spans {
				made.add(s)
			}
		}
		made.end(yield)
	}
}
