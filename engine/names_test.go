package engine_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stoadb/stoa/engine/enginetest"
)

// TestOperationsBeyondACatalogAreAnsweredInFull from the memtable, from segments, and after
// their merge: 10,000 of each of two flushes fit into a catalog, 20,000 do not.
func TestOperationsBeyondACatalogAreAnsweredInFull(t *testing.T) {
	w := newWorld(t, 14, 3)
	w.options.MemtableBytesMax = 1 << 30
	w.mustOpen()
	ctx := context.Background()
	number := 0
	write := func(operations int) {
		t.Helper()
		for range operations / 1000 {
			var request [][]byte
			for range 1000 {
				request = append(request, enginetest.Numbered(number))
				number++
			}
			w.apply(bytes.Join(request, nil))
		}
	}
	check := func(step string) {
		t.Helper()
		services, err := w.shard.Services(ctx)
		if err != nil || len(services) != 1 || services[0] != "numbered" {
			t.Fatalf("%s: services %q, %v", step, services, err)
		}
		for service, want := range map[string]int{"": number, "numbered": number, "nobody": 0} {
			operations, err := w.shard.Operations(ctx, service)
			if err != nil || len(operations) != want {
				t.Fatalf("%s: %d operations of %q, %v; want %d", step, len(operations), service, err, want)
			}
		}
	}
	flush := func() {
		t.Helper()
		if err := w.shard.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	write(10_000)
	flush()
	write(10_000)
	flush()
	check("two segments")
	if err := w.shard.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	check("merged")
	write(17_000)
	check("merged, and a memtable")
	if err := w.restart(2); err != nil {
		t.Fatal(err)
	}
	check("after a power cut")
	flush()
	check("flushed")
}
