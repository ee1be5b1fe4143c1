package span

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// CheckPattern refuses what a Regex may not be: no RE2, too large, or with a construct that
// Jaeger's stores do not share: anchors, word boundaries, lazy quantifiers, the flags i
// (case) and U (lazy). It reads the pattern as the caller wrote it. The parsed tree would
// tell other things: Go's parser makes (?i:a) of [Aa], which is fine, and drops what can
// never match.
func CheckPattern(pattern string) error {
	if len(pattern) > PatternBytesMax {
		return fmt.Errorf("%w: a pattern of %d bytes, at most %d", ErrInvalid, len(pattern), PatternBytesMax)
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return fmt.Errorf("%w: the pattern is no RE2: %w", ErrInvalid, err)
	}
	if n := steps(tree); n > PatternStepsMax {
		return fmt.Errorf("%w: the pattern takes more than %d steps when its repetitions are written out", ErrInvalid, PatternStepsMax)
	}
	if what := refusedIn(pattern); what != "" {
		return fmt.Errorf("%w: the pattern has %s", ErrInvalid, what)
	}
	return nil
}

// PatternSteps bounds the steps of a pattern's program from above; 0 of what is no pattern.
func PatternSteps(pattern string) int {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0
	}
	return steps(tree)
}

// steps bounds the program of a pattern from above, as far as it matters: the count stops
// growing beyond the limit.
func steps(tree *syntax.Regexp) int {
	if tree.Op == syntax.OpLiteral {
		return len(tree.Rune)
	}
	n := 1 + len(tree.Sub)
	for _, part := range tree.Sub {
		n += steps(part)
	}
	if tree.Op == syntax.OpRepeat {
		n *= max(tree.Min+1, tree.Max)
	}
	return min(n, PatternStepsMax+1)
}

// refusedIn names the first construct of a well-formed pattern that is refused, or gives
// nothing.
func refusedIn(pattern string) string {
	repeated := false // a quantifier ends here: a question mark makes it lazy
	for rest := pattern; rest != ""; {
		token := 1
		isRepeat := false
		switch rest[0] {
		case '\\':
			switch {
			case strings.HasPrefix(rest, `\Q`):
				token = len(rest)
				if end := strings.Index(rest, `\E`); end >= 0 {
					token = end + 2
				}
			case rest[1] == 'A' || rest[1] == 'z':
				return "the anchor " + rest[:2]
			case rest[1] == 'b' || rest[1] == 'B':
				return "the word boundary " + rest[:2]
			default:
				token = characterBytes(rest)
			}
		case '[':
			token = classBytes(rest)
		case '(':
			if what := refusedFlag(rest); what != "" {
				return what
			}
			token = groupBytes(rest)
		case '^', '$':
			return "the anchor " + rest[:1]
		case '*', '+':
			isRepeat = true
		case '?':
			if repeated {
				return "a lazy quantifier"
			}
			isRepeat = true
		case '{':
			token = repeatBytes(rest)
			isRepeat = token > 1
		}
		repeated = isRepeat
		rest = rest[max(token, 1):]
	}
	return ""
}

// classBytes is the length of the character class that rest begins with. It goes the way of
// Go's parser: the end of a range is no class and no bracket that closes, whatever it looks like.
func classBytes(rest string) int {
	at := 1
	if strings.HasPrefix(rest[at:], "^") {
		at++
	}
	for first := true; at < len(rest); first = false {
		if rest[at] == ']' && !first {
			return at + 1
		}
		if strings.HasPrefix(rest[at:], "[:") {
			if end := strings.Index(rest[at+2:], ":]"); end >= 0 { // [:alpha:]
				at += end + 4
				continue
			}
		}
		isSet := rest[at] == '\\' && strings.IndexByte("pPdDsSwW", rest[at+1]) >= 0
		at += characterBytes(rest[at:])
		if !isSet && strings.HasPrefix(rest[at:], "-") && !strings.HasPrefix(rest[at:], "-]") {
			at++
			at += characterBytes(rest[at:])
		}
	}
	return len(rest)
}

// characterBytes is the length of the character, plain or escaped, or of the escaped set, that
// rest begins with.
func characterBytes(rest string) int {
	if rest[0] != '\\' {
		_, n := utf8.DecodeRuneInString(rest)
		return n
	}
	switch c := rest[1]; {
	case strings.IndexByte("xpP", c) >= 0 && strings.HasPrefix(rest[2:], "{"): // \x{10FFFF}, \p{Greek}
		return strings.IndexByte(rest, '}') + 1
	case c == 'x':
		return len(`\x7f`)
	case c == 'p' || c == 'P':
		return 2 + characterBytes(rest[2:])
	case c >= '0' && c <= '7':
		n := 2
		for n < len(`\177`) && n < len(rest) && rest[n] >= '0' && rest[n] <= '7' {
			n++
		}
		return n
	}
	return 2
}

// groupBytes is the length of a group's opening.
func groupBytes(rest string) int {
	if !strings.HasPrefix(rest, "(?") {
		return 1
	}
	return strings.IndexAny(rest, ":)>") + 1
}

// refusedFlag looks at the flags that a group sets.
func refusedFlag(rest string) string {
	if !strings.HasPrefix(rest, "(?") || strings.HasPrefix(rest, "(?P<") || strings.HasPrefix(rest, "(?<") {
		return ""
	}
	set, _, _ := strings.Cut(rest[2:groupBytes(rest)-1], "-")
	switch {
	case strings.Contains(set, "i"):
		return "the flag i, and matching is case-sensitive"
	case strings.Contains(set, "U"):
		return "the flag U, which makes quantifiers lazy"
	}
	return ""
}

// repeatBytes is the length of {n}, {n,} or {n,m}; 1 where the brace is a mere character.
func repeatBytes(rest string) int {
	end := strings.IndexByte(rest, '}')
	if end < 0 {
		return 1
	}
	least, most, _ := strings.Cut(rest[1:end], ",")
	if least == "" || strings.Trim(least, "0123456789") != "" || strings.Trim(most, "0123456789") != "" {
		return 1
	}
	return end + 1
}

// CheckWord refuses what is not one word of a Phrase or FullText: a run of letters, digits
// and marks.
func CheckWord(word string) error {
	units := 0
	for _, c := range word {
		if c == unicode.ReplacementChar || !unicode.IsLetter(c) && !unicode.IsDigit(c) && !unicode.IsMark(c) {
			return fmt.Errorf("%w: %q is not one word: letters, digits and marks alone", ErrInvalid, word)
		}
		units += utf16.RuneLen(c)
	}
	if units == 0 || units > WordUnitsMax {
		return fmt.Errorf("%w: a word of %d UTF-16 units, want 1 to %d", ErrInvalid, units, WordUnitsMax)
	}
	return nil
}
