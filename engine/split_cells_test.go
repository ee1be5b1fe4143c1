package engine_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// wantKept fails where the version keeps cells of split traces and should not, or the reverse.
func (w *world) wantKept(when string, want bool) {
	w.t.Helper()
	if edges, rates := engine.KeepsSplitCells(w.shard); edges != want || rates != want {
		w.t.Errorf("%s: cells of split traces are kept: edges %v, rates %v, want %v", when, edges, rates, want)
	}
}

// askAll asks for the graph and rates of all time.
func (w *world) askAll() {
	w.t.Helper()
	checkEdges(w.t, w.shard, w.model, 0, math.MaxUint64)
	w.checkRates(span.RateQuery{StartMax: math.MaxUint64})
}

// TestWhatSplitTracesCountIsKeptByTheVersion: the first question of all time leaves it, those
// after it are answered from it, whatever they ask for and whatever comes into memory; the next
// flush and merge begin anew. All answers are the model's.
func TestWhatSplitTracesCountIsKeptByTheVersion(t *testing.T) {
	for seed := range uint64(seeds(t, 3)) {
		load := []cellLoad{{900, 3, 4, second / 2, ""}, {900, 7, 4, 4 * second, ""}, {900, 5, 3, 80 * second, ""}}[seed%3]
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed, 3)
			w.options.MemtableBytesMax = 1 << 30
			w.mustOpen()
			apply := func(requests [][]byte) {
				for _, request := range requests {
					if err := w.append(request); err != nil {
						t.Fatal(err)
					}
				}
			}
			flush := func() {
				if err := w.shard.Flush(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			requests := w.cellRequests(load)
			for i := range 8 { // neighbours come to different segments
				for j := i; j < len(requests); j += 8 {
					apply(requests[j : j+1])
				}
				flush()
			}
			w.wantKept("flushed", false)
			w.askAll()
			w.wantKept("asked", true)
			w.checkCells(load)
			more := w.cellRequests(load) // other spans of the same traces, and copies of ids
			for range 3 {
				at := w.rand.IntN(len(more) - 3)
				apply(more[at : at+3])
				apply([][]byte{slices.Concat(requests[at : at+2]...)})
				w.wantKept("more in memory", true)
				w.askAll()
				w.checkCells(load)
			}
			flush()
			w.wantKept("flushed again", false)
			w.checkCells(load)
			w.wantKept("checked", true)
			if err := w.restart(2); err != nil {
				t.Fatal(err)
			}
			w.wantKept("restarted", false)
			w.checkCells(load)
			if err := w.shard.Compact(context.Background()); err != nil {
				t.Fatal(err)
			}
			w.checkCells(load)
			w.wantKept("in one segment", false)
		})
	}
}

// TestAQuestionOfAMinuteDoesNotPayForAll: cells of split traces are worked out once questions have
// assembled as many traces as there are, and not for those that no cell can answer.
func TestAQuestionOfAMinuteDoesNotPayForAll(t *testing.T) {
	w := newWorld(t, 4, 3)
	w.wide(20_000, wideName)
	w.likeScan(span.RateQuery{StartMin: 1, StartMax: 2})
	w.wantKept("nothing asked", false)
	for range 20 {
		w.likeScan(span.RateQuery{StartMin: splitFrom, StartMax: splitFrom + 2*minute, Step: 7 * second})
	}
	if edges, rates := engine.KeepsSplitCells(w.shard); !edges || rates {
		t.Errorf("asked for steps of seven seconds: cells are kept: edges %v, rates %v", edges, rates)
	}
	if err := w.restart(0); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for kept := false; !kept; _, kept = engine.KeepsSplitCells(w.shard) {
		if asked++; asked > 20_000 {
			t.Fatal("nothing is kept however often it is asked")
		}
		w.likeScan(span.RateQuery{StartMin: splitFrom + 5*minute, StartMax: splitFrom + 6*minute - 1, Step: minute})
	}
	if asked < 3 {
		t.Errorf("question %d of one minute of twenty worked out all", asked)
	}
	w.wantKept("asked often", true)
	w.likeScan(span.RateQuery{StartMin: splitFrom + 5*second, StartMax: splitFrom + 19*minute + 5*second, Step: minute})
}

// TestManyAskAtOnce while nothing is kept yet: one at a time works it out, the others do not wait,
// and all have the same answer.
func TestManyAskAtOnce(t *testing.T) {
	w := newWorld(t, 5, 3)
	w.options.MemtableBytesMax = 1 << 30
	w.mustOpen()
	for i, request := range w.cellRequests(cellLoad{1600, 5, 4, second, ""}) {
		if err := w.append(request); err != nil {
			t.Fatal(err)
		}
		if i%8 == 7 {
			if err := w.shard.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	want, err := edgesOf(w.shard)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := w.restart(0); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				got, err := edgesOf(w.shard)
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%v: %s", err, diff)
				}
				if err := w.shard.Rates(context.Background(), span.RateQuery{StartMax: math.MaxUint64}, span.NewRates()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		w.likeScan(span.RateQuery{StartMax: math.MaxUint64}) // for who had no turn
		w.wantKept("asked at once", true)
	}
}

// wideEach traces of wideRequest are in one minute.
const wideEach = 1000

// wideName names the operations of a minute's traces, the same each minute.
func wideName(number int) string { return fmt.Sprint("operation ", number%wideEach) }

// wideRequest is the spans of traces numbered from 0 on, one each: a thousand of a minute, of
// operations with names, so that each is counted in a cell of its own.
func wideRequest(traces, spanID int, name func(number int) string) []byte {
	lists := make([][]byte, wideEach)
	for number := range traces {
		id := binary.BigEndian.AppendUint32(make([]byte, 12), uint32(number+1))
		start := splitFrom + uint64(number/wideEach)*minute
		lists[number%wideEach] = append(lists[number%wideEach], field(2,
			field(1, id), field(2, append(make([]byte, 7), byte(spanID))), field(4, append(make([]byte, 7), byte(spanID-1))),
			field(5, []byte(name(number))), fixed64(7, start), fixed64(8, start+uint64(number)))...)
	}
	return field(1, field(2, slices.Concat(lists...)))
}

// wide opens the shard with two segments of wideRequest, so that all traces are split.
func (w *world) wide(traces int, name func(number int) string) {
	w.t.Helper()
	w.options.MemtableBytesMax = 1 << 30
	w.mustOpen()
	for spanID := range 2 {
		if did := w.apply(wideRequest(traces, spanID+1, name)); did.Quarantined > 0 {
			w.t.Fatalf("%+v", did)
		}
		if err := w.shard.Flush(context.Background()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// likeScan fails where rates, or the graph of the same time, are not those of every row; it gives
// the number of spans and of calls.
func (w *world) likeScan(q span.RateQuery) (spans, calls uint64) {
	w.t.Helper()
	var told [2][]string
	for i, scan := range []bool{true, false} {
		q.Scan = scan
		rates, edges := span.NewRates(), span.NewEdges()
		err := errors.Join(w.shard.Rates(context.Background(), q, rates),
			w.shard.Edges(context.Background(), span.EdgeQuery{StartMin: q.StartMin, StartMax: q.StartMax, Scan: scan}, edges))
		if err != nil {
			w.t.Fatal(err)
		}
		spans, calls = 0, 0
		for _, r := range rates.Sorted() {
			told[i] = append(told[i], fmt.Sprint(r.Operation, r.Start, r.Spans, r.Errors, sizes(&r.Durations)))
			spans += r.Spans
		}
		for _, e := range edges.Sorted() {
			told[i] = append(told[i], fmt.Sprint(e.Edge, e.Errors, sizes(&e.Durations)))
			calls += e.Calls
		}
	}
	if diff := cmp.Diff(told[0], told[1]); diff != "" {
		w.t.Fatalf("%+v (-scan +cells):\n%s", q, diff)
	}
	return spans, calls
}

// TestKeptCellsTakeAtMostTheirBound, with the names that they are in, whatever it is; what does not
// fit is counted anew each time. The graph's, which have one name, are kept beside. The least bound
// with which rates are kept is what is kept then, so nothing is counted twice or kept beyond it.
func TestKeptCellsTakeAtMostTheirBound(t *testing.T) {
	const traces = 1500
	for _, length := range []int{10, 1 << 10} {
		w := newWorld(t, 6, 1)
		w.wide(traces, func(number int) string { return fmt.Sprintf("%0*d", length, number) })
		kept := func(bound int) (edges, rates int) {
			w.options.SplitCellsBytesMax = bound
			if err := w.restart(0); err != nil {
				t.Fatal(err)
			}
			if spans, calls := w.likeScan(span.RateQuery{StartMax: math.MaxUint64}); spans != 2*traces || calls != traces {
				t.Fatalf("%d spans, %d calls", spans, calls)
			}
			edges, rates = engine.SplitCellsBytes(w.shard)
			if edges > bound/2 || rates > bound/2 {
				t.Fatalf("names of %d: %d bytes for the graph, %d for rates are kept, the bound is %d for both", length, edges, rates, bound)
			}
			return edges, rates
		}
		if edges, rates := kept(16 * traces); edges > 0 || rates > 0 {
			t.Errorf("nothing fits, kept: edges %d, rates %d", edges, rates)
		}
		if edges, rates := kept(100 * traces); edges == 0 || rates > 0 {
			t.Errorf("the graph fits, kept: edges %d, rates %d", edges, rates)
		}
		least := sort.Search(8<<20, func(bound int) bool {
			_, rates := kept(bound)
			return rates > 0
		})
		if _, rates := kept(least); least != 2*rates {
			t.Errorf("names of %d: %d bytes are kept from a bound of %d on", length, rates, least)
		}
	}
}

// TestOneAtATimeWorksOutWhatSplitTracesCount of all shards that share a gate. Who asks meanwhile
// does not wait, and has the right answer.
func TestOneAtATimeWorksOutWhatSplitTracesCount(t *testing.T) {
	gate := engine.NewGate()
	shards := []*world{newWorld(t, 8, 1), newWorld(t, 9, 1)}
	for _, w := range shards {
		w.options.Gate = gate
		w.wide(2000, wideName)
	}
	leave := engine.TakeTurnOfCells(gate)
	for _, w := range shards {
		w.likeScan(span.RateQuery{StartMax: math.MaxUint64})
		w.wantKept("while another has the turn", false)
	}
	leave()
	for _, w := range shards {
		w.likeScan(span.RateQuery{StartMax: math.MaxUint64})
		w.wantKept("after it", true)
	}
}

// TestNamesNobodyAsksForAreNotCopied: of the kept names a question numbers those of cells in its
// range.
func TestNamesNobodyAsksForAreNotCopied(t *testing.T) {
	const traces = 20_000
	w := newWorld(t, 10, 1)
	w.wide(traces, func(number int) string { return fmt.Sprint("operation ", number) })
	q := span.RateQuery{StartMax: math.MaxUint64}
	w.likeScan(q)
	w.wantKept("asked", true)
	q.StartMin, q.StartMax = splitFrom+minute, splitFrom+2*minute-1
	w.likeScan(q)
	allocs := testing.AllocsPerRun(3, func() {
		if err := w.shard.Rates(context.Background(), q, span.NewRates()); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > traces {
		t.Errorf("%.0f allocations to ask for %d of %d operations", allocs, wideEach, traces)
	}
}

// TestDamageElsewhereIsNotMet: a question of a minute is answered though a row group that it does
// not ask for cannot be read, also when its turn has come to work out what all split traces count.
func TestDamageElsewhereIsNotMet(t *testing.T) {
	w := newWorld(t, 7, 1)
	w.wide(20_000, wideName)
	if err := w.shard.Close(); err != nil {
		t.Fatal(err)
	}
	whole := w.disk
	first, last := span.EdgeQuery{StartMin: splitFrom, StartMax: splitFrom + minute - 1}, span.EdgeQuery{StartMin: splitFrom + 19*minute, StartMax: splitFrom + 20*minute - 1}
	fails := func(q span.EdgeQuery) bool {
		err := w.shard.Edges(context.Background(), q, span.NewEdges())
		if err != nil {
			errorIs(t, err, codec.ErrCorrupt)
		}
		return err != nil
	}
	files, found := []string{"00000001.seg", "00000002.seg"}, 0
	for i := range 60 {
		w.disk = whole.KillCopy()
		name := worldDir + "/" + files[i%2]
		f, err := w.disk.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		size, err := f.Size()
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		w.disk.FlipBit(name, size*8*int64(i)/60)
		if w.open() != nil {
			continue // what an Open reads is damaged
		}
		if fails(first) || !fails(last) {
			_ = w.shard.Close()
			continue
		}
		found++
		for range 30 {
			if fails(first) {
				t.Fatal("a question fails by rows that it does not ask for")
			}
		}
		if edges, _ := engine.KeepsSplitCells(w.shard); edges {
			t.Error("cells are kept of traces that cannot be read")
		}
		if !fails(last) || !fails(span.EdgeQuery{StartMax: math.MaxUint64}) {
			t.Error("damage is not told")
		}
		_ = w.shard.Close()
	}
	if found == 0 {
		t.Fatal("no bit damages rows of the last minute alone")
	}
}
