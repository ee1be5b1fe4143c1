package engine

import (
	"encoding/binary"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// traceHeads tells the last ref of each trace of a memtable: an open-addressing table, whose place
// for a trace is looked for once for each row, where a map would be asked, and then told. The zero
// traceHeads is ready.
type traceHeads struct {
	heads []traceHead // length is a power of two, or none
	used  int
}

type traceHead struct {
	id   span.TraceID
	last int32 // of its refs, plus 1; 0 where no trace stands
}

// headsMin is the size of a table with a trace.
const headsMin = 64

// find gives the place of a trace, or the free one for it. The table has places.
func (t *traceHeads) find(id *span.TraceID) *traceHead {
	mask := uint64(len(t.heads) - 1)
	for at := codec.Mixed(binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])) & mask; ; at = (at + 1) & mask {
		if h := &t.heads[at]; h.last == 0 || h.id == *id {
			return h
		}
	}
}

// last gives the last ref of a trace, -1 for none.
func (t *traceHeads) last(id span.TraceID) int32 {
	if len(t.heads) == 0 {
		return -1
	}
	return t.find(&id).last - 1
}

// replace makes ref the last of a trace, and gives the one before it, -1 for none.
func (t *traceHeads) replace(id *span.TraceID, ref int32) (before int32) {
	if 4*t.used >= 3*len(t.heads) {
		t.grow()
	}
	h := t.find(id)
	if h.last == 0 {
		h.id = *id
		t.used++
	}
	before, h.last = h.last-1, ref+1
	return before
}

func (t *traceHeads) grow() {
	old := t.heads
	t.heads = make([]traceHead, max(2*len(old), headsMin))
	for i := range old {
		if old[i].last != 0 {
			*t.find(&old[i].id) = old[i]
		}
	}
}
