package compaction_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// apartOf is the simple truth of MergeApart: what is in the first input that has the trace, and
// the rest. Inputs stand in the order of their log entries.
func apartOf(inputs [][]span.Row) (first, rest []span.Row) {
	owner := map[span.TraceID]int{}
	for i, rows := range inputs {
		for _, row := range rows {
			if _, ok := owner[row.TraceID()]; !ok {
				owner[row.TraceID()] = i
			}
			if owner[row.TraceID()] == i {
				first = append(first, row)
			} else {
				rest = append(rest, row)
			}
		}
	}
	return distinct(first), distinct(rest)
}

// However the spans were spread and repeated over the inputs, each trace stands in out as the first
// input has it, and what others have of it in rest; or all is united, where that is much.
func TestAMergeLeavesApartWhatLaterInputsHaveOfATrace(t *testing.T) {
	apart, united, alone := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 4))
		b := pool(random, 600, 250)
		fs := vfs.NewCrash(1)
		n := rapid.IntRange(1, 5).Draw(t, "inputs")
		share := rapid.SampledFrom([]float64{0, 0.02, 0.1, 0.6}).Draw(t, "shared")
		rows := make([][]span.Row, n)
		for pos := range b.Len() {
			at := int(b.TraceIDs[pos][15])*2 + int(b.TraceIDs[pos][7]) // whose trace it is
			at %= n
			if random.Float64() < share {
				at = random.IntN(n)
			}
			rows[at] = append(rows[at], span.Row{Batch: b, Pos: pos})
		}
		var inputs []*segment.Segment
		var stored [][]span.Row
		total, all := 0, []span.Row(nil)
		for i := range n {
			inputs = append(inputs, write(t, fs, fmt.Sprint("in", i), rows[i], uint64(10+i)))
			stored = append(stored, distinct(rows[i]))
			total += len(stored[i])
			all = append(all, rows[i]...)
		}
		first, rest := apartOf(stored)
		inRest := 0 // rows that would be read for rest, copies with them
		for _, row := range slices.Concat(stored...) {
			if !slices.ContainsFunc(first, func(r span.Row) bool { return r == row }) {
				inRest++
			}
		}
		done := 0
		infos, err := compaction.MergeApart(context.Background(), fs, inputs, "out", "rest", 8, func(d, total int) {
			if d < done || d > total {
				t.Fatalf("progress goes from %d to %d of %d", done, d, total)
			}
			done = d
		})
		if err != nil || done != total {
			t.Fatalf("%d of %d rows, %v", done, total, err)
		}
		names, _ := fs.List(".")
		switch {
		case inRest == 0:
			alone++
			wantRows(t, read(t, openSegment(t, fs, "out")), distinct(all))
		case inRest > total/8:
			united++
			wantRows(t, read(t, openSegment(t, fs, "out")), distinct(all))
		default:
			apart++
			wantRows(t, read(t, openSegment(t, fs, "out")), first)
			wantRows(t, read(t, openSegment(t, fs, "rest")), rest)
			if err := segment.Verify(fs, "rest"); err != nil {
				t.Fatal(err)
			}
			wantMetaOf(t, infos[1], inputs)
			if hashes, err := openSegment(t, fs, "rest").Hashes(); err != nil || len(hashes) > 0 || infos[1].Generation != 1 {
				t.Fatalf("rest: %d hashes, %+v, %v", len(hashes), infos[1], err)
			}
		}
		if two := inRest > 0 && inRest <= total/8; two != (len(infos) == 2) || two != slices.Contains(names, "rest") {
			t.Fatalf("%d infos, files %q, %d of %d rows shared", len(infos), names, inRest, total)
		}
		if err := segment.Verify(fs, "out"); err != nil {
			t.Fatal(err)
		}
		hashes, err := openSegment(t, fs, "out").Hashes()
		if err != nil || len(hashes) != n+1 || infos[0].Generation != 1 {
			t.Fatalf("%d hashes, %+v, %v", len(hashes), infos[0], err)
		}
		wantMetaOf(t, infos[0], inputs)

		slices.Reverse(inputs)
		if _, err := compaction.MergeApart(context.Background(), fs, inputs, "out again", "rest again", 8, nil); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"out", "rest"} {
			if slices.Contains(names, name) && !bytes.Equal(bytesOf(t, fs, name), bytesOf(t, fs, name+" again")) {
				t.Fatalf("the order of the inputs changes the bytes of %s", name)
			}
		}
	})
	if apart == 0 || united == 0 || alone == 0 {
		t.Errorf("%d left apart, %d united, %d without a shared trace: not all was tried", apart, united, alone)
	}
}

// straying is inputs that follow each other, each with late spans of traces of those before it.
func straying(t testing.TB, fs vfs.FS) (inputs []*segment.Segment, rows [][]span.Row) {
	t.Helper()
	all := distinct(realRows(t, "hotrod.otlp.zst", 130_000))
	const parts = 4
	rows = make([][]span.Row, parts)
	for i, row := range all {
		part := i * parts / len(all)
		if i%200 == 0 && part < parts-1 {
			part++
		}
		rows[part] = append(rows[part], row)
	}
	for i := range rows {
		rows[i] = distinct(rows[i])
		inputs = append(inputs, write(t, fs, string(rune('a'+i)), rows[i], uint64(i)))
	}
	return inputs, rows
}

// Late spans all over hinder a merge that unites traces from taking row groups over, but not one
// that leaves them apart.
func TestRowGroupsAreTakenOverWhereLateSpansAreLeftApart(t *testing.T) {
	fs := vfs.NewCrash(1)
	inputs, rows := straying(t, fs)
	if _, err := compaction.MergeApart(context.Background(), fs, inputs, "out", "rest", 8, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := compaction.Merge(context.Background(), fs, inputs, "united", nil); err != nil {
		t.Fatal(err)
	}
	first, rest := apartOf(rows)
	out := openSegment(t, fs, "out")
	wantRows(t, read(t, out), first)
	wantRows(t, read(t, openSegment(t, fs, "rest")), rest)
	wantRows(t, read(t, openSegment(t, fs, "united")), distinct(slices.Concat(rows...)))
	if n := taken(inputs, out); n < out.Groups()*3/4 {
		t.Errorf("%d of %d row groups were taken over", n, out.Groups())
	}
	if n := taken(inputs, openSegment(t, fs, "united")); n > out.Groups()/4 {
		t.Errorf("%d of %d row groups were taken over although traces were united: the test shows nothing", n, out.Groups())
	}
}

// taken counts the row groups of a merged segment that begin, end and last as one of an input.
func taken(inputs []*segment.Segment, out *segment.Segment) (n int) {
	same := func(a, b segment.GroupInfo) bool {
		return a.MinStart == b.MinStart && a.MaxStart == b.MaxStart && a.Rows == b.Rows && a.MaxDuration == b.MaxDuration
	}
	for i := range out.Groups() {
		found := false
		for _, in := range inputs {
			for k := range in.Groups() {
				found = found || same(out.Group(i), in.Group(k))
			}
		}
		if found {
			n++
		}
	}
	return n
}

// overlapping is two inputs that share some rows of a few traces.
func overlapping(t *testing.T, fs vfs.FS) []*segment.Segment {
	t.Helper()
	random := rand.New(rand.NewPCG(6, 6))
	b := pool(random, 4000, 250)
	var left, right []span.Row
	for pos := range b.Len() {
		row := span.Row{Batch: b, Pos: pos}
		if left = append(left, row); b.TraceIDs[pos][15] < 9 && pos%2 == 0 {
			right = append(right, row)
		}
	}
	return []*segment.Segment{write(t, fs, "left", left, 1), write(t, fs, "right", right, 2)}
}

// A merge apart that meets a failing disk at any call leaves nothing.
func TestAMergeApartThatFailsLeavesNothing(t *testing.T) {
	fs := vfs.NewCrash(1)
	inputs := overlapping(t, fs)
	broken := errors.New("broken disk")
	for failAt := 1; ; failAt++ {
		before := fs.Calls()
		fs.FailAt(failAt, broken)
		infos, err := compaction.MergeApart(context.Background(), fs, inputs, "out", "rest", 8, nil)
		if err == nil && fs.Calls()-before < failAt {
			if failAt < 12 || len(infos) != 2 {
				t.Fatalf("only %d calls, %d segments: the test tests little", failAt, len(infos))
			}
			break
		}
		if !errors.Is(err, broken) {
			t.Fatalf("call %d failed and the merge says %v", failAt, err)
		}
		wantInputsOnly(t, fs, fmt.Sprintf("call %d failed", failAt))
	}
}

// A merge apart that is cancelled leaves nothing, and says so.
func TestACancelledMergeApartLeavesNothing(t *testing.T) {
	fs := vfs.NewCrash(1)
	inputs := overlapping(t, fs)
	for after := 0; ; after++ {
		ctx, cancel := context.WithCancel(context.Background())
		calls := 0
		_, err := compaction.MergeApart(ctx, fs, inputs, "out", "rest", 8, func(int, int) {
			if calls++; calls > after {
				cancel()
			}
		})
		cancel()
		if err == nil && calls <= after {
			if after < 20 {
				t.Fatalf("only %d calls", after)
			}
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled after %d calls, and the merge says %v", after, err)
		}
		wantInputsOnly(t, fs, "cancelled")
	}
}
