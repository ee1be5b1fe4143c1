package segment_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// odd makes batches of spans full of what OTLP allows and nobody expects.
type odd struct {
	*rand.Rand
	keys   int // distinct attribute keys
	traces int // distinct trace ids
	large  int // bytes of the largest text
	ids    span.AttrInterner
}

func newOdd(seed uint64) *odd {
	return &odd{Rand: rand.New(rand.NewPCG(seed, 1)), keys: 12, traces: 5, large: 40}
}

// number is often small, sometimes an edge.
func (o *odd) number() uint64 {
	edges := []uint64{0, 0, 1, 200, 1 << 31, 1<<32 - 1, math.MaxInt64, 1 << 63, math.MaxUint64, 0x7ff8000000000001, 0xfff8000000000000}
	if o.IntN(3) == 0 {
		return edges[o.IntN(len(edges))]
	}
	return o.Uint64N(1 << (1 + o.IntN(40)))
}

func (o *odd) number32() uint32 {
	if o.IntN(4) > 0 {
		return 0
	}
	return uint32(o.number())
}

func (o *odd) text(b *span.Batch) span.TextID {
	switch o.IntN(6) {
	case 0:
		return 0
	case 1:
		raw := make([]byte, o.IntN(o.large+1))
		for i := range raw {
			raw[i] = byte(o.Uint32()) // not UTF-8, as it comes
		}
		return b.AddText(raw)
	default:
		return b.AddText(fmt.Appendf(nil, "text %d", o.IntN(9)))
	}
}

func (o *odd) rarely(b *span.Batch) span.TextID {
	if o.IntN(6) > 0 {
		return 0
	}
	return o.text(b)
}

// attrs may repeat a key, with other types and values, and may have an empty one.
func (o *odd) attrs(b *span.Batch, dst []span.Attr) []span.Attr {
	for range o.IntN(6) {
		a := span.Attr{Type: span.ValueType(o.IntN(span.ValueTypes))}
		if key := o.IntN(o.keys + 1); key > 0 {
			a.Key = b.AddText(fmt.Appendf(nil, "key.%d", key))
		}
		switch {
		case a.Type.HasText():
			a.Value = uint64(o.text(b))
		case a.Type == span.BoolValue:
			a.Value = o.Uint64N(2)
		case a.Type != span.NoValue && a.Type != span.EmptyValue:
			a.Value = o.number()
		}
		dst = append(dst, a)
	}
	return dst
}

// batch makes rows spans.
func (o *odd) batch(rows int) *span.Batch {
	b := new(span.Batch)
	b.AddText(nil)
	for range 1 + o.IntN(3) {
		b.ResourceAttrs = o.attrs(b, b.ResourceAttrs)
		b.Resources = append(b.Resources, span.Resource{
			Message: o.text(b), SchemaURL: o.rarely(b), Service: o.text(b),
			AttrEnd: uint32(len(b.ResourceAttrs)), Present: o.IntN(3) > 0,
		})
		b.ScopeAttrs = o.attrs(b, b.ScopeAttrs)
		b.Scopes = append(b.Scopes, span.Scope{
			Message: o.rarely(b), SchemaURL: o.rarely(b), Name: o.text(b), Version: o.rarely(b),
			AttrEnd: uint32(len(b.ScopeAttrs)), Present: o.IntN(3) > 0,
		})
	}
	for range rows {
		o.row(b)
	}
	return b
}

func (o *odd) spanID() (id span.SpanID) {
	id[7] = byte(1 + o.IntN(20)) // few: ids repeat in a trace, parents are found
	return id
}

func (o *odd) row(b *span.Batch) {
	start := 1_700_000_000_000_000_000 + o.Uint64N(1000)
	if o.IntN(8) == 0 {
		start = o.number()
	}
	end := start + o.Uint64N(1<<20)
	if o.IntN(8) == 0 {
		end = o.number()
	}
	var trace span.TraceID
	trace[15], trace[0] = byte(1+o.IntN(o.traces)), byte(o.IntN(2))
	var parent span.SpanID
	if o.IntN(4) > 0 {
		parent = o.spanID()
	}
	b.TraceIDs = append(b.TraceIDs, trace)
	b.SpanIDs = append(b.SpanIDs, o.spanID())
	b.ParentIDs = append(b.ParentIDs, parent)
	b.Starts, b.Ends = append(b.Starts, start), append(b.Ends, end)
	b.Names = append(b.Names, o.text(b))
	b.Kinds = append(b.Kinds, int32(o.IntN(6)))
	b.StatusCodes = append(b.StatusCodes, int32(o.number32()))
	b.StatusMessages = append(b.StatusMessages, o.rarely(b))
	b.StatusPresent = append(b.StatusPresent, o.IntN(2) == 0)
	b.TraceStates = append(b.TraceStates, o.rarely(b))
	b.Flags = append(b.Flags, o.number32())
	b.DroppedAttrs = append(b.DroppedAttrs, o.number32())
	b.DroppedEvents = append(b.DroppedEvents, o.number32())
	b.DroppedLinks = append(b.DroppedLinks, o.number32())
	b.ResourceIDs = append(b.ResourceIDs, uint32(o.IntN(len(b.Resources))))
	b.ScopeIDs = append(b.ScopeIDs, uint32(o.IntN(len(b.Scopes))))
	b.Residues = append(b.Residues, o.rarely(b))
	for _, a := range o.attrs(b, nil) {
		b.AttrIDs = append(b.AttrIDs, o.ids.ID(b, a))
	}
	b.AttrEnds = append(b.AttrEnds, uint32(len(b.AttrIDs)))
	for range max(0, o.IntN(5)-2) {
		b.EventAttrs = o.attrs(b, b.EventAttrs)
		b.Events = append(b.Events, span.Event{
			Time: start + o.number(), Name: o.text(b), Dropped: o.number32(), Residue: o.rarely(b), AttrEnd: uint32(len(b.EventAttrs)),
		})
	}
	b.EventEnds = append(b.EventEnds, uint32(len(b.Events)))
	for range max(0, o.IntN(5)-3) {
		b.LinkAttrs = o.attrs(b, b.LinkAttrs)
		b.Links = append(b.Links, span.Link{
			TraceID: trace, SpanID: o.spanID(), TraceState: o.rarely(b), Dropped: o.number32(), Flags: o.number32(),
			Residue: o.rarely(b), AttrEnd: uint32(len(b.LinkAttrs)),
		})
	}
	b.LinkEnds = append(b.LinkEnds, uint32(len(b.Links)))
}

// trace is the distinct rows of one trace, in order.
type trace struct {
	id   span.TraceID
	rows []span.Row
}

// inOrder gives the distinct rows of the batches as a segment wants them.
func inOrder(batches ...*span.Batch) []trace {
	byID := map[span.TraceID][]span.Row{}
	for _, b := range batches {
		for pos, id := range b.TraceIDs {
			byID[id] = append(byID[id], span.Row{Batch: b, Pos: pos})
		}
	}
	var traces []trace
	for id, rows := range byID {
		slices.SortFunc(rows, span.Compare)
		traces = append(traces, trace{id, slices.CompactFunc(rows, func(a, b span.Row) bool { return span.Compare(a, b) == 0 })})
	}
	slices.SortFunc(traces, func(a, b trace) int {
		return cmp.Or(cmp.Compare(a.rows[0].Start(), b.rows[0].Start()), a.id.Compare(b.id))
	})
	return traces
}

func meta() segment.Meta {
	return segment.Meta{
		Shard: 3, Tenant: "blue", Windows: []int64{-1, 944444}, FirstSeq: 7, LastSeq: 19, MinReceived: -5, MaxReceived: 1_700_000_000_000_000_000,
		Generation: 2, Hashes: []segment.Received{{Hash: codec.HashBytes([]byte("one")), At: -5}, {Hash: codec.HashBytes([]byte("two")), At: 99}},
	}
}

// write writes the traces, some rows at a time.
func write(t rapid.TB, fs vfs.FS, name string, traces []trace, pieceRows int) segment.Info {
	t.Helper()
	w, err := segment.NewWriter(fs, name, meta())
	if err != nil {
		t.Fatal(err)
	}
	for _, trace := range traces {
		for rows := trace.rows; len(rows) > 0; {
			n := min(len(rows), pieceRows)
			if err := w.Add(trace.id, rows[:n]); err != nil {
				t.Fatal(err)
			}
			rows = rows[n:]
		}
	}
	info, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func open(t rapid.TB, fs vfs.FS, name string) *segment.Segment {
	t.Helper()
	s, err := segment.Open(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func onDisk(t testing.TB) vfs.FS {
	t.Helper()
	fs, err := vfs.NewOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// contents gives the content of every row that a segment holds, by group, in order.
func contents(s *segment.Segment) ([][]byte, error) {
	var all [][]byte
	for i := range s.Groups() {
		b, err := s.ReadGroup(i, segment.Projection{All: true})
		if err != nil {
			return nil, err
		}
		for pos := range b.Len() {
			all = append(all, span.AppendContent(nil, span.Row{Batch: b, Pos: pos}))
		}
	}
	return all, nil
}

// wantContents fails unless the segment holds the rows of the traces, exactly, in order.
func wantContents(t rapid.TB, s *segment.Segment, traces []trace) {
	t.Helper()
	got, err := contents(s)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, trace := range traces {
		for _, row := range trace.rows {
			if at == len(got) {
				t.Fatalf("%d rows, more expected", at)
			}
			if want := span.AppendContent(nil, row); !bytes.Equal(got[at], want) {
				t.Fatalf("row %d differs:\n got %q\nwant %q", at, got[at], want)
			}
			at++
		}
	}
	if at != len(got) {
		t.Fatalf("%d rows, %d expected", len(got), at)
	}
}
