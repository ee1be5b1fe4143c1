package segment

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// fixedNames tell the fixed columns in words; map columns are told by their parts.
var fixedNames = [colFixed]string{
	colStart: "start", colDuration: "duration", colResource: "resource", colTemplate: "template",
	colSpanID: "span id", colParent: "parent row", colParentID: "parent id elsewhere", colName: "name",
	colStatusMessage: "status message", colTraceState: "trace state", colResidue: "residue",
	colEventCount: "event count", colEventTime: "event time", colEventTemplate: "event template", colEventName: "event name",
	colEventResidue: "event residue",
	colLinkCount:    "link count", colLinkTraceID: "link trace id", colLinkSpanID: "link span id",
	colLinkTemplate: "link template", colLinkTraceState: "link trace state", colLinkResidue: "link residue",
}

var sectionNames = [sections]string{"resources", "scopes", "attribute columns", "templates", "row groups", "trace ids", "trace rows",
	"trace filter", "catalog", "keys", "terms", "filters of columns", "batch hashes"}

// columnName tells a column in words.
func (s *Segment) columnName(id uint32) string {
	if id >= colFixed {
		c := s.columns[id-colFixed]
		return fmt.Sprintf("%v %q %v", c.level, c.key, c.kind)
	}
	for _, level := range []span.Level{span.SpanLevel, span.EventLevel, span.LinkLevel} {
		if first := columnsOf(level).first; id >= first && id < first+4 {
			return level.String() + " map " + [...]string{"keys", "types", "numbers", "texts"}[id-first]
		}
	}
	return cmp.Or(fixedNames[id], fmt.Sprintf("column %d", id))
}

// isText reports a column of texts.
func (s *Segment) isText(id uint32) bool {
	return id < colFixed && textColumns[id] || id >= colFixed && s.columns[id-colFixed].kind.HasText()
}

// Use is what one column, or one other part of the file, takes.
type Use struct {
	What  string
	Pages int
	Bytes int64
}

// Ledger tells where the bytes of the file went, the largest part first; the sum is the
// file's size.
func (s *Segment) Ledger() []Use {
	byColumn := map[uint32]Use{}
	left := s.info.Bytes
	for i := range s.groups {
		for _, page := range s.groups[i].pages {
			use := byColumn[page.column]
			byColumn[page.column] = Use{s.columnName(page.column), use.Pages + 1, use.Bytes + int64(page.length)}
			left -= int64(page.length)
		}
	}
	var uses []Use
	for _, use := range byColumn {
		uses = append(uses, use)
	}
	uses = append(uses, Use{"tables, footer, header and tail", sections + 1, left})
	slices.SortFunc(uses, func(a, b Use) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.What, b.What)) })
	return uses
}
