package workload_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/bench/workload"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

func preset(t testing.TB, name string, spans int) workload.Config {
	t.Helper()
	c, err := workload.Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	c.Spans = spans
	return c
}

// hash is of the records of a config's requests, as a file of them holds them.
func hash(t testing.TB, c workload.Config) string {
	t.Helper()
	h := sha256.New()
	for request, err := range workload.Requests(c) {
		if err != nil {
			t.Fatal(err)
		}
		h.Write(binary.AppendUvarint(nil, uint64(len(request))))
		h.Write(request)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// TestTheSameConfigGivesTheSameBytes: for ever and on every machine. Who changes what is
// made changes what all figures are taken with, and says so in the changelog.
func TestTheSameConfigGivesTheSameBytes(t *testing.T) {
	golden := map[string]string{
		"batch":    "31cfec7dd49e968d94ba50e0a6a59791b5d19d7d414b1e002522dda194cfa96c",
		"deep":     "b73dedc6e2accf70f89a162f6841adef32a6cb59e47968b717afba61988ba5e5",
		"huge":     "31252251256c5aef01c7630524df6e3158a9b94ab0198783eb35c025b8f80fa6",
		"norepeat": "db0965c41343494906e88c7371f24021cda73882dfa1c80846b035d745ff241a",
		"shop":     "9b957add2bdf63d0558902cb333f84c7d89f434bf88cd1a5df64e07b692f93c6",
		"storm":    "0f5acc97662cd40001cb1fb592b342c2c58d664d7bcb0e6a0f40c80c20f5c4a6",
	}
	if len(golden) != len(workload.PresetNames()) {
		t.Errorf("presets %q, hashes of %d", workload.PresetNames(), len(golden))
	}
	for _, name := range workload.PresetNames() {
		c := preset(t, name, 20_000)
		if got := hash(t, c); got != golden[name] {
			t.Errorf("%s: the bytes are now %s", name, got)
		}
		c.Seed++
		if hash(t, c) == golden[name] {
			t.Errorf("%s: another seed gives the same bytes", name)
		}
	}
}

// counted is what a workload holds.
type counted struct {
	requests, bytes, spans            int
	attrs, resourceAttrs, resources   int
	errors, events, exceptions, links int
	services, pods                    map[string]bool
	traces                            map[span.TraceID]int
	keys, values                      map[string]bool
	first, last                       uint64
	late                              int // spans that came a minute after their end, or later
}

func count(t testing.TB, c workload.Config) *counted {
	t.Helper()
	n := &counted{
		services: map[string]bool{}, pods: map[string]bool{}, traces: map[span.TraceID]int{},
		keys: map[string]bool{}, values: map[string]bool{}, first: math.MaxUint64,
	}
	newest := uint64(0)
	for request, err := range workload.Requests(c) {
		if err != nil {
			t.Fatal(err)
		}
		batch, counts, err := otlp.Walk(request)
		if err != nil || counts.Dropped() > 0 {
			t.Fatalf("%v, %+v", err, counts)
		}
		n.requests++
		n.bytes += len(request)
		for i := range batch.Resources {
			n.resources++
			for _, attr := range batch.ResourceAttrsOf(uint32(i)) {
				n.resourceAttrs++
				if text := batch.String(attr.Key); text == "k8s.pod.name" {
					n.pods[batch.String(span.TextID(attr.Value))] = true
				}
			}
			n.services[batch.String(batch.Resources[i].Service)] = true
		}
		for pos := range batch.Len() {
			n.row(span.Row{Batch: batch, Pos: pos}, newest)
			newest = max(newest, batch.Ends[pos])
		}
	}
	return n
}

func (n *counted) row(row span.Row, newest uint64) {
	n.spans++
	n.traces[row.TraceID()]++
	n.first, n.last = min(n.first, row.Start()), max(n.last, row.End())
	if row.StatusCode() == span.StatusError {
		n.errors++
	}
	if newest > row.End()+uint64(time.Minute) {
		n.late++
	}
	b := row.Batch
	for _, attr := range row.AppendAttrs(nil) {
		n.attrs++
		n.keys[b.String(attr.Key)] = true
		if attr.Type == span.StringValue {
			n.values[b.String(span.TextID(attr.Value))] = true
		}
	}
	begin, end := row.EventRange()
	n.events += int(end - begin)
	for ; begin < end; begin++ {
		for _, attr := range b.EventAttrsOf(begin) {
			if b.String(attr.Key) == "exception.type" {
				n.exceptions++
			}
		}
	}
	begin, end = row.LinkRange()
	n.links += int(end - begin)
}

func (n *counted) largest() int { return slices.MaxFunc(values(n.traces), cmp.Compare[int]) }

func values(m map[span.TraceID]int) (all []int) {
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// TestShopResemblesTheWorkloadOfTheTargets: the figures of two million spans that its
// peers' times were taken with, in proportion.
func TestShopResemblesTheWorkloadOfTheTargets(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: 400,000 spans are made and walked")
	}
	n := count(t, preset(t, "shop", 400_000))
	spans := float64(n.spans)
	near := func(what string, got, want, tolerance float64) {
		t.Helper()
		if math.Abs(got-want) > want*tolerance {
			t.Errorf("%s: %.4g, want %.4g", what, got, want)
		}
	}
	near("services", float64(len(n.services)), 42, 0)
	near("pods", float64(len(n.pods)), 125, 0)
	near("traces", float64(len(n.traces)), 86_767/5, 0.05)
	near("attributes of a span", float64(n.attrs)/spans, 12.3, 0.03)
	near("attributes of a resource", float64(n.resourceAttrs)/float64(n.resources), 23, 0)
	near("share of errors", float64(n.errors)/spans, 0.01, 0.1)
	near("events", float64(n.events), 64_000/5, 0.1)
	near("bytes of a span", float64(n.bytes)/spans, 511.6, 0.03)
	near("spans of a request", spans/float64(n.requests), 4_000, 0.05)
	if largest := n.largest(); largest < 1_000 || largest > 7_200 {
		t.Errorf("the largest trace has %d spans", largest)
	}
	if n.exceptions == 0 || n.links == 0 || n.late == 0 || len(n.values) < n.spans/2 {
		t.Errorf("%d exceptions, %d links, %d late spans, %d texts", n.exceptions, n.links, n.late, len(n.values))
	}
}

// TestPresetsAreWhatTheirNamesSay.
func TestPresetsAreWhatTheirNamesSay(t *testing.T) {
	const spans = 40_000 // some traces of the largest preset
	deep := depths(t, preset(t, "deep", spans))
	if deepest := slices.Max(deep); deepest < 100 {
		t.Errorf("deep: no trace is deeper than %d spans", deepest)
	}
	if shop := slices.Max(depths(t, preset(t, "shop", spans))); shop > 30 {
		t.Errorf("shop: a trace is %d spans deep", shop)
	}
	huge := count(t, preset(t, "huge", spans))
	if mean := huge.spans / len(huge.traces); mean < 2_000 {
		t.Errorf("huge: traces of %d spans", mean)
	}
	storm := count(t, preset(t, "storm", spans))
	if len(storm.keys) != storm.attrs || len(storm.values) != storm.attrs {
		t.Errorf("storm: %d keys and %d values in %d attributes", len(storm.keys), len(storm.values), storm.attrs)
	}
	none := count(t, preset(t, "norepeat", spans))
	if len(none.values) != none.attrs || len(none.keys) > 100 {
		t.Errorf("norepeat: %d values in %d attributes, %d keys", len(none.values), none.attrs, len(none.keys))
	}
	batch := count(t, preset(t, "batch", spans))
	if batch.late*30 < batch.spans || batch.links*10 < batch.spans {
		t.Errorf("batch: %d late spans and %d links of %d spans", batch.late, batch.links, batch.spans)
	}
}

// depths of the traces: how many spans lie one inside the other. Every parent of a trace
// is there, starts no later than its child by the clock of one machine, and no id stands
// twice.
func depths(t *testing.T, c workload.Config) (all []int) {
	t.Helper()
	c.Skew = 0
	type known struct {
		parent span.SpanID
		start  uint64
	}
	traces := map[span.TraceID]map[span.SpanID]known{}
	for request, err := range workload.Requests(c) {
		if err != nil {
			t.Fatal(err)
		}
		batch, _, err := otlp.Walk(request)
		if err != nil {
			t.Fatal(err)
		}
		for pos, id := range batch.TraceIDs {
			if traces[id] == nil {
				traces[id] = map[span.SpanID]known{}
			}
			if _, twice := traces[id][batch.SpanIDs[pos]]; twice {
				t.Fatalf("trace %v has span %v twice", id, batch.SpanIDs[pos])
			}
			traces[id][batch.SpanIDs[pos]] = known{batch.ParentIDs[pos], batch.Starts[pos]}
		}
	}
	for id, spans := range traces {
		deepest := 0
		for at := range spans {
			depth := 1
			for s := spans[at]; !s.parent.IsZero(); depth++ {
				parent, ok := spans[s.parent]
				if !ok || parent.start > s.start {
					t.Fatalf("trace %v: parent %v of a span: there %v, starts %d, child %d", id, s.parent, ok, parent.start, s.start)
				}
				s = parent
			}
			deepest = max(deepest, depth)
		}
		all = append(all, deepest)
	}
	return all
}

// TestKnobsDoWhatTheySay.
func TestKnobsDoWhatTheySay(t *testing.T) {
	c := preset(t, "shop", 30_000)
	c.Services, c.Pods, c.TraceSpans, c.TraceSpansMax, c.Attributes, c.Errors, c.Late, c.RequestSpans = 7, 9, 5, 40, 30, 0, 0, 500
	n := count(t, c)
	if n.spans != 30_000 || len(n.services) != 7 || len(n.pods) != 9 || n.largest() > 40 {
		t.Errorf("%d spans, %d services, %d pods, largest trace %d", n.spans, len(n.services), len(n.pods), n.largest())
	}
	if mean := float64(n.attrs) / 30_000; mean < 29 || mean > 31 {
		t.Errorf("%v attributes a span", mean)
	}
	if mean := 30_000 / float64(len(n.traces)); mean < 4.5 || mean > 5.5 {
		t.Errorf("%v spans a trace", mean)
	}
	if n.errors != 0 || n.exceptions != 0 || n.late != 0 {
		t.Errorf("%d errors, %d exceptions, %d late", n.errors, n.exceptions, n.late)
	}
	if mean := 30_000 / n.requests; mean < 450 || mean > 550 {
		t.Errorf("%d spans a request", mean)
	}
	few, many := c, c
	few.Cardinality, many.Cardinality = 10, 100_000
	if a, b := count(t, few), count(t, many); len(a.values) >= len(b.values) {
		t.Errorf("%d texts of 10 users, %d of 100,000", len(a.values), len(b.values))
	}
}

// TestAConfigThatMakesNoSenseIsRefused, by the name of what is wrong.
func TestAConfigThatMakesNoSenseIsRefused(t *testing.T) {
	for what, change := range map[string]func(*workload.Config){
		"spans":      func(c *workload.Config) { c.Spans = 0 },
		"pods":       func(c *workload.Config) { c.Pods = c.Services - 1 },
		"errors":     func(c *workload.Config) { c.Errors = math.NaN() },
		"attributes": func(c *workload.Config) { c.Attributes = -1 },
		"share":      func(c *workload.Config) { c.ShareMin = c.ShareMax + 1 },
		"kind":       func(c *workload.Config) { c.Kind = "other" },
		"skew":       func(c *workload.Config) { c.Skew = -1 },
		"start":      func(c *workload.Config) { c.Start = time.Unix(-1, 0) },
	} {
		c := preset(t, "shop", 10)
		change(&c)
		for request, err := range workload.Requests(c) {
			if request != nil || err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: a request of %d bytes, %v", what, len(request), err)
			}
		}
	}
	if _, err := workload.Preset("none"); err == nil {
		t.Error("a preset of no name")
	}
}
