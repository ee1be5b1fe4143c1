package enginetest

import (
	"math"
	"strconv"

	"github.com/stoadb/stoa/engine/span"
)

// Filter makes a random filter about a span of the model: legal, and most often with leaves
// that hold on that span or just fail to.
func (g *Generator) Filter(m *Model) span.Filter {
	ids := m.TraceIDs()
	if len(ids) == 0 {
		return span.Exists{Reference: span.SpanName}
	}
	return g.filter(teller{row: pick(g, m.Trace(pick(g, ids))), event: -1, link: -1}, 3, nil)
}

// filter makes a tree at most depth deep; bound are the levels of Some around it.
func (g *Generator) filter(t teller, depth int, bound []span.Level) span.Filter {
	if depth == 0 {
		return g.leaf(t, bound)
	}
	parts := func() []span.Filter {
		list := make([]span.Filter, 2+g.rand.IntN(2))
		for i := range list {
			list[i] = g.filter(t, depth-1, bound)
		}
		return list
	}
	switch g.rand.IntN(8) {
	case 0:
		return span.And{Parts: parts()}
	case 1, 2:
		return span.Or{Parts: parts()}
	case 3:
		return span.Not{Part: g.filter(t, depth-1, bound)}
	case 4:
		level := pick(g, []span.Level{span.EventLevel, span.LinkLevel})
		for _, taken := range bound {
			if taken == level {
				return g.leaf(t, bound)
			}
		}
		return span.Some{Level: level, Part: g.filter(t, depth-1, append(bound[:len(bound):len(bound)], level))}
	}
	return g.leaf(t, bound)
}

var (
	patterns = []string{"a", "b.*m", "[Aa]", "GET|POST", "5..", "[0-9]+", "ro(ken|nt)", `\.`, "o{1,2}", "."}
	words    = []string{"a", "TRUE", "boom", "card", "Refused", "the", "try", "käse", "500", "was", "frontend"}
)

func (g *Generator) leaf(t teller, bound []span.Level) span.Filter {
	reference := g.reference(t, bound)
	attribute, isAttribute := reference.(span.Attribute)
	field, _ := reference.(span.Field)
	switch n := g.rand.IntN(18); {
	case n < 2:
		return span.Exists{Reference: reference}
	case n < 5:
		list := make([]span.Constant, 1+g.rand.IntN(3)*g.rand.IntN(5))
		for i := range list {
			list[i] = g.constant(t, reference)
		}
		if n == 2 {
			return span.NotIn{Reference: reference, Values: list}
		}
		return span.In{Reference: reference, Values: list}
	case n == 5 && (isAttribute || field.Domain() == span.TextDomain):
		return span.Regex{Reference: reference, Pattern: pick(g, patterns)}
	case n < 8 && isAttribute:
		list := g.words(t, attribute)
		if n == 6 {
			return span.Phrase{Attribute: attribute, Words: list}
		}
		return span.FullText{Attribute: attribute, Words: list}
	case n > 15:
		return g.tag(t)
	case n == 8:
		return g.ordered(span.Comparison{Left: reference, Right: g.like(t, reference, bound)})
	case n == 9 && g.rand.IntN(4) == 0:
		a, b := g.constant(t, reference), g.constant(t, reference)
		if a.Domain() == b.Domain() || a.Domain() == span.UnknownDomain || b.Domain() == span.UnknownDomain {
			return g.ordered(span.Comparison{Left: a, Right: b})
		}
	}
	c := span.Comparison{Left: reference, Right: g.constant(t, reference)}
	if g.rand.IntN(4) == 0 {
		c.Left, c.Right = c.Right, c.Left
	}
	return g.ordered(c)
}

// words are most often some that follow one another in a value of the attribute.
func (g *Generator) words(t teller, a span.Attribute) []string {
	list := make([]string, 1+g.rand.IntN(3))
	for _, v := range t.values(a) {
		text, _ := v.(string)
		if has := wordsIn(text); len(has) >= len(list) && g.rand.IntN(4) > 0 {
			begin := g.rand.IntN(len(has) - len(list) + 1)
			return has[begin : begin+len(list)]
		}
	}
	for i := range list {
		list[i] = pick(g, words)
	}
	return list
}

// ordered gives the comparison an operator that its operands allow.
func (g *Generator) ordered(c span.Comparison) span.Filter {
	c.Op = span.Comparator(g.rand.IntN(6))
	for _, o := range []span.Operand{c.Left, c.Right} {
		constant, isConstant := o.(span.Constant)
		field, isField := o.(span.Field)
		if isConstant && constant.Type == span.BoolConstant || isField && field.Words() != nil {
			c.Op = span.Comparator(g.rand.IntN(2))
		}
	}
	return c
}

// like is a second reference that may be compared with the first.
func (g *Generator) like(t teller, first span.Reference, bound []span.Level) span.Reference {
	for range 20 {
		second := g.reference(t, bound)
		a, aField := first.(span.Field)
		b, bField := second.(span.Field)
		if !aField || !bField || a.Domain() == b.Domain() {
			return second
		}
	}
	return first
}

// reference names something, most often of the teller's row; inside Some, most often of
// the level that it binds.
func (g *Generator) reference(t teller, bound []span.Level) span.Reference {
	if g.rand.IntN(2) == 0 {
		f := span.Field(1 + g.rand.IntN(span.Fields-1))
		for range 3 {
			if len(bound) > 0 && f.Level() != bound[len(bound)-1] {
				f = span.Field(1 + g.rand.IntN(span.Fields-1))
			}
		}
		return f
	}
	a := span.Attribute{Level: span.Level(g.rand.IntN(span.Levels)), Unqualified: g.rand.IntN(4) == 0}
	if len(bound) > 0 && g.rand.IntN(3) > 0 {
		a = span.Attribute{Level: bound[len(bound)-1]}
	}
	if a.Unqualified {
		a.Level = 0
	}
	for range 4 {
		if a.Key = pick(g, keys); len(t.values(a)) > 0 {
			break
		}
	}
	return a
}

// constant is a value that may stand beside the reference: one that it has on the teller's
// row, or a neighbour, or any.
func (g *Generator) constant(t teller, reference span.Reference) span.Constant {
	var value any = pick(g, texts)
	if values := t.values(reference); len(values) > 0 && g.rand.IntN(5) > 0 {
		value = pick(g, values)
	}
	field, isField := reference.(span.Field)
	if !isField {
		return g.attributeConstant(value)
	}
	switch {
	case field.Words() != nil:
		return span.OfString(pick(g, field.Words()))
	case field.Domain() == span.DurationDomain:
		d, _ := value.(durationHeld)
		return span.OfDuration(int64(g.near(uint64(d))))
	case field.Domain() == span.InstantDomain:
		return g.instant(value)
	}
	text, _ := value.(string)
	if g.rand.IntN(2) == 0 {
		return span.Untyped(text)
	}
	return span.OfString(text)
}

func (g *Generator) instant(value any) span.Constant {
	switch g.rand.IntN(12) {
	case 0:
		return span.OfInstant(-1, 999_999_999)
	case 1:
		return span.OfInstant(math.MaxUint64/1_000_000_000, 709_551_615+int32(g.rand.IntN(2)))
	case 2:
		return span.OfInstant(1<<40, 0)
	}
	at, ok := value.(instantHeld)
	if !ok {
		at = instant(baseTime)
	}
	nanos := g.near(at.Uint64())
	return span.OfInstant(int64(nanos/1_000_000_000), int32(nanos%1_000_000_000))
}

// attributeConstant spells a value in one of the ways that a caller may.
func (g *Generator) attributeConstant(value any) span.Constant {
	switch v := value.(type) {
	case int64:
		return pick(g, []span.Constant{
			span.OfInt(v), span.OfInt(v + 1), span.Untyped(strconv.FormatInt(v, 10)), span.OfDouble(float64(v)),
			span.Untyped(strconv.FormatFloat(float64(v), 'e', -1, 64)), span.OfString(strconv.FormatInt(v, 10)), span.Untyped("2.5"),
		})
	case float64:
		return pick(g, []span.Constant{
			span.OfDouble(v), span.OfDouble(v + 1), span.Untyped(strconv.FormatFloat(v, 'f', -1, 64)), span.OfInt(int64(v)),
			span.Untyped(strconv.FormatFloat(v, 'e', -1, 64)),
		})
	case bool:
		return pick(g, []span.Constant{span.OfBool(v), span.OfBool(!v), span.Untyped(strconv.FormatBool(v))})
	case string:
		return pick(g, []span.Constant{span.OfString(v), span.Untyped(v), span.Untyped(v + "0"), span.OfString(pick(g, texts))})
	case bytesHeld:
		return span.Untyped(string(v))
	case arrayHeld:
		return span.Untyped(string(v))
	case mapHeld:
		return span.Untyped(string(v))
	}
	return span.Untyped(pick(g, texts))
}
