package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// anonymousBytes is the process's RssAnon, 0 where the system does not tell.
func anonymousBytes() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "RssAnon:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// TestRealTracesLoadInBoundedMemory loads the real data into four shards with the default
// limits, as fast as it goes, merges on. It logs what the load costs.
func TestRealTracesLoadInBoundedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: loads all real data")
	}
	const shards = 4
	disk, err := vfs.NewOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	gate := engine.NewGate()
	var open [shards]*engine.Shard
	for i := range open {
		s, err := engine.Open(engine.Options{FS: disk, Dir: fmt.Sprintf("shard-%d", i), Shard: uint32(i), Gate: gate})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		open[i] = s
	}
	most, spans, seq, began := int64(0), 0, uint64(0), time.Now()
	for _, file := range []string{hotrod, nezha, "nezha-trainticket-2023-01-30-logs.otlp.zst", "zipkin-fixtures.otlp.zst"} {
		eachRequest(t, file, func(request []byte) {
			parts, _, err := otlp.Cut(request, shards, func(id span.TraceID) int { return int(codec.Hash64(id[:], 0) % shards) })
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range parts {
				seq++
				e := &engine.Entry{Received: 1_767_225_600_000_000_000 + int64(seq), Parts: []engine.Part{engine.NewPart(p.Batch, p.Bytes)}}
				if _, err := open[p.Shard].Apply(seq, e); err != nil {
					t.Fatal(err)
				}
				spans += p.Spans
			}
			if seq%64 == 0 {
				most = max(most, anonymousBytes())
			}
		})
	}
	loaded := time.Since(began)
	var size, rows int64
	segments := 0
	for _, s := range open {
		if err := s.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		most = max(most, anonymousBytes())
		st := s.Stats()
		size, rows, segments = size+st.SegmentBytes, rows+st.SegmentRows, segments+st.Segments
	}
	for _, s := range open {
		if err := s.Compact(context.Background()); err != nil {
			t.Fatal(err)
		}
		most = max(most, anonymousBytes())
	}
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	t.Logf("%d spans in %v, flushed %v: %d segments, %d rows, %.1f B/span; at most %d MiB anonymous; %d MiB allocated in all",
		spans, loaded, time.Since(began), segments, rows, float64(size)/float64(spans), most>>20, heap.TotalAlloc>>20)
	if most > 600<<20 {
		t.Fatalf("%d MiB of anonymous memory, the promise is 600", most>>20)
	}
}
