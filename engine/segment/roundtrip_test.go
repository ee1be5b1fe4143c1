package segment_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// Every span that OTLP can say comes back exactly, whatever batches it came in and however
// its trace was handed over.
func TestEverySpanComesBackExactly(t *testing.T) {
	fs := onDisk(t)
	rapid.Check(t, func(t *rapid.T) {
		o := newOdd(rapid.Uint64().Draw(t, "seed"))
		o.keys = rapid.SampledFrom([]int{1, 12, 300}).Draw(t, "keys")
		o.traces = rapid.IntRange(1, 200).Draw(t, "traces")
		var batches []*span.Batch
		for range rapid.IntRange(0, 4).Draw(t, "batches") {
			batches = append(batches, o.batch(rapid.IntRange(0, 150).Draw(t, "rows")))
		}
		traces := inOrder(batches...)
		info := write(t, fs, "s", traces, rapid.IntRange(1, 100).Draw(t, "piece"))
		s := open(t, fs, "s")
		defer s.Close()
		wantContents(t, s, traces)
		wantIndex(t, s, info, traces)
	})
}

// Resources and scopes that differ in one field only stay apart.
func TestNearlyEqualResourcesAndScopesStayApart(t *testing.T) {
	b := newOdd(1).batch(0)
	b.Resources, b.ResourceAttrs, b.Scopes, b.ScopeAttrs = nil, nil, nil, nil
	text := func(s string) span.TextID { return b.AddText([]byte(s)) }
	for i := range 9 {
		r := span.Resource{Message: text("m"), SchemaURL: text("u"), Service: text("s"), Present: true}
		s := span.Scope{Message: text("m"), SchemaURL: text("u"), Name: text("n"), Version: text("v"), Present: true}
		a := span.Attr{Key: text("k"), Type: span.StringValue, Value: uint64(text("v"))}
		switch i {
		case 1:
			r.Present, s.Present = false, false
		case 2:
			r.Message, s.Message = text("mu"), text("mu")
			r.SchemaURL, s.SchemaURL = 0, 0
		case 3:
			r.SchemaURL, s.SchemaURL = text("v"), text("v")
		case 4:
			r.Service, s.Name = text("t"), text("t")
		case 5:
			a.Type = span.BytesValue
		case 6:
			a.Key = text("l")
		case 7:
			a = span.Attr{Key: text("k"), Type: span.IntValue, Value: 1}
		}
		if i < 8 {
			b.ResourceAttrs, b.ScopeAttrs = append(b.ResourceAttrs, a), append(b.ScopeAttrs, a)
		}
		r.AttrEnd, s.AttrEnd = uint32(len(b.ResourceAttrs)), uint32(len(b.ScopeAttrs))
		b.Resources, b.Scopes = append(b.Resources, r), append(b.Scopes, s)
	}
	o := newOdd(2)
	for i := range uint32(9) {
		o.row(b)
		b.ResourceIDs[i], b.ScopeIDs[i] = i, i
	}
	fs := onDisk(t)
	traces := inOrder(b)
	write(t, fs, "s", traces, 10)
	s := open(t, fs, "s")
	defer s.Close()
	wantContents(t, s, traces)
	if n, m := len(s.Resources().Resources), len(s.Scopes().Scopes); n != 9 || m != 9 {
		t.Fatalf("%d resources and %d scopes of 9", n, m)
	}
}

// wantIndex checks all that stands beside the rows.
func wantIndex(t rapid.TB, s *segment.Segment, info segment.Info, traces []trace) {
	t.Helper()
	if diff := cmp.Diff(info, s.Info()); diff != "" {
		t.Fatalf("info written and read differ: %s", diff)
	}
	if s.TraceCount() != len(traces) {
		t.Fatalf("%d traces, %d expected", s.TraceCount(), len(traces))
	}
	wantFew(t, s)
	wantServed(t, s)
	var starts []uint64
	for _, trace := range traces {
		for _, row := range trace.rows {
			starts = append(starts, row.Start())
		}
	}
	var read []uint64
	for i := range s.Groups() {
		var err error
		g := s.Group(i)
		if read, err = s.ReadStarts(i, read); err != nil || !slices.Equal(read, starts[g.FirstRow:g.FirstRow+g.Rows]) {
			t.Fatalf("row group %d: other starts: %v", i, err)
		}
	}
	first := 0
	for k, trace := range traces {
		i, ok := s.FindTrace(trace.id)
		if !ok || s.TraceID(i) != trace.id || s.TraceInOrder(k) != i {
			t.Fatalf("trace %s: position %d, found %v", trace.id, i, ok)
		}
		if at, rows := s.TraceRows(i); at != first || rows != len(trace.rows) {
			t.Fatalf("trace %s: rows %d+%d, %d+%d expected", trace.id, at, rows, first, len(trace.rows))
		}
		for row := first; row < first+len(trace.rows); row++ {
			g := s.Group(s.GroupOfRow(row))
			start := trace.rows[row-first].Start()
			if s.TraceAtRow(row) != i || row < g.FirstRow || row >= g.FirstRow+g.Rows {
				t.Fatalf("row %d: trace %d, group %+v", row, s.TraceAtRow(row), g)
			}
			if start < g.MinStart || start > g.MaxStart || trace.rows[row-first].Duration() > g.MaxDuration {
				t.Fatalf("row %d lies outside of its group's range %+v", row, g)
			}
		}
		first += len(trace.rows)
		for _, p := range []segment.Projection{{All: true}, {All: true, Messages: true}} {
			c := s.Trace(i, p)
			for _, want := range trace.rows {
				if !c.Next() || !bytes.Equal(span.AppendContent(nil, c.Row()), span.AppendContent(nil, want)) {
					t.Fatalf("trace %s: the cursor gives another row: %v", trace.id, c.Err())
				}
				if b := c.Row().Batch; p.Messages && len(b.ResourceAttrs)+len(b.ScopeAttrs) > 0 {
					t.Fatalf("trace %s: attributes of resources and scopes that nobody asked for", trace.id)
				}
			}
			if c.Next() || c.Err() != nil {
				t.Fatalf("trace %s: the cursor goes on: %v", trace.id, c.Err())
			}
		}
	}
	if _, ok := s.FindTrace(span.TraceID{9, 9}); ok {
		t.Fatal("a trace is found that is not there")
	}
	wantCatalog(t, s, traces)
}

func wantCatalog(t rapid.TB, s *segment.Segment, traces []trace) {
	t.Helper()
	want := map[span.Operation]uint64{}
	for _, trace := range traces {
		for _, r := range trace.rows {
			want[span.Operation{Service: string(r.Service()), Name: string(r.Name()), Kind: r.Kind()}]++
		}
	}
	got := map[span.Operation]uint64{}
	for _, o := range s.Catalog().Operations("") {
		got[o] = s.Catalog().Spans(o)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("catalog: %s", diff)
	}
}

// A read with a projection gives the same values as a read of everything, and nil for what
// was not asked; with keys, lists hold the attributes of these keys in their order.
func TestAProjectionReadsTheSameValues(t *testing.T) {
	fs := onDisk(t)
	o := newOdd(11)
	o.traces = 100
	write(t, fs, "s", inOrder(o.batch(4000), o.batch(300)), 50)
	s := open(t, fs, "s")
	defer s.Close()
	var whole []*span.Batch
	for i := range s.Groups() {
		b, err := s.ReadGroup(i, segment.Projection{All: true})
		if err != nil {
			t.Fatal(err)
		}
		whole = append(whole, b)
	}
	if len(whole) < 2 {
		t.Fatal("one row group only")
	}
	for _, bits := range []int{0, 1, 2, 4, 8, 16, 32, 1 | 4, 1 | 8, 2 | 16, 8 | 32, 16 | 32, 63} {
		p := segment.Projection{Times: bits&1 != 0, Names: bits&2 != 0, Identity: bits&4 != 0, Attrs: bits&8 != 0, Events: bits&16 != 0, Links: bits&32 != 0}
		for _, keys := range []map[string]bool{nil, {}, {"key.3": true}, {"": true, "key.1": true}, {"absent": true}} {
			p.Keys = keys
			for i := range s.Groups() {
				got, err := s.ReadGroup(i, p)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(told(whole[i], p), told(got, p)) {
					t.Fatalf("%+v: %s", p, cmp.Diff(told(whole[i], p), told(got, p)))
				}
				wantNilUnasked(t, got, p)
			}
		}
	}
}

func wantNilUnasked(t *testing.T, b *span.Batch, p segment.Projection) {
	t.Helper()
	for _, part := range []struct {
		asked, filled bool
	}{
		{p.Times, b.Starts != nil || b.Ends != nil}, {p.Names, b.Names != nil}, {p.Identity, b.SpanIDs != nil || b.Kinds != nil},
		{p.Attrs, b.AttrEnds != nil}, {p.Events, b.EventEnds != nil}, {p.Links, b.LinkEnds != nil},
	} {
		if part.asked != part.filled {
			t.Fatalf("%+v: %+v", p, part)
		}
	}
}

// told writes what p asks of each row of b as text, narrowing attributes to its keys.
func told(b *span.Batch, p segment.Projection) []string {
	var rows []string
	attrs := func(list []span.Attr) (out string) {
		for _, a := range list {
			if p.Keys != nil && !p.Keys[b.String(a.Key)] {
				continue
			}
			value := fmt.Sprint(a.Value)
			if a.Type.HasText() {
				value = b.String(span.TextID(a.Value))
			}
			out += fmt.Sprintf("%q:%d:%q ", b.String(a.Key), a.Type, value)
		}
		return out
	}
	for pos := range b.Len() {
		r := span.Row{Batch: b, Pos: pos}
		row := fmt.Sprintf("%s %q %q", r.TraceID(), r.Service(), b.Bytes(r.Scope().Name))
		if p.Times {
			row += fmt.Sprint(" times ", r.Start(), r.End())
		}
		if p.Names {
			row += fmt.Sprintf(" name %q", r.Name())
		}
		if p.Identity {
			row += fmt.Sprintf(" identity %s %s %d %d %v %q", r.SpanID(), r.ParentID(), r.Kind(), r.StatusCode(), b.StatusPresent[pos], b.Bytes(b.StatusMessages[pos]))
		}
		if p.Attrs {
			row += " attrs " + attrs(r.AppendAttrs(nil))
		}
		if p.Events {
			for i, end := r.EventRange(); i < end; i++ {
				e := b.Events[i]
				row += fmt.Sprintf(" event %d %q %d %q %s", e.Time, b.Bytes(e.Name), e.Dropped, b.Bytes(e.Residue), attrs(b.EventAttrsOf(i)))
			}
		}
		if p.Links {
			for i, end := r.LinkRange(); i < end; i++ {
				l := b.Links[i]
				row += fmt.Sprintf(" link %s %s %q %d %d %s", l.TraceID, l.SpanID, b.Bytes(l.TraceState), l.Dropped, l.Flags, attrs(b.LinkAttrsOf(i)))
			}
		}
		rows = append(rows, row)
	}
	return rows
}
