package span

import (
	"encoding/binary"
	"math/bits"
)

// resolverRowsMax is the longest trace that a Resolver finds parents of by its own table. The
// table has no seed, so ids may be chosen that all fall on one place: of so many rows that
// costs some milliseconds. Longer traces go by a map, which has one.
const resolverRowsMax = 4096

// Resolver is ResolveParents for who resolves trace after trace: it keeps its memory. The zero
// value is ready; it serves one goroutine.
type Resolver struct {
	places []uint32       // open addressing by span id: first row with it + 1, 0 is free
	halves []sharedHalves // by first row with an id
	firsts []uint32       // of each row: first row with its id
}

// sharedHalves are the first SERVER and the first CLIENT row of an id, -1 where there is none.
type sharedHalves struct{ server, client int32 }

// Resolve is ResolveParents.
func (r *Resolver) Resolve(dst []int32, spanIDs, parentIDs []SpanID, kinds []int32) []int32 {
	n := len(spanIDs)
	if n > resolverRowsMax {
		return ResolveParents(dst, spanIDs, parentIDs, kinds)
	}
	shift := r.collect(spanIDs, kinds)
	dst = dst[:0]
	for i := range n {
		if kinds[i] == KindServer {
			if client := r.halves[r.firsts[i]].client; client >= 0 {
				dst = append(dst, client)
				continue
			}
		}
		if parentIDs[i].IsZero() {
			dst = append(dst, NoParent)
			continue
		}
		parent := Orphan
		if slot := r.places[r.placeOf(spanIDs, parentIDs[i], shift)]; slot != 0 {
			if parent = int32(slot - 1); r.halves[slot-1].server >= 0 {
				parent = r.halves[slot-1].server
			}
			if parent == int32(i) {
				parent = Orphan
			}
		}
		dst = append(dst, parent)
	}
	return dst
}

// collect fills the table, and gives by how much a hash is shifted to a place of it.
func (r *Resolver) collect(spanIDs []SpanID, kinds []int32) (shift int) {
	n := len(spanIDs)
	size := 1 << bits.Len(uint(max(2*n, 8)-1))
	if cap(r.places) < size {
		r.places = make([]uint32, size)
	}
	r.places = r.places[:size]
	clear(r.places)
	if cap(r.firsts) < n {
		r.firsts, r.halves = make([]uint32, n), make([]sharedHalves, n)
	}
	r.firsts, r.halves = r.firsts[:n], r.halves[:n]
	shift = 64 - bits.TrailingZeros(uint(size))
	for i, id := range spanIDs {
		place := r.placeOf(spanIDs, id, shift)
		if r.places[place] == 0 {
			r.places[place] = uint32(i + 1)
			r.halves[i] = sharedHalves{-1, -1}
		}
		first := r.places[place] - 1
		r.firsts[i] = first
		switch h := &r.halves[first]; {
		case kinds[i] == KindServer && h.server < 0:
			h.server = int32(i)
		case kinds[i] == KindClient && h.client < 0:
			h.client = int32(i)
		}
	}
	return shift
}

// placeOf gives the place of an id, or the free one where it belongs.
func (r *Resolver) placeOf(spanIDs []SpanID, id SpanID, shift int) uint64 {
	mask := uint64(len(r.places) - 1)
	at := binary.LittleEndian.Uint64(id[:]) * 0x9e3779b97f4a7c15 >> shift
	for r.places[at] != 0 && spanIDs[r.places[at]-1] != id {
		at = (at + 1) & mask
	}
	return at
}
