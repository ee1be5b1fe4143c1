package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/stoadb/stoa/cluster/raftstore"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// The name under which a node alone stands in its groups' configuration. It is in the
// log for ever: a node that joins others keeps it as the id of its first member.
const (
	nodeID      = "stoa-1"
	nodeAddress = "local"
)

// Open takes the folder for this process, opens its log and shards and replays what
// the segments do not hold yet. An empty folder becomes a data folder, unless MustExist; one
// that holds anything else is ErrForeign, one that is in use vfs.ErrLocked.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	if err := checkFolder(o.FS, !o.MustExist); err != nil {
		return nil, err
	}
	lock, err := o.FS.Lock(lockFile)
	if err != nil {
		return nil, err
	}
	s := &Store{
		o: o, log: o.Logger, lock: lock, readers: o.Shared.readers, leisurely: o.Shared.leisurely, writers: o.Shared.writers,
		fatal: make(chan error, 1), quit: make(chan struct{}),
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.abandon())
	}
	s.start()
	return s, nil
}

// RemoveStrays removes what killed flushes and merges left in the folder of a store that nobody has open, and tells
// how many files that was. Open does so too, but makes a log file first, for which a full disk has
// no room: where Open fails with that (vfs.Full), these files may be what fills it, in any store's folder.
func RemoveStrays(disk vfs.FS, log *slog.Logger) (removed int, err error) {
	if err := checkFolder(disk, false); err != nil {
		return 0, err
	}
	lock, err := disk.Lock(lockFile)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	b, err := vfs.ReadFile(disk, epochFile, fileBytesMax)
	if err != nil {
		return 0, err
	}
	epoch, err := DecodeEpoch(epochFile, b)
	if err != nil {
		return 0, err
	}
	for i := range epoch.Shards {
		n, err := engine.RemoveStrays(disk, shardDir(i), uint32(i), log.With("shard", i))
		if removed += n; err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// abandon gives back what open has taken before it failed.
func (s *Store) abandon() error {
	errs := []error{s.closeShards()}
	if s.wal != nil {
		errs = append(errs, s.wal.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

func (s *Store) open(ctx context.Context) error {
	begin := s.o.Now()
	// A process killed between a rename and its sync leaves names that this start can see
	// and a power cut can still take: nothing is built on them before they are durable.
	if err := s.o.FS.SyncDir("."); err != nil {
		return err
	}
	var err error
	if s.epoch, err = openEpoch(s.o.FS, s.o.Shards); err != nil {
		return err
	}
	if s.imports, err = openImports(s.o.FS, func() error { return s.wal.Sync() }); err != nil {
		return err
	}
	if s.wal, s.recovery.Log, err = wal.Open(s.o.FS, logDir, s.o.Log); err != nil {
		return err
	}
	if torn := s.recovery.Log.TornBytes; torn > 0 {
		s.log.Warn("the log had a torn tail, as after a power cut: bytes that no sync had covered were cut",
			"bytes", torn, "file", s.recovery.Log.File, "offset", s.recovery.Log.Offset)
	}
	s.groups = NewDirect(s.o.Now, s.o.Questions) // flushes ask it, those of a replay too
	s.groups.log = s.log
	s.shards = make([]*engine.Shard, s.epoch.Shards)
	pages := segment.NewPages(s.o.PagesBytesMax)
	if s.o.AnswersAnew {
		pages.ForgetMade()
	}
	var entries, bytes atomic.Int64
	err = s.eachShard(func(i int) error {
		return s.openShard(ctx, i, pages, &entries, &bytes)
	})
	s.recovery.Entries, s.recovery.Bytes = entries.Load(), bytes.Load()
	s.recovery.Took = s.o.Now().Sub(begin)
	return err
}

func (s *Store) openShard(ctx context.Context, i int, pages *segment.Pages, entries, bytes *atomic.Int64) error {
	memtableBytesMax := s.o.MemtableBytesMax
	room := memtableBytesMax * roomQuarters / 4
	if memtableBytesMax == 0 {
		memtableBytesMax = s.o.MemtableBytes / int64(s.epoch.Shards)
		room = memtableBytesMax * roomQuarters / 4
		if s.epoch.Shards == 1 && !s.o.shares {
			memtableBytesMax = memtableBytesMax / 4 * aloneQuarters
		}
	}
	// Shards fill at one pace: the first memtable of a window is sealed early in all but the last,
	// each at a share of its own, so that they freeze in turns from then on.
	first := max(memtableBytesMax*int64(i+1)/int64(s.epoch.Shards), 1)
	shard, err := engine.Open(engine.Options{
		FS: s.o.FS, Dir: shardDir(i), Shard: uint32(i), Log: s.log.With("shard", i),
		MemtableBytesMax: memtableBytesMax, FirstMemtableBytesMax: first, RoomBytes: max(room, 1),
		MemtableAge: s.o.MemtableAge, Retention: s.o.Retention,
		Gate: s.o.Shared.gate, Pages: pages, SplitCellsBytesMax: max(s.o.SplitCellsBytesMax/s.epoch.Shards, 1),
		CheckPart: s.o.CheckPart, SyncLog: s.syncLog, RoomFor: s.roomBeside, Background: s.o.Background, Pause: s.o.Questions.pause,
	})
	if err != nil {
		return err
	}
	s.shards[i] = shard
	stream := s.wal.Stream(uint32(i))
	if err := checkReach(stream.First(), stream.Last(), shard.Flushed()); err != nil {
		return fmt.Errorf("shard %d: %w", i, err)
	}
	if stream.Last() == 0 {
		if err := stream.Append(raftstore.ConfigurationEntry(nodeID, nodeAddress, s.o.Now().UnixNano())); err != nil {
			return err
		}
	}
	return s.replay(ctx, i, entries, bytes)
}

// checkReach makes sure that log and segments together hold every entry.
func checkReach(first, last, flushed uint64) error {
	switch {
	case last < flushed:
		return fmt.Errorf("%s: the log ends at Seq %d, but segments hold all up to %d: log files are missing", logDir, last, flushed)
	case last != 0 && first > flushed+1:
		return fmt.Errorf("%s: the log begins at Seq %d, but segments hold only up to %d: entries between are missing", logDir, first, flushed)
	}
	return nil
}

// replayedEntries is after how many entries Progress is called again.
const replayedEntries = 256

// replay applies what the segments do not hold.
func (s *Store) replay(ctx context.Context, i int, entries, bytes *atomic.Int64) error {
	done := Replayed{Shard: i}
	err := s.wal.Stream(uint32(i)).Scan(s.shards[i].Flushed()+1, func(record wal.Entry) error {
		if !raftstore.IsCommand(record) {
			_, err := s.shards[i].Apply(record.Seq, nil)
			return err
		}
		e, err := engine.DecodeEntry(record.Payload)
		if err != nil {
			return fmt.Errorf("%s: shard %d: Seq %d: %w", logDir, i, record.Seq, err)
		}
		if _, err := s.shards[i].Apply(record.Seq, e); err != nil {
			return err
		}
		done.Entries++
		done.Bytes += int64(len(record.Payload))
		if s.o.Progress != nil && done.Entries%replayedEntries == 0 {
			s.o.Progress(done)
		}
		return ctx.Err()
	})
	entries.Add(done.Entries)
	bytes.Add(done.Bytes)
	if s.o.Progress != nil && done.Entries > 0 {
		s.o.Progress(done)
	}
	return err
}

// start begins what runs beside the callers.
func (s *Store) start() {
	shards := make([]DirectShard, s.epoch.Shards)
	for i := range shards {
		shards[i] = DirectShard{Log: StreamLog{s.wal.Stream(uint32(i))}, Shard: s.shards[i]}
	}
	s.groups.add(shards...)
	beats, stop := s.o.Heartbeat, func() {}
	if beats == nil {
		ticker := time.NewTicker(heartbeatInterval)
		beats, stop = ticker.C, ticker.Stop
	}
	care := make(chan struct{}, 1)
	careful, cancel := context.WithCancel(context.Background())
	s.work.Go(func() {
		defer stop()
		s.keep(beats, care)
	})
	s.work.Go(func() { s.takeCare(careful, care) })
	s.work.Go(func() { s.readTables(careful) })
	s.work.Go(func() {
		<-s.quit
		cancel()
	})
}

// readTables reads the tables that no question asked for yet, until ctx ends, when it may begin. What a disk did not give is tried
// again after a pause, each twice as long as the one before.
func (s *Store) readTables(ctx context.Context) {
	if s.o.TablesAfter != nil {
		select {
		case <-s.o.TablesAfter:
		case <-ctx.Done():
			return
		}
	}
	pause := func() { s.o.Questions.pauseFor(ctx, tablesPauseMax) }
	mayPass := false
	for _, shard := range s.shards {
		mayPass = shard.ReadTables(ctx, pause) || mayPass
	}
	for wait := tablesAgainMin; mayPass; wait = min(2*wait, tablesAgainMax) {
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return
		}
		mayPass = false
		for _, shard := range s.shards {
			mayPass = shard.ReadTablesAgain(ctx, pause) || mayPass
		}
	}
}
