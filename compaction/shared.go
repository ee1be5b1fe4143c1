package compaction

import "github.com/stoadb/stoa/engine/span"

// markShared marks the traces of each input that another one has too: it goes over the sorted ids of all
// of them together, once. To look each up in all other inputs would take several times as long. After each
// sharedEach of them told is asked whether to go on.
func markShared(inputs []*input, told func() error) error {
	h := make(byID, 0, len(inputs))
	for _, in := range inputs {
		in.shared = make([]uint64, len(in.done))
		if in.s.TraceCount() > 0 {
			h = append(h, idCursor{in: in, id: in.s.TraceID(0)})
		}
	}
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.sink(i)
	}
	last := idCursor{}
	for n := 1; len(h) > 0; n++ {
		if n%sharedEach == 0 {
			if err := told(); err != nil {
				return err
			}
		}
		c := h[0]
		if last.in != nil && last.id == c.id {
			last.in.shared[last.trace/64] |= 1 << (last.trace % 64)
			c.in.shared[c.trace/64] |= 1 << (c.trace % 64)
		}
		last = c
		if h[0].trace++; h[0].trace < c.in.s.TraceCount() {
			h[0].id = c.in.s.TraceID(h[0].trace)
		} else {
			h[0] = h[len(h)-1]
			h = h[:len(h)-1]
		}
		h.sink(0)
	}
	return nil
}

// idCursor is a trace of an input, in the order of ids.
type idCursor struct {
	in    *input
	trace int
	id    span.TraceID
}

// byID is a heap: none comes before the one at half its place.
type byID []idCursor

// sink moves cursor i down to where it belongs.
func (h byID) sink(i int) {
	for {
		least := i
		for _, child := range [...]int{2*i + 1, 2*i + 2} {
			if child < len(h) && h[child].id.Compare(h[least].id) < 0 {
				least = child
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
