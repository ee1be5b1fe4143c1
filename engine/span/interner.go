package span

import (
	"bytes"

	"github.com/stoadb/stoa/internal/codec"
)

// Interner adds text to a batch so that equal text gets one id: an open-addressing
// table over the batch's own text table. It serves one goroutine and one batch at a
// time.
//
// The table is kept small, because looks go to places all over it and wait where those are not
// in the processor's cache. It is cleared for every batch, in one sweep, which brings it there;
// so it shrinks again behind a large batch, or small ones would pay for that.
type Interner struct {
	batch *Batch
	slots []slot // length is a power of two
	used  int
}

// slot holds a text, 0 for none, and the upper half of its hash, which says where the text
// stands and spares most looks into the text of another.
type slot struct {
	hash uint32
	id   TextID
}

const (
	slotBytes = 8

	slotsMin = 256     // 2 KiB: a batch of a few spans
	slotsMax = 1 << 18 // 2 MiB, a part of spans without a word in common: a larger table is not kept for the next batch
)

// NewInterner interns into b, which must be empty.
func NewInterner(b *Batch) *Interner {
	n := &Interner{}
	n.Reset(b)
	return n
}

// Reset forgets everything and interns into b, which must be empty. The table's memory
// is used again, less of it where the batch before took little.
func (n *Interner) Reset(b *Batch) {
	size := len(n.slots)
	switch {
	case size < slotsMin || size > slotsMax:
		n.slots, size = make([]slot, slotsMin), slotsMin
	case size > slotsMin && n.used <= size/4:
		size /= 2
	}
	n.slots = n.slots[:size]
	clear(n.slots)
	b.AddText(nil)
	n.batch, n.used = b, 0
}

// MemoryBytes is what the table takes.
func (n *Interner) MemoryBytes() int { return slotBytes * cap(n.slots) }

// Intern gives the id of text, adding it when it is new.
func (n *Interner) Intern(text []byte) TextID {
	if len(text) == 0 {
		return 0
	}
	if n.used*4 >= len(n.slots)*3 {
		n.grow()
	}
	hash := uint32(codec.Hash64(text, 0) >> 32)
	mask := uint32(len(n.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		s := n.slots[at]
		if s.id == 0 {
			id := n.batch.AddText(text)
			n.slots[at] = slot{hash, id}
			n.used++
			return id
		}
		if s.hash == hash && bytes.Equal(n.batch.Bytes(s.id), text) {
			return s.id
		}
	}
}

func (n *Interner) grow() {
	old := n.slots
	n.slots = make([]slot, 2*len(old))
	mask := uint32(len(n.slots) - 1)
	for _, s := range old {
		if s.id == 0 {
			continue
		}
		at := s.hash & mask
		for n.slots[at].id != 0 {
			at = (at + 1) & mask
		}
		n.slots[at] = s
	}
}
