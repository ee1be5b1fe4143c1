package span

import (
	"bytes"

	"github.com/stoadb/stoa/internal/codec"
)

// Interner adds text to a batch so that equal text gets one id: an open-addressing
// table over the batch's own text table. It serves one goroutine and one batch at a
// time.
//
// The table is not cleared between batches: small ones would pay for the largest before
// them. Its entries are numbered on from batch to batch instead, and those up to base are
// free.
type Interner struct {
	batch *Batch
	slots []slot // length is a power of two
	base  uint32 // entry = base + TextID
	used  int
}

// slot holds the entry of a text and the upper half of its hash, which spares most looks
// into the text of another.
type slot struct{ hash, entry uint32 }

const (
	slotsMin = 256     // 2 KiB: a batch of a few spans
	slotsMax = 1 << 15 // 256 KiB: a larger table is not kept for the next batch
	baseMax  = 1 << 30 // then the numbers begin anew; a batch has fewer texts than that
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
	n.base += uint32(n.used)
	switch {
	case len(n.slots) < slotsMin || len(n.slots) > slotsMax:
		n.slots, n.base = make([]slot, slotsMin), 0
	case n.base > baseMax:
		clear(n.slots)
		n.base = 0
	}
	b.AddText(nil)
	n.batch, n.used = b, 0
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
		if s.entry <= n.base {
			id := n.batch.AddText(text)
			n.slots[at] = slot{upper, n.base + uint32(id)}
			n.used++
			return id
		}
		if s.hash == upper {
			if id := TextID(s.entry - n.base); bytes.Equal(n.batch.Bytes(id), text) {
				return id
			}
		}
	}
}

func (n *Interner) grow() {
	old := n.slots
	n.slots = make([]slot, 2*len(old))
	mask := uint64(len(n.slots) - 1)
	for _, s := range old {
		if s.entry <= n.base {
			continue
		}
		at := codec.Hash64(n.batch.Bytes(TextID(s.entry-n.base)), 0) & mask
		for n.slots[at].entry > n.base {
			at = (at + 1) & mask
		}
		n.slots[at] = s
	}
}
