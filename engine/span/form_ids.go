package span

import (
	"encoding/binary"

	"github.com/stoadb/stoa/internal/codec"
)

// The ids of a batch:
//
//	traces    v; the distinct trace ids in the order in which they come, 16 bytes each
//	trace     a number for each row: 0 a new one, 1 + d the one d before the newest
//	span ids  8 bytes each
//	parent    a number for each row: 0 none, 1 a literal, 2 + z the id of another row, of
//	          this one less zigzag z
//	literals  8 bytes each
//
// A parent is the first row of its id. As with shapes, a search looks at few places of a
// table; an id that had no place in it comes as a new trace, or as a literal, again.

// idTable finds ids by their hash.
type idTable []uint32 // a power of two of positions plus 1, 0 for none

// hashOf spreads ids that are counted up as well as those that are drawn.
func hashOf(id *SpanID) uint32 { return spread(binary.LittleEndian.Uint64(id[:])) }

func traceHash(id *TraceID) uint32 {
	return spread(binary.LittleEndian.Uint64(id[:8])*hashFactor ^ binary.LittleEndian.Uint64(id[8:]))
}

func spread(v uint64) uint32 { return uint32((v ^ v>>32) * hashFactor >> 32) }

// find gives the position of an equal id among ids, or the free place for it.
func find[ID comparable](t idTable, ids []ID, id *ID, hash uint32) (position uint32, found bool, free *uint32) {
	mask := uint32(len(t) - 1)
	at := hash & mask
	for range probesMax {
		p := t[at]
		if p == 0 {
			return 0, false, &t[at]
		}
		if ids[p-1] == *id {
			return p - 1, true, nil
		}
		at = (at + 1) & mask
	}
	return 0, false, nil
}

// addSpans fills t with the first row of each id.
func (t idTable) addSpans(ids []SpanID) {
	for i := range ids {
		if _, _, free := find(t, ids, &ids[i], hashOf(&ids[i])); free != nil {
			*free = uint32(i) + 1
		}
	}
}

// appendTraces appends the trace ids of rows. Traces and numbers are working memory.
func (w *formWriter) appendTraces(dst []byte, ids []TraceID) []byte {
	w.table = cleared(w.table, tableSize(len(ids)))
	w.traces = w.traces[:0]
	numbers := sized(w.numbers, len(ids))
	newest := uint64(0) // number of the row before
	for i := range ids {
		if i > 0 && ids[i] == ids[i-1] && newest > 0 {
			numbers[i] = newest
			continue
		}
		hash := traceHash(&ids[i])
		at, found, free := find(w.table, w.traces, &ids[i], hash)
		if found {
			newest = uint64(len(w.traces)) - uint64(at)
			numbers[i] = newest
			continue
		}
		w.traces = append(w.traces, ids[i])
		newest = 0
		if free != nil {
			*free, newest = uint32(len(w.traces)), 1
		}
		numbers[i] = 0
	}
	w.numbers = numbers
	dst = binary.AppendUvarint(dst, uint64(len(w.traces)))
	for i := range w.traces {
		dst = append(dst, w.traces[i][:]...)
	}
	return appendNumbers(dst, numbers)
}

// appendSpans appends the span and parent ids of rows.
func (w *formWriter) appendSpans(dst []byte, ids, parents []SpanID) []byte {
	for i := range ids {
		dst = append(dst, ids[i][:]...)
	}
	w.table = cleared(w.table, tableSize(len(ids)))
	w.table.addSpans(ids)
	numbers := sized(w.numbers, len(ids))
	w.literals = w.literals[:0]
	for i := range parents {
		if parents[i].IsZero() {
			numbers[i] = 0
			continue
		}
		at, found, _ := find(w.table, ids, &parents[i], hashOf(&parents[i]))
		if found {
			numbers[i] = 2 + zigzag(uint64(i)-uint64(at))
			continue
		}
		numbers[i] = 1
		w.literals = append(w.literals, parents[i][:]...)
	}
	w.numbers = numbers
	return append(appendNumbers(dst, numbers), w.literals...)
}

// readTraces reads what appendTraces wrote.
func (f *formReader) readTraces(r *codec.Reader, ids []TraceID) {
	count := readCount(r, min(len(ids), r.Len()/len(TraceID{})))
	f.traces = sized(f.traces, count)
	f.table = cleared(f.table, tableSize(len(ids)))
	f.numbers = sized(f.numbers, len(ids))
	raw := r.Bytes(count * len(TraceID{}))
	readNumbers(r, f.numbers)
	if r.Err() != nil {
		return
	}
	findable := sized(f.findable, count)
	f.findable = findable
	known := uint64(0)
	for i, n := range f.numbers {
		if n > known || n == 0 && known == uint64(count) {
			r.Fail("row %d is of no trace", i)
			return
		}
		if n > 0 {
			at := known - n
			if ids[i] = f.traces[at]; !findable[at] {
				r.Fail("row %d is of a trace that cannot be found", i)
				return
			}
			continue
		}
		id := TraceID(raw[16*known:])
		_, found, free := find(f.table, f.traces[:known], &id, traceHash(&id))
		if found || id == (TraceID{}) {
			r.Fail("trace %v comes twice, or is none", id)
			return
		}
		if findable[known] = free != nil; free != nil {
			*free = uint32(known) + 1
		}
		ids[i], f.traces[known] = id, id
		known++
	}
	if known != uint64(count) {
		r.Fail("%d traces, rows of %d", count, known)
	}
}

// readSpans reads what appendSpans wrote.
func (f *formReader) readSpans(r *codec.Reader, ids, parents []SpanID) {
	raw := r.Bytes(len(ids) * len(SpanID{}))
	f.numbers = sized(f.numbers, len(ids))
	readNumbers(r, f.numbers)
	if r.Err() != nil {
		return
	}
	for i := range ids {
		ids[i] = SpanID(raw[8*i:])
		if ids[i].IsZero() {
			r.Fail("row %d has no span id", i)
			return
		}
	}
	f.table = cleared(f.table, tableSize(len(ids)))
	f.table.addSpans(ids)
	for i, n := range f.numbers {
		switch n {
		case 0:
			parents[i] = SpanID{}
			continue
		case 1:
			id := r.Bytes(len(SpanID{}))
			if id == nil {
				return
			}
			parents[i] = SpanID(id)
			if _, found, _ := find(f.table, ids, &parents[i], hashOf(&parents[i])); found || parents[i].IsZero() {
				r.Fail("parent of row %d is in the batch, or is none", i)
				return
			}
			continue
		}
		at := uint64(i) - unzigzag(n-2)
		if at >= uint64(len(ids)) {
			r.Fail("parent of row %d is row %d of %d", i, at, len(ids))
			return
		}
		parents[i] = ids[at]
		if first, found, _ := find(f.table, ids, &ids[at], hashOf(&ids[at])); !found || uint64(first) != at {
			r.Fail("parent of row %d is row %d, which is not the first of its id", i, at)
			return
		}
	}
}
