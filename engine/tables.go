package engine

import (
	"cmp"
	"context"
)

// ReadTables reads and checks the tables of the live segments, those applied last first: questions then find
// them read, and damage is found soon after a start, whether somebody asks or not. Before each
// segment it calls pause. It ends when all were tried, with ctx, or with Close. What cannot be read is
// logged, told by Ready, and the error of questions that need it; others go on.
func (s *Shard) ReadTables(ctx context.Context, pause func()) {
	var last *liveSegment
	for {
		pause()
		leave, err := enter(ctx, s.o.Gate.tables)
		if err != nil {
			return
		}
		if ctx.Err() == nil {
			last = s.readBefore(last)
		}
		leave()
		if last == nil || ctx.Err() != nil {
			return
		}
	}
}

// readBefore reads the tables of the segment that was applied last of those before another, of all where that
// is nil. It gives nil where there is none, or the shard is closed. The view is of this segment alone: what is
// merged or dropped meanwhile shall go. What comes meanwhile was checked when it was written.
func (s *Shard) readBefore(last *liveSegment) (next *liveSegment) {
	v, err := s.view()
	if err != nil {
		return nil
	}
	defer v.close()
	for _, l := range v.segments {
		if (last == nil || last.isNewer(l)) && (next == nil || l.isNewer(next)) {
			next = l
		}
	}
	if next == nil {
		return nil
	}
	if err := next.Check(); err != nil {
		s.log.Error("segment cannot be read", "file", next.Info().Name, "cause", err)
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
