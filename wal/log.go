// Package wal is the log: what it has accepted survives a crash. All shards of a node
// share one Log, so one fdatasync serves everything that waits; each shard sees its own
// Stream of entries, numbered by Seq, in the shape of a raft log.
//
// One flow: Stream.Queue copies entries into the pending group, Pending.Wait has it
// committed, and Stream.Append is both. The first who waits takes the group, writes it as
// one commit behind the last one, syncs once, publishes the positions to the streams and
// wakes everybody else who waits. The committer, the only goroutine that Open starts and
// Close ends, does the same for those who come while a commit is under way, syncs at the
// interval and ends the log. Reading goes from the positions in memory straight to the
// file.
//
// Files are preallocated, written front to back, never written over, and deleted from
// the front once no stream needs them. Open reads them all: a torn tail is cut and
// reported, damage before it is an error that names file and offset. The bytes and the
// argument stand in docs/format/log.md.
//
// After any failed write or sync the log is poisoned: nobody who waits gets an OK, all
// later appends fail, and the process is expected to end. A sync is never tried again
// on the same file, because the kernel may have dropped what it could not write.
package wal

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/stoadb/stoa/internal/invariant"
	"github.com/stoadb/stoa/internal/vfs"
)

var (
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("log is closed")
	// ErrPoisoned: a write or sync failed; nothing more is accepted.
	ErrPoisoned = errors.New("log is poisoned")
)

// Options of Open; the zero value is the safe default.
type Options struct {
	// FileBytes is the preallocated size of a file, FileBytesDefault when 0. A group
	// commit that does not fit into it gets a file of its own size.
	FileBytes int64
	// SyncInterval 0 syncs every group commit before it is acknowledged. Otherwise
	// appends return once written, and a power cut may take the last interval with it.
	SyncInterval time.Duration
}

// Recovery is what Open found.
type Recovery struct {
	Clean     bool   // the log was closed; otherwise it was killed
	TornBytes int64  // cut from the tail because no sync ever covered them
	File      string // where the tail was cut, if TornBytes > 0
	Offset    int64
	Files     int    // files read
	Bytes     int64  // bytes of them
	Entries   uint64 // live entries
}

// Stats are figures since Open, except for the sizes.
type Stats struct {
	Bytes     int64 // written bytes in all files
	Files     int
	Groups    uint64 // group commits
	Entries   uint64 // entries in them
	Syncs     uint64
	TornBytes int64 // what Open cut
}

// Log is one folder of log files.
type Log struct {
	fs      vfs.FS
	dir     string
	options Options

	mu       sync.Mutex
	space    *sync.Cond // signalled when pending was taken
	streams  map[uint32]*Stream
	files    map[uint64]*logFile
	pending  *group
	spare    group // buffers to use again
	closing  bool
	closed   bool
	unsynced bool  // streams show what only a sync interval will make durable
	err      error // why it is poisoned
	stats    Stats
	poisoned chan struct{}

	wake chan struct{} // one token: pending is wanted, or closing or err changed
	done chan struct{} // the committer has ended

	// committing is held by who commits; all below is his.
	committing sync.Mutex
	current    *logFile
	at         int64 // end of the last commit in current
	syncedUpTo int64
	capacity   int64
	cleared    int64 // up to where zeros were written, see clear
}

// logFile is an open file. readers and dropped are guarded by Log.mu.
type logFile struct {
	id      uint64
	file    vfs.File
	bytes   int64 // written
	readers int
	dropped bool
}

// Open reads the log in dir, making it if missing, and starts a new file behind what
// it found. The caller holds the lock of the folder.
func Open(fsys vfs.FS, dir string, o Options) (*Log, Recovery, error) {
	if o.FileBytes == 0 {
		o.FileBytes = FileBytesDefault
	}
	if o.FileBytes < fileBytesMin || o.FileBytes > fileBytesMax || o.SyncInterval < 0 || o.SyncInterval > syncIntervalMax {
		return nil, Recovery{}, fmt.Errorf("log options: file of %d bytes, sync interval %v", o.FileBytes, o.SyncInterval)
	}
	l := &Log{
		fs: fsys, dir: dir, options: o,
		streams: map[uint32]*Stream{}, files: map[uint64]*logFile{},
		poisoned: make(chan struct{}), wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	l.space, l.pending = sync.NewCond(&l.mu), newGroup(l, group{})
	recovery, err := l.recover()
	if err != nil {
		return nil, recovery, errors.Join(err, l.closeFiles())
	}
	go l.run()
	return l, recovery, nil
}

// Stream is the view of one shard, made when first asked for.
func (l *Log) Stream(shard uint32) *Stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stream(shard)
}

func (l *Log) stream(shard uint32) *Stream {
	s := l.streams[shard]
	if s == nil {
		invariant.Check(len(l.streams) < streamsMax, "more than %d shards in one log", streamsMax)
		s = &Stream{log: l, shard: shard, keys: map[string][]byte{}}
		l.streams[shard] = s
	}
	return s
}

// Sync returns when everything whose Append has returned is durable. With a sync
// interval it must stand between an append and anything durable that relies on it;
// without one there is nothing to do. A failed sync poisons the log.
func (l *Log) Sync() error {
	l.mu.Lock()
	switch {
	case l.err != nil:
		defer l.mu.Unlock()
		return l.err
	case l.closing || l.closed:
		l.mu.Unlock()
		<-l.done // everything was made durable by then, or the log is poisoned
		return l.Err()
	case l.pending.empty() && !l.unsynced:
		l.mu.Unlock()
		return nil
	}
	l.pending.sync = true
	p := Pending{l.pending}
	l.mu.Unlock()
	return p.Wait()
}

// Close waits for what was queued, writes the end record, and gives back the space
// that was preallocated. It returns the poison if there is one.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	l.signal()
	<-l.done
	l.mu.Lock()
	err, first := l.err, !l.closed
	l.closed = true
	l.mu.Unlock()
	if first {
		err = errors.Join(err, l.closeFiles())
	}
	return err
}

// Poisoned is closed after the first failed write or sync.
func (l *Log) Poisoned() <-chan struct{} { return l.poisoned }

// Err is why the log is poisoned, nil while it is not.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Stats returns the figures.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := l.stats
	st.Files = len(l.files)
	for _, f := range l.files {
		st.Bytes += f.bytes
	}
	return st
}

// FrontHolder names the shard whose oldest entry keeps the oldest file alive, and how
// many bytes the log holds: when that is too much, this shard is the one to flush.
func (l *Log) FrontHolder() (shard uint32, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		bytes += f.bytes
	}
	var front *position
	for _, s := range l.usedStreams() {
		if len(s.entries) == 0 {
			continue
		}
		p := &s.entries[0]
		if front == nil || p.file < front.file || (p.file == front.file && p.offset < front.offset) {
			shard, front = s.shard, p
		}
	}
	return shard, bytes
}

// usedStreams are the streams that state records hold, by shard.
func (l *Log) usedStreams() []*Stream {
	used := make([]*Stream, 0, len(l.streams))
	for _, s := range l.streams {
		if s.used {
			used = append(used, s)
		}
	}
	slices.SortFunc(used, func(a, b *Stream) int { return cmp.Compare(a.shard, b.shard) })
	return used
}

func (l *Log) path(id uint64) string { return path.Join(l.dir, fileName(id)) }

// release ends a read of f; the last reader of a dropped file closes it.
func (l *Log) release(f *logFile) {
	l.mu.Lock()
	f.readers--
	last := f.dropped && f.readers == 0
	l.mu.Unlock()
	if last {
		// The file is unlinked and was only read: an error of closing concerns nobody.
		_ = f.file.Close()
	}
}

// closeFiles gives up all handles; a read in progress keeps its own until it ends.
func (l *Log) closeFiles() error {
	l.mu.Lock()
	var idle []*logFile
	for id, f := range l.files {
		f.dropped = true
		if f.readers == 0 {
			idle = append(idle, f)
		}
		delete(l.files, id)
	}
	l.closed = true
	l.mu.Unlock()
	var err error
	for _, f := range idle {
		err = errors.Join(err, f.file.Close())
	}
	return err
}
