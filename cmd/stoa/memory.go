package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryLimit is what the Go runtime is told to use. Where nobody said how much, it grows with what
// the tables of open segments take, which no collection frees: else a node with much data would do
// little but collect garbage.
type memoryLimit struct {
	bytes int64
	most  int64 // that it may grow to; 0: it stays as it is
}

// limitMemory sets the limit: --memory wins over GOMEMLIMIT in the environment, which the runtime has
// read, and that over the default.
func limitMemory(flag string) (memoryLimit, error) {
	limit := memoryLimit{bytes: memoryBytesDefault}
	switch {
	case flag != "":
		var err error
		if limit.bytes, err = parseBytes(flag); err != nil {
			return limit, usagef("--memory %w", err)
		}
		if limit.bytes < memoryBytesMin {
			return limit, usagef("--memory %s: less than %d MiB, and the process would do nothing but collect garbage", flag, memoryBytesMin>>20)
		}
	case os.Getenv("GOMEMLIMIT") != "":
		return memoryLimit{bytes: debug.SetMemoryLimit(-1)}, nil
	default:
		provider := memlimit.ApplyRatio(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem), memoryShare)
		// Where neither can tell, the default stands.
		if has, err := provider(); err == nil {
			limit.most = int64(min(has, math.MaxInt64))
			limit.bytes = min(limit.bytes, limit.most)
		}
	}
	debug.SetMemoryLimit(limit.bytes)
	return limit, nil
}

// with gives the limit where tables take so many bytes.
func (l memoryLimit) with(tables int64) int64 {
	return max(l.bytes, min(l.bytes+tables, l.most))
}

// hugePages gives for how many bytes of the heap huge pages are asked.
func (l memoryLimit) hugePages() int64 {
	return min(l.bytes, hugePagesBytesMax/hugePagesTimes) * hugePagesTimes
}

// words tell the limit to who starts the server.
func (l memoryLimit) words() string {
	text := strconv.FormatInt(l.bytes>>20, 10) + " MiB"
	if l.most > l.bytes {
		text += " and what the tables of segments take"
	}
	return text
}

// follow moves the limit with what tables says, until ctx ends.
func (l memoryLimit) follow(ctx context.Context, tables func() int64) {
	if l.most <= l.bytes {
		return
	}
	tick := time.NewTicker(memoryInterval)
	defer tick.Stop()
	for set := l.bytes; ; {
		if next := l.with(tables()); next != set {
			debug.SetMemoryLimit(next)
			set = next
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// tableBytes is what the tables of all open segments take.
func (n *node) tableBytes() (bytes int64) {
	for _, store := range n.stores() {
		bytes += store.TableBytes()
	}
	return bytes
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
