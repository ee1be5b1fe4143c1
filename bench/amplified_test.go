package bench_test

import (
	"context"
	"iter"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/engine/span"
)

// The figures of one machine whose cores client and server share are read with these
// things of the client in mind:
//
//   - Sending costs cores too: each request is copied and re-keyed, copied once more into
//     gRPC's pool (whose buffers are cleared first) and written in pieces of 32 KiB, a call
//     of the kernel each. client-cpu-s/Mspan says how much that was: 1.5 to 2.3 s here, a
//     quarter of the cores, so spans/s is what a machine does that sends to itself.
//     Processor seconds of the server do not contain the client's, but are dearer than on
//     idle cores: caches and clock are shared. Decompression, counting and the truth stand
//     outside of the load.
//   - BenchmarkRealTraces, older, reads, decompresses and walks each request with the
//     server's own walker while it loads: there the client decodes every span once more
//     on the server's cores, and spans/s is lower for it.
//   - Each connection has one request in flight, so four requests at most are with the
//     server. Where requests are small (67 spans in HotROD), group commit has four to put
//     together and not more, and each waits for its own fdatasync: spans/s is the round
//     trip, not what the server could take.
//   - gRPC's default windows (64 KiB at the start, grown by its estimate) let a request of
//     a megabyte wait for window updates in the first round trips of a connection. Four
//     connections open once, so a long load does not see it; a short one does. Questions
//     are warmed (see bench.Measure).
//   - A question's time contains gRPC's client; get-absent, 0.2 to 0.4 ms here, bounds what
//     an empty call costs. Spans are kept as bytes, for one copy more; summaries, services
//     and operations are decoded by generated code within the time.
//   - Answers are compared between two questions, for up to some milliseconds on one core.
//     The server has that time for its own garbage, and finds the processor's caches used
//     by another: not the same as a client that asks without a pause.
//   - Searches go round 1 to 50 questions, so each is asked several times: a server that
//     kept answers would look good here.
//   - Others on the machine make everything dearer, processor seconds too (1.7 times was
//     seen with a load of ten). others-load-% and others-query-% say how much of all
//     processors neither server nor client used; figures to quote have a few percent.
//   - /proc counts processor time in steps of 10 ms, and memory is looked at every 20 ms: a
//     shorter peak is not seen.
//   - Copies share their texts (see bench.Amplification): disk-B/span belongs to the
//     recordings as they are, BenchmarkRealTraces.

// amplified are the four sets, and how they become the spans that are wanted.
type amplified struct {
	sets  []iter.Seq2[[]byte, error]
	held  [][][]byte
	times int
	spans int
}

// amplifySeed makes all runs send the same bytes.
const amplifySeed = 8

// asRecorded is wanted where the recordings are to be sent once and whole.
const asRecorded = 0

// newAmplified reads the recordings and takes as many whole copies as come nearest to
// the spans wanted; less than one copy is the head of each recording, in proportion.
func newAmplified(b *testing.B, files []string, wanted int) *amplified {
	b.Helper()
	a := &amplified{times: 1}
	var counts [][]int
	recorded := 0
	for _, file := range files {
		held, err := bench.Hold(bench.Requests(file))
		if err != nil {
			b.Fatal(err)
		}
		a.held = append(a.held, held)
		counts = append(counts, nil)
		for _, request := range held {
			n, err := bench.CountSpans(request)
			if err != nil {
				b.Fatal(err)
			}
			counts[len(counts)-1] = append(counts[len(counts)-1], n)
			recorded += n
		}
	}
	if wanted == asRecorded {
		wanted = recorded
	}
	share := 1.0
	if wanted < recorded {
		share = float64(wanted) / float64(recorded)
	}
	a.times = max(1, int(math.Round(float64(wanted)/float64(recorded))))
	for i, held := range a.held {
		a.held[i] = head(held, counts[i], share)
		for _, n := range counts[i][:len(a.held[i])] {
			a.spans += n * a.times
		}
		a.sets = append(a.sets, bench.Held(a.held[i]))
	}
	return a
}

// head gives the first requests, up to at least a share of the spans.
func head(requests [][]byte, counts []int, share float64) [][]byte {
	total, taken := 0, 0
	for _, n := range counts {
		total += n
	}
	for i, n := range counts {
		if float64(taken) >= share*float64(total) {
			return requests[:i]
		}
		taken += n
	}
	return requests
}

// requests are the same whenever they are asked for.
func (a *amplified) requests() iter.Seq2[[]byte, error] {
	return bench.Amplify(bench.Amplification{Times: a.times, Seed: amplifySeed}, a.sets...)
}

func spansWanted(b *testing.B) int {
	b.Helper()
	text := os.Getenv("STOA_BENCH_SPANS")
	switch {
	case text != "":
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			b.Fatalf("STOA_BENCH_SPANS=%s is not a number of spans", text)
		}
		return n
	case testing.Short():
		return 100_000
	}
	return 3_000_000
}

// BenchmarkAmplified loads the four sets, re-keyed to STOA_BENCH_SPANS spans (3,000,000
// where it is not set, 100,000 with -short), into the real binary through 4 connections,
// settles it and asks 200 questions of each class, one client, warm. Every answer
// is compared with the truth: ids, order, exact limit, whole traces, summaries. A wrong
// one fails the benchmark. At last the folder is opened again and asked once more.
func BenchmarkAmplified(b *testing.B) {
	files := recorded(b, "ALL")
	stoa := binary(b)
	a := newAmplified(b, files, spansWanted(b))
	for b.Loop() {
		measureAmplified(b, stoa, a)
	}
}

// BenchmarkTogether loads HotROD and TrainTicket 2023-01-29 as they were recorded into
// one store, and reports what settling both took.
func BenchmarkTogether(b *testing.B) {
	files := append(recorded(b, "HotROD"), recorded(b, "TrainTicket")...)
	stoa := binary(b)
	a := newAmplified(b, files, asRecorded)
	for b.Loop() {
		folder := b.TempDir()
		server := start(b, stoa, folder)
		load(b, server, folder, a)
		stop(b, server)
	}
}

func start(b *testing.B, stoa, folder string) *bench.Server {
	b.Helper()
	server, err := bench.StartServer(context.Background(), stoa, folder)
	if err != nil {
		b.Fatal(err)
	}
	return server
}

func stop(b *testing.B, server *bench.Server) {
	b.Helper()
	if err := server.Stop(); err != nil {
		b.Error(err)
	}
}

// load sends everything, settles it and reports what that took.
func load(b *testing.B, server *bench.Server, folder string, a *amplified) {
	b.Helper()
	ctx := context.Background()
	watch, self := bench.NewWatch(server.PID()), bench.NewWatch(os.Getpid())
	defer watch.Stop()
	defer self.Stop()
	quiet := newQuiet(b, watch, self)
	before := usage(b, self).CPU
	loaded, err := bench.Load(ctx, server.Storage, 4, a.requests())
	if err != nil {
		b.Fatal(err)
	}
	if loaded.Rejected > 0 {
		b.Fatalf("%d spans were rejected", loaded.Rejected)
	}
	accepted, sending := usage(b, watch), usage(b, self).CPU-before
	if err := server.Ask(ctx, "/settle"); err != nil {
		b.Fatal(err)
	}
	settled := usage(b, watch)
	millions := float64(a.spans) / 1e6
	quiet.report("others-load-%")
	b.ReportMetric(float64(a.spans), "spans")
	b.ReportMetric(accepted.CPU.Seconds()/millions, "cpu-s/Mspan-accepted")
	b.ReportMetric(settled.CPU.Seconds()/millions, "cpu-s/Mspan-settled")
	b.ReportMetric(sending.Seconds()/millions, "client-cpu-s/Mspan")
	b.ReportMetric(float64(a.spans)/loaded.Took.Seconds(), "spans/s")
	b.ReportMetric(float64(segmentBytes(b, folder))/float64(a.spans), "disk-B/span")
	b.ReportMetric(float64(settled.AnonBytes)/(1<<20), "anon-MiB-load-peak")
}

// quiet tells how much of the machine worked for neither server nor client since newQuiet.
type quiet struct {
	b           *testing.B
	watch, self *bench.Watch
	from        bench.Machine
	ours        time.Duration
}

func newQuiet(b *testing.B, watch, self *bench.Watch) *quiet {
	q := &quiet{b: b, watch: watch, self: self}
	q.from, q.ours = q.read()
	return q
}

func (q *quiet) read() (bench.Machine, time.Duration) {
	q.b.Helper()
	machine, err := bench.MachineTime()
	if err != nil {
		q.b.Fatal(err)
	}
	return machine, usage(q.b, q.watch).CPU + usage(q.b, q.self).CPU
}

func (q *quiet) report(name string) {
	q.b.Helper()
	to, ours := q.read()
	q.b.ReportMetric(100*bench.OthersShare(q.from, to, ours-q.ours), name)
}

func measureAmplified(b *testing.B, stoa string, a *amplified) {
	folder := b.TempDir()
	server := start(b, stoa, folder)
	load(b, server, folder, a)
	classes := truthClasses(b, a)
	watch, self := bench.NewWatch(server.PID()), bench.NewWatch(os.Getpid())
	quiet := newQuiet(b, watch, self)
	all, wrong := ask(b, server, classes, 200)
	for _, measured := range all {
		b.ReportMetric(measured.Quantile(0.5).Seconds()*1e3, measured.name+"-p50-ms")
		b.ReportMetric(measured.Quantile(0.99).Seconds()*1e3, measured.name+"-p99-ms")
	}
	b.ReportMetric(float64(usage(b, watch).AnonBytes)/(1<<20), "anon-MiB-query-peak")
	quiet.report("others-query-%")
	watch.Stop()
	self.Stop()
	stop(b, server)
	begin := time.Now() // from the start of the process to the first 200 of /ready
	server = start(b, stoa, folder)
	b.ReportMetric(time.Since(begin).Seconds()*1e3, "open-ms")
	_, wrongAgain := ask(b, server, classes, 5)
	b.ReportMetric(float64(wrong+wrongAgain), "wrong-answers")
	stop(b, server)
}

type measuredClass struct {
	bench.Measured
	name string
}

// ask measures the classes; wrong answers are reported and fail the benchmark, after all
// classes have been asked.
func ask(b *testing.B, server *bench.Server, classes []bench.Class, n int) (all []measuredClass, wrong int) {
	b.Helper()
	for _, class := range classes {
		measured, err := bench.Measure(context.Background(), server.Storage, class, n)
		if err != nil {
			b.Errorf("%v", err)
			continue
		}
		if measured.Wrong > 0 {
			b.Errorf("%d answers are wrong, the first: %v", measured.Wrong, measured.FirstWrong)
		}
		wrong += measured.Wrong
		all = append(all, measuredClass{measured, class.Name})
	}
	return all, wrong
}

// searchLimit is the number of traces that every search asks for.
const searchLimit = 20

// truthClasses computes the truth over all that was sent and gives the classes.
func truthClasses(b *testing.B, a *amplified) []bench.Class {
	b.Helper()
	rare, err := bench.RareTags(a.held[0], "param.driverID", 3, 20)
	if err != nil {
		b.Fatal(err)
	}
	failed, code := span.Tag{Key: "error", Value: "true"}, span.Tag{Key: "http.response.status_code", Value: "500"}
	truth, err := bench.NewTruth(append([]span.Tag{failed, code}, rare...))
	for request, readErr := range a.requests() {
		if err != nil || readErr != nil {
			break
		}
		err = truth.Add(request)
	}
	if err != nil {
		b.Fatal(err)
	}
	if truth.Spans() != a.spans {
		b.Fatalf("the truth has %d spans, %d were sent", truth.Spans(), a.spans)
	}
	b.ReportMetric(float64(truth.Traces()), "traces")
	return classesOf(b, truth, rare, failed, code)
}

func classesOf(b *testing.B, truth *bench.Truth, rare []span.Tag, failed, code span.Tag) []bench.Class {
	b.Helper()
	picks := bench.NewPicks(truth, amplifySeed)
	classes := []bench.Class{bench.TruthServices("services", truth), bench.TruthOperations("operations", truth)}
	add := func(class bench.Class, err error) {
		if err != nil {
			b.Fatal(err)
		}
		classes = append(classes, class)
	}
	add(bench.TruthGet("get", truth, picks.IDs(200)))
	add(bench.TruthGet("get-largest", truth, truth.Largest(10)))
	add(bench.TruthGet("get-absent", truth, picks.Absent(200)))
	searches := []struct {
		name    string
		queries []span.Query
	}{
		{"rare-tag", bench.Tagged("", rare, searchLimit)},
		{"service-rare-tag", bench.Tagged("redis-manual", rare, searchLimit)},
		{"service-status-500", bench.Tagged("frontend", []span.Tag{code}, searchLimit)},
		{"service-error", bench.Tagged("frontend", []span.Tag{failed}, searchLimit)},
		{"service-duration", picks.Slow(10, 0.001, searchLimit)},
		{"service-operation-100s", picks.Windows(50, 100*time.Second, searchLimit)},
	}
	for _, search := range searches {
		add(bench.TruthFind(search.name, truth, search.queries))
		add(bench.TruthSummaries(search.name+"-summaries", truth, search.queries))
	}
	return classes
}
