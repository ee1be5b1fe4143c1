package engine

import (
	"math/bits"
	"slices"
	"sync"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
)

// groupSearch is what a search knows of the row group it looks into. Buffers are kept from
// group to group, and from search to search.
type groupSearch struct {
	told, scopes, rows bound    // of tables, of scopes, and of rows that are read
	groups             []uint64 // of the segment opened last, see segmentSearch.groups

	scan  segment.GroupScan
	index int
	first int // row of the segment

	common   [span.Levels][]common // templates of the group that count for the query
	served   []common              // resources of its service
	filtered [span.Levels]uint64   // tags that a column with filters may have here, by level
	local    [span.Levels]uint64   // tags that templates of the group's own may satisfy
	beside   uint64                // tags that an event or a link of some row may satisfy
	must     uint64                // tags that no template and no resource satisfies: rows must, by something else
	found    [][]uint64            // by tag: memory of the next two
	foundOf  [][]uint64            // by tag: bits of the rows that may have it besides their template; nil is not known yet
	valuesOf [][]uint64            // by tag: of the rows found, those with the value in a column of spans

	left      []uint64 // bits of the rows that may match
	decided   []uint64 // of them, those that no row need be read for but to ask the filter
	leftRows  int      // how many at most
	fits      []bool   // by code of a span's template that others share
	asked     []uint32 // codes, of any
	askedRows int      // rows of these
	isAsked   []bool   // by code, where all rows are gone through
	own       []bool   // by template of the group's own: it has the name asked for
	// By the same, where it fits: tags that hold, that hold or may, and that hold where a column has
	// the value.
	holds, may, exact []uint64
	inService         []bool // by code of a resource
	codes, starts     []uint64
	lengths           []uint32
	spans             []uint64 // end - start of rows
	spansKnown        bool     // of all rows that are left
	items             []uint32
	read              []int              // rows to be read and matched
	opened            segment.PageCounts // to read them

	answers []answer // of the filter, by code of a span's template and class of a resource
	rests   []node   // by the same, what rows are asked where that is open; nil until one asks
	counted bool     // how many that are, see judge
}

// groupSearches are those between two scans.
var groupSearches = sync.Pool{New: func() any { return new(groupSearch) }}

// endScan gives back what the scan has worked with.
func (m *matcher) endScan() {
	g := m.group
	m.group = nil
	g.scan.Forget()
	g.items = nil // a page's
	for _, b := range []*bound{&g.told, &g.scopes, &g.rows} {
		if b.matcher, b.batch = nil, nil; b.memoryBytes() > boundBytesKept {
			*b = bound{}
		}
	}
	if len(g.rests) > 0 {
		clear(g.rests[:cap(g.rests)])
		g.rests = g.rests[:0]
	}
	if cap(g.rests) > restsKept {
		g.rests = nil
	}
	groupSearches.Put(g)
}

// scanGroup visits the matching rows of a row group that start at least at least. Rows that
// were read go to filtered, where the query's filter still is to be asked.
func (s *segmentSearch) scanGroup(i int, least uint64, visit, filtered visitor) error {
	g := s.group
	g.index, g.first = i, s.l.Group(i).FirstRow
	s.l.ScanInto(&g.scan, i)
	defer func() {
		opened := g.scan.PageCounts()
		s.explain.PagesRead.Add(int64(opened.Read + g.opened.Read))
		s.explain.PagesKept.Add(int64(opened.Kept + g.opened.Kept))
		g.opened = segment.PageCounts{}
	}()
	if ok, err := s.byOnlyFiltered(); err != nil || !ok {
		s.explain.GroupsByFilter.Add(1)
		return err
	}
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
	if ok, err := s.ask(); err != nil || !ok {
		if err == nil {
			s.explain.GroupsByTemplate.Add(1)
		}
		return err
	}
	if ok, err := s.byCode(); err != nil || !ok {
		return err
	}
	return s.visitRows(least, visit, filtered)
}

// byOnlyFiltered asks the filters of the group for the tags that nothing else can satisfy: where
// they deny one, no template need be looked at.
func (s *segmentSearch) byOnlyFiltered() (bool, error) {
	for left := s.onlyFiltered; left != 0; left &= left - 1 {
		j, may := bits.TrailingZeros64(left), false
		for _, level := range templateLevels {
			_, whole := s.group.scan.Templates(level)
			inColumns, err := s.inColumns(j, level)
			if err != nil {
				return false, err
			}
			may = may || inColumns || !whole && s.unfiltered(j, level)
		}
		if !may {
			return false, nil
		}
	}
	return true, nil
}

// byTemplates reports whether the templates and resources of the group can satisfy the query
// together, and readies what its rows are asked by code.
func (s *segmentSearch) byTemplates() bool {
	g := s.group
	resources, longest := g.scan.Resources()
	g.served = s.servedAt.inCommon(g.served[:0], resources)
	g.served = slices.DeleteFunc(g.served, func(c common) bool { return longest[c.code] < s.query.DurationMin })
	if len(g.served) == 0 {
		return false
	}
	for _, level := range templateLevels {
		shared, whole := g.scan.Templates(level)
		g.common[level] = s.levels[level].places.inCommon(g.common[level][:0], shared)
		if level == span.SpanLevel && whole && len(g.common[level]) == 0 {
			return false
		}
	}
	g.filtered = [span.Levels]uint64{s.all, s.all, s.all, s.all, s.all}
	g.local = g.filtered
	return s.weigh()
}

// weigh works out, with what is known of filters, what each code of a template says, and
// whether any row can match.
func (s *segmentSearch) weigh() (any bool) {
	g := s.group
	g.beside = 0
	for _, level := range templateLevels[1:] {
		t := &s.levels[level]
		for _, c := range g.common[level] {
			tags := &t.tags[c.at]
			g.beside |= tags.holds | tags.other | tags.filtered&g.filtered[level]
		}
		if _, whole := g.scan.Templates(level); !whole {
			g.beside |= g.local[level]
		}
	}
	above := uint64(0)
	for _, c := range g.served {
		above |= s.ofResource(s.served.Resources[c.at])
	}
	shared, whole := g.scan.Templates(span.SpanLevel)
	t := &s.levels[span.SpanLevel]
	g.fits, g.holds = cleared(g.fits, len(shared)), sized(g.holds, len(shared))
	g.may, g.exact = sized(g.may, len(shared)), sized(g.exact, len(shared))
	any = !whole && g.local[span.SpanLevel]|s.scopes|g.beside|above == s.all
	held := above
	if !whole {
		held |= s.scopes
	}
	for _, c := range g.common[span.SpanLevel] {
		tags := &t.tags[c.at]
		may := tags.holds | tags.other | tags.filtered&g.filtered[span.SpanLevel] | g.beside
		if may|above == s.all {
			any = true
			held |= tags.holds
			g.fits[c.code], g.holds[c.code], g.may[c.code], g.exact[c.code] = true, tags.holds, may, tags.exact
		}
	}
	g.must = s.all &^ held
	return any
}

// sized gives a buffer of a length with whatever stands in it.
func sized[T any](buffer []T, length int) []T {
	if cap(buffer) < length {
		return make([]T, length)
	}
	return buffer[:length]
}

// ask works out which templates of the group, its own among them, have rows that may match, by how
// long they last at most and by their names, and reports whether any has.
func (s *segmentSearch) ask() (any bool, err error) {
	g := s.group
	if g.items, err = g.scan.Items(span.SpanLevel); err != nil {
		return false, err
	}
	counts, err := g.scan.Counts()
	if err != nil {
		return false, err
	}
	longest := []uint64(nil)
	if s.query.DurationMin > 0 {
		if longest, err = g.scan.Longest(); err != nil {
			return false, err
		}
	}
	g.asked, g.askedRows = g.asked[:0], 0
	ask := func(code uint32) {
		if longest == nil || longest[code] >= s.query.DurationMin {
			g.asked = append(g.asked, code)
			g.askedRows += int(counts[code])
		}
	}
	for _, c := range g.common[span.SpanLevel] {
		if g.fits[c.code] {
			ask(c.code)
		}
	}
	if g.own, err = g.scan.OwnNamed(g.own[:0], s.query.Name); err != nil {
		return false, err
	}
	for k, named := range g.own {
		if named {
			ask(uint32(len(g.fits) + k))
		}
	}
	return g.askedRows > 0, nil
}

// byFilters asks the filters of the group for the tags that columns may have, and reports
// whether it still can match.
func (s *segmentSearch) byFilters() (bool, error) {
	g := s.group
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
