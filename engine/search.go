package engine

import (
	"math/bits"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
)

// segmentSearch is a query on one segment: what its resources, scopes and templates say
// before any row is read. It serves one goroutine.
//
// For each template it knows the tags that hold whatever the row, and those that may hold
// by values that stand with the row. A row whose template and resource satisfy everything
// is a match without being read; one whose template, resource, events and links together
// cannot is none. What is left in between is looked for in columns, then read.
type segmentSearch struct {
	*matcher
	l         *liveSegment
	service   []bool   // by resource: it is the service asked for
	resources []uint64 // by resource: the tags it satisfies
	scopes    uint64   // tags that some scope satisfies
	// onlyFiltered are tags that no resource, scope or template of the segment satisfies, so that
	// only values in columns with filters may, or templates of a row group's own.
	onlyFiltered uint64
	levels       [span.Levels]levelTags
	columns      []tagColumns // by tag
	filters      map[uint32]columnFilters
	judge        *judge // of the query's filter, nil where it has none

	group groupSearch
	rows  bound // for rows that are read
}

// levelTags is what the templates of a level say of the tags.
type levelTags struct {
	templates *segment.Templates
	mapped    []uint32 // templates that may have any attribute besides
	tags      []templateTags
	filtered  uint64 // tags that some template has among its filtered ones
	known     uint64 // that some template satisfies, or may by other values
	open      uint64 // and among those that it says a row may satisfy besides
}

// templateTags is what one template says of the tags.
type templateTags struct {
	holds    uint64
	filtered uint64 // may hold by values in columns that have filters
	other    uint64 // may hold by other values of the row
	fits     bool   // the name is the one asked for
}

// any gives the tags that hold or may hold.
func (t *templateTags) any() uint64 { return t.holds | t.filtered | t.other }

// tagColumns are the attribute columns of a tag's key.
type tagColumns struct {
	byLevel [span.Levels][]uint32
	hash    uint64
}

var templateLevels = [...]span.Level{span.SpanLevel, span.EventLevel, span.LinkLevel}

// newSegmentSearch readies a query for a segment; nil where nothing in it can match.
func newSegmentSearch(m *matcher, l *liveSegment) (*segmentSearch, error) {
	s := &segmentSearch{matcher: m, l: l}
	var b bound
	m.bind(&b, l.Resources())
	s.service, s.resources = b.service, b.resources
	if m.filter != nil {
		var err error
		if s.judge, err = newJudge(m.filter, m.effort, l); err != nil {
			return nil, err
		}
		if may := s.judge.mayMatch(); !may || s.judge.failure() != nil {
			return nil, s.judge.failure()
		}
	}
	inService, above := false, uint64(0)
	for i, tags := range s.resources {
		if s.service[i] {
			inService = true
			above |= tags
		}
	}
	if !inService {
		return nil, nil
	}
	var scopes bound
	m.bind(&scopes, l.Scopes())
	for _, tags := range scopes.scopes {
		s.scopes |= tags
	}
	above |= s.scopes
	for j := range m.tags {
		c := tagColumns{hash: index.HashText([]byte(m.tags[j].value))}
		for _, level := range templateLevels {
			c.byLevel[level] = l.ColumnsOf(level, m.tags[j].key)
		}
		s.columns = append(s.columns, c)
	}
	var err error
	for _, level := range templateLevels {
		t := &s.levels[level]
		if t.templates, err = l.Templates(level); err != nil {
			return nil, err
		}
		for i, mapped := range t.templates.Mapped {
			if mapped {
				t.mapped = append(t.mapped, uint32(i))
			}
		}
	}
	candidates, possible, err := s.candidates(above)
	if err != nil || !possible {
		return nil, err
	}
	for _, level := range templateLevels {
		if level != span.SpanLevel {
			candidates = nil
		}
		s.levels[level].tell(m, level, scopes.scopes, candidates)
	}
	s.onlyFiltered = s.all &^ (above | m.byRow | m.byEvent | m.byScope)
	for _, level := range templateLevels {
		s.onlyFiltered &^= s.levels[level].known
	}
	m.explain.Templates.Add(int64(len(s.levels[span.SpanLevel].tags)))
	if m.query.Explain != nil { // nobody else has use for it
		m.explain.TemplatesMatched.Add(s.templatesMatched(above))
	}
	return s, nil
}

// templatesMatched counts the templates of spans that fit and, with what resources, scopes,
// events and links of the segment may bring, may satisfy every tag, and the filter.
func (s *segmentSearch) templatesMatched(above uint64) (matched int64) {
	beside := above
	for _, level := range templateLevels[1:] {
		t := &s.levels[level]
		for i := range t.tags {
			beside |= t.tags[i].any()
		}
	}
	whole := s.l.TemplatesWhole()
	if !whole[span.EventLevel] || !whole[span.LinkLevel] {
		beside = s.all
	}
	t := &s.levels[span.SpanLevel]
	for i := range t.tags {
		if t.tags[i].fits && t.tags[i].any()|beside == s.all && (s.judge == nil || s.judge.mayBe(i)) {
			matched++
		}
	}
	return matched
}

// candidates gives, by the terms, the templates of spans that may match, as bits; nil are all.
// Tags in above hold by a resource or scope. possible is false where nothing of the segment can
// match.
func (s *segmentSearch) candidates(above uint64) (candidates []uint64, possible bool, err error) {
	terms, err := s.l.Terms()
	if err != nil || len(terms.Columns()) == 0 { // a segment may do without terms
		return nil, true, err
	}
	narrow := func(found []uint64) bool {
		if candidates == nil {
			candidates = found
		}
		any := uint64(0)
		for i := range candidates {
			if i < len(found) {
				candidates[i] &= found[i]
			} else {
				candidates[i] = 0
			}
			any |= candidates[i]
		}
		return any != 0
	}
	whole := s.l.TemplatesWhole()
	if s.query.Name != "" && whole[span.SpanLevel] {
		names, _, err := terms.Lookup(segment.NameColumn(span.SpanLevel), []byte(s.query.Name))
		if err != nil {
			return nil, false, err
		}
		if !narrow(names.Bits([]uint64{})) {
			return nil, false, nil
		}
	}
	for j := range s.tags {
		t := &s.tags[j]
		if above&(1<<j) != 0 || t.special != plain || !whole[span.SpanLevel] || !whole[span.EventLevel] || !whole[span.LinkLevel] {
			continue
		}
		spans, elsewhere, err := s.withTag(terms, j)
		if err != nil {
			return nil, false, err
		}
		if !elsewhere && !narrow(spans) {
			return nil, false, nil
		}
	}
	return candidates, true, nil
}

// withTag gives the templates of spans that may have a tag, as bits, by the terms, by the
// columns that stand alone and by the map column. elsewhere says that an event or a link may have it, or that
// the terms cannot tell.
func (s *segmentSearch) withTag(terms segment.Terms, j int) (spans []uint64, elsewhere bool, err error) {
	spans = []uint64{}
	for _, level := range templateLevels {
		if level != span.SpanLevel && len(s.levels[level].mapped) > 0 {
			return nil, true, nil
		}
		for _, id := range s.columns[j].byLevel[level] {
			kind := s.l.ColumnType(id)
			own := s.levels[level].templates.Own[id]
			if kind != span.StringValue && kind != span.IntValue && kind != span.BoolValue || level != span.SpanLevel && len(own) > 0 {
				return nil, true, nil
			}
			found, _, err := terms.Lookup(id, []byte(s.tags[j].value))
			if err != nil {
				return nil, false, err
			}
			if level != span.SpanLevel {
				if found.Cardinality() > 0 {
					return nil, true, nil
				}
				continue
			}
			spans = found.Bits(spans)
			for _, template := range own {
				spans = withBit(spans, template)
			}
		}
	}
	for _, template := range s.levels[span.SpanLevel].mapped {
		spans = withBit(spans, template)
	}
	return spans, false, nil
}

func withBit(set []uint64, i uint32) []uint64 {
	for int(i/64) >= len(set) {
		set = append(set, 0)
	}
	set[i/64] |= 1 << (i % 64)
	return set
}

// tell works out what each candidate says of the tags; others fit nothing.
func (t *levelTags) tell(m *matcher, level span.Level, scopes []uint64, candidates []uint64) {
	n := t.templates.Len()
	t.tags = make([]templateTags, n)
	var b bound
	m.bindTexts(&b, t.templates.Batch)
	for i := range n {
		if candidates != nil && (i/64 >= len(candidates) || candidates[i/64]>>(i%64)&1 == 0) {
			continue
		}
		name := t.templates.Bytes(t.templates.Names[i])
		out := &t.tags[i]
		out.fits = level != span.SpanLevel || m.query.Name == "" || string(name) == m.query.Name
		if !out.fits || m.all == 0 {
			continue
		}
		row := span.Row{Batch: t.templates.Batch, Pos: i}
		holds, filtered, other := b.templateTags(row.Attrs())
		if t.templates.Mapped[i] { // an attribute there may be the last of its key
			holds, other = 0, m.all
		}
		switch level {
		case span.SpanLevel:
			holds |= scopes[t.templates.ScopeIDs[i]] | b.rowTags(i, m.byRow)
			if t.templates.OpenMessage[i] || t.templates.OpenState[i] {
				other |= m.byRow
			}
		case span.EventLevel:
			for left := m.byEvent; left != 0; left &= left - 1 {
				if string(name) == m.tags[bits.TrailingZeros64(left)].value {
					holds |= left & -left
				}
			}
		}
		out.holds, out.filtered, out.other = holds, filtered, other
		t.filtered |= filtered
		t.known |= holds | other
		if t.open |= other; level != span.SpanLevel {
			t.open |= holds
		}
	}
}

// templateTags is listTags over the attributes of a template: besides the tags that hold it
// gives those that values standing with the row may satisfy.
func (b *bound) templateTags(attrs []span.Attr) (holds, filtered, other uint64) {
	var decided uint64
	for i := len(attrs) - 1; i >= 0; i-- {
		a := attrs[i]
		state := b.keyState[a.Key]
		if state == keyOther || state == keyUnknown && !b.learnKey(a.Key) {
			continue
		}
		key := b.batch.Bytes(a.Key)
		for j := range b.tags {
			bit := uint64(1) << j
			if decided&bit != 0 || string(key) != b.tags[j].key {
				continue
			}
			decided |= bit
			switch {
			case a.Type == segment.OpenFiltered:
				filtered |= bit
			case a.Type == segment.OpenOther:
				other |= bit
			case b.valueIs(&b.tags[j], a):
				holds |= bit
			}
		}
	}
	return holds, filtered, other
}
