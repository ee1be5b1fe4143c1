package engine

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
)

// ReadTables reads and checks the tables of the live segments, those applied last first: questions then find
// them read, and damage is found soon after a start, whether somebody asks or not. Before each
// segment it calls pause. It ends when all were tried, with ctx, or with Close. What cannot be read is
// logged, told by Ready, and the error of questions that need it; others go on. It reports whether that may
// pass: who calls it then calls ReadTablesAgain after a while, until it reports that nothing is left to wait for.
func (s *Shard) ReadTables(ctx context.Context, pause func()) (mayPass bool) {
	return s.readTables(ctx, pause, func(*liveSegment) bool { return true })
}

// ReadTablesAgain is ReadTables of those segments alone of which something failed that may pass.
func (s *Shard) ReadTablesAgain(ctx context.Context, pause func()) (mayPass bool) {
	return s.readTables(ctx, pause, func(l *liveSegment) bool { return mayPassOf(l.Err()) })
}

// mayPassOf reports whether the next try may end better: a disk fails for a moment, while bytes that are wrong stay
// wrong, and code that panics over them panics again.
func mayPassOf(err error) bool {
	var panicked *invariant.Panic
	return err != nil && !errors.Is(err, codec.ErrCorrupt) && !errors.Is(err, codec.ErrVersion) && !errors.As(err, &panicked)
}

func (s *Shard) readTables(ctx context.Context, pause func(), wanted func(*liveSegment) bool) (mayPass bool) {
	var last *liveSegment
	for ctx.Err() == nil {
		pause()
		leave, err := enter(ctx, s.o.Gate.tables)
		if err != nil {
			break
		}
		if ctx.Err() == nil {
			last = s.readBefore(last, wanted)
		}
		leave()
		if last == nil {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed && slices.ContainsFunc(s.live.segments, func(l *liveSegment) bool { return mayPassOf(l.Err()) })
}

// readBefore reads the tables of the segment that was applied last of those wanted before another, of all where that
// is nil. It gives nil where there is none, or the shard is closed. The view is of this segment alone: what is
// merged or dropped meanwhile shall go. What comes meanwhile was checked when it was written.
func (s *Shard) readBefore(last *liveSegment, wanted func(*liveSegment) bool) (next *liveSegment) {
	v, err := s.view()
	if err != nil {
		return nil
	}
	defer v.close()
	for _, l := range v.segments {
		if (last == nil || last.isNewer(l)) && (next == nil || l.isNewer(next)) && wanted(l) {
			next = l
		}
	}
	if next == nil {
		return nil
	}
	failed := next.File.Err()
	if err := next.Check(); err != nil {
		log := s.log
		if panicked := (*invariant.Panic)(nil); errors.As(err, &panicked) {
			log = log.With("stack", panicked.Stack)
		}
		log.Error("segment cannot be read", "file", next.Info().Name, "cause", err)
	} else if failed != nil {
		s.log.Info("segment can be read again", "file", next.Info().Name, "before", failed)
		wake(s.mergeWake) // merges left it out
	}
	return next
}

// isNewer reports whether a segment was applied after another; no two are equal in that.
func (l *liveSegment) isNewer(other *liveSegment) bool {
	return cmp.Or(cmp.Compare(l.entry.lastSeq, other.entry.lastSeq), cmp.Compare(l.entry.name, other.entry.name)) > 0
}

// damaged is why something of a live segment could not be read, of the first that has a reason; s.mu is held.
func (s *Shard) damaged() error {
	for _, l := range s.live.segments {
		if err := l.Err(); err != nil {
			return err
		}
	}
	return nil
}
