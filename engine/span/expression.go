package span

import (
	"fmt"
	"strings"
	"time"
)

// What somebody types to find traces has two forms, and both come to one Filter and a range
// of time.
//
// The plain form is words KEY=VALUE, all of which hold on one span. A text that is nothing
// but such words is always read so, whatever stands in them.
//
//	service=frontend error=true http.status_code=500 minDuration=10ms since=1h
//
// All else is an expression:
//
//	expression  one or more of and-lists, with "or" between them
//	and-list    one or more conditions; "and" between them may be left out
//	condition   "not" condition
//	            "(" expression ")"
//	            operand operator value
//	            operand ["not"] "in" "(" value "," ... ")"
//	            call, see expression_call.go
//	operand     KEY              an attribute of any level, as in the plain form
//	            LEVEL.KEY        an attribute of one level, or a field of it
//	            attr("KEY")      an attribute of the span or its resource
//	            attr(LEVEL, "KEY")
//	operator    = != < <= > >= =~ !~
//	value       TEXT, "TEXT" or 'TEXT'; int(5) double(2.5) bool(true) string("x")
//
// The canonical text of a filter is an expression: what Text gives is read as the same tree.
// docs/find.md tells of it for who types.

// TextError is what is wrong with a text, and where.
type TextError struct {
	Text   string
	Offset int // bytes
	Reason string
}

func (e *TextError) Error() string {
	return fmt.Sprintf("%s (character %d)", e.Reason, e.Column())
}

// Column is the place in characters, from 1.
func (e *TextError) Column() int { return len([]rune(e.Text[:e.Offset])) + 1 }

// Unwrap says that asking again is of no use.
func (e *TextError) Unwrap() error { return ErrInvalid }

// Limits of a query's text.
const (
	// TextBytesMax is the longest text: more is hardly typed, and a filter of all its nodes fits.
	TextBytesMax = 1 << 20
	// textDepthMax bounds the parentheses that stand one inside the other: reading recurses.
	// A filter may be less deep.
	textDepthMax = 128
)

// ParseQuery reads either form. The query has the range of time, the filter and the default
// limit; now is what since counts back from. The error is a TextError.
func ParseQuery(text string, now time.Time) (Query, error) {
	q := AllTime()
	if len(text) > TextBytesMax {
		return q, &TextError{text, TextBytesMax, fmt.Sprintf("the text has %d bytes, at most %d", len(text), TextBytesMax)}
	}
	p := &textParser{text: text, now: now}
	c, ok := p.plain()
	if !ok {
		p.at, p.err = 0, nil
		c = p.expression()
		if p.skipSpace(); p.err == nil && p.at < len(text) {
			p.fail(p.at, "%s is not expected here: in a key or a value it goes in quotes", text[p.at:p.at+1])
		}
	}
	if p.err == nil {
		p.settle(&q, c)
	}
	if err := CheckWeight(c.filter); err != nil {
		p.fail(0, "%s", reasonOf(err))
	}
	if p.err != nil {
		return AllTime(), p.err
	}
	q.Filter = c.filter
	return q, nil
}

// IsPlain reports whether a text is read as the plain form.
func IsPlain(text string) bool {
	_, ok := (&textParser{text: text}).plain()
	return ok
}

// Text is a text that ParseQuery reads as the filter.
func Text(f Filter) string {
	text := f.String()
	if IsPlain(text) { // exists(attr("a=b")) looks like a tag
		return "( " + text + " )"
	}
	return text
}

// clause is a part of a query that was read.
type clause struct {
	filter Filter // nil asks nothing
	own    []ownWord
}

// joined is a clause of two that both hold.
func (c clause) joined(filters []Filter) clause {
	switch len(filters) {
	case 0:
		c.filter = nil
	case 1:
		c.filter = filters[0]
	default:
		c.filter = And{Parts: filters}
	}
	return c
}

// textParser reads one text. Its methods note the first error in err and go on with nothing.
type textParser struct {
	text  string
	now   time.Time
	at    int
	depth int
	lists int // calls and lists around, in which a comma ends a value
	bound [Levels]bool
	err   error
}

func (p *textParser) fail(at int, format string, args ...any) {
	if p.err == nil {
		p.err = &TextError{p.text, min(at, len(p.text)), fmt.Sprintf(format, args...)}
	}
}

// expression reads and-lists with "or" between them.
func (p *textParser) expression() clause {
	begin := p.at
	if p.depth++; p.depth > textDepthMax {
		p.fail(p.at, "more than %d parentheses stand one inside the other", textDepthMax)
	}
	defer func() { p.depth-- }()
	c := p.andList()
	if p.err != nil || !p.keyword("or") {
		return c
	}
	parts := []Filter{p.within(c, "or")}
	for {
		parts = append(parts, p.within(p.andList(), "or"))
		p.bounded(begin, len(parts))
		if p.err != nil || !p.keyword("or") {
			break
		}
	}
	return clause{filter: p.checked(begin, Or{Parts: parts})}
}

// andList reads conditions up to an "or", a closing parenthesis, a comma or the end.
func (p *textParser) andList() (c clause) {
	begin := p.at
	var filters []Filter
	for {
		next := p.condition()
		if p.err != nil {
			return clause{}
		}
		c.own = append(c.own, next.own...)
		if next.filter != nil {
			filters = append(filters, next.filter)
		}
		p.bounded(begin, len(filters))
		if p.keyword("and") {
			continue
		}
		if p.skipSpace(); p.at == len(p.text) || strings.IndexByte("),]", p.text[p.at]) >= 0 || p.sees("or") {
			break
		}
	}
	c = c.joined(filters)
	c.filter = p.checked(begin, c.filter)
	return c
}

// condition reads one condition.
func (p *textParser) condition() clause {
	p.skipSpace()
	begin := p.at
	if p.depth++; p.depth > textDepthMax {
		p.fail(begin, "more than %d parentheses stand one inside the other", textDepthMax)
	}
	defer func() { p.depth-- }()
	switch {
	case p.err != nil:
		return clause{}
	case p.keyword("not"):
		return clause{filter: p.checked(begin, Not{Part: p.within(p.condition(), "not")})}
	case p.take('('):
		lists := p.lists
		p.lists = 0
		c := p.expression()
		p.lists = lists
		p.close(begin, ')')
		return c
	}
	if name := p.callName(); calls[name] != nil {
		p.at += len(name) + 1
		p.lists++
		filter := calls[name](p, begin)
		p.lists--
		p.close(begin+len(name), ')')
		return clause{filter: p.checked(begin, filter)}
	}
	return p.comparison()
}

// within is the filter of a clause under or or not, where words that bound the whole search
// have no meaning.
func (p *textParser) within(c clause, what string) Filter {
	for _, w := range c.own {
		if w.isWhole {
			p.fail(w.at, "%s bounds the whole search and cannot stand under %s: span.startTime says it of a span", w.key, what)
		}
	}
	return c.filter
}

// checked refuses a filter beyond the limits, where it grows beyond them.
func (p *textParser) checked(begin int, f Filter) Filter {
	if p.err != nil || f == nil {
		return nil
	}
	if depth, nodes := sizeOf(f); depth > FilterDepthMax || nodes > FilterNodesMax {
		p.fail(begin, "conditions stand %d deep one inside the other and are %d in all, at most %d and %d", depth, nodes, FilterDepthMax, FilterNodesMax)
		return nil
	}
	return f
}

// bounded refuses a long list before all of it is read.
func (p *textParser) bounded(begin, parts int) {
	if parts >= FilterNodesMax {
		p.fail(begin, "more than %d conditions", FilterNodesMax-1)
	}
}

// sizeOf is how deep a filter is and how many nodes it has.
func sizeOf(f Filter) (depth, nodes int) {
	nodes = 1
	for _, part := range partsOf(f) {
		d, n := sizeOf(part)
		depth, nodes = max(depth, d), nodes+n
	}
	return depth + 1, nodes
}
