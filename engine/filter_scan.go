package engine

import "github.com/stoadb/stoa/engine/span"

// rowFilter is a query's filter on any rows, which come batch by batch. The nil one holds
// on all. It serves one goroutine.
type rowFilter struct{ run *filterRun }

// rowFilter gives the query's filter for one goroutine; nothing for nothing.
func (m *matcher) rowFilter() *rowFilter {
	if m.filter == nil {
		return nil
	}
	return &rowFilter{m.filter.run(m.effort)}
}

// holds reports whether the filter holds on a row, whose batch has what the filter needs. The
// error says that the question has ended.
func (f *rowFilter) holds(row span.Row) (bool, error) {
	if f == nil {
		return true, nil
	}
	if f.run.batch != row.Batch {
		f.run.bind(row.Batch)
	}
	return f.run.holds(row.Pos), f.run.effort.err
}

// rowMatcher decides rows that are at hand whole, batch by batch. It serves one goroutine.
type rowMatcher struct {
	m      *matcher
	b      bound
	filter *rowFilter
}

func (m *matcher) rows() *rowMatcher { return &rowMatcher{m: m, filter: m.rowFilter()} }

// matches reports whether everything asked holds on a row. The error says that the question
// has ended.
func (r *rowMatcher) matches(row span.Row) (bool, error) {
	if r.b.batch != row.Batch {
		r.m.bind(&r.b, row.Batch)
	}
	if !r.b.inRange(row.Pos) || !r.b.matches(row.Pos) {
		return false, nil
	}
	return r.filter.holds(row)
}

// visitor takes the rows that a scan finds.
type visitor = func(h hit) error

// before gives a visitor that passes on the rows on which the filter holds.
func (f *rowFilter) before(visit visitor) visitor {
	if f == nil {
		return visit
	}
	return func(h hit) error {
		if ok, err := f.holds(h.row); err != nil || !ok {
			return err
		}
		return visit(h)
	}
}
