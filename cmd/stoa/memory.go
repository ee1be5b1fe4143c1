package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// limitMemory tells the Go runtime how much to use and returns that. GOMEMLIMIT in the
// environment wins over all, --memory over the default.
func limitMemory(flag string) (int64, error) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return debug.SetMemoryLimit(-1), nil
	}
	bytes := int64(memoryBytesDefault)
	if flag != "" {
		var err error
		if bytes, err = parseBytes(flag); err != nil {
			return 0, usagef("--memory %w", err)
		}
		if bytes < memoryBytesMin {
			return 0, usagef("--memory %s: less than %d MiB, and the process would do nothing but collect garbage", flag, memoryBytesMin>>20)
		}
	} else {
		provider := memlimit.ApplyRatio(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem), memoryShare)
		// Where neither can tell, the default stands.
		if has, err := provider(); err == nil && has < uint64(bytes) {
			bytes = int64(has)
		}
	}
	debug.SetMemoryLimit(bytes)
	return bytes, nil
}

// spareThreads lets the Go runtime run more goroutines at once than there are processors. What
// works for long (requests being walked, a flush, a merge) holds a thread until the runtime takes it away, 10 ms
// later, and it looks for what comes from the network as rarely: with as many threads as processors
// a question under full load would wait for both, again and again. With some to spare it begins at once, and
// the kernel shares the processors out. GOMAXPROCS in the environment wins.
func spareThreads() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + threadsToSpare)
	}
}

// parseBytes reads a number of bytes with an optional unit: KiB, MiB, GiB.
func parseBytes(text string) (int64, error) {
	number, shift := text, 0
	for unit, bits := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30} {
		if before, ok := strings.CutSuffix(text, unit); ok {
			number, shift = before, bits
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n <= 0 || n > 1<<(62-shift) {
		return 0, fmt.Errorf("%q: want a number of bytes such as 512MiB or 2GiB", text)
	}
	return n << shift, nil
}
