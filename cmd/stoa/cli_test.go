package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/codec"
)

// result is what a person sees of a command.
type result struct {
	out, err string
	code     int
}

// stoa runs the built binary as a person would.
func stoa(t testing.TB, args ...string) result {
	t.Helper()
	// A command line that should be refused, and serves instead, must not hang the run.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, stoaBinary(t), args...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), command.ProcessState.ExitCode()}
}

// wants runs a command and checks its exit code and, as regular expressions, what it
// says: on standard output when the code is 0, else on standard error.
func wants(t testing.TB, code int, patterns []string, args ...string) result {
	t.Helper()
	r := stoa(t, args...)
	said := r.out
	if code != 0 {
		said = r.err
	}
	if r.code != code {
		t.Errorf("stoa %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.out, r.err)
	}
	for _, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(said) {
			t.Errorf("stoa %s: %q is not in\n%s", strings.Join(args, " "), pattern, said)
		}
	}
	return r
}

func fixture(t testing.TB, name string) string {
	t.Helper()
	file := filepath.Join(dataFolder, name+".otlp.zst")
	if _, err := os.Stat(file); err != nil {
		t.Skipf("SKIP: %v", err)
	}
	return file
}

// stopServer is SIGTERM, after which the exit code must be 0.
func stopServer(t testing.TB, server *bench.Server) {
	t.Helper()
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
}

// nobody is an address where nobody listens.
func nobody(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return listener.Addr().String()
}

func TestHelpNamesEveryCommand(t *testing.T) {
	commands := []string{"serve", "import", "find", "trace", "graph", "services", "red", "attributes", "inspect", "analyze", "verify", "version", "completion"}
	r := wants(t, 0, nil, "--help")
	for _, command := range commands {
		if !strings.Contains(r.out, "\n  "+command) {
			t.Errorf("help does not name %s", command)
		}
		wants(t, 0, []string{"Usage:"}, command, "--help")
	}
	wants(t, 0, []string{`^stoa \S+, go1`}, "version")
	wants(t, 0, []string{"__start_stoa"}, "completion", "bash")
}

func TestWrongCommandLineExitsWith2(t *testing.T) {
	wants(t, 2, []string{`unknown command or argument "fnid"`}, "fnid")
	wants(t, 2, []string{"unknown flag: --bad", "stoa find --help"}, "find", "--bad")
	wants(t, 2, []string{"want one trace id, got 0"}, "trace")
	wants(t, 2, []string{`trace id "xyz1"`}, "trace", "xyz1")
	wants(t, 2, []string{"want at least one file"}, "import")
	wants(t, 2, []string{"--output yaml: want table, json, jsonl, csv"}, "find", "-o", "yaml")
	wants(t, 2, []string{"--limit 0: want 1 to 20000"}, "find", "--limit", "0")
	wants(t, 2, []string{`--sync "soon"`}, "serve", "--sync", "soon")
	wants(t, 2, []string{`--memory "much"`}, "serve", "--memory", "much")
	wants(t, 2, []string{"--reserve 1MiB: less than 384 MiB"}, "serve", "--reserve", "1MiB")
	wants(t, 2, []string{`--reserve "some"`}, "serve", "--reserve", "some")
	wants(t, 2, []string{"give one of them"}, "find", "--addr", "127.0.0.1:1", "--data", ".")
	wants(t, 2, []string{"graph knows from, to and since only"}, "graph", "service=a")
	wants(t, 2, []string{"--retention -5h0m0s: want"}, "serve", "--retention", "-5h")
	wants(t, 2, []string{"--memory 1: .*64 MiB"}, "serve", "--memory", "1")
	wants(t, 2, []string{"--shards -1: want"}, "serve", "--shards", "-1")
	wants(t, 2, []string{"--shards 65: want"}, "serve", "--shards", "65")
	wants(t, 2, []string{"--admin-port 70000: want 0 to 65535"}, "serve", "--admin-port", "70000")
	wants(t, 2, []string{"--admin-port and --otlp-grpc-port are both 4317"}, "serve", "--admin-port", "4317")
	wants(t, 2, []string{`--addr "localhost": want HOST:PORT`}, "services", "--addr", "localhost")
	wants(t, 2, []string{`--admin "localhost": want HOST:PORT`}, "import", "--admin", "localhost", "file")
}

func TestQueryTextErrorsNameThePlace(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"service=a minDuration=10", `minDuration: "10" is not a duration(?s:.*)\^ character 23`},
		{"service", `"service" has no value: write KEY=VALUE(?s:.*)\^ character 1\n`},
		{"a=b =c", `a key is missing before =(?s:.*)\^ character 5\n`},
		{`a="b`, `the quote is not closed(?s:.*)\^ character 3\n`},
		{`a="b"c`, `a space is missing after the quote(?s:.*)\^ character 6\n`},
		{`ä="\x"`, `a backslash stands before(?s:.*)\^ character 4\n`},
		{"service=a service=b", `service stands twice(?s:.*)\^ character 11\n`},
		{"from=yesterday", `"yesterday" is not a time(?s:.*)\^ character 6\n`},
		{"from=3000-01-01", "outside of what a span's time can hold"},
		{"from=2026-01-02 to=2026-01-01", `the time range is empty(?s:.*)\^ character 17\n`},
		{"minDuration=2s maxDuration=1s", `minDuration is more than maxDuration(?s:.*)\^ character 16\n`},
		{"from=1 since=1h", `since: from is given already(?s:.*)\^ character 14\n`},
		{"since=1h from=1", `from: since is given already(?s:.*)\^ character 15\n`},
		{"maxDuration=0s", `maxDuration: .*(?s:.*)\^ character 13\n`},
		{"a=b minduration=10ms", `did you mean minDuration\?(?s:.*)\^ character 5\n`},
		{"Service=a", `did you mean service\?(?s:.*)\^ character 1\n`},
		{"a~=b", `expected one of|"a" has no value(?s:.*)\^ character 1\n`},
		{"a==b", `a single = compares(?s:.*)\^ character 3\n`},
		{"duration>10ms", `did you mean span.duration(?s:.*)\^ character 1\n`},
		{"a=1 or (b=2", `this is not closed(?s:.*)\^ character 8\n`},
		{"since=1h or a=b", `since bounds the whole search(?s:.*)\^ character 1\n`},
		{"span.duration > 5", `is compared with a duration and its unit(?s:.*)\^ character 17\n`},
		{"x=\x1b or y", `"y" has no value(?s:.*)\^ character 8\n`},
	} {
		wants(t, 2, []string{c.want}, "find", c.text)
	}
}

func TestServeRefusesWhatItCannotDo(t *testing.T) {
	folder := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)
	for _, flag := range []string{"storage-port", "admin-port", "otlp-grpc-port", "query-port"} {
		args := []string{"serve", "--data", folder, "--storage-port=0", "--admin-port=0", "--otlp-grpc-port=0", "--archive-port=0", "--query-port=0", "--" + flag + "=" + port}
		wants(t, 1, []string{"port " + port + " on 127.0.0.1 is taken", "--" + flag}, args...)
	}
	free := []string{"serve", "--storage-port=0", "--admin-port=0", "--otlp-grpc-port=0", "--archive-port=0", "--query-port=0"}
	wants(t, 1, []string{"0.0.0.0.*neither TLS nor authentication.*--insecure"}, append(free, "--data", folder, "--listen-host", "0.0.0.0")...)
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wants(t, 1, []string{"is not a folder"}, append(free, "--data", file)...)

	used := filepath.Join(folder, "used")
	server := startServer(t, used)
	wants(t, 1, []string{regexp.QuoteMeta(used) + " is in use", "--addr"}, append(free, "--data", used)...)
	r := wants(t, 1, []string{regexp.QuoteMeta(used) + " is in use", "--addr"}, "find", "--data", used)
	if strings.Contains(r.err, "locked") {
		t.Errorf("the folder in use is said more than once: %s", r.err)
	}
	wants(t, 1, []string{regexp.QuoteMeta(used) + " is in use", "stop the server"}, "verify", used)
	stopServer(t, server)
	wants(t, 1, []string{fmt.Sprintf("has %d shards, 64 were asked for", cluster.ShardsDefault())}, append(free, "--data", used, "--shards=64")...)
	newer(t, filepath.Join(used, "epoch"))
	wants(t, 1, []string{"epoch: offset 8: written by a newer version"}, append(free, "--data", used)...)
	wants(t, 1, []string{"epoch: offset 8: written by a newer version"}, "verify", used)
}

// newer turns an epoch record into one of version 2, with a right checksum.
func newer(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[8] = 2
	end := len(b) - 4
	binary.LittleEndian.PutUint32(b[end:], crc32.Checksum(b[:end], crc32.MakeTable(crc32.Castagnoli)))
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAskingNobodyIsAClearError(t *testing.T) {
	address := nobody(t)
	wants(t, 1, []string{"connect to " + address, "stoa serve", "--data"}, "services", "--addr", address)
	wants(t, 1, []string{"nowhere does not exist"}, "services", "--data", filepath.Join(t.TempDir(), "nowhere"))
	wants(t, 1, []string{"nowhere"}, "verify", filepath.Join(t.TempDir(), "nowhere"))
	wants(t, 1, []string{"not a Stoa data folder"}, "verify", t.TempDir())
}

// TestStartSaysWhatAPersonNeedsToKnow and SIGTERM leaves a folder with nothing to replay.
func TestStartSaysWhatAPersonNeedsToKnow(t *testing.T) {
	file := fixture(t, "zipkin-fixtures")
	folder := filepath.Join(t.TempDir(), "data")
	server := startServer(t, folder, "--sync=5ms", "--retention=48h")
	wants(t, 0, nil, "import", "--addr", server.Storage, "--admin", server.Admin, file)
	stopServer(t, server)
	said := server.Output()
	for _, want := range []string{server.Storage, server.Admin + "/metrics", fmt.Sprintf("%s  (%d shards)", folder, cluster.ShardsDefault()), "RELAXED", "5ms", "48h", "soft limit"} {
		if !strings.Contains(said, want) {
			t.Errorf("the start block lacks %q:\n%s", want, said)
		}
	}
	wants(t, 0, []string{"with 1094 spans", "no damage"}, "verify", folder)
	server = startServer(t, folder)
	stopServer(t, server)
	said = server.Output()
	for _, want := range []string{" 0 log entries", "nothing is ever deleted", "every answer waits until the spans are on the disk"} {
		if !strings.Contains(said, want) {
			t.Errorf("the start block lacks %q:\n%s", want, said)
		}
	}
}

func TestImportTwiceStoresOnce(t *testing.T) {
	file := fixture(t, "jaeger-integration-fixtures")
	folder := t.TempDir()
	server := startServer(t, folder)
	ask := []string{"--addr", server.Storage, "--admin", server.Admin}
	imported := func(flags ...string) []string { return append(append([]string{"import", file}, ask...), flags...) }
	wants(t, 0, []string{"32 requests imported, "}, imported()...)
	before := wants(t, 0, nil, "find", "--limit=1000", "--json", "--addr", server.Storage).out
	wants(t, 0, []string{"imported before, 32 requests; nothing to do"}, imported()...)
	wants(t, 0, []string{"32 requests imported, "}, imported("--again")...)
	// A server whose admin port nobody names: sent again, dropped there.
	r := wants(t, 0, []string{"32 requests imported, "}, "import", file, "--addr", server.Storage, "--admin", nobody(t))
	if !strings.Contains(r.err, "no ledger at") {
		t.Errorf("without a ledger it says %q", r.err)
	}
	if after := wants(t, 0, nil, "find", "--limit=1000", "--json", "--addr", server.Storage).out; after != before {
		t.Error("importing again changed the answers")
	}
	stopServer(t, server)
	// The ledger lies in the folder.
	wants(t, 0, []string{"imported before"}, "import", file, "--data", folder)
	wants(t, 0, []string{"with 38 spans"}, "verify", folder)
}

func TestImportSaysWhereAFileIsBroken(t *testing.T) {
	whole, err := os.ReadFile(fixture(t, "zipkin-fixtures"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	broken := filepath.Join(t.TempDir(), "broken.otlp.zst")
	if err := os.WriteFile(broken, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	wants(t, 1, []string{"broken.otlp.zst: record 1: corrupt data"}, "import", "--data", folder, broken)
	wants(t, 1, []string{"missing.otlp.zst: .*no such file"}, "import", "--data", folder, filepath.Join(folder, "missing.otlp.zst"))
}

func TestAskingCommandsPrintWhatTheyFind(t *testing.T) {
	file := fixture(t, "zipkin-fixtures")
	folder := t.TempDir()
	wants(t, 0, nil, "import", "--data", folder, file)
	server := startServer(t, folder)
	for _, ask := range [][]string{{"--addr", server.Storage}, {"--data", folder}} {
		if ask[0] == "--data" {
			stopServer(t, server) // a command opens the folder itself only when nobody holds it
		}
		with := func(args ...string) []string { return append(args, ask...) }
		wants(t, 0, []string{`(?m)^TRACE ID +START \(UTC\) +DURATION +SPANS`, `(?m)^5aab74dbb904746bb33447baae403ed6 .* frontend +get /$`},
			with("find", "service=frontend name='get /'")...)
		wants(t, 0, []string{"^no trace found\n$"}, with("find", "service=nobody")...)
		wants(t, 0, []string{`(?m)^14b60fd9ae504820|000014b60fd9ae504820 .* 1041 `}, with("find", "from=2018-11-30", "to=2018-12-01")...)
		checkFindJSON(t, with)
		checkExpressions(t, with)
		wants(t, 0, []string{"28 spans, 2 services, 2 errors", `(?m)^! │ │ │ └ serviceb  on-message .*some error$`}, with("trace", "562809467078eab")...)
		wants(t, 1, []string{"trace 00000000000000000000000000000bad not found"}, with("trace", "bad")...)
		wants(t, 0, []string{"(?m)^SERVICE\n\"\"\naccount$"}, with("services")...)
		wants(t, 0, []string{"(?m)^NAME +KIND\n", "(?m)^get / +server$"}, with("services", "frontend")...)
		checkGraph(t, with, server.Admin)
	}
}

// checkExpressions asks one thing in words and in expressions, and what words cannot say.
func checkExpressions(t *testing.T, with func(args ...string) []string) {
	t.Helper()
	count := func(text string) int {
		r := wants(t, 0, nil, with("find", text, "-n", "1000", "-o", "jsonl")...)
		return strings.Count(r.out, "\n")
	}
	all := count("")
	for _, text := range []string{"http.method=GET", "http.method = GET", "not not http.method=GET", `tag("http.method", "GET") or tag("http.method", "GET")`, "http.method in (GET)"} {
		if n := count(text); n == 0 || n == all || n != count("http.method=GET") {
			t.Errorf("%s finds %d of %d traces", text, n, all)
		}
	}
	for _, text := range []string{"span.duration >= 0s", "error=true or error = false", "http.method=GET or not http.method=GET", "span.kind in (server, client, producer, consumer, internal, unspecified)"} {
		if n := count(text); n != all {
			t.Errorf("%s finds %d of %d traces", text, n, all)
		}
	}
	for _, text := range []string{"exists(http.status_code)", "some(event, exists(event.name))", `phrase(http.path, "api")`, "http.path =~ '/a'", "span.a in (int(1), 'x') or error=true"} {
		if n := count(text); text != "some(event, exists(event.name))" && n == 0 || n == all {
			t.Errorf("%s finds %d of %d traces", text, n, all)
		}
	}
	for text, hint := range map[string]string{"(error=true)": `^Nothing but words: \(error was looked for`, "span.kind=none": "span.kind was looked for", "a=b": "^$"} {
		if r := wants(t, 0, []string{"^no trace found\n$"}, with("find", text)...); !regexp.MustCompile(hint).MatchString(r.err) {
			t.Errorf("%s: %s", text, r.err)
		}
	}
}

func checkFindJSON(t *testing.T, with func(args ...string) []string) {
	t.Helper()
	var found []summaryJSON
	r := wants(t, 0, nil, with("find", "service=frontend", "--json")...)
	if err := json.Unmarshal([]byte(r.out), &found); err != nil || len(found) != 1 || found[0].Spans != 4 || len(found[0].Services) != 2 {
		t.Errorf("find --json: %v, %+v", err, found)
	}
	lines := strings.Split(strings.TrimSpace(wants(t, 0, nil, with("find", "-o", "jsonl", "-n", "3")...).out), "\n")
	last := ""
	for _, line := range lines {
		var s summaryJSON
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Error(err)
		}
		if last != "" && s.Start > last {
			t.Errorf("%s stands after %s: not newest first", s.Start, last)
		}
		last = s.Start
	}
	rows, err := csv.NewReader(strings.NewReader(wants(t, 0, nil, with("find", "-o", "csv", "-n", "3")...).out)).ReadAll()
	if err != nil || len(lines) != 3 || len(rows) != 4 || rows[0][0] != "trace_id" {
		t.Errorf("%d lines of JSON, %d rows of CSV with %v, %v", len(lines), len(rows), rows[0], err)
	}
	var spans []spanJSON
	if err := json.Unmarshal([]byte(wants(t, 0, nil, with("trace", "5aab74dbb904746bb33447baae403ed6", "-o", "json")...).out), &spans); err != nil || len(spans) != 4 {
		t.Errorf("trace -o json: %v, %d spans", err, len(spans))
	}
}

func TestVerifyNamesEveryDamage(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"zipkin-fixtures", "jaeger-integration-fixtures"} { // of different days: a segment each at least
		wants(t, 0, nil, "import", "--data", folder, fixture(t, name))
	}
	segments, err := filepath.Glob(filepath.Join(folder, "shard-*", "*.seg"))
	if err != nil || len(segments) < 2 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	for _, name := range segments[:2] {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/3] ^= 0x10
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := wants(t, 1, []string{"2 damaged places|[3-9] damaged places"}, "verify", folder)
	for _, name := range segments[:2] {
		if !regexp.MustCompile(`(?m)^damage: ` + regexp.QuoteMeta(name) + `: offset \d+: (column [a-z ]+: )?corrupt data`).MatchString(r.out) {
			t.Errorf("%s is damaged, verify says\n%s", name, r.out)
		}
	}
}

// TestInterruptedImportGoesOn where it stopped, and stores every span once.
func TestInterruptedImportGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: sends 147,159 spans")
	}
	file := fixture(t, "hotrod")
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := codec.HashReader(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	server := startServer(t, folder)
	command := exec.Command(stoaBinary(t), "import", file, "--addr", server.Storage, "--admin", server.Admin)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for records := uint64(0); records == 0; {
		if records, err = newLedger(asked{admin: server.Admin}, hash).records(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err == nil || command.ProcessState.ExitCode() != 1 {
		t.Fatalf("interrupted, it ended with %v", err)
	}
	wants(t, 0, []string{`2189 requests imported, \d+ of them before`}, "import", file, "--addr", server.Storage, "--admin", server.Admin)
	if err := server.Ask(t.Context(), "/compact"); err != nil { // copies in several segments count once now
		t.Fatal(err)
	}
	stopServer(t, server)
	server = startServer(t, folder)
	if err := server.Ask(t.Context(), "/compact"); err != nil {
		t.Fatal(err)
	}
	stopServer(t, server)
	wants(t, 0, []string{"with 147159 spans"}, "verify", folder)
}

// TestFailedSyncEndsTheProcess: a system call tracer makes one sync of the log fail.
func TestFailedSyncEndsTheProcess(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skipf("SKIP: %v", err)
	}
	folder := t.TempDir()
	wants(t, 0, nil, "import", "--data", folder, fixture(t, "zipkin-fixtures"))
	// The tracer counts for each thread, and a request syncs on the thread it runs on: of some
	// 25 syncs the third of one thread is sure to come, a twelfth is not. Only the log is
	// aimed at: an import whose ledger cannot be written says so and ends well.
	files, err := filepath.Glob(filepath.Join(folder, "log", "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("log files: %v, %v", files, err)
	}
	var last int
	if _, err := fmt.Sscanf(filepath.Base(files[len(files)-1]), "%d.log", &last); err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(folder, "log", fmt.Sprintf("%016d.log", last+1))
	trace := filepath.Join(t.TempDir(), "trace")
	command := exec.Command(strace, "-f", "-qq", "-o", trace, "-P", next, "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=3",
		stoaBinary(t), "import", "--data", folder, "--again", fixture(t, "jaeger-integration-fixtures"))
	var errs bytes.Buffer
	command.Stderr = &errs
	_ = command.Run() // the exit code is looked at
	if calls, err := os.ReadFile(trace); err != nil || !bytes.Contains(calls, []byte("INJECTED")) {
		t.Fatalf("no sync of %s was made to fail: %v\n%s", next, err, calls)
	}
	if code := command.ProcessState.ExitCode(); code != 1 || !strings.Contains(errs.String(), "input/output error") {
		t.Errorf("exit code %d after a failed sync:\n%s", code, errs.String())
	}
	wants(t, 0, []string{"no damage"}, "verify", folder)
	wants(t, 0, []string{"32 requests imported"}, "import", "--data", folder, "--again", fixture(t, "jaeger-integration-fixtures"))
	wants(t, 0, []string{"(?m)^query01-service$"}, "services", "--data", folder)
}
