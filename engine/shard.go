// Package engine is one shard of the store: what was applied from the log, in memory and
// in segments, and every question about it.
//
// One flow in: Apply appends an entry's batches to the memtable, where queries see them
// at once. The sealing rule, a pure function of what was applied, freezes the memtable;
// a goroutine writes it to a segment and names the segment in the manifest; Flushed then
// says how much of the log is no longer needed. A second goroutine merges segments.
// One flow out: a question takes a view (memtable, frozen memtables, segments; counted,
// so that a file lives as long as somebody reads it), finds rows by scan, newest first,
// and gives traces with their rows merged over all sources and exact copies dropped.
//
// Truth is the set of DISTINCT spans of the view: span.Compare says when two are one.
//
// Tables of segments are read by the first question that needs them, and by ReadTables, which finds what is
// damaged before one does; see segment.File.
//
// A shard starts two goroutines in Open, the flusher and the merger, and ends them in
// Close; a few more open its segments, and have ended when Open returns. It knows no clock: time comes in entries and arguments.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// ErrClosed is what a closed shard answers.
var ErrClosed = errors.New("shard is closed")

// Options of one shard. The zero value of a field is its default.
type Options struct {
	FS     vfs.FS // required
	Dir    string // the shard's own folder, made if missing; required
	Shard  uint32 // its number; a folder of another shard is refused
	Tenant string
	Log    *slog.Logger

	MemtableBytesMax int64 // of requests, before a seal
	// FirstMemtableBytesMax is the same for the first memtable of a window; default and at most
	// MemtableBytesMax. Shards that fill at one pace freeze in turns where theirs differ.
	FirstMemtableBytesMax int64
	MemtableAge           time.Duration // entry time before a seal
	Retention             time.Duration // by receive time; 0 keeps everything
	// SyncLog, where set, makes everything durable that the log holds. It is called, without
	// locks, before the manifest says that segments go so far: an owner whose log answers
	// before it syncs must set it.
	SyncLog    func() error
	Compaction compaction.Policy // its Retention is not used
	// ManualCompaction leaves merging to Compact and Settle: for tests that choose the moment.
	ManualCompaction bool
	// Pages keeps what reads open of segments; the shards of one node share it. nil keeps
	// nothing.
	Pages *segment.Pages
	// SplitCellsBytesMax bounds what a set of segments keeps of what its split traces count, half for
	// the service graph and half for rates; default 16 MiB. What does not fit is counted for each
	// question. A question under way may hold those of a set before.
	SplitCellsBytesMax int
	// Gate is shared by the shards of one node.
	Gate *Gate
	// RoomBytes is what this shard adds to what the memtables of all shards of the gate may hold of
	// requests together, frozen ones too, before Apply waits for a flush. Where none adds any there
	// is no such bound.
	RoomBytes int64

	// RoomFor, where set, refuses a merge for which the disk has no room: its inputs take so many bytes, which it writes
	// before they go.
	RoomFor func(bytes int64) error

	// Background, where set, is called first by each goroutine that flushes or merges, which the
	// process may want to give way to others.
	Background func()
	// Pause, where set, is called by a flush and a merge after each StretchRows rows, and may let
	// them wait for a while; by a flush not while a write waits for one.
	Pause func()
	// CheckPart refuses a part in Apply, which quarantines it: fault injection.
	CheckPart func(*span.Batch) error
}

// Shard is one shard. All methods may be called from any number of goroutines; Apply
// calls must come in the order of Seq.
type Shard struct {
	o   Options
	dir string
	log *slog.Logger

	// applying is held by whoever changes the memtable: Apply and freeze.
	applying sync.Mutex
	// saving is held while unsaved is worked off: the flusher and each Flush do so.
	saving sync.Mutex
	seen   *seen
	// manifesting is held while the manifest is edited; man is what is durable.
	manifesting sync.Mutex
	man         *manifest
	leftOver    []string // files to remove after the next edit
	// merging holds one, who merges or drops segments. Who waits for a merge of others does so
	// no longer than its context: a mutex would not let it go.
	merging chan struct{}
	clock   believedClock // guarded by merging

	// mu guards everything below; it is never held across disk work.
	mu          sync.Mutex
	mem         *memtable
	frozen      []*memtable // oldest first
	live        *version
	applied     uint64
	latest      int64 // receive time of the entry applied last
	oldest      int64 // receive time of the memtable's first entry
	memRows     int
	memBytes    int64
	flushed     uint64
	flushErr    error         // of the last try, nil after a success
	flushTries  int           // tries to flush; the last may be under way
	flushEnded  int           // of them those that ended: flushErr is of that one
	mergeErr    error         // the same for merges
	changed     chan struct{} // closed and replaced when anything above changes
	closed      bool
	quarantined int
	unsaved     []setAside // files of the quarantine that could not be written yet
	stats       Stats
	taken       roomTaken // what the gate was told
	// sealedWindow is the newest window of what was sealed, noWindow for nothing.
	sealedWindow int64

	flushWake chan struct{}
	mergeWake chan struct{}
	running   context.Context // ends with Close
	stop      context.CancelFunc
	merges    context.Context // ends with StopMerging, or with running
	stopMerge context.CancelFunc
	done      sync.WaitGroup
}

func (o *Options) setDefaults() {
	if o.MemtableBytesMax <= 0 {
		o.MemtableBytesMax = memtableBytesMax
	}
	if o.FirstMemtableBytesMax <= 0 || o.FirstMemtableBytesMax > o.MemtableBytesMax {
		o.FirstMemtableBytesMax = o.MemtableBytesMax
	}
	if o.MemtableAge <= 0 {
		o.MemtableAge = memtableAge
	}
	if o.Compaction == (compaction.Policy{}) {
		o.Compaction = compaction.DefaultPolicy()
		if o.Retention > 0 { // a stretch of windows goes when its last one may: at most an eighth late
			o.Compaction.OldWindowsMax = min(o.Compaction.OldWindowsMax, int(o.Retention/8/time.Duration(segment.WindowNanos)))
		}
	}
	if o.SplitCellsBytesMax <= 0 {
		o.SplitCellsBytesMax = splitCellsBytesMax
	}
	if o.Gate == nil {
		o.Gate = NewGate()
	}
	if o.Background == nil {
		o.Background = func() {}
	}
	if o.Pause == nil {
		o.Pause = func() {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Open opens the shard of a folder, or makes it. Its state is that of Flushed: the
// caller replays the log from there with Apply.
func Open(o Options) (*Shard, error) {
	o.setDefaults()
	s := &Shard{
		o: o, dir: o.Dir, log: o.Log.With("shard", o.Shard), seen: newSeen(), mem: newMemtable(),
		merging: make(chan struct{}, 1), changed: make(chan struct{}), flushWake: make(chan struct{}, 1), mergeWake: make(chan struct{}, 1),
	}
	if err := s.recover(); err != nil {
		return nil, fmt.Errorf("shard %d: %w", o.Shard, err)
	}
	s.mu.Lock()
	s.takeRoom()
	s.mu.Unlock()
	s.running, s.stop = context.WithCancel(context.Background())
	s.merges, s.stopMerge = context.WithCancel(s.running)
	s.done.Go(func() { s.flushLoop(s.running) })
	if !o.ManualCompaction {
		s.done.Go(func() { s.mergeLoop(s.merges) })
	}
	return s, nil
}

// StopMerging ends the merge under way, which leaves nothing behind, and lets no other
// begin: who asks for one has ErrClosed. Who is about to close shards calls it first: what waits for a merge to end, as
// retention does, is then through at once.
func (s *Shard) StopMerging() { s.stopMerge() }

// Close ends the goroutines. What was applied and not flushed is for the log to bring
// back. Queries in flight go on.
func (s *Shard) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.takeRoom()
	s.o.Gate.room.look() // who waits on this shard
	s.signal()
	s.mu.Unlock()
	s.stop()
	s.done.Wait()
	// Who is inside a write goes out first: after Close the folder may be opened anew.
	s.applying.Lock()
	s.merging <- struct{}{}
	s.manifesting.Lock()
	s.man = nil
	s.manifesting.Unlock()
	<-s.merging
	s.applying.Unlock()
	s.mu.Lock()
	live := s.live
	s.live = nil
	s.mu.Unlock()
	s.release(live)
	return nil
}

// signal wakes everybody who waits for a change; s.mu is held.
func (s *Shard) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Applied is the Seq of the last entry applied; after Open it is Flushed.
func (s *Shard) Applied() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applied
}

// Flushed is the Seq up to which everything stands in segments: the log may drop it.
func (s *Shard) Flushed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushed
}

// Seen reports whether a part of this hash was applied lately, as of now (unix
// nanoseconds): the proposer need not send a copy to the log. Apply checks again, at the
// entry's own time. Now is the proposer's clock and not the last entry's time, which would
// stand still in an idle shard until retention had dropped what the copy is a copy of.
func (s *Shard) Seen(hash codec.Hash, now int64) bool { return s.seen.has(hash, now) }

// OldestReceived is the receive time of the memtable's first entry; ok is false where it
// is empty. An owner proposes a tick when that is MemtableAge ago.
func (s *Shard) OldestReceived() (received int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.oldest, s.memRows > 0
}

// Behind tells whether Apply would wait for a flush now, because the gate's room is taken, or
// because entries received then, with so many parts of so many bytes, seal the memtable: an
// owner who has other things to do may let another wait.
func (s *Shard) Behind(received int64, parts int, bytes int64) bool {
	_, full := s.o.Gate.room.full()
	s.mu.Lock()
	defer s.mu.Unlock()
	if full && parts > 0 && !s.closed {
		return true
	}
	if len(s.frozen) < frozenMax || s.flushErr != nil || s.closed {
		return false
	}
	first := received
	if s.memRows > 0 {
		if first = s.oldest; s.sealedBy(received, first) {
			return true
		}
	}
	return s.memBytes+bytes+int64(parts)*partOverheadBytes >= s.sealBytes(segment.WindowOf(first))
}

// Err is why the last flush failed, nil when it did not. Nothing is lost meanwhile, but
// an owner should stop proposing: memory and log only grow. Flush and ticks try again.
func (s *Shard) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushErr
}

// Ready is nil when the shard serves well, else why not.
func (s *Shard) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.flushErr != nil:
		return fmt.Errorf("shard %d: flush: %w", s.o.Shard, s.flushErr)
	case s.mergeErr != nil:
		return fmt.Errorf("shard %d: merge: %w", s.o.Shard, s.mergeErr)
	case s.quarantined > 0:
		return fmt.Errorf("shard %d: %d parts in quarantine", s.o.Shard, s.quarantined)
	}
	if err := s.damaged(); err != nil {
		return fmt.Errorf("shard %d: %w", s.o.Shard, err)
	}
	return nil
}
