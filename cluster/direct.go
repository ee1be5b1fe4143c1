package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/stoadb/stoa/cluster/raftstore"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
)

// Direct is the groups of a node alone: it appends to the log and applies.
//
// It has no goroutine that waits for work. A request queues its parts with all shards, and if nobody leads it
// leads a round itself: it takes what has queued, makes entries of it, queues them to the
// log for all shards, waits once, applies them in order and tells those who wait. Then it
// passes the lead to a request whose parts have queued meanwhile, and is answered. There
// is no timer: while a round is under way the next parts queue, so the entries are as
// large as the load is high, and a lone request never waits, nor is anybody woken for it.
// The simpler ways cost more: an append for each request writes a log record for every
// 17 spans of a small service, a goroutine for each shard switches tasks 20 times a
// request (docs/decisions/0010-leaders.md).
//
// Invariants:
//   - A hash stands in inFlight from the moment its part is accepted until its outcome is
//     known; a part leaves inFlight only after Apply, so a copy finds the original in one
//     of inFlight and Seen.
//   - One leads at a time, and a shard that is held takes part in no round: so the order of
//     a shard's Seq is that of its log and that of Apply.
//   - If a shard that is not held has something in its queue, somebody leads. Who leads
//     ends the round, whatever becomes of his own context, and chooses the next; where
//     all who wait have given up, and for ticks, a goroutine of its own leads.
//   - After a failed append nothing is accepted any more: whether those bytes are on the
//     disk only the next start can tell. Nor is it after a panic, whoever's goroutine it was in:
//     what was applied may be half an entry. The panic goes on in who leads; all others are
//     refused, and may send again once the next start has replayed the log.
//
// Apply may wait for a flush. A shard of which that is to be expected is held: a goroutine
// applies what is durable, and the leader goes on with the others. Should a flush begin to
// lag between the question and Apply, the leader itself waits, and all shards with it,
// but not for ever: the flush waits for its turn among the shards' flushes, for disk and
// for Log.Sync, and none of them for a leader, who holds no lock while he applies.
type Direct struct {
	now       func() time.Time
	questions *Questions // go first; nil: are never told of
	log       *slog.Logger

	failed   chan struct{} // closed once failure is set, and a panic logged
	failOnce sync.Once

	mu      sync.Mutex
	members []*member
	led     bool             // somebody leads, or was chosen to
	refusal error            // nothing is accepted any more
	failure error            // the first for which only a new start is a cure
	logged  *invariant.Panic // the last one
	idle    *sync.Cond       // signalled when nothing is under way and refusal is set
}

// member is one shard. All but log, shard and next is guarded by Direct.mu.
type member struct {
	log   Appender
	shard Applier
	next  uint64 // Seq of the next entry; the leader's

	queue       []*proposal
	queuedBytes int
	inFlight    map[codec.Hash]*proposal
	held        bool // a goroutine of its own applies what is durable
	stats       GroupStats
}

// GroupStats counts what went through a group.
type GroupStats struct {
	Parts, Copies, Entries, Appends, Spans uint64
	QueuedBytes                            int
}

// request is a call of Propose that waits. All but told is guarded by Direct.mu.
type request struct {
	told      chan struct{} // holds a token after undecided has come to 0, or leads was set
	undecided int           // parts whose outcome is not known
	err       error         // the first bad outcome
	leads     bool          // it shall lead a round
	gone      bool          // nobody waits any more
}

// tell wakes who waits for r.
func (r *request) tell() {
	select {
	case r.told <- struct{}{}:
	default: // one token says all
	}
}

// proposal is one part on its way, or a tick (no request, no part).
type proposal struct {
	part    engine.Part
	request *request
	copies  []*request // who sent the same part while it was in flight
}

var errClosed = fmt.Errorf("%w: shutting down", span.ErrUnavailable)

// DirectShard is one shard of a Direct: its log stream, and the shard, which has applied all
// of it.
type DirectShard struct {
	Log   Appender
	Shard Applier
}

// NewDirect makes the groups of a node's shards, whose rounds make way for questions, which may be
// nil. Close ends them.
func NewDirect(now func() time.Time, questions *Questions, shards ...DirectShard) *Direct {
	d := &Direct{now: now, questions: questions, log: slog.New(slog.DiscardHandler), failed: make(chan struct{})}
	d.idle = sync.NewCond(&d.mu)
	d.add(shards...)
	return d
}

// add is for shards that are opened later than the groups are made, before anything is proposed.
func (d *Direct) add(shards ...DirectShard) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range shards {
		d.members = append(d.members, &member{
			log: s.Log, shard: s.Shard, next: s.Log.Last() + 1, inFlight: make(map[codec.Hash]*proposal),
		})
	}
}

// Propose implements Groups. It panics where a round panicked that the caller led, and for nobody
// else's.
func (d *Direct) Propose(ctx context.Context, parts [][]engine.Part) error {
	r, err := d.accept(parts)
	if r == nil {
		return err
	}
	for {
		select {
		case <-r.told:
		case <-ctx.Done():
			d.leave(r)
			return ctx.Err()
		}
		for d.takeLead(r) {
			d.round().Again()
		}
		if decided, err := d.outcome(r); decided {
			return err
		}
	}
}

// Failed is closed once nothing is accepted any more for a reason that Err tells, and only a new
// start is a cure. It is not for Close.
func (d *Direct) Failed() <-chan struct{} { return d.failed }

// Err is why the groups have failed, nil as long as they have not: span.ErrUnavailable with the
// failure of the log, or with what a round panicked with.
func (d *Direct) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failure
}

// panicked notes a panic, logs it where that has not been done, and returns what is answered for it. From then on
// nothing is accepted, whoever is still at work.
func (d *Direct) panicked(caught *invariant.Panic) error {
	refusal := fmt.Errorf("%w: %w", span.ErrUnavailable, errPanicked)
	d.mu.Lock()
	d.refuse(refusal, fmt.Errorf("%w: %v", refusal, caught.Cause))
	isNew := d.logged != caught
	d.logged = caught
	d.mu.Unlock()
	if isNew {
		d.log.Error("panic in a round, nothing is accepted until the next start",
			"panic", caught.Cause, "stack", caught.Stack)
	}
	d.tellFailed() // who hears of it may end the process
	return errPanicked
}

// refuse accepts nothing any more; mu is held, and tellFailed follows.
func (d *Direct) refuse(refusal, failure error) {
	d.refusal = refusal
	if d.failure == nil {
		d.failure = failure
	}
}

// tellFailed closes failed.
func (d *Direct) tellFailed() { d.failOnce.Do(func() { close(d.failed) }) }

// accept queues the parts that are neither applied nor in flight and returns what the
// caller has to wait for, nil if there is nothing.
func (d *Direct) accept(parts [][]engine.Part) (*request, error) {
	now := d.now().UnixNano()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refusal != nil {
		return nil, d.refusal
	}
	count := 0
	for shard, list := range parts {
		if queued := d.members[shard].queuedBytes; len(list) > 0 && queued >= queueBytesMax {
			return nil, fmt.Errorf("%w: %d bytes wait for the log already", span.ErrUnavailable, queued)
		}
		count += len(list)
	}
	r := &request{told: make(chan struct{}, 1)}
	queued := false
	defer func() {
		if r.gone = !queued; r.gone && !d.led { // a panic: r shall not be chosen to lead
			d.elect()
		}
	}()
	proposals := make([]proposal, count)
	for shard, list := range parts {
		m := d.members[shard]
		for i := range list {
			p := &proposals[r.undecided]
			p.part, p.request = list[i], r
			m.accept(p, now)
		}
	}
	queued = true
	if r.undecided == 0 {
		return nil, nil
	}
	if !d.led {
		d.elect()
	}
	return r, nil
}

// accept queues one part, or counts it as the copy that it is.
func (m *member) accept(p *proposal, now int64) {
	m.stats.Parts++
	if original, ok := m.inFlight[p.part.Hash]; ok {
		m.stats.Copies++
		original.copies = append(original.copies, p.request)
		p.request.undecided++
		return
	}
	if m.shard.Seen(p.part.Hash, now) {
		m.stats.Copies++
		return
	}
	p.request.undecided++
	m.inFlight[p.part.Hash] = p
	m.queue = append(m.queue, p)
	m.queuedBytes += p.part.Bytes
}

// takeLead tells whether r shall lead a round now.
func (d *Direct) takeLead(r *request) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	leads := r.leads
	r.leads = false
	return leads
}

// outcome tells how r ended, once it has.
func (d *Direct) outcome(r *request) (decided bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return r.undecided == 0, r.err
}

// leave takes one who gives up out of those who may lead. His parts stay.
func (d *Direct) leave(r *request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.gone = true
	if r.leads {
		r.leads = false
		d.elect()
	}
}

// elect chooses who leads the next round, if there is something to do: who has waited
// longest for some shard. The caller holds mu, and leads no more or was never to.
func (d *Direct) elect() {
	d.led = false
	work, held := false, false
	for _, m := range d.members {
		if m.held {
			held = true
			continue
		}
		for _, p := range m.queue {
			work = true
			if r := p.request; r != nil && !r.gone {
				d.led, r.leads = true, true
				r.tell()
				return
			}
		}
	}
	switch {
	case work:
		d.led = true
		go d.round()
	case d.refusal != nil && !held:
		d.idle.Broadcast()
	}
}

// Tick brings an empty entry into a shard's log, without waiting for it: the entry's time
// lets the seal rule see that an idle memtable has grown old.
func (d *Direct) Tick(shard int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refusal != nil {
		return d.refusal
	}
	m := d.members[shard]
	if len(m.queue) == 0 { // else what waits tells the time as well
		m.queue = append(m.queue, &proposal{})
	}
	if !d.led {
		d.elect()
	}
	return nil
}

// ReadBarrier implements Groups: an entry is applied before it is acknowledged.
func (d *Direct) ReadBarrier(ctx context.Context, _ int) error { return ctx.Err() }

// Snapshot implements Groups.
func (d *Direct) Snapshot(ctx context.Context, shard int) (Snapshot, error) {
	s := d.members[shard].shard
	if err := s.Flush(ctx); err != nil {
		return Snapshot{}, err
	}
	return Snapshot{Seq: s.Flushed(), Term: raftstore.FirstTerm}, nil
}

// Members implements Groups.
func (d *Direct) Members(int) []Member { return []Member{{ID: nodeID, Address: nodeAddress}} }

// Stats counts since the start.
func (d *Direct) Stats(shard int) GroupStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.members[shard]
	s := m.stats
	s.QueuedBytes = m.queuedBytes
	return s
}

// Close refuses new parts and waits until the accepted ones are decided.
func (d *Direct) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refusal == nil {
		d.refusal = errClosed
	}
	for d.busy() {
		d.idle.Wait()
	}
}

// busy tells whether something accepted is not decided yet; mu is held.
func (d *Direct) busy() bool {
	for _, m := range d.members {
		if m.held {
			return true
		}
	}
	return d.led
}
