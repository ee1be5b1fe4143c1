package span

import (
	"bytes"

	"github.com/stoadb/stoa/internal/codec"
)

// Interner adds text to a batch so that equal text gets one id: an open-addressing
// table over the batch's own text table. It serves one goroutine and is dropped when
// the batch is complete.
type Interner struct {
	batch *Batch
	slots []TextID // 0 is free; length is a power of two
	used  int
}

// NewInterner interns into b, which must be empty.
func NewInterner(b *Batch) *Interner {
	b.AddText(nil)
	return &Interner{batch: b, slots: make([]TextID, 256)}
}

// Intern gives the id of text, adding it when it is new.
func (n *Interner) Intern(text []byte) TextID {
	if len(text) == 0 {
		return 0
	}
	if n.used*2 >= len(n.slots) {
		n.grow()
	}
	mask := uint64(len(n.slots) - 1)
	for at := codec.Hash64(text, 0) & mask; ; at = (at + 1) & mask {
		id := n.slots[at]
		if id == 0 {
			id = n.batch.AddText(text)
			n.slots[at] = id
			n.used++
			return id
		}
		if bytes.Equal(n.batch.Bytes(id), text) {
			return id
		}
	}
}

func (n *Interner) grow() {
	old := n.slots
	n.slots = make([]TextID, 2*len(old))
	mask := uint64(len(n.slots) - 1)
	for _, id := range old {
		if id == 0 {
			continue
		}
		at := codec.Hash64(n.batch.Bytes(id), 0) & mask
		for n.slots[at] != 0 {
			at = (at + 1) & mask
		}
		n.slots[at] = id
	}
}
