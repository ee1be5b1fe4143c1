package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// keep is the keeper: short work at each beat, and the watch over the log and the groups. It asks
// the caretaker for the long work.
func (s *Store) keep(beats <-chan time.Time, care chan<- struct{}) {
	for {
		select {
		case <-s.quit:
			return
		case <-s.wal.Poisoned():
			s.fatal <- s.wal.Err()
			<-s.quit
			return
		case <-s.groups.Failed():
			s.fatal <- s.groups.Err()
			<-s.quit
			return
		case now := <-beats:
			s.tickIdle(now)
			s.truncateLog()
			select {
			case care <- struct{}{}:
			default: // the caretaker is at work still
			}
		}
	}
}

// tickIdle gives a shard whose memtable has grown old, without a write that would show
// it, an empty entry.
func (s *Store) tickIdle(now time.Time) {
	for i, shard := range s.shards {
		oldest, ok := shard.OldestReceived()
		if !ok || now.UnixNano()-oldest < int64(s.o.MemtableAge) {
			continue
		}
		if err := s.groups.Tick(i); err != nil && !errors.Is(err, span.ErrUnavailable) {
			s.log.Error("tick of an idle shard", "shard", i, "error", err)
		}
	}
}

// truncateLog lets go of the entries that segments hold.
func (s *Store) truncateLog() {
	for i := range s.shards {
		s.truncateShard(i)
	}
}

// truncateShard keeps the shard's last entry in any case: a log that remembers nothing
// could not tell a follower where it stands.
func (s *Store) truncateShard(shard int) {
	stream := s.wal.Stream(uint32(shard))
	first, last := stream.First(), stream.Last()
	through := min(s.shards[shard].Flushed(), last-min(last, 1))
	if first == 0 || through < first {
		return
	}
	if err := stream.TruncateFront(through); err != nil {
		s.log.Error("let go of log entries", "shard", shard, "through", through, "error", err)
	}
}

// retentionBeats is how many beats lie between two looks at retention: it drops whole
// windows of half an hour, a minute is soon enough.
const retentionBeats = 60

// takeCare is the caretaker: long work, one piece at a time.
func (s *Store) takeCare(ctx context.Context, care <-chan struct{}) {
	for beats := 0; ; beats++ {
		select {
		case <-ctx.Done():
			return
		case <-care:
		}
		s.boundLog(ctx)
		if beats%retentionBeats == 0 {
			s.dropExpired()
		}
		s.dropOverBudget()
		s.retryFlushes(ctx)
	}
}

// boundLog flushes the shards that hold the log's oldest file back while the log is
// over its budget. A shard that nobody writes to holds it with the one entry that always
// stays: a tick gives it a younger one, and the keeper can let the old one go.
func (s *Store) boundLog(ctx context.Context) {
	for range s.epoch.Shards {
		shard, bytes := s.wal.FrontHolder()
		if bytes <= s.o.LogBytesMax || int(shard) >= s.epoch.Shards || ctx.Err() != nil {
			return
		}
		if last := s.wal.Stream(shard).Last(); s.shards[shard].Flushed() >= last {
			if err := s.groups.Tick(int(shard)); err != nil {
				s.warn(ctx, "tick to bound the log", int(shard), err)
			}
			return // the keeper's next beat truncates
		}
		if err := s.flushShard(ctx, int(shard)); err != nil {
			s.warn(ctx, "flush to bound the log", int(shard), err)
			return
		}
		s.log.Info("flushed a shard that held the log's front back", "shard", shard, "log_bytes", bytes)
		s.truncateShard(int(shard))
	}
}

// dropExpired drops the windows that retention no longer holds.
func (s *Store) dropExpired() {
	if s.o.Retention == 0 {
		return
	}
	for i, shard := range s.shards {
		dropped, err := shard.DropExpired(s.o.Now().UnixNano())
		if err != nil {
			s.log.Error("retention", "shard", i, "error", err)
		}
		if dropped > 0 {
			s.log.Info("retention dropped segments", "shard", i, "segments", dropped)
		}
	}
}

// dropOverBudget drops the oldest windows of all shards while the segments take more than
// the disk budget.
func (s *Store) dropOverBudget() {
	if s.o.DiskBudget == 0 {
		return
	}
	var all []segment.Info
	for _, shard := range s.shards {
		infos, err := shard.Infos()
		if err != nil {
			return // closed
		}
		all = append(all, infos...)
	}
	through, over := engine.OverBudget(s.o.DiskBudget, all)
	if !over {
		return
	}
	for i, shard := range s.shards {
		dropped, err := shard.DropThrough(through)
		if err != nil {
			s.log.Error("disk budget", "shard", i, "error", err)
		}
		if dropped > 0 {
			s.log.Info("disk budget dropped segments", "shard", i, "segments", dropped)
		}
	}
}

// retryFlushes flushes again where the last flush failed, as on a full disk: room may
// have come back.
func (s *Store) retryFlushes(ctx context.Context) {
	for i, shard := range s.shards {
		if shard.Err() == nil || ctx.Err() != nil {
			continue
		}
		if err := s.flushShard(ctx, i); err != nil {
			s.warn(ctx, "flush", i, err)
		}
	}
}

// warn reports a failure of work that will be tried again, unless it was called off.
func (s *Store) warn(ctx context.Context, what string, shard int, err error) {
	if ctx.Err() == nil {
		s.log.Error(what, "shard", shard, "error", err)
	}
}
