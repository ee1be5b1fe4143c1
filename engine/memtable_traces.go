package engine

import (
	"bytes"
	"cmp"
	"math/bits"
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
	begin, sorter := uint32(0), timeSorter{}
	for i, end := range ends {
		list, from := refs[begin:end], len(all)
		begin = end
		sorter.sort(list)
		sortEqualStarts(list, compare)
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

// sortEqualStarts puts those in order that start together, in a list that is in the order of starts.
func sortEqualStarts(list []timedRef, compare func(a, b timedRef) int) {
	for at := 1; at < len(list); at++ {
		if list[at].start != list[at-1].start {
			continue
		}
		end := at + 1
		for end < len(list) && list[end].start == list[at].start {
			end++
		}
		slices.SortFunc(list[at-1:end], compare)
		at = end
	}
}

// timeSorter sorts rows by their starts. The rows of a trace come in no order that a processor could foresee,
// so that a sort by branches waits at each second one: up to rankedMax rows are put where as many are as start
// before them, which takes no branch, and longer lists are merged of such.
type timeSorter struct {
	ranked [rankedMax]timedRef
	room   []timedRef
}

// rankedMax rows are put in order by counting: that takes as many steps for each as there are.
const rankedMax = 16

func (s *timeSorter) sort(list []timedRef) {
	for part := range slices.Chunk(list, rankedMax) {
		s.rank(part)
	}
	if len(list) <= rankedMax {
		return
	}
	if len(s.room) < len(list) {
		s.room = make([]timedRef, 2*len(list))
	}
	from, to := list, s.room[:len(list)]
	for width := rankedMax; width < len(list); width *= 2 {
		for at := 0; at < len(from); at += 2 * width {
			middle, end := min(at+width, len(from)), min(at+2*width, len(from))
			mergeStarts(to[at:end], from[at:middle], from[middle:end])
		}
		from, to = to, from
	}
	if &from[0] != &list[0] {
		copy(list, from)
	}
}

// rank puts up to rankedMax rows in order.
func (s *timeSorter) rank(list []timedRef) {
	var places [rankedMax]uint8
	for i := 1; i < len(list); i++ {
		start, place := list[i].start, uint64(0)
		before, counts := list[:i], places[:i]
		for k := range before {
			_, isBefore := bits.Sub64(start, before[k].start, 0)
			counts[k] += uint8(isBefore)
			place += 1 - isBefore
		}
		places[i] = uint8(place)
	}
	for i, ref := range list {
		s.ranked[places[i]%rankedMax] = ref
	}
	copy(list, s.ranked[:])
}

// mergeStarts fills to with two lists that are in order.
func mergeStarts(to, a, b []timedRef) {
	if len(a) > 0 && len(b) > 0 && a[len(a)-1].start <= b[0].start {
		copy(to[copy(to, a):], b)
		return
	}
	for len(a) > 0 && len(b) > 0 {
		if b[0].start < a[0].start {
			to[0], b = b[0], b[1:]
		} else {
			to[0], a = a[0], a[1:]
		}
		to = to[1:]
	}
	copy(to[copy(to, a):], b)
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
