package engine

import (
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
	served    []uint32 // the resources of the service asked for, ascending
	servedAt  places
	resources []uint64 // by resource: the tags it satisfies, where it is served
	scopes    uint64   // tags that some scope satisfies
	// onlyFiltered are tags that no resource, scope or template of the segment satisfies, so that
	// only values in columns with filters may, or templates of a row group's own.
	onlyFiltered uint64
	levels       [span.Levels]levelTags
	columns      []tagColumns // by tag
	filters      map[uint32]columnFilters
	judge        *judge            // of the query's filter, nil where it has none
	whole        [span.Levels]bool // of templates: no row group has its own

	group *groupSearch // the matcher's: one row group is looked into at a time
	rows  bound        // for rows that are read
}

// tagColumns are the attribute columns of a tag's key.
type tagColumns struct {
	byLevel [span.Levels][]uint32
	hash    uint64
}

var templateLevels = [...]span.Level{span.SpanLevel, span.EventLevel, span.LinkLevel}

// newSegmentSearch readies a query for a segment; nil where nothing in it can match.
func newSegmentSearch(m *matcher, l *liveSegment) (*segmentSearch, error) {
	s := &segmentSearch{matcher: m, l: l, group: m.group, whole: l.TemplatesWhole()}
	if m.filter != nil {
		var err error
		if s.judge, err = newJudge(m.filter, m.effort, l); err != nil {
			return nil, err
		}
		if may := s.judge.mayMatch(); !may || s.judge.failure() != nil {
			return nil, s.judge.failure()
		}
	}
	above := s.tellResources()
	if len(s.served) == 0 {
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
	if possible, err := s.tellTemplates(above, scopes.scopes); err != nil || !possible {
		return nil, err
	}
	m.explain.Templates.Add(int64(s.levels[span.SpanLevel].templates.Len()))
	if m.query.Explain != nil { // nobody else has use for it
		m.explain.TemplatesMatched.Add(s.templatesMatched())
	}
	return s, nil
}

// tellResources works out which resources are of the service asked for, and which tags these satisfy;
// above are all of these tags.
func (s *segmentSearch) tellResources() (above uint64) {
	batch := s.l.Resources()
	var b bound
	s.bindTexts(&b, batch)
	s.resources = make([]uint64, len(batch.Resources))
	for i := range batch.Resources {
		if s.query.Service != "" && string(batch.Bytes(batch.Resources[i].Service)) != s.query.Service {
			continue
		}
		s.served = append(s.served, uint32(i))
		s.resources[i] = b.resourceTags(uint32(i))
		above |= s.resources[i]
	}
	return above
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
			if s.all != 0 {
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
	s.servedAt = placesOf(s.served)
	for _, level := range templateLevels {
		s.levels[level].places = placesOf(s.levels[level].ids)
	}
	return len(t.ids) > 0 || !s.whole[span.SpanLevel]
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
