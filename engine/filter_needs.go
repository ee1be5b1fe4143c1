package engine

import (
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// filterNeeds is what a filter reads of a batch.
type filterNeeds struct {
	fields [span.Fields]bool
	keys   [span.Levels]map[string]bool // of attributes, by level; nil where there are none
	some   [span.Levels]bool            // levels that a Some goes through
}

// needs gathers all references, whether they decide or not.
func (f *compiledFilter) needs() *filterNeeds {
	n := &filterNeeds{}
	n.gather(f.source)
	return n
}

func (n *filterNeeds) gather(f span.Filter) {
	switch f := f.(type) {
	case span.And:
		n.gatherAll(f.Parts)
	case span.Or:
		n.gatherAll(f.Parts)
	case span.Not:
		n.gather(f.Part)
	case span.Some:
		n.some[f.Level] = true
		n.gather(f.Part)
	case span.Comparison:
		n.reference(f.Left)
		n.reference(f.Right)
	case span.In:
		n.reference(f.Reference)
	case span.NotIn:
		n.reference(f.Reference)
	case span.Exists:
		n.reference(f.Reference)
	case span.Regex:
		n.reference(f.Reference)
	case span.Phrase:
		n.reference(f.Attribute)
	case span.FullText:
		n.reference(f.Attribute)
	case span.Tag:
		n.tag(f)
	}
}

func (n *filterNeeds) tag(f span.Tag) {
	t := newTagTest(f)
	for _, attribute := range t.attributes() {
		n.reference(attribute)
	}
	if field, _ := t.field(); field != span.NoField {
		n.reference(field)
	}
}

func (n *filterNeeds) gatherAll(parts []span.Filter) {
	for _, part := range parts {
		n.gather(part)
	}
}

func (n *filterNeeds) reference(o span.Operand) {
	switch o := o.(type) {
	case span.Field:
		n.fields[o] = true
	case span.Attribute:
		for _, level := range levelsOf(o) {
			if n.keys[level] == nil {
				n.keys[level] = make(map[string]bool)
			}
			n.keys[level][o.Key] = true
		}
	}
}

func levelsOf(a span.Attribute) []span.Level {
	if a.Unqualified {
		return []span.Level{span.SpanLevel, span.ResourceLevel}
	}
	return []span.Level{a.Level}
}

// columns widens a projection, which has Keys, to one that holds all of it.
func (n *filterNeeds) columns(p segment.Projection) segment.Projection {
	for _, level := range []span.Level{span.SpanLevel, span.EventLevel, span.LinkLevel} {
		for key := range n.keys[level] {
			p.Keys[key] = true
		}
	}
	p.Attrs = p.Attrs || n.keys[span.SpanLevel] != nil
	p.Events = p.Events || n.element(span.EventLevel)
	p.Links = p.Links || n.element(span.LinkLevel)
	p.Names = p.Names || n.fields[span.SpanName]
	p.Times = p.Times || n.fields[span.SpanStartTime] || n.fields[span.SpanEndTime] || n.fields[span.SpanDuration] || n.fields[span.EventTimeSinceStart]
	p.Identity = p.Identity || n.fields[span.SpanSpanID] || n.fields[span.SpanParentSpanID] || n.fields[span.SpanKind] ||
		n.fields[span.SpanStatus] || n.fields[span.SpanStatusMessage]
	p.All = p.All || n.fields[span.SpanTraceState] // few ask for it, so it has no part of its own
	return p
}

// element reports whether the elements of a level are looked at in any way.
func (n *filterNeeds) element(level span.Level) bool {
	if n.some[level] || n.keys[level] != nil {
		return true
	}
	for f := span.NoField + 1; f < span.Fields; f++ {
		if n.fields[f] && f.Level() == level {
			return true
		}
	}
	return false
}
