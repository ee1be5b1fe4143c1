package segment

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// Analysis tells where the bytes of a segment went and what its templates are worth.
type Analysis struct {
	Info       Info
	Parts      []Part // the largest first; their bytes add up to the file's
	IndexBytes int64  // of them: filters, terms and the filter of traces, which searches ask before they read
	Templates  [span.Levels]TemplateUse
}

// Part is a column or another part of the file.
type Part struct {
	What  string
	Pages int
	Bytes int64
	// Of an attribute column: how many values there are, how many of them stand in templates
	// that row groups share, and the bytes of their texts as they came.
	Values, Folded, TextBytes uint64
}

// TemplateUse tells of the templates of a level.
type TemplateUse struct {
	Shared, Own     int    // templates of the segment, and of row groups alone
	Items, OwnItems uint64 // spans, events or links; those with a row group's own template
	MostUsed        uint64 // items of the mostUsed shared templates that have the most
}

// mostUsed: whether a handful of templates stand for most spans is what folding lives on.
const mostUsed = 10

// Analyze reads what it takes: the footer's sections, and the templates of row groups' own.
func (s *Segment) Analyze() (Analysis, error) {
	a := Analysis{Info: s.info}
	parts, err := s.columnParts()
	if err != nil {
		return a, err
	}
	left := s.info.Bytes
	for _, p := range parts {
		left -= p.Bytes
	}
	for _, f := range s.filters {
		a.IndexBytes += int64(f.length)
	}
	parts = append(parts, Part{What: "filters of columns", Pages: len(s.filters), Bytes: a.IndexBytes})
	left -= a.IndexBytes
	for i, ref := range s.refs[:sectionsOf(s.version)] {
		if i == sectionTraceFilter || i == sectionTerms || i == sectionStanding || i == sectionFilters {
			a.IndexBytes += int64(ref.length)
		}
		parts = append(parts, Part{What: "section of " + sectionNames[i], Pages: 1, Bytes: int64(ref.length)})
		left -= int64(ref.length)
	}
	a.Parts = append(parts, Part{What: "header, footer and tail", Pages: 1, Bytes: left})
	slices.SortFunc(a.Parts, func(a, b Part) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.What, b.What)) })
	for _, level := range levels {
		if a.Templates[level], err = s.templateUse(level); err != nil {
			return a, err
		}
	}
	return a, nil
}

// columnParts gives the columns that have pages, and attribute columns that stand in templates
// alone.
func (s *Segment) columnParts() ([]Part, error) {
	counts, _, err := s.KeyCounts()
	if err != nil {
		return nil, err
	}
	byID := make(map[uint32]*Part)
	part := func(id uint32) *Part {
		if byID[id] == nil {
			byID[id] = &Part{What: s.columnName(id)}
		}
		return byID[id]
	}
	for i := range s.groups {
		for _, page := range s.groups[i].pages {
			p := part(page.column)
			p.Pages++
			p.Bytes += int64(page.length)
		}
	}
	ids := make(map[columnKey]uint32, len(s.columns))
	for i, c := range s.columns {
		ids[c] = uint32(colFixed + i)
	}
	for _, c := range counts {
		if id, ok := ids[columnKey{c.Level, c.Type, c.Key}]; ok {
			p := part(id)
			p.Values, p.TextBytes = c.Values, c.TextBytes
		}
	}
	for _, level := range levels {
		s.EachFolded(level, func(id uint32, _ []byte, _, items uint64) { part(id).Folded += items })
	}
	parts := make([]Part, 0, len(byID))
	for _, p := range byID {
		parts = append(parts, *p)
	}
	return parts, nil
}

func (s *Segment) templateUse(level span.Level) (use TemplateUse, err error) {
	rows := slices.Clone(s.templates[level].rows)
	slices.SortFunc(rows, func(a, b uint64) int { return cmp.Compare(b, a) })
	use.Shared = len(rows)
	for i, n := range rows {
		use.Items += n
		if i < mostUsed {
			use.MostUsed += n
		}
	}
	if use.Own, use.OwnItems, err = s.OwnTemplates(level); err != nil {
		return use, fmt.Errorf("templates of %ss: %w", level, err)
	}
	use.Items += use.OwnItems
	return use, nil
}
