package bench_test

import (
	"context"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// recordings are the real traces, beside the repository.
var recordings = map[string][]string{
	"HotROD":           {"hotrod.otlp.zst"},
	"TrainTicket":      {"nezha-trainticket-2023-01-29.otlp.zst"},
	"TrainTicket-logs": {"nezha-trainticket-2023-01-30-logs.otlp.zst"},
	"Zipkin":           {"zipkin-fixtures.otlp.zst"},
	"ALL": {"hotrod.otlp.zst", "nezha-trainticket-2023-01-29.otlp.zst",
		"nezha-trainticket-2023-01-30-logs.otlp.zst", "zipkin-fixtures.otlp.zst"},
}

func recorded(b testing.TB, name string) []string {
	b.Helper()
	files := make([]string, 0, len(recordings[name]))
	for _, file := range recordings[name] {
		path := filepath.Join("../../shared/data", file)
		if _, err := os.Stat(path); err != nil {
			b.Skipf("SKIP: no real traces: %v", err)
		}
		files = append(files, path)
	}
	return files
}

func binary(b testing.TB) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "stoa")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/stoa").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v: %s", err, out)
	}
	return path
}

// BenchmarkRealTraces loads real traces into the real binary as fast as it takes them,
// each request durable before it is acknowledged, settles it and asks. One
// iteration is one whole run. Units: processor seconds of the server per million spans
// until settled and until accepted, spans accepted per second, bytes on disk per span,
// peak of anonymous memory, median milliseconds of questions at the client.
func BenchmarkRealTraces(b *testing.B) {
	names := []string{"HotROD", "TrainTicket", "TrainTicket-logs", "ALL"}
	if testing.Short() {
		names = names[:1]
	}
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			files := recorded(b, name)
			stoa := binary(b)
			for b.Loop() {
				measureRun(b, stoa, files)
			}
		})
	}
}

func measureRun(b *testing.B, stoa string, files []string) {
	ctx := context.Background()
	folder := b.TempDir()
	spans := 0
	counted := counting(bench.Requests(files...), &spans)
	server, err := bench.StartServer(ctx, stoa, folder)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			b.Error(err)
		}
	}()
	watch := bench.NewWatch(server.PID())
	defer watch.Stop()
	loaded, err := bench.Load(ctx, server.Storage, 4, counted)
	if err != nil {
		b.Fatal(err)
	}
	accepted := usage(b, watch)
	if err := server.Ask(ctx, "/settle"); err != nil {
		b.Fatal(err)
	}
	settled := usage(b, watch)
	millions := float64(spans) / 1e6
	b.ReportMetric(accepted.CPU.Seconds()/millions, "cpu-s/Mspan-accepted")
	b.ReportMetric(settled.CPU.Seconds()/millions, "cpu-s/Mspan-settled")
	b.ReportMetric(float64(spans)/loaded.Took.Seconds(), "spans/s")
	b.ReportMetric(float64(loaded.Bytes)/float64(spans), "OTLP-B/span")
	b.ReportMetric(float64(segmentBytes(b, folder))/float64(spans), "disk-B/span")
	askAll(b, server.Storage)
	b.ReportMetric(float64(usage(b, watch).AnonBytes)/(1<<20), "anon-MiB-peak")
}

// askAll measures the classes of questions.
func askAll(b *testing.B, address string) {
	ctx := context.Background()
	c, err := client.Dial(ctx, address)
	if err != nil {
		b.Fatal(err)
	}
	newest := span.AllTime()
	ids, err := c.FindTraceIDs(ctx, newest)
	if err != nil || len(ids) == 0 {
		b.Fatalf("newest traces: %d, %v", len(ids), err)
	}
	services, err := c.Services(ctx)
	if err != nil || len(services) == 0 {
		b.Fatalf("services: %d, %v", len(services), err)
	}
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
	byService := span.AllTime()
	byService.Service, byService.Limit = services[len(services)-1], 20
	slow := span.AllTime()
	slow.DurationMin, slow.Limit = uint64(100*time.Millisecond), 20
	classes := []bench.Class{
		bench.GetClass("get", ids),
		bench.FindClass("find-service", byService),
		bench.FindClass("find-duration", slow),
		bench.SummaryClass("summaries-service", byService),
	}
	for _, class := range classes {
		times, err := bench.Measure(ctx, address, class, 200)
		if err != nil {
			b.Fatal(err)
		}
		if times.Wrong > 0 {
			b.Fatal(times.FirstWrong)
		}
		b.ReportMetric(times.Quantile(0.5).Seconds()*1e3, class.Name+"-p50-ms")
		b.ReportMetric(times.Quantile(0.99).Seconds()*1e3, class.Name+"-p99-ms")
	}
}

func usage(b *testing.B, watch *bench.Watch) bench.Usage {
	b.Helper()
	used, err := watch.Usage()
	if err != nil {
		b.Fatal(err)
	}
	return used
}

// segmentBytes is what the folder holds once the log's content is in segments: every
// file but the log's, which is bounded and empties itself.
func segmentBytes(b *testing.B, folder string) int64 {
	b.Helper()
	sum, err := bench.FolderBytes(folder, "log")
	if err != nil {
		b.Fatal(err)
	}
	return sum.Bytes
}

// counting counts the spans of the requests that pass.
func counting(requests iter.Seq2[[]byte, error], spans *int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for request, err := range requests {
			if err == nil {
				batch, _, walkErr := otlp.Walk(request)
				if walkErr != nil {
					yield(nil, walkErr)
					return
				}
				*spans += batch.Len()
			}
			if !yield(request, err) {
				return
			}
		}
	}
}

// TestQuantile pins what p50 and p99 mean in all our figures.
func TestQuantile(t *testing.T) {
	var times bench.Times
	for i := 100; i > 0; i-- {
		times = append(times, time.Duration(i))
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.99: 99, 1: 100, 0.005: 1, 0.995: 100} {
		if got := times.Quantile(q); got != want {
			t.Errorf("quantile %v: got %d, want %d", q, got, want)
		}
	}
	if got := (bench.Times{}).Quantile(0.5); got != 0 {
		t.Errorf("no times: got %d", got)
	}
}

// TestOthersShareIsWhatIsNotOurs.
func TestOthersShareIsWhatIsNotOurs(t *testing.T) {
	from := bench.Machine{Busy: 100, All: 1000}
	for _, c := range []struct {
		to   bench.Machine
		ours time.Duration
		want float64
	}{
		{bench.Machine{Busy: 150, All: 1100}, 20, 0.3},
		{bench.Machine{Busy: 150, All: 1100}, 50, 0},
		{bench.Machine{Busy: 150, All: 1100}, 60, 0}, // ticks are coarse
		{from, 0, 0},
	} {
		if got := bench.OthersShare(from, c.to, c.ours); got != c.want {
			t.Errorf("%+v, %d ours: got %v, want %v", c.to, c.ours, got, c.want)
		}
	}
	machine, err := bench.MachineTime()
	if err != nil || machine.Busy <= 0 || machine.All < machine.Busy {
		t.Errorf("this machine: %+v, %v", machine, err)
	}
}
