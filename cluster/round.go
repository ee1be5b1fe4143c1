package cluster

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stoadb/stoa/cluster/raftstore"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
	"github.com/stoadb/stoa/wal"
)

// batch is what one round has of one shard.
type batch struct {
	*member
	taken   []*proposal
	bytes   int // of their parts
	entries []engine.Entry
	first   uint64 // Seq of the first entry
	behind  bool   // Apply would wait for a flush
	pending Pending
	did     engine.Applied
	err     error
}

var errPanicked = errors.New("a panic ended the round")

// round leads one round: everything queued of all shards goes to the log in one commit
// and is applied. It ends with the choice of the next leader. A panic in it is caught: others must
// not wait for ever for a leader who is gone. Who leads for a request panics with it again, which whoever
// serves the request may survive.
func (d *Direct) round() (caught *invariant.Panic) {
	batches := d.take()
	var err error
	caught = invariant.Caught(func() {
		received := d.now().UnixNano()
		d.each(batches, func(b *batch) { b.queueEntries(received) })
		if err = waitAll(batches); err == nil {
			batches = d.hold(batches, received)
			d.each(batches, d.apply)
			err = firstError(batches)
		}
	})
	if caught != nil {
		err = d.panicked(caught)
	}
	d.settle(batches, err, true)
	return caught
}

// take removes from each queue what one append shall hold.
func (d *Direct) take() []batch {
	d.mu.Lock()
	defer d.mu.Unlock()
	batches := make([]batch, 0, len(d.members))
	for _, m := range d.members {
		if m.held || len(m.queue) == 0 {
			continue
		}
		b := batch{member: m}
		count := 0
		for count < len(m.queue) && (count == 0 || b.bytes+m.queue[count].part.Bytes <= appendBytesMax) {
			b.bytes += m.queue[count].part.Bytes
			count++
		}
		b.taken, m.queue = m.queue[:count:count], m.queue[count:]
		if len(m.queue) == 0 {
			m.queue = nil
		}
		m.queuedBytes -= b.bytes
		batches = append(batches, b)
	}
	return batches
}

// queueEntries makes entries of what was taken and queues them to the log.
func (b *batch) queueEntries(received int64) {
	b.entries = coalesce(b.taken, received)
	b.first = b.next
	b.next += uint64(len(b.entries))
	records := make([]wal.Entry, len(b.entries))
	buffer := entryBuffers.Get()
	encoded := slices.Grow((*buffer)[:0], b.entriesBytesMax())
	for i := range b.entries {
		from := len(encoded)
		encoded = b.entries[i].AppendBinary(encoded)
		records[i] = raftstore.CommandEntry(b.first+uint64(i), encoded[from:len(encoded):len(encoded)], received)
	}
	b.pending, b.err = b.log.Queue(records...)
	if cap(encoded) <= entryBufferMax {
		*buffer = encoded
		entryBuffers.Put(buffer)
	}
}

// entriesBytesMax is what the entries may take to encode.
func (b *batch) entriesBytesMax() int {
	total := 0
	for i := range b.entries {
		total += b.entries[i].EncodedBytesMax()
	}
	return total
}

// entryBuffers keeps what entries are encoded in; the log has a copy once they are queued.
var entryBuffers = codec.Held[[]byte]{New: func() *[]byte { return new([]byte) }, Most: entryBuffersHeldMax}

// waitAll waits until all entries are durable. Where one shard's could not be queued,
// those of the others are waited for all the same: nobody else would.
func waitAll(batches []batch) error {
	for i := range batches {
		if b := &batches[i]; b.err == nil {
			b.err = b.pending.Wait()
		}
	}
	if err := firstError(batches); err != nil {
		return fmt.Errorf("the log failed: %w", err)
	}
	return nil
}

func firstError(batches []batch) error {
	for i := range batches {
		if batches[i].err != nil {
			return batches[i].err
		}
	}
	return nil
}

// hold leaves those batches to goroutines of their own whose Apply would wait for a
// flush, and returns the others.
func (d *Direct) hold(batches []batch, received int64) []batch {
	for i := range batches { // all are asked first: a panic here leaves each batch to the leader
		b := &batches[i]
		b.behind = b.shard.Behind(received, len(b.taken), int64(b.bytes))
	}
	rest := batches[:0]
	for _, b := range batches {
		if !b.behind {
			rest = append(rest, b)
			continue
		}
		d.mu.Lock()
		b.held = true
		d.mu.Unlock()
		go func() {
			if caught := invariant.Caught(b.apply); caught != nil {
				b.err = d.panicked(caught)
			}
			d.settle([]batch{b}, b.err, false)
		}()
	}
	return rest
}

// apply makes the batch visible. A panic is noted here: it goes on in the leader only when the other
// shards are done, and until then nobody may flush what was half applied.
func (d *Direct) apply(b *batch) {
	if caught := invariant.Caught(b.apply); caught != nil {
		_ = d.panicked(caught) // the leader asks again
		caught.Again()
	}
}

// apply makes the batch visible.
func (b *batch) apply() {
	b.log.SetCommit(b.first + uint64(len(b.entries)) - 1)
	for i := range b.entries {
		seq := b.first + uint64(i)
		applied, err := b.shard.Apply(seq, &b.entries[i])
		if err != nil {
			b.err = fmt.Errorf("apply Seq %d: %w", seq, err)
			return
		}
		b.did.Copies += applied.Copies
		b.did.Spans += applied.Spans
	}
}

// settle tells everyone who waits for the batches. With an error it refuses everything
// from now on, and what has queued: what the log holds and what was applied may differ,
// and only a new start brings them together. The leader passes the lead on.
func (d *Direct) settle(batches []batch, err error, leader bool) {
	if err != nil {
		err = fmt.Errorf("%w: %w", span.ErrUnavailable, err)
		defer d.tellFailed()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range batches {
		b := &batches[i]
		if err == nil {
			b.stats.Copies += uint64(b.did.Copies)
			b.stats.Spans += uint64(b.did.Spans)
			b.stats.Entries += uint64(len(b.entries))
			b.stats.Appends++
		}
		b.decide(b.taken, err)
		if !leader {
			b.held = false
		}
	}
	if err != nil {
		d.refuse(err, err)
		for _, m := range d.members {
			m.decide(m.queue, err)
			m.queue, m.queuedBytes = nil, 0
		}
	}
	if leader || !d.led {
		d.elect()
	}
}

// decide gives the proposals their outcome; Direct.mu is held.
func (m *member) decide(proposals []*proposal, err error) {
	for _, p := range proposals {
		if p.request == nil {
			continue // a tick
		}
		delete(m.inFlight, p.part.Hash)
		p.part = engine.Part{} // whoever still holds p must not hold the batch
		p.request.decide(err)
		for _, r := range p.copies {
			r.decide(err)
		}
	}
}

// decide notes the outcome of one part and wakes the request after the last; Direct.mu
// is held.
func (r *request) decide(err error) {
	if r.err == nil {
		r.err = err
	}
	if r.undecided--; r.undecided == 0 {
		r.tell()
	}
}

// each does work for all batches: at once where there is enough of it to be worth
// waking somebody, and only on the processors that questions in flight leave.
func (d *Direct) each(batches []batch, work func(*batch)) {
	defer d.questions.worked(time.Now())
	bytes, atOnce := 0, len(batches)
	for i := range batches {
		bytes += batches[i].bytes
	}
	if bytes < spreadBytesMin {
		atOnce = 1
	} else if d.questions.areInFlight() {
		left, _, _ := d.questions.left(processors)
		atOnce = min(atOnce, left)
	}
	if atOnce < 2 {
		for i := range batches {
			work(&batches[i])
		}
		return
	}
	var crew invariant.Crew
	var next atomic.Int64
	for range atOnce {
		crew.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(batches)); i = next.Add(1) - 1 {
				work(&batches[i])
			}
		})
	}
	crew.Wait()
}

// coalesce makes entries of parts in their order: each entry up to entryBytesMax, or
// one part. Ticks bring no bytes; one that stands alone is an entry without parts.
func coalesce(taken []*proposal, received int64) []engine.Entry {
	var entries []engine.Entry
	bytes := 0
	for _, p := range taken {
		last := len(entries) - 1
		if last < 0 || (bytes > 0 && bytes+p.part.Bytes > entryBytesMax) {
			entries = append(entries, engine.Entry{Received: received})
			last, bytes = last+1, 0
		}
		if p.request != nil {
			entries[last].Parts = append(entries[last].Parts, p.part)
			bytes += p.part.Bytes
		}
	}
	return entries
}
