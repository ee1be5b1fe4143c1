package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/stoadb/stoa/engine/span"
)

// The plain form of a query: words KEY=VALUE, all of which hold on one span.
//
//	service=frontend error=true http.status_code=500 minDuration=10ms since=1h
//
// service, name (or operation), minDuration, maxDuration, since, from and to are our
// own words; any other key is a tag. A key or a value with spaces stands in quotes:
// "..." with the escapes \" \\ \n \t, or '...' as it is. "service" in quotes is a tag.

// queryError says where in the text the trouble is.
type queryError struct {
	text   string
	offset int // bytes
	reason string
}

func (e *queryError) Error() string {
	column := len([]rune(e.text[:e.offset]))
	return fmt.Sprintf("%s\n    %s\n    %s^ character %d", e.reason, printable(e.text), strings.Repeat(" ", column), column+1)
}

// word is one KEY=VALUE with the offsets of its halves.
type word struct {
	key, value     string
	keyAt, valueAt int
	quoted         bool // the key stood in quotes
}

// parseQuery reads the plain form. now is what since counts back from.
func parseQuery(text string, now time.Time) (span.Query, error) {
	q := span.AllTime()
	seen := make(map[string]bool)
	for at := skipSpace(text, 0); at < len(text); at = skipSpace(text, at) {
		w, next, err := nextWord(text, at)
		if err != nil {
			return q, usageError{err}
		}
		at = next
		set, own := ownWords[w.key]
		if err := slip(text, w); !own && err != nil {
			return q, usageError{err}
		}
		if w.quoted || !own {
			q.Tags = append(q.Tags, span.Tag{Key: w.key, Value: w.value})
			continue
		}
		if seen[w.key] {
			return q, usageError{&queryError{text, w.keyAt, w.key + " stands twice"}}
		}
		if other := sameBound[w.key]; seen[other] {
			return q, usageError{&queryError{text, w.valueAt, w.key + ": " + other + " is given already"}}
		}
		seen[w.key] = true
		if reason := set(&q, w.value, now); reason != "" {
			return q, usageError{&queryError{text, w.valueAt, w.key + ": " + reason}}
		}
	}
	if q.StartMin > q.StartMax {
		return q, usagef("the time range is empty: from lies after to")
	}
	if q.DurationMax != 0 && q.DurationMin > q.DurationMax {
		return q, usagef("minDuration is more than maxDuration")
	}
	return q, nil
}

// slip finds what was hardly meant as a tag and would only find nothing: a comparison that
// the plain form does not have, and one of our words in another case. Quotes keep both.
func slip(text string, w word) *queryError {
	if w.quoted {
		return nil
	}
	const compares = "the plain form compares with = only; put a key or a value that holds such signs in quotes"
	if trimmed := strings.TrimRight(w.key, "!<>~"); trimmed != w.key {
		return &queryError{text, w.keyAt + len(trimmed), compares}
	}
	if strings.HasPrefix(w.value, "~") && text[w.valueAt] == '~' || strings.HasPrefix(w.value, "=") && text[w.valueAt] == '=' {
		return &queryError{text, w.valueAt, compares}
	}
	for own := range ownWords {
		if strings.EqualFold(own, w.key) {
			return &queryError{text, w.keyAt, fmt.Sprintf("did you mean %s? A tag %q goes in quotes", own, w.key)}
		}
	}
	return nil
}

// sameBound names the word that sets the same end of the time range.
var sameBound = map[string]string{"from": "since", "since": "from"}

// ownWords sets a part of the query; a reason is what is wrong with the value.
var ownWords = map[string]func(q *span.Query, value string, now time.Time) (reason string){
	"service":     setService,
	"name":        setName,
	"operation":   setName,
	"minDuration": func(q *span.Query, v string, _ time.Time) string { return setDuration(&q.DurationMin, v) },
	"maxDuration": func(q *span.Query, v string, _ time.Time) string { return setDurationMax(q, v) },
	"from":        func(q *span.Query, v string, _ time.Time) string { return setTime(&q.StartMin, v) },
	"to":          func(q *span.Query, v string, _ time.Time) string { return setTime(&q.StartMax, v) },
	"since":       setSince,
}

func setService(q *span.Query, value string, _ time.Time) string {
	q.Service = value
	return ""
}

func setName(q *span.Query, value string, _ time.Time) string {
	if q.Name != "" && q.Name != value {
		return "another name is asked for already"
	}
	q.Name = value
	return ""
}

func setDuration(dst *uint64, value string) string {
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return fmt.Sprintf("%q is not a duration such as 10ms, 1.5s or 2m", value)
	}
	*dst = uint64(d)
	return ""
}

// setDurationMax refuses 0, which stands for "not given" in a query and on the wire.
func setDurationMax(q *span.Query, value string) string {
	if reason := setDuration(&q.DurationMax, value); reason != "" {
		return reason
	}
	if q.DurationMax == 0 {
		return "a maximum of 0 is not a bound; the shortest is 1ns"
	}
	return ""
}

// timeForms are tried in turn; a time without a zone is UTC.
var timeForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02"}

func setTime(dst *uint64, value string) string {
	if n, err := strconv.ParseUint(value, 10, 64); err == nil {
		*dst = n
		return ""
	}
	for _, form := range timeForms {
		t, err := time.Parse(form, value)
		if err != nil {
			continue
		}
		seconds := t.Unix()
		if seconds < 0 || uint64(seconds) > math.MaxUint64/uint64(time.Second)-1 {
			return fmt.Sprintf("%q lies outside of what a span's time can hold", value)
		}
		*dst = uint64(seconds)*uint64(time.Second) + uint64(t.Nanosecond())
		return ""
	}
	return fmt.Sprintf("%q is not a time such as 2026-11-22T22:00:00Z, 2026-11-22 or unix nanoseconds", value)
}

func setSince(q *span.Query, value string, now time.Time) string {
	var back uint64
	if reason := setDuration(&back, value); reason != "" {
		return reason
	}
	q.StartMin = uint64(max(now.UnixNano()-int64(back), 0))
	return ""
}

func skipSpace(text string, at int) int {
	for at < len(text) && strings.ContainsRune(" \t\r\n", rune(text[at])) {
		at++
	}
	return at
}

// nextWord reads the word at offset at, which is not a space.
func nextWord(text string, at int) (word, int, error) {
	w := word{keyAt: at, quoted: isQuote(text[at])}
	var err *queryError
	if w.key, at, err = nextHalf(text, at, "= \t\r\n"); err != nil {
		return w, at, err
	}
	if at >= len(text) || text[at] != '=' {
		if sign := strings.IndexAny(w.key, "<>~"); sign > 0 && !w.quoted {
			return w, at, &queryError{text, w.keyAt + sign, "the plain form compares with = only: write KEY=VALUE"}
		}
		return w, at, &queryError{text, w.keyAt, fmt.Sprintf("%q has no value: write KEY=VALUE", w.key)}
	}
	if w.key == "" {
		return w, at, &queryError{text, w.keyAt, "a key is missing before ="}
	}
	w.valueAt = at + 1
	if w.value, at, err = nextHalf(text, at+1, " \t\r\n"); err != nil {
		return w, at, err
	}
	return w, at, nil
}

// nextHalf reads a key or a value: quoted, or up to one of the ends.
func nextHalf(text string, at int, ends string) (string, int, *queryError) {
	if at >= len(text) || !isQuote(text[at]) {
		end := strings.IndexAny(text[at:], ends)
		if end < 0 {
			end = len(text) - at
		}
		return text[at : at+end], at + end, nil
	}
	quote, begin := text[at], at
	var value strings.Builder
	for at++; at < len(text) && text[at] != quote; at++ {
		if quote == '\'' || text[at] != '\\' {
			value.WriteByte(text[at])
			continue
		}
		at++
		escaped := -1
		if at < len(text) {
			escaped = strings.IndexByte(`"\nt`, text[at])
		}
		if escaped < 0 {
			return "", at, &queryError{text, at - 1, `in "..." a backslash stands before ", \, n or t only`}
		}
		value.WriteByte("\"\\\n\t"[escaped])
	}
	if at >= len(text) {
		return "", at, &queryError{text, begin, "the quote is not closed"}
	}
	at++
	if at < len(text) && !strings.ContainsRune(ends, rune(text[at])) {
		return "", at, &queryError{text, at, "a space is missing after the quote"}
	}
	return value.String(), at, nil
}

func isQuote(c byte) bool { return c == '"' || c == '\'' }
