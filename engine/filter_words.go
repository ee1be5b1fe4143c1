package engine

import (
	"unicode"
	"unicode/utf8"
)

// wordsTest asks for words in a text: all of them, next to each other and in order where it
// is a phrase. A word of a text is a longest run of letters, digits and marks; the case of
// ASCII letters does not count. Invalid UTF-8 separates words.
type wordsTest struct {
	words    []string // ASCII letters in lower case
	isPhrase bool
}

func newWordsTest(words []string, isPhrase bool) *wordsTest {
	t := &wordsTest{isPhrase: isPhrase}
	for _, word := range words {
		t.words = append(t.words, string(lowered(nil, []byte(word))))
	}
	return t
}

func (t *wordsTest) cost() int { return 8 }

func (t *wordsTest) passes(r *filterRun, v *filterValue) bool {
	if v.kind != textKind {
		return false
	}
	if t.isPhrase {
		return t.phrase(v.text)
	}
	return t.all(r, v.text)
}

// phrase tries the words at each word of the text.
func (t *wordsTest) phrase(text []byte) bool {
	for {
		word, rest := nextWord(text)
		if word == nil {
			return false
		}
		if equalFold(word, t.words[0]) {
			follows, at := true, rest
			for _, want := range t.words[1:] {
				word, at = nextWord(at)
				if follows = equalFold(word, want); !follows {
					break
				}
			}
			if follows {
				return true
			}
		}
		text = rest
	}
}

// all ticks off the words as the text has them.
func (t *wordsTest) all(r *filterRun, text []byte) bool {
	r.ticked = zeroed(r.ticked, len(t.words))
	left := len(t.words)
	for left > 0 {
		var word []byte
		if word, text = nextWord(text); word == nil {
			return false
		}
		for i, want := range t.words {
			if !r.ticked[i] && equalFold(word, want) {
				r.ticked[i] = true
				left--
			}
		}
	}
	return true
}

// nextWord gives the first word of text and what follows it; nil where there is none.
func nextWord(text []byte) (word, rest []byte) {
	begin := -1
	for at := 0; at < len(text); {
		size := 1
		isWord := isASCIIWord(text[at])
		if text[at] >= utf8.RuneSelf {
			var c rune
			c, size = utf8.DecodeRune(text[at:])
			isWord = isWordRune(c) && (c != utf8.RuneError || size > 1)
		}
		switch {
		case isWord && begin < 0:
			begin = at
		case !isWord && begin >= 0:
			return text[begin:at], text[at:]
		}
		at += size
	}
	if begin < 0 {
		return nil, nil
	}
	return text[begin:], nil
}

func isASCIIWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isWordRune(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) || unicode.IsMark(c) }

// lowered appends text with its ASCII letters in lower case.
func lowered(dst, text []byte) []byte {
	for _, c := range text {
		dst = append(dst, lower(c))
	}
	return dst
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// equalFold compares with a word in lower case.
func equalFold(word []byte, want string) bool {
	if len(word) != len(want) {
		return false
	}
	for i, c := range word {
		if lower(c) != want[i] {
			return false
		}
	}
	return true
}
