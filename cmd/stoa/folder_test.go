package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// foreign is a folder of somebody else's, with one file.
func foreign(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "x.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

func holds(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if !slices.Equal(names, want) {
		t.Errorf("the folder holds %q, want %q", names, want)
	}
}

// TestForeignFolderIsRefusedAndLeftAlone by every command that takes a folder.
func TestForeignFolderIsRefusedAndLeftAlone(t *testing.T) {
	file := fixture(t, "zipkin-fixtures")
	folder, empty := foreign(t), t.TempDir()
	for _, args := range [][]string{
		{"find", "service=a", "--data"}, {"trace", "1", "--data"}, {"graph", "--data"}, {"services", "--data"}, {"verify"}, {"repair"}, {"repair", "--yes"},
	} {
		wants(t, 1, []string{regexp.QuoteMeta(folder) + ".*is not a Stoa data folder"}, append(args, folder)...)
		holds(t, folder, "x.txt")
		wants(t, 1, []string{regexp.QuoteMeta(empty) + ".*is not a Stoa data folder"}, append(args, empty)...)
		holds(t, empty)
	}
	serve := []string{"serve", "--storage-port=0", "--admin-port=0", "--otlp-grpc-port=0", "--archive-port=0", "--query-port=0", "--data", folder}
	wants(t, 1, []string{"is not a Stoa data folder.*x.txt"}, serve...)
	wants(t, 1, []string{"is not a Stoa data folder.*x.txt"}, "import", "--data", folder, file)
	holds(t, folder, "x.txt")
}

// TestStartThatWasKilledBeforeItsRecordGoesOn: what it leaves is not somebody else's, nor
// is what a file system keeps at its root.
func TestStartThatWasKilledBeforeItsRecordGoesOn(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"lock", "epoch.new"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(folder, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	wants(t, 1, []string{"is not a Stoa data folder"}, "services", "--data", folder)
	stopServer(t, startServer(t, folder))
	wants(t, 0, []string{"no service found"}, "services", "--data", folder)
	wants(t, 0, []string{"no damage"}, "verify", folder)
}
