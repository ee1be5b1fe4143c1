package segment

import (
	"fmt"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
)

// form tells in words how a page of a column stands, after how many values it has.
func (s *Segment) form(g *groupRef, id uint32, counts map[uint32]int, payload []byte) string {
	values := ""
	if n, known := counts[id]; known {
		values = fmt.Sprintf("%d values, ", n)
	}
	for _, level := range levels {
		if id != columnsOf(level).template {
			continue
		}
		if g.local[level] > 0 {
			return fmt.Sprintf("%sa table of %d templates, then codes", values, g.local[level])
		}
		return values + "codes as " + column.IntsForm(payload)
	}
	switch {
	case id == colSpanID || id == colParentID || id == colLinkSpanID:
		return fmt.Sprintf("%d ids of 8 bytes", len(payload)/8)
	case id == colLinkTraceID:
		return fmt.Sprintf("%d ids of 16 bytes", len(payload)/16)
	case s.isText(id):
		return values + column.TextsForm(payload)
	default:
		return values + column.IntsForm(payload)
	}
}

// sectionWords tells what a section holds; it was read before.
func (s *Segment) sectionWords(i int, payload []byte) string {
	switch i {
	case sectionResources:
		return fmt.Sprint(len(s.resources.Resources))
	case sectionScopes:
		return fmt.Sprint(len(s.scopes.Scopes))
	case sectionColumns:
		return fmt.Sprint(len(s.columns))
	case sectionTemplates:
		return fmt.Sprintf("%d of spans, %d of events, %d of links",
			s.templates[span.SpanLevel].len(), s.templates[span.EventLevel].len(), s.templates[span.LinkLevel].len())
	case sectionGroups:
		return fmt.Sprint(len(s.groups))
	case sectionTraceIDs:
		return fmt.Sprintf("%d, sorted", len(payload)/16)
	case sectionTraceRows:
		return "first row and rows of each trace"
	case sectionTraceFilter:
		return "of the trace ids"
	case sectionCatalog:
		if !s.catalog.Complete() {
			return "too many operations"
		}
		return fmt.Sprintf("%d services, %d operations", len(s.catalog.Services()), len(s.catalog.Operations("")))
	case sectionKeys:
		counts, complete, _ := index.DecodeKeyCounts(payload) // it was read before without an error
		if !complete {
			return "too many keys"
		}
		return fmt.Sprintf("%d attribute keys", len(counts))
	case sectionTerms:
		return termsWords(payload, s.templatesMost())
	case sectionStanding:
		return termsWords(payload, s.templates[span.SpanLevel].len())
	case sectionFilters:
		return s.filtersWords()
	case sectionEdgeCells, sectionOperationCells:
		cells, _ := s.decodeCells(i, payload) // it was read before without an error
		return cells.words()
	default:
		hashes, _ := decodeHashes(payload) // it was read before without an error
		return fmt.Sprint(len(hashes))
	}
}

func termsWords(payload []byte, templates int) string {
	terms, err := index.OpenTerms(payload, templates)
	if err != nil {
		return err.Error()
	}
	n := 0
	for _, id := range terms.Columns() {
		if err := terms.Each(id, func([]byte, index.Postings) error { n++; return nil }); err != nil {
			return err.Error()
		}
	}
	return fmt.Sprintf("%d of columns %s", n, listed(terms.Columns()))
}

func (s *Segment) filtersWords() string {
	ids := make([]uint32, len(s.filters))
	for i, f := range s.filters {
		ids[i] = f.column
	}
	return "of columns " + listed(ids)
}

// words tells how many cells there are, and of which steps.
func (c *Cells) words() string {
	if c == nil {
		return "none, the rows tell it"
	}
	return fmt.Sprintf("%d, a step is %s, %d sizes of durations", len(c.cells), c.stepWords(), len(c.sizes))
}

func (c *Cells) stepWords() string {
	switch c.Step {
	case 0:
		return "all time"
	case 60e9:
		return "a minute"
	case 600e9:
		return "ten minutes"
	case 3600e9:
		return "an hour"
	default:
		return "a day"
	}
}

// listed writes cells, the first ones of many.
func (c *Cells) listed() (lines []string) {
	if c == nil {
		return nil
	}
	for i := range c.cells[:min(len(c.cells), listedMax)] {
		cell := &c.cells[i]
		who := ""
		if c.Services != nil {
			who = fmt.Sprintf("%q calls %q, kind %d", c.Services[cell.Parent], c.Services[cell.Callee], cell.Kind)
		} else {
			o := c.Operations[cell.Callee]
			who = fmt.Sprintf("%q of %q, kind %d", o.Name, o.Service, o.Kind)
		}
		var d span.Durations
		c.AddTo(&d, i)
		lines = append(lines, fmt.Sprintf("from %d: %s: %d spans, %d errors, %d ns median", cell.Start, who, cell.Spans, cell.Errors, d.Quantile(0.5)))
	}
	if more := len(c.cells) - listedMax; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more cells", more))
	}
	return lines
}
