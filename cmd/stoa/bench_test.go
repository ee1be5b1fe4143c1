package main

import (
	"os"
	"path/filepath"
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
