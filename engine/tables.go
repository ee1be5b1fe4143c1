package engine

import (
	"cmp"
	"context"
)

// ReadTables reads and checks the tables of the live segments, those received last first: questions then find
// them read, and damage is found soon after a start, whether somebody asks or not. Before each
// segment it calls pause. It ends when all were tried, with ctx, or with Close. What cannot be read is
// logged, told by Ready, and the error of questions that need it; others go on.
func (s *Shard) ReadTables(ctx context.Context, pause func()) {
	tried := make(map[*liveSegment]bool)
	for more := true; more; {
		pause()
		leave, err := enter(ctx, s.o.Gate.tables)
		if err != nil {
			return
		}
		more = ctx.Err() == nil && s.readNext(tried)
		leave()
	}
}

// readNext reads the tables of one segment more; false where none is left. The view is of this segment alone:
// what is merged or dropped meanwhile shall go.
func (s *Shard) readNext(tried map[*liveSegment]bool) (more bool) {
	v, err := s.view()
	if err != nil {
		return false
	}
	defer v.close()
	var next *liveSegment
	for _, l := range v.segments {
		if !tried[l] && (next == nil || compareReceived(l, next) > 0) {
			next = l
		}
	}
	if next == nil {
		return false
	}
	tried[next] = true
	if err := next.Check(); err != nil {
		s.log.Error("segment cannot be read", "file", next.Info().Name, "cause", err)
	}
	return true
}

func compareReceived(a, b *liveSegment) int {
	return cmp.Or(cmp.Compare(a.Info().MaxReceived, b.Info().MaxReceived), cmp.Compare(a.entry.lastSeq, b.entry.lastSeq))
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
