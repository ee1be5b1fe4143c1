package segment

import (
	"cmp"
	"fmt"

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
	"trace filter", "catalog", "keys", "terms", "filters of columns", "batch hashes", "cells of edges", "cells of operations", "standing terms"}

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
