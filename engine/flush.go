package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
)

// flushLoop writes frozen memtables to segments, oldest first, until ctx ends. A flush
// that failed is tried again when woken: at the next seal, tick or Flush.
func (s *Shard) flushLoop(ctx context.Context) {
	s.o.Background()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.flushWake:
		}
		for ctx.Err() == nil {
			s.mu.Lock()
			var m *memtable
			if len(s.frozen) > 0 {
				m = s.frozen[0]
				s.flushTries++
			}
			s.mu.Unlock()
			if m == nil {
				break
			}
			err := s.flushOne(ctx, m)
			s.noteFlush(err)
			if err != nil {
				break
			}
			wake(s.mergeWake)
		}
	}
}

// noteFlush records how a flush ended.
func (s *Shard) noteFlush(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		s.log.Error("flush failed; it will be tried again", "cause", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushErr, s.flushEnded = err, s.flushTries
	if err != nil {
		s.stats.FlushFailures++
	} else {
		s.stats.Flushes++
	}
	s.takeRoom()
	s.signal()
}

// flushOne makes a frozen memtable a live segment. The steps, of which a crash between
// any two leaves the memtable to the log and at most a stray file: write and sync the
// file, sync the folder, name the file in the manifest, swap memtable for segment.
func (s *Shard) flushOne(ctx context.Context, m *memtable) error {
	leave, err := enter(ctx, s.o.Gate.flushes)
	if err != nil {
		return err
	}
	defer leave()
	if err := s.settleLog(); err != nil {
		return err
	}
	name := s.newName()
	info, counters, err := s.writeSegment(m, name)
	if err != nil {
		return err
	}
	added, err := s.adopt(name, info)
	if err != nil {
		return err
	}
	if opened, err := added.Segment(); err == nil { // as adopt has checked
		opened.Remember(counters)
	}
	err = s.edit(func(next *manifest) {
		next.segments = append(next.segments, added.entry)
		next.flushed = max(next.flushed, m.lastSeq)
	})
	if err != nil {
		added.Close()
		s.leave(name)
		return err
	}
	s.mu.Lock()
	s.frozen = slices.Clone(s.frozen[1:])
	s.flushed = max(s.flushed, m.lastSeq)
	s.takeRoom()
	// The new version holds every segment of the old one, so letting go of it here does no
	// disk work; and who waits for this flush never meets a version that lingers.
	s.release(s.installed(append(slices.Clone(s.live.segments), added)))
	s.mu.Unlock()
	s.log.Debug("flushed", "file", name, "rows", info.Rows, "traces", info.Traces, "bytes", info.Bytes, "seq", m.lastSeq)
	return nil
}

// writeSegment writes a memtable's distinct rows: traces by (smallest start, id), rows
// by span.Compare.
func (s *Shard) writeSegment(m *memtable, name string) (segment.Info, *segment.KeyCounters, error) {
	batches, traces := m.traces(m.count.Load())
	hashes := make([]segment.Received, len(m.hashes))
	for i, h := range m.hashes {
		hashes[i] = segment.Received{Hash: h.hash, At: h.received}
	}
	w, err := segment.NewWriter(s.o.FS, s.dir+"/"+name, segment.Meta{
		Shard: s.o.Shard, Tenant: s.o.Tenant, Windows: []int64{m.window}, FirstSeq: m.firstSeq, LastSeq: m.lastSeq,
		MinReceived: m.minReceived, MaxReceived: m.maxReceived, Hashes: hashes,
	})
	if err != nil {
		return segment.Info{}, nil, err
	}
	w.Begin(batches, rowPlaces(traces, m.rows))
	written := stretch{pause: s.pauseFlush}
	for rows := w.Describe(StretchRows); rows > 0; rows = w.Describe(StretchRows) {
		written.add(rows / describedShare)
	}
	for _, t := range traces {
		if err := w.AddNext(t.id, len(t.places)); err != nil {
			w.Abort()
			return segment.Info{}, nil, err
		}
		written.add(len(t.places))
	}
	info, err := w.Finish()
	if err != nil {
		w.Abort()
		return segment.Info{}, nil, err
	}
	return info, w.KeyCounters(), nil
}

// pauseFlush pauses unless a write waits for this flush, or for one that waits for its turn.
func (s *Shard) pauseFlush() {
	if s.o.Gate.held.Load() == 0 {
		s.o.Pause()
	}
}

// pauseMerge pauses unless segments pile up, in this shard or in one whose merge waits for this.
func (s *Shard) pauseMerge() {
	if !s.pilesUp() && !s.o.Gate.pilesUp() {
		s.o.Pause()
	}
}

// pilesUp tells whether more segments than a few merges take have met none yet. In a shard of many
// windows with a segment each that is so for ever: its merges never pause, and are small.
func (s *Shard) pilesUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live == nil {
		return false // closed
	}
	unmerged := 0
	for _, l := range s.live.segments {
		if l.entry.generation == 0 {
			unmerged++
		}
	}
	return unmerged > unmergedPausedMax
}

// stretch counts rows written, and pauses after each StretchRows of them.
type stretch struct {
	rows  int // since the last pause
	pause func()
}

func (s *stretch) add(rows int) {
	if s.rows += rows; s.rows >= StretchRows {
		s.rows = 0
		s.pause()
	}
}

// settleLog makes durable what the log must hold or no longer needs to hold before the
// manifest says that segments go so far: the parts that only the quarantine keeps, and the
// log's own end. A log that ended before Flushed would be taken for damaged at the next
// start.
func (s *Shard) settleLog() error {
	if err := s.saveUnsaved(); err != nil {
		return err
	}
	if s.o.SyncLog == nil {
		return nil
	}
	if err := s.o.SyncLog(); err != nil {
		return fmt.Errorf("sync the log before the manifest: %w", err)
	}
	return nil
}

// adopt syncs the name of a finished file, opens it and checks its tables; nothing names it yet, so where
// that fails the file goes.
func (s *Shard) adopt(name string, info segment.Info) (*liveSegment, error) {
	if err := s.o.FS.SyncDir(s.dir); err != nil {
		s.discard(name)
		return nil, err
	}
	opened, err := segment.OpenFile(s.o.FS, s.dir+"/"+name, s.o.Pages)
	if err == nil {
		if err = opened.Check(); err != nil {
			opened.Close()
		}
	}
	if err != nil {
		s.discard(name)
		return nil, err
	}
	return &liveSegment{File: opened, entry: segmentEntry{
		name: name, bytes: info.Bytes, crc: info.CRC, rows: info.Rows,
		firstSeq: info.FirstSeq, lastSeq: info.LastSeq, generation: uint64(info.Generation),
	}}, nil
}

// newName gives a file name that no file of this folder has had since the last Open:
// even a file of a failed edit is never written again.
func (s *Shard) newName() string {
	s.manifesting.Lock()
	defer s.manifesting.Unlock()
	number := s.man.nextFile
	s.man.nextFile++
	return fmt.Sprintf("%08d%s", number, segmentSuffix)
}

// edit makes a changed manifest durable. After an error the disk holds the old or the
// new one: nothing that either names may be removed, and the next edit, which writes the
// whole manifest again, settles it.
func (s *Shard) edit(change func(next *manifest)) error {
	s.manifesting.Lock()
	defer s.manifesting.Unlock()
	if s.man == nil {
		return ErrClosed
	}
	next := s.man.clone()
	change(next)
	if err := next.write(s.o.FS, s.dir); err != nil {
		return err
	}
	s.man = next
	s.leftOver = slices.DeleteFunc(s.leftOver, s.removed)
	return nil
}

// leave notes a file to be removed after the next edit that succeeds: the manifest on the
// disk may name it until then, because the edit that brought it failed.
func (s *Shard) leave(name string) {
	s.manifesting.Lock()
	defer s.manifesting.Unlock()
	s.leftOver = append(s.leftOver, name)
}

// discard removes a file that no manifest names, or leaves it for later.
func (s *Shard) discard(name string) {
	if !s.removed(name) {
		s.leave(name)
	}
}

// removed takes a file away. What stays at Close is a stray that the next Open removes.
func (s *Shard) removed(name string) bool {
	err := s.o.FS.Remove(s.dir + "/" + name)
	if err == nil || missing(err) {
		return true
	}
	s.log.Warn("file not removed yet", "file", s.dir+"/"+name, "cause", err)
	return false
}

// Flush freezes the memtable and returns when everything applied before the call stands
// in segments that the manifest names. The error is that of a try which began after the call:
// one that was under way may have met what is mended by now.
func (s *Shard) Flush(ctx context.Context) error {
	s.applying.Lock()
	s.mu.Lock()
	tries := s.flushTries // before freeze wakes who may begin one at once
	s.mu.Unlock()
	err := s.freeze()
	s.mu.Lock()
	target, closed := s.applied, s.closed
	s.mu.Unlock()
	s.applying.Unlock()
	if err != nil {
		return err
	}
	if closed {
		return ErrClosed
	}
	wake(s.flushWake)
	for {
		s.mu.Lock()
		changed, closed := s.changed, s.closed
		waiting := len(s.frozen) > 0 && s.frozen[0].lastSeq <= target
		flushErr, flushed := s.flushErr, s.flushed
		ours := s.flushEnded > tries
		s.mu.Unlock()
		switch {
		case !waiting:
			return s.flushedThrough(flushed, target)
		case closed:
			return ErrClosed
		case ours && flushErr != nil:
			return flushErr
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// flushedThrough moves Flushed over ticks and foreign records, which no segment holds:
// nothing at or below target is in a memtable.
func (s *Shard) flushedThrough(flushed, target uint64) error {
	if flushed >= target {
		return nil
	}
	if err := s.settleLog(); err != nil {
		return err
	}
	if err := s.edit(func(next *manifest) { next.flushed = max(next.flushed, target) }); err != nil {
		return err
	}
	s.mu.Lock()
	s.flushed = max(s.flushed, target)
	s.signal()
	s.mu.Unlock()
	return nil
}
