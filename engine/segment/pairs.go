package segment

import "math/bits"

// pairNumbers numbers the pairs of a resource and a template that rows of a row group have: by
// open addressing, as there are some thousand of a hundred thousand possible ones. It keeps its
// memory.
type pairNumbers struct {
	slots []pairSlot
	shift int
}

// pairSlot is a pair + 1, 0 is none, and its number + 1, which whoever meets it first sets.
type pairSlot struct {
	pair   uint64
	number uint32
}

// reset forgets all and makes room for the pairs of so many rows.
func (p *pairNumbers) reset(rows int) {
	size := bits.Len(uint(2 * rows))
	p.shift = 64 - size
	if cap(p.slots) < 1<<size {
		p.slots = make([]pairSlot, 1<<size)
	}
	p.slots = p.slots[:1<<size]
	clear(p.slots)
}

// at gives where the number + 1 of a pair stands; 0 is a new one.
func (p *pairNumbers) at(pair uint64) *uint32 {
	mask := uint64(len(p.slots) - 1)
	for at := (pair + 1) * 0x9e3779b97f4a7c15 >> p.shift; ; at = (at + 1) & mask {
		slot := &p.slots[at&mask]
		if slot.pair == 0 {
			slot.pair = pair + 1
		}
		if slot.pair == pair+1 {
			return &slot.number
		}
	}
}
