package engine

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// allColumns is what comparing rows by content needs, and giving them whole.
var allColumns = segment.Projection{All: true}

// answerColumns is what encoding rows needs. To be compared by content they are read anew, see
// leastHead.
var answerColumns = segment.Projection{All: true, Messages: true, Write: otlp.AnswerAttrs{}}

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

// whole is head with a row that can be compared by content; there is one.
func (r *rowSource) whole() (row span.Row, err error) {
	if r.cursor != nil {
		if err := r.cursor.Whole(); err != nil {
			return span.Row{}, err
		}
	}
	row, _, err = r.head()
	return row, err
}

// drop goes beyond the head.
func (r *rowSource) drop() {
	if r.cursor == nil {
		r.rows = r.rows[1:]
	}
	r.ready = false
}

// sources gives where the trace stands; from a memtable the rows come sorted and without
// copies. A segment is read with p where the trace stands in that one source only, and with all
// columns where there are others, whose rows may have to be compared with its. Attributes that p has
// written are so in both cases: rows that only their content tells apart are read anew, see leastHead.
func (v *view) sources(id span.TraceID, p segment.Projection) (found []rowSource, err error) {
	for _, t := range v.tables {
		if rows := t.trace(nil, id, t.count); len(rows) > 0 {
			found = append(found, rowSource{rows: rows})
		}
	}
	var alone *segment.Cursor
	whole := allColumns
	whole.Messages, whole.Write = p.Messages, p.Write
	for _, l := range v.segments {
		s, i, err := l.FindTrace(id)
		if err != nil {
			return nil, err
		}
		if s != nil {
			alone = s.Trace(i, p)
			found = append(found, rowSource{cursor: s.Trace(i, whole)})
		}
	}
	if len(found) == 1 && alone != nil {
		found[0].cursor = alone
	}
	return found, nil
}

// mergeRows visits the distinct rows of a trace in the order of span.Compare, read with p as of sources.
func (v *view) mergeRows(ctx context.Context, id span.TraceID, p segment.Projection, visit func(row span.Row) error) error {
	sources, err := v.sources(id, p)
	if err != nil {
		return err
	}
	return mergeRows(ctx, sources, visit)
}

// sourcesBetween is sources for whole rows that start in [low, high]; there may be others.
func (v *view) sourcesBetween(id span.TraceID, low, high uint64) (found []rowSource, err error) {
	for _, t := range v.tables {
		if rows := t.trace(nil, id, t.count); len(rows) > 0 {
			found = append(found, rowSource{rows: rows})
		}
	}
	for _, l := range v.segments {
		s, i, err := l.FindTrace(id)
		if err != nil {
			return nil, err
		}
		if s != nil {
			found = append(found, rowSource{cursor: s.TraceBetween(i, allColumns, low, high)})
		}
	}
	return found, nil
}

// cancelEveryRows is how many rows pass between two looks at the context.
const cancelEveryRows = 256

// leastHead gives the source whose head comes first, nil where all are at their end. Heads that differ
// in their content alone are whole after it.
func leastHead(sources []rowSource) (least *rowSource, row span.Row, err error) {
	for i := range sources {
		r := &sources[i]
		head, ok, err := r.head()
		if err != nil {
			return nil, span.Row{}, err
		}
		if !ok {
			continue
		}
		order := -1
		if least != nil {
			order = span.CompareOutlines(head, row)
		}
		if order == 0 {
			if row, err = least.whole(); err != nil {
				return nil, span.Row{}, err
			}
			if head, err = r.whole(); err != nil {
				return nil, span.Row{}, err
			}
			order = span.Compare(head, row)
		}
		if order < 0 {
			least, row = r, head
		}
	}
	return least, row, nil
}

// mergeRows visits the distinct rows of the sources of one trace in the order of
// span.Compare. Copies are equal under it, so they are adjacent: both were heads at once, and are whole.
func mergeRows(ctx context.Context, sources []rowSource, visit func(row span.Row) error) error {
	var last span.Row
	var lastOf *rowSource // which has no copies within itself
	for visited := 0; ; visited++ {
		if visited%cancelEveryRows == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		least, row, err := leastHead(sources)
		if err != nil || least == nil {
			return err
		}
		least.drop()
		if lastOf != nil && lastOf != least && span.Compare(last, row) == 0 {
			continue
		}
		last, lastOf = row, least
		if err := visit(row); err != nil {
			return err
		}
	}
}

// inRowOrder gives the ids in the order in which their first row groups begin, so that
// traces read one after another share decoded row groups.
func (v *view) inRowOrder(ids map[span.TraceID]bool) ([]span.TraceID, error) {
	type placed struct {
		id    span.TraceID
		start uint64
	}
	list := make([]placed, 0, len(ids))
	for id := range ids {
		p := placed{id, math.MaxUint64}
		for _, l := range v.segments {
			s, i, err := l.FindTrace(id)
			if err != nil {
				return nil, err
			}
			if s != nil {
				first, _ := s.TraceRows(i)
				p.start = min(p.start, s.Group(s.GroupOfRow(first)).MinStart)
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
	return sorted, nil
}
