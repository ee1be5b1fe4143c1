package compaction_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// TestAMergeKeepsTheHashesThatTheWindowCanHold and no more, or the list would grow for ever:
// the last 16,384, none of them more than ten minutes before the newest.
func TestAMergeKeepsTheHashesThatTheWindowCanHold(t *testing.T) {
	begin := time.Unix(1_800_000_000, 0).UnixNano()
	received := func(from, count int, every time.Duration) (hashes []segment.Received) {
		for i := from; i < from+count; i++ {
			id := binary.LittleEndian.AppendUint64(nil, uint64(i))
			hashes = append(hashes, segment.Received{Hash: codec.HashBytes(id), At: begin + int64(i)*int64(every)})
		}
		return hashes
	}
	for _, c := range []struct {
		every time.Duration
		kept  int
	}{{time.Millisecond, compaction.HashesMax}, {time.Second, 601}} {
		fs := vfs.NewCrash(1)
		b := pool(rand.New(rand.NewPCG(1, 1)), 2, 2)
		var inputs []*segment.Segment
		for i, name := range []string{"one", "other"} {
			hashes := received(i*10_000, 10_000, c.every)
			w, err := segment.NewWriter(fs, name, segment.Meta{
				Windows: []int64{1}, FirstSeq: uint64(i + 1), LastSeq: uint64(i + 1),
				MinReceived: hashes[0].At, MaxReceived: hashes[len(hashes)-1].At, Hashes: hashes,
			})
			if err != nil {
				t.Fatal(err)
			}
			row := span.Row{Batch: b, Pos: i}
			if err := w.Add(row.TraceID(), []span.Row{row}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Finish(); err != nil {
				t.Fatal(err)
			}
			inputs = append(inputs, openSegment(t, fs, name))
		}
		if _, err := compaction.Merge(context.Background(), fs, inputs, "out", nil); err != nil {
			t.Fatal(err)
		}
		got, err := openSegment(t, fs, "out").Hashes()
		if err != nil || len(got) != c.kept {
			t.Fatalf("every %v: %d hashes, %v; want %d", c.every, len(got), err, c.kept)
		}
		want := received(20_000-c.kept, c.kept, c.every)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("every %v: hash %d is not the one of the last parts", c.every, i)
			}
		}
	}
}
