package segment

import (
	"math/bits"

	"github.com/stoadb/stoa/engine/span"
)

// Projection says which columns a read fills. TraceIDs, ResourceIDs, ScopeIDs and the
// tables they point to are always there; a slice that was not asked for stays nil.
type Projection struct {
	Times    bool // Starts, Ends
	Names    bool // Names
	Identity bool // SpanIDs, ParentIDs, Kinds, StatusCodes, StatusMessages, StatusPresent
	Attrs    bool // AttrEnds, AttrIDs, Attrs
	Events   bool // EventEnds, Events, EventAttrs
	Links    bool // LinkEnds, Links, LinkAttrs
	All      bool // every column, with those that no other field names
	// Services says that of resources the service alone is asked for, and of scopes nothing: both
	// stand in their tables with nothing else.
	Services bool
	// Messages says that of resources and scopes the attributes are not asked for beside their
	// messages, which tell them.
	Messages bool
	// Bare says, with All and for whole row groups, that the rows are for a Writer and for Compare
	// alone: they may come without what stands in templates, resources and scopes.
	Bare bool
	// Keys narrows the attributes of spans, events and links to these keys; nil is all. With
	// it, lists hold the attributes asked for in their order, and no others.
	Keys map[string]bool
	// Write, where set, has ReadRows, with All, write the attributes of spans: Written and WrittenEnds instead of
	// AttrEnds, AttrIDs and Attrs. Rows whose attributes cannot be written, or take very much,
	// have lists all the same, and with them all that are read at once. A process has one AttrWriter:
	// of each template what it wrote is kept.
	Write span.AttrWriter
	// Pages, where set, is told what ReadRows opened.
	Pages *PageCounts
}

// PageCounts tells how many pages of a row group were read from the file, and how many were
// open already.
type PageCounts struct{ Read, Kept int }

// columnSet is a set of fixed columns.
type columnSet uint64

func (c columnSet) has(col int) bool { return c>>col&1 != 0 }

func setOf(cols ...int) columnSet {
	set := columnSet(0)
	for _, col := range cols {
		set |= 1 << col
	}
	return set
}

const mapColumns = columnSet(0b1111)

// The fixed columns by what asks for them. Attribute columns come on top.
var (
	setAlways   = setOf(colResource, colTemplate)
	setTimes    = setOf(colStart, colDuration)
	setIdentity = setOf(colSpanID, colParent, colParentID, colStatusMessage)
	setAttrs    = mapColumns << colAttrMap
	setEvents   = setOf(colStart, colEventCount, colEventTime, colEventTemplate, colEventResidue) | mapColumns<<colEventMap
	setLinks    = setOf(colLinkCount, colLinkTraceID, colLinkSpanID, colLinkTemplate, colLinkTraceState, colLinkResidue) |
		mapColumns<<colLinkMap
)

// normal gives p with All written out.
func (p Projection) normal() Projection {
	if p.All {
		p.Times, p.Names, p.Identity, p.Attrs, p.Events, p.Links = true, true, true, true, true, true
	}
	return p
}

// fixed gives the fixed columns that p reads.
func (p Projection) fixed() columnSet {
	if p.All {
		return ^columnSet(0)
	}
	set := setAlways
	for _, part := range []struct {
		asked bool
		set   columnSet
	}{{p.Times, setTimes}, {p.Identity, setIdentity}, {p.Attrs, setAttrs}, {p.Events, setEvents}, {p.Links, setLinks}} {
		if part.asked {
			set |= part.set
		}
	}
	return set
}

// level reports whether p asks for the attributes of a level.
func (p Projection) level(level span.Level) bool {
	switch level {
	case span.SpanLevel:
		return p.Attrs
	case span.EventLevel:
		return p.Events
	default:
		return p.Links
	}
}

// plan gives the pages of a group that p reads, in the order of the file.
func (s *Segment) plan(g *groupRef, p Projection) []pageRef {
	fixed := p.fixed()
	pages := make([]pageRef, 0, bits.OnesCount64(uint64(fixed))+16)
	for _, page := range g.pages {
		if page.column < colFixed {
			if fixed.has(int(page.column)) {
				pages = append(pages, page)
			}
			continue
		}
		if c := s.columns[page.column-colFixed]; p.level(c.level) && (p.Keys == nil || p.Keys[c.key]) {
			pages = append(pages, page)
		}
	}
	return pages
}
