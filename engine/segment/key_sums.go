package segment

import (
	"cmp"
	"errors"
	"slices"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
)

// What is counted of attributes adds up like cells: values and their bytes as they stand in the
// inputs of a merge, without those of rows that stand twice. How many differ does not: a file says the
// number, not which. Counters know, and whoever has just written a segment can leave them with it while it
// is open, as pages are kept. Where an input has none any more, all values are looked at.

// KeyCounters tell the distinct values of a segment's attribute columns apart.
type KeyCounters struct{ columns []index.KeyCounter }

// KeyCounters gives the counters of a segment that is finished, for Remember.
func (w *Writer) KeyCounters() *KeyCounters {
	k := &KeyCounters{columns: make([]index.KeyCounter, len(w.keys))}
	for i := range w.keys {
		k.columns[i] = w.keys[i].counter
	}
	return k
}

// Remember keeps the counters that the writer of the segment had, among its pages: until others take
// their place, or the segment is closed.
func (s *Segment) Remember(k *KeyCounters) {
	if s.pages == nil || len(k.columns) != len(s.columns) {
		return
	}
	p := &page{counters: k, bytes: pageOverheadBytes}
	for i := range k.columns {
		p.bytes += keyCounterBytes + k.columns[i].MemoryBytes()
	}
	s.pages.put(s.countersKey(), p)
}

// countersKey is where no page begins.
func (s *Segment) countersKey() pageKey { return pageKey{&s.own, 0} }

func (s *Segment) keyCounters() *KeyCounters {
	if s.pages == nil {
		return nil
	}
	if p := s.pages.get(s.countersKey()); p != nil {
		return p.counters
	}
	return nil
}

// SumKeys is SumCells for what is counted of attributes. Each row that stands twice must go through
// Recount.Drop. Columns get their numbers by it, in the order of the inputs, whatever it reports: values are
// looked at where counts or counters are missing or damaged.
func (w *Writer) SumKeys(inputs []*Segment, between func() error) (summed bool, err error) {
	summed = true
	counters := make([]*KeyCounters, len(inputs))
	for i, s := range inputs {
		if !w.hasRoomFor(s) {
			return false, nil
		}
		f := w.foreignOf(s)
		for id := range s.columns {
			f.column(w, uint32(colFixed+id))
		}
		counters[i] = s.keyCounters()
		summed = summed && counters[i] != nil
	}
	if !summed {
		return false, nil
	}
	keys := make([]keyStats, len(w.columns))
	for i, s := range inputs {
		counts, complete, err := s.KeyCounts()
		if errors.Is(err, codec.ErrCorrupt) {
			return false, nil
		}
		if err != nil || !complete {
			return false, err
		}
		for _, n := range counts {
			id, ok := w.columnIDs[columnKey{n.Level, n.Type, n.Key}]
			if !ok {
				return false, nil // damage under a right checksum
			}
			keys[id-colFixed].Values += n.Values
			keys[id-colFixed].TextBytes += n.TextBytes
		}
		for id := range s.columns {
			keys[w.foreignOf(s).column(w, uint32(colFixed+id))-colFixed].counter.AddCounter(&counters[i].columns[id])
		}
		if err := between(); err != nil {
			return false, err
		}
	}
	w.keys, w.keysSummed = keys, true
	return true, nil
}

// dropValues takes the attributes of a row off.
func (w *Writer) dropValues(c *Columns, row int) {
	c.dropValues(w, span.SpanLevel, row, row+1)
	for _, level := range [...]span.Level{span.EventLevel, span.LinkLevel} {
		if ends := c.levels[level].ends; len(ends) > 0 {
			begin := 0
			if row > 0 {
				begin = int(ends[row-1])
			}
			c.dropValues(w, level, begin, int(ends[row]))
		}
	}
}

func (c *Columns) dropValues(w *Writer, level span.Level, from, to int) {
	l, f, t := &c.levels[level], w.foreignOf(c.s), c.s.templates[level]
	if from == to {
		return
	}
	l.goTo(from)
	for _, code := range l.items.codes[from:to] {
		places := l.places[l.begins[code]:l.begins[code+1]]
		for _, s := range t.slotsOf(c.group.templates[level][code]) {
			text := func() []byte { return t.text(s.value) }
			if s.own {
				u := &l.uses[places[0]]
				s.value, places = u.values[u.at], places[1:]
				text = func() []byte { return c.text(s.value) }
				u.at++
			}
			if s.column < colFixed {
				continue
			}
			stats := &w.keys[f.column(w, s.column)-colFixed]
			stats.Values--
			if c.s.columns[s.column-colFixed].kind.HasText() {
				stats.TextBytes -= uint64(len(text()))
			}
		}
	}
	l.at = to
}

// filterBytes are the filters of a column as they stand in a segment, by row group, up to the last one that
// has one; nil where a group has none.
type filterBytes [][]byte

// heldBytes is what the filters of a column take while they are held: many are short, and what tells where
// each is takes more.
func (s *Segment) heldBytes(ref filterRef) int { return int(ref.length) + 24*len(s.groups) }

// filterOf gives the filter that row group i of the segment has of a column; ok is false where nothing
// is known of the column. What the filters of a column take stays until passed lets go of it, as long as those of
// all segments take filterBytesMax at most.
func (f *foreign) filterOf(w *Writer, id uint32, i int) (filter []byte, ok bool, err error) {
	s := f.s
	at, ok := slices.BinarySearchFunc(s.filters, id, func(ref filterRef, id uint32) int { return cmp.Compare(ref.column, id) })
	if !ok {
		return nil, false, nil
	}
	if f.filters == nil {
		f.filters, f.damaged = make([]filterBytes, len(s.filters)), make([]bool, len(s.filters))
	}
	if f.filters[at] == nil {
		ref := s.filters[at]
		if f.damaged[at] || w.foreignFilterBytes+s.heldBytes(ref) > filterBytesMax {
			return nil, false, nil
		}
		var filters filterBytes
		payload, err := s.readPage(ref.offset, ref.length)
		if err == nil {
			filters, err = cutFilters(payload, len(s.groups))
		}
		if errors.Is(err, codec.ErrCorrupt) {
			f.damaged[at] = true
			return nil, false, nil // as if there were none
		}
		if err != nil {
			return nil, false, err
		}
		f.filters[at] = filters
		w.foreignFilterBytes += s.heldBytes(ref)
	}
	if i < len(f.filters[at]) {
		filter = f.filters[at][i]
	}
	return filter, true, nil
}

// passed lets go of the filters that no row group from next on has: those before are written, whole or by column.
// Should one come all the same, they are read again; rows that go one by one (Writer.Add) let go of nothing.
func (f *foreign) passed(w *Writer, next int) {
	if f.next == next {
		return
	}
	f.next = next
	for at, held := range f.filters {
		if held != nil && len(held) <= next {
			f.filters[at] = nil
			w.foreignFilterBytes -= f.s.heldBytes(f.s.filters[at])
		}
	}
}
