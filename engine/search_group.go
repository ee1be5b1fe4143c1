package engine

import (
	"math"
	"math/bits"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
)

// groupSearch is what a search knows of the row group it looks into. Buffers are kept from
// group to group.
type groupSearch struct {
	scan  *segment.GroupScan
	index int
	first int // row of the segment

	filtered [span.Levels]uint64 // tags that a column with filters may have here, by level
	local    [span.Levels]uint64 // tags that templates of the group's own may satisfy
	beside   uint64              // tags that an event or a link of some row may satisfy
	found    []uint64            // by tag: bits of the rows that may have it besides their template; nil is not known yet
	foundOf  [][]uint64

	left          []uint64 // bits of the rows that may match
	decided       []uint64 // of them, those that no row need be read for but to ask the filter
	fits          []bool   // by code of a span's template
	holds         []uint64
	may           []uint64
	codes, starts []uint64
	lengths       []uint32
	spans         []uint64 // end - start of rows
	items         []uint32
	read          []int              // rows to be read and matched
	opened        segment.PageCounts // to read them

	answers []answer // of the filter, by code of a span's template and class of a resource
	rests   []node   // by the same, what rows are asked where that is open; nil until one asks
	counted bool     // how many that are, see judge
}

// scanGroup visits the matching rows of a row group that start at least at least. Rows that
// were read go to filtered, where the query's filter still is to be asked.
func (s *segmentSearch) scanGroup(i int, least uint64, visit, filtered visitor) error {
	g := &s.group
	g.scan, g.index, g.first = s.l.Scan(i), i, s.l.Group(i).FirstRow
	defer func() {
		opened := g.scan.PageCounts()
		s.explain.PagesRead.Add(int64(opened.Read + g.opened.Read))
		s.explain.PagesKept.Add(int64(opened.Kept + g.opened.Kept))
		g.opened = segment.PageCounts{}
	}()
	if !s.byTemplates() || s.judge != nil && !s.judgeTemplates() {
		s.explain.GroupsByTemplate.Add(1)
		return nil
	}
	if s.judge != nil {
		if ok, err := s.judgeGroup(); err != nil || !ok {
			s.explain.GroupsByFilter.Add(1)
			return err
		}
	}
	if ok, err := s.byFilters(); err != nil || !ok {
		if err == nil {
			s.explain.GroupsByFilter.Add(1)
		}
		return err
	}
	if ok, err := s.byCode(); err != nil || !ok {
		return err
	}
	return s.visitRows(least, visit, filtered)
}

// byTemplates reports whether the templates and resources of the group can satisfy the query
// together, and readies what its rows are asked by code.
func (s *segmentSearch) byTemplates() bool {
	g := &s.group
	g.filtered = [span.Levels]uint64{s.all, s.all, s.all, s.all, s.all}
	g.local = g.filtered
	return s.weigh()
}

// weigh works out, with what is known of filters, what each code of a template says, and
// whether any row can match.
func (s *segmentSearch) weigh() bool {
	g := &s.group
	g.beside = 0
	for _, level := range templateLevels[1:] {
		shared, whole := g.scan.Templates(level)
		t := &s.levels[level]
		for _, id := range shared {
			tags := &t.tags[id]
			g.beside |= tags.holds | tags.other | tags.filtered&g.filtered[level]
		}
		if !whole {
			g.beside |= g.local[level]
		}
	}
	above := uint64(0)
	inService := false
	resources, longest := g.scan.Resources()
	for i, id := range resources {
		if s.service[id] && longest[i] >= s.query.DurationMin {
			inService = true
			above |= s.resources[id]
		}
	}
	if !inService {
		return false
	}
	shared, whole := g.scan.Templates(span.SpanLevel)
	t := &s.levels[span.SpanLevel]
	g.fits, g.holds, g.may = g.fits[:0], g.holds[:0], g.may[:0]
	any := !whole && g.local[span.SpanLevel]|s.scopes|g.beside|above == s.all
	for _, id := range shared {
		tags := &t.tags[id]
		may := tags.holds | tags.other | tags.filtered&g.filtered[span.SpanLevel] | g.beside
		fits := tags.fits && may|above == s.all
		any = any || fits
		g.fits, g.holds, g.may = append(g.fits, fits), append(g.holds, tags.holds), append(g.may, may)
	}
	return any
}

// byFilters asks the filters of the group for the tags that columns may have, and reports
// whether it still can match.
func (s *segmentSearch) byFilters() (bool, error) {
	g := &s.group
	changed := false
	for j := range s.tags {
		bit := uint64(1) << j
		for _, level := range templateLevels {
			may, err := s.inColumns(j, level)
			if err != nil {
				return false, err
			}
			if may {
				continue
			}
			g.filtered[level] &^= bit
			changed = changed || s.levels[level].filtered&bit != 0
			if _, whole := g.scan.Templates(level); !whole && s.tags[j].special == plain && !s.unfiltered(j, level) {
				g.local[level] &^= bit
				changed = true
			}
		}
	}
	return !changed || s.weigh(), nil
}

// inColumns reports whether a column with filters may have a tag's value on a level here.
func (s *segmentSearch) inColumns(j int, level span.Level) (bool, error) {
	t := &s.tags[j]
	for _, id := range s.columns[j].byLevel[level] {
		kind := s.l.ColumnType(id)
		if kind == span.IntValue && !t.isInt || kind != span.IntValue && kind != span.StringValue {
			continue
		}
		filters, known, err := s.filtersOf(id)
		if err != nil {
			return false, err
		}
		if !known || len(t.value) > segment.FilteredBytesMax {
			return true, nil
		}
		if f := filters[s.group.index]; f != nil && f.MayContain(s.columns[j].hash) {
			return true, nil
		}
	}
	return false, nil
}

// unfiltered reports whether items of a level may have a tag's key with values that no filter
// tells of: of another type, or in the map column.
func (s *segmentSearch) unfiltered(j int, level span.Level) bool {
	return s.group.scan.Mapped(level) || slices.ContainsFunc(s.columns[j].byLevel[level], func(id uint32) bool {
		kind := s.l.ColumnType(id)
		return kind != span.StringValue && kind != span.IntValue
	})
}

// columnFilters are the filters of a column, if it has any.
type columnFilters struct {
	byGroup []*index.Filter
	known   bool
}

// filtersOf gives the filters of a column. The search holds them to its end: those of a column
// with millions of values are too large to be kept for others.
func (s *segmentSearch) filtersOf(id uint32) (byGroup []*index.Filter, known bool, err error) {
	f, ok := s.filters[id]
	if !ok {
		if f.byGroup, f.known, err = s.l.Filters(id); err != nil {
			return nil, false, err
		}
		if s.filters == nil {
			s.filters = map[uint32]columnFilters{}
		}
		s.filters[id] = f
	}
	return f.byGroup, f.known, nil
}

// byCode leaves in left the rows whose template fits and whose length can be in range, and
// reports whether there are any. Templates go first where they leave few: their codes are at
// hand, while lengths are unpacked.
func (s *segmentSearch) byCode() (bool, error) {
	g := &s.group
	rows := s.l.Group(g.index).Rows
	g.left = cleared(g.left, (rows+63)/64)
	few := 0
	if slices.Contains(g.fits, false) {
		var err error
		if g.items, err = g.scan.Items(span.SpanLevel); err != nil {
			return false, err
		}
		for row, code := range g.items {
			if int(code) >= len(g.fits) || g.fits[code] {
				g.left[row/64] |= 1 << (row % 64)
				few++
			}
		}
	} else {
		for i := range g.left {
			g.left[i] = ^uint64(0)
		}
		if rows%64 != 0 {
			g.left[len(g.left)-1] = 1<<(rows%64) - 1
		}
		few = rows
	}
	if s.query.DurationMin == 0 || few*sparseShare < rows {
		return few > 0, nil
	}
	return s.byLength()
}

// sparseShare: where fewer than one row in so many is left, a length is looked at row by row.
const sparseShare = 8

// byLength leaves in left the rows whose length can be in range, and reports whether there are
// any.
func (s *segmentSearch) byLength() (any bool, err error) {
	g := &s.group
	// Rows that end before they start count as 0 long; those whose length only looks right,
	// because their end wrapped around, fail at inRange.
	most := uint64(math.MaxInt64)
	if s.query.DurationMax > 0 {
		most = min(most, s.query.DurationMax)
	}
	if g.lengths, err = g.scan.LengthsBetween(g.lengths[:0], s.query.DurationMin, most); err != nil {
		return false, err
	}
	g.decided = cleared(g.decided, len(g.left))
	for _, row := range g.lengths {
		g.decided[row/64] |= 1 << (row % 64)
	}
	for i := range g.left {
		g.left[i] &= g.decided[i]
		any = any || g.left[i] != 0
	}
	return any, nil
}

// visitRows goes over the rows that are left, the dearest knowledge last: template and resource,
// columns, times, the filter, and for what is still open the rows themselves.
func (s *segmentSearch) visitRows(least uint64, visit, filtered visitor) error {
	g := &s.group
	var err error
	if s.judge != nil { // it may ask for the times of any row that is left
		if g.starts, err = g.scan.Starts(g.starts, g.left); err != nil {
			return err
		}
	}
	if err := s.narrow(); err != nil || !slices.ContainsFunc(g.left, func(word uint64) bool { return word != 0 }) {
		return err
	}
	if s.judge == nil {
		if g.starts, err = g.scan.Starts(g.starts, g.left); err != nil {
			return err
		}
	}
	lengths, err := s.lengths()
	if err != nil {
		return err
	}
	g.read = g.read[:0]
	resources, _ := g.scan.Resources()
	for word, left := range g.left {
		for ; left != 0; left &= left - 1 {
			row := word*64 + bits.TrailingZeros64(left)
			start := g.starts[row]
			if start < least || start < s.query.StartMin || start > s.query.StartMax {
				continue
			}
			if lengths != nil && !s.lengthFits(start, lengths[row]) {
				continue
			}
			decided, may := hasBit(g.decided, row), true
			if s.judge != nil {
				a, err := s.judgeRow(row, resources[g.codes[row]])
				if err != nil {
					return err
				}
				decided, may = decided && a == answerYes, a != answerNo
			}
			switch {
			case !may:
			case decided && !s.wantRows:
				s.explain.RowsByTemplate.Add(1)
				id := s.l.TraceID(s.l.TraceAtRow(g.first + row))
				if err := visit(hit{id: id, start: start}); err != nil {
					return err
				}
			default:
				g.read = append(g.read, row)
			}
		}
	}
	return s.readRows(filtered)
}

// narrow takes out of left the rows that cannot match by their template, resource and values,
// and leaves in decided those that are certain to have service, name and tags.
func (s *segmentSearch) narrow() (err error) {
	g := &s.group
	if g.codes, err = g.scan.ResourceCodes(g.codes, g.left); err != nil {
		return err
	}
	if g.items, err = g.scan.Items(span.SpanLevel); err != nil {
		return err
	}
	g.decided = cleared(g.decided, len(g.left))
	g.foundOf = make([][]uint64, len(s.tags))
	resources, _ := g.scan.Resources()
	for word, left := range g.left {
		for ; left != 0; left &= left - 1 {
			row := word*64 + bits.TrailingZeros64(left)
			resource := resources[g.codes[row]]
			decided, may := false, s.service[resource]
			if may {
				if decided, may, err = s.decide(row, s.resources[resource]); err != nil {
					return err
				}
			}
			if !may {
				g.left[word] &^= left & -left
			}
			if decided {
				g.decided[word] |= left & -left
			}
		}
	}
	return nil
}

// lengths gives the lengths where the query asks for durations.
func (s *segmentSearch) lengths() ([]uint64, error) {
	if s.query.DurationMin == 0 && s.query.DurationMax == 0 {
		return nil, nil
	}
	var err error
	s.group.spans, err = s.group.scan.Lengths(s.group.spans, s.group.left)
	return s.group.spans, err
}

func (s *segmentSearch) lengthFits(start, length uint64) bool {
	duration := span.Duration(start, start+length)
	return duration >= s.query.DurationMin && (s.query.DurationMax == 0 || duration <= s.query.DurationMax)
}

// decide tells whether a row may match but for the filter, and whether that is certain by its
// template and resource.
func (s *segmentSearch) decide(row int, resource uint64) (decided, may bool, err error) {
	g := &s.group
	code := int(g.items[row])
	if code >= len(g.fits) { // a template of the group's own
		return false, g.local[span.SpanLevel]|s.scopes|g.beside|resource == s.all, nil
	}
	if !g.fits[code] {
		return false, false, nil
	}
	missing := s.all &^ (g.holds[code] | resource)
	if missing == 0 {
		return true, true, nil
	}
	if missing&^g.may[code] != 0 {
		return false, false, nil
	}
	for ; missing != 0; missing &= missing - 1 {
		rows, err := s.rowsWith(bits.TrailingZeros64(missing))
		if err != nil {
			return false, false, err
		}
		if rows[row/64]>>(row%64)&1 == 0 {
			return false, false, nil
		}
	}
	return false, true, nil
}

// rowsWith gives the rows that may satisfy a tag by something beside their template and
// resource, as bits.
func (s *segmentSearch) rowsWith(j int) ([]uint64, error) {
	g := &s.group
	if g.foundOf[j] != nil {
		return g.foundOf[j], nil
	}
	rows := make([]uint64, len(g.left))
	bit := uint64(1) << j
	for _, level := range templateLevels {
		if err := s.markTemplates(rows, level, bit); err != nil {
			return nil, err
		}
		if g.filtered[level]&bit == 0 {
			continue
		}
		for _, id := range s.columns[j].byLevel[level] {
			var err error
			switch kind := s.l.ColumnType(id); {
			case kind == span.StringValue:
				err = g.scan.MarkValues(rows, id, []byte(s.tags[j].value), 0)
			case kind == span.IntValue && s.tags[j].isInt:
				err = g.scan.MarkValues(rows, id, nil, uint64(s.tags[j].intValue))
			}
			if err != nil {
				return nil, err
			}
		}
	}
	g.foundOf[j] = rows
	return rows, nil
}

// markTemplates marks the rows that may satisfy a tag by a template of their events or links, or
// by what their own leaves open.
func (s *segmentSearch) markTemplates(rows []uint64, level span.Level, bit uint64) error {
	shared, whole := s.group.scan.Templates(level)
	t := &s.levels[level]
	if whole && t.open&bit == 0 {
		return nil
	}
	return s.group.scan.MarkTemplates(rows, level, func(code int) bool {
		if code >= len(shared) {
			return true
		}
		tags := &t.tags[shared[code]]
		return tags.other&bit != 0 || level != span.SpanLevel && tags.holds&bit != 0
	})
}

// fewRows are read one by one; more are read with all between them.
const fewRows = 8

// readRows reads the rows that are still open and visits those that match.
func (s *segmentSearch) readRows(visit visitor) error {
	g := &s.group
	p := s.projection()
	p.Pages = &g.opened
	for left := g.read; len(left) > 0; {
		from, n := left[0], 1
		if len(left) > fewRows {
			n = len(left)
		}
		batch, err := s.l.ReadRows(g.index, from, left[n-1]+1, p)
		if err != nil {
			return err
		}
		s.bind(&s.rows, batch)
		s.explain.RowsRead.Add(int64(n))
		for _, row := range left[:n] {
			pos := row - from
			if !s.rows.inRange(pos) || !s.rows.matches(pos) {
				continue
			}
			if err := visit(hit{batch.TraceIDs[pos], batch.Starts[pos], span.Row{Batch: batch, Pos: pos}}); err != nil {
				return err
			}
		}
		left = left[n:]
	}
	return nil
}
