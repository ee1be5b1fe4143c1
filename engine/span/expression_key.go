package span

import "strings"

// A key without a level means an attribute of any level: the span, its resource, its scope,
// one of its events or links; and what Tag tells of besides. With = it is a Tag. All else is
// written out as an or over the levels, so that the rules of Filter hold for it: a positive
// condition holds where one value passes, a negated one where there is a value and none does.

// anyKey is such a key on the left of an operator.
type anyKey string

func (anyKey) operand()         {}
func (k anyKey) String() string { return string(k) }

// meant is the field that a key of a Tag means besides, NoField for none.
func (k anyKey) meant() Field {
	switch k {
	case "error", "span.status", "otel.status_code":
		return SpanStatus
	case "span.kind":
		return SpanKind
	case "otel.status_description":
		return SpanStatusMessage
	case "w3c.tracestate":
		return SpanTraceState
	case "otel.scope.name", "scope.name":
		return ScopeName
	case "otel.scope.version", "scope.version":
		return ScopeVersion
	case "event":
		return EventName
	}
	return NoField
}

// attributes are the attributes of the key on all levels.
func (k anyKey) attributes() []Reference {
	list := make([]Reference, 0, Levels+1)
	for level := range Level(Levels) {
		list = append(list, Attribute{Level: level, Key: string(k)})
	}
	if key, ok := strings.CutPrefix(string(k), "resource."); ok && key != "" {
		list = append(list, Attribute{Level: ResourceLevel, Key: key})
	}
	return list
}

// any is an or over the levels.
func (k anyKey) any(of func(Reference) Filter) Filter {
	var parts []Filter
	for _, reference := range k.attributes() {
		parts = append(parts, of(reference))
	}
	return Or{Parts: parts}
}

// exists holds where there is a value.
func (k anyKey) exists() Filter {
	or, _ := k.any(func(r Reference) Filter { return Exists{Reference: r} }).(Or)
	if field := k.meant(); field != NoField {
		or.Parts = append(or.Parts, Exists{Reference: field})
	}
	return or
}

// unless is the negated form of a condition on the key.
func (k anyKey) unless(positive Filter) Filter {
	return And{Parts: []Filter{k.exists(), Not{Part: positive}}}
}

// compared is the comparison of a key with a constant, or with a reference.
func (k anyKey) compared(op Comparator, right Operand) Filter {
	if op == NotEqual {
		return k.unless(k.compared(Equal, right))
	}
	if c, ok := right.(Constant); ok && op == Equal && c.Type == UntypedConstant {
		return Tag{Key: string(k), Value: c.Text}
	}
	return k.any(func(r Reference) Filter { return Comparison{Op: op, Left: r, Right: right} })
}

// in is an or of tags where the constants have no type.
func (k anyKey) in(values []Constant) Filter {
	var tags []Filter
	var typed []Constant
	for _, c := range values {
		if c.Type == UntypedConstant {
			tags = append(tags, Tag{Key: string(k), Value: c.Text})
		} else {
			typed = append(typed, c)
		}
	}
	if len(typed) > 0 {
		tags = append(tags, k.any(func(r Reference) Filter { return In{Reference: r, Values: typed} }))
	}
	if len(tags) == 1 {
		return tags[0]
	}
	return Or{Parts: tags}
}

// matching is the pattern on the key, and on the text that the key means besides.
func (k anyKey) matching(pattern string) Filter {
	or, _ := k.any(func(r Reference) Filter { return Regex{Reference: r, Pattern: pattern} }).(Or)
	if field := k.meant(); field != NoField && k != "error" {
		or.Parts = append(or.Parts, Regex{Reference: field, Pattern: pattern})
	}
	return or
}

// reference reads a key without quotes that names a level: a field of it, or an attribute.
func (p *textParser) levelled(key string, at int) (Reference, bool) {
	name, rest, ok := strings.Cut(key, ".")
	level, isLevel := LevelOf(name)
	if !ok || !isLevel || rest == "" {
		return nil, false
	}
	if field, isField := FieldOf(level, rest); isField {
		return field, true
	}
	for f := NoField + 1; f < Fields; f++ {
		if f.Level() == level && strings.EqualFold(f.Name(), rest) {
			p.fail(at, "did you mean %v? The attribute is attr(%v, %q)", f, level, rest)
		}
	}
	return Attribute{Level: level, Key: rest}, true
}

// keyOperand tells what a key without quotes means on the left of an operator.
func (p *textParser) keyOperand(key string, at int, op string) Operand {
	if reference, ok := p.levelled(key, at); ok {
		return reference
	}
	if own := meantOwn(key); own != "" {
		p.fail(at, "did you mean %s? A tag %q goes in quotes", own, key)
	}
	switch {
	case key == "service":
		return ResourceService
	case key == "name" || key == "operation":
		return SpanName
	case isOwn(key):
		p.fail(at, "%s takes = alone", key)
	}
	if field, ok := FieldOf(SpanLevel, key); ok && op != "=" {
		p.fail(at, "did you mean %v? A tag %q goes in quotes", field, key)
	}
	return anyKey(key)
}
