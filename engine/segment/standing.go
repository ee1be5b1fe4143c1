package segment

import (
	"math/bits"
	"slices"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
)

// A template says which attributes of a span stand with the row, not with what values: whoever
// looks for a status of 500 would have to look at the rows of every template that has a status.
// Standing terms say which templates a value stands with, as terms do of the values in templates.
// They are for columns of few values, most of which stand with few of the templates: those of
// others would say little and take much. Of a value without a term nothing is known.
//
// A service is told as a value too: many services have operations of one name and kind ("GET" of a
// client), so the names that a service has say less than its templates.

// standing gathers the standing terms of a segment: of spans, and of templates that row groups
// share.
type standing struct {
	columns      []standingColumn    // by column - colFixed
	bytes        int                 // of their values
	services     map[string][]uint64 // templates, as bits
	serviceBytes int                 // of those
	crowd        bool                // there were too many services
	codes        []int               // of the row group at hand: by code of a text, its number
	numbers      map[uint64]int      // of the row group at hand: by value
	recent       [1 << recentNumbersBits]recentNumber
	each, with   []uint32 // see templatesWith
}

// recentNumber is what numbers has of a value that was met lately: its number + 1, 0 is none.
type recentNumber struct {
	value  uint64
	number int
}

// standingColumn is the values of a column so far.
type standingColumn struct {
	values  []standingValue
	numbers map[string]int // by text, as searches write it
	left    bool           // out: it has too many values
}

type standingValue struct {
	text string
	with []uint64 // templates, as bits
}

// canStand tells the columns that are looked at.
func canStand(c columnKey) bool {
	return c.level == span.SpanLevel && (c.kind == span.StringValue || c.kind == span.IntValue || c.kind == span.BoolValue)
}

// of gives a column, nil where it is out.
func (s *standing) of(id uint32, key columnKey) *standingColumn {
	for len(s.columns) <= int(id-colFixed) {
		s.columns = append(s.columns, standingColumn{})
	}
	c := &s.columns[id-colFixed]
	if c.left = c.left || !canStand(key); c.left {
		return nil
	}
	return c
}

// number gives the number of a value of a column; false where the column is out by it.
func (s *standing) number(c *standingColumn, text []byte) (int, bool) {
	if c.left {
		return 0, false
	}
	n, known := c.numbers[string(text)]
	if known {
		return n, true
	}
	if len(c.values) == standingValuesMax || len(text) >= index.TermBytesMax {
		s.leaveOut(c)
		return 0, false
	}
	if c.numbers == nil {
		c.numbers = map[string]int{}
	}
	n = len(c.values)
	value := string(text)
	c.numbers[value] = n
	c.values = append(c.values, standingValue{text: value})
	if s.bytes += standingValueBytes + len(value); s.bytes > standingBytesMax {
		s.leaveOutLargest()
	}
	return n, !c.left
}

// add notes that a value stands with a template.
func (s *standing) add(c *standingColumn, n int, template uint32) {
	if c.left {
		return
	}
	v := &c.values[n]
	if word := int(template / 64); word < len(v.with) && v.with[word]>>(template%64)&1 == 1 {
		return // as nearly always
	}
	before := len(v.with)
	v.with = withBit(v.with, template)
	if s.bytes += 8 * (len(v.with) - before); s.bytes > standingBytesMax {
		s.leaveOutLargest()
	}
}

func withBit(set []uint64, i uint32) []uint64 {
	if word := int(i / 64); word >= len(set) {
		set = append(set, make([]uint64, word+1-len(set))...)
	}
	set[i/64] |= 1 << (i % 64)
	return set
}

// addService notes that a service has spans of a template.
func (s *standing) addService(service string, template uint32) {
	if s.crowd || service == "" || len(service) >= index.TermBytesMax {
		return
	}
	if s.services == nil {
		s.services = map[string][]uint64{}
	}
	before, known := s.services[service]
	set := withBit(before, template)
	s.services[service] = set
	if !known {
		s.serviceBytes += standingValueBytes + len(service)
	}
	if s.serviceBytes += 8 * (len(set) - len(before)); s.serviceBytes > standingBytesMax {
		s.services, s.crowd = nil, true
	}
}

func (s *standing) leaveOut(c *standingColumn) {
	s.bytes -= c.bytes()
	*c = standingColumn{left: true}
}

func (c *standingColumn) bytes() (n int) {
	for i := range c.values {
		n += standingValueBytes + len(c.values[i].text) + 8*len(c.values[i].with)
	}
	return n
}

// leaveOutLargest gives up the first of the columns that take the most.
func (s *standing) leaveOutLargest() {
	largest, most := 0, -1
	for i := range s.columns {
		if bytes := s.columns[i].bytes(); bytes > most {
			largest, most = i, bytes
		}
	}
	s.leaveOut(&s.columns[largest])
}

// addValues notes the values of a column in a row group; with has the template of each, or
// noTemplate.
func (s *standing) addValues(c *standingColumn, kind span.ValueType, values *attrWriter) {
	if kind.HasText() {
		s.codes = s.codes[:0]
		for range values.text.Distinct() {
			s.codes = append(s.codes, -1)
		}
		for i, code := range values.text.Codes() {
			if template := values.with[i]; template != noTemplate {
				s.addText(c, code, values.text.Value(code), template)
			}
		}
		return
	}
	s.forgetNumbers()
	for i, value := range values.ints {
		if template := values.with[i]; template != noTemplate {
			if n, ok := s.numberOf(c, kind, value); ok {
				s.add(c, n, template)
			}
		}
	}
}

// addText notes a text that has a code in the row group at hand.
func (s *standing) addText(c *standingColumn, code uint64, text []byte, template uint32) {
	if s.codes[code] < 0 {
		n, ok := s.number(c, text)
		if !ok {
			return
		}
		s.codes[code] = n
	}
	s.add(c, s.codes[code], template)
}

// forgetNumbers makes ready for another column of numbers.
func (s *standing) forgetNumbers() {
	clear(s.numbers)
	clear(s.recent[:])
}

// numberOf is number of a value that is no text; s.numbers has those of the row group so far.
func (s *standing) numberOf(c *standingColumn, kind span.ValueType, value uint64) (int, bool) {
	recent := &s.recent[value*0x9e3779b97f4a7c15>>(64-recentNumbersBits)]
	if recent.value == value && recent.number > 0 {
		return recent.number - 1, !c.left
	}
	n, ok := s.numberByMap(c, kind, value)
	if ok {
		*recent = recentNumber{value, n + 1}
	}
	return n, ok
}

func (s *standing) numberByMap(c *standingColumn, kind span.ValueType, value uint64) (int, bool) {
	if n, known := s.numbers[value]; known {
		return n, !c.left
	}
	var text [20]byte
	n, ok := s.number(c, appendNumber(text[:0], kind, value))
	if ok {
		if s.numbers == nil {
			s.numbers = map[uint64]int{}
		}
		s.numbers[value] = n
	}
	return n, ok
}

// standing notes the values of a column with the templates that they have here: numbers, or places
// of texts in the scan's table. Every span has a template of the segment.
func (c *groupCopy) standing(id uint32, u use, texts []span.TextID, numbers []uint64) {
	s, key := &c.w.standing, c.w.columns[id-colFixed]
	col := s.of(id, key)
	if col == nil {
		return
	}
	table, templates := &c.scan.text, c.templatesWith(u)
	s.codes = s.codes[:0]
	for range table.Ends {
		s.codes = append(s.codes, -1)
	}
	for i, at := range texts {
		s.addText(col, uint64(at), table.Value(uint32(at)), templates[i])
	}
	s.forgetNumbers()
	for i, value := range numbers {
		if n, ok := s.numberOf(col, key.kind, value); ok {
			s.add(col, n, templates[i])
		}
	}
}

// templatesWith gives the template of the segment that each value of a column of spans stands with,
// until the next call.
func (c *groupCopy) templatesWith(u use) []uint32 {
	items, s := c.items[span.SpanLevel], &c.w.standing
	s.each = slices.Grow(s.each[:0], len(items.counts))[:len(items.counts)]
	clear(s.each)
	values := s.each // by code, of this column
	most := uint32(0)
	for _, code := range items.usersOf(u.column) {
		values[code]++
		most = max(most, values[code])
	}
	s.with = slices.Grow(s.with[:0], u.values+1)[:u.values+1]
	templates, at := s.with, uint32(0)
	if most == 1 { // as nearly always: then no branch hangs on who has a value
		for _, code := range items.codes {
			templates[at] = c.spans[code]
			at += values[code]
		}
		return templates[:at]
	}
	for _, code := range items.codes {
		for range values[code] {
			templates[at] = c.spans[code]
			at++
		}
	}
	return templates[:at]
}

// appendTerms appends the dictionary. own gives how many templates a column stands alone in, rows is
// how many the segment has: services go first, then columns by their number, as far as rows pay.
func (s *standing) appendTerms(dst []byte, own []int, rows int) []byte {
	terms := index.NewTermsBuilder()
	left := rows / standingRowsMin
	all := 0
	for _, set := range s.services {
		all += countBits(set)
	}
	if all <= left {
		left -= all
		for service, set := range s.services {
			addTerm(terms, ServiceColumn, service, set)
		}
	}
	for i := range s.columns {
		few, all := s.columns[i].few(own[i])
		if all > min(standingEach*own[i], left) {
			continue
		}
		left -= all
		for _, v := range few {
			addTerm(terms, uint32(colFixed+i), v.text, v.with)
		}
	}
	return terms.AppendBinary(dst)
}

func countBits(set []uint64) (n int) {
	for _, word := range set {
		n += bits.OnesCount64(word)
	}
	return n
}

// few gives the values that stand with few of the column's templates, and with how many all of them
// together.
func (c *standingColumn) few(templates int) (values []standingValue, all int) {
	for _, v := range c.values {
		n := countBits(v.with)
		if n > 0 && n <= templates/standingShare {
			values, all = append(values, v), all+n
		}
	}
	return values, all
}

func addTerm(terms *index.TermsBuilder, column uint32, text string, templates []uint64) {
	var term *index.Term
	for word, set := range templates {
		for ; set != 0; set &= set - 1 {
			template := uint32(word*64 + bits.TrailingZeros64(set))
			if term == nil {
				term = terms.Add(column, []byte(text), template)
				continue
			}
			terms.AddTo(term, template)
		}
	}
}

// standsIn counts, by column, the templates in which it stands alone.
func (t *templateTable) standsIn(columns int) []int {
	own, last := make([]int, columns), make([]int, columns) // last: template + 1 that was counted last
	for i := range t.ends {
		for _, s := range t.slotsOf(uint32(i)) {
			if s.own && s.column >= colFixed && last[s.column-colFixed] != i+1 {
				own[s.column-colFixed]++
				last[s.column-colFixed] = i + 1
			}
		}
	}
	return own
}

// ServiceColumn is under which column standing terms tell services.
const ServiceColumn = colResource

// Standing gives the standing terms of spans: of a value that is there, all templates of the segment
// that it stands with; of others nothing is known. A file of version 1 has none.
func (s *Segment) Standing() (Terms, error) {
	ref := s.refs[sectionStanding]
	if ref.length == 0 {
		return Terms{new(index.Terms), s.info.Name, ref.offset}, nil
	}
	return s.termsAt(ref, s.templates[span.SpanLevel].len())
}
