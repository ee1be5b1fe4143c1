package engine

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// allColumns is what comparing rows by content needs, and giving them whole.
var allColumns = segment.Projection{All: true}

// answerColumns is what comparing rows by content and encoding them needs.
var answerColumns = segment.Projection{All: true, Messages: true}

// rowSource gives the rows of one trace in one source, in the order of span.Compare and
// distinct. A segment's are read row group by row group, so a trace of any size needs
// the memory of one.
type rowSource struct {
	rows   []span.Row      // of a memtable, still to come
	cursor *segment.Cursor // of a segment, else nil
	ready  bool            // the cursor stands on a row still to come
}

// head gives the first row still to come; ok is false at the end.
func (r *rowSource) head() (row span.Row, ok bool, err error) {
	if r.cursor == nil {
		if len(r.rows) == 0 {
			return span.Row{}, false, nil
		}
		return r.rows[0], true, nil
	}
	if !r.ready && !r.cursor.Next() {
		return span.Row{}, false, r.cursor.Err()
	}
	r.ready = true
	return r.cursor.Row(), true, nil
}

// drop goes beyond the head.
func (r *rowSource) drop() {
	if r.cursor == nil {
		r.rows = r.rows[1:]
	}
	r.ready = false
}

// sources gives where the trace stands; from a memtable the rows come sorted and without
// copies. Segments are read with p where the trace stands in that one source only, whole
// otherwise: only then must rows be compared by content.
func (v *view) sources(id span.TraceID, p segment.Projection) []rowSource {
	var found []rowSource
	for _, t := range v.tables {
		if rows := t.trace(nil, id, t.count); len(rows) > 0 {
			found = append(found, rowSource{rows: rows})
		}
	}
	var alone *segment.Cursor
	whole := allColumns
	whole.Messages = p.Messages
	for _, l := range v.segments {
		if i, ok := l.FindTrace(id); ok {
			alone = l.Trace(i, p)
			found = append(found, rowSource{cursor: l.Trace(i, whole)})
		}
	}
	if len(found) == 1 && alone != nil {
		found[0].cursor = alone
	}
	return found
}

// sourcesBetween is sources for whole rows that start in [low, high]; there may be others.
func (v *view) sourcesBetween(id span.TraceID, low, high uint64) []rowSource {
	var found []rowSource
	for _, t := range v.tables {
		if rows := t.trace(nil, id, t.count); len(rows) > 0 {
			found = append(found, rowSource{rows: rows})
		}
	}
	for _, l := range v.segments {
		if i, ok := l.FindTrace(id); ok {
			found = append(found, rowSource{cursor: l.TraceBetween(i, allColumns, low, high)})
		}
	}
	return found
}

// cancelEveryRows is how many rows pass between two looks at the context.
const cancelEveryRows = 256

// mergeRows visits the distinct rows of the sources of one trace in the order of
// span.Compare. Copies are equal under it, so they are adjacent.
func mergeRows(ctx context.Context, sources []rowSource, visit func(row span.Row) error) error {
	var last span.Row
	for visited := 0; ; visited++ {
		if visited%cancelEveryRows == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var least *rowSource
		var row span.Row
		for i := range sources {
			head, ok, err := sources[i].head()
			if err != nil {
				return err
			}
			if ok && (least == nil || span.Compare(head, row) < 0) {
				least, row = &sources[i], head
			}
		}
		if least == nil {
			return nil
		}
		least.drop()
		if len(sources) > 1 && last.Batch != nil && span.Compare(last, row) == 0 {
			continue
		}
		last = row
		if err := visit(row); err != nil {
			return err
		}
	}
}

// inRowOrder gives the ids in the order in which their first row groups begin, so that
// traces read one after another share decoded row groups.
func (v *view) inRowOrder(ids map[span.TraceID]bool) []span.TraceID {
	type placed struct {
		id    span.TraceID
		start uint64
	}
	list := make([]placed, 0, len(ids))
	for id := range ids {
		p := placed{id, math.MaxUint64}
		for _, l := range v.segments {
			if i, ok := l.FindTrace(id); ok {
				first, _ := l.TraceRows(i)
				p.start = min(p.start, l.Group(l.GroupOfRow(first)).MinStart)
			}
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.start, b.start), a.id.Compare(b.id))
	})
	sorted := make([]span.TraceID, len(list))
	for i, p := range list {
		sorted[i] = p.id
	}
	return sorted
}
