package bench_test

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/bench/workload"
)

// recordOf is a record of round figures, cost times as dear.
func recordOf(label string, spans int64, cost float64) bench.Record {
	r := bench.NewRecord(label, "v1", bench.FromFiles("some.otlp.zst"), spans, 500*spans)
	used := bench.Cost{CPUSeconds: 3 * cost * float64(spans) / 1e6, AnonBytes: int64(cost * (100 << 20)), FileBytes: 50 << 20, DeviceBytes: 100 * spans}
	r.Load = &bench.LoadRecord{
		Spans: spans, Seconds: cost * float64(spans) / 500_000, Export: bench.Spread{P50: cost, P99: 2 * cost},
		Accepted: used, Settled: used, DiskBytes: int64(40 * cost * float64(spans)),
	}
	r.Queries = []bench.QueryRecord{
		{Class: "get", State: "warm", Clients: 1, Asked: 200, MS: bench.Spread{P50: 0.5 * cost, P99: 2 * cost}, ASecond: 2000},
		{Class: "get", State: "warm", Clients: 8, Asked: 200, MS: bench.Spread{P50: cost, P99: 4 * cost}, ASecond: 4000 / cost},
	}
	r.Baselines = []bench.SinkRecord{{Sink: "pdata", Spans: spans, Seconds: 1, Cost: bench.Cost{CPUSeconds: 2 * float64(spans) / 1e6}}}
	r.Zstd = []bench.ZstdRecord{{Flags: "-19 --long=27", Spans: spans, Bytes: 50 * spans}}
	return r
}

// TestATableHasEveryFigure and what misses its target; wrong answers are told at its end.
func TestATableHasEveryFigure(t *testing.T) {
	r := recordOf("one", 1_000_000, 1)
	r.Queries[1].Wrong, r.Queries[1].FirstWrong = 3, "trace 1 is another"
	r.Notes = []string{"SKIP: something"}
	r.Load.DiskBlocks = r.Load.DiskBytes
	r.Load.DiskBytes = 1 << 40 // a file that is long and mostly not there
	var text bytes.Buffer
	if err := bench.WriteTable(&text, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`(?m)^load +spans +500000 +1/s$`, `CPU settled +3 +s/Mspan`, `disk +40 +B/span`, `written / disk +2.5 +x +must 4 +goal 4 +goal`,
		`CPU settled / sink pdata +1.5 +x +must 1 +goal 0.7 +missed`, `disk / zstd -19 --long=27 +0.8 +x +must 0.8 +goal 0.65 +must`,
		`get, warm, 8 clients +p50 +1 +ms`, `questions +4000 +1/s`, `wrong +3 +answers`, `WRONG: get, warm, 8 clients: 3 of 200 answers, the first: trace 1`, `note: SKIP`,
	} {
		if !regexp.MustCompile(want).MatchString(text.String()) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
}

// TestAComparisonFindsWhatBecameDearer: all figures of cost doubled make a mean of two,
// rates counted by their inverse, references not at all.
func TestAComparisonFindsWhatBecameDearer(t *testing.T) {
	before, after := recordOf("before", 1000, 1), recordOf("after", 1000, 2)
	all, mean := bench.Compare(before, after)
	for _, c := range all {
		switch {
		case !c.Relevant:
		case c.Name == "RssFile peak" || c.Name == "written":
			if c.Ratio != 1 {
				t.Errorf("%s: %v", c.Key(), c.Ratio)
			}
		case c.Higher && c.Ratio != 0.5, !c.Higher && c.Ratio != 2:
			t.Errorf("%s: %v", c.Key(), c.Ratio)
		}
	}
	if mean < 1.6 || mean > 2 {
		t.Errorf("mean %v", mean)
	}
	if _, back := bench.Compare(after, before); math.Abs(back*mean-1) > 1e-9 {
		t.Errorf("there %v, back %v", mean, back)
	}
	if _, same := bench.Compare(before, before); same != 1 {
		t.Errorf("with itself %v", same)
	}
	var text bytes.Buffer
	if err := bench.WriteComparison(&text, before, after); err != nil || !strings.Contains(text.String(), "geometric mean") {
		t.Errorf("%v: %s", err, text.String())
	}
}

// TestAMeanIsNotAll: a limit is also passed where answers became wrong, or figures are gone, which
// no mean tells of; a comparison says which, and the notes of both.
func TestAMeanIsNotAll(t *testing.T) {
	before := recordOf("before", 1000, 1)
	before.Notes = []string{"warm is after 25 questions"}
	for what, c := range map[string]struct {
		change func(r *bench.Record)
		says   []string // of the error and the text
		only   []string // of the text
	}{
		"the same":       {func(*bench.Record) {}, nil, []string{"note of before: warm is after 25 questions"}},
		"better":         {func(r *bench.Record) { r.Load.DiskBytes /= 2 }, nil, nil},
		"wrong answers":  {func(r *bench.Record) { r.Queries[0].Wrong, r.Queries[0].FirstWrong = 3, "another" }, []string{"3 answers are wrong"}, []string{"WRONG after: get, warm, 1 client: 3 of 200 answers, the first: another"}},
		"a class less":   {func(r *bench.Record) { r.Queries = r.Queries[:1] }, []string{"missing: get, warm, 8 clients"}, []string{"missing after: get, warm, 8 clients"}},
		"a figure less":  {func(r *bench.Record) { r.Load.DiskBytes = 0 }, []string{"missing: ", "load, disk;", "load, written / disk"}, []string{"missing after: load, disk\n"}},
		"no load":        {func(r *bench.Record) { r.Load = nil }, []string{"missing: load"}, []string{"missing after: load\n"}},
		"nothing right":  {func(r *bench.Record) { r.Queries[0].Wrong = 200 }, []string{"200 answers are wrong", "missing: get, warm, 1 client, p50; get, warm, 1 client, p99"}, []string{"missing after: get, warm, 1 client, p50"}},
		"another note":   {func(r *bench.Record) { r.Notes = []string{"get: not asked: no time"} }, nil, []string{"note of after: get: not asked: no time"}},
		"dearer as well": {func(r *bench.Record) { *r = recordOf("after", 1000, 2); r.Queries[1].Wrong = 1 }, []string{"beyond 1.050", "1 answers are wrong"}, nil},
	} {
		after := recordOf("after", 1000, 1)
		c.change(&after)
		err := bench.Within(before, after, 1.05)
		if (err == nil) != (c.says == nil) {
			t.Errorf("%s: %v", what, err)
		}
		for _, want := range c.says {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in %v", what, want, err)
			}
		}
		var text bytes.Buffer
		if err := bench.WriteComparison(&text, before, after); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.only {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s: %q is not in\n%s", what, want, text.String())
			}
		}
	}
}

// wrongRecord has a class with some wrong answers, and one with nothing but those, of the spans
// that targets are for.
func wrongRecord(label string) bench.Record {
	r := recordOf(label, 2_000_000, 1)
	r.Source.Workload = &workload.Config{Preset: "shop"}
	r.Queries = append(r.Queries, r.Queries[0], r.Queries[0])
	for i, class := range []string{"get", "get", "graph", "services"} {
		r.Queries[i].Class = class
	}
	r.Queries[0].Wrong, r.Queries[0].FirstWrong = 3, "another"
	r.Queries[1].Wrong, r.Queries[1].MS, r.Queries[1].ASecond = 200, bench.Spread{}, 0
	r.Queries[2].Wrong, r.Queries[2].MS, r.Queries[2].ASecond = 200, bench.Spread{}, 0
	return r
}

// TestNoFigureIsOfWrongAnswers, and no target is met by a class with any.
func TestNoFigureIsOfWrongAnswers(t *testing.T) {
	r := wrongRecord("one")
	for what, c := range map[string]struct {
		write func(w io.Writer, r bench.Record) error
		want  []string
		not   string
	}{
		"table": {bench.WriteTable, []string{
			`(?m)^get, warm, 1 client +p50 +0.5 +ms +must 0.6 +goal 0.3 +wrong$`, `(?m)^ +p99 +2 +ms +must 2 +goal 1 +wrong$`,
			`(?m)^get, warm, 8 clients +p50 +- +ms\n +p99 +- +ms\n +wrong +200 +answers\n +questions +- +1/s$`,
			`(?m)^graph, warm, 1 client +p50 +- +ms +must 5 +goal 1 +wrong$`, `(?m)^services, warm, 1 client +p50 +0.5 +ms +must 0.3 +goal 0.2 +missed$`,
		}, `p50 +0 `},
		"markdown": {func(w io.Writer, r bench.Record) error { return bench.WriteMarkdown(w, []bench.Record{r}) }, []string{
			`\| get, warm, 1 client, ms \| 0.5 / 2 \(\*\*3 of 200 wrong\*\*\) \|`, `\| graph, warm, 1 client, ms \| - \(\*\*200 of 200 wrong\*\*\) \|`,
		}, ` 0 / 0`},
		"page": {func(w io.Writer, r bench.Record) error {
			return bench.WriteHTML(w, "page", []bench.Record{r, wrongRecord("two")})
		}, []string{
			`<td class="wrong">0.5</td>`, `<td class="wrong">-</td>`, `>- \(200 of 200 wrong\)</text>`, `>0.5 \(3 of 200 wrong\)</text>`,
		}, `NaN|Inf|p50 0,|<td class="(wrong|goal)">0</td>`},
		"benchmarks": {func(w io.Writer, r bench.Record) error { return bench.WriteBenchmarks(w, []bench.Record{r}) }, []string{
			`(?m)/get/warm/1-client-\d+\t1\t0.5 p50-ms\t2 p99-ms\t3 wrong-answers$`, `(?m)/graph/warm/1-client-\d+\t1\t200 wrong-answers$`,
		}, `\t0 (p50|p99|questions)`},
		"comparison": {func(w io.Writer, r bench.Record) error {
			return bench.WriteComparison(w, recordOf("before", 2_000_000, 1), r)
		}, []string{
			`(?m)^get, warm, 8 clients +p50 +1 +- +ms +- *$`, `missing after: get, warm, 8 clients, questions`,
		}, ` 0 +ms`},
	} {
		var text bytes.Buffer
		if err := c.write(&text, r); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !regexp.MustCompile(want).MatchString(text.String()) {
				t.Errorf("%s: %q is not in\n%s", what, want, text.String())
			}
		}
		if found := regexp.MustCompile(c.not).FindString(text.String()); found != "" {
			t.Errorf("%s: %q is in\n%s", what, found, text.String())
		}
	}
	none := wrongRecord("none")
	none.Queries = none.Queries[2:3]
	var page bytes.Buffer
	if err := bench.WriteHTML(&page, "page", []bench.Record{none}); err != nil || regexp.MustCompile(`NaN|Inf`).MatchString(page.String()) {
		t.Errorf("a page without a right answer: %v\n%s", err, page.String())
	}
}

// TestRecordsOfBeforeAreRead: those had times where no answer was right, which are none.
func TestRecordsOfBeforeAreRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "record.json")
	if err := os.WriteFile(name, []byte(`{"format":1,"label":"old","queries":[
		{"class":"get","state":"warm","clients":1,"asked":210,"wrong":210,"first_wrong":"0 traces","ms":{"p50":0.1,"p90":0.1,"p99":0.2,"max":1},"a_second":9000,"answers":0},
		{"class":"graph","state":"warm","clients":2,"asked":210,"wrong":0,"ms":{"p50":0.3,"p90":0.4,"p99":0.5,"max":1},"a_second":6000,"answers":4}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	record, err := bench.ReadRecord(name)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := bench.WriteTable(&text, record); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`get, warm, 1 client +p50 +- +ms\n +p99 +- +ms\n +wrong +210`, `graph, warm, 2 clients +p50 +0.3 +ms\n +p99 +0.5 +ms\n +questions +6000`} {
		if !regexp.MustCompile(want).MatchString(text.String()) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
}

// TestFiguresAreOfAcceptedSpans: half are rejected, which makes the rest twice as dear.
func TestFiguresAreOfAcceptedSpans(t *testing.T) {
	r := recordOf("one", 1_000_000, 1)
	r.Load.Rejected = 500_000
	got := make(map[string]float64)
	for _, m := range r.Metrics() {
		got[m.Key()] = m.Value
	}
	for key, want := range map[string]float64{
		"load/spans": 250_000, "load/CPU accepted": 6, "load/CPU settled": 6, "load/written": 200, "load/disk": 80, "load/rejected": 500_000,
		"load/CPU settled / sink pdata": 3, "load/disk / zstd -19 --long=27": 1.6,
	} {
		if math.Abs(got[key]-want) > 1e-9 {
			t.Errorf("%s is %v, not %v", key, got[key], want)
		}
	}
	var text bytes.Buffer
	if err := bench.WriteMarkdown(&text, []bench.Record{r}); err != nil || !strings.Contains(text.String(), "- one: 500000 of 1000000 spans rejected") {
		t.Errorf("%v: %s", err, text.String())
	}
	r.Load.Rejected = r.Load.Spans
	for _, m := range r.Metrics() {
		if m.Group == "load" && (m.Name != "rejected" || m.Value != 1_000_000) {
			t.Errorf("of no span: %+v", m)
		}
	}
}

// TestBenchmarkLinesAreThoseOfGo.
func TestBenchmarkLinesAreThoseOfGo(t *testing.T) {
	var text bytes.Buffer
	if err := bench.WriteBenchmarks(&text, []bench.Record{recordOf("one", 1000, 1)}); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^Benchmark[A-Z0-9]\S*-\d+\t1(\t[0-9.e+-]+ \S+)+$`)
	lines := 0
	for text := range strings.Lines(text.String()) {
		if strings.HasPrefix(text, "Benchmark") {
			lines++
			if !line.MatchString(strings.TrimSuffix(text, "\n")) {
				t.Errorf("no line of a benchmark: %q", text)
			}
		}
	}
	if lines != 5 {
		t.Errorf("%d lines:\n%s", lines, text.String())
	}
}

// TestAPageNeedsNothingFromAnywhere, shows every record, and runs nothing that a record
// says.
func TestAPageNeedsNothingFromAnywhere(t *testing.T) {
	records := []bench.Record{recordOf("one", 1_000_000, 1), recordOf(`<script>alert(1)</script>`, 3_000_000, 2)}
	records[1].Queries[0].Wrong, records[1].Queries[0].FirstWrong = 1, `"><img onerror=x>`
	var page bytes.Buffer
	if err := bench.WriteHTML(&page, "figures & plots", records); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	if outside := regexp.MustCompile(`<script|<img|<link|<iframe|src=|href=|url\(|@import|https?:`).FindString(text); outside != "" {
		t.Errorf("the page has %q", outside)
	}
	for _, want := range []string{"figures &amp; plots", "Processor seconds", "Questions, warm, 8 clients", "CPU settled by spans", "<polyline", `class="missed"`, "are wrong", "&lt;script&gt;"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if regexp.MustCompile(`="(NaN|[+-]?Inf)|ZgotmplZ`).MatchString(text) {
		t.Error("a coordinate is no number")
	}
}

// TestRecordsAreReadBack, and what is none is refused.
func TestRecordsAreReadBack(t *testing.T) {
	name := filepath.Join(t.TempDir(), "record.json")
	if err := bench.WriteRecord(name, recordOf("one", 1000, 1)); err != nil {
		t.Fatal(err)
	}
	record, err := bench.ReadRecord(name)
	if err != nil || record.Label != "one" || record.Load.Spans != 1000 || len(record.Queries) != 2 {
		t.Errorf("%+v, %v", record, err)
	}
	for what, content := range map[string]string{"no JSON": "spans", "another format": `{"format": 99}`, "no format": `{}`} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := bench.ReadRecord(name); err == nil {
			t.Errorf("%s was read", what)
		}
	}
}

// TestASinkTakesARequest: raw whatever it is, walk what is one.
func TestASinkTakesARequest(t *testing.T) {
	for _, kind := range []string{bench.RawSink, bench.WalkSink} {
		address, ended := make(chan string, 1), make(chan error, 1)
		go func() {
			ended <- bench.ServeSink(t.Context(), kind, func(at string) error { address <- at; return nil })
		}()
		select {
		case at := <-address:
			loaded, err := bench.Load(t.Context(), at, 2, made(t, 3000).Requests())
			if err != nil || loaded.Spans != 3000 {
				t.Errorf("%s: %+v, %v", kind, loaded, err)
			}
			_, err = bench.Load(t.Context(), at, 1, bench.Held([][]byte{{0x0a, 8, 0x12, 6, 0x12, 4, 0x4a, 2, 0x0a, 9}}))
			if (err == nil) != (kind == bench.RawSink) {
				t.Errorf("%s: half an attribute: %v", kind, err)
			}
		case err := <-ended:
			t.Fatal(err)
		}
	}
	if err := bench.ServeSink(t.Context(), "other", nil); err == nil {
		t.Error("a sink of no kind")
	}
}

// TestOneTableHasAStoreInEachColumn: a load and questions of one label share it, another API
// has its own; wrong answers and what was not asked are told.
func TestOneTableHasAStoreInEachColumn(t *testing.T) {
	load, questions, web := recordOf("one", 1_000_000, 1), recordOf("one", 1_000_000, 1), recordOf("one", 1_000_000, 2)
	load.Queries, questions.Load, web.Load = nil, nil, nil
	load.Load.Settled.OthersShare = 0.07
	questions.API, web.API = bench.StorageGRPC, bench.JaegerHTTP
	questions.Asking = &bench.Cost{OthersShare: 0.12}
	web.Queries[0].Wrong, web.Queries[0].FirstWrong = 3, "trace 1 is another"
	web.Notes = []string{"graph: not asked: there is none", "get: not asked: no time", "edges: not asked: there is none", "hm"}
	other := recordOf("two", 1_000_000, 4)
	other.Queries, other.Notes = other.Queries[:1], []string{"hm"}
	var text bytes.Buffer
	if err := bench.WriteMarkdown(&text, []bench.Record{load, questions, web, other}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`| | one | one, jaeger-http | two |`, `|---|--:|--:|--:|`, `| load: spans, 1/s | 500000 |  | 125000 |`, `| load: disk, B/span | 40 |  | 160 |`,
		`| load: others used, % of the machine | 7 |  | 0 |`, `| questions: others used, % of the machine | 12 |  |  |`,
		`| get, warm, 1 client, ms | 0.5 / 2 | 1 / 4 (**3 of 200 wrong**) | 2 / 8 |`, `| get, warm, 8 clients, ms | 1 / 4 | 2 / 8 |  |`,
		`- one, jaeger-http: 3 of 200 wrong, the first: trace 1 is another`, `- one, jaeger-http: graph, edges: not asked: there is none`, `- one, jaeger-http: get: not asked: no time`, `- one, jaeger-http; two: hm`,
	} {
		if strings.Count(text.String(), want+"\n") != 1 {
			t.Errorf("%q is not once in\n%s", want, text.String())
		}
	}
}

// TestTextsFromElsewhereStayInTheirCell: a label or a message with a bar, a backslash or the
// end of a line makes no more cells, and no more lines, than others.
func TestTextsFromElsewhereStayInTheirCell(t *testing.T) {
	r := recordOf("a|b\nc", 1_000, 1)
	r.Queries = r.Queries[:1]
	r.Queries[0].Wrong, r.Queries[0].FirstWrong = 1, "GET /x: \"<a|b>\\n\"\r\n| new | row |"
	r.Notes = []string{"graph: not asked: a\n\n| b"}
	r.Queries[0].Class = "x|y"
	r.Source.Name = "one\ntwo"
	var text bytes.Buffer
	if err := bench.WriteMarkdown(&text, []bench.Record{r}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`| | a\|b c |`, `: "<a\|b>\\n" \| new \| row \|`, `- a\|b c: graph: not asked: a  \| b`, `| x\|y, `,
	} {
		if strings.Count(text.String(), want) != 1 {
			t.Errorf("%q is not once in\n%s", want, text.String())
		}
	}
	for line := range strings.Lines(text.String()) {
		bars := strings.Count(line, "|") - strings.Count(line, `\|`)
		if strings.HasPrefix(line, "|") && bars != 3 || !strings.HasPrefix(line, "|") && bars != 0 {
			t.Errorf("%d bars in %q", bars, line)
		}
	}
}
