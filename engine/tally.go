package engine

import (
	"cmp"
	"context"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// tallyRow is a row as the service graph and rates need it.
type tallyRow struct {
	start, duration uint64
	id, parentID    span.SpanID
	kind            int32
	who             uint32 // what numbering says
	failed          bool
}

// compare is span.Compare, but for content.
func (r *tallyRow) compare(other *tallyRow) int {
	return cmp.Or(cmp.Compare(r.start, other.start), r.id.Compare(other.id), cmp.Compare(r.kind, other.kind))
}

// numbering gives what is counted under a number: a service, an operation.
type numbering func(service, name []byte, kind int32) uint32

// tally reads rows to be counted: whole traces of a segment, and split ones assembled.
type tally struct {
	ctx     context.Context
	view    *view
	split   *splitTraces
	number  numbering
	readers map[int]*factsReader // by segment
	parts   []tallyPart
	merged  []tallyRow
}

// tallyPart is a split trace's rows in one source; segment is -1 for memtables.
type tallyPart struct {
	segment int
	rows    []tallyRow
	at      int // rows before were merged
}

func newTally(ctx context.Context, v *view, number numbering) *tally {
	return &tally{ctx: ctx, view: v, split: v.splitTraces(), number: number, readers: map[int]*factsReader{}}
}

// reader gives the reader of a segment. Of so many segments that readers would take much
// memory, all begin anew.
func (t *tally) reader(i int) *factsReader {
	r := t.readers[i]
	if r == nil {
		if len(t.readers) == tallyReadersMax {
			clear(t.readers)
		}
		r = &factsReader{ctx: t.ctx, segment: t.view.segments[i], number: t.number}
		t.readers[i] = r
	}
	return r
}

// assemble gives a split trace as it stands in each source, and as it is over all of them:
// distinct rows in the order of span.Compare. Both are good until the next call.
func (t *tally) assemble(trace *splitTrace) (parts []tallyPart, whole []tallyRow, err error) {
	parts, t.parts = t.parts[:0], nil
	more := func(segment int) *tallyPart {
		if len(parts) < cap(parts) {
			parts = parts[:len(parts)+1]
		} else {
			parts = append(parts, tallyPart{})
		}
		p := &parts[len(parts)-1]
		p.segment, p.at, p.rows = segment, 0, p.rows[:0]
		return p
	}
	for _, place := range trace.places {
		p := more(int(place.segment))
		if p.rows, err = t.reader(int(place.segment)).rows(p.rows, int(place.trace), true); err != nil {
			return nil, nil, err
		}
	}
	for _, table := range t.view.tables {
		if rows := table.trace(nil, trace.id, table.count); len(rows) > 0 {
			p := more(-1)
			for _, row := range rows {
				p.rows = append(p.rows, t.rowOf(row))
			}
		}
	}
	t.parts = parts
	if len(parts) == 1 {
		return parts, parts[0].rows, t.ctx.Err()
	}
	if whole, ok := t.merge(parts); ok {
		return parts, whole, t.ctx.Err()
	}
	t.merged = t.merged[:0]
	err = mergeRows(t.ctx, t.view.sources(trace.id, allColumns), func(row span.Row) error {
		t.merged = append(t.merged, t.rowOf(row))
		return nil
	})
	return parts, t.merged, err
}

// merge merges the parts by start, id and kind. false: two are equal in that, and only their
// content tells whether they are one span.
func (t *tally) merge(parts []tallyPart) ([]tallyRow, bool) {
	t.merged = t.merged[:0]
	for {
		var least *tallyPart
		for i := range parts {
			p := &parts[i]
			if p.at == len(p.rows) {
				continue
			}
			if least == nil {
				least = p
				continue
			}
			switch c := p.rows[p.at].compare(&least.rows[least.at]); {
			case c == 0:
				return nil, false
			case c < 0:
				least = p
			}
		}
		if least == nil {
			return t.merged, true
		}
		t.merged = append(t.merged, least.rows[least.at])
		least.at++
	}
}

// rowOf tells a row of a batch.
func (t *tally) rowOf(row span.Row) tallyRow {
	return tallyRow{
		start: row.Start(), duration: row.Duration(), id: row.SpanID(), parentID: row.ParentID(), kind: row.Kind(),
		who: t.number(row.Service(), row.Name(), row.Kind()), failed: row.StatusCode() == span.StatusError,
	}
}

// factsReader reads the facts of row groups of one segment, and keeps those read last: the
// rows of a trace may stand in two, and neighbours share one.
type factsReader struct {
	ctx     context.Context
	segment *liveSegment
	number  numbering
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

// eachWhole visits the traces of a segment that are not split and have rows in the row groups
// that wants says yes to, each once.
func (t *tally) eachWhole(segment int, wants func(segment.GroupInfo) bool, visit func(trace int) error) error {
	l := t.view.segments[segment]
	done := 0 // rows before this one belong to traces that were visited
	for g := range l.Groups() {
		group := l.Group(g)
		if !wants(group) {
			continue
		}
		for row := max(group.FirstRow, done); row < group.FirstRow+group.Rows; row = done {
			trace := l.TraceAtRow(row)
			first, n := l.TraceRows(trace)
			done = first + n
			if t.split.has(l.TraceID(trace)) {
				continue
			}
			if err := visit(trace); err != nil {
				return err
			}
		}
	}
	return nil
}
