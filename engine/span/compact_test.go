package span_test

import (
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/span"
)

// plainRows gives rows that have ids and nothing else.
func plainRows(rows int) *span.Batch {
	b := rowsAlike(rows, 0)
	b.Text, b.TextEnd = nil, []uint32{0}
	return b
}

// TestColumnsOfZerosTakeNoMemory: all but ids and times of a row that has nothing is shared between
// batches, whether they were walked or decoded.
func TestColumnsOfZerosTakeNoMemory(t *testing.T) {
	const rows, fixed = 1000, 16 + 4*8
	for name, b := range map[string]*span.Batch{"compact": plainRows(rows).Compact(), "decoded": decoded(t, plainRows(rows))} {
		if most := rows*fixed + 1000; b.MemoryBytes() > most {
			t.Errorf("%s: %d bytes, at most %d", name, b.MemoryBytes(), most)
		}
		other := plainRows(rows / 2).Compact()
		for column, same := range map[string]bool{
			"names": &b.Names[0] == &other.Names[0], "residues": &b.Residues[0] == &other.Residues[0],
			"kinds": &b.Kinds[0] == &other.Kinds[0], "status": &b.StatusPresent[0] == &other.StatusPresent[0],
			"flags": &b.Flags[0] == &other.Flags[0], "ends of attributes": &b.AttrEnds[0] == &other.AttrEnds[0],
			"ends of links": &b.LinkEnds[0] == &other.LinkEnds[0], "resources": &b.ResourceIDs[0] == &other.ResourceIDs[0],
		} {
			if !same {
				t.Errorf("%s: %s are not shared", name, column)
			}
		}
		if cap(b.Flags) != rows || cap(b.Names) != rows {
			t.Errorf("%s: who appends to a shared column writes to it", name)
		}
	}
}

// TestSharedColumnsStayZero: making batches writes nothing to what they share, not of rows with
// values in every column, nor of bytes that are refused.
func TestSharedColumnsStayZero(t *testing.T) {
	shared := plainRows(1000).Compact()
	for _, b := range []*span.Batch{one(), two(), twenty(), rowsAlike(500, 3)} {
		form := b.Compact().AppendBinary(nil)
		for bit := range min(8*len(form), 4000) {
			form[bit/8] ^= 1 << (bit % 8)
			if got, err := span.DecodeBatch(form, 1<<20); err == nil {
				got.Compact()
			}
			form[bit/8] ^= 1 << (bit % 8)
		}
	}
	if !same(plainRows(1000), shared) {
		t.Error("what batches share was written to")
	}
}

// TestManyRowsHaveColumnsOfTheirOwn: more rows than are shared are as good.
func TestManyRowsHaveColumnsOfTheirOwn(t *testing.T) {
	b := plainRows(70_000)
	for name, got := range map[string]*span.Batch{"compact": b.Compact(), "decoded": decoded(t, b)} {
		if !same(b, got) {
			t.Errorf("%s: other rows", name)
		}
		if least := b.Len() * (16 + 4*8 + 15*4 + 1); got.MemoryBytes() < least {
			t.Errorf("%s: %d bytes, at least %d", name, got.MemoryBytes(), least)
		}
	}
}

// TestCompactTakesACopy: a batch changes nothing in the one that was made of it.
func TestCompactTakesACopy(t *testing.T) {
	b := two()
	compact := b.Compact()
	if !reflect.DeepEqual(b, two()) || !same(b, compact) {
		t.Fatal("the copy differs, or the batch was changed")
	}
	v := reflect.ValueOf(b).Elem()
	for i := range v.NumField() {
		if field := v.Field(i); field.Kind() == reflect.Slice {
			for j := range field.Len() {
				field.Index(j).SetZero()
			}
		}
	}
	if !same(two(), compact) {
		t.Error("the copy changed with the batch")
	}
}

func decoded(t *testing.T, b *span.Batch) *span.Batch {
	t.Helper()
	got, err := span.DecodeBatch(b.AppendBinary(nil), math.MaxInt32)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// same reports whether all columns are equal; no list and an empty one are the same.
func same(a, b *span.Batch) bool {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range x.NumField() {
		if x.Field(i).Kind() == reflect.Slice && x.Field(i).Len() == 0 && y.Field(i).Len() == 0 {
			continue
		}
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			return false
		}
	}
	return true
}

// TestIDsDependOnABatchsAttributesAlone: each id is that of an equal attribute, and an interner that
// served other batches gives the same as a new one.
func TestIDsDependOnABatchsAttributesAlone(t *testing.T) {
	used := new(span.AttrInterner)
	rapid.Check(t, func(t *rapid.T) {
		attr := rapid.Custom(func(t *rapid.T) span.Attr {
			a := span.Attr{Key: span.TextID(rapid.IntRange(0, 5).Draw(t, "key")), Type: span.ValueType(rapid.IntRange(0, span.ValueTypes-1).Draw(t, "type"))}
			switch {
			case a.Type.HasText():
				a.Value = uint64(rapid.IntRange(0, 5).Draw(t, "text"))
			case a.Type >= span.BoolValue:
				a.Value = rapid.OneOf(rapid.Uint64Range(0, 5000), rapid.Uint64()).Draw(t, "number")
			}
			return a
		})
		b, fresh := &span.Batch{}, new(span.AttrInterner)
		again := &span.Batch{}
		for _, a := range rapid.SliceOfN(attr, 0, 100).Draw(t, "attributes") {
			id := used.ID(b, a)
			if b.Attrs[id] != a {
				t.Fatalf("%v has the id of %v", a, b.Attrs[id])
			}
			if other := fresh.ID(again, a); other != id {
				t.Fatalf("%v has id %d, and %d where nothing was before", a, id, other)
			}
			if next := used.ID(b, a); next != id {
				t.Fatalf("%v has id %d, then %d", a, id, next)
			}
		}
	})
}
