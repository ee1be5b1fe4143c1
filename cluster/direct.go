package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stoadb/stoa/cluster/raftstore"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/wal"
)

// Direct is the group of a node alone: it appends to the log and applies.
//
// One goroutine takes what has queued, makes entries of it, appends them with one call,
// applies them in order and tells those who wait. There is no timer: while an append
// is in flight the next parts queue, so the entries are as large as the load is high,
// and a lone request never waits. The simpler way, an append for each request, would
// write a log record and wait for a sync for every 17 spans of a small service.
//
// Invariants: a hash stands in inFlight from the moment its part is accepted until its
// outcome is known; a part leaves inFlight only after Apply, so a copy finds the
// original in one of inFlight and Seen. After a failed append nothing is accepted any
// more: whether those bytes are on the disk only the next start can tell.
type Direct struct {
	log   Appender
	shard Applier
	now   func() time.Time
	next  uint64 // Seq of the next entry; used by run only

	mu          sync.Mutex
	queue       []*proposal
	queuedBytes int
	inFlight    map[codec.Hash]*proposal
	refusal     error // set once: nothing is accepted any more
	stats       GroupStats

	wake    chan struct{} // holds one token while the queue is not empty, or refusal is set
	stopped chan struct{} // closed when run has returned
}

// GroupStats counts what went through a group.
type GroupStats struct {
	Parts, Copies, Entries, Appends, Spans uint64
	QueuedBytes                            int
}

// proposal is one part on its way, or a tick (no part). err may be read once done is
// closed.
type proposal struct {
	part engine.Part
	tick bool
	done chan struct{}
	err  error
}

var errClosed = fmt.Errorf("%w: shutting down", span.ErrUnavailable)

// NewDirect starts the group of a stream and a shard that has applied all of it. Close
// stops it.
func NewDirect(log Appender, shard Applier, now func() time.Time) *Direct {
	d := &Direct{
		log: log, shard: shard, now: now, next: log.Last() + 1,
		inFlight: make(map[codec.Hash]*proposal),
		wake:     make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	go d.run()
	return d
}

// Propose implements Group.
func (d *Direct) Propose(ctx context.Context, parts []engine.Part) error {
	waits, err := d.accept(parts)
	if err != nil {
		return err
	}
	return wait(ctx, waits)
}

// Tick brings an empty entry into the log, without waiting for it: the entry's time lets
// the seal rule see that an idle memtable has grown old.
func (d *Direct) Tick() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refusal != nil {
		return d.refusal
	}
	if len(d.queue) == 0 { // else what waits tells the time as well
		d.push(&proposal{tick: true, done: make(chan struct{})})
	}
	return nil
}

// ReadBarrier implements Group: an entry is applied before it is acknowledged.
func (d *Direct) ReadBarrier(ctx context.Context) error { return ctx.Err() }

// Snapshot implements Group.
func (d *Direct) Snapshot(ctx context.Context) (Snapshot, error) {
	if err := d.shard.Flush(ctx); err != nil {
		return Snapshot{}, err
	}
	return Snapshot{Seq: d.shard.Flushed(), Term: raftstore.FirstTerm}, nil
}

// Members implements Group.
func (d *Direct) Members() []Member { return []Member{{ID: nodeID, Address: nodeAddress}} }

// Stats counts since the start.
func (d *Direct) Stats() GroupStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.QueuedBytes = d.queuedBytes
	return s
}

// Close refuses new parts, waits until the accepted ones are decided and stops the
// goroutine.
func (d *Direct) Close() {
	d.mu.Lock()
	if d.refusal == nil {
		d.refusal = errClosed
	}
	d.mu.Unlock()
	d.signal()
	<-d.stopped
}

// accept queues the parts that are neither applied nor in flight and returns what the
// caller has to wait for.
func (d *Direct) accept(parts []engine.Part) ([]*proposal, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refusal != nil {
		return nil, d.refusal
	}
	if d.queuedBytes >= queueBytesMax {
		return nil, fmt.Errorf("%w: %d bytes wait for the log already", span.ErrUnavailable, d.queuedBytes)
	}
	now := d.now().UnixNano()
	waits := make([]*proposal, 0, len(parts))
	for _, part := range parts {
		d.stats.Parts++
		if original, ok := d.inFlight[part.Hash]; ok {
			d.stats.Copies++
			waits = append(waits, original)
			continue
		}
		if d.shard.Seen(part.Hash, now) {
			d.stats.Copies++
			continue
		}
		p := &proposal{part: part, done: make(chan struct{})}
		d.inFlight[part.Hash] = p
		d.push(p)
		waits = append(waits, p)
	}
	return waits, nil
}

// push queues p; the caller holds mu.
func (d *Direct) push(p *proposal) {
	d.queue = append(d.queue, p)
	d.queuedBytes += len(p.part.Payload)
	d.signal()
}

func (d *Direct) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func wait(ctx context.Context, proposals []*proposal) error {
	var errs []error
	for _, p := range proposals {
		select {
		case <-p.done:
			if p.err != nil && !errors.Is(errors.Join(errs...), p.err) {
				errs = append(errs, p.err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.Join(errs...)
}

// run is the group's goroutine.
func (d *Direct) run() {
	defer close(d.stopped)
	for {
		taken, open := d.take()
		if len(taken) == 0 {
			if !open {
				return
			}
			<-d.wake
			continue
		}
		err := d.commit(taken)
		d.settle(taken, err)
	}
}

// take removes what one append shall hold from the queue; open is false once nothing
// more can come.
func (d *Direct) take() (taken []*proposal, open bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	bytes, count := 0, 0
	for count < len(d.queue) && (count == 0 || bytes+len(d.queue[count].part.Payload) <= appendBytesMax) {
		bytes += len(d.queue[count].part.Payload)
		count++
	}
	taken = append(taken, d.queue[:count]...)
	clear(d.queue[:count])
	d.queue = d.queue[count:]
	if len(d.queue) == 0 {
		d.queue = nil
	}
	d.queuedBytes -= bytes
	return taken, d.refusal == nil
}

// commit makes entries of what was taken, appends them and applies them.
func (d *Direct) commit(taken []*proposal) error {
	d.mu.Lock()
	broken := d.refusal
	d.mu.Unlock()
	if broken != nil && !errors.Is(broken, errClosed) {
		return broken
	}
	received := d.now().UnixNano()
	entries := coalesce(taken, received)
	records := make([]wal.Entry, len(entries))
	for i := range entries {
		records[i] = raftstore.CommandEntry(d.next+uint64(i), entries[i].AppendBinary(nil), received)
	}
	if err := d.log.Append(records...); err != nil {
		return d.breakOff(fmt.Errorf("the log failed: %w", err))
	}
	first := d.next
	d.next += uint64(len(entries))
	d.log.SetCommit(d.next - 1)
	var did engine.Applied
	for i := range entries {
		records[i].Payload = nil // the log has it; Apply may block for long
		applied, err := d.shard.Apply(first+uint64(i), &entries[i])
		if err != nil {
			return d.breakOff(fmt.Errorf("apply Seq %d: %w", first+uint64(i), err))
		}
		did.Copies += applied.Copies
		did.Spans += applied.Spans
	}
	d.mu.Lock()
	d.stats.Copies += uint64(did.Copies)
	d.stats.Spans += uint64(did.Spans)
	d.stats.Entries += uint64(len(entries))
	d.stats.Appends++
	d.mu.Unlock()
	return nil
}

// breakOff refuses everything from now on: what the log holds and what was applied may
// differ, and only a new start brings them together.
func (d *Direct) breakOff(err error) error {
	err = fmt.Errorf("%w: %w", span.ErrUnavailable, err)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusal = err
	return err
}

// settle tells everyone who waits for the taken parts.
func (d *Direct) settle(taken []*proposal, err error) {
	d.mu.Lock()
	for _, p := range taken {
		if !p.tick {
			delete(d.inFlight, p.part.Hash)
		}
	}
	d.mu.Unlock()
	for _, p := range taken {
		p.part = engine.Part{} // whoever still holds p must not hold the batch
		p.err = err
		close(p.done)
	}
}

// coalesce makes entries of parts in their order: each entry up to entryBytesMax, or
// one part. Ticks bring no bytes; one that stands alone is an entry without parts.
func coalesce(taken []*proposal, received int64) []engine.Entry {
	var entries []engine.Entry
	bytes := 0
	for _, p := range taken {
		last := len(entries) - 1
		if last < 0 || (bytes > 0 && bytes+len(p.part.Payload) > entryBytesMax) {
			entries = append(entries, engine.Entry{Received: received})
			last, bytes = last+1, 0
		}
		if !p.tick {
			entries[last].Parts = append(entries[last].Parts, p.part)
			bytes += len(p.part.Payload)
		}
	}
	return entries
}
