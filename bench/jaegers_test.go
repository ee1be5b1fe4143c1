package bench_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/bench"
)

// A real Jaeger takes minutes to build and is a module of its own, api/e2e: what `make e2e`
// and `make peers` have built is used, and where there is nothing the test says SKIP. Whether
// one is there depends on who uses the machine, so it runs where it is asked for alone.

// realJaegers is the environment variable that asks for them: "1". make e2e sets it.
const realJaegers = "STOA_REAL_JAEGERS"

// peer is a running Jaeger.
type peer struct {
	pid      int
	otlp     string   // host:port of OTLP over gRPC
	query    string   // host:port of its HTTP APIs
	wrong    []string // classes that this Jaeger is known to answer wrongly
	promises bool     // an order: Stoa's
}

// jaegerBinary is one of the built programs: jaeger (2.13.0) or all-in-one (1.76.0).
func jaegerBinary(t testing.TB, name string) string {
	t.Helper()
	if os.Getenv(realJaegers) != "1" && !*record {
		t.Skipf("SKIP: no real Jaeger was asked: %s is not 1; make e2e sets it", realJaegers)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, "stoa-e2e", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIP: no real Jaeger was asked: %s is not there; make e2e and make peers build it", path)
	}
	return path
}

// freeAddresses gives n addresses of this machine that nobody listens on.
func freeAddresses(t testing.TB, n int) (addresses []any) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // all at once, so that none is given twice
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

// runJaeger starts a program until the test ends, and returns when its HTTP API answers.
func runJaeger(t testing.TB, query, binary string, env []string, args ...string) (pid int) {
	t.Helper()
	var output strings.Builder
	command := exec.Command(binary, args...)
	command.Stdout, command.Stderr = &output, &output
	command.Env = append(os.Environ(), env...)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = command.Wait() // however it ended, it is gone
		close(exited)
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill() // it may be gone already
		<-exited
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if answer, err := http.Get("http://" + query + "/api/services"); err == nil {
			_ = answer.Body.Close() // nothing of it is read
			if answer.StatusCode == http.StatusOK {
				return command.Process.Pid
			}
		}
		select {
		case <-exited:
			t.Fatalf("%s ended at its start:\n%s", binary, output.String())
		default:
		}
	}
	t.Fatalf("%s does not answer", binary)
	return 0
}

// config2 is a Jaeger 2 over one backend that serves its HTTP APIs.
const config2 = `
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {receivers: [otlp], processors: [batch], exporters: [jaeger_storage_exporter]}
  telemetry: {metrics: {level: none}, logs: {level: error}}
extensions:
  jaeger_storage: {backends: {store: %[4]s}}
  jaeger_query: {storage: {traces: store}, http: {endpoint: %[2]q}, grpc: {endpoint: %[3]q}}
receivers:
  otlp: {protocols: {grpc: {endpoint: %[1]q, max_recv_msg_size_mib: 64}}}
processors:
  batch:
exporters:
  jaeger_storage_exporter: {trace_storage: store}
`

func startJaeger2(t testing.TB, backend string) peer {
	t.Helper()
	binary, a := jaegerBinary(t, "jaeger"), freeAddresses(t, 3)
	file := filepath.Join(t.TempDir(), "jaeger.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, config2, append(a, backend)...), 0o600); err != nil {
		t.Fatal(err)
	}
	p := peer{otlp: a[0].(string), query: a[1].(string)}
	p.pid = runJaeger(t, p.query, binary, nil, "--config", file)
	return p
}

func startJaeger2Memory(t testing.TB) peer {
	p := startJaeger2(t, "{memory: {max_traces: 100000}}")
	p.wrong = []string{"errors-100s"} // it finds nothing by error=true
	return p
}

func startJaeger2Badger(t testing.TB) peer {
	folder := t.TempDir()
	for _, name := range []string{"keys", "values"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p := startJaeger2(t, fmt.Sprintf("{badger: {directories: {keys: %q, values: %q}, ephemeral: false}}", folder+"/keys", folder+"/values"))
	p.wrong = []string{"operations", "graph", "min-duration", "operation-tag-duration"}
	return p
}

// startJaeger2Stoa has no memory of its own: what it answers is Stoa's.
func startJaeger2Stoa(t testing.TB) peer {
	jaegerBinary(t, "jaeger") // before anything is built
	server, err := bench.StartServer(t.Context(), binary(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() }) // an error is that of the signal, which is what it ends by
	p := startJaeger2(t, fmt.Sprintf("{grpc: {endpoint: %q, tls: {insecure: true}}}", server.Storage))
	p.promises = true
	return p
}

// startJaeger1Memory is all-in-one with its own memory. The queue is larger than its
// default, beyond which Jaeger drops what comes faster.
func startJaeger1Memory(t testing.TB) peer {
	binary, a := jaegerBinary(t, "all-in-one"), freeAddresses(t, 7)
	p := peer{otlp: a[0].(string), query: a[1].(string)}
	p.pid = runJaeger(t, p.query, binary, []string{"SPAN_STORAGE_TYPE=memory", "OTEL_TRACES_SAMPLER=always_off"},
		"--memory.max-traces=100000", "--collector.queue-size=500000", "--log-level=warn",
		fmt.Sprint("--collector.otlp.grpc.host-port=", a[0]), "--collector.otlp.grpc.max-message-size=64000000", fmt.Sprint("--query.http-server.host-port=", a[1]),
		fmt.Sprint("--collector.otlp.http.host-port=", a[2]), fmt.Sprint("--collector.grpc-server.host-port=", a[3]),
		fmt.Sprint("--collector.http-server.host-port=", a[4]), fmt.Sprint("--query.grpc-server.host-port=", a[5]), fmt.Sprint("--admin.http.host-port=", a[6]))
	return p
}

// load sends spans and waits until the Jaeger does nothing any more: it writes on after it
// has answered.
func (p peer) load(t testing.TB, source *bench.Source) {
	t.Helper()
	run := bench.LoadRun{Loading: bench.Loading{Target: p.otlp, Connections: 2}, PID: p.pid, Quiet: quietEnough, QuietMost: quietMost}
	record, err := run.Run(t.Context(), source.Requests())
	if err != nil || record.SettledBy != "quiet" && record.SettledBy != "not quiet" {
		t.Fatalf("%v: %+v", err, record)
	}
	if record.SettledBy != "quiet" {
		p.waitQuiet(t)
	}
}

// waitQuiet waits for as long as the test may run: how busy the machine is, is no failure.
func (p peer) waitQuiet(t testing.TB) {
	t.Helper()
	for {
		quiet, err := bench.WaitQuiet(t.Context(), p.pid, quietEnough, quietMost)
		if err != nil {
			t.Fatal(err)
		}
		if quiet {
			return
		}
		t.Logf("not quiet within %s, waiting on", quietMost)
	}
}

var peers = map[string]func(testing.TB) peer{
	"jaeger 2.13.0 memory": startJaeger2Memory, "jaeger 2.13.0 badger": startJaeger2Badger,
	"jaeger 2.13.0 stoa": startJaeger2Stoa, "jaeger 1.76.0 memory": startJaeger1Memory,
}

// TestRealJaegersAreAskedOverHTTP: over each API of each real Jaeger every class that can be
// asked is right, but for those that this Jaeger is known to answer wrongly; in front of Stoa
// in Stoa's order. What cannot be asked is told.
func TestRealJaegersAreAskedOverHTTP(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: runs real Jaegers")
	}
	asked := map[bench.API][]string{
		bench.JaegerHTTP3: {"services", "operations", "get", "get-largest", "get-absent", "operation-100s", "min-duration"},
		bench.JaegerHTTP: {
			"services", "operations", "operation-names", "graph", "get", "get-largest", "get-absent", "operation-100s", "rare-tag", "status-500",
			"min-duration", "operation-tag-duration", "errors-100s",
		},
	}
	untold := map[bench.API][]string{bench.JaegerHTTP3: {"graph", "rare-tag", "status-500", "operation-tag-duration", "errors-100s"}}
	source := made(t, 3_000)
	for name, start := range peers {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			p.load(t, source)
			for api, classes := range asked {
				records, notes := askMix(t, source, api, p.query, !p.promises)
				var got []string
				for _, r := range records {
					got = append(got, r.Class)
					if r.Wrong > 0 && !slices.Contains(p.wrong, r.Class) || r.Asked < 20 {
						t.Errorf("%s over %s: %d of %d wrong: %s", r.Class, api, r.Wrong, r.Asked, r.FirstWrong)
					}
				}
				if !slices.Equal(got, classes) {
					t.Errorf("asked over %s: %q, not %q", api, got, classes)
				}
				for _, class := range append(untold[api], "searches for summaries") {
					if !slices.ContainsFunc(notes, func(note string) bool { return strings.HasPrefix(note, class+": not asked: ") }) {
						t.Errorf("%s: no word of %s: %q", api, class, notes)
					}
				}
			}
		})
	}
}

// askMix asks all classes a few times.
func askMix(t *testing.T, source *bench.Source, api bench.API, address string, anyOrder bool) ([]bench.QueryRecord, []string) {
	t.Helper()
	mix, err := bench.NewMix(source.Requests(), bench.MixOptions{API: api, AnyOrder: anyOrder})
	if err != nil {
		t.Fatal(err)
	}
	records, err := mix.Ask(t.Context(), bench.MixRun{Measuring: bench.Measuring{API: api, Address: address, Clients: 2, Questions: 20, Warm: 2}, State: "warm"})
	if err != nil {
		t.Fatal(err)
	}
	return records, mix.Notes
}

const (
	quietEnough = 2 * time.Second // a Jaeger that used next to nothing for so long has stored what it took
	quietMost   = time.Minute     // until a word is said of one that has not, and it is waited for on
)
