package cluster

import (
	"context"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/wal"
)

// Groups is what the shards of a node stand behind, a group each: it brings a shard's
// parts into one order, makes them durable and applies them. One node uses Direct; a
// cluster will use raft over the same log. All methods may be called from any number of
// goroutines.
type Groups interface {
	// Propose hands every group its parts, which stand at the shard's number, all before
	// it waits for any, so that they share what it costs to make them durable (raft: an
	// Apply for each group, then their futures). It returns nil once every part is durable
	// and visible to reads; parts that were applied before are acknowledged at once, a copy
	// of a part still in flight shares that part's outcome. One group's failure fails the
	// call, what the others took stays. The parts belong to the groups from the call on; the
	// memory of their forms, once it returned nil, to the caller again.
	// When ctx ends first the outcome is unknown to the caller: sending again is harmless.
	Propose(ctx context.Context, parts [][]engine.Part) error
	// ReadBarrier returns once everything acknowledged before the call is visible to
	// reads on this node.
	ReadBarrier(ctx context.Context, shard int) error
	// Snapshot makes the state durable outside the log and says up to where it goes.
	Snapshot(ctx context.Context, shard int) (Snapshot, error)
	// Members lists the nodes that vote on the shard's order.
	Members(shard int) []Member
}

var _ Groups = (*Direct)(nil)

// Snapshot is a position up to which the state no longer needs the log. Term is the
// term of the entry at Seq.
type Snapshot struct{ Seq, Term uint64 }

// Member is one node of a group.
type Member struct{ ID, Address string }

// Appender is the part of a log stream that Direct needs; StreamLog is one.
type Appender interface {
	// Last is the Seq of the last entry, 0 when there is none.
	Last() uint64
	// Queue brings the entries into the stream's order and copies them. They become
	// durable when somebody waits, together with what was queued to other streams of the
	// same log.
	Queue(entries ...wal.Entry) (Pending, error)
	// SetCommit notes that all entries up to seq are decided.
	SetCommit(seq uint64)
}

// Pending is an append under way; Wait returns once it is durable, or has failed.
type Pending interface{ Wait() error }

// StreamLog is a stream as an Appender.
type StreamLog struct{ *wal.Stream }

// Queue implements Appender.
func (l StreamLog) Queue(entries ...wal.Entry) (Pending, error) { return l.Stream.Queue(entries...) }

// Applier is the part of a shard that Direct needs; *engine.Shard is one.
type Applier interface {
	// Apply brings the entry at seq into the state; called in the order of Seq, by one
	// goroutine at a time. It may block while a flush holds it back; it fails only when
	// closed.
	Apply(seq uint64, e *engine.Entry) (engine.Applied, error)
	// Behind tells whether Apply of entries received then, with so many parts of so many
	// bytes, would block now.
	Behind(received int64, parts int, bytes int64) bool
	// Seen tells whether a part of that hash was applied within the window that ends now
	// (unix nanoseconds).
	Seen(hash codec.Hash, now int64) bool
	// Flush makes everything applied so far durable outside the log.
	Flush(ctx context.Context) error
	// Flushed is the Seq up to which the log is no longer needed.
	Flushed() uint64
}
