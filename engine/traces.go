package engine

import (
	"context"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// traceFacts is one whole trace reduced to what summaries and the service graph need,
// row by row in the order of span.Compare.
type traceFacts struct {
	spanIDs   []span.SpanID
	parentIDs []span.SpanID
	kinds     []int32
	starts    []uint64
	services  []string
	end       uint64
	errors    []bool
	parents   []int32
	interned  map[string]string
	bytes     int // of the texts in interned

	of      *span.Batch // of the row added last
	read    segment.Facts
	names   []string // of its facts
	serving []string // by resource of that batch, once a row has it: its service
	served  []bool
}

// factsProjection is what traceFacts reads of a row group.
var factsProjection = segment.Projection{Times: true, Identity: true, Services: true}

func newTraceFacts() *traceFacts { return &traceFacts{interned: make(map[string]string)} }

// reset forgets the trace, and the texts where they are many.
func (f *traceFacts) reset() {
	f.spanIDs, f.parentIDs, f.kinds = f.spanIDs[:0], f.parentIDs[:0], f.kinds[:0]
	f.starts, f.services, f.errors, f.end = f.starts[:0], f.services[:0], f.errors[:0], 0
	f.of = nil
	if f.bytes > internedBytesMax || len(f.interned) > internedMax {
		clear(f.interned)
		f.bytes = 0
	}
}

// add takes the next row.
func (f *traceFacts) add(row span.Row) {
	f.spanIDs = append(f.spanIDs, row.SpanID())
	f.parentIDs = append(f.parentIDs, row.ParentID())
	f.kinds = append(f.kinds, row.Kind())
	f.starts = append(f.starts, row.Start())
	f.services = append(f.services, f.service(row))
	f.errors = append(f.errors, row.StatusCode() == span.StatusError)
	f.end = max(f.end, row.End())
}

// service gives the row's service. Rows have few resources, and one text is not looked for as
// often as there are rows.
func (f *traceFacts) service(row span.Row) string {
	if f.of != row.Batch {
		f.of = row.Batch
		f.serving, f.served = cleared(f.serving, len(row.Batch.Resources)), cleared(f.served, len(row.Batch.Resources))
	}
	id := row.Batch.ResourceIDs[row.Pos]
	if !f.served[id] {
		f.serving[id], f.served[id] = f.intern(row.Service()), true
	}
	return f.serving[id]
}

// addFrom takes the rows that a segment has of its trace i, in their order: by their facts, without
// making rows. told hears the name of each row without a parent id, "" of others.
func (f *traceFacts) addFrom(ctx context.Context, l *liveSegment, i int, told func(name string)) error {
	first, n := l.TraceRows(i)
	for row, end := first, first+n; row < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		group := l.GroupOfRow(row)
		info := l.Group(group)
		to := min(end, info.FirstRow+info.Rows)
		if err := l.ReadRowFacts(group, row-info.FirstRow, to-info.FirstRow, &f.read); err != nil {
			return err
		}
		f.addRead(told)
		row = to
	}
	return nil
}

func (f *traceFacts) addRead(told func(name string)) {
	r := &f.read
	f.serving, f.names = f.serving[:0], f.names[:0]
	for k := range r.List {
		f.serving, f.names = append(f.serving, f.intern(r.List[k].Service)), append(f.names, f.intern(r.List[k].Name))
	}
	f.of = nil // serving is of facts now
	f.spanIDs, f.parentIDs, f.starts = append(f.spanIDs, r.SpanIDs...), append(f.parentIDs, r.ParentIDs...), append(f.starts, r.Starts...)
	for row, of := range r.Of {
		f.kinds = append(f.kinds, r.List[of].Kind)
		f.services = append(f.services, f.serving[of])
		f.errors = append(f.errors, r.List[of].Failed)
		f.end = max(f.end, r.End(row))
		if r.ParentIDs[row].IsZero() {
			told(f.names[of])
		} else {
			told("")
		}
	}
}

// intern gives a text that stays when the row is gone, one for equal ones.
func (f *traceFacts) intern(text []byte) string {
	known, ok := f.interned[string(text)]
	if !ok {
		known = string(text)
		f.interned[known] = known
		f.bytes += len(known)
	}
	return known
}

// resolve finds the parents of all rows.
func (f *traceFacts) resolve() []int32 {
	f.parents = span.ResolveParents(f.parents, f.spanIDs, f.parentIDs, f.kinds)
	return f.parents
}
