//go:build amd64 || arm64

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
)

// adviceEnv makes the test a process of its own, whose heap nobody used before.
const adviceEnv = "STOA_TEST_HUGE_PAGES"

// TestTheHeapAsksForHugePages for as many bytes as it is told, and uses no memory for that; where the kernel
// refuses so many addresses that is an error, and the process lives.
func TestTheHeapAsksForHugePages(t *testing.T) {
	switch os.Getenv(adviceEnv) {
	case "granted":
		testAdvice(t)
		return
	case "refused":
		testRefusal(t)
		return
	}
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("SKIP: this kernel has no transparent huge pages:", err)
	}
	for _, what := range []string{"granted", "refused"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheHeapAsksForHugePages$", "-test.count=1")
		cmd.Env = append(os.Environ(), adviceEnv+"="+what)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%.2000s", what, err, out)
		}
	}
}

func testAdvice(t *testing.T) {
	const bytes = 96 << 20
	debug.FreeOSMemory()
	advisedBefore, before := adviceAndMemory(t)
	if err := askForHugePages(bytes); err != nil {
		t.Fatal(err)
	}
	advised, after := adviceAndMemory(t)
	if advised-advisedBefore < bytes {
		t.Errorf("%d MiB are advised, want %d", (advised-advisedBefore)>>20, bytes>>20)
	}
	if grown := after - before; grown > bytes/4 {
		t.Errorf("the process took %d MiB for it", grown>>20)
	}
}

func testRefusal(t *testing.T) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var pages uint64
	if _, err := fmt.Sscan(string(text), &pages); err != nil {
		t.Fatal(err)
	}
	most := pages*uint64(os.Getpagesize()) + 256<<20
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
		t.Fatal(err)
	}
	if err := askForHugePages(1 << 30); err == nil {
		t.Error("a GiB of addresses is granted where 256 MiB are left")
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
