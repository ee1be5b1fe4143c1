package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine/segment"
)

// believedClock is the time that retention goes by: no entry and no clock moves it
// further at once than a pause can explain. A clock that claims the year 2100 for an hour
// must not cost anybody their data; a window dropped a day late costs some disk.
type believedClock struct {
	now    int64 // unix nanoseconds; 0 until the first look
	looked bool  // DropExpired was called since Open
}

// look takes the clock's claim and reports whether it is believed. The rows of the
// segments are the only witness of the time before Open, and later of a long sleep: the
// newest plausible of them at first, then what half of them have reached.
func (b *believedClock) look(claim int64, rows witness) bool {
	limit := int64(clockStepMax)
	switch {
	case b.looked:
		b.now = max(b.now, rows.middle)
	case rows == witness{}:
		limit, b.now = int64(clockGapMax), claim
	default:
		limit, b.now = int64(clockGapMax), rows.newest
	}
	if claim > b.now && claim-b.now > limit {
		return false
	}
	b.looked = true
	b.now = max(b.now, claim)
	return true
}

// believedTime is the time that merges and a disk budget go by, who are told no clock: the receive time applied last,
// where a pause can explain how far it is ahead of most rows, else the newest plausible one of these. The largest
// time ever applied would not do: of a clock that once claimed the year 2100, all windows would be over for ever.
func believedTime(latest int64, rows witness) int64 {
	if latest > rows.newest && uint64(latest-rows.newest) > uint64(clockGapMax) {
		return rows.newest
	}
	return latest
}

// latestOf is the receive time that was applied last, as segments of any number of shards tell it: the newest of those
// that each shard applied last; 0 without segments.
func latestOf(infos []segment.Info) (latest int64) {
	last := map[uint32]segment.Info{} // by shard
	for _, info := range infos {
		if known, ok := last[info.Shard]; !ok || info.LastSeq > known.LastSeq {
			last[info.Shard] = info
		}
	}
	for _, info := range last {
		latest = max(latest, info.MaxReceived)
	}
	return latest
}

// DropExpired drops the segments of which every window ended more than Options.Retention
// before now (unix nanoseconds), and reports how many. Only receive time decides, and only
// a plausible now: a jump of more than two days between two calls is refused with an
// error, and so is one of more than 400 days since the newest data at Open.
func (s *Shard) DropExpired(now int64) (dropped int, err error) {
	if s.o.Retention <= 0 {
		return 0, nil
	}
	v, done, err := s.alone(context.Background())
	if err != nil {
		return 0, err
	}
	defer done()
	infos := infosOf(v.segments)
	if !s.clock.look(now, witnessOf(infos)) {
		return 0, fmt.Errorf("shard %d: retention does not believe the clock: %d ns after the last plausible time", s.o.Shard, now-s.clock.now)
	}
	return s.drop(v, compaction.Expired(compaction.Policy{Retention: s.o.Retention}, infos, now), "retention")
}

// OverBudget tells through which window the segments of all shards must go, so that the rest
// takes at most budgetBytes. The window that is written to stays, and what claims to come after it.
func OverBudget(budgetBytes int64, live []segment.Info) (through int64, over bool) {
	now := believedTime(latestOf(live), witnessOf(live))
	return compaction.OverBudget(budgetBytes, live, segment.WindowOf(now))
}

// DropThrough drops the segments whose last window is through or older, and reports how
// many: what a disk budget asks for, which knows no clock.
func (s *Shard) DropThrough(through int64) (dropped int, err error) {
	v, done, err := s.alone(context.Background())
	if err != nil {
		return 0, err
	}
	defer done()
	return s.drop(v, compaction.Through(through, infosOf(v.segments)), "disk budget")
}

// Infos tells of the live segments.
func (s *Shard) Infos() ([]segment.Info, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close()
	return infosOf(v.segments), nil
}

func infosOf(live []*liveSegment) []segment.Info {
	infos := make([]segment.Info, len(live))
	for i, l := range live {
		infos[i] = l.Info()
	}
	return infos
}

// drop takes the named segments out; who calls is alone.
func (s *Shard) drop(v *view, names []string, reason string) (dropped int, err error) {
	gone := slices.DeleteFunc(slices.Clone(v.segments), func(l *liveSegment) bool { return !slices.Contains(names, l.Info().Name) })
	if len(gone) == 0 {
		return 0, nil
	}
	if err := s.replace(gone, nil); err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.stats.Dropped += len(gone)
	s.mu.Unlock()
	s.log.Info("segments dropped", "reason", reason, "count", len(gone))
	wake(s.mergeWake) // one may have waited for the room
	return len(gone), nil
}

// witness is the time as most rows tell it, 0 without rows.
type witness struct {
	middle int64 // the receive time that half of the rows reach
	newest int64 // plausible: from the middle on, no gap is longer than a pause can be
}

// witnessOf asks the majority of rows. Entries stamped in 2100 do not witness 2100, and
// those of a clock that began in 1970 hold nothing back. A node that was off for longer
// than a plausible pause believes its clock again when most of its rows came after.
func witnessOf(infos []segment.Info) witness {
	infos = slices.Clone(infos)
	slices.SortFunc(infos, func(a, b segment.Info) int { return cmp.Compare(a.MaxReceived, b.MaxReceived) })
	rows := 0
	for _, info := range infos {
		rows += info.Rows
	}
	var w witness
	below := 0
	for _, info := range infos {
		switch {
		case below*2 < rows:
			w.middle, w.newest = info.MaxReceived, info.MaxReceived
		case info.MaxReceived-w.newest <= int64(clockGapMax):
			w.newest = info.MaxReceived
		}
		below += info.Rows
	}
	return w
}
