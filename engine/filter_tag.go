package engine

import (
	"math"
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// A tag stands in a query for itself or in its filter. There it is an or of leaves: one for
// the attribute on each level and one for the meaning that the key has beside it.

// tag compiles one.
func (c *filterCompiler) tag(f span.Tag) (node, error) {
	t := newTagTest(f)
	test := t.asEqual()
	var any anyOf
	for _, reference := range t.attributes() {
		leaf, err := c.test(reference, test)
		if err != nil {
			return nil, err
		}
		any = append(any, leaf)
	}
	if field, word := t.field(); field != span.NoField {
		meant := &equalTest{}
		meant.add(span.OfString(word))
		leaf, err := c.test(field, meant)
		if err != nil {
			return nil, err
		}
		if t.special == errorFalse {
			leaf = notNode{leaf}
		}
		any = append(any, leaf)
	}
	return any, nil
}

// asEqual is the test of a value as valueIs has it: what has one spelling is compared as it
// stands, all else by its text.
func (t *tagTest) asEqual() *equalTest {
	test := &equalTest{isTag: true}
	test.texts.add(t.value)
	test.spelled.add(t.value)
	if t.isInt {
		test.ints.add(t.intValue)
	}
	if t.isBool {
		test.bools[t.boolValue] = true
	}
	return test
}

// attributes are those that the tag may name.
func (t *tagTest) attributes() []span.Attribute {
	var list []span.Attribute
	for level := range span.Level(span.Levels) {
		list = append(list, span.Attribute{Level: level, Key: t.key})
	}
	if t.prefixed {
		list = append(list, span.Attribute{Level: span.ResourceLevel, Key: t.resourceKey})
	}
	return list
}

// field is what the key means beside the attributes, and the word that it must be; for
// errorFalse, must not be.
func (t *tagTest) field() (f span.Field, word string) {
	switch t.special {
	case errorTrue, errorFalse:
		return span.SpanStatus, span.StatusWords[span.StatusError]
	case kindIs:
		return span.SpanKind, span.KindWords[t.number]
	case statusIs:
		return span.SpanStatus, span.StatusWords[t.number]
	case statusMessageIs:
		return span.SpanStatusMessage, t.value
	case traceStateIs:
		return span.SpanTraceState, t.value
	case scopeNameIs:
		return span.ScopeName, t.value
	case scopeVersionIs:
		return span.ScopeVersion, t.value
	case eventNameIs:
		return span.EventName, t.value
	}
	return span.NoField, ""
}

// lifted moves what a query can ask without a filter out of one, as far as it stands in an
// and at the root: tags, the service, the name and bounds of the duration. What is left may
// be nothing. So a question costs the same whichever way it was spelled.
func lifted(f span.Filter, q *span.Query) span.Filter {
	switch f := f.(type) {
	case span.And:
		var left []span.Filter
		for _, part := range f.Parts {
			if part = lifted(part, q); part != nil {
				left = append(left, part)
			}
		}
		switch len(left) {
		case 0:
			return nil
		case 1:
			return left[0]
		}
		return span.And{Parts: left}
	case span.Tag:
		if len(q.Tags) < span.TagsMax {
			q.Tags = append(slices.Clip(q.Tags), f)
			return nil
		}
	case span.Comparison:
		if isLifted(f, q) {
			return nil
		}
	}
	return f
}

// isLifted lifts a comparison of a field with a constant, which may stand on either side.
func isLifted(f span.Comparison, q *span.Query) bool {
	op, reference, constant := f.Op, f.Left, f.Right
	if _, turned := reference.(span.Constant); turned {
		op, reference, constant = op.Turned(), f.Right, f.Left
	}
	c, ok := constant.(span.Constant)
	if !ok {
		return false
	}
	switch reference {
	case span.ResourceService:
		return op == span.Equal && liftText(&q.Service, c)
	case span.SpanName:
		return op == span.Equal && liftText(&q.Name, c)
	case span.SpanDuration:
		switch {
		case op == span.Greater && c.Int < math.MaxInt64:
			op, c.Int = span.GreaterOrEqual, c.Int+1
		case op == span.Less && c.Int > math.MinInt64:
			op, c.Int = span.LessOrEqual, c.Int-1
		}
		if c.Int <= 0 && op == span.GreaterOrEqual {
			return true // of every span
		}
		if c.Int > 0 && (op == span.GreaterOrEqual || op == span.LessOrEqual) {
			narrowDuration(q, op, c.Int)
			return true
		}
	}
	return false
}

// liftText sets what a query asks, where it asks nothing yet: an empty text there is no
// question.
func liftText(dst *string, c span.Constant) bool {
	if *dst != "" && *dst != c.Text || c.Text == "" {
		return false
	}
	*dst = c.Text
	return true
}
