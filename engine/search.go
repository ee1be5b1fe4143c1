package engine

import (
	"slices"

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
	l         *segment.Segment
	served    *segment.Served // the service asked for
	servedAt  places          // of its resources
	resources []uint64        // by resource: the tags it satisfies, where it is served; nil where none does
	scopes    uint64          // tags that some scope satisfies
	// onlyFiltered are tags that no resource, scope or template of the segment satisfies, so that
	// only values in columns with filters may, or templates of a row group's own.
	onlyFiltered uint64
	levels       [span.Levels]levelTags
	columns      []tagColumns // by tag
	filters      map[uint32]columnFilters
	judge        *judge            // of the query's filter, nil where it has none
	whole        [span.Levels]bool // of templates: no row group has its own

	group *groupSearch // the matcher's: one row group is looked into at a time
}

// tagColumns are the attribute columns of a tag's key.
type tagColumns struct {
	byLevel [span.Levels][]uint32
	hash    uint64
}

var templateLevels = [...]span.Level{span.SpanLevel, span.EventLevel, span.LinkLevel}

// newSegmentSearch readies a query for a segment; nil where nothing in it can match.
func newSegmentSearch(m *matcher, l *segment.Segment) (*segmentSearch, error) {
	s := &segmentSearch{matcher: m, l: l, group: m.group, whole: l.TemplatesWhole()}
	var err error
	if m.filter != nil {
		if s.judge, err = newJudge(m.filter, m.effort, l); err != nil {
			return nil, err
		}
		if may := s.judge.mayMatch(); !may || s.judge.failure() != nil {
			return nil, s.judge.failure()
		}
	}
	if s.served, err = l.Served(m.query.Service); err != nil || len(s.served.Resources) == 0 {
		return nil, err
	}
	above := s.tellResources()
	scopes := s.tellScopes()
	above |= s.scopes
	if len(m.tags) > 0 {
		s.columns = make([]tagColumns, len(m.tags))
	}
	for j := range m.tags {
		c := &s.columns[j]
		c.hash = index.HashText(m.tags[j].bytes)
		for _, level := range templateLevels {
			c.byLevel[level] = l.ColumnsOf(level, m.tags[j].key)
		}
	}
	for _, level := range templateLevels {
		if s.levels[level].templates, err = l.Templates(level); err != nil {
			return nil, err
		}
	}
	if possible, err := s.tellTemplates(above, scopes); err != nil || !possible {
		return nil, err
	}
	m.explain.Templates.Add(int64(s.levels[span.SpanLevel].templates.Len()))
	if m.query.Explain != nil { // nobody else has use for it
		m.explain.TemplatesMatched.Add(s.templatesMatched())
	}
	return s, nil
}

// tellResources works out which tags the resources of the service satisfy; above are all of these tags.
func (s *segmentSearch) tellResources() (above uint64) {
	if s.all == 0 {
		return 0
	}
	b, batch := &s.group.told, s.l.Resources()
	s.bindTexts(b, batch)
	for _, i := range s.served.Resources {
		tags := b.resourceTags(i)
		if tags == 0 {
			continue
		}
		if s.resources == nil {
			s.resources = make([]uint64, len(batch.Resources))
		}
		s.resources[i] = tags
		above |= tags
	}
	return above
}

// ofResource gives the tags that a resource of the service satisfies.
func (s *segmentSearch) ofResource(i uint32) uint64 {
	if s.resources == nil {
		return 0
	}
	return s.resources[i]
}

// tellScopes works out which tags the scopes satisfy, and gives those of each; nil where there are no tags.
func (s *segmentSearch) tellScopes() (scopes []uint64) {
	if s.all == 0 {
		return nil
	}
	b := &s.group.scopes
	s.bind(b, s.l.Scopes())
	for _, tags := range b.scopes {
		s.scopes |= tags
	}
	return b.scopes
}

// tellTemplates works out what the templates of all levels say of the query; false where nothing
// of the segment can match. Tags in above hold by a resource or scope, scopes are those of each.
func (s *segmentSearch) tellTemplates(above uint64, scopes []uint64) (possible bool, err error) {
	candidates, possible, err := s.candidates(above)
	if err != nil || !possible {
		return false, err
	}
	for _, level := range templateLevels {
		if level != span.SpanLevel {
			candidates = nil
			if s.asksOf(level) {
				candidates = counting(s.levels[level].templates.Len())
			}
		}
		s.levels[level].tell(s.matcher, level, scopes, candidates)
	}
	s.onlyFiltered = s.all &^ (above | s.byRow | s.byEvent | s.byScope)
	for _, level := range templateLevels {
		s.onlyFiltered &^= s.levels[level].known
	}
	return s.keepTemplates(above), nil
}

// asksOf reports whether templates of events or links may have a tag.
func (s *segmentSearch) asksOf(level span.Level) bool {
	if s.all == 0 {
		return false
	}
	return len(s.levels[level].templates.MappedIDs) > 0 || level == span.EventLevel && s.byEvent != 0 ||
		slices.ContainsFunc(s.columns, func(c tagColumns) bool { return len(c.byLevel[level]) > 0 })
}

// keepTemplates drops the templates of spans that, with what resources, scopes, events and links
// of the segment may bring, cannot satisfy every tag; false where no span can match then.
func (s *segmentSearch) keepTemplates(above uint64) bool {
	beside := above
	for _, level := range templateLevels[1:] {
		t := &s.levels[level]
		for i := range t.tags {
			beside |= t.tags[i].any()
		}
	}
	if !s.whole[span.EventLevel] || !s.whole[span.LinkLevel] {
		beside = s.all
	}
	t := &s.levels[span.SpanLevel]
	t.keep(s.all, beside)
	s.servedAt.ids = s.served.Resources
	for _, level := range templateLevels {
		s.levels[level].places.ids = s.levels[level].ids
	}
	return len(t.ids) > 0 || !s.whole[span.SpanLevel]
}

// groups gives the row groups, as bits, that have rows of the service which may last long enough, and
// templates that may match. They are good until the next call.
func (s *segmentSearch) groups() []uint64 {
	g, t := s.group, &s.levels[span.SpanLevel]
	g.groups = s.served.AppendGroups(g.groups[:0], s.query.DurationMin)
	t.templates.KeepGroups(g.groups, t.ids)
	return g.groups
}

// templatesMatched counts the templates of spans that may satisfy the query.
func (s *segmentSearch) templatesMatched() (matched int64) {
	for _, id := range s.levels[span.SpanLevel].ids {
		if s.judge == nil || s.judge.mayBe(int(id)) {
			matched++
		}
	}
	return matched
}
