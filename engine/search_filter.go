package engine

import (
	"math/bits"

	"github.com/stoadb/stoa/engine/span"
)

// What a search on a segment asks of the query's filter; see judge.

// judgeTemplates answers for the templates and resources that the row group has; false where
// no row of it can match.
func (s *segmentSearch) judgeTemplates() bool {
	g := s.group
	g.answers = cleared(g.answers, (len(g.fits)+1)*len(s.judge.classes)) // of what does not fit: no
	return s.judgePairs(func(a answer, template, class int) answer { return s.judge.pair(template, class) })
}

// judgeGroup answers for what that left open by what the group knows beside.
func (s *segmentSearch) judgeGroup() (bool, error) {
	s.judge.enter(s.group.index, &s.group.scan)
	s.group.rests, s.group.counted = cleared(s.group.rests, len(s.group.answers)), false
	may := s.judgePairs(func(a answer, template, class int) answer {
		if a != answerOpen {
			return a
		}
		return s.judge.inGroup(template, class)
	})
	return may, s.judge.failure()
}

// judgePairs renews the answers by code and class. Beyond the codes of shared templates there
// is one for all of the group's own.
func (s *segmentSearch) judgePairs(of func(a answer, template, class int) answer) (may bool) {
	g, j := s.group, s.judge
	classes, present := len(j.classes), uint64(0)
	for _, c := range g.served {
		present |= 1 << j.classOf[s.served.Resources[c.at]]
	}
	renew := func(code, template int) {
		for left := present; left != 0; left &= left - 1 {
			class := bits.TrailingZeros64(left)
			a := &g.answers[code*classes+class]
			*a = of(*a, template, class)
			may = may || *a != answerNo
		}
	}
	for _, c := range g.common[span.SpanLevel] {
		if g.fits[c.code] {
			renew(int(c.code), int(s.levels[span.SpanLevel].ids[c.at]))
		}
	}
	if _, whole := g.scan.Templates(span.SpanLevel); !whole {
		renew(len(g.fits), unbound)
	}
	return may
}

// judgeRow answers for a row.
func (s *segmentSearch) judgeRow(row int, resource uint32) (answer, error) {
	g, j := s.group, s.judge
	shared := len(g.fits)
	code, class := min(int(g.items[row]), shared), int(j.classOf[resource])
	pair := code*len(j.classes) + class
	a := g.answers[pair]
	if a != answerOpen {
		return a, nil
	}
	template := unbound
	if code < shared {
		list, _ := g.scan.Templates(span.SpanLevel)
		template = int(list[code])
	}
	if !g.counted {
		g.counted = true
		j.group.isFew = s.openRows() <= fewRows
	}
	if g.rests[pair] == nil {
		g.rests[pair] = j.rest(template, class)
	}
	return j.ofRow(g.rests[pair], row, template, class, g.starts)
}

// openRows counts the rows of which templates and resources leave the filter open.
func (s *segmentSearch) openRows() (open int) {
	g, j := s.group, s.judge
	resources, _ := g.scan.Resources()
	for word, left := range g.left {
		for ; left != 0; left &= left - 1 {
			row := word*64 + bits.TrailingZeros64(left)
			class := int(j.classOf[resources[g.codes[row]]])
			if g.answers[min(int(g.items[row]), len(g.fits))*len(j.classes)+class] == answerOpen {
				open++
			}
		}
	}
	return open
}
