package span

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The plain form: words KEY=VALUE.
//
// service, name (or operation), minDuration, maxDuration, since, from and to are our own
// words; any other key is a tag. A key or a value with spaces stands in quotes: "..." with
// the escapes \" \\ \n \t, or '...' as it is. "service" in quotes is a tag.

// ownWord is one of our words with its value.
type ownWord struct {
	key, value  string
	at, valueAt int
	isWhole     bool // it means nothing for one span
}

// plain reads the text as the plain form; not ok where it is not of that form.
func (p *textParser) plain() (c clause, ok bool) {
	var filters []Filter
	for p.skipSpace(); p.at < len(p.text); p.skipSpace() {
		at, quoted := p.at, p.isQuoted()
		key, ok := p.plainHalf("=" + spaces)
		if !ok || p.at == len(p.text) || p.text[p.at] != '=' || key == "" {
			return clause{}, false
		}
		p.at++
		valueAt := p.at
		value, ok := p.plainHalf(spaces)
		if !ok || !quoted && isSlip(key, value, p.text[valueAt:]) {
			return clause{}, false
		}
		if !quoted && isOwn(key) {
			part := p.ownWord(ownWord{key: key, value: value, at: at, valueAt: valueAt})
			c.own = append(c.own, part.own...)
			if part.filter != nil {
				filters = append(filters, part.filter)
			}
			continue
		}
		filters = append(filters, Tag{Key: key, Value: value})
	}
	if len(filters) >= FilterNodesMax {
		p.fail(p.at, "%d conditions, at most %d", len(filters), FilterNodesMax-1)
	}
	return c.joined(filters), true
}

// plainHalf reads a key or a value: quoted, or up to one of the ends.
func (p *textParser) plainHalf(ends string) (text string, ok bool) {
	if !p.isQuoted() {
		end := strings.IndexAny(p.text[p.at:], ends)
		if end < 0 {
			end = len(p.text) - p.at
		}
		text, p.at = p.text[p.at:p.at+end], p.at+end
		return text, true
	}
	quote := p.text[p.at]
	var value strings.Builder
	for p.at++; p.at < len(p.text) && p.text[p.at] != quote; p.at++ {
		if quote == '\'' || p.text[p.at] != '\\' {
			value.WriteByte(p.text[p.at])
			continue
		}
		if p.at++; p.at == len(p.text) {
			return "", false
		}
		escaped := strings.IndexByte(`"\nt`, p.text[p.at])
		if escaped < 0 {
			return "", false
		}
		value.WriteByte("\"\\\n\t"[escaped])
	}
	if p.at == len(p.text) {
		return "", false
	}
	p.at++
	return value.String(), p.at == len(p.text) || strings.IndexByte(ends, p.text[p.at]) >= 0
}

// isSlip finds what is hardly meant as a tag and would only find nothing: a comparison of an
// expression, and one of our words in another case. Quotes keep both.
func isSlip(key, value, valueText string) bool {
	if value != "" && (valueText[0] == '~' || valueText[0] == '=') {
		return true
	}
	return !isOwn(key) && (strings.TrimRight(key, "!<>~") != key || meantOwn(key) != "")
}

var ownWords = []string{"service", "name", "operation", "minDuration", "maxDuration", "from", "to", "since"}

func isOwn(key string) bool {
	for _, own := range ownWords {
		if own == key {
			return true
		}
	}
	return false
}

// meantOwn is the word of ours that a key has in another case.
func meantOwn(key string) string {
	for _, own := range ownWords {
		if own != key && strings.EqualFold(own, key) {
			return own
		}
	}
	return ""
}

// ownWord reads one of our words with =.
func (p *textParser) ownWord(w ownWord) clause {
	var filter Filter
	reason := ""
	switch w.key {
	case "service", "name", "operation":
		if w.value == "" { // asks nothing, which no filter can say
			w.isWhole = true
			break
		}
		field := SpanName
		if w.key == "service" {
			field = ResourceService
		}
		filter = Comparison{Op: Equal, Left: field, Right: OfString(w.value)}
	case "minDuration", "maxDuration":
		var d int64
		if d, reason = readDuration(w.value); reason != "" {
			break
		}
		op := GreaterOrEqual
		if w.key == "maxDuration" {
			op = LessOrEqual
			if d == 0 {
				reason = "a maximum of 0 is not a bound; the shortest is 1ns"
			}
		}
		filter = Comparison{Op: op, Left: SpanDuration, Right: OfDuration(d)}
	case "since":
		w.isWhole = true
		_, reason = readDuration(w.value)
	default:
		w.isWhole = true
		_, reason = readTime(w.value)
	}
	if reason != "" {
		p.fail(w.valueAt, "%s: %s", w.key, reason)
	}
	return clause{filter: filter, own: []ownWord{w}}
}

// settle sets the range of time, and refuses what contradicts itself among the words that
// stand beside each other at the root.
func (p *textParser) settle(q *Query, c clause) {
	seen := map[string]ownWord{}
	for _, w := range c.own {
		if _, twice := seen[w.key]; twice {
			p.fail(w.at, "%s stands twice", w.key)
		}
		other := map[string]string{"from": "since", "since": "from"}[w.key]
		if _, given := seen[other]; given {
			p.fail(w.valueAt, "%s: %s is given already", w.key, other)
		}
		alias := map[string]string{"name": "operation", "operation": "name"}[w.key]
		if name, given := seen[alias]; given && name.value != "" && name.value != w.value {
			p.fail(w.valueAt, "%s: another name is asked for already", w.key)
		}
		seen[w.key] = w
		switch w.key {
		case "from":
			q.StartMin, _ = readTime(w.value)
		case "to":
			q.StartMax, _ = readTime(w.value)
		case "since":
			back, _ := readDuration(w.value)
			q.StartMin = uint64(max(p.now.UnixNano()-back, 0))
		}
	}
	if q.StartMin > q.StartMax {
		p.fail(seen["to"].at, "the time range is empty: from lies after to")
	}
	least, _ := readDuration(seen["minDuration"].value)
	if most, reason := readDuration(seen["maxDuration"].value); reason == "" && least > most {
		p.fail(seen["maxDuration"].at, "minDuration is more than maxDuration")
	}
}

func readDuration(value string) (nanos int64, reason string) {
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return 0, fmt.Sprintf("%q is not a duration such as 10ms, 1.5s or 2m", value)
	}
	return int64(d), ""
}

// timeForms are tried in turn; a time without a zone is UTC.
var timeForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02"}

// readTime gives unix nanoseconds.
func readTime(value string) (nanos uint64, reason string) {
	if n, err := strconv.ParseUint(value, 10, 64); err == nil {
		return n, ""
	}
	for _, form := range timeForms {
		t, err := time.Parse(form, value)
		if err != nil {
			continue
		}
		seconds := t.Unix()
		if seconds < 0 || uint64(seconds) > math.MaxUint64/uint64(time.Second)-1 {
			return 0, fmt.Sprintf("%q lies outside of what a span's time can hold", value)
		}
		return uint64(seconds)*uint64(time.Second) + uint64(t.Nanosecond()), ""
	}
	return 0, fmt.Sprintf("%q is not a time such as 2026-11-22T22:00:00Z, 2026-11-22 or unix nanoseconds", value)
}
