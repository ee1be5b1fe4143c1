package engine

import (
	"context"

	"github.com/stoadb/stoa/engine/span"
)

// rowFilter is a query's filter on any rows, which come batch by batch. The nil one holds
// on all. It serves one goroutine.
type rowFilter struct{ run *filterRun }

// rowFilter gives the query's filter for one goroutine; nothing for nothing.
func (m *matcher) rowFilter() *rowFilter {
	if m.filter == nil {
		return nil
	}
	return &rowFilter{m.filter.run()}
}

// holds reports whether the filter holds on a row, whose batch has what the filter needs.
func (f *rowFilter) holds(row span.Row) bool {
	if f == nil {
		return true
	}
	if f.run.batch != row.Batch {
		f.run.bind(row.Batch)
	}
	return f.run.holds(row.Pos)
}

// visitor takes the rows that a scan finds.
type visitor = func(h hit) error

// before gives a visitor that passes on the rows on which the filter holds. It looks at the
// context between rows: a pattern on long texts may take its time.
func (f *rowFilter) before(ctx context.Context, visit visitor) visitor {
	if f == nil {
		return visit
	}
	visited := 0
	return func(h hit) error {
		if visited++; visited%cancelEveryRows == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if !f.holds(h.row) {
			return nil
		}
		return visit(h)
	}
}
