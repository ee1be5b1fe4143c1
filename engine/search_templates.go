package engine

import (
	"math/bits"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// What the templates of a segment say of a query, worked out once for all of its row groups.

// levelTags is what the templates of a level say of the tags.
type levelTags struct {
	templates *segment.Templates
	// ids are the templates that count, ascending, with what each says in tags: of spans those
	// that may match, of events and links those that may satisfy some tag.
	ids      []uint32
	tags     []templateTags
	places   places // of ids
	filtered uint64 // tags that some template has among its filtered ones
	known    uint64 // that some template satisfies, or may by other values
	open     uint64 // and among those that it says a row may satisfy besides
}

// templateTags is what one template says of the tags.
type templateTags struct {
	holds    uint64
	filtered uint64 // may hold by values in columns that have filters
	other    uint64 // may hold by other values of the row
	exact    uint64 // among filtered: a value of the row that stands in a column of the key is the one that counts
}

// any gives the tags that hold or may hold.
func (t *templateTags) any() uint64 { return t.holds | t.filtered | t.other }

// candidates gives the templates of spans that may match, ascending: those of the operations
// that the service has, and of them, by the terms, those that may have each tag. Tags in above
// hold by a resource or scope. possible is false where nothing of the segment can match.
func (s *segmentSearch) candidates(above uint64) (ids []uint32, possible bool, err error) {
	ids = s.ofService()
	whole := s.whole
	if len(ids) == 0 && whole[span.SpanLevel] {
		return nil, false, nil
	}
	var standing segment.Terms
	terms, err := s.l.Terms()
	if err != nil || len(terms.Columns()) == 0 { // a segment may do without terms
		return ids, true, err
	}
	for j := range s.tags {
		t := &s.tags[j]
		if above&(1<<j) != 0 || t.special != plain || !whole[span.SpanLevel] || !whole[span.EventLevel] || !whole[span.LinkLevel] {
			continue
		}
		if standing.Terms == nil {
			if standing, err = s.l.Standing(); err != nil {
				return nil, false, err
			}
		}
		spans, elsewhere, err := s.withTag(terms, standing, j)
		if err != nil {
			return nil, false, err
		}
		if elsewhere {
			continue
		}
		ids = slices.DeleteFunc(ids, func(id uint32) bool { return int(id/64) >= len(spans) || !hasBit(spans, int(id)) })
		if len(ids) == 0 {
			return nil, false, nil
		}
	}
	return ids, true, nil
}

// ofService gives the templates of spans of the service and name that the query may be about,
// ascending: as the standing terms tell, or else by operations.
func (s *segmentSearch) ofService() (ids []uint32) {
	of := s.served.Templates
	if of == nil {
		return s.ofOperations()
	}
	if s.query.Name != "" {
		for _, id := range s.levels[span.SpanLevel].templates.Named([]byte(s.query.Name)) {
			if int(id/64) < len(of) && hasBit(of, int(id)) {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		return ids
	}
	for word, left := range of {
		for ; left != 0; left &= left - 1 {
			ids = append(ids, uint32(word*64+bits.TrailingZeros64(left)))
		}
	}
	return ids
}

// ofOperations gives the templates of spans of the operations that the query may be about. A
// template has a name and a kind, and the catalog knows which of them go with a service, unless
// there are too many: then the service says nothing here.
func (s *segmentSearch) ofOperations() (ids []uint32) {
	t, q, catalog := s.levels[span.SpanLevel].templates, &s.query, s.l.Catalog()
	switch {
	case q.Service != "" && catalog.Complete() && catalog.Count(q.Service) <= operationsAskedMax:
		catalog.Each(q.Service, func(name string, kind int32) {
			if q.Name == "" || name == q.Name {
				ids = append(ids, t.OfOperation([]byte(name), kind)...)
			}
		})
		slices.Sort(ids)
	case q.Name != "":
		ids = slices.Clone(t.Named([]byte(q.Name)))
		slices.Sort(ids)
	default:
		ids = counting(t.Len())
	}
	return ids
}

// withTag gives the templates of spans that may have a tag, as bits, by the terms, by the
// columns that stand alone with their standing terms, and by the map column. elsewhere says that an event or a link may have it, or that
// the terms cannot tell.
func (s *segmentSearch) withTag(terms, standing segment.Terms, j int) (spans []uint64, elsewhere bool, err error) {
	spans = []uint64{}
	for _, level := range templateLevels {
		if level != span.SpanLevel && len(s.levels[level].templates.MappedIDs) > 0 {
			return nil, true, nil
		}
		for _, id := range s.columns[j].byLevel[level] {
			kind := s.l.ColumnType(id)
			own := s.levels[level].templates.Own[id]
			if kind != span.StringValue && kind != span.IntValue && kind != span.BoolValue || level != span.SpanLevel && len(own) > 0 {
				return nil, true, nil
			}
			found, _, err := terms.Lookup(id, []byte(s.tags[j].value))
			if err != nil {
				return nil, false, err
			}
			if level != span.SpanLevel {
				if found.Cardinality() > 0 {
					return nil, true, nil
				}
				continue
			}
			spans = found.Bits(spans)
			stands, _, err := standing.Lookup(id, []byte(s.tags[j].value))
			if err != nil {
				return nil, false, err
			}
			if stands.Cardinality() > 0 {
				spans = stands.Bits(spans)
				continue
			}
			for _, template := range own { // nothing is known of the value
				spans = withBit(spans, template)
			}
		}
	}
	for _, template := range s.levels[span.SpanLevel].templates.MappedIDs {
		spans = withBit(spans, template)
	}
	return spans, false, nil
}

func withBit(set []uint64, i uint32) []uint64 {
	for int(i/64) >= len(set) {
		set = append(set, 0)
	}
	set[i/64] |= 1 << (i % 64)
	return set
}

// tell works out what each candidate says of the tags; others fit nothing.
func (t *levelTags) tell(m *matcher, level span.Level, scopes []uint64, candidates []uint32) {
	t.ids = candidates[:0]
	if len(candidates) == 0 {
		return
	}
	t.tags = make([]templateTags, 0, len(candidates))
	b := &m.group.told
	if m.all != 0 {
		m.bindTexts(b, t.templates.Batch)
	}
	for _, id := range candidates {
		out := templateTags{}
		if m.all != 0 {
			out = t.tellOne(b, level, scopes, int(id))
		}
		t.filtered |= out.filtered
		t.known |= out.holds | out.other
		if t.open |= out.other; level != span.SpanLevel {
			t.open |= out.holds
			if out.any() == 0 {
				continue
			}
		}
		t.ids, t.tags = append(t.ids, id), append(t.tags, out)
	}
}

func (t *levelTags) tellOne(b *bound, level span.Level, scopes []uint64, id int) (out templateTags) {
	out = b.templateTags(span.Row{Batch: t.templates.Batch, Pos: id}.AttrIDs())
	if t.templates.Mapped[id] { // an attribute there may be the last of its key
		out.holds, out.other, out.exact = 0, b.all, 0
	}
	switch level {
	case span.SpanLevel:
		out.holds |= scopes[t.templates.ScopeIDs[id]] | b.rowTags(id, b.byRow)
		if t.templates.OpenMessage[id] || t.templates.OpenState[id] {
			out.other |= b.byRow
		}
	case span.EventLevel:
		for left := b.byEvent; left != 0; left &= left - 1 {
			if string(t.templates.Bytes(t.templates.Names[id])) == b.tags[bits.TrailingZeros64(left)].value {
				out.holds |= left & -left
			}
		}
	}
	out.exact &^= out.other
	return out
}

// keep drops the templates of spans that cannot satisfy every tag, whatever stands beside them.
func (t *levelTags) keep(all, beside uint64) {
	n := 0
	for i := range t.ids {
		if t.tags[i].any()|beside == all {
			t.ids[n], t.tags[n] = t.ids[i], t.tags[i]
			n++
		}
	}
	t.ids, t.tags = t.ids[:n], t.tags[:n]
}

// places tells where in an ascending list a number stands, by its bit and the count of those
// before. A row group has some hundred templates, of which few count: one look at each is less
// than walking along both lists. Where the list is a few numbers, these are looked for in the
// group's.
type places struct {
	ids    []uint32
	set    []uint64 // nil until they are counted
	before []uint32 // of each word
}

// searchSteps is about what it costs to look for one number in a row group's list, in looks at one
// of its numbers.
const searchSteps = 16

// count counts the numbers.
func (p *places) count() {
	words := p.ids[len(p.ids)-1]/64 + 1
	p.set, p.before = make([]uint64, words), make([]uint32, words)
	for _, id := range p.ids {
		p.set[id/64] |= 1 << (id % 64)
	}
	for word := 1; word < len(p.set); word++ {
		p.before[word] = p.before[word-1] + uint32(bits.OnesCount64(p.set[word-1]))
	}
}

// common is what a list of a row group and one of the search both have: its place in each. The
// place in the group's is its code there.
type common struct{ code, at uint32 }

// inCommon appends what an ascending list of a row group has in common with the search's.
func (p *places) inCommon(dst []common, group []uint32) []common {
	if len(p.ids)*searchSteps < len(group) {
		code := 0
		for at, id := range p.ids {
			more, found := slices.BinarySearch(group[code:], id)
			if code += more; found {
				dst = append(dst, common{uint32(code), uint32(at)})
			}
		}
		return dst
	}
	if len(p.ids) > 0 && p.set == nil {
		p.count()
	}
	for code, id := range group {
		word := int(id / 64)
		if word >= len(p.set) {
			break
		}
		if set, bit := p.set[word], uint64(1)<<(id%64); set&bit != 0 {
			dst = append(dst, common{uint32(code), p.before[word] + uint32(bits.OnesCount64(set&(bit-1)))})
		}
	}
	return dst
}

// templateTags is listTags over the attributes of a template: besides the tags that hold it
// gives those that values standing with the row may satisfy.
func (b *bound) templateTags(ids []uint32) (out templateTags) {
	var decided uint64
	for i := len(ids) - 1; i >= 0; i-- {
		a := b.batch.Attrs[ids[i]]
		if !b.isAsked(a.Key) {
			continue
		}
		key := b.batch.Bytes(a.Key)
		for j := range b.tags {
			bit := uint64(1) << j
			if string(key) != b.tags[j].key {
				continue
			}
			isOpen := a.Type == segment.OpenFiltered || a.Type == segment.OpenOther
			if decided&bit != 0 {
				if isOpen { // a row has two values of the key with it, and the columns do not say which
					out.exact &^= bit
				}
				continue
			}
			decided |= bit
			switch {
			case a.Type == segment.OpenFiltered:
				out.filtered |= bit
				out.exact |= bit
			case isOpen:
				out.other |= bit
			case b.valueIs(&b.tags[j], a):
				out.holds |= bit
			}
		}
	}
	return out
}
