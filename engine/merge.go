package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/codec"
)

// mergeLoop merges segments as the policy asks, after each flush, until ctx ends.
func (s *Shard) mergeLoop(ctx context.Context) {
	s.o.Background()
	for {
		for merged := true; merged && ctx.Err() == nil; {
			merged, _ = s.mergePicked(ctx) // an error is told by Ready and the log
		}
		select {
		case <-ctx.Done():
			return
		case <-s.mergeWake:
		}
	}
}

// Settle flushes what was applied before the call, and merges until the policy asks for
// nothing more: what a shard comes to by itself once it is left alone. It returns the error of
// the first flush or merge that fails. A merge that is under way is waited for, until ctx ends. Segments
// that cannot be read are left out; where the policy asks for more with them, it returns why.
func (s *Shard) Settle(ctx context.Context) error {
	if err := s.Flush(ctx); err != nil {
		return err
	}
	for {
		merged, err := s.mergePicked(ctx)
		if err != nil {
			return err
		}
		if !merged {
			return s.leftOut(s.pick)
		}
		s.log.Info("settling: merged what the policy asked for", "segments_left", s.Stats().Segments)
	}
}

// mergePicked does the policy's next merge; false means there was none or it failed.
func (s *Shard) mergePicked(ctx context.Context) (merged bool, err error) {
	return s.mergeNext(ctx, s.pick)
}

// pick gives what the policy asks to be merged next.
func (s *Shard) pick(live []*liveSegment) (inputs []*liveSegment) {
	s.mu.Lock()
	latest := s.latest
	s.mu.Unlock()
	infos := infosOf(live)
	// The receive time applied last stands for now: windows close when something later comes.
	plan, _ := compaction.Pick(s.o.Compaction, infos, believedTime(latest, witnessOf(infos)))
	return named(live, plan.Inputs)
}

// named gives the segments of these names.
func named(live []*liveSegment, names []string) (list []*liveSegment) {
	for _, l := range live {
		if slices.Contains(names, l.Info().Name) {
			list = append(list, l)
		}
	}
	return list
}

// chooser names those of live segments that are to be merged next, none where there is nothing to do.
type chooser func(live []*liveSegment) (inputs []*liveSegment)

// mergeNext merges what choose names of the live segments; false means that it names none, or that the
// merge failed. It ends with StopMerging, and is ErrClosed then.
func (s *Shard) mergeNext(ctx context.Context, choose chooser) (merged bool, err error) {
	if s.merges.Err() != nil {
		return false, ErrClosed
	}
	during, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.merges, cancel)()
	merged, err = s.mergeChosen(during, choose)
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		err = ErrClosed
	}
	return merged, err
}

// mergeChosen asks choose twice. Who has nothing to merge waits for no merge of another shard, and is
// not among those whose segments may pile up meanwhile: it waits for those of its own shard only. What is
// merged is what choose names once the merge has its place. Segments of which tables cannot be read are not
// there to be chosen, nor those that the disk has no room to merge, nor those in whose rows a merge has met damage, or one of them would keep its shard from every merge.
func (s *Shard) mergeChosen(ctx context.Context, choose chooser) (merged bool, err error) {
	if some, err := s.hasToMerge(ctx, choose); err != nil || !some {
		return false, err
	}
	v, done, err := s.aloneToMerge(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	var refused error // some inputs for which the disk has no room; smaller ones may have some
	var left []*liveSegment
	for {
		inputs := choose(without(readable(v.segments), left))
		if len(inputs) == 0 {
			return false, refused
		}
		if err := s.roomFor(inputs); err != nil {
			if left = append(left, inputs...); refused == nil {
				s.log.Warn("a merge waits for room on the disk", "inputs", len(inputs), "cause", err)
			}
			refused = err
			continue
		}
		opened, err := openAll(ctx, inputs)
		if err == nil {
			err = s.merge(ctx, inputs, opened)
			if err == nil || len(readable(inputs)) == len(inputs) {
				return err == nil, err
			}
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		s.log.Error("merge leaves out a segment that cannot be read", "cause", err)
	}
}

// roomFor refuses inputs that the disk has no room to write once more. A later merge asks again.
func (s *Shard) roomFor(inputs []*liveSegment) error {
	if s.o.RoomFor == nil {
		return nil
	}
	bytes := int64(0)
	for _, l := range inputs {
		bytes += l.Info().Bytes
	}
	if err := s.o.RoomFor(bytes); err != nil {
		return fmt.Errorf("to merge %d bytes: %w", bytes, err)
	}
	return nil
}

// without gives live segments but those.
func without(live, those []*liveSegment) []*liveSegment {
	return slices.DeleteFunc(live, func(l *liveSegment) bool { return slices.Contains(those, l) })
}

// readable gives those of which no table failed when it was read last, and no row when it was merged.
func readable(live []*liveSegment) []*liveSegment {
	return slices.DeleteFunc(slices.Clone(live), func(l *liveSegment) bool { return l.Err() != nil })
}

// leftOut is why segments cannot be read, where choose would have some merged if they could.
func (s *Shard) leftOut(choose chooser) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close()
	if len(choose(v.segments)) == 0 {
		return nil
	}
	for _, l := range v.segments {
		if err := l.Err(); err != nil {
			return fmt.Errorf("left out of merges: %w", err)
		}
	}
	return nil
}

// hasToMerge tells whether choose names any of the live segments.
func (s *Shard) hasToMerge(ctx context.Context, choose chooser) (some bool, err error) {
	v, done, err := s.alone(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	return len(choose(readable(v.segments))) > 0, nil
}

// alone waits until nobody else merges or drops segments, and takes a view of segments only: they
// are the live ones until done is called.
func (s *Shard) alone(ctx context.Context) (v *view, done func(), err error) {
	leave, err := enter(ctx, s.merging)
	if err != nil {
		return nil, nil, err
	}
	if v, err = s.view(); err != nil {
		leave()
		return nil, nil, err
	}
	v.tables = nil // a merge lasts, and memtables that are flushed meanwhile shall go
	return v, func() { v.close(); leave() }, nil
}

// aloneToMerge is alone for a merge: it waits for the gate's place first, so that who drops segments
// waits for no merge of another shard.
func (s *Shard) aloneToMerge(ctx context.Context) (v *view, done func(), err error) {
	leave, err := s.o.Gate.enterMerges(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	v, others, err := s.alone(ctx)
	if err != nil {
		leave()
		return nil, nil, err
	}
	return v, func() { others(); leave() }, nil
}

// Compact merges the segments of each window into one, or into few where one could not hold them or their tables
// would not fit into memory, see compaction.Together, and returns when the manifest says so. What was not flushed
// before the call is not part of it, unless a merge that the policy asks for meanwhile puts it together with what
// was. Between two merges other shards have their turns. Segments that cannot be read are left out, and the error
// where they have a window with others.
func (s *Shard) Compact(ctx context.Context) error {
	through := s.Flushed()
	window := func(live []*liveSegment) []*liveSegment { return oldestWindow(s.o.Compaction, live, through) }
	for {
		merged, err := s.mergeNext(ctx, window)
		if err != nil {
			return err
		}
		if !merged {
			return s.leftOut(window)
		}
	}
}

// oldestWindow gives the segments of the oldest window that has several which can be one, with something of what was
// applied through a Seq.
func oldestWindow(p compaction.Policy, live []*liveSegment, through uint64) []*liveSegment {
	then := slices.DeleteFunc(slices.Clone(live), func(l *liveSegment) bool { return l.entry.firstSeq > through })
	for _, inputs := range windowGroups(then) {
		if names := compaction.Together(p, infosOf(inputs)); len(names) > 1 {
			return named(inputs, names)
		}
	}
	return nil
}

// windowGroups puts segments together that share a window, oldest window first. One that
// spans several windows, from an earlier merge, brings them all together.
func windowGroups(segments []*liveSegment) [][]*liveSegment {
	var groups [][]*liveSegment
	windows := func(l *liveSegment) []int64 { return l.Info().Windows }
	sorted := slices.Clone(segments)
	slices.SortStableFunc(sorted, func(a, b *liveSegment) int { return slices.Compare(windows(a), windows(b)) })
	var last int64
	for _, l := range sorted {
		w := windows(l)
		if len(groups) > 0 && len(w) > 0 && w[0] <= last {
			groups[len(groups)-1] = append(groups[len(groups)-1], l)
			last = max(last, slices.Max(w))
			continue
		}
		groups = append(groups, []*liveSegment{l})
		if len(w) > 0 {
			last = slices.Max(w)
		}
	}
	return groups
}

// merge writes the inputs' distinct rows to one segment and puts it in their place; who calls
// is alone, so the inputs stay live. The steps are those of a flush. Its context ends with StopMerging:
// Close waits for who is inside, but not for the merge.
func (s *Shard) merge(ctx context.Context, inputs []*liveSegment, opened []*segment.Segment) error {
	err := s.mergeInto(ctx, inputs, opened, s.newName())
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // given up, not failed
	}
	told := err // by Ready
	if noteDamage(inputs, err) {
		told = nil // of the segment, by Ready and by who goes on without it
	} else if err != nil {
		s.log.Error("merge failed", "inputs", len(inputs), "cause", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mergeErr = told
	if err != nil {
		s.stats.MergeFailures++
	} else {
		s.stats.Merges++
	}
	return err
}

// noteDamage notes the input whose bytes were wrong where a merge failed for that: the same merge would fail for ever.
func noteDamage(inputs []*liveSegment, err error) (noted bool) {
	if !errors.Is(err, codec.ErrCorrupt) {
		return false
	}
	damaged := slices.IndexFunc(inputs, func(l *liveSegment) bool { return l.Info().Name == codec.FileOf(err) })
	if damaged < 0 {
		return false
	}
	inputs[damaged].unmerged.Store(&err)
	return true
}

func (s *Shard) mergeInto(ctx context.Context, inputs []*liveSegment, opened []*segment.Segment, name string) error {
	written, before := stretch{pause: s.pauseMerge}, 0
	info, err := compaction.Merge(ctx, s.o.FS, opened, s.dir+"/"+name, func(done, _ int) {
		if done == before { // it did something else as long
			written.add(StretchRows)
		}
		written.add(done - before)
		before = done
	})
	if err != nil {
		return fmt.Errorf("merge of %d segments: %w", len(inputs), err)
	}
	output, err := s.adopt(name, info)
	if err != nil {
		return err
	}
	if err := s.replace(inputs, output); err != nil {
		output.Close()
		s.leave(name)
		return err
	}
	s.log.Debug("merged", "file", name, "inputs", len(inputs), "rows", info.Rows, "bytes", info.Bytes)
	return nil
}

// replace takes segments out of the manifest and the view, and puts one in their place
// where there is one. Their files go when the last view lets go of them.
func (s *Shard) replace(old []*liveSegment, output *liveSegment) error {
	err := s.edit(func(next *manifest) {
		next.segments = slices.DeleteFunc(next.segments, func(e segmentEntry) bool {
			return slices.ContainsFunc(old, func(l *liveSegment) bool { return l.entry.name == e.name })
		})
		if output != nil {
			next.segments = append(next.segments, output.entry)
		}
	})
	if err != nil {
		return err
	}
	for _, l := range old {
		l.obsolete.Store(true)
	}
	s.mu.Lock()
	live := slices.DeleteFunc(slices.Clone(s.live.segments), func(l *liveSegment) bool { return slices.Contains(old, l) })
	if output != nil {
		live = append(live, output)
	}
	before := s.installed(live)
	s.mu.Unlock()
	s.release(before)
	return nil
}
