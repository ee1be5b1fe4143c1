package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// TestAFullDiskIsSearchedForStraysInAllStores: what a merge of the archive or of a tenant left may fill it, and the
// store whose start finds it full is another.
func TestAFullDiskIsSearchedForStraysInAllStores(t *testing.T) {
	data, logger := t.TempDir(), slog.New(slog.DiscardHandler)
	n, err := openNode(t.Context(), nodeOptions{data: data, create: true, logger: logger, archive: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	stray := filepath.Join(data, archiveFolder, "shard-000", "00000099.seg")
	if err := os.WriteFile(stray, make([]byte, 1<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	n = &node{data: data}
	if !n.removeStrays(logger) {
		t.Error("nothing was found")
	}
	if _, err := os.Stat(stray); !os.IsNotExist(err) {
		t.Errorf("the archive's stray is still there: %v", err)
	}
	if n.removeStrays(logger) {
		t.Error("something was found that is not there")
	}
}
