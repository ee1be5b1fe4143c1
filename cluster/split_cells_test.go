package cluster_test

import (
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// readsCounted counts reads of segments.
type readsCounted struct {
	vfs.FS
	reads *atomic.Int64
}

type readCounted struct {
	vfs.File
	reads *atomic.Int64
}

func (c readsCounted) Open(name string) (vfs.File, error) {
	f, err := c.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".seg") {
		return f, err
	}
	return readCounted{f, c.reads}, nil
}

func (c readCounted) ReadAt(b []byte, offset int64) (int, error) {
	c.reads.Add(1)
	return c.File.ReadAt(b, offset)
}

// keepsSplit reports whether a store of so many shards keeps what split traces count, 400 that
// stand in two segments each, after some questions. Who does not reads rows for the next question,
// besides the cells of each segment.
func keepsSplit(t *testing.T, shards, bound int) bool {
	t.Helper()
	disk := readsCounted{vfs.NewCrash(1), new(atomic.Int64)}
	o := small(disk)
	o.Shards, o.MemtableBytesMax, o.PagesBytesMax, o.SplitCellsBytesMax = shards, 8<<20, 1, bound
	s := open(t, o)
	for at := range 2 {
		for i := range 400 {
			write(t, s, enginetest.NumberedAt(i, at*400+i))
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	before := int64(0)
	for range shards + 1 { // each question lets one shard have its turn at least, but for the last
		before = disk.reads.Load()
		if _, err := s.EdgeRates(t.Context(), span.EdgeQuery{StartMax: math.MaxUint64}); err != nil {
			t.Fatal(err)
		}
	}
	reads := disk.reads.Load() - before
	shut(t, s)
	return reads <= int64(2*shards)
}

// TestShardsDivideWhatIsKeptOfSplitTraces: the bound of four is what one has.
func TestShardsDivideWhatIsKeptOfSplitTraces(t *testing.T) {
	least := 1 << 10
	for ; !keepsSplit(t, 1, least); least *= 2 {
		if least > 1<<20 {
			t.Fatal("one shard keeps nothing")
		}
	}
	if keepsSplit(t, 4, least/2) {
		t.Errorf("four shards keep what one does not with their bound of %d", least/2)
	}
	if !keepsSplit(t, 4, 2*least) {
		t.Errorf("four shards keep nothing with a bound of %d, and one does with half", 2*least)
	}
}
