package engine_test

import (
	"testing"
	"time"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/internal/vfs"
)

// Behind says before an Apply whether it will wait for a flush: an owner that trusts it
// is not held up, and is not sent away where there is room.
func TestBehindTellsWhetherApplyWaits(t *testing.T) {
	const (
		age   = time.Minute
		bytes = 20 << 10 // a few parts, with what is counted for each
	)
	release := make(chan struct{})
	s, err := engine.Open(engine.Options{
		FS: vfs.NewCrash(1), Dir: "shard", MemtableBytesMax: bytes, MemtableAge: age,
		SyncLog: func() error { <-release; return nil }, // what a flush waits for
	})
	if err != nil {
		t.Fatal(err)
	}
	seq, size := uint64(0), int64(len(enginetest.Numbered(10)))
	applied := make(chan struct{})
	apply := func() {
		seq++
		p := enginetest.Numbered(int(9 + seq)) // of two digits: all of one size
		go func() {
			if _, err := s.Apply(seq, &engine.Entry{Received: 1, Parts: []engine.Part{partOf(p)}}); err != nil {
				t.Error(err)
			}
			applied <- struct{}{}
		}()
	}
	for !s.Behind(1, 1, size) && seq < 90 {
		apply()
		select {
		case <-applied:
		case <-time.After(10 * time.Second):
			t.Fatalf("Apply of part %d waits", seq)
		}
	}
	// One memtable is frozen, and the next has room for all but the last part.
	if seq < 6 || seq > 2*bytes/uint64(size) || s.Behind(1, 0, 0) || !s.Behind(1+int64(age), 1, 1) {
		t.Errorf("%d parts applied; a part of no bytes waits: %v, one of later: %v", seq, s.Behind(1, 0, 0), s.Behind(1+int64(age), 1, 1))
	}
	apply()
	select {
	case <-applied:
		t.Fatal("Apply did not wait for the flush")
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	<-applied
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if s.Behind(1, 1, bytes) {
		t.Error("a closed shard is behind: its Apply fails at once")
	}
}
