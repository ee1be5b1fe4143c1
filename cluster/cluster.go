// Package cluster makes many shards one store. On one node that is: a folder with its
// lock and its epoch record (how many shards there are and which hash places a trace),
// one log for all shards, and for each shard an engine.Shard behind a Group, which
// brings what is written into one order and makes it durable before it is visible.
//
// The flow of a write: Write walks and cuts the request (engine/span/otlp) and hands the
// parts of all shards to their groups. Direct, the groups of a node alone, has the request's
// own goroutine make log entries of what has queued, append them with one sync for all
// shards, apply them, and tell the others who wait.
// The flow of a read: every shard is asked, or for a trace by id the one that Place
// names, and the answers are merged newest first.
//
// Goroutines: one keeper, which ticks idle shards and drops
// log files no longer needed; one caretaker for long work (flush to bound the log,
// compaction, retention), and one that calls it off; one that reads the tables of segments after a start
// and then ends; one for each shard that a read asks,
// bounded over all reads;
// and for a while those that Direct needs where no request can do the work: for ticks,
// for a shard whose flush is behind, for large rounds. Close ends them all.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/invariant"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// Names in the folder.
const (
	lockFile = "lock"
	logDir   = "log"
)

// shardDir is the folder of one shard's segments and manifest.
func shardDir(shard int) string { return fmt.Sprintf("shard-%03d", shard) }

// Options are what a node may be told. The zero value of a field other than FS is its
// default.
type Options struct {
	FS     vfs.FS // the data folder
	Shards int    // of a new folder; 0 takes what the folder says, ShardsDefault() for a new one
	Logger *slog.Logger
	Now    func() time.Time

	MustExist bool // refuse an empty folder instead of making it a data folder

	Log wal.Options // file size and sync interval; SyncInterval 0 syncs before every answer

	MemtableBytesMax int64         // of one shard's open memtable, as parts count them (engine.CountedBytes); default MemtableBytes / shards, three quarters of it for one alone
	MemtableBytes    int64         // of the open memtables of all shards, counted so too; default 192 MiB
	MemtableAge      time.Duration // an open memtable is sealed at this age
	Retention        time.Duration // 0 keeps everything
	DiskBudget       int64         // bytes of all segments, beyond which the oldest windows go; 0 is none
	LogBytesMax      int64         // the log is flushed down to this; default 1 GiB
	ReserveBytes     int64         // of the disk that writes leave free; negative is none
	PagesBytesMax    int           // of opened pages and answers that are kept; default 96 MiB
	AnswersAnew      bool          // make each answer anew; else summaries, short traces and longer ones that are asked for again are kept
	// SplitCellsBytesMax is of what is kept, in all shards together and for the service graph and
	// rates together, of what traces count that stand in several segments; default 48 MiB.
	SplitCellsBytesMax int

	// Shared is what this store shares with others of the process; nil is nothing.
	Shared *Shared
	shares bool // Shared is that of others too
	// Questions, where set, go first: what can wait makes way for those that it is told of.
	Questions *Questions
	// TablesAfter, where set, is closed when tables of segments may be read that no question asked for: by who
	// opens several stores, when all are open.
	TablesAfter <-chan struct{}
	// Background, where set, is called first by each goroutine that flushes or merges.
	Background func()
	// CheckPart, where set, may refuse a part during Apply: it injects the fault that a
	// walker error on valid bytes would be.
	CheckPart func(*span.Batch) error
	// Progress hears of the replay of the log, from several goroutines.
	Progress func(Replayed)
	// Heartbeat drives the background work; nil is a ticker of a second.
	Heartbeat <-chan time.Time
}

// Replayed is how far one shard's replay has come.
type Replayed struct {
	Shard          int
	Entries, Bytes int64
}

// Store is a node's data, open. All methods may be called from any number of
// goroutines.
type Store struct {
	o     Options
	log   *slog.Logger
	epoch Epoch

	lock   io.Closer
	wal    *wal.Log
	shards []*engine.Shard
	groups *Direct

	recovery  Recovery
	readers   chan struct{} // a slot for each shard that is being read
	leisurely chan struct{} // a place for each of them that is read at leisure
	writers   *turns        // of requests to be walked
	imports   *Imports

	fatal     chan error // holds the one error that ends the process
	closing   atomic.Bool
	quit      chan struct{} // closed to end keeper and caretaker
	work      sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

// Recovery says what opening the folder found.
type Recovery struct {
	Log     wal.Recovery
	Entries int64 // replayed
	Bytes   int64 // of their payload
	Took    time.Duration
}

// Recovery of this start.
func (s *Store) Recovery() Recovery { return s.recovery }

// Shards is the number of shards of the folder.
func (s *Store) Shards() int { return s.epoch.Shards }

// Imports is the ledger of imported files.
func (s *Store) Imports() *Imports { return s.imports }

// Fatal receives the error after which the process must end: the log has failed, and
// only a new start can tell which of the last bytes are on the disk; or a round panicked, and
// only a new start, which replays the log, brings it and memory together.
func (s *Store) Fatal() <-chan error { return s.fatal }

// Flush writes every memtable to a segment. It fails after what Fatal tells.
func (s *Store) Flush(ctx context.Context) error {
	if err := s.groups.Err(); err != nil {
		return err // a memtable may hold half an entry
	}
	return s.eachShard(func(i int) error { return s.shards[i].Flush(ctx) })
}

// flushShard is Flush of one shard.
func (s *Store) flushShard(ctx context.Context, shard int) error {
	if err := s.groups.Err(); err != nil {
		return err
	}
	return s.shards[shard].Flush(ctx)
}

// syncLog is what flushes ask for before a segment of theirs counts. After a panic none may: the memtable may hold
// half an entry, which the log has whole.
func (s *Store) syncLog() error {
	if err := s.wal.Sync(); err != nil {
		return err
	}
	return s.groups.Err()
}

// Compact merges the segments of each shard and window.
func (s *Store) Compact(ctx context.Context) error {
	return s.eachShard(func(i int) error { return s.shards[i].Compact(ctx) })
}

// Settle flushes every memtable and merges until the policy asks for nothing more, in every
// shard: what a store comes to by itself once it is left alone. It returns the errors of all
// shards in which a flush or a merge failed.
func (s *Store) Settle(ctx context.Context) error {
	if err := s.groups.Err(); err != nil {
		return err
	}
	return s.eachShard(func(i int) error { return s.shards[i].Settle(ctx) })
}

// Close refuses new writes, decides those that are under way, flushes every memtable
// and ends the log with a record that says so. Reads must have ended. When ctx ends
// first the flush is left out, as it is after what Fatal tells: the log holds what is missing.
func (s *Store) Close(ctx context.Context) error {
	s.closeOnce.Do(func() {
		s.closing.Store(true)
		close(s.quit)
		for _, shard := range s.shards {
			shard.StopMerging() // the caretaker may wait for a merge
		}
		s.groups.Close()
		s.work.Wait()
		var errs []error
		if s.wal.Err() == nil {
			errs = append(errs, s.Flush(ctx))
			s.truncateLog()
		}
		errs = append(errs, s.closeShards(), s.wal.Close(), s.lock.Close())
		s.closeErr = errors.Join(errs...)
	})
	return s.closeErr
}

func (s *Store) closeShards() error {
	var errs []error
	for _, shard := range s.shards {
		if shard != nil {
			errs = append(errs, shard.Close())
		}
	}
	return errors.Join(errs...)
}

// eachShard runs work for all shards at once and joins the errors. The first one's is the caller's
// own to do: what it takes to wake a thread for it is as long as short questions take. A panic in one is
// the caller's, when the others have ended.
func (s *Store) eachShard(work func(shard int) error) error {
	errs := make([]error, s.epoch.Shards)
	var crew invariant.Crew
	for i := 1; i < len(errs); i++ {
		crew.Go(func() { errs[i] = work(i) })
	}
	crew.Do(func() { errs[0] = work(0) })
	crew.Wait()
	return errors.Join(errs...)
}

// withDefaults fills what the caller left out.
func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MemtableBytes == 0 {
		o.MemtableBytes = memtableBytesTotal
	}
	if o.MemtableAge == 0 {
		o.MemtableAge = memtableAgeDefault
	}
	if o.LogBytesMax == 0 {
		o.LogBytesMax = logBytesMaxDefault
	}
	if o.PagesBytesMax == 0 {
		o.PagesBytesMax = pagesBytesMaxDefault
	}
	if o.SplitCellsBytesMax == 0 {
		o.SplitCellsBytesMax = splitCellsBytesMaxDefault
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = reserveBytesDefault
	}
	if o.Shared == nil {
		o.Shared = NewShared()
	} else {
		o.shares = true
	}
	return o
}
