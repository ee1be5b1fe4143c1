package compaction_test

import (
	"bytes"
	"cmp"
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
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// pool makes a batch of spans in few traces, some of them equal, some equal but for one
// attribute or event.
func pool(random *rand.Rand, rows, traces int) *span.Batch {
	b := new(span.Batch)
	text := func(kind string, n int) span.TextID {
		return b.AddText(fmt.Appendf(nil, "%s %d", kind, random.IntN(n)))
	}
	for i := range 3 {
		name := b.AddText(fmt.Appendf(nil, "service %d", i))
		b.Resources = append(b.Resources, span.Resource{Message: name, Service: name, Present: true})
		// As the walker makes them: what differs in any field differs in the message.
		b.Scopes = append(b.Scopes, span.Scope{Message: name, Name: name, Present: true})
	}
	for range rows {
		var trace span.TraceID
		trace[7], trace[15] = byte(random.IntN(2)), byte(random.IntN(traces))
		var id, parent span.SpanID
		id[7], parent[7] = byte(1+random.IntN(6)), byte(random.IntN(7))
		start := uint64(trace[15])*10 + random.Uint64N(40)
		b.TraceIDs, b.SpanIDs, b.ParentIDs = append(b.TraceIDs, trace), append(b.SpanIDs, id), append(b.ParentIDs, parent)
		b.Starts, b.Ends = append(b.Starts, start), append(b.Ends, start+5)
		b.Names, b.Kinds = append(b.Names, text("name", 3)), append(b.Kinds, int32(random.IntN(4)))
		b.StatusCodes, b.StatusMessages = append(b.StatusCodes, 0), append(b.StatusMessages, 0)
		b.StatusPresent, b.TraceStates = append(b.StatusPresent, false), append(b.TraceStates, 0)
		b.Flags, b.DroppedAttrs = append(b.Flags, 0), append(b.DroppedAttrs, 0)
		b.DroppedEvents, b.DroppedLinks = append(b.DroppedEvents, 0), append(b.DroppedLinks, 0)
		b.ResourceIDs, b.ScopeIDs = append(b.ResourceIDs, random.Uint32N(3)), append(b.ScopeIDs, random.Uint32N(3))
		b.Residues = append(b.Residues, 0)
		for range random.IntN(3) {
			b.AddAttr(span.Attr{Key: text("key", 3), Type: span.IntValue, Value: random.Uint64N(3)})
		}
		for range random.IntN(2) {
			b.Events = append(b.Events, span.Event{Time: start, Name: text("event", 2)})
		}
		b.AttrEnds, b.EventEnds = append(b.AttrEnds, uint32(len(b.AttrIDs))), append(b.EventEnds, uint32(len(b.Events)))
		b.LinkEnds = append(b.LinkEnds, 0)
	}
	return b
}

// distinct gives the distinct rows in the order of a segment: the simple truth.
func distinct(rows []span.Row) []span.Row {
	earliest := map[span.TraceID]uint64{}
	for _, r := range rows {
		if start, ok := earliest[r.TraceID()]; !ok || r.Start() < start {
			earliest[r.TraceID()] = r.Start()
		}
	}
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b span.Row) int {
		return cmp.Or(cmp.Compare(earliest[a.TraceID()], earliest[b.TraceID()]), a.TraceID().Compare(b.TraceID()), span.Compare(a, b))
	})
	return slices.CompactFunc(rows, func(a, b span.Row) bool { return a.TraceID() == b.TraceID() && span.Compare(a, b) == 0 })
}

func write(t rapid.TB, fs vfs.FS, name string, rows []span.Row, seq uint64) *segment.Segment {
	t.Helper()
	w, err := segment.NewWriter(fs, name, segment.Meta{
		Shard: 1, Windows: []int64{int64(seq / 3)}, FirstSeq: seq, LastSeq: seq + 1, MinReceived: int64(seq), MaxReceived: int64(seq + 9),
		Hashes: []segment.Received{{Hash: codec.HashBytes([]byte("shared")), At: 4}, {Hash: codec.HashBytes([]byte(name)), At: int64(seq)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	rows = distinct(rows)
	var some []span.Row // as a flush does
	for i := 0; i < len(rows); i += len(rows)/segment.RehearsalRowsMax + 1 {
		some = append(some, rows[i])
	}
	w.Rehearse(some, len(rows))
	for _, row := range rows {
		if err := w.Add(row.TraceID(), []span.Row{row}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	s, err := segment.Open(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(t rapid.TB, s *segment.Segment) (rows []span.Row) {
	t.Helper()
	for i := range s.Groups() {
		b, err := s.ReadGroup(i, segment.Projection{All: true})
		if err != nil {
			t.Fatal(err)
		}
		for pos := range b.Len() {
			rows = append(rows, span.Row{Batch: b, Pos: pos})
		}
	}
	return rows
}

func wantRows(t rapid.TB, got, want []span.Row) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows, %d expected", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(span.AppendContent(nil, got[i]), span.AppendContent(nil, want[i])) {
			t.Fatalf("row %d is not the one expected", i)
		}
	}
}

// However the spans were spread and repeated over the inputs, the merge holds each distinct
// one once, in order; in whatever order and grouping the inputs are merged.
func TestAMergeHoldsTheDistinctSpansOfItsInputs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		b := pool(random, rapid.IntRange(1, 400).Draw(t, "rows"), rapid.IntRange(1, 60).Draw(t, "traces"))
		fs := vfs.NewCrash(1)
		var inputs []*segment.Segment
		var all []span.Row
		for i := range rapid.IntRange(1, 6).Draw(t, "inputs") {
			var rows []span.Row
			for range random.IntN(b.Len() + 1) {
				rows = append(rows, span.Row{Batch: b, Pos: random.IntN(b.Len())})
			}
			all = append(all, rows...)
			inputs = append(inputs, write(t, fs, fmt.Sprint("in", i), rows, uint64(10-i)))
		}
		done := 0
		info, err := compaction.Merge(context.Background(), fs, inputs, "out", func(d, total int) {
			if d < done || d > total {
				t.Fatalf("progress goes from %d to %d of %d", done, d, total)
			}
			done = d
		})
		if err != nil {
			t.Fatal(err)
		}
		out := openSegment(t, fs, "out")
		want := distinct(all)
		wantRows(t, read(t, out), want)
		hashes, err := out.Hashes()
		if err != nil || info.Rows != len(want) || info.Generation != 1 || len(hashes) != len(inputs)+1 {
			t.Fatalf("%+v, %d hashes, %v", info, len(hashes), err)
		}
		if err := segment.Verify(fs, "out"); err != nil {
			t.Fatal(err)
		}
		wantMetaOf(t, info, inputs)

		slices.Reverse(inputs)
		if _, err := compaction.Merge(context.Background(), fs, inputs, "again", nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytesOf(t, fs, "out"), bytesOf(t, fs, "again")) {
			t.Fatal("the order of the inputs changes the bytes")
		}
		if _, err := compaction.Merge(context.Background(), fs, append(inputs[:len(inputs)/2:len(inputs)/2], out), "twice", nil); err != nil {
			t.Fatal(err)
		}
		wantRows(t, read(t, openSegment(t, fs, "twice")), want)
	})
}

func wantMetaOf(t rapid.TB, info segment.Info, inputs []*segment.Segment) {
	t.Helper()
	for _, s := range inputs {
		in := s.Info()
		if in.FirstSeq < info.FirstSeq || in.LastSeq > info.LastSeq || in.MinReceived < info.MinReceived || in.MaxReceived > info.MaxReceived {
			t.Fatalf("%+v does not cover %+v", info, in)
		}
		for _, window := range in.Windows {
			if _, ok := slices.BinarySearch(info.Windows, window); !ok {
				t.Fatalf("window %d is not among %v", window, info.Windows)
			}
		}
	}
}

func openSegment(t rapid.TB, fs vfs.FS, name string) *segment.Segment {
	t.Helper()
	s, err := segment.Open(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func bytesOf(t rapid.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	data, err := vfs.ReadFile(fs, name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// long is two inputs of one long trace and many short ones, half of each in both.
func long(t *testing.T, fs vfs.FS) (inputs []*segment.Segment, want []span.Row) {
	t.Helper()
	random := rand.New(rand.NewPCG(5, 5))
	b := pool(random, 30_000, 200)
	for pos := range b.Len() {
		if pos%2 == 0 {
			b.TraceIDs[pos], b.Starts[pos] = span.TraceID{1}, uint64(pos/16)
		}
	}
	var all, left, right []span.Row
	for pos := range b.Len() {
		row := span.Row{Batch: b, Pos: pos}
		all = append(all, row)
		if share := random.IntN(4); share != 0 {
			left = append(left, row)
			if share == 1 {
				right = append(right, row)
			}
		} else {
			right = append(right, row)
		}
	}
	return []*segment.Segment{write(t, fs, "left", left, 1), write(t, fs, "right", right, 2)}, distinct(all)
}

// A trace over many row groups of several inputs is merged row by row.
func TestALongTraceInSeveralInputsIsMerged(t *testing.T) {
	fs := vfs.NewCrash(1)
	inputs, want := long(t, fs)
	if _, err := compaction.Merge(context.Background(), fs, inputs, "out", nil); err != nil {
		t.Fatal(err)
	}
	wantRows(t, read(t, openSegment(t, fs, "out")), want)
}

func wantInputsOnly(t *testing.T, fs vfs.FS, what string) {
	t.Helper()
	if names, err := fs.List("."); err != nil || !slices.Equal(names, []string{"left", "right"}) {
		t.Fatalf("%s: %q, %v", what, names, err)
	}
}

// A merge that meets a failing disk at any call leaves nothing.
func TestAMergeThatFailsLeavesNothing(t *testing.T) {
	fs := vfs.NewCrash(1)
	inputs, _ := long(t, fs)
	broken := errors.New("broken disk")
	for failAt := 1; ; failAt++ {
		before := fs.Calls()
		fs.FailAt(failAt, broken)
		_, err := compaction.Merge(context.Background(), fs, inputs, "out", nil)
		if err == nil && fs.Calls()-before < failAt {
			if failAt < 20 {
				t.Fatalf("only %d calls: the test tests little", failAt)
			}
			return
		}
		if !errors.Is(err, broken) {
			t.Fatalf("call %d failed and the merge says %v", failAt, err)
		}
		wantInputsOnly(t, fs, fmt.Sprintf("call %d failed", failAt))
	}
}

// A merge that is cancelled leaves nothing, and says so.
func TestACancelledMergeLeavesNothing(t *testing.T) {
	fs := vfs.NewCrash(1)
	inputs, _ := long(t, fs)
	for after := range 3 {
		ctx, cancel := context.WithCancel(context.Background())
		if after == 0 {
			cancel()
		}
		calls := 0
		_, err := compaction.Merge(ctx, fs, inputs, "out", func(int, int) {
			if calls++; calls >= after*10 {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled, and the merge says %v", err)
		}
		wantInputsOnly(t, fs, "cancelled")
	}
}

// A damaged input stops the merge with its name and offset: nothing wrong is written.
func TestADamagedInputStopsTheMerge(t *testing.T) {
	fs := vfs.NewCrash(1)
	inputs, _ := long(t, fs)
	fs.FlipBit("right", 8*1000)
	_, err := compaction.Merge(context.Background(), fs, inputs, "out", nil)
	if !errors.Is(err, codec.ErrCorrupt) || !bytes.Contains([]byte(err.Error()), []byte("right: offset ")) {
		t.Fatalf("the merge says %v", err)
	}
	if names, _ := fs.List("."); len(names) != 2 {
		t.Fatalf("%q", names)
	}
}

// Segments of two shards or tenants never meet in one file.
func TestSegmentsOfTwoShardsAreNotMerged(t *testing.T) {
	fs := vfs.NewCrash(1)
	one := write(t, fs, "one", nil, 1)
	w, err := segment.NewWriter(fs, "two", segment.Meta{Shard: 1, Tenant: "other"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	if _, err := compaction.Merge(context.Background(), fs, []*segment.Segment{one, openSegment(t, fs, "two")}, "out", nil); err == nil {
		t.Fatal("merged all the same")
	}
}
