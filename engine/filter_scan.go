package engine

import (
	"context"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// rowFilter is a query's filter on any rows, which come batch by batch. The nil one holds
// on all. It serves one goroutine.
type rowFilter struct{ run *filterRun }

// newRowFilter compiles f; nothing for nothing.
func newRowFilter(f span.Filter) (*rowFilter, error) {
	if f == nil {
		return nil, nil
	}
	compiled, err := compileFilter(f)
	if err != nil {
		return nil, err
	}
	return &rowFilter{compiled.run()}, nil
}

// holds reports whether the filter holds on a row, whose batch has all columns.
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
type visitor = func(u *unit, row span.Row) error

// before gives a visitor that passes on the rows on which the filter holds. It looks at the
// context between rows: a pattern on long texts may take its time.
func (f *rowFilter) before(ctx context.Context, visit visitor) visitor {
	if f == nil {
		return visit
	}
	visited := 0
	return func(u *unit, row span.Row) error {
		if visited++; visited%cancelEveryRows == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if !f.holds(row) {
			return nil
		}
		return visit(u, row)
	}
}

// withFilter widens a projection to what a filter may read.
func withFilter(p segment.Projection, f span.Filter) segment.Projection {
	if f != nil {
		p.All, p.Keys = true, nil
	}
	return p
}
