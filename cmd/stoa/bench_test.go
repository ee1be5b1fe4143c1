package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stoadb/stoa/bench"
)

// TestBenchGenIsReadBackAndAmplified: what gen writes is a recording, the same each time;
// amplify makes more of it, and neither touches a file that is there.
func TestBenchGenIsReadBackAndAmplified(t *testing.T) {
	one, two, more := filepath.Join(t.TempDir(), "one.otlp.zst"), filepath.Join(t.TempDir(), "two.otlp.zst"), filepath.Join(t.TempDir(), "more.otlp.zst")
	gen := []string{"bench", "gen", "--preset", "shop", "--spans", "5000", "--services", "6", "--request-spans", "300"}
	for _, file := range []string{one, two} {
		if r := wants(t, exitOK, nil, append(gen, "--out", file)...); r.out != "" {
			t.Errorf("standard output is for recordings: %q", r.out)
		}
	}
	first, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(two); err != nil || string(again) != string(first) {
		t.Errorf("the same flags gave other bytes: %d and %d, %v", len(first), len(again), err)
	}
	if spans, _, err := bench.FromFiles(one).Count(); err != nil || spans != 5000 {
		t.Errorf("%d spans, %v", spans, err)
	}
	wants(t, exitOK, nil, "bench", "amplify", one, "--times", "3", "--out", more)
	if spans, _, err := bench.FromFiles(more).Count(); err != nil || spans != 15000 {
		t.Errorf("amplified: %d spans, %v", spans, err)
	}
	if r := wants(t, exitOK, nil, append(gen, "--out", "-")...); r.out != string(first) {
		t.Errorf("%d bytes on standard output, %d in the file", len(r.out), len(first))
	}
	wants(t, exitError, []string{"file exists"}, append(gen, "--out", one)...)
	wants(t, exitError, []string{"no such file"}, "bench", "amplify", one+"x", "--out", more)
	wants(t, exitUsage, []string{`no workload "fair".*batch, deep, huge, norepeat, shop, storm`}, "bench", "gen", "--preset", "fair", "--out", more)
	wants(t, exitUsage, []string{"pods 3: want 6"}, append(gen, "--pods", "3", "--out", more)...)
	wants(t, exitUsage, []string{"want --preset and --out"}, "bench", "gen", "--preset", "shop")
	wants(t, exitUsage, []string{"--start"}, append(gen, "--start", "today", "--out", more)...)
	wants(t, exitUsage, []string{"unknown command"}, "bench", "speed")
}

// TestBenchLoadTellsWhatALoadTook: of a made workload, amplified, settled, with a record.
func TestBenchLoadTellsWhatALoadTook(t *testing.T) {
	folder := t.TempDir()
	server := startServer(t, folder)
	file := filepath.Join(t.TempDir(), "record.json")
	args := []string{
		"bench", "load", "--preset", "shop", "--spans", "4000", "--times", "2", "--target", server.OTLP, "--pid", strconv.Itoa(server.PID()),
		"--folder", folder, "--admin", server.Admin, "--json", file, "--label", "this one",
	}
	wants(t, exitOK, []string{`this one`, `shop, seed 1, 4000 spans, 2 times: 8000 spans`, `settled: flushed and merged by policy`, `CPU settled +[0-9.]+ +s/Mspan`, `disk +[0-9.]+ +B/span`}, args...)
	record, err := bench.ReadRecord(file)
	if err != nil {
		t.Fatal(err)
	}
	if l := record.Load; l == nil || l.Spans != 8000 || l.DiskBytes == 0 || l.Settled.DeviceBytes == 0 || l.Settled.AnonBytes == 0 || l.Rejected != 0 {
		t.Errorf("%+v", l)
	}
	wants(t, exitOK, []string{`frontend`}, "services", "--addr", server.Storage)
	wants(t, exitError, []string{"is there already"}, args...)
	other := filepath.Join(t.TempDir(), "other.json")
	again := append(slices.Clone(args[:len(args)-4]), "--settle", "compact", "--json", other)
	wants(t, exitOK, []string{`settled: flushed and compacted`}, again...)
	wants(t, exitOK, []string{`note: not settled alike: flushed and merged by policy, flushed and compacted`}, "bench", "compare", file, other)
	wants(t, exitOK, []string{`settled: flushed and merged by policy`, `settled: flushed and compacted`}, "bench", "report", "-o", "markdown", file, other)
	wants(t, exitUsage, []string{`"quickly": Stoa settles by policy or compact`}, "bench", "load", "--preset", "shop", "--settle", "quickly")
	wants(t, exitUsage, []string{`"quickly": Stoa settles by policy or compact`}, "bench", "run", "--settle", "quickly")
	wants(t, exitUsage, []string{"--preset too"}, "bench", "load", "--spans", "10")
	wants(t, exitUsage, []string{"want recordings"}, "bench", "load")
	wants(t, exitUsage, []string{"say --pid"}, "bench", "load", "--preset", "shop", "--quiet", "1s")
	wants(t, exitUsage, []string{"give one of them"}, "bench", "load", "--preset", "shop", "file")
	wants(t, exitUsage, []string{"--times 0"}, "bench", "load", "--preset", "shop", "--times", "0")
	stopServer(t, server)
	wants(t, exitError, []string{"after 0 spans"}, "bench", "load", "--preset", "shop", "--spans", "10", "--patience", "0s", "--target", server.OTLP)
}

// TestBenchQueryFindsTheServerRight, and wrong where the truth is that of other spans;
// with several clients, once each, and while other spans arrive.
func TestBenchQueryFindsTheServerRight(t *testing.T) {
	server := startServer(t, t.TempDir())
	made := []string{"--preset", "shop", "--spans", "6000", "--services", "8", "--errors", "0.2"}
	wants(t, exitOK, nil, append([]string{"bench", "load", "--target", server.OTLP, "--admin", server.Admin}, made...)...)
	query := append([]string{"bench", "query", "--addr", server.Storage, "--target", server.OTLP, "--questions", "6"}, made...)
	file := filepath.Join(t.TempDir(), "record.json")
	wants(t, exitOK, []string{`get-largest, warm, 3 clients`, `errors-100s, warm, 1 client`}, append(query, "--clients", "1,3", "--json", file)...)
	record, err := bench.ReadRecord(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(record.Queries) != 2*18 || len(record.Notes) > 0 {
		t.Errorf("%d classes asked, %q", len(record.Queries), record.Notes)
	}
	for _, q := range record.Queries {
		if q.Wrong != 0 || q.MS.P50 <= 0 || q.Asked < 6 || q.ASecond <= 0 || q.Answers <= 0 && q.Class != "get-absent" {
			t.Errorf("%+v", q)
		}
	}
	cold := filepath.Join(t.TempDir(), "cold.json")
	wants(t, exitOK, []string{`graph, cold, 1 client`}, append(query, "--cold", "--class", "graph", "--json", cold)...)
	if record, err = bench.ReadRecord(cold); err != nil || len(record.Queries) != 1 || record.Queries[0].Asked != 1 {
		t.Errorf("cold, of one question: %+v, %v", record.Queries, err)
	}
	warm := filepath.Join(t.TempDir(), "warm.json")
	wants(t, exitOK, []string{`note: warm is after at most 25 questions`}, append(query, "--warm", "25", "--class", "get", "--json", warm)...)
	if record, err = bench.ReadRecord(warm); err != nil || len(record.Queries) != 1 || record.Queries[0].Asked != 25+6 {
		t.Errorf("6 questions after 25: %+v, %v", record.Queries, err)
	}
	wants(t, exitUsage, []string{`--warm -1: want at least 0`}, append(query, "--warm", "-1")...)
	wants(t, exitError, []string{`[1-9][0-9]* answers are wrong`}, append(query, "--seed", "2", "--class", "get", "--class", "graph")...)
	wants(t, exitOK, []string{`rare-tag, ingest, 2 clients`}, append(query, "--ingest", "5000", "--clients", "2")...)
	wants(t, exitError, []string{`no class "speed"`}, append(query, "--class", "speed")...)
	metered := filepath.Join(t.TempDir(), "metered.json")
	wants(t, exitOK, []string{`asked over jaeger-grpc`, `questions: the server used [0-9.]+ s of CPU`}, append(query, "--class", "get", "--pid", strconv.Itoa(server.PID()), "--json", metered)...)
	if record, err = bench.ReadRecord(metered); err != nil || record.API != bench.StorageGRPC || record.Asking == nil || record.Asking.AnonBytes == 0 {
		t.Errorf("metered: %+v, %v", record, err)
	}
	wants(t, exitError, []string{`no server of jaeger-http at http://`}, append(query, "--api", "jaeger-http", "--addr", server.Admin)...)
	wants(t, exitError, []string{`no server of tempo at http://`}, append(query, "--api", "tempo", "--addr", "http://"+server.Admin+"/tempo")...)
	wants(t, exitUsage, []string{`--api "thrift": want one of jaeger-grpc, jaeger-http, jaeger-http-v3, tempo`}, append(query, "--api", "thrift")...)
	wants(t, exitUsage, []string{`want HOST:PORT or http`}, append(query, "--api", "tempo", "--addr", "ftp://localhost:1")...)
	wants(t, exitUsage, []string{`--addr "http://`}, append(query, "--addr", "http://"+server.Storage+"/x")...)
	wants(t, exitUsage, []string{`--clients "0"`}, append(query, "--clients", "0")...)
	wants(t, exitUsage, []string{`--ingest "-1"`}, append(query, "--ingest", "-1")...)
	stopServer(t, server)
}

// TestBenchRunMeasuresItselfInOneCommand, references beside it, and its records are shown.
func TestBenchRunMeasuresItselfInOneCommand(t *testing.T) {
	folder := t.TempDir()
	one, html := filepath.Join(folder, "one.json"), filepath.Join(folder, "report.html")
	args := []string{
		"bench", "run", "--preset", "shop", "--spans", "40000", "--services", "8", "--errors", "0.1", "--questions", "4", "--clients", "1,2",
		"--ingest", "2000", "--class-time", "2s", "--zstd", "-1", "--folder", filepath.Join(folder, "data"), "--serve=--shards=2",
	}
	r := wants(t, exitOK, []string{`sink walk`, `CPU settled / sink raw`, `get, cold, 1 client`, `get, warm, 2 clients`, `get, ingest, 1 client`, `open +ready`},
		append(args, "--json", one)...)
	if !regexp.MustCompile(`(?s)SKIP: sink pdata: no bench/pdata here.*--pdata`).MatchString(r.err) {
		t.Errorf("no word of what was skipped: %s", r.err)
	}
	record, err := bench.ReadRecord(one)
	if err != nil {
		t.Fatal(err)
	}
	if record.Asking == nil || record.Asking.CPUSeconds <= 0 || record.Asking.ClientSeconds <= 0 {
		t.Errorf("the questions are not metered: %+v", record.Asking)
	}
	if record.Load.DiskBytes == 0 || record.Open.MS <= 0 || len(record.Queries) != 3*18+16 || len(record.Baselines) != 2 {
		t.Errorf("%d classes, %d references, %+v", len(record.Queries), len(record.Baselines), record.Load)
	}
	wants(t, exitError, []string{"file exists"}, args...)
	wants(t, exitOK, nil, "verify", filepath.Join(folder, "data"))
	wants(t, exitOK, []string{`BenchmarkShop\S+/get/warm/1-client-`}, "bench", "report", "-o", "gobench", one)
	wants(t, exitOK, []string{`written / disk .* must 4`}, "bench", "report", one)
	wants(t, exitOK, []string{`\| \| stoa \|`, `\| get, cold, 1 client, ms \| [0-9.]+ / [0-9.]+ \|`}, "bench", "report", "-o", "markdown", one)
	wants(t, exitOK, nil, "bench", "report", "--html", html, one, one)
	if page, err := os.ReadFile(html); err != nil || !strings.Contains(string(page), "</html>") {
		t.Errorf("a page of %d bytes, %v", len(page), err)
	}
	wants(t, exitOK, []string{`mean of what the store takes: 1.000`}, "bench", "compare", one, one, "--limit", "1.05")
	dearer := record
	dearer.Load.DiskBytes, dearer.Load.Settled.CPUSeconds, dearer.Load.Settled.AnonBytes = 1e9, 1e6, 1e12
	two := filepath.Join(folder, "two.json")
	if err := bench.WriteRecord(two, dearer); err != nil {
		t.Fatal(err)
	}
	wants(t, exitError, []string{`beyond 1.050`}, "bench", "compare", one, two, "--limit", "1.05")
	worse := record
	worse.Queries = slices.Clone(record.Queries[1:])
	worse.Queries[0].Wrong = 1
	three := filepath.Join(folder, "three.json")
	if err := bench.WriteRecord(three, worse); err != nil {
		t.Fatal(err)
	}
	wants(t, exitOK, []string{`WRONG after: `, `missing after: services, cold, 1 client`}, "bench", "compare", one, three)
	wants(t, exitError, []string{`1 answers are wrong; missing: services, cold, 1 client`}, "bench", "compare", one, three, "--limit", "1e9")
	wants(t, exitUsage, []string{"want records"}, "bench", "report")
	wants(t, exitError, []string{"no such file"}, "bench", "report", one+"x")
	wants(t, exitUsage, []string{"raw or walk"}, "bench", "sink", "other")
}

// TestBenchBaselineMeasuresReferences; what stands for pdata is any program that serves.
func TestBenchBaselineMeasuresReferences(t *testing.T) {
	program := filepath.Join(t.TempDir(), "sink")
	script := "#!/bin/sh\nexec " + stoaBinary(t) + " bench sink raw\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	args := []string{"bench", "baseline", "--preset", "shop", "--spans", "3000", "--zstd", "-1", "--pdata", program}
	wants(t, exitOK, []string{`sink raw +CPU`, `sink walk +CPU`, `sink pdata +CPU`}, args...)
	t.Setenv("PATH", "")
	if r := stoa(t, args...); r.code != exitError && !strings.Contains(r.out, "SKIP: zstd -1: the program zstd is not installed") {
		t.Errorf("without zstd: exit code %d, %s%s", r.code, r.out, r.err)
	}
}
