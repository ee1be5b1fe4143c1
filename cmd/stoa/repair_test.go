package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRepairIsADryRunWithoutYes: it tells what it would drop and changes nothing; with --yes
// the folder starts again, what went out is left as it was, and an import brings it back.
func TestRepairIsADryRunWithoutYes(t *testing.T) {
	file, folder := fixture(t, "zipkin-fixtures"), t.TempDir()
	wants(t, 0, nil, "import", "--data", folder, file)
	services := wants(t, 0, nil, "services", "--data", folder).out
	wants(t, 0, []string{"no damage"}, "repair", folder)

	segments, err := filepath.Glob(filepath.Join(folder, "shard-*", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	damaged := make(map[string]string)
	for _, segment := range segments {
		whole, err := os.ReadFile(segment)
		if err != nil {
			t.Fatal(err)
		}
		b := flip(footer)(whole)
		if err := os.WriteFile(segment, b, 0o600); err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(folder, segment)
		if err != nil {
			t.Fatal(err)
		}
		damaged[name] = string(b)
	}
	wants(t, 1, []string{"corrupt data"}, "services", "--data", folder)

	before := filesOf(t, folder)
	said := wants(t, 1, []string{"damaged places; nothing was changed"}, "repair", folder).out
	unchanged(t, folder, before)
	for name := range damaged {
		for _, pattern := range []string{`damage: .*` + regexp.QuoteMeta(name) + `: offset \d+`, `would be taken out: .*` + regexp.QuoteMeta(name) + ` of \d+ spans in \d+ bytes`, "would be taken out: .*/imports"} {
			if !regexp.MustCompile(pattern).MatchString(said) {
				t.Errorf("%q is not in\n%s", pattern, said)
			}
		}
	}

	r := wants(t, 0, []string{"repaired; what was taken out is in", "no damage"}, "repair", "--yes", folder)
	if !strings.Contains(r.err, "repair: move ") {
		t.Errorf("no progress:\n%s", r.err)
	}
	for name, content := range damaged {
		found, err := filepath.Glob(filepath.Join(folder, "repaired", "*", name))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %q, %v", name, found, err)
		}
		if b, err := os.ReadFile(found[0]); err != nil || string(b) != content {
			t.Errorf("%s is not what it was: %v", found[0], err)
		}
	}
	wants(t, 0, []string{"no service found"}, "services", "--data", folder)
	wants(t, 0, nil, "import", "--data", folder, file)
	if again := wants(t, 0, nil, "services", "--data", folder).out; again != services {
		t.Errorf("imported again:\n%swant\n%s", again, services)
	}
	wants(t, 0, []string{"no damage"}, "repair", "--yes", folder)
}

// TestRepairTellsWhatItCannotDo and leaves the folder as it is.
func TestRepairTellsWhatItCannotDo(t *testing.T) {
	folder, segment := filled(t)
	manifest := filepath.Join(filepath.Dir(segment), "MANIFEST")
	whole, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	before := filesOf(t, folder)
	wants(t, 1, []string{"cannot be repaired: without its manifest nobody knows which segments.*MANIFEST"}, "repair", "--yes", folder)
	unchanged(t, folder, before)
	if err := os.WriteFile(manifest, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(folder, "log", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("%d log files, %v", len(logs), err)
	}
	for _, log := range logs {
		if err := os.Remove(log); err != nil {
			t.Fatal(err)
		}
	}
	wants(t, 1, []string{"log files are missing"}, "services", "--data", folder)
	if said := wants(t, 1, nil, "repair", folder).out; !regexp.MustCompile(`damage: .*log files are missing\n(?s:.*)segments hold all up to Seq \d+, and the log nothing that can stay`).MatchString(said) {
		t.Errorf("of a log that is gone it says\n%s", said)
	}
	wants(t, 0, []string{"segments hold all up to Seq", "repaired", "no damage"}, "repair", "--yes", folder)
	wants(t, 0, []string{"(?m)^shop$"}, "services", "--data", folder)

	server := startServer(t, folder)
	wants(t, 1, []string{"is in use"}, "repair", "--yes", folder)
	stopServer(t, server)
	wants(t, 2, []string{"want one data folder"}, "repair")
	wants(t, 1, []string{"no such file"}, "repair", filepath.Join(folder, "nowhere"))
}
