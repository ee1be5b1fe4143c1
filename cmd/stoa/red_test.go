package main

import (
	"encoding/json"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// TestRedIsTheSameFromServerMemoryAndFolder.
func TestRedIsTheSameFromServerMemoryAndFolder(t *testing.T) {
	folder := t.TempDir()
	server := startServer(t, folder)
	for range 2 { // what comes twice counts once
		wants(t, 0, nil, "import", "--again", "--addr", server.Storage, "--admin", server.Admin, fixture(t, "zipkin-fixtures"))
	}
	answers := map[string]string{}
	ask := func(where ...string) {
		t.Helper()
		for _, question := range [][]string{
			{}, {"--kind", "all", "-o", "csv"}, {"--kind", "all", "--step", "24h", "--json"}, {"service=bookie", "-o", "jsonl"},
			{"service=bookie from=2018-01-01 to=2019-01-01", "--step", "1h"}, {"service=nobody"},
		} {
			out := wants(t, 0, nil, append(append([]string{"red"}, question...), where...)...).out
			key := strings.Join(question, " ")
			if before, ok := answers[key]; ok && before != out {
				t.Errorf("red %s answered\n%s\nand now\n%s", key, before, out)
			}
			answers[key] = out
		}
	}
	address := func(s *bench.Server) []string { return []string{"--addr=" + s.Storage, "--admin=" + s.Admin} }
	ask(address(server)...)
	for _, path := range []string{"/flush", "/compact"} {
		if err := server.Ask(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		ask(address(server)...)
	}
	stopServer(t, server)
	ask("--data", folder)
	for _, want := range []string{
		`(?m)^SERVICE +OPERATION +KIND +SPANS +PER SECOND +ERRORS +P50 +P90 +P95 +P99$`,
		`(?m)^bookie +get /installedapps/{installedappid}/staged +server +13 +- +0\.0 % +\S+ms`,
	} {
		wants(t, 0, []string{want}, "red", "--data", folder)
	}
	wants(t, 0, []string{`^no span found\n$`}, "red", "service=nobody", "--data", folder)
	var rates []rateJSON
	if err := json.Unmarshal([]byte(answers["--kind all --step 24h --json"]), &rates); err != nil {
		t.Fatal(err)
	}
	total := uint64(0)
	for _, r := range rates {
		total += r.Spans
	}
	equal(t, "spans in all operations", total, 1094)
}

func TestRedRefusesWhatItCannotCount(t *testing.T) {
	wants(t, 2, []string{"red knows service, name, from, to and since only"}, "red", "error=true")
	wants(t, 2, []string{"red knows service, name, from, to and since only"}, "red", "minDuration=1s")
	wants(t, 2, []string{"red knows service, name, from, to and since only"}, "red", "service=a or service=b")
	wants(t, 2, []string{"red knows service, name, from, to and since only"}, "red", "service=a and resource.service=b")
	wants(t, 2, []string{`--kind "waiter": want all, or some of`}, "red", "--kind", "server,waiter")
	wants(t, 2, []string{"--step -1s: less than nothing"}, "red", "--step=-1s")
	for text, part := range map[string]string{
		"kind=waiter": `kind "waiter"`, "from=now": `from "now"`, "to=-1": `to "-1"`, "step=long": `step "long"`, "step=-1s": `step "-1s"`,
	} {
		values, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ratesOf(values); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", text, err)
		}
	}
	got, err := ratesOf(url.Values{"service": {"a"}, "name": {"b"}, "kind": {"server,unspecified"}, "from": {"1"}, "to": {"2"}, "step": {"1m"}})
	want := span.RateQuery{Service: "a", Name: "b", Kinds: []int32{2, 0}, StartMin: 1, StartMax: 2, Step: 60e9}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := ratesOf(nil); err != nil || got.StartMax != math.MaxUint64 || got.Kinds != nil {
		t.Errorf("without parameters: %+v, %v", got, err)
	}
}

// TestARangeThatOnlyBeginsEndsNow: only then has a rate a second a meaning. What comes later is not
// counted in it.
func TestARangeThatOnlyBeginsEndsNow(t *testing.T) {
	folder := t.TempDir()
	server := startServer(t, folder)
	now := time.Now()
	writer, err := client.Dial(t.Context(), server.Storage)
	if err != nil {
		t.Fatal(err)
	}
	const firstAt = 1_767_225_600_000 // milliseconds: where NumberedAt begins to count
	for i, at := range []time.Time{now.Add(-2 * time.Hour), now.Add(-time.Minute), now.Add(-2 * time.Minute), now.Add(time.Hour)} {
		if _, err := writer.Export(t.Context(), enginetest.NumberedAt(i, int(at.UnixMilli()-firstAt))); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	red := func(text, rate string, names ...string) {
		t.Helper()
		pattern := `^SERVICE[^\n]*\n`
		for _, name := range names {
			pattern += "numbered +" + name + ` [^\n]*1 +(` + rate + `) +0\.0 %[^\n]*\n`
		}
		wants(t, 0, []string{pattern + "$"}, "red", text, "--addr="+server.Storage, "--admin="+server.Admin)
	}
	red("since=1h", `0\.0002778`, "span 1", "span 2") // one in 3,600 s
	red("since=3h", `0\.00009259|9\.259e-05`, "span 0", "span 1", "span 2")
	red("from="+now.Add(30*time.Minute).UTC().Format(time.RFC3339), "-", "span 3") // not begun: no end
	red("", "-", "span 0", "span 1", "span 2", "span 3")
	red("since=2h1m to="+now.Add(119*time.Minute).UTC().Format(time.RFC3339Nano), `0\.0000694\d|6\.94\de-05`, "span 0", "span 1", "span 2", "span 3")
	stopServer(t, server)
}
