package span

import (
	"bytes"

	"github.com/stoadb/stoa/internal/codec"
)

// Interner adds text to a batch so that equal text gets one id: an open-addressing
// table over the batch's own text table. It serves one goroutine and one batch at a
// time.
type Interner struct {
	batch *Batch
	slots []slot // length is a power of two
	used  int
}

// slot holds a text's id and the upper half of its hash, which spares most looks into
// the text of another. Id 0 is a free slot.
type slot struct {
	hash uint32
	id   TextID
}

const (
	slotsMin = 256     // 2 KiB: a batch of a few spans
	slotsMax = 1 << 15 // 256 KiB: a larger table is not kept for the next batch
)

// NewInterner interns into b, which must be empty.
func NewInterner(b *Batch) *Interner {
	n := &Interner{}
	n.Reset(b)
	return n
}

// Reset forgets everything and interns into b, which must be empty. The table's memory
// is used again.
func (n *Interner) Reset(b *Batch) {
	b.AddText(nil)
	n.batch, n.used = b, 0
	if len(n.slots) < slotsMin || len(n.slots) > slotsMax {
		n.slots = make([]slot, slotsMin)
		return
	}
	clear(n.slots)
}

// Intern gives the id of text, adding it when it is new.
func (n *Interner) Intern(text []byte) TextID {
	if len(text) == 0 {
		return 0
	}
	if n.used*2 >= len(n.slots) {
		n.grow()
	}
	hash := codec.Hash64(text, 0)
	upper := uint32(hash >> 32)
	mask := uint64(len(n.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		s := n.slots[at]
		if s.id == 0 {
			id := n.batch.AddText(text)
			n.slots[at] = slot{upper, id}
			n.used++
			return id
		}
		if s.hash == upper && bytes.Equal(n.batch.Bytes(s.id), text) {
			return s.id
		}
	}
}

func (n *Interner) grow() {
	old := n.slots
	n.slots = make([]slot, 2*len(old))
	mask := uint64(len(n.slots) - 1)
	for _, s := range old {
		if s.id == 0 {
			continue
		}
		at := codec.Hash64(n.batch.Bytes(s.id), 0) & mask
		for n.slots[at].id != 0 {
			at = (at + 1) & mask
		}
		n.slots[at] = s
	}
}
