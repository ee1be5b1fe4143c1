package engine

import (
	"cmp"
	"math"

	"github.com/stoadb/stoa/engine/span"
)

// comparison compiles a comparison. A constant on the left changes sides.
func (c *filterCompiler) comparison(f span.Comparison) (node, error) {
	if f.Op > span.GreaterOrEqual {
		return nil, invalidFilter("%v is no comparison", f.Op)
	}
	if f.Left == nil || f.Right == nil {
		return nil, invalidFilter("%v without an operand", f.Op)
	}
	if err := checkMeeting(f.Op, f.Left, f.Right); err != nil {
		return nil, err
	}
	op := f.Op
	left, leftConstant := f.Left.(span.Constant)
	right, rightConstant := f.Right.(span.Constant)
	switch {
	case leftConstant && rightConstant:
		return truth(constantsMeet(op, left, right)), nil
	case leftConstant:
		return c.against(op.Turned(), f.Right, left)
	case rightConstant:
		return c.against(op, f.Left, right)
	}
	return c.pair(op, f.Left, f.Right)
}

// checkMeeting refuses a comparison that no two values could answer: of different domains,
// or an ordering of what has none.
func checkMeeting(op span.Comparator, left, right span.Operand) error {
	l, lOrdered := domainOf(left)
	r, rOrdered := domainOf(right)
	if l != span.UnknownDomain && r != span.UnknownDomain && l != r {
		return invalidFilter("%v compares %v with %v", op, l, r)
	}
	if op.IsOrdering() && !(lOrdered && rOrdered) {
		return invalidFilter("%v: bools, kinds and statuses have no order", op)
	}
	// What is beside a time must be read as one by now: api does that.
	for _, pair := range [2][2]span.Operand{{left, right}, {right, left}} {
		constant, isConstant := pair[0].(span.Constant)
		field, isField := pair[1].(span.Field)
		if isConstant && isField && constant.Type == span.UntypedConstant && field.IsKnown() && field.Domain() != span.TextDomain {
			return invalidFilter("%v beside %v, which holds %v", constant, field, field.Domain())
		}
	}
	return nil
}

// domainOf gives what is known of an operand's values.
func domainOf(o span.Operand) (d span.Domain, isOrdered bool) {
	switch o := o.(type) {
	case span.Constant:
		return o.Domain(), o.Type != span.BoolConstant
	case span.Field:
		if o.IsKnown() {
			return o.Domain(), o.Words() == nil
		}
	}
	return span.UnknownDomain, true
}

func asReference(o span.Operand) span.Reference {
	reference, _ := o.(span.Reference) // sources refuses what is none
	return reference
}

// against compiles a comparison of a reference with a constant.
func (c *filterCompiler) against(op span.Comparator, operand span.Operand, constant span.Constant) (node, error) {
	reference := asReference(operand)
	if op.IsOrdering() {
		return c.test(reference, newOrderTest(op, constant))
	}
	test := &equalTest{}
	test.add(constant)
	equal, err := c.test(reference, test)
	if err != nil || op == span.Equal {
		return equal, err
	}
	return c.unless(equal, reference)
}

// pair compiles a comparison of two references.
func (c *filterCompiler) pair(op span.Comparator, left, right span.Operand) (node, error) {
	lefts, err := c.sources(asReference(left))
	if err != nil {
		return nil, err
	}
	rights, err := c.sources(asReference(right))
	if err != nil {
		return nil, err
	}
	positive := op
	if op == span.NotEqual {
		positive = span.Equal
	}
	var nodes anyOf
	for _, l := range lefts {
		for _, r := range rights {
			nodes = append(nodes, &pairLeaf{positive, l, r})
		}
	}
	if op == span.NotEqual {
		return c.unless(nodes, asReference(left), asReference(right))
	}
	return nodes, nil
}

// constantsMeet answers a comparison of two constants.
func constantsMeet(op span.Comparator, left, right span.Constant) bool {
	if left.Type == span.UntypedConstant && right.Type != span.UntypedConstant {
		left, right, op = right, left, op.Turned()
	}
	switch {
	case left.Type == span.UntypedConstant: // and the other too
		return untypedMeet(op, left.Text, right.Text)
	case left.Type == span.InstantConstant && right.Type == span.InstantConstant:
		return inOrder(op, cmp.Or(cmp.Compare(left.Int, right.Int), cmp.Compare(left.Nanos, right.Nanos)))
	}
	value := constantValue(left)
	if op.IsOrdering() {
		return newOrderTest(op, right).passes(nil, &value)
	}
	test := &equalTest{}
	test.add(right)
	return test.passes(nil, &value) == (op == span.Equal)
}

// untypedMeet compares two texts as numbers where both are, as texts otherwise.
func untypedMeet(op span.Comparator, left, right string) bool {
	l, isLeft := readNumber(left)
	r, isRight := readNumber(right)
	if !isLeft || !isRight {
		return inOrder(op, cmp.Compare(left, right))
	}
	value := filterValue{kind: doubleKind, bits: math.Float64bits(l.double)}
	if l.isInt {
		value = filterValue{kind: intKind, bits: uint64(l.int)}
	}
	order, _ := r.order(&value)
	return inOrder(op, order)
}

// constantValue is a typed constant as a value of a span, but for instants.
func constantValue(c span.Constant) filterValue {
	switch c.Type {
	case span.StringConstant:
		return filterValue{kind: textKind, text: []byte(c.Text)}
	case span.IntConstant:
		return filterValue{kind: intKind, bits: uint64(c.Int)}
	case span.DoubleConstant:
		return filterValue{kind: doubleKind, bits: math.Float64bits(c.Double)}
	case span.BoolConstant:
		return filterValue{kind: boolKind, bits: uint64(c.Int & 1)}
	case span.DurationConstant:
		return filterValue{kind: durationKind, bits: uint64(c.Int)}
	}
	return filterValue{kind: emptyKind}
}
