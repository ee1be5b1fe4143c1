package cluster_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

func memtableRows(s *cluster.Store) (rows int) {
	for _, shard := range s.Stats().Shards {
		rows += shard.MemtableRows
	}
	return rows
}

// TestIdleShardIsFlushedAtItsAge: nobody writes any more, the clock goes on.
func TestIdleShardIsFlushedAtItsAge(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	beats := make(chan time.Time)
	o := small(vfs.NewCrash(1))
	o.Heartbeat, o.MemtableAge, o.MemtableBytesMax = beats, 30*time.Second, 1<<20
	var clock atomic.Int64 // unix nanoseconds
	clock.Store(now.UnixNano())
	o.Now = func() time.Time { return time.Unix(0, clock.Load()) }
	s := open(t, o)
	write(t, s, enginetest.Payload(enginetest.NewGenerator(1, 20).Spans(60)))
	rows := memtableRows(s)
	beats <- now.Add(29 * time.Second)
	beats <- now.Add(29 * time.Second) // the beat before is done now
	if got := memtableRows(s); got != rows || rows == 0 {
		t.Fatalf("%d of %d rows in memory before their age", got, rows)
	}
	clock.Store(now.Add(30 * time.Second).UnixNano())
	waitUntil(t, "the memtables are flushed", func() bool {
		beats <- o.Now()
		return memtableRows(s) == 0
	})
}

// TestLogStaysWithinItsBudget also where one shard has not been written to for long:
// all but the first request go to one trace, so to one shard.
func TestLogStaysWithinItsBudget(t *testing.T) {
	const budget = 512 << 10
	beats := make(chan time.Time)
	o := small(vfs.NewCrash(1))
	o.Heartbeat, o.LogBytesMax, o.MemtableBytesMax = beats, budget, 1<<30
	s := open(t, o)
	first := enginetest.NewGenerator(1, 30).Spans(90)
	write(t, s, enginetest.Payload(first))
	one := enginetest.NewGenerator(2, 1)
	for s.Stats().Log.Bytes <= 2*budget { // no beat, so nothing bounds it
		write(t, s, enginetest.Payload(one.Spans(12)))
	}
	if len(s.Stats().Shards) < 2 {
		t.Fatal("one shard only: none is idle")
	}
	waitUntil(t, "the log is within its budget", func() bool {
		beats <- time.Now()
		return s.Stats().Log.Bytes <= budget
	})
	spans := 0
	if err := s.Spans(context.Background(), span.AllTime(), func(span.Row) error { spans++; return nil }); err != nil || spans == 0 {
		t.Errorf("%d spans, %v", spans, err)
	}
}

func TestImportLedgerOutlivesTheProcess(t *testing.T) {
	disk := vfs.NewCrash(1)
	file := codec.HashBytes([]byte("a file"))
	s := open(t, small(disk))
	if n := s.Imports().Records(file); n != 0 {
		t.Errorf("an empty ledger knows %d records", n)
	}
	for records := range uint64(5) {
		if err := s.Imports().SetRecords(file, records); err != nil {
			t.Fatal(err)
		}
	}
	left := disk.Crash() // what was said to be noted survives a power cut
	if n := open(t, small(left)).Imports().Records(file); n != 4 {
		t.Errorf("the ledger remembers %d records, want 4", n)
	}
}

// TestACopyOfWhatRetentionDroppedIsStoredAgain also where nothing else was written since.
func TestACopyOfWhatRetentionDroppedIsStoredAgain(t *testing.T) {
	beats := make(chan time.Time)
	o := small(vfs.NewCrash(1))
	o.Heartbeat, o.Retention = beats, time.Hour
	var clock atomic.Int64 // unix nanoseconds
	clock.Store(time.Unix(1_800_000_000, 0).UnixNano())
	o.Now = func() time.Time { return time.Unix(0, clock.Load()) }
	s := open(t, o)
	request := enginetest.Payload(enginetest.NewGenerator(1, 5).Spans(19))
	count := func() (spans int) {
		err := s.Spans(context.Background(), span.AllTime(), func(span.Row) error { spans++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return spans
	}
	write(t, s, request)
	before := count()
	if err := s.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	clock.Add(int64(3 * time.Hour))
	waitUntil(t, "retention has dropped the spans", func() bool {
		beats <- o.Now()
		return count() == 0
	})
	write(t, s, request)
	if after := count(); after != before || before == 0 {
		t.Fatalf("%d spans of an acknowledged request, %d before", after, before)
	}
}

// TestADiskBudgetDropsTheOldestWindowOfAllShards and leaves the newest, however small it is.
func TestADiskBudgetDropsTheOldestWindowOfAllShards(t *testing.T) {
	beats := make(chan time.Time)
	o := small(vfs.NewCrash(1))
	o.Heartbeat, o.DiskBudget = beats, 1
	var clock atomic.Int64 // unix nanoseconds
	clock.Store(time.Unix(1_800_000_000, 0).UnixNano())
	o.Now = func() time.Time { return time.Unix(0, clock.Load()) }
	s := open(t, o)
	generator := enginetest.NewGenerator(1, 5)
	count := func() (spans int) {
		err := s.Spans(context.Background(), span.AllTime(), func(span.Row) error { spans++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return spans
	}
	flush := func() {
		if err := s.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s, enginetest.Payload(generator.Spans(40)))
	old := count()
	flush()
	clock.Add(int64(time.Hour))
	write(t, s, enginetest.Payload(generator.Spans(40)))
	fresh := count() - old
	flush()
	waitUntil(t, "the old window is dropped", func() bool {
		beats <- o.Now()
		return count() <= fresh
	})
	for range 3 {
		beats <- o.Now()
	}
	if n := count(); n != fresh || n == 0 {
		t.Errorf("%d spans are left, %d of the newest window expected", n, fresh)
	}
}
