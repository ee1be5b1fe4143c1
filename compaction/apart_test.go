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

// strewn is some inputs, each trace mostly in one of them, and what the simple truth says of them.
type strewn struct {
	fs                 *vfs.Crash
	inputs             []*segment.Segment
	first, rest, all   []span.Row
	inRest, rowsStored int // rows of the inputs that belong to rest, copies with them; and of all
}

func strew(t *rapid.T) strewn {
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 4))
	b := pool(random, 600, 250)
	s := strewn{fs: vfs.NewCrash(1)}
	n := rapid.IntRange(1, 5).Draw(t, "inputs")
	share := rapid.SampledFrom([]float64{0, 0.02, 0.1, 0.6}).Draw(t, "shared")
	rows := make([][]span.Row, n)
	for pos := range b.Len() {
		at := (int(b.TraceIDs[pos][15])*2 + int(b.TraceIDs[pos][7])) % n // whose trace it is
		if random.Float64() < share {
			at = random.IntN(n)
		}
		rows[at] = append(rows[at], span.Row{Batch: b, Pos: pos})
	}
	var stored [][]span.Row
	for i := range n {
		s.inputs = append(s.inputs, write(t, s.fs, fmt.Sprint("in", i), rows[i], uint64(10+i)))
		stored = append(stored, distinct(rows[i]))
		s.all = append(s.all, rows[i]...)
	}
	s.first, s.rest = apartOf(stored)
	for _, row := range slices.Concat(stored...) {
		s.rowsStored++
		if !slices.ContainsFunc(s.first, func(r span.Row) bool { return r == row }) {
			s.inRest++
		}
	}
	return s
}

// wantApart looks at what a merge made of them, and tells which of the three ways it went.
func (s *strewn) wantApart(t *rapid.T, infos []segment.Info) string {
	names, _ := s.fs.List(".")
	apart := s.inRest > 0 && s.inRest <= s.rowsStored/8
	if apart != (len(infos) == 2) || apart != slices.Contains(names, "rest") {
		t.Fatalf("%d infos, files %q, %d of %d rows shared", len(infos), names, s.inRest, s.rowsStored)
	}
	want := map[string][]span.Row{"out": distinct(s.all)}
	if apart {
		want["out"], want["rest"] = s.first, s.rest
	}
	for i, name := range []string{"out", "rest"}[:len(infos)] {
		out := openSegment(t, s.fs, name)
		wantRows(t, read(t, out), want[name])
		if err := segment.Verify(s.fs, name); err != nil {
			t.Fatal(err)
		}
		wantMetaOf(t, infos[i], s.inputs)
		hashes, err := out.Hashes()
		if wantHashes := (1 - i) * (len(s.inputs) + 1); err != nil || len(hashes) != wantHashes || infos[i].Generation != 1 {
			t.Fatalf("%s: %d hashes, %+v, %v", name, len(hashes), infos[i], err)
		}
	}
	switch {
	case apart:
		return "left apart"
	case s.inRest > 0:
		return "united"
	}
	return "nothing shared"
}

// However the spans were spread and repeated over the inputs, each trace stands in out as the first
// input has it, and what others have of it in rest; or all is united, where that is much.
func TestAMergeLeavesApartWhatLaterInputsHaveOfATrace(t *testing.T) {
	ways := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := strew(t)
		done := 0
		infos, err := compaction.MergeApart(context.Background(), s.fs, s.inputs, "out", "rest", 8, func(d, total int) {
			if d < done || d > total {
				t.Fatalf("progress goes from %d to %d of %d", done, d, total)
			}
			done = d
		})
		if err != nil || done != s.rowsStored {
			t.Fatalf("%d of %d rows, %v", done, s.rowsStored, err)
		}
		ways[s.wantApart(t, infos)]++

		slices.Reverse(s.inputs)
		if _, err := compaction.MergeApart(context.Background(), s.fs, s.inputs, "out again", "rest again", 8, nil); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"out", "rest"}[:len(infos)] {
			if !bytes.Equal(bytesOf(t, s.fs, name), bytesOf(t, s.fs, name+" again")) {
				t.Fatalf("the order of the inputs changes the bytes of %s", name)
			}
		}
	})
	if len(ways) != 3 {
		t.Errorf("%v: not all was tried", ways)
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
