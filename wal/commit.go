package wal

import (
	"errors"
	"fmt"
	"time"

	"github.com/stoadb/stoa/internal/invariant"
)

// group is what one commit makes durable: records of any number of streams, encoded
// as they were queued, behind room for the header.
type group struct {
	log     *Log
	bytes   []byte
	changes []change
	sync    bool          // somebody waits for more than it being written
	wanted  bool          // somebody waits: it is to be committed
	done    chan struct{} // closed when err is final
	err     error
}

// change is a queued record without its payload (but for the stable key's), and where
// it stands in the group.
type change struct {
	stream         *Stream
	record         record
	offset, length uint32
}

func newGroup(l *Log, spare group) *group {
	g := &group{log: l, bytes: spare.bytes[:0], changes: spare.changes[:0], done: make(chan struct{})}
	g.bytes = append(g.bytes, zeros[:headerBytes]...)
	return g
}

func (g *group) empty() bool { return len(g.changes) == 0 && !g.sync }

// add encodes r, which belongs to s. The caller holds the log's lock.
func (g *group) add(s *Stream, r record) {
	r.shard = s.shard
	at := len(g.bytes)
	g.bytes = appendRecord(g.bytes, &r)
	if r.kind != kindSet {
		r.payload = nil
	}
	r.extensions = nil
	g.changes = append(g.changes, change{s, r, uint32(at), uint32(len(g.bytes) - at)})
}

// seal completes the bytes of the group for its place.
func (g *group) seal(fileID uint64, offset, syncedUpTo int64) {
	putHeader(g.bytes, header{
		fileID: fileID, offset: offset, syncedUpTo: syncedUpTo,
		bodyBytes: int64(len(g.bytes)) - headerBytes, records: len(g.changes),
	})
	g.bytes = padded(g.bytes)
}

// admit waits until the pending group takes more, and tells why it never will. The
// caller holds mu.
func (l *Log) admit() error {
	for {
		switch {
		case l.err != nil:
			return l.err
		case l.closing || l.closed:
			return ErrClosed
		case len(l.pending.bytes) < groupBytesMax:
			return nil
		}
		l.pending.wanted = true // or those who only queue would wait for each other
		l.signal()
		l.space.Wait()
	}
}

// Pending is an append on its way to the disk.
type Pending struct{ group *group }

// Wait returns when the append is durable, or has failed: then the log is poisoned.
//
// Who waits first commits the group himself, on his own goroutine: the committer would
// have to be woken, and he after it, which for a small append is more work than all the
// rest. Where a commit is under way already the committer takes what it leaves, so that
// nobody commits for others twice.
func (p Pending) Wait() error {
	g := p.group
	if g == nil {
		return nil
	}
	l := g.log
	l.mu.Lock()
	g.wanted = true
	l.mu.Unlock()
	if l.committing.TryLock() {
		l.commitPending()
		l.committing.Unlock()
		l.callCommitter()
	}
	<-g.done
	return g.err
}

// callCommitter wakes the committer if somebody waits for the pending group. Who has held
// committing calls it after the unlock: one who came before that found the lock taken and
// relies on it, one who comes after it finds the lock free.
func (l *Log) callCommitter() {
	l.mu.Lock()
	wanted := l.pending.wanted
	l.mu.Unlock()
	if wanted {
		l.signal()
	}
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default: // a token waits already
	}
}

// run is the committer: it commits what nobody else does, syncs at the interval, and
// ends the log. It ends after Close, or with the poison.
func (l *Log) run() {
	defer close(l.done)
	var tick <-chan time.Time
	if l.options.SyncInterval > 0 {
		ticker := time.NewTicker(l.options.SyncInterval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for ended := false; !ended; {
		select {
		case <-l.wake:
			l.committing.Lock()
			if ended = l.commitPending(); ended && l.Err() == nil {
				if err := l.end(); err != nil {
					l.poison(err, nil)
				}
			}
		case <-tick:
			l.committing.Lock()
			if ended = l.Err() != nil; !ended {
				if err := l.sync(); err != nil {
					l.poison(err, nil)
					ended = true
				}
			}
		}
		l.committing.Unlock()
		l.callCommitter()
	}
}

// commitPending commits the pending group, if somebody waits for it or the log is closing,
// and tells whether it was the last: nothing can be queued behind it, because the log is
// closing or poisoned. The caller holds committing.
func (l *Log) commitPending() (last bool) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return true
	}
	var g *group
	if !l.pending.empty() && (l.pending.wanted || l.closing) {
		g = l.pending
		l.pending = newGroup(l, l.spare)
		l.spare = group{}
		l.space.Broadcast()
	}
	last = l.closing
	l.mu.Unlock()
	if g == nil {
		return last
	}
	if err := l.commit(g); err != nil {
		l.poison(err, g)
		return true
	}
	return last
}

// commit makes one group durable, shows it, and tells those who wait. On an error
// nobody has been told anything: poison does it.
func (l *Log) commit(g *group) error {
	if len(g.changes) > 0 {
		if err := l.write(g); err != nil {
			return err
		}
	}
	if l.options.SyncInterval == 0 || g.sync {
		if err := l.sync(); err != nil {
			return err
		}
	}
	if len(g.changes) > 0 {
		if err := l.publish(g); err != nil {
			return err
		}
	}
	close(g.done)
	return nil
}

// write puts the group behind the last commit, in a new file if it does not fit.
func (l *Log) write(g *group) error {
	size := aligned(int64(len(g.bytes)))
	if l.at+size > l.capacity {
		if err := l.rotate(size); err != nil {
			return err
		}
	}
	g.seal(l.current.id, l.at, l.syncedUpTo)
	if _, err := l.current.file.WriteAt(g.bytes, l.at); err != nil {
		return fmt.Errorf("%s: write at %d: %w", l.path(l.current.id), l.at, err)
	}
	for i := range g.changes {
		g.changes[i].offset += uint32(l.at)
	}
	l.at += size
	return l.clear()
}

// clear writes zeros behind the last commit, so that syncing the next ones changes no extent:
// a preallocated block that was never written becomes a written one by its first sync, and the
// file system writes that down each time.
func (l *Log) clear() error {
	if l.at < l.cleared || l.options.SyncInterval > 0 {
		return nil
	}
	l.cleared = min(l.at+clearBytes, l.capacity)
	if l.cleared <= l.at {
		return nil
	}
	if _, err := l.current.file.WriteAt(cleared[:l.cleared-l.at], l.at); err != nil {
		return fmt.Errorf("%s: clear at %d: %w", l.path(l.current.id), l.at, err)
	}
	return nil
}

// sync makes everything written durable.
func (l *Log) sync() error {
	if l.syncedUpTo == l.at {
		return nil
	}
	if err := l.current.file.Sync(); err != nil {
		return fmt.Errorf("%s: sync: %w", l.path(l.current.id), err)
	}
	l.syncedUpTo = l.at
	l.mu.Lock()
	l.unsynced = false
	l.stats.Syncs++
	l.mu.Unlock()
	return nil
}

// publish shows a durable group to readers and deletes the files that it made
// needless.
func (l *Log) publish(g *group) error {
	truncated := false
	l.mu.Lock()
	for i := range g.changes {
		c := &g.changes[i]
		err := c.stream.apply(&c.record, position{l.current.id, c.offset, c.length})
		invariant.Check(err == nil, "a queued record does not apply: %v", err)
		if c.record.kind == kindEntry {
			l.stats.Entries++
		}
		truncated = truncated || c.record.kind == kindFront || c.record.kind == kindBack
		*c = change{} // the spare must not hold on to payloads
	}
	l.current.bytes = l.at
	l.unsynced = l.syncedUpTo != l.at
	l.stats.Groups++
	if cap(g.bytes) <= spareBytesMax {
		l.spare = group{bytes: g.bytes, changes: g.changes}
	}
	l.mu.Unlock()
	if truncated {
		return l.dropFront()
	}
	return nil
}

// poison ends the log: the group that failed, everybody who waits behind it, and
// everybody who comes, get the error.
func (l *Log) poison(err error, failed *group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = fmt.Errorf("%w: %w", ErrPoisoned, err)
	close(l.poisoned)
	for _, g := range []*group{failed, l.pending} {
		if g != nil && g.err == nil {
			g.err = l.err
			close(g.done)
		}
	}
	l.space.Broadcast()
	l.signal() // the committer ends
}

// end writes the end record of a clean shutdown. All before it is synced first, so that
// its header vouches for all, also where a sync interval was chosen.
func (l *Log) end() error {
	if err := l.sync(); err != nil {
		return err
	}
	g := newGroup(l, group{})
	g.add(&Stream{}, record{kind: kindEnd})
	if err := l.write(g); err != nil {
		return err
	}
	if err := l.sync(); err != nil {
		return err
	}
	return l.trim()
}

// trim gives back what is preallocated behind the last commit. It needs no sync: the
// same zeros come back.
func (l *Log) trim() error {
	if err := l.current.file.Truncate(l.at); err != nil {
		return fmt.Errorf("%s: truncate to %d: %w", l.path(l.current.id), l.at, err)
	}
	l.mu.Lock()
	l.current.bytes = l.at
	l.mu.Unlock()
	return nil
}

// rotate leaves the current file, whole and synced, and starts the next one with room
// for a commit of size bytes.
func (l *Log) rotate(size int64) error {
	if err := l.sync(); err != nil {
		return err
	}
	if err := l.trim(); err != nil {
		return err
	}
	if err := l.startFile(l.current.id+1, size); err != nil {
		return err
	}
	return l.dropFront()
}

// startFile makes file id, opens it with the state of all streams, and makes it
// current once its bytes and its name are durable.
func (l *Log) startFile(id uint64, size int64) error {
	g := newGroup(l, group{})
	l.mu.Lock()
	g.add(&Stream{}, record{kind: kindState, payload: appendState(nil, l.usedStreams())})
	l.mu.Unlock()
	g.seal(id, 0, 0)
	capacity := max(l.options.FileBytes, int64(len(g.bytes))+size)
	f, err := l.fs.Create(l.path(id))
	if err != nil {
		return err
	}
	if err = f.Preallocate(capacity); err == nil {
		_, err = f.WriteAt(g.bytes, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: start: %w", l.path(id), err), f.Close())
	}
	l.at = int64(len(g.bytes))
	l.syncedUpTo, l.capacity, l.cleared = l.at, capacity, 0
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = &logFile{id: id, file: f, bytes: l.at}
	l.files[id] = l.current
	l.stats.Syncs++
	return nil
}

// dropFront deletes the files in front of the oldest live entry, oldest first, each
// durably before the next: what is left on the disk is always one run. With a sync
// interval the record that lets them go is made durable first; without it the files
// would be missing at the next start.
func (l *Log) dropFront() error {
	l.mu.Lock()
	keep := l.current.id
	for _, s := range l.streams {
		if len(s.entries) > 0 {
			keep = min(keep, s.entries[0].file)
		}
	}
	var drop []*logFile
	for id := keep - 1; l.files[id] != nil; id-- {
		drop = append(drop, l.files[id])
		delete(l.files, id)
	}
	l.mu.Unlock()
	if len(drop) > 0 {
		if err := l.sync(); err != nil {
			return err
		}
	}
	for i := len(drop) - 1; i >= 0; i-- {
		if err := l.drop(drop[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) drop(f *logFile) error {
	if err := l.fs.Remove(l.path(f.id)); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	l.mu.Lock()
	f.dropped = true
	idle := f.readers == 0
	l.mu.Unlock()
	if idle {
		return f.file.Close()
	}
	return nil
}
