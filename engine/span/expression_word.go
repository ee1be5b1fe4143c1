package span

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Where one thing ends in a text and the next begins.

const spaces = " \t\r\n"

func isSpace(c byte) bool { return strings.IndexByte(spaces, c) >= 0 }
func isQuote(c byte) bool { return c == '"' || c == '\'' }

func (p *textParser) skipSpace() {
	for p.at < len(p.text) && isSpace(p.text[p.at]) {
		p.at++
	}
}

// take passes over one sign, if it stands here.
func (p *textParser) take(c byte) bool {
	p.skipSpace()
	if p.err != nil || p.at == len(p.text) || p.text[p.at] != c {
		return false
	}
	p.at++
	return true
}

// close wants the sign that closes what stands at open.
func (p *textParser) close(open int, c byte) {
	if p.err == nil && !p.take(c) {
		if p.at == len(p.text) {
			p.fail(open, "this is not closed: %c is missing", c)
			return
		}
		p.fail(p.at, "expected %c here", c)
	}
}

// sees reports whether a keyword stands here, in lower or upper case. What is glued to an
// operator is a key.
func (p *textParser) sees(word string) bool {
	p.skipSpace()
	rest := p.text[p.at:]
	if !strings.HasPrefix(rest, word) && !strings.HasPrefix(rest, strings.ToUpper(word)) {
		return false
	}
	return len(rest) == len(word) || strings.IndexByte(spaces+"()[]", rest[len(word)]) >= 0
}

func (p *textParser) keyword(word string) bool {
	if p.err != nil || !p.sees(word) {
		return false
	}
	p.at += len(word)
	return true
}

// callName is the name of the call that begins here: its parenthesis follows at once.
func (p *textParser) callName() string {
	end := p.at
	for end < len(p.text) && (p.text[end] >= 'a' && p.text[end] <= 'z' || p.text[end] == '_') {
		end++
	}
	if end == len(p.text) || p.text[end] != '(' {
		return ""
	}
	return p.text[p.at:end]
}

// bareKey reads a key without quotes.
func (p *textParser) bareKey() string {
	end := strings.IndexAny(p.text[p.at:], spaces+"()[],=!<>~\"'")
	if end < 0 {
		end = len(p.text) - p.at
	}
	key := p.text[p.at : p.at+end]
	p.at += end
	return key
}

// bareValue reads a value without quotes. It may hold what a value of the plain form may, but
// for parentheses, and in a list for commas and brackets.
func (p *textParser) bareValue(op string) string {
	stops := spaces + "()"
	if p.lists > 0 {
		stops += ",[]"
	}
	begin := p.at
	end := strings.IndexAny(p.text[begin:], stops)
	if end < 0 {
		end = len(p.text) - begin
	}
	value := p.text[begin : begin+end]
	p.at += end
	switch sign := strings.IndexAny(value, "=<>!~"); {
	case sign == 0, sign > 0 && op != "=":
		p.fail(begin+sign, "a value that holds %c goes in quotes", value[sign])
	case p.at < len(p.text) && (p.text[p.at] == '(' || p.text[p.at] == '['):
		p.fail(p.at, "a value that holds %c goes in quotes", p.text[p.at])
	}
	return value
}

// quoted reads a text in quotes: in '...' all stands for itself, in "..." a backslash begins
// an escape as Go has them.
func (p *textParser) quoted() string {
	quote, begin := p.text[p.at], p.at
	var value []byte
	for p.at++; p.at < len(p.text) && p.text[p.at] != quote; {
		if quote == '\'' || p.text[p.at] != '\\' {
			value = append(value, p.text[p.at])
			p.at++
			continue
		}
		c, isRune, rest, err := strconv.UnquoteChar(p.text[p.at:], '"')
		if err != nil {
			p.fail(p.at, `in "..." a backslash stands before ", \, n, t and the like only`)
			return ""
		}
		if isRune {
			value = utf8.AppendRune(value, c)
		} else {
			value = append(value, byte(c))
		}
		p.at = len(p.text) - len(rest)
	}
	if p.at == len(p.text) {
		p.fail(begin, "the quote is not closed")
		return ""
	}
	if p.at++; p.at < len(p.text) && strings.IndexByte(spaces+"()[],=!<>~", p.text[p.at]) < 0 {
		p.fail(p.at, "a space is missing after the quote")
	}
	return string(value)
}

// isQuoted reports whether a quote begins here.
func (p *textParser) isQuoted() bool {
	return p.at < len(p.text) && isQuote(p.text[p.at])
}
