// Package compaction makes few segments of many and says which may go. Pick, Expired and
// OverBudget are pure: they decide from what the manifest knows. Merge does the work: it unites the
// traces of its inputs in row order, drops spans that stand twice, and writes one segment; row
// groups between which nothing comes are taken over as they stand.
// Inputs live on until the manifest names the output; that is the engine's step.
//
// The package starts no goroutines; one Merge serves one.
package compaction

import (
	"cmp"
	"maps"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/stoadb/stoa/engine/segment"
)

// Policy is how segments are merged and how long they are kept.
type Policy struct {
	MergeMin  int           // segments of one tier that make a merge worth it; of them at least half are merged
	MergeMax  int           // segments in one merge
	RowsMax   int           // rows of an output
	BytesMax  int64         // bytes of all inputs together
	TablesMax int64         // bytes of their resource and scope tables, which the merge holds; 0 is no bound
	Retention time.Duration // by receive time; 0 keeps everything
	// OldWindowsMax is how many neighbouring windows may be merged once they are old: a small
	// service has little in half an hour, and a search over a month would open 1,440 segments.
	// Up to 1 merges none. Retention drops such a segment when its last window may go.
	OldWindowsMax int
}

// Plan names the segments to merge into one.
type Plan struct {
	Inputs []string // in the order of their log entries
	Reason string
}

// Pick chooses the next merge: tiered inside a window, where each tier holds segments of
// similar size, so that a row is rewritten once a tier and not once a flush. A window that
// is over gets merged into as few segments as RowsMax allows, whatever their sizes, and so
// do neighbouring windows that are over since a day. Older windows first; now is in unix
// nanoseconds.
func Pick(p Policy, live []segment.Info, now int64) (Plan, bool) {
	byWindow := map[int64][]segment.Info{}
	for _, info := range live {
		if len(info.Windows) > 0 {
			window := info.Windows[len(info.Windows)-1]
			byWindow[window] = append(byWindow[window], info)
		}
	}
	windows := make([]int64, 0, len(byWindow))
	for window := range byWindow {
		windows = append(windows, window)
	}
	slices.Sort(windows)
	for _, window := range windows {
		infos := byWindow[window]
		slices.SortFunc(infos, bySeq)
		if now/segment.WindowNanos > window+1 { // over since a window at least: nothing comes any more
			if plan, ok := pickSmallest(p, infos); ok {
				return plan, true
			}
			continue
		}
		if plan, ok := pickTier(p, infos); ok {
			return plan, true
		}
	}
	return pickOld(p, live, now)
}

func bySeq(a, b segment.Info) int {
	return cmp.Or(cmp.Compare(a.FirstSeq, b.FirstSeq), cmp.Compare(a.LastSeq, b.LastSeq), cmp.Compare(a.Name, b.Name))
}

// pickOld merges windows that are over since a day. Those that may come together are
// fixed: OldWindowsMax from a multiple of it on, so that a segment of several windows stays
// within one such stretch, however often it is merged.
func pickOld(p Policy, live []segment.Info, now int64) (Plan, bool) {
	if p.OldWindowsMax < 2 {
		return Plan{}, false
	}
	stretches := map[int64][]segment.Info{}
	for _, info := range live {
		if len(info.Windows) == 0 {
			continue
		}
		last := info.Windows[len(info.Windows)-1]
		if end := (last + 1) * segment.WindowNanos; now-end >= int64(oldAfter) {
			stretch := segment.Floor(last, int64(p.OldWindowsMax))
			stretches[stretch] = append(stretches[stretch], info)
		}
	}
	for _, stretch := range slices.Sorted(maps.Keys(stretches)) {
		infos := stretches[stretch]
		slices.SortFunc(infos, bySeq)
		if plan, ok := pickSmallest(p, infos); ok {
			plan.Reason = "old windows"
			return plan, true
		}
	}
	return Plan{}, false
}

// pickTier finds the lowest tier with enough segments. Where those are too large to go into one
// output together, as many go as fit, or a window would keep all that is flushed in it.
func pickTier(p Policy, infos []segment.Info) (Plan, bool) {
	tiers := map[int][]segment.Info{}
	for _, info := range infos {
		tiers[tierOf(info)] = append(tiers[tierOf(info)], info)
	}
	for tier := range tierOf(segment.Info{Rows: p.RowsMax}) + 1 {
		if len(tiers[tier]) < p.MergeMin {
			continue
		}
		if plan := within(p, tiers[tier]); len(plan) >= max(p.MergeMin/2, 2) {
			return Plan{Inputs: plan, Reason: "tier"}, true
		}
	}
	return Plan{}, false
}

// tierOf is the logarithm of the size to the base 4, in row groups.
func tierOf(info segment.Info) int { return (bits.Len(uint(max(info.Rows, 1)-1)/4096) + 1) / 2 }

// pickSmallest merges what fits, small ones first, in a window that is over.
func pickSmallest(p Policy, infos []segment.Info) (Plan, bool) {
	bySize := slices.Clone(infos)
	slices.SortStableFunc(bySize, func(a, b segment.Info) int { return cmp.Compare(a.Rows, b.Rows) })
	names := within(p, bySize)
	if len(names) < 2 {
		return Plan{}, false
	}
	inputs := names[:0:0]
	for _, info := range infos {
		if slices.Contains(names, info.Name) {
			inputs = append(inputs, info.Name)
		}
	}
	return Plan{Inputs: inputs, Reason: "window over"}, true
}

// Together names those of some segments that can be one, however many rows and bytes that has: as many as keep
// TablesMax, which bounds what a merge holds, and whose traces one segment can tell. What takes little of these goes first.
func Together(p Policy, infos []segment.Info) []string {
	share := func(info segment.Info) float64 {
		tables := float64(0)
		if p.TablesMax > 0 {
			tables = float64(info.TableBytes) / float64(p.TablesMax)
		}
		return max(tables, float64(info.Traces)/segment.TracesMax)
	}
	sorted := slices.SortedFunc(slices.Values(infos), func(a, b segment.Info) int { return cmp.Or(cmp.Compare(share(a), share(b)), bySeq(a, b)) })
	return within(Policy{MergeMax: len(infos), RowsMax: math.MaxInt, BytesMax: math.MaxInt64, TablesMax: p.TablesMax}, sorted)
}

// within names as many segments, from the first, as one merge may take.
func within(p Policy, infos []segment.Info) []string {
	var names []string
	rows, traces, bytes, tables := 0, 0, int64(0), int64(0)
	for _, info := range infos {
		if traces += info.Traces; traces > segment.TracesMax {
			break
		}
		if rows += info.Rows; rows > p.RowsMax || len(names) == p.MergeMax {
			break
		}
		if bytes += info.Bytes; bytes > p.BytesMax {
			break
		}
		if tables += info.TableBytes; p.TablesMax > 0 && tables > p.TablesMax {
			break
		}
		names = append(names, info.Name)
	}
	return names
}

// Expired names the segments whose every window ended longer than the retention ago. With
// retention off, or a clock that stands before everything received, it names none.
func Expired(p Policy, live []segment.Info, now int64) []string {
	if p.Retention <= 0 {
		return nil
	}
	var names []string
	for _, info := range live {
		if len(info.Windows) == 0 {
			continue
		}
		end := (info.Windows[len(info.Windows)-1] + 1) * segment.WindowNanos
		if age := now - end; now > end && age >= int64(p.Retention) {
			names = append(names, info.Name)
		}
	}
	return names
}

// OverBudget tells which windows have to go so that the segments that stay, of all shards
// together, take at most budgetBytes: every segment whose last window is through or older.
// The newest window stays whatever it takes, and so does every one from written on, which is the window that is
// written to: a clock ahead of its time may have made newer ones. ok is false where nothing has to go.
func OverBudget(budgetBytes int64, live []segment.Info, written int64) (through int64, ok bool) {
	total := int64(0)
	byWindow := map[int64]int64{}
	for _, info := range live {
		total += info.Bytes
		if len(info.Windows) > 0 {
			byWindow[info.Windows[len(info.Windows)-1]] += info.Bytes
		}
	}
	windows := slices.Sorted(maps.Keys(byWindow))
	for i := 0; i < len(windows)-1 && windows[i] < written && total > budgetBytes; i++ {
		total -= byWindow[windows[i]]
		through, ok = windows[i], true
	}
	return through, ok
}

// Through names the segments whose last window is through or older.
func Through(through int64, live []segment.Info) []string {
	var names []string
	for _, info := range live {
		if n := len(info.Windows); n > 0 && info.Windows[n-1] <= through {
			names = append(names, info.Name)
		}
	}
	return names
}
