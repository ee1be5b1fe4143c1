package engine

import (
	"context"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// matcher is a query made ready: what does not depend on a batch is worked out once. It
// serves any number of scans of one goroutine; see bind.
//
// The rules are those of a legacy Jaeger search: everything asked holds on one span. A
// tag holds where a level of the span (its own attributes, its resource's, its scope's,
// any one event's, any one link's) has the key with the value, compared as text; of a key
// that stands twice in one list the last counts. Keys with a meaning of their own
// (special) hold by that meaning or by a real attribute of the name.
type matcher struct {
	query   span.Query
	explain *span.Explain
	filter  *compiledFilter // nil where the query has none
	effort  *effort         // of the filter
	tags    []tagTest
	all     uint64 // a bit for each tag

	byRow      uint64 // tags with a special meaning on the span itself
	byScope    uint64 // tags that name the scope
	byResource uint64 // tags with the prefix "resource."
	byEvent    uint64 // tags that name an event

	wantRows    bool // visited rows are needed whole: with ids, kind and status
	oldestFirst bool // a scan goes from old to new; who lowers query.StartMax ends it early

	group *groupSearch // of the row group that a scan looks into, while there is one
}

// tagTest is one tag.
type tagTest struct {
	key, value  string
	bytes       []byte // the value
	resourceKey string // key without the prefix "resource.", where it is prefixed
	prefixed    bool
	special     special
	number      int32 // the kind or status code that special compares with

	intValue  int64 // value as an int, where value is how that int is written
	isInt     bool
	boolValue uint64
	isBool    bool

	otherTypes uint16 // a bit for each span.ValueType but strings whose values may be written as value
}

// special is the meaning of a key beyond its name.
type special uint8

const (
	plain special = iota
	errorTrue
	errorFalse
	kindIs
	statusIs
	statusMessageIs
	traceStateIs
	scopeNameIs
	scopeVersionIs
	eventNameIs
)

// newMatcher refuses a query beyond the limits.
func newMatcher(ctx context.Context, q span.Query) (*matcher, error) {
	if len(q.Tags) > span.TagsMax {
		return nil, fmt.Errorf("%w: %d tags, the limit is %d", span.ErrTooMuch, len(q.Tags), span.TagsMax)
	}
	m := &matcher{query: q, explain: q.Explain, effort: &effort{ctx: ctx}}
	if m.explain == nil {
		m.explain = new(span.Explain) // counted and forgotten
	}
	if q.Filter != nil {
		if err := m.take(q.Filter); err != nil {
			return nil, err
		}
	}
	for i, tag := range m.query.Tags {
		t := newTagTest(tag)
		bit := uint64(1) << i
		m.all |= bit
		switch t.special {
		case plain:
		case scopeNameIs, scopeVersionIs:
			m.byScope |= bit
		case eventNameIs:
			m.byEvent |= bit
		default:
			m.byRow |= bit
		}
		if t.prefixed {
			m.byResource |= bit
		}
		m.tags = append(m.tags, t)
	}
	return m, nil
}

// take compiles a filter, or what is left of it when the query asks the rest.
func (m *matcher) take(f span.Filter) (err error) {
	if m.filter, err = compileFilter(f); err != nil {
		return err
	}
	m.filter.bounds(&m.query)
	switch left := lifted(f, &m.query); {
	case left == nil:
		m.filter = nil
	case left.String() != f.String():
		m.filter, err = compileFilter(left)
	}
	return err
}

func newTagTest(tag span.Tag) tagTest {
	t := tagTest{key: tag.Key, value: tag.Value, bytes: []byte(tag.Value)}
	t.resourceKey, t.prefixed = strings.CutPrefix(tag.Key, "resource.")
	if n, err := strconv.ParseInt(tag.Value, 10, 64); err == nil && strconv.FormatInt(n, 10) == tag.Value {
		t.intValue, t.isInt = n, true
	}
	if tag.Value == "true" || tag.Value == "false" {
		t.isBool = true
		if tag.Value == "true" {
			t.boolValue = 1
		}
	}
	t.special, t.number = specialOf(tag)
	t.otherTypes = typesWritten(&t)
	return t
}

// specialOf reads the keys with a meaning; a value that the meaning cannot have leaves
// only real attributes to match.
func specialOf(tag span.Tag) (special, int32) {
	switch tag.Key {
	case "error":
		switch tag.Value {
		case "true":
			return errorTrue, 0
		case "false":
			return errorFalse, 0
		}
	case "span.kind":
		for number, name := range kindNames {
			if strings.EqualFold(name, tag.Value) {
				return kindIs, int32(number)
			}
		}
	case "span.status", "otel.status_code":
		for number, name := range statusNames {
			if strings.EqualFold(name, tag.Value) {
				return statusIs, int32(number)
			}
		}
	}
	// An empty text is the same as none, which no tag asks for.
	if tag.Value == "" {
		return plain, 0
	}
	switch tag.Key {
	case "otel.status_description":
		return statusMessageIs, 0
	case "w3c.tracestate":
		return traceStateIs, 0
	case "otel.scope.name", "scope.name":
		return scopeNameIs, 0
	case "otel.scope.version", "scope.version":
		return scopeVersionIs, 0
	case "event":
		return eventNameIs, 0
	}
	return plain, 0
}

// kindNames and statusNames are by OTLP number.
var (
	kindNames   = [...]string{"unspecified", "internal", "server", "client", "producer", "consumer"}
	statusNames = [...]string{"unset", "ok", "error"}
)

// projection is what a row group must give for this query.
func (m *matcher) projection() segment.Projection {
	p := segment.Projection{Times: true, Names: m.query.Name != "", Identity: m.wantRows || m.byRow != 0, Keys: make(map[string]bool)}
	if m.filter != nil {
		p = m.filter.needs().columns(p)
	}
	if len(m.tags) == 0 {
		return p
	}
	p.Attrs, p.Events, p.Links = true, true, true
	for _, t := range m.tags {
		p.Keys[t.key] = true
		if t.special == traceStateIs {
			p.All = true // few ask for it, so it has no part of its own
		}
	}
	return p
}

// bound is a matcher on one batch: what holds for a whole resource or scope is known
// before the first row. It serves one goroutine; buffers are kept from batch to batch.
type bound struct {
	*matcher
	batch     *span.Batch
	service   []bool   // by resource: it is the service asked for
	resources []uint64 // by resource: the tags it satisfies
	scopes    []uint64
	keyState  []uint8 // by TextID: what is known of it as a key
	attrState []uint8 // by attribute of the table of spans': the same of its key
	text      []byte
}

// memoryBytes is what it takes, by capacity.
func (b *bound) memoryBytes() int {
	return cap(b.service) + cap(b.keyState) + cap(b.attrState) + cap(b.text) + 8*(cap(b.resources)+cap(b.scopes))
}

// States of a TextID as a key: a span has a dozen attributes, a batch has few keys.
const (
	keyUnknown = iota
	keyOther   // no tag has it
	keyAsked   // at least one tag has it
)

// bind readies the matcher for the rows of b.
func (m *matcher) bind(into *bound, b *span.Batch) {
	m.bindTexts(into, b)
	into.attrState = cleared(into.attrState, len(b.Attrs))
	into.service = into.service[:0]
	into.resources = into.resources[:0]
	into.scopes = into.scopes[:0]
	for i := range b.Resources {
		into.service = append(into.service, m.query.Service == "" || string(b.Bytes(b.Resources[i].Service)) == m.query.Service)
		into.resources = append(into.resources, into.resourceTags(uint32(i)))
	}
	for i := range b.Scopes {
		into.scopes = append(into.scopes, into.scopeTags(uint32(i)))
	}
}

// bindTexts is bind without resources and scopes, for lists of attributes.
func (m *matcher) bindTexts(into *bound, b *span.Batch) {
	into.matcher, into.batch = m, b
	into.keyState = cleared(into.keyState, len(b.TextEnd)+1)
}

// cleared gives a buffer of zeros, in the memory of the old one where it suffices.
func cleared[T any](buffer []T, length int) []T {
	if cap(buffer) < length {
		return make([]T, length)
	}
	buffer = buffer[:length]
	clear(buffer)
	return buffer
}

// resourceTags gives the tags that resource i satisfies.
func (b *bound) resourceTags(i uint32) uint64 {
	attrs := b.batch.ResourceAttrsOf(i)
	got := b.listTags(attrs)
	for left := b.byResource &^ got; left != 0; left &= left - 1 {
		t := &b.tags[bits.TrailingZeros64(left)]
		for j := len(attrs) - 1; j >= 0; j-- {
			if string(b.batch.Bytes(attrs[j].Key)) == t.resourceKey {
				if b.valueIs(t, attrs[j]) {
					got |= left & -left
				}
				break
			}
		}
	}
	return got
}

// scopeTags gives the tags that scope i satisfies.
func (b *bound) scopeTags(i uint32) uint64 {
	got := b.listTags(b.batch.ScopeAttrsOf(i))
	scope := &b.batch.Scopes[i]
	for left := b.byScope &^ got; left != 0; left &= left - 1 {
		t := &b.tags[bits.TrailingZeros64(left)]
		text := scope.Name
		if t.special == scopeVersionIs {
			text = scope.Version
		}
		if string(b.batch.Bytes(text)) == t.value {
			got |= left & -left
		}
	}
	return got
}

// matches reports whether everything asked holds on row pos; its start and duration must
// be in range already (see inRange), which costs less to know.
func (b *bound) matches(pos int) bool {
	batch := b.batch
	resource := batch.ResourceIDs[pos]
	if !b.service[resource] {
		return false
	}
	if b.query.Name != "" && string(batch.Bytes(batch.Names[pos])) != b.query.Name {
		return false
	}
	if b.all == 0 {
		return true
	}
	got := b.resources[resource] | b.scopes[batch.ScopeIDs[pos]]
	if got != b.all && b.byRow != 0 {
		got |= b.rowTags(pos, b.byRow&^got)
	}
	row := span.Row{Batch: batch, Pos: pos}
	if got != b.all {
		got |= b.spanTags(row.AttrIDs())
	}
	if got != b.all {
		begin, end := row.EventRange()
		for i := begin; i < end && got != b.all; i++ {
			got |= b.eventTags(i, b.byEvent&^got)
		}
	}
	if got != b.all {
		begin, end := row.LinkRange()
		for i := begin; i < end && got != b.all; i++ {
			got |= b.listTags(batch.LinkAttrsOf(i))
		}
	}
	return got == b.all
}

// inRange reports whether the times of row pos are in the query's ranges.
func (b *bound) inRange(pos int) bool {
	start := b.batch.Starts[pos]
	if start < b.query.StartMin || start > b.query.StartMax {
		return false
	}
	if b.query.DurationMin == 0 && b.query.DurationMax == 0 {
		return true
	}
	duration := span.Duration(start, b.batch.Ends[pos])
	return duration >= b.query.DurationMin && (b.query.DurationMax == 0 || duration <= b.query.DurationMax)
}

// rowTags tries the special tags of want on the span itself.
func (b *bound) rowTags(pos int, want uint64) (got uint64) {
	batch := b.batch
	for left := want; left != 0; left &= left - 1 {
		t := &b.tags[bits.TrailingZeros64(left)]
		var holds bool
		switch t.special {
		case errorTrue:
			holds = batch.StatusCodes[pos] == span.StatusError
		case errorFalse:
			holds = batch.StatusCodes[pos] != span.StatusError
		case kindIs:
			holds = batch.Kinds[pos] == t.number
		case statusIs:
			holds = batch.StatusCodes[pos] == t.number
		case statusMessageIs:
			holds = string(batch.Bytes(batch.StatusMessages[pos])) == t.value
		case traceStateIs:
			holds = string(batch.Bytes(batch.TraceStates[pos])) == t.value
		}
		if holds {
			got |= left & -left
		}
	}
	return got
}

// eventTags gives the tags that event i satisfies; want are those its name may.
func (b *bound) eventTags(i uint32, want uint64) uint64 {
	got := b.listTags(b.batch.EventAttrsOf(i))
	for left := want; left != 0; left &= left - 1 {
		if string(b.batch.Bytes(b.batch.Events[i].Name)) == b.tags[bits.TrailingZeros64(left)].value {
			got |= left & -left
		}
	}
	return got
}

// listTags gives the tags that one list of attributes satisfies; of a key that stands
// twice the last counts, so the list is read from its end.
func (b *bound) listTags(attrs []span.Attr) (got uint64) {
	var decided uint64
	for i := len(attrs) - 1; i >= 0; i-- {
		if b.isAsked(attrs[i].Key) {
			got, decided = b.attrTags(attrs[i], got, decided)
		}
	}
	return got
}

// spanTags is listTags for the attributes of a span: what is known of their keys is known by id.
func (b *bound) spanTags(ids []uint32) (got uint64) {
	var decided uint64
	for i := len(ids) - 1; i >= 0; i-- {
		id := ids[i]
		state := b.attrState[id]
		if state == keyUnknown {
			b.isAsked(b.batch.Attrs[id].Key)
			state = b.keyState[b.batch.Attrs[id].Key]
			b.attrState[id] = state
		}
		if state == keyAsked {
			got, decided = b.attrTags(b.batch.Attrs[id], got, decided)
		}
	}
	return got
}

// attrTags adds to got the tags that an attribute satisfies, but for those that are decided.
func (b *bound) attrTags(a span.Attr, got, decided uint64) (uint64, uint64) {
	key := b.batch.Bytes(a.Key)
	for j := range b.tags {
		bit := uint64(1) << j
		if decided&bit != 0 || string(key) != b.tags[j].key {
			continue
		}
		decided |= bit
		if b.valueIs(&b.tags[j], a) {
			got |= bit
		}
	}
	return got, decided
}

// isAsked reports whether a tag asks for a key.
func (b *bound) isAsked(key span.TextID) bool {
	state := b.keyState[key]
	return state == keyAsked || state == keyUnknown && b.learnKey(key)
}

// learnKey finds out whether a tag asks for a key, once for each TextID.
func (b *bound) learnKey(id span.TextID) (asked bool) {
	key := b.batch.Bytes(id)
	for j := range b.tags {
		if string(key) == b.tags[j].key {
			b.keyState[id] = keyAsked
			return true
		}
	}
	b.keyState[id] = keyOther
	return false
}

// valueIs compares a value with a tag's as text, without writing the text where the type
// allows that.
func (b *bound) valueIs(t *tagTest, a span.Attr) bool {
	switch a.Type {
	case span.StringValue:
		return string(b.batch.Bytes(span.TextID(a.Value))) == t.value
	case span.IntValue:
		return t.isInt && int64(a.Value) == t.intValue
	case span.BoolValue:
		return t.isBool && a.Value == t.boolValue
	}
	b.text = otlp.AppendText(b.text[:0], b.batch, a)
	return string(b.text) == t.value
}
