package engine

import (
	"context"
	"encoding/binary"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// operations numbers operations, or services alone, from 1 on.
type operations struct {
	numbers map[string]uint32
	list    []span.Operation // by number; 0 is none
	key     []byte
}

// of gives the number of an operation, a new one where it has none.
func (o *operations) of(service, name []byte, kind int32) uint32 {
	o.key = binary.AppendUvarint(o.key[:0], uint64(len(service)))
	o.key = binary.LittleEndian.AppendUint32(append(append(o.key, service...), name...), uint32(kind))
	n, ok := o.numbers[string(o.key)]
	if !ok {
		if o.numbers == nil {
			o.numbers, o.list = map[string]uint32{}, make([]span.Operation, 1)
		}
		n = uint32(len(o.list))
		o.list = append(o.list, span.Operation{Service: string(service), Name: string(name), Kind: kind})
		o.numbers[string(o.key)] = n
	}
	return n
}

func (o *operations) numbered() []span.Operation { return o.list }

// factsReader reads the facts of row groups of one segment, and keeps those read last: the
// rows of a trace may stand in two, and neighbours share one.
type factsReader struct {
	ctx     context.Context
	segment *segment.Segment
	number  func(service, name []byte, kind int32) uint32 // as of counter
	kept    [tallyGroupsMax]keptFacts
	next    int // whose turn it is to go
}

type keptFacts struct {
	segment.Facts
	group   int      // + 1
	numbers []uint32 // of each fact in the list
}

// read gives row group i, good until some others were read. keep as of segment.ReadFacts.
func (r *factsReader) read(i int, keep bool) (*keptFacts, error) {
	for k := range r.kept {
		if r.kept[k].group == i+1 {
			return &r.kept[k], nil
		}
	}
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	f := &r.kept[r.next]
	r.next, f.group = (r.next+1)%len(r.kept), 0
	if err := r.segment.ReadFacts(i, &f.Facts, keep); err != nil {
		return nil, err
	}
	f.group, f.numbers = i+1, f.numbers[:0]
	for k := range f.List {
		f.numbers = append(f.numbers, r.number(f.List[k].Service, f.List[k].Name, f.List[k].Kind))
	}
	return f, nil
}

// rows appends the rows of a trace.
func (r *factsReader) rows(dst []tallyRow, trace int, keep bool) ([]tallyRow, error) {
	first, n := r.segment.TraceRows(trace)
	for row := first; row < first+n; {
		group := r.segment.GroupOfRow(row)
		info := r.segment.Group(group)
		f, err := r.read(group, keep)
		if err != nil {
			return dst, err
		}
		for end := min(first+n, info.FirstRow+info.Rows); row < end; row++ {
			dst = append(dst, f.row(row-info.FirstRow))
		}
	}
	return dst, nil
}

// row gives a row of the group.
func (f *keptFacts) row(pos int) tallyRow {
	fact := &f.List[f.Of[pos]]
	return tallyRow{
		start: f.Starts[pos], duration: f.Durations[pos], id: f.SpanIDs[pos], parentID: f.ParentIDs[pos], kind: fact.Kind,
		who: f.numbers[f.Of[pos]], failed: fact.Failed,
	}
}

// reader gives the reader of a segment. Of so many segments that readers would take much
// memory, all begin anew.
func (t *tally) reader(i int) *factsReader {
	r := t.readers[i]
	if r == nil {
		if len(t.readers) == tallyReadersMax {
			clear(t.readers)
		}
		r = &factsReader{ctx: t.ctx, segment: t.segments[i], number: t.counter.number}
		t.readers[i] = r
	}
	return r
}

// countTraces counts the rows that the cover of a segment asks for of traces that are not split,
// each trace read whole: what a row counts for is a matter of the others.
func (t *tally) countTraces(segment int, cover *cover) error {
	l, r := t.segments[segment], t.reader(segment)
	var rows []tallyRow
	done := 0 // rows before this one belong to traces that were read
	for g := range l.Groups() {
		group := l.Group(g)
		if !cover.wants(group) {
			continue
		}
		for row := max(group.FirstRow, done); row < group.FirstRow+group.Rows; row = done {
			trace := l.TraceAtRow(row)
			first, n := l.TraceRows(trace)
			done = first + n
			if t.split.has(l.TraceID(trace)) {
				continue
			}
			var err error
			if rows, err = r.rows(rows[:0], trace, false); err == nil {
				err = t.count(rows, cover.asks)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// countRows counts the same rows, each for itself.
func (t *tally) countRows(segment int, cover *cover) error {
	l, r := t.segments[segment], t.reader(segment)
	var rows []tallyRow
	for g := range l.Groups() {
		group := l.Group(g)
		if !cover.wants(group) {
			continue
		}
		f, err := r.read(g, false)
		if err != nil {
			return err
		}
		rows = rows[:0]
		for row := group.FirstRow; row < group.FirstRow+group.Rows; {
			trace := l.TraceAtRow(row)
			first, n := l.TraceRows(trace)
			end := min(first+n, group.FirstRow+group.Rows)
			if t.split.has(l.TraceID(trace)) {
				row = end
			}
			for ; row < end; row++ {
				if counted := f.row(row - group.FirstRow); cover.asks(counted.start) {
					rows = append(rows, counted)
				}
			}
		}
		if err := t.count(rows, t.asked.has); err != nil {
			return err
		}
	}
	return nil
}
