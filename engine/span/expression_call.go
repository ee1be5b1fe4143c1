package span

import (
	"slices"
	"strings"
	"time"
	"unicode"
)

// Calls, as the canonical text of a filter has them:
//
//	and(A, B ...)  or(A, B ...)  not(A)  some(event, A)
//	eq(X, Y)  ne  lt  lte  gt  gte       of keys, fields and constants
//	in(X, [V, ...])  not_in  exists(X)  regex(X, "PATTERN")
//	phrase(X, "WORDS ...")  fulltext     of an attribute; or with a list of words
//	tag("KEY", "VALUE")                  KEY=VALUE of the plain form
//
// In a call a constant stands in quotes or has its type; what has neither is a key first, and
// a key of a level, or a field, anywhere.

// calls reads what stands between the parentheses; begin is where the call begins.
var calls map[string]func(p *textParser, begin int) Filter

func init() { // the table and what it calls know each other
	calls = map[string]func(p *textParser, begin int) Filter{
		"and": func(p *textParser, begin int) Filter {
			return And{Parts: p.parts(begin, "and")}
		},
		"or": func(p *textParser, begin int) Filter {
			return Or{Parts: p.parts(begin, "or")}
		},
		"some": (*textParser).someCall,
		"in": func(p *textParser, _ int) Filter {
			return p.membershipCall(false)
		},
		"not_in": func(p *textParser, _ int) Filter {
			return p.membershipCall(true)
		},
		"exists":   (*textParser).existsCall,
		"regex":    (*textParser).regexCall,
		"phrase":   func(p *textParser, _ int) Filter { return p.wordsCall(true) },
		"fulltext": func(p *textParser, _ int) Filter { return p.wordsCall(false) },
		"tag":      (*textParser).tagCall,
	}
	for op, name := range comparatorNames {
		calls[name] = func(p *textParser, _ int) Filter { return p.comparisonCall(Comparator(op)) }
	}
}

// callNames lists what can stand before a parenthesis.
func callNames() string {
	var names []string
	for name := range calls {
		names = append(names, name)
	}
	for name := range operandCalls {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (p *textParser) parts(begin int, what string) []Filter {
	var parts []Filter
	for {
		parts = append(parts, p.within(p.expression(), what))
		if p.err != nil || !p.take(',') {
			break
		}
	}
	if len(parts) < 2 {
		p.fail(begin, "%s( ) wants two conditions or more, with a comma between them", what)
	}
	return parts
}

func (p *textParser) comma() {
	if p.err == nil && !p.take(',') {
		p.fail(p.at, "expected a comma here")
	}
	p.skipSpace()
}

func (p *textParser) someCall(int) Filter {
	p.skipSpace()
	at := p.at
	level, ok := LevelOf(p.bareKey())
	if !ok || level != EventLevel && level != LinkLevel {
		p.fail(at, "some is of event or link: some(event, CONDITION)")
		return nil
	}
	if p.bound[level] {
		p.fail(at, "a some over %vs stands inside another: which of the two a key means is not defined", level)
	}
	p.comma()
	p.bound[level] = true
	part := p.within(p.expression(), "some")
	p.bound[level] = false
	return Some{Level: level, Part: part}
}

func (p *textParser) existsCall(int) Filter {
	o, at := p.argument(true)
	switch o := o.(type) {
	case anyKey:
		return o.exists()
	case Reference:
		return Exists{Reference: o}
	}
	p.fail(at, "expected a key or a field")
	return nil
}

func (p *textParser) regexCall(int) Filter {
	left, leftAt := p.argument(true)
	p.comma()
	at := p.at
	return p.pattern(left, Untyped(p.textArgument()), leftAt, at, false)
}

func (p *textParser) comparisonCall(op Comparator) Filter {
	p.skipSpace()
	isConstant := p.isQuoted()
	left, leftAt := p.argument(!isConstant)
	p.comma()
	right, rightAt := p.argument(false)
	if p.err != nil {
		return nil
	}
	return p.compared(op, left, right, leftAt, rightAt)
}

func (p *textParser) membershipCall(isNegated bool) Filter {
	left, at := p.argument(true)
	p.comma()
	if p.err != nil {
		return nil
	}
	return p.membership(left, at, isNegated)
}

func (p *textParser) tagCall(int) Filter {
	p.skipSpace()
	key := p.textArgument()
	p.comma()
	return Tag{Key: key, Value: p.textArgument()}
}

// wordsCall reads phrase and fulltext: the words are those of a text, or a list of them.
func (p *textParser) wordsCall(isPhrase bool) Filter {
	left, leftAt := p.argument(true)
	p.comma()
	at := p.at
	var words []string
	if p.err == nil && p.at < len(p.text) && p.text[p.at] == '[' {
		for _, c := range p.constants(NoField) {
			words = append(words, c.Text)
		}
	} else {
		words = strings.FieldsFunc(p.textArgument(), func(c rune) bool {
			return c == unicode.ReplacementChar || !unicode.IsLetter(c) && !unicode.IsDigit(c) && !unicode.IsMark(c)
		})
	}
	if len(words) == 0 || len(words) > WordsMax {
		p.fail(at, "%d words, want 1 to %d", len(words), WordsMax)
	}
	for _, word := range words {
		if err := CheckWord(word); err != nil {
			p.fail(at, "%s", reasonOf(err))
		}
	}
	of := func(r Reference) Filter {
		a, ok := r.(Attribute)
		switch {
		case !ok:
			p.fail(leftAt, "words are looked for in attributes; fields are short: = and =~ ask for them")
			return nil
		case isPhrase:
			return Phrase{Attribute: a, Words: words}
		}
		return FullText{Attribute: a, Words: words}
	}
	if key, ok := left.(anyKey); ok {
		return key.any(of)
	}
	reference, ok := left.(Reference)
	if !ok {
		p.fail(leftAt, "expected a key")
		return nil
	}
	return of(reference)
}

// argument reads an operand of a call; of one that must be a reference quotes make a key.
func (p *textParser) argument(isReference bool) (o Operand, at int) {
	p.skipSpace()
	at = p.at
	if p.err != nil {
		return nil, at
	}
	if p.isQuoted() {
		text := p.quoted()
		if isReference {
			return anyKey(text), at
		}
		return Untyped(text), at
	}
	if name := p.callName(); name != "" {
		if !operandCalls[name] {
			p.fail(at, "%s( is no key and no constant", name)
			return nil, at
		}
		return p.operandCall(name), at
	}
	key := p.bareKey()
	switch reference, ok := p.levelled(key, at); {
	case key == "":
		p.fail(at, "expected a key or a constant here")
	case ok:
		return reference, at
	case isReference:
		return p.keyOperand(key, at, "call"), at
	default:
		p.fail(at, "in a call a constant goes in quotes or has its type, and a key here is attr(%q)", key)
	}
	return nil, at
}

// textArgument reads a text of a call.
func (p *textParser) textArgument() string {
	p.skipSpace()
	if p.err == nil && !p.isQuoted() {
		p.fail(p.at, "expected a text in quotes")
	}
	if p.err != nil {
		return ""
	}
	return p.quoted()
}

// operandCalls make references and constants.
var operandCalls = map[string]bool{"attr": true, "string": true, "int": true, "double": true, "bool": true, "duration": true, "instant": true}

// operandCall reads one, from its name.
func (p *textParser) operandCall(name string) (o Operand) {
	begin := p.at
	p.at += len(name) + 1
	p.lists++
	defer func() {
		p.lists--
		p.close(begin+len(name), ')')
	}()
	p.skipSpace()
	at := p.at
	if name == "attr" {
		return p.attrCall(at)
	}
	text := ""
	if p.isQuoted() {
		text = p.quoted()
	} else if end := strings.IndexByte(p.text[at:], ')'); end >= 0 && name != "string" {
		text, p.at = strings.TrimSpace(p.text[at:at+end]), at+end
	} else {
		p.fail(at, "expected a text in quotes")
	}
	var c Constant
	var err error
	switch name {
	case "duration":
		var d time.Duration
		if d, err = time.ParseDuration(text); err != nil {
			p.fail(at, "%.100q is not a duration such as 10ms, 1.5s or 2m", text)
		}
		c = OfDuration(int64(d))
	case "instant":
		c, err = ReadInstant(text)
	default:
		c, err = ReadConstant(name, text)
	}
	if err != nil {
		p.fail(at, "%s", reasonOf(err))
	}
	return c
}

func (p *textParser) attrCall(at int) Operand {
	a := Attribute{Unqualified: true}
	if !p.isQuoted() {
		level, ok := LevelOf(p.bareKey())
		if !ok {
			p.fail(at, "expected attr(%q) or attr(LEVEL, %q), of span, resource, scope, event or link", "KEY", "KEY")
			return nil
		}
		a = Attribute{Level: level}
		p.comma()
	}
	if a.Key = p.textArgument(); a.Key == "" {
		p.fail(at, "an attribute without a key")
	}
	return a
}
