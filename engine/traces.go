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
	services  []uint32 // as number numbers them
	end       uint64
	errors    []bool
	parents   []int32
	resolver  span.Resolver
	texts     numberedTexts

	of      *span.Batch      // of the row added last
	from    *segment.Segment // that rows were added from last
	read    segment.RowFacts
	serving []uint32 // by resource of either, once a row has it: its service + 1
}

// factsProjection is what traceFacts reads of a row group.
var factsProjection = segment.Projection{Times: true, Identity: true, Services: true}

// reset forgets the trace, and the texts where they are many.
func (f *traceFacts) reset() {
	f.spanIDs, f.parentIDs, f.kinds = f.spanIDs[:0], f.parentIDs[:0], f.kinds[:0]
	f.starts, f.services, f.errors, f.end = f.starts[:0], f.services[:0], f.errors[:0], 0
	f.of = nil
	if f.texts.bytes > internedBytesMax || len(f.texts.list) > internedMax {
		f.texts.forget()
		f.from = nil
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
func (f *traceFacts) service(row span.Row) uint32 {
	if f.of != row.Batch {
		f.of, f.from = row.Batch, nil
		f.serving = cleared(f.serving, len(row.Batch.Resources))
	}
	id := row.Batch.ResourceIDs[row.Pos]
	if f.serving[id] == 0 {
		f.serving[id] = f.texts.number(row.Service()) + 1
	}
	return f.serving[id] - 1
}

// addFrom takes the rows that a segment has of its trace i, in their order: by their facts, without
// making rows. told hears how many rows there were each time, and the names of those without a parent id.
func (f *traceFacts) addFrom(ctx context.Context, l *segment.Segment, i int, told func(rows int, roots []segment.RootFact)) error {
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
		f.addRead(l)
		told(to-row, f.read.Roots)
		row = to
	}
	return nil
}

func (f *traceFacts) addRead(l *segment.Segment) {
	resources := l.Resources()
	if f.from != l {
		f.of, f.from = nil, l
		f.serving = cleared(f.serving, len(resources.Resources))
	}
	r := &f.read
	f.spanIDs, f.parentIDs = append(f.spanIDs, r.SpanIDs...), append(f.parentIDs, r.ParentIDs...)
	f.starts, f.kinds, f.errors = append(f.starts, r.Starts...), append(f.kinds, r.Kinds...), append(f.errors, r.Failed...)
	for _, id := range r.Resources {
		if f.serving[id] == 0 {
			f.serving[id] = f.texts.number(resources.Bytes(resources.Resources[id].Service)) + 1
		}
		f.services = append(f.services, f.serving[id]-1)
	}
	for _, end := range r.Ends {
		f.end = max(f.end, end)
	}
}

// serviceOf gives the service of a row.
func (f *traceFacts) serviceOf(row int32) string { return f.texts.list[f.services[row]] }

// resolve finds the parents of all rows.
func (f *traceFacts) resolve() []int32 {
	f.parents = f.resolver.Resolve(f.parents, f.spanIDs, f.parentIDs, f.kinds)
	return f.parents
}

// numberedTexts numbers texts, one number for equal ones. The texts stay when that from which they
// came is gone.
type numberedTexts struct {
	numbers map[string]uint32
	list    []string
	bytes   int
}

func (t *numberedTexts) number(text []byte) uint32 {
	n, ok := t.numbers[string(text)]
	if !ok {
		if t.numbers == nil {
			t.numbers = make(map[string]uint32)
		}
		n = uint32(len(t.list))
		known := string(text)
		t.numbers[known], t.list = n, append(t.list, known)
		t.bytes += len(known)
	}
	return n
}

// intern gives the text.
func (t *numberedTexts) intern(text []byte) string { return t.list[t.number(text)] }

func (t *numberedTexts) forget() {
	t.numbers, t.list, t.bytes = nil, nil, 0
}
