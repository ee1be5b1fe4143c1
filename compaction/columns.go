package compaction

import (
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// What goes row by row is mostly of row groups whose templates are the segment's. Those are unpacked
// into columns once, and rows are copied from column to column.

// columnCache keeps the row groups unpacked last, those used last at the end. It has one for each
// input at least, as inputs advance together, and what is being read besides.
type columnCache struct {
	groupsMin int
	bytesMax  int
	entries   []*unpacked
	bytes     int
	spare     *segment.Columns
}

// unpacked is a row group in the cache.
type unpacked struct {
	s       *segment.Segment
	group   int
	columns *segment.Columns
	bytes   int
	readers int // that go over it
}

// read gives the columns of a row group.
func (c *columnCache) read(s *segment.Segment, group int) (*unpacked, error) {
	for i := len(c.entries) - 1; i >= 0; i-- {
		if e := c.entries[i]; e.s == s && e.group == group {
			copy(c.entries[i:], c.entries[i+1:])
			c.entries[len(c.entries)-1] = e
			return e, nil
		}
	}
	for i := 0; i < len(c.entries) && len(c.entries) >= c.groupsMin && c.bytes > c.bytesMax; {
		if e := c.entries[i]; e.readers == 0 {
			if c.bytes -= e.bytes; e.bytes <= spareBytesMax {
				c.spare = e.columns
			}
			c.entries = slices.Delete(c.entries, i, i+1)
			continue
		}
		i++
	}
	columns, err := s.ReadColumns(group, c.spare)
	c.spare = nil
	if err != nil {
		return nil, err
	}
	e := &unpacked{s: s, group: group, columns: columns, bytes: columns.MemoryBytes()}
	c.entries = append(c.entries, e)
	c.bytes += e.bytes
	return e, nil
}

// part is what an input has of a trace: rows [at, end) of its segment.
type part struct {
	in      *input
	at, end int
	group   *unpacked
	first   int // row of the segment that is row 0 of the group
	last    int // and the first one behind it
}

// row gives the position in the group of the next row.
func (p *part) row() int { return p.at - p.first }

// load has the group of the next row unpacked.
func (p *part) load(cache *columnCache) error {
	if p.at < p.last {
		return nil
	}
	p.done()
	group := p.in.s.GroupOfRow(p.at)
	var err error
	if p.group, err = cache.read(p.in.s, group); err != nil {
		return err
	}
	p.group.readers++
	info := p.in.s.Group(group)
	p.first, p.last = info.FirstRow, info.FirstRow+info.Rows
	return nil
}

// done lets go of the group.
func (p *part) done() {
	if p.group != nil {
		p.group.readers--
		p.group = nil
	}
}

// uniteColumns writes a trace of several inputs from their columns; false, with nothing done, where some
// of its rows cannot be copied so.
func (m *merge) uniteColumns(id span.TraceID) (done bool, err error) {
	var parts []*part
	for _, h := range m.holders {
		first, rows := h.in.s.TraceRows(h.trace)
		for group := h.in.s.GroupOfRow(first); group <= h.in.s.GroupOfRow(first+rows-1); group++ {
			if !h.in.s.HasColumns(group) {
				return false, nil
			}
		}
		parts = append(parts, &part{in: h.in, at: first, end: first + rows})
	}
	defer func() {
		for _, p := range parts {
			p.done()
		}
	}()
	recount := m.w.Recount()
	for _, p := range parts {
		if err := m.takeOff(recount, p); err != nil {
			return true, err
		}
	}
	return true, m.uniteParts(id, slices.Clone(parts), recount)
}

// takeOff takes off what was counted of the trace in one input.
func (m *merge) takeOff(recount *segment.Recount, of *part) error {
	p := &part{in: of.in, at: of.at, end: of.end}
	defer p.done()
	for p.at < p.end && recount.CountsCalls() {
		if err := p.load(m.columns); err != nil {
			return err
		}
		to := min(p.end, p.last)
		recount.Note(p.group.columns, p.row(), to-p.first)
		if m.noted += to - p.at; m.noted >= chunkRowsMax {
			m.noted = 0
			if err := m.told(); err != nil {
				return err
			}
		}
		p.at = to
	}
	recount.TakeOff()
	return nil
}

// uniteParts writes the distinct rows of all parts in order.
func (m *merge) uniteParts(id span.TraceID, parts []*part, recount *segment.Recount) error {
	for _, p := range parts {
		if err := p.load(m.columns); err != nil {
			return err
		}
	}
	run := stretch{id: id}
	defer run.release()
	for len(parts) > 0 {
		least, err := m.least(parts)
		if err != nil {
			return err
		}
		p := parts[least]
		c := -1
		if run.group != nil {
			if c, err = segment.CompareRows(run.group.columns, run.to-1, p.group.columns, p.row(), m.whole.Read); err != nil {
				return err
			}
		}
		if c != 0 {
			if err := m.take(&run, p); err != nil {
				return err
			}
			recount.Note(p.group.columns, p.row(), p.row()+1)
		} else {
			recount.Drop(p.group.columns, p.row())
		}
		if err := m.passed(1); err != nil {
			return err
		}
		if p.at++; p.at == p.end {
			p.done()
			parts = slices.Delete(parts, least, least+1)
		} else if err := p.load(m.columns); err != nil {
			return err
		}
	}
	recount.Count()
	return m.write(&run)
}

// least gives the part whose next row comes first; the first one of several.
func (m *merge) least(parts []*part) (least int, err error) {
	for k := 1; k < len(parts); k++ {
		a, b := parts[k], parts[least]
		c, err := segment.CompareRows(a.group.columns, a.row(), b.group.columns, b.row(), m.whole.Read)
		if err != nil {
			return 0, err
		}
		if c < 0 {
			least = k
		}
	}
	return least, nil
}

// stretch is rows of a group that follow each other and are not written yet, [from, to). to - 1 is the
// last one of the trace so far.
type stretch struct {
	id       span.TraceID
	group    *unpacked
	from, to int
}

func (r *stretch) release() {
	if r.group != nil {
		r.group.readers--
	}
}

// take takes the next row of a part.
func (m *merge) take(run *stretch, p *part) error {
	row := p.row()
	if run.group == p.group && run.to == row {
		run.to++
		return nil
	}
	if err := m.write(run); err != nil {
		return err
	}
	run.release()
	p.group.readers++
	run.group, run.from, run.to = p.group, row, row+1
	return nil
}

// write writes a stretch: from columns as long as the writer takes such rows.
func (m *merge) write(run *stretch) error {
	if run.group == nil {
		return nil
	}
	defer func() { run.from = run.to }()
	g := run.group
	if m.w.TakesRows(g.s, g.group) {
		return m.w.AddColumns(run.id, g.columns, run.from, run.to)
	}
	batch, err := m.cache.Read(g.s, g.group)
	if err != nil {
		return err
	}
	for row := run.from; row < run.to; row++ {
		m.rows = append(m.rows, span.Row{Batch: batch, Pos: row})
	}
	return m.hand(run.id)
}

// aloneColumns writes rows [from, to) of a row group, which are of one trace; false, with nothing done, where
// they cannot be copied so.
func (m *merge) aloneColumns(in *input, group, from, to int, id span.TraceID) (done bool, err error) {
	if !m.w.TakesRows(in.s, group) {
		return false, nil
	}
	if err := m.hand(id); err != nil {
		return true, err
	}
	g, err := m.columns.read(in.s, group)
	if err != nil {
		return true, err
	}
	for from < to && err == nil {
		n := min(to-from, chunkRowsMax)
		if err = m.w.AddColumns(id, g.columns, from, from+n); err == nil {
			err = m.passed(n)
		}
		from += n
	}
	return true, err
}
