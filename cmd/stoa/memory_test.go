package main

import (
	"context"
	"math"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"
)

// TestTheMemoryLimitGrowsWithTables up to what the machine has, and comes back; a limit that somebody
// gave stays.
func TestTheMemoryLimitGrowsWithTables(t *testing.T) {
	const mib = 1 << 20
	grows, given := memoryLimit{bytes: 480 * mib, most: 700 * mib}, memoryLimit{bytes: 480 * mib}
	for _, c := range []struct {
		limit        memoryLimit
		tables, want int64
	}{
		{grows, 0, 480 * mib}, {grows, 100 * mib, 580 * mib}, {grows, 1000 * mib, 700 * mib},
		{given, 0, 480 * mib}, {given, 100 * mib, 480 * mib},
		{memoryLimit{bytes: 100 * mib, most: 100 * mib}, 50 * mib, 100 * mib},
	} {
		if got := c.limit.with(c.tables); got != c.want {
			t.Errorf("%+v with %d MiB of tables: %d MiB, want %d", c.limit, c.tables/mib, got/mib, c.want/mib)
		}
	}
	if got := grows.words(); got != "480 MiB and what the tables of segments take" {
		t.Error(got)
	}
	for limit, want := range map[int64]int64{64 * mib: 128 * mib, 416 * mib: 832 * mib, 1 << 40: 8 << 30, math.MaxInt64: 8 << 30} {
		if got := (memoryLimit{bytes: limit}).hugePages(); got != want {
			t.Errorf("huge pages for %d MiB where the limit is %d, want %d", got/mib, limit/mib, want/mib)
		}
	}
	if got := given.words(); got != "480 MiB" {
		t.Error(got)
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	ctx, stop := context.WithCancel(t.Context())
	var tables atomic.Int64
	tables.Store(50 * mib)
	asked, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(done)
		grows.follow(ctx, func() int64 {
			select {
			case asked <- struct{}{}:
			default:
			}
			return tables.Load()
		})
	}()
	for _, want := range []int64{530 * mib, 480 * mib} {
		deadline := time.Now().Add(time.Minute)
		for debug.SetMemoryLimit(-1) != want {
			if time.Now().After(deadline) {
				t.Fatalf("the limit is %d MiB, want %d", debug.SetMemoryLimit(-1)/mib, want/mib)
			}
			select {
			case <-asked:
			case <-done:
				t.Fatal("nobody follows any more")
			case <-time.After(time.Minute):
			}
		}
		tables.Store(0)
	}
	stop()
	<-done
	if given.follow(t.Context(), tables.Load); debug.SetMemoryLimit(-1) != 480*mib {
		t.Error("a limit that was given moves")
	}
}

// TestTheFlagOfMemoryWins over the environment, is read in any case, and nonsense is refused.
func TestTheFlagOfMemoryWins(t *testing.T) {
	const mib = 1 << 20
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	debug.SetMemoryLimit(700 * mib) // what the runtime made of the environment
	t.Setenv("GOMEMLIMIT", "700MiB")
	for _, c := range []struct {
		flag      string
		want      int64
		isRefused bool
	}{{"", 700 * mib, false}, {"half", 700 * mib, true}, {"1MiB", 700 * mib, true}, {"512MiB", 512 * mib, false}} {
		limit, err := limitMemory(c.flag)
		if (err != nil) != c.isRefused || err == nil && (limit.bytes != c.want || limit.most != 0) || debug.SetMemoryLimit(-1) != c.want {
			t.Errorf("--memory %q: %+v, the runtime has %d MiB, %v; want %d", c.flag, limit, debug.SetMemoryLimit(-1)/mib, err, c.want/mib)
		}
	}
}
