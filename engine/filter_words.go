package engine

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// wordsTest asks for words in a text: all of them, next to each other and in order where it
// is a phrase. A word of a text is a longest run of letters, digits and marks; the case of
// ASCII letters does not count. Invalid UTF-8 separates words.
type wordsTest struct {
	words    []string // ASCII letters in lower case
	isPhrase bool
	rare     string // the word that is looked for first, by its byte at rareAt
	rareAt   int
}

func newWordsTest(words []string, isPhrase bool) *wordsTest {
	t := &wordsTest{isPhrase: isPhrase}
	for _, word := range words {
		t.words = append(t.words, string(lowered(nil, []byte(word))))
	}
	rarest := -1
	for _, word := range t.words {
		for at := range len(word) {
			if rank := strings.IndexByte(byFrequency, word[at]); rank > rarest {
				rarest, t.rare, t.rareAt = rank, word, at
			}
		}
	}
	return t
}

// byFrequency has the letters and digits of texts and logs, roughly the most frequent first.
const byFrequency = "etaoinsrlhdcu0123456789mfpgwybvkxjqz"

// mayPass reports whether the text has the rare word anywhere, as a word or within one. Most
// texts do not, and looking for one byte costs a fraction of telling words apart.
func (t *wordsTest) mayPass(text []byte) bool {
	if t.rare == "" {
		return true // no word has a byte that is ranked
	}
	c := t.rare[t.rareAt]
	return t.hasRare(text, c) || c >= 'a' && c <= 'z' && t.hasRare(text, c-('a'-'A'))
}

func (t *wordsTest) hasRare(text []byte, c byte) bool {
	for at := t.rareAt; at < len(text); at++ {
		next := bytes.IndexByte(text[at:], c)
		if next < 0 {
			return false
		}
		at += next
		begin := at - t.rareAt
		if end := begin + len(t.rare); end <= len(text) && equalFold(text[begin:end], t.rare) {
			return true
		}
	}
	return false
}

func (t *wordsTest) cost() int { return 8 }

func (t *wordsTest) passes(r *filterRun, v *filterValue) bool {
	if v.kind != textKind || !r.effort.spendBytes(len(v.text)) || !t.mayPass(v.text) {
		return false
	}
	r.effort.spendBytes(len(v.text) * len(t.words)) // where every word of the text begins as these do
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
	r.ticked = cleared(r.ticked, len(t.words))
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
