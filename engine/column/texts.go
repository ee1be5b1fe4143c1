package column

import (
	"bytes"
	"slices"

	"github.com/stoadb/stoa/internal/codec"
)

// Texts collects the texts of one page, distinct ones once. The zero value is ready; Reset
// makes it ready for the next page, keeping its memory.
type Texts struct {
	text   []byte
	ends   []uint32 // of each distinct text
	hashes []uint64 // of each distinct text
	codes  []uint64 // of each value: position in ends
	slots  []uint32 // open addressing by hash: code + 1, 0 is free; length a power of two
	empty  uint32   // code + 1 of the empty value, 0 while there is none
	filled bool     // some value is not empty
}

// Len is the number of values.
func (t *Texts) Len() int { return len(t.codes) }

// Filled reports a value that is not empty.
func (t *Texts) Filled() bool { return t.filled }

// Codes gives each value's position among the distinct ones, until the next call.
func (t *Texts) Codes() []uint64 { return t.codes }

// Distinct is the number of distinct values.
func (t *Texts) Distinct() int { return len(t.ends) }

// Value gives the distinct value of a code, until the next call.
func (t *Texts) Value(code uint64) []byte {
	begin := uint32(0)
	if code > 0 {
		begin = t.ends[code-1]
	}
	return t.text[begin:t.ends[code]]
}

// Hash gives codec.HashText of the distinct value of a code.
func (t *Texts) Hash(code uint64) uint64 { return t.hashes[code] }

// MemoryBytes is what the builder holds, by capacity.
func (t *Texts) MemoryBytes() int {
	return cap(t.text) + 4*(cap(t.ends)+cap(t.slots)) + 8*(cap(t.codes)+cap(t.hashes))
}

// Reset forgets all values, and keeps the memory.
func (t *Texts) Reset() {
	if len(t.ends) > 0 {
		clear(t.slots)
	}
	t.text, t.ends, t.hashes, t.codes = t.text[:0], t.ends[:0], t.hashes[:0], t.codes[:0]
	t.empty, t.filled = 0, false
}

// Add adds a value, and gives its position among the distinct ones.
func (t *Texts) Add(value []byte) (code uint64) {
	if len(value) == 0 {
		return t.addEmpty()
	}
	if len(t.ends)*2 >= len(t.slots) {
		t.grow()
	}
	t.filled = true
	mask, hash := uint64(len(t.slots)-1), codec.HashText(value)
	for at := hash & mask; ; at = (at + 1) & mask {
		slot := t.slots[at]
		if slot == 0 {
			t.text = append(t.text, value...)
			t.ends = append(t.ends, uint32(len(t.text)))
			t.hashes = append(t.hashes, hash)
			t.slots[at] = uint32(len(t.ends))
			return t.Again(uint64(len(t.ends) - 1))
		}
		if t.hashes[slot-1] == hash && bytes.Equal(t.Value(uint64(slot-1)), value) {
			return t.Again(uint64(slot - 1))
		}
	}
}

// Again adds a value once more, by the position that Add gave.
func (t *Texts) Again(code uint64) uint64 {
	t.codes = append(t.codes, code)
	return code
}

// addEmpty is a way of its own: most rows have no status message and no trace state, and
// need no look into the table for that.
func (t *Texts) addEmpty() uint64 {
	if t.empty == 0 {
		t.ends = append(t.ends, uint32(len(t.text)))
		t.hashes = append(t.hashes, codec.HashText(nil))
		t.empty = uint32(len(t.ends))
	}
	return t.Again(uint64(t.empty - 1))
}

func (t *Texts) grow() {
	t.slots = make([]uint32, max(64, 2*len(t.slots)))
	mask := uint64(len(t.slots) - 1)
	for code, hash := range t.hashes {
		if uint32(code+1) == t.empty {
			continue
		}
		at := hash & mask
		for t.slots[at] != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = uint32(code + 1)
	}
}

// Table is texts one after another with their ends; entry 0 is the empty text. It is the
// text table of a span.Batch.
type Table struct {
	Text []byte
	Ends []uint32

	scratch []uint64 // lengths and codes while a page is decoded
	seen    []uint32 // by the entry of a dictionary: its position here + 1; all 0 between two pages
	ends    []uint32 // of a chunk that goes straight into the table
}

// NewTable has the empty text alone.
func NewTable() Table { return Table{Ends: []uint32{0}} }

// Take gives the texts away and leaves a new table, which keeps its working memory. The
// new one has room for textBytes of text.
func (t *Table) Take(textBytes int) (text []byte, ends []uint32) {
	text, ends = t.Text, t.Ends
	t.Text, t.Ends = nil, append(make([]uint32, 0, 64), 0)
	if textBytes > 0 {
		t.Text = make([]byte, 0, textBytes)
	}
	return text, ends
}

// Copy gives copies of the texts, in no more memory than they take, and leaves a new table
// with all the memory of the old one. Much text is given away instead of copied: it would
// stand there twice.
func (t *Table) Copy() (text []byte, ends []uint32) {
	if len(t.Text) > copiedTextMax {
		return t.Take(0)
	}
	text, ends = slices.Clone(t.Text), slices.Clone(t.Ends)
	t.Text, t.Ends = t.Text[:0], t.Ends[:1]
	return text, ends
}

// Forget leaves a new table with all the memory of the old one.
func (t *Table) Forget() { t.Text, t.Ends = t.Text[:0], append(t.Ends[:0], 0) }

// Value gives the text at a position.
func (t *Table) Value(at uint32) []byte {
	if at == 0 {
		return nil
	}
	return t.Text[t.Ends[at-1]:t.Ends[at]]
}

// MemoryBytes is what the texts take, by capacity.
func (t *Table) MemoryBytes() int { return cap(t.Text) + 4*cap(t.Ends) }

// Add appends a text and gives its position; empty text is 0.
func (t *Table) Add(text []byte) uint32 {
	if len(text) == 0 {
		return 0
	}
	t.Text = append(t.Text, text...)
	t.Ends = append(t.Ends, uint32(len(t.Text)))
	return uint32(len(t.Ends) - 1)
}
