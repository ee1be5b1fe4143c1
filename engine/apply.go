package engine

import (
	"errors"
	"fmt"
	"math"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/invariant"
	"github.com/stoadb/stoa/internal/vfs"
)

// Applied tells what one Apply did, for counters.
type Applied struct {
	Parts       int // parts made visible
	Spans       int
	Copies      int // parts of which the window knew a copy
	Quarantined int
}

// Apply appends an entry to the memtable: the only way in, for live writes, recovery and
// replicas alike. It reads no clock and decides by what was applied before, so the same
// entries give the same segments everywhere. An entry at or below Applied was applied
// already and is skipped. A nil entry only moves Applied on: a log record that is not
// ours. Apply waits while a sealed memtable still waits for its flush, or while the gate's
// room for memtables is taken; it fails only on a closed shard.
func (s *Shard) Apply(seq uint64, e *Entry) (Applied, error) {
	if e != nil && len(e.Parts) > 0 {
		s.awaitRoom()
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	var did Applied
	s.mu.Lock()
	closed, applied, mem := s.closed, s.applied, s.mem
	s.mu.Unlock()
	if closed {
		return did, ErrClosed
	}
	if seq <= applied {
		return did, nil
	}
	if e == nil {
		s.advance(seq, math.MinInt64)
		return did, nil
	}
	if !mem.empty() && s.sealedBy(e.Received, mem.firstReceived) {
		if err := s.freeze(); err != nil {
			return did, err
		}
		mem = s.mem
	}
	next := mem.count.Load()
	for i := range e.Parts {
		next = s.applyPart(mem, next, seq, e.Received, &e.Parts[i], &did)
	}
	if !mem.empty() {
		mem.lastSeq = seq
	}
	mem.publish(next)
	s.advance(seq, e.Received)
	if mem.bytes >= s.sealBytes(mem.window) {
		return did, s.freeze()
	}
	if len(e.Parts) == 0 {
		s.retryFlush()
	}
	return did, nil
}

// applyPart adds one part and returns the number of batches in mem.
func (s *Shard) applyPart(mem *memtable, next uint32, seq uint64, received int64, p *Part, did *Applied) uint32 {
	if s.seen.has(p.Hash, received) {
		did.Copies++
		return next
	}
	batch, err := p.read()
	if err == nil && s.o.CheckPart != nil {
		err = s.o.CheckPart(batch)
	}
	if err != nil {
		did.Quarantined++
		s.quarantine(seq, p, batch, err)
		return next
	}
	s.seen.add(p.Hash, received)
	if batch.Len() == 0 {
		return next
	}
	mem.begin(seq, received)
	mem.note(p.Hash, received, p.Bytes)
	mem.add(next, batch)
	did.Parts++
	did.Spans += batch.Len()
	return next + 1
}

// sealedBy tells whether an entry of that time seals a memtable whose first entry came at
// first.
func (s *Shard) sealedBy(received, first int64) bool {
	return segment.WindowOf(received) != segment.WindowOf(first) || received-first >= int64(s.o.MemtableAge)
}

// noWindow is older than every window.
const noWindow = math.MinInt64

// sealBytes gives the bytes at which a memtable of that window is sealed. The first of a window
// may have fewer; what was sealed before says whether it is the first, and the segments hold
// just that after a restart, however they were merged, until their window is dropped.
func (s *Shard) sealBytes(window int64) int64 {
	if window > s.sealedWindow {
		return s.o.FirstMemtableBytesMax
	}
	return s.o.MemtableBytesMax
}

// advance moves Applied on.
func (s *Shard) advance(seq uint64, received int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied = seq
	if received > math.MinInt64 { // else nothing was
		s.latest = received
	}
	s.oldest, s.memRows, s.memBytes = s.mem.firstReceived, s.mem.rows, s.mem.bytes
	s.takeRoom()
}

// freeze hands the memtable to the flusher and begins a new one; s.applying is held. It
// waits while frozenMax memtables wait already, unless flushing fails: then the owner
// stops proposing (see Err) and what is in the log must still be applied.
func (s *Shard) freeze() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.frozen) >= frozenMax && s.flushErr == nil && !s.closed {
		changed := s.changed
		s.mu.Unlock()
		s.o.Gate.held.Add(1)
		<-changed
		s.o.Gate.held.Add(-1)
		s.mu.Lock()
	}
	if s.closed {
		return ErrClosed
	}
	if s.mem.empty() {
		return nil
	}
	invariant.Check(s.mem.lastSeq >= s.mem.firstSeq, "memtable of Seq %d to %d", s.mem.firstSeq, s.mem.lastSeq)
	s.frozen = append(s.frozen, s.mem)
	s.sealedWindow = max(s.sealedWindow, s.mem.window)
	s.mem = newMemtable()
	s.oldest, s.memRows, s.memBytes = 0, 0, 0
	s.takeRoom()
	s.signal()
	wake(s.flushWake)
	return nil
}

// retryFlush wakes the flusher where its last try failed.
func (s *Shard) retryFlush() {
	s.mu.Lock()
	failed := s.flushErr != nil
	s.mu.Unlock()
	if failed {
		wake(s.flushWake)
	}
}

// wake tells a loop that there may be work; one message is as good as many.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// quarantineDir holds parts that Apply refused, each under the hash of its content: the spans
// that were acknowledged as an OTLP request, for a person to look at or to send again after a
// repair.
const quarantineDir = "quarantine"

// quarantine sets a part aside. The file is named after the content, so a replay that makes
// the same content writes no second one. Where the disk refuses it, the flusher tries again before it lets the
// log go.
func (s *Shard) quarantine(seq uint64, p *Part, batch *span.Batch, cause error) {
	spans := 1 // nobody can count what cannot be read
	if batch != nil {
		spans = batch.Len()
	}
	file := p.setAside(batch)
	s.log.Error("part quarantined", "seq", seq, "hash", p.Hash.String(), "file", file.name, "cause", cause)
	isNew, err := s.saveQuarantined(file)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.log.Error("quarantine file not written yet", "hash", p.Hash.String(), "file", file.name, "cause", err)
		s.unsaved = append(s.unsaved, file)
		isNew = true
	}
	if isNew {
		s.quarantined++
		s.stats.QuarantinedSpans += spans
	}
}

// saveQuarantined writes a file; isNew is false where it stood there before.
func (s *Shard) saveQuarantined(file setAside) (isNew bool, err error) {
	dir := s.dir + "/" + quarantineDir
	if err := s.o.FS.MkdirAll(dir); err != nil {
		return false, err
	}
	f, err := s.o.FS.Open(dir + "/" + file.name)
	if err == nil {
		// Written before, perhaps by a process killed before its name was durable.
		return false, errors.Join(f.Close(), s.o.FS.SyncDir(dir))
	}
	if !missing(err) {
		return false, err
	}
	if err := vfs.ReplaceFile(s.o.FS, dir+"/"+file.name, file.content); err != nil {
		return false, fmt.Errorf("quarantine: %w", err)
	}
	return true, nil
}

// saveUnsaved retries the files that could not be written.
func (s *Shard) saveUnsaved() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	files := s.unsaved
	s.mu.Unlock()
	for i, file := range files {
		if _, err := s.saveQuarantined(file); err != nil {
			s.mu.Lock()
			s.unsaved = s.unsaved[i:]
			s.mu.Unlock()
			return err
		}
	}
	s.mu.Lock()
	s.unsaved = s.unsaved[len(files):]
	s.mu.Unlock()
	return nil
}

// Quarantined is how many parts stand in quarantine.
func (s *Shard) Quarantined() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.quarantined
}
