package cluster

import (
	"context"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/wal"
)

// Group is what a shard stands behind: it brings parts into one order, makes them
// durable and applies them. One node uses Direct; a cluster will use raft over the same
// log. All methods may be called from any number of goroutines.
type Group interface {
	// Propose returns nil once every part is durable and visible to reads; parts that
	// were applied before are acknowledged at once, a copy of a part still in flight
	// shares that part's outcome. The parts belong to the group from the call on. When
	// ctx ends first the outcome is unknown to the caller: sending again is harmless.
	Propose(ctx context.Context, parts []engine.Part) error
	// ReadBarrier returns once everything acknowledged before the call is visible to
	// reads on this node.
	ReadBarrier(ctx context.Context) error
	// Snapshot makes the state durable outside the log and says up to where it goes.
	Snapshot(ctx context.Context) (Snapshot, error)
	// Members lists the nodes that vote on the shard's order.
	Members() []Member
}

// Snapshot is a position up to which the state no longer needs the log. Term is the
// term of the entry at Seq.
type Snapshot struct{ Seq, Term uint64 }

// Member is one node of a group.
type Member struct{ ID, Address string }

// Appender is the part of a log stream that Direct needs; *wal.Stream is one.
type Appender interface {
	// Last is the Seq of the last entry, 0 when there is none.
	Last() uint64
	// Append returns once the entries are durable. They may be reused afterwards.
	Append(entries ...wal.Entry) error
	// SetCommit notes that all entries up to seq are decided.
	SetCommit(seq uint64)
}

// Applier is the part of a shard that Direct needs; *engine.Shard is one.
type Applier interface {
	// Apply brings the entry at seq into the state; called in the order of Seq by one
	// goroutine. It may block while a flush holds it back; it fails only when closed.
	Apply(seq uint64, e *engine.Entry) (engine.Applied, error)
	// Seen tells whether a part of that hash was applied within the window that ends now
	// (unix nanoseconds).
	Seen(hash codec.Hash, now int64) bool
	// Flush makes everything applied so far durable outside the log.
	Flush(ctx context.Context) error
	// Flushed is the Seq up to which the log is no longer needed.
	Flushed() uint64
}
