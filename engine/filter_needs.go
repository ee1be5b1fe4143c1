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

// filterTerm is a condition on one value that an index can look up: an attribute or a field
// equals a constant, or, without one, is there at all. What equals is said by span.Constant;
// an event's or a link's holds where any of them does.
type filterTerm struct {
	level    span.Level
	field    span.Field // NoField for an attribute
	key      string
	hasValue bool
	value    span.Constant
}

// filterClause is a list of terms of which every span that matches satisfies at least one.
// An empty clause would match nothing; there are none.
type filterClause []filterTerm

// clauseTermsMax bounds a clause: one that many terms satisfy prunes little, and each is a
// look-up.
const clauseTermsMax = 256

// necessary gives clauses that every matching span satisfies, each of them. They are
// conservative: a span that satisfies all may still not match, and a filter of which
// nothing can be said has none.
func (f *compiledFilter) necessary() []filterClause { return clausesOf(f.source) }

func clausesOf(f span.Filter) []filterClause {
	switch f := f.(type) {
	case span.And:
		var all []filterClause
		for _, part := range f.Parts {
			all = append(all, clausesOf(part)...)
		}
		return all
	case span.Or:
		return eitherClause(f.Parts)
	case span.Some:
		return clausesOf(f.Part) // of one element: so of any
	case span.Comparison:
		return comparisonClauses(f)
	case span.In:
		var clause filterClause
		for _, value := range f.Values {
			clause = append(clause, termsOf(f.Reference, &value)...)
		}
		if len(clause) > clauseTermsMax {
			clause = termsOf(f.Reference, nil)
		}
		return []filterClause{clause}
	case span.NotIn:
		return presence(f.Reference)
	case span.Exists:
		return presence(f.Reference)
	case span.Regex:
		return presence(f.Reference)
	case span.Phrase:
		return presence(f.Attribute)
	case span.FullText:
		return presence(f.Attribute)
	}
	return nil // Not: what it lacks is no look-up
}

// eitherClause takes the clause with the fewest terms of each part: one of the parts holds,
// so one of these clauses does.
func eitherClause(parts []span.Filter) []filterClause {
	var either filterClause
	for _, part := range parts {
		var best filterClause
		for _, clause := range clausesOf(part) {
			if best == nil || len(clause) < len(best) || len(clause) == len(best) && clause[0].hasValue && !best[0].hasValue {
				best = clause
			}
		}
		if best == nil || len(either)+len(best) > clauseTermsMax {
			return nil
		}
		either = append(either, best...)
	}
	return []filterClause{either}
}

func comparisonClauses(f span.Comparison) []filterClause {
	left, right := f.Left, f.Right
	if _, isConstant := left.(span.Constant); isConstant {
		left, right = right, left
	}
	reference, ok := left.(span.Reference)
	if !ok {
		return nil // two constants
	}
	constant, isConstant := right.(span.Constant)
	switch {
	case isConstant && f.Op == span.Equal:
		return []filterClause{termsOf(reference, &constant)}
	case isConstant:
		return presence(reference)
	}
	return append(presence(reference), presence(right)...)
}

func presence(o span.Operand) []filterClause { return []filterClause{termsOf(o, nil)} }

func termsOf(o span.Operand, value *span.Constant) filterClause {
	term := filterTerm{}
	if value != nil {
		term.hasValue, term.value = true, *value
	}
	if field, ok := o.(span.Field); ok {
		term.field, term.level = field, field.Level()
		return filterClause{term}
	}
	attribute, _ := o.(span.Attribute)
	term.key = attribute.Key
	var clause filterClause
	for _, level := range levelsOf(attribute) {
		term.level = level
		clause = append(clause, term)
	}
	return clause
}
