package engine_test

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// TestRowsOfATraceStandInTheirOrder: however many there are, in whatever order they come, and also where
// they begin together, a flush writes each once, in the order of span.Compare.
func TestRowsOfATraceStandInTheirOrder(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.options.MemtableBytesMax = 1 << 30
	w.mustOpen()
	want := 0
	for trace := range 200 {
		id := make([]byte, 16)
		binary.BigEndian.PutUint64(id, uint64(trace+1))
		var request []byte
		for range trace + 1 {
			want++
			spanID, start := make([]byte, 8), make([]byte, 8)
			binary.BigEndian.PutUint64(spanID, w.rand.Uint64()|1)
			binary.LittleEndian.PutUint64(start, 1_000+w.rand.Uint64N(uint64(1+trace*(trace%7)))) // one time for all of a trace, or many
			one := field(2, field(1, id), field(2, spanID), append([]byte{7<<3 | 1}, start...))
			request = append(request, one...)
			if w.rand.IntN(4) == 0 {
				request = append(request, one...) // a copy
			}
		}
		if err := w.append(field(1, field(2, request))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	rows := 0
	w.eachSegment(func(s *segment.Segment) {
		var last span.Row
		for i := range s.Info().Groups {
			b, err := s.ReadGroup(i, segment.Projection{All: true, Messages: true})
			if err != nil {
				t.Fatal(err)
			}
			for pos := range b.Len() {
				row := span.Row{Batch: b, Pos: pos}
				if last.Batch != nil && last.TraceID() == row.TraceID() && span.Compare(last, row) >= 0 {
					t.Fatalf("trace %v: a row that begins at %d behind one that begins at %d", row.TraceID(), row.Start(), last.Start())
				}
				last = row
				rows++
			}
		}
	})
	if rows != want {
		t.Errorf("%d rows, want %d", rows, want)
	}
}
