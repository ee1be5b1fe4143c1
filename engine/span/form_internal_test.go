package span

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/stoadb/stoa/internal/codec"
)

// Each kind of column, by its bytes: they are in logs.
func TestGoldenNumbers(t *testing.T) {
	for _, c := range []struct {
		form    []byte
		numbers []uint64
	}{
		{nil, nil},
		{[]byte{0, 0}, []uint64{0, 0, 0}},
		{[]byte{0, 0x81, 1}, []uint64{129}},
		{[]byte{2, 5, 0b0101_0110, 0b1}, []uint64{5, 6, 6, 5, 6, 5, 6, 5, 6}},
		{[]byte{4, 7, 0b10_001_000, 0b111_1}, []uint64{7, 8, 13, 14}},
		{[]byte{1, 1, 0, 2, 0xff, 0xff, 3}, []uint64{1, 3, 65536}},
		{[]byte{10, 0, 0, 0, 2}, []uint64{0, 256}},
		{append(append([]byte{65, 0}, make([]byte, 8)...), bytes.Repeat([]byte{0xff}, 32)...), []uint64{0, math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64}},
	} {
		got := appendNumbers(nil, c.numbers)
		if !bytes.Equal(got, c.form) {
			t.Errorf("%d is %v, want %v", c.numbers, got, c.form)
		}
	}
}

// Whatever a column is, it comes back; no other bytes give it.
func TestNumbersComeBack(t *testing.T) {
	for width := range 65 {
		for _, n := range []int{1, 2, 3, 7, 8, 9, 63, 64, 65, 200} {
			numbers := make([]uint64, n)
			for i := range numbers {
				numbers[i] = 3 + uint64(i)*hashFactor>>1>>(63-min(width, 63))
			}
			form := appendNumbers(nil, numbers)
			got := make([]uint64, n)
			r := codec.NewReader(form)
			if readNumbers(r, got); r.Err() != nil || r.Len() > 0 || !slices.Equal(got, numbers) {
				t.Fatalf("%d numbers of %d bits: %v", n, width, r.Err())
			}
			for bit := range 8 * min(len(form), 40) {
				other := bytes.Clone(form)
				other[bit/8] ^= 1 << (bit % 8)
				r := codec.NewReader(other)
				readNumbers(r, got)
				if r.Err() == nil && !bytes.Equal(appendNumbers(nil, got), other[:r.Offset()]) {
					t.Fatalf("%d numbers of %d bits: bit %d flipped is another form of %d", n, width, bit, got)
				}
			}
		}
	}
}

// What a reader has read is its to use again: the strays too, of which a batch uses all.
func TestAReaderKeepsTheMemoryOfStrays(t *testing.T) {
	const rows = 200
	b := &Batch{}
	for i := range rows {
		b.AddText([]byte{byte(i), byte(i >> 8), 1})
	}
	b.Resources, b.Scopes = make([]Resource, 1), make([]Scope, 1)
	b.setRows(rows)
	for i := range b.Names {
		b.TraceIDs[i], b.SpanIDs[i], b.Names[i] = TraceID{1}, SpanID{1}, TextID(rows-i)
	}
	form := b.AppendBinary(nil)
	var f formReader
	got, err := f.read(form, math.MaxInt32)
	if err != nil || !slices.Equal(got.Names, b.Names) {
		t.Fatalf("%v: %v", err, got)
	}
	if n := cap(f.texts.strays); n < rows-1 {
		t.Errorf("room for %d strays is left of %d", n, rows-1)
	}
	kept := &f.texts.strays[0]
	if _, err := f.read(form, math.MaxInt32); err != nil || kept != &f.texts.strays[0] {
		t.Errorf("read again, in other memory: %v", err)
	}
}

// setRows gives b so many rows of nothing.
func (b *Batch) setRows(rows int) {
	b.TraceIDs, b.SpanIDs, b.ParentIDs = make([]TraceID, rows), make([]SpanID, rows), make([]SpanID, rows)
	b.Starts, b.Ends = make([]uint64, rows), make([]uint64, rows)
	b.Names, b.StatusMessages, b.TraceStates, b.Residues = make([]TextID, rows), make([]TextID, rows), make([]TextID, rows), make([]TextID, rows)
	b.Kinds, b.StatusCodes, b.StatusPresent, b.Flags = make([]int32, rows), make([]int32, rows), make([]bool, rows), make([]uint32, rows)
	b.DroppedAttrs, b.DroppedEvents, b.DroppedLinks = make([]uint32, rows), make([]uint32, rows), make([]uint32, rows)
	b.ResourceIDs, b.ScopeIDs, b.EventEnds, b.LinkEnds = make([]uint32, rows), make([]uint32, rows), make([]uint32, rows), make([]uint32, rows)
	b.AttrEnds = make([]uint32, rows)
}

// Ids that all fall into one place of a table are kept as others are: what finds no place
// there is written again.
func TestIdsThatMeetInATableAreKept(t *testing.T) {
	const rows = 3 * probesMax
	b := &Batch{TextEnd: []uint32{0}, Resources: make([]Resource, 1), Scopes: make([]Scope, 1)}
	mask := uint32(tableSize(rows) - 1)
	for i := uint64(1); len(b.SpanIDs) < rows; i++ {
		id := SpanID(binary.BigEndian.AppendUint64(nil, i))
		if hashOf(&id)&mask == 1 {
			b.SpanIDs = append(b.SpanIDs, id)
		}
	}
	for i := uint64(1); len(b.TraceIDs) < rows; i++ {
		id := TraceID(binary.BigEndian.AppendUint64(make([]byte, 8), i))
		if traceHash(&id)&mask == 1 {
			b.TraceIDs = append(b.TraceIDs, id, id)
		}
	}
	spans, traces := b.SpanIDs, b.TraceIDs
	b.setRows(rows)
	b.SpanIDs, b.TraceIDs, b.ParentIDs = spans, traces, slices.Clone(spans)
	slices.Reverse(b.ParentIDs)
	form := b.AppendBinary(nil)
	got, err := DecodeBatch(form, math.MaxInt32)
	if err != nil || !slices.Equal(got.TraceIDs, b.TraceIDs) || !slices.Equal(got.ParentIDs, b.ParentIDs) {
		t.Fatalf("%v: %v", err, got)
	}
	if again := got.AppendBinary(nil); !bytes.Equal(again, form) {
		t.Fatal("another form of the same batch")
	}
	// Of the parents only those that have a place in the table are told by their rows.
	if least := 16*rows/2 + 8*rows + 8*(rows-probesMax); len(form) < least {
		t.Errorf("%d bytes, at least %d were expected: nothing met", len(form), least)
	}
}
