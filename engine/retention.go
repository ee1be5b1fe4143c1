package engine

import (
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

// look takes the clock's claim and reports whether it is believed. newest is the latest
// plausible receive time, the only witness of the time before Open.
func (b *believedClock) look(claim, newest int64) bool {
	limit := int64(clockStepMax)
	if !b.looked {
		limit, b.now = int64(clockGapMax), newest
		if newest == 0 {
			b.now = claim
		}
	}
	if claim > b.now && claim-b.now > limit {
		return false
	}
	b.looked = true
	b.now = max(b.now, claim)
	return true
}

// DropExpired drops the segments of which every window ended more than Options.Retention
// before now (unix nanoseconds), and reports how many. Only receive time decides, and only
// a plausible now: a jump of more than two days between two calls is refused with an
// error, and so is one of more than 400 days since the newest data at Open.
func (s *Shard) DropExpired(now int64) (dropped int, err error) {
	if s.o.Retention <= 0 {
		return 0, nil
	}
	s.merging.Lock()
	defer s.merging.Unlock()
	v, err := s.view()
	if err != nil {
		return 0, err
	}
	defer v.close()
	infos := make([]segment.Info, len(v.segments))
	for i, l := range v.segments {
		infos[i] = l.Info()
	}
	if !s.clock.look(now, newestPlausible(infos)) {
		return 0, fmt.Errorf("shard %d: retention does not believe the clock: %d ns after the last plausible time", s.o.Shard, now-s.clock.now)
	}
	names := compaction.Expired(compaction.Policy{Retention: s.o.Retention}, infos, now)
	expired := slices.DeleteFunc(slices.Clone(v.segments), func(l *liveSegment) bool { return !slices.Contains(names, l.Info().Name) })
	if len(expired) == 0 {
		return 0, nil
	}
	if err := s.replace(expired, nil); err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.stats.Dropped += len(expired)
	s.mu.Unlock()
	s.log.Info("retention dropped segments", "count", len(expired))
	return len(expired), nil
}

// newestPlausible is the latest receive time of the segments that follows the one before
// it by no more than a pause can explain: entries stamped in 2100 do not witness 2100.
func newestPlausible(infos []segment.Info) int64 {
	times := make([]int64, 0, len(infos))
	for _, info := range infos {
		times = append(times, info.MaxReceived)
	}
	slices.Sort(times)
	var newest int64
	for i, t := range times {
		if i > 0 && t-newest > int64(clockGapMax) {
			break
		}
		newest = t
	}
	return newest
}
