package segment_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// cellsTold writes out the cells of a segment.
func cellsTold(out []byte, s *segment.Segment) ([]byte, error) {
	for _, read := range []func() (*segment.Cells, error){s.EdgeCells, s.OperationCells} {
		cells, err := read()
		if err != nil {
			return nil, err
		}
		if cells == nil {
			out = append(out, " no cells"...)
			continue
		}
		out = fmt.Appendf(out, " %d %q %q", cells.Step, cells.Services, cells.Operations)
		for i := range cells.Len() {
			c := cells.At(i)
			out = fmt.Appendf(out, " %d %d %d %d %d %d:", c.Start, c.Parent, c.Callee, c.Kind, c.Spans, c.Errors)
			var d span.Durations
			cells.AddTo(&d, i)
			d.Each(func(least, _, n uint64) { out = fmt.Append(out, least, n) })
		}
	}
	return out, nil
}

// calling is traces of two services that call each other, rows of them.
func calling(rows, traceRows int, start func(row int) uint64) *span.Batch {
	b := readable()
	resource, scope := b.Resources[0], b.Scopes[0]
	*b = span.Batch{Text: b.Text, TextEnd: b.TextEnd, ResourceAttrs: b.ResourceAttrs, Scopes: []span.Scope{scope}}
	text := func(s string) span.TextID { return b.AddText([]byte(s)) }
	other := resource
	other.Service = text("other")
	b.Resources = []span.Resource{resource, other}
	name := text("call")
	for i := range rows {
		trace, at := i/traceRows+1, i%traceRows+1
		b.TraceIDs = append(b.TraceIDs, span.TraceID{13: byte(trace >> 16), 14: byte(trace >> 8), 15: byte(trace)})
		b.SpanIDs = append(b.SpanIDs, span.SpanID{5: byte(at >> 16), 6: byte(at >> 8), 7: byte(at)})
		parent := at - 1
		b.ParentIDs = append(b.ParentIDs, span.SpanID{5: byte(parent >> 16), 6: byte(parent >> 8), 7: byte(parent)})
		b.Starts = append(b.Starts, start(i))
		b.Ends = append(b.Ends, b.Starts[i]+uint64(i*7%5000))
		b.ResourceIDs = append(b.ResourceIDs, uint32(i%2))
	}
	zeros := make([]uint32, rows)
	b.Names, b.Kinds, b.StatusCodes = slices.Repeat([]span.TextID{name}, rows), slices.Repeat([]int32{span.KindServer}, rows), make([]int32, rows)
	b.StatusMessages, b.StatusPresent, b.TraceStates = make([]span.TextID, rows), make([]bool, rows), make([]span.TextID, rows)
	b.Residues, b.ScopeIDs, b.Flags = make([]span.TextID, rows), zeros, zeros
	b.DroppedAttrs, b.DroppedEvents, b.DroppedLinks = zeros, zeros, zeros
	b.AttrEnds, b.EventEnds, b.LinkEnds = zeros, zeros, zeros
	return b
}

// Cells are a function of the rows: however traces come in pieces.
func TestCellsAreTheSameHoweverRowsCome(t *testing.T) {
	var first string
	for _, pieces := range []int{1 << 20, 1, 977} {
		fs := vfs.NewCrash(1)
		traces := inOrder(calling(20_000, 150, func(row int) uint64 { return 1_700_000_000_000_000_000 + uint64(row)*40_000_000 }))
		write(t, fs, "s", traces, pieces)
		s := open(t, fs, "s")
		told, err := cellsTold(nil, s)
		s.Close()
		if err != nil || strings.Contains(string(told), "no cells") {
			t.Fatalf("%.100s, %v", told, err)
		}
		if first == "" {
			first = string(told)
		}
		if first != string(told) {
			t.Fatalf("in pieces of %d: other cells", pieces)
		}
		if err := segment.Verify(fs, "s"); err != nil {
			t.Fatal(err)
		}
	}
}

// A trace that is too long to hold leaves a segment without cells of edges, not without those of
// operations: such a one is read.
func TestATraceOfManyRowsHasNoCellsOfEdges(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: writes 260,000 rows")
	}
	for _, more := range []int{0, 1} {
		fs := vfs.NewCrash(1)
		rows := segment.CellTraceRowsMax() + more
		write(t, fs, "s", inOrder(calling(rows, rows, func(row int) uint64 { return uint64(row) })), 4096)
		s := open(t, fs, "s")
		edges, err := s.EdgeCells()
		if err != nil || (edges == nil) != (more == 1) {
			t.Errorf("%d rows: cells %v, %v", rows, edges != nil, err)
		}
		operations, err := s.OperationCells()
		if err != nil || operations == nil || operations.Len() != 2 {
			t.Errorf("%d rows: cells of operations: %v", rows, err)
		}
		s.Close()
		if err := segment.Verify(fs, "s"); err != nil {
			t.Fatal(err)
		}
	}
}

// Operations of more sizes than a writer counts leave a segment without cells of operations, also
// where the last straw is a new operation in the midst of a row group.
func TestCellsAreGivenUpAtANewOperation(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: writes 400,000 rows")
	}
	const sizes = 26
	b := calling(400_000, sizes, func(int) uint64 { return 1_700_000_000_000_000_000 })
	for row := range b.Starts {
		if row%sizes == 0 {
			b.Names[row] = b.AddText(fmt.Append(nil, "op ", row/sizes))
		} else {
			b.Names[row] = b.Names[row-1]
		}
		b.ResourceIDs[row], b.Ends[row] = 0, b.Starts[row]+1<<(row%sizes)
	}
	fs := vfs.NewCrash(1)
	write(t, fs, "s", inOrder(b), 4096)
	s := open(t, fs, "s")
	defer s.Close()
	if cells, err := s.OperationCells(); err != nil || cells != nil {
		t.Errorf("cells of operations: %v, %v", cells != nil, err)
	}
	if n := s.Catalog().Size(); n != (400_000+sizes-1)/sizes {
		t.Errorf("%d operations", n)
	}
	if err := segment.Verify(fs, "s"); err != nil {
		t.Fatal(err)
	}
}

// Spans of more pairs of a service and a template than a writer remembers are counted all the same.
func TestSpansOfManyServicesAndTemplatesAreCounted(t *testing.T) {
	b := calling(100_000, 5, func(row int) uint64 { return 1_700_000_000_000_000_000 + uint64(row)*1_000_000 })
	first := b.Resources[0]
	b.Resources = nil
	for i := range 301 {
		first.Service = b.AddText(fmt.Append(nil, "service ", i))
		b.Resources = append(b.Resources, first)
	}
	for row := range b.Starts {
		b.ResourceIDs[row], b.StatusCodes[row] = uint32(row%301), int32(row%299)
	}
	fs := vfs.NewCrash(1)
	write(t, fs, "s", inOrder(b), 4096)
	s := open(t, fs, "s")
	defer s.Close()
	total := uint64(0)
	for _, o := range s.Catalog().Operations("") {
		total += s.Catalog().Spans(o)
	}
	if n := s.Catalog().Size(); n != 301 || total != 100_000 {
		t.Errorf("%d spans of %d operations", total, n)
	}
	if err := segment.Verify(fs, "s"); err != nil {
		t.Fatal(err)
	}
}

// Spans of months, a few a day, and starts at both ends of time: cells go to longer steps rather
// than take much of the file.
func TestCellsOfSparseSpansStaySmall(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	fs := vfs.NewCrash(1)
	info := write(t, fs, "s", inOrder(calling(30_000, 5, func(int) uint64 { return random.Uint64() })), 100)
	s := open(t, fs, "s")
	defer s.Close()
	a, err := s.Analyze()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, p := range a.Parts {
		if strings.HasPrefix(p.What, "section of cells") {
			found++
			if p.Bytes > info.Bytes/50 {
				t.Errorf("%s: %d bytes of %d", p.What, p.Bytes, info.Bytes)
			}
		}
	}
	if found != 2 {
		t.Fatalf("%d sections of cells", found)
	}
	if cells, err := s.OperationCells(); err != nil || cells == nil || cells.Step != 0 {
		t.Errorf("no cells of all time: %v", err)
	}
	if err := segment.Verify(fs, "s"); err != nil {
		t.Fatal(err)
	}
}

// FuzzCells replaces a section of cells by any bytes, under right checksums.
func FuzzCells(f *testing.F) {
	m := forgeableMixed(f)
	for _, section := range []string{"cells of edges", "cells of operations"} {
		segment.ForgeSection(m, "s", section, func(payload []byte) []byte {
			f.Add(section == "cells of edges", slices.Clone(payload))
			return payload
		})
	}
	f.Add(true, []byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add(false, []byte{5, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, edges bool, payload []byte) {
		section := "cells of operations"
		if edges {
			section = "cells of edges"
		}
		data, ok := segment.ForgeSection(m, "s", section, func([]byte) []byte { return payload })
		if !ok {
			t.Fatal("nothing is forged")
		}
		bear(t, section, data)
	})
}
