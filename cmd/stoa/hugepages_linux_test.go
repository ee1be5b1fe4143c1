package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestTheHeapAsksForHugePages for as many bytes as it is told, and uses no memory for that.
func TestTheHeapAsksForHugePages(t *testing.T) {
	const bytes = 96 << 20
	_, before := adviceAndMemory(t)
	if err := askForHugePages(bytes); errors.Is(err, syscall.EINVAL) {
		t.Skip("SKIP: this kernel was built without transparent huge pages")
	} else if err != nil {
		t.Fatal(err)
	}
	advised, after := adviceAndMemory(t)
	if advised < bytes { // or more: addresses that had the advice before
		t.Errorf("%d MiB are advised, want %d", advised>>20, bytes>>20)
	}
	if grown := after - before; grown > bytes/4 {
		t.Errorf("the process took %d MiB for it", grown>>20)
	}
}

// adviceAndMemory reads of the process how many bytes have the advice, and how many are in memory.
func adviceAndMemory(t *testing.T) (advised, inMemory int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for line := range strings.Lines(string(text)) {
		var kib int64
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "Size", "Anonymous":
			if _, err := fmt.Sscan(value, &kib); err != nil {
				t.Fatal(err)
			}
			if name == "Size" {
				size = kib << 10
			} else {
				inMemory += kib << 10
			}
		case "VmFlags":
			if strings.Contains(value, " hg") {
				advised += size
			}
		}
	}
	return advised, inMemory
}
