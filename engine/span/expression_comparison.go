package span

import "strings"

// comparison reads an operand, an operator and a value.
func (p *textParser) comparison() clause {
	begin := p.at
	quoted := p.isQuoted()
	left, key := p.leftOperand()
	if p.err != nil {
		return clause{}
	}
	end := p.at
	op := p.operator(key, begin)
	if p.err != nil {
		return clause{}
	}
	if op == "in" || op == "not in" {
		return clause{filter: p.membership(p.keyed(left, key, quoted, begin, op), begin, op == "not in")}
	}
	// KEY= with nothing after it is the empty value, as in the plain form.
	isEmpty := op == "=" && end+1 == p.at && (p.at == len(p.text) || isSpace(p.text[p.at]))
	if !isEmpty {
		p.skipSpace()
	}
	valueAt := p.at
	right := Operand(Untyped(""))
	if _, isConstant := left.(Constant); isConstant {
		right, _ = p.argument(true)
	} else if !isEmpty {
		right = p.value(op)
	}
	if p.err != nil {
		return clause{}
	}
	if value, ok := right.(Constant); ok && left == nil && !quoted && op == "=" && isOwn(key) && value.Type == UntypedConstant {
		return p.ownWord(ownWord{key: key, value: value.Text, at: begin, valueAt: valueAt})
	}
	left = p.keyed(left, key, quoted, begin, op)
	switch op {
	case "=~", "!~":
		return clause{filter: p.pattern(left, right, begin, valueAt, op == "!~")}
	}
	return clause{filter: p.compared(comparatorsOf[op], left, right, begin, valueAt)}
}

// keyed is the left operand, where a key was read instead the one that it means.
func (p *textParser) keyed(left Operand, key string, quoted bool, at int, op string) Operand {
	switch {
	case left != nil:
		return left
	case quoted:
		return anyKey(key)
	}
	return p.keyOperand(key, at, op)
}

// leftOperand reads what stands before an operator: a key, or a call that makes an operand.
func (p *textParser) leftOperand() (o Operand, key string) {
	begin := p.at
	if p.isQuoted() {
		key = p.quoted()
	} else if name := p.callName(); name != "" {
		if !operandCalls[name] {
			p.fail(begin, "%s( is nothing that is known here: one of %s", name, callNames())
			return nil, ""
		}
		return p.operandCall(name), ""
	} else {
		key = p.bareKey()
	}
	if p.err == nil && key == "" {
		p.failMissing(begin)
	}
	return nil, key
}

// failMissing says what stands where a condition should.
func (p *textParser) failMissing(at int) {
	switch {
	case at == len(p.text):
		p.fail(at, "expected a condition here, like KEY=VALUE")
	case p.text[at] == '=':
		p.fail(at, "a key is missing before =")
	default:
		p.fail(at, "expected a condition, like KEY=VALUE, not %s", p.text[at:at+1])
	}
}

var comparatorsOf = map[string]Comparator{"=": Equal, "!=": NotEqual, "<": Less, "<=": LessOrEqual, ">": Greater, ">=": GreaterOrEqual}

// operator reads what stands after an operand; key is the operand where it is one.
func (p *textParser) operator(key string, begin int) string {
	if p.keyword("in") {
		return "in"
	}
	before := p.at
	if p.keyword("not") {
		if p.keyword("in") {
			return "not in"
		}
		p.at = before
	}
	p.skipSpace()
	rest := p.text[p.at:]
	for _, op := range []string{"=~", "!~", "!=", "<=", ">=", "==", "=", "<", ">"} {
		if !strings.HasPrefix(rest, op) {
			continue
		}
		if op == "==" {
			p.fail(p.at+1, "a single = compares; a value that begins with one goes in quotes")
		}
		p.at += len(op)
		return op
	}
	switch lower := strings.ToLower(key); {
	case lower == "and" || lower == "or":
		p.fail(begin, "expected a condition before %s", key)
	case key == "&&" || key == "||":
		p.fail(begin, "write and or or, not %s", key)
	case key == "":
		p.fail(p.at, "expected one of = != < <= > >= =~ !~ in")
	default:
		p.fail(begin, "%q has no value: write KEY=VALUE, or another of = != < <= > >= =~ !~ in", key)
	}
	return ""
}

// value reads what stands after an operator.
func (p *textParser) value(op string) Operand {
	if p.isQuoted() {
		return Untyped(p.quoted())
	}
	if name := p.callName(); operandCalls[name] {
		return p.operandCall(name)
	}
	begin := p.at
	text := p.bareValue(op)
	if text == "" {
		p.fail(begin, "a value is missing here; an empty one is written \"\"")
	}
	return Untyped(text)
}

// compared makes a comparison, with constants read as the kind of what they stand beside.
func (p *textParser) compared(op Comparator, left, right Operand, leftAt, rightAt int) Filter {
	if _, isKey := right.(anyKey); isKey {
		op, left, right, leftAt, rightAt = op.Turned(), right, left, rightAt, leftAt
	}
	left, right = p.beside(left, right, leftAt), p.beside(right, left, rightAt)
	if p.err != nil {
		return nil
	}
	if key, ok := left.(anyKey); ok {
		if _, err := CheckComparison(op, Attribute{}, right); err != nil {
			p.fail(rightAt, "%s", reasonOf(err))
		}
		return key.compared(op, right)
	}
	if part, err := CheckComparison(op, left, right); err != nil {
		at := rightAt
		if part == 0 {
			at = leftAt
		}
		p.fail(at, "%s", reasonOf(err))
	}
	return Comparison{Op: op, Left: left, Right: right}
}

// beside is Constant.Beside for fields whose values are no mere texts: what stands beside a
// text, or beside a constant, stays as it was written.
func (p *textParser) beside(o, other Operand, at int) Operand {
	c, ok := o.(Constant)
	if !ok {
		return o
	}
	if field, isField := other.(Field); isField && (field.Domain() != TextDomain || field.Words() != nil) {
		read, err := c.Beside(field)
		if err != nil {
			p.fail(at, "%s", reasonOf(err))
		}
		return read
	}
	field, isField := other.(Field)
	if (c.Type == DurationConstant || c.Type == InstantConstant) && !(isField && field.Domain() == c.Domain()) {
		p.fail(at, "%v stands beside a field of its kind alone, like span.duration and span.startTime: no attribute is one", c.Domain())
	}
	return c
}

// reasonOf is an error without its kind.
func reasonOf(err error) string {
	return strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": ")
}

// pattern makes a Regex, or the negated form of one.
func (p *textParser) pattern(left, right Operand, leftAt, rightAt int, isNegated bool) Filter {
	text, ok := right.(Constant)
	if !ok || text.Type != UntypedConstant && text.Type != StringConstant {
		p.fail(rightAt, "expected a pattern")
		return nil
	}
	if err := CheckPattern(text.Text); err != nil {
		p.fail(rightAt, "%s", reasonOf(err))
	}
	if key, ok := left.(anyKey); ok {
		if isNegated {
			return key.unless(key.matching(text.Text))
		}
		return key.matching(text.Text)
	}
	reference := p.textual(left, leftAt)
	positive := Regex{Reference: reference, Pattern: text.Text}
	if isNegated {
		return And{Parts: []Filter{Exists{Reference: reference}, Not{Part: positive}}}
	}
	return positive
}

// textual wants a reference that may hold texts.
func (p *textParser) textual(o Operand, at int) Reference {
	reference, ok := o.(Reference)
	field, isField := o.(Field)
	switch {
	case !ok:
		p.fail(at, "expected a key or a field, not a constant")
	case isField && field.Domain() != TextDomain:
		p.fail(at, "a pattern matches text, and %v holds %v", field, field.Domain())
	}
	return reference
}

// membership reads the list of in and makes the filter.
func (p *textParser) membership(left Operand, leftAt int, isNegated bool) Filter {
	field, _ := left.(Field)
	values := p.constants(field)
	if p.err != nil {
		return nil
	}
	if key, ok := left.(anyKey); ok {
		if isNegated {
			return key.unless(key.in(values))
		}
		return key.in(values)
	}
	reference, ok := left.(Reference)
	if !ok {
		p.fail(leftAt, "expected a key or a field, not a constant")
		return nil
	}
	if isNegated {
		return NotIn{Reference: reference, Values: values}
	}
	return In{Reference: reference, Values: values}
}

// constants reads a list in ( ) or [ ], of values of a field or of any kind.
func (p *textParser) constants(field Field) (values []Constant) {
	p.skipSpace()
	begin, closing := p.at, byte(')')
	if !p.take('(') {
		closing = ']'
		if !p.take('[') {
			p.fail(begin, "expected a list, like (a, b)")
			return nil
		}
	}
	p.lists++
	for p.err == nil {
		p.skipSpace()
		at := p.at
		c, ok := p.value("in").(Constant)
		if !ok {
			p.fail(at, "a list holds constants")
			break
		}
		other := Operand(Attribute{})
		if field != NoField {
			other = field
		}
		c, _ = p.beside(c, other, at).(Constant)
		if _, err := CheckComparison(Equal, other, c); err != nil {
			p.fail(at, "%s", reasonOf(err))
		}
		values = append(values, c)
		if !p.take(',') {
			break
		}
	}
	p.lists--
	p.close(begin, closing)
	return values
}
