package engine

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// memTrace is a trace of a memtable.
type memTrace struct {
	start  uint64 // of its first row
	id     span.TraceID
	places []segment.Place // of its distinct rows, in the order of span.Compare
}

// timedRef is a row with what nearly always decides its place in its trace.
type timedRef struct {
	start      uint64
	batch, row uint32
}

// traces gives the first count batches, and the traces among them by (start of the first row, id).
// It goes over all rows as they lie, which is cheaper than to come by each trace's.
func (m *memtable) traces(count uint32) (batches []*span.Batch, traces []memTrace) {
	batches = make([]*span.Batch, count)
	for i := range batches {
		batches[i] = m.at(uint32(i)).batch
	}
	refs, ends := m.refsByTrace(batches)
	all := make([]segment.Place, 0, len(refs))
	traces = make([]memTrace, len(ends))
	rowOf := func(ref timedRef) span.Row { return span.Row{Batch: batches[ref.batch], Pos: int(ref.row)} }
	compare := func(a, b timedRef) int {
		if c := cmp.Compare(a.start, b.start); c != 0 {
			return c
		}
		return span.Compare(rowOf(a), rowOf(b))
	}
	begin := uint32(0)
	for i, end := range ends {
		list, from := refs[begin:end], len(all)
		begin = end
		slices.SortFunc(list, compare)
		for k, ref := range list {
			if k == 0 || compare(list[k-1], ref) != 0 {
				all = append(all, segment.Place{Batch: ref.batch, Row: ref.row})
			}
		}
		traces[i] = memTrace{list[0].start, rowOf(list[0]).TraceID(), all[from:len(all):len(all)]}
	}
	slices.SortFunc(traces, func(a, b memTrace) int {
		return cmp.Or(cmp.Compare(a.start, b.start), bytes.Compare(a.id[:], b.id[:]))
	})
	return batches, traces
}

// rowPlaces gives where the rows of the traces are, one trace after another.
func rowPlaces(traces []memTrace, total int) []segment.Place {
	places := make([]segment.Place, 0, total)
	for _, t := range traces {
		places = append(places, t.places...)
	}
	return places
}

// refsByTrace gives the rows of the batches trace by trace, and where each trace ends.
func (m *memtable) refsByTrace(batches []*span.Batch) (refs []timedRef, ends []uint32) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := m.refs
	for len(all) > 0 && int(all[len(all)-1].batch) >= len(batches) {
		all = all[:len(all)-1]
	}
	numbers := make([]uint32, len(all)) // of the traces, by their first rows
	for i, ref := range all {
		if ref.previous < 0 {
			numbers[i] = uint32(len(ends))
			ends = append(ends, 0)
		} else {
			numbers[i] = numbers[ref.previous]
		}
		ends[numbers[i]]++
	}
	at := uint32(0)
	for i, rows := range ends {
		ends[i] = at
		at += rows
	}
	refs = make([]timedRef, len(all))
	for i, ref := range all {
		to := &ends[numbers[i]] // moves from the begin to the end
		refs[*to] = timedRef{batches[ref.batch].Starts[ref.row], ref.batch, ref.row}
		*to++
	}
	return refs, ends
}
