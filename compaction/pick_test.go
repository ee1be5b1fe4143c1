package compaction_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine/segment"
)

func info(name string, window int64, rows int, seq uint64) segment.Info {
	return segment.Info{Name: name, Windows: []int64{window}, Rows: rows, Bytes: int64(rows) * 25, FirstSeq: seq, LastSeq: seq}
}

func at(window int64) int64 { return window*segment.WindowNanos + segment.WindowNanos/2 }

func TestPickMergesWhatIsOfOneSizeInOneWindow(t *testing.T) {
	p := compaction.DefaultPolicy()
	live := []segment.Info{info("big", 100, 900_000, 1), info("elsewhere", 99, 6000, 2)}
	var same []string
	for i := range p.MergeMin {
		same = append(same, fmt.Sprint(i))
		live = append(live, info(same[i], 100, 5000+1000*i/p.MergeMin, uint64(3+i)))
	}
	plan, ok := compaction.Pick(p, live, at(100))
	if !ok || !slices.Equal(plan.Inputs, same) {
		t.Fatalf("%+v, %v", plan, ok)
	}
	if plan, ok := compaction.Pick(p, live[:len(live)-1], at(100)); ok {
		t.Fatalf("too few of a size are merged: %+v", plan)
	}
}

func TestPickMergesAWindowThatIsOverWhateverTheSizes(t *testing.T) {
	p := compaction.DefaultPolicy()
	live := []segment.Info{info("big", 100, 3_000_000, 1), info("small", 100, 10, 2), info("huge", 100, 4_000_000, 3), info("other", 101, 10, 4)}
	if plan, ok := compaction.Pick(p, live, at(101)); ok {
		t.Fatalf("merged before the window is over by another: %+v", plan)
	}
	plan, ok := compaction.Pick(p, live, at(102))
	if !ok || !slices.Equal(plan.Inputs, []string{"big", "small"}) {
		t.Fatalf("%+v, %v", plan, ok)
	}
}

// Segments whose tables would not fit in memory together stay apart.
func TestPickLeavesLargeTablesApart(t *testing.T) {
	p := compaction.DefaultPolicy()
	var live []segment.Info
	for i := range 6 {
		in := info(fmt.Sprint(i), 100, 5000, uint64(i))
		in.TableBytes = p.TablesMax/2 + 1
		live = append(live, in)
	}
	if plan, ok := compaction.Pick(p, live, at(200)); ok {
		t.Fatalf("%+v", plan)
	}
}

// Segments that are too large to be merged all at once are merged as many as fit, oldest first: none
// would ever be if all had to.
func TestPickMergesWhatFitsOfLargeSegments(t *testing.T) {
	p := compaction.DefaultPolicy()
	var live []segment.Info
	var fits []string
	for i := range p.MergeMin {
		in := info(fmt.Sprint(i), 100, p.RowsMax/(p.MergeMin-4), uint64(i))
		if live = append(live, in); i < p.MergeMin-4 {
			fits = append(fits, in.Name)
		}
	}
	if plan, ok := compaction.Pick(p, live[1:], at(100)); ok {
		t.Fatalf("too few of a size are merged: %+v", plan)
	}
	plan, ok := compaction.Pick(p, live, at(100))
	if !ok || !slices.Equal(plan.Inputs, fits) {
		t.Fatalf("%+v, %v", plan, ok)
	}
	for i := range live {
		live[i].Rows = p.RowsMax/2 - 1
	}
	if plan, ok := compaction.Pick(p, live, at(100)); ok {
		t.Fatalf("two of %d rows are worth a merge: %+v", live[0].Rows, plan)
	}
}

// At full speed a window is written once by merges, and few segments are left in it.
func TestPickWritesAFullWindowAboutOnce(t *testing.T) {
	p := compaction.DefaultPolicy()
	for _, flushRows := range []int{20_000, 190_000, 300_000} {
		const flushes = 134
		var live []segment.Info
		merged, most := 0, 0
		for i := range flushes {
			live = append(live, info(fmt.Sprint("f", i), 100, flushRows, uint64(i)))
			for {
				plan, ok := compaction.Pick(p, live, at(100))
				if !ok {
					break
				}
				out := info(fmt.Sprint("m", i), 100, 0, uint64(i))
				live = slices.DeleteFunc(live, func(in segment.Info) bool {
					if !slices.Contains(plan.Inputs, in.Name) {
						return false
					}
					out.Rows += in.Rows
					return true
				})
				merged, live = merged+out.Rows, append(live, out)
			}
			most = max(most, len(live))
		}
		if times := float64(merged) / float64(flushes*flushRows); times > 1 {
			t.Errorf("flushes of %d rows: a row is merged %.2f times", flushRows, times)
		}
		if most > 27 {
			t.Errorf("flushes of %d rows: %d segments at most", flushRows, most)
		}
	}
}

// Merging goes on until there is nothing left to do, and rewrites a row a few times only.
func TestPickEndsAndRewritesARowFewTimes(t *testing.T) {
	p := compaction.DefaultPolicy()
	p.OldWindowsMax = 0
	random := rand.New(rand.NewPCG(1, 1))
	var live []segment.Info
	rewritten, written := 0, 0
	merge := func(now int64) {
		for {
			plan, ok := compaction.Pick(p, live, now)
			if !ok {
				return
			}
			out := info(fmt.Sprint("m", rewritten), 0, 0, 0)
			live = slices.DeleteFunc(live, func(in segment.Info) bool {
				if !slices.Contains(plan.Inputs, in.Name) {
					return false
				}
				out.Rows, out.Bytes, out.Windows, out.FirstSeq = out.Rows+in.Rows, out.Bytes+in.Bytes, in.Windows, in.FirstSeq
				return true
			})
			if len(plan.Inputs) < 2 || out.Rows > p.RowsMax {
				t.Fatalf("%+v makes %d rows", plan, out.Rows)
			}
			rewritten += out.Rows
			out.Name = fmt.Sprint("m", rewritten)
			live = append(live, out)
		}
	}
	for flush := range 600 { // ten windows of half an hour, a flush each 30 s
		window := int64(100 + flush/60)
		in := info(fmt.Sprint("f", flush), window, 20_000+random.IntN(20_000), uint64(flush))
		written += in.Rows
		live = append(live, in)
		merge(at(window))
	}
	merge(at(200))
	if len(live) != 10 {
		t.Fatalf("%d segments left for 10 windows", len(live))
	}
	if factor := float64(rewritten) / float64(written); factor > 4 {
		t.Fatalf("a row is rewritten %.1f times", factor)
	}
}

func TestRetentionIsOffByDefaultAndDropsWholeWindows(t *testing.T) {
	old, spanning, fresh := info("old", 100, 1, 1), info("spanning", 100, 1, 2), info("fresh", 110, 1, 3)
	spanning.Windows = []int64{100, 105}
	live := []segment.Info{old, spanning, fresh}
	p := compaction.DefaultPolicy()
	if names := compaction.Expired(p, live, at(1_000_000)); names != nil {
		t.Fatalf("without retention %q are dropped", names)
	}
	p.Retention = time.Hour
	end := 101 * segment.WindowNanos
	for now, want := range map[int64][]string{
		end + int64(time.Hour) - 1:                           nil,
		end + int64(time.Hour):                               {"old"},
		end + int64(time.Hour) + 5*segment.WindowNanos:       {"old", "spanning"},
		end - int64(24*time.Hour):                            nil, // a clock that stands before everything
		end + int64(time.Hour) + 10*segment.WindowNanos:      {"old", "spanning", "fresh"},
		end + int64(time.Hour) + 10*segment.WindowNanos - 10: {"old", "spanning"},
	} {
		if got := compaction.Expired(p, live, now); !slices.Equal(got, want) {
			t.Errorf("at %d: %q, %q expected", now, got, want)
		}
	}
}

// Windows of one stretch come together once they are a day old, and never with those of
// another; what is larger than a merge may be stays.
func TestOldWindowsAreMergedWithinTheirStretch(t *testing.T) {
	p := compaction.DefaultPolicy()
	p.OldWindowsMax = 4
	live := []segment.Info{
		info("a", 101, 1000, 1), info("b", 103, 1000, 2), info("next", 104, 1000, 3),
		info("large", 102, p.RowsMax, 4), info("young", 150, 1000, 5),
	}
	if plan, ok := compaction.Pick(p, live, at(100+48)); ok {
		t.Fatalf("a window not a day old is merged: %+v", plan)
	}
	plan, ok := compaction.Pick(p, live, at(104+48+1))
	if !ok || !slices.Equal(plan.Inputs, []string{"a", "b"}) {
		t.Fatalf("%+v, %v", plan, ok)
	}
	merged := info("ab", 101, 2000, 1)
	merged.Windows = []int64{101, 103}
	if plan, ok := compaction.Pick(p, append(live[2:], merged), at(104+48+1)); ok {
		t.Fatalf("nothing is left to merge, but %+v", plan)
	}
	before := info("before the epoch", -3, 1000, 6)
	if plan, ok := compaction.Pick(p, []segment.Info{before, info("also", -1, 1000, 7), info("not", 0, 1000, 8)}, at(200)); !ok ||
		!slices.Equal(plan.Inputs, []string{"before the epoch", "also"}) {
		t.Fatalf("%+v, %v", plan, ok)
	}
}

func TestADiskBudgetDropsTheOldestWindowsAndNeverTheNewest(t *testing.T) {
	spanning := info("spanning", 100, 40, 2)
	spanning.Windows = []int64{100, 102}
	live := []segment.Info{info("old", 100, 40, 1), spanning, info("old too", 100, 40, 3), info("newest", 110, 400, 4)}
	for budget, want := range map[int64][]string{
		20_000: nil, 13_000: nil, 12_999: {"old", "old too"}, 11_000: {"old", "old too"},
		10_999: {"old", "old too", "spanning"}, 0: {"old", "old too", "spanning"},
	} {
		through, over := compaction.OverBudget(budget, live, 110)
		var got []string
		if over {
			got = compaction.Through(through, live)
			slices.Sort(got)
		}
		if !slices.Equal(got, want) {
			t.Errorf("budget %d: %q are dropped, %q expected", budget, got, want)
		}
	}
	if through, over := compaction.OverBudget(0, live, 102); !over || through != 100 {
		t.Errorf("with window 102 written to, all through %d go, %v; want 100", through, over)
	}
	if _, over := compaction.OverBudget(0, live, 100); over {
		t.Error("the window that is written to goes")
	}
	if _, over := compaction.OverBudget(0, nil, 110); over {
		t.Error("nothing is over a budget")
	}
}

// What is to be one segment keeps the bounds of memory and of a segment's traces, small ones first, and no other.
func TestTogetherNamesWhatOneSegmentHolds(t *testing.T) {
	p := compaction.DefaultPolicy()
	of := func(list ...[2]int64) []string { // bytes of tables and traces of each
		var infos []segment.Info
		for i, one := range list {
			in := info(fmt.Sprint(i), int64(100+i), p.RowsMax, uint64(i))
			in.Bytes, in.TableBytes, in.Traces = p.BytesMax, one[0], int(one[1])
			infos = append(infos, in)
		}
		names := compaction.Together(p, infos)
		slices.Sort(names)
		return names
	}
	const most = segment.TracesMax
	var every []string
	for i := range p.MergeMax + 1 {
		every = append(every, fmt.Sprint(i))
	}
	slices.Sort(every)
	for _, c := range []struct {
		got  []string
		want []string
	}{
		{of([2]int64{p.TablesMax / 2, 1}, [2]int64{p.TablesMax / 4, 1}, [2]int64{p.TablesMax / 4, 1}), []string{"0", "1", "2"}},
		{of([2]int64{p.TablesMax/2 + 1, 1}, [2]int64{p.TablesMax / 4, 1}, [2]int64{p.TablesMax / 4, 1}), []string{"1", "2"}},
		{of([2]int64{p.TablesMax, 1}, [2]int64{1, 1}), []string{"1"}},
		{of([2]int64{1, most / 2}, [2]int64{1, most / 2}), []string{"0", "1"}},
		{of([2]int64{1, most/2 + 1}, [2]int64{1, most / 2}), []string{"1"}},
		{of([2]int64{1, most}, [2]int64{p.TablesMax / 2, 1}, [2]int64{p.TablesMax / 2, 1}), []string{"1", "2"}},
		{of(make([][2]int64, p.MergeMax+1)...), every},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
