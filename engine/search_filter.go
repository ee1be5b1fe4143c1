package engine

import (
	"math/bits"

	"github.com/stoadb/stoa/engine/span"
)

// What a search on a segment asks of the query's filter; see judge.

// judgeTemplates answers for the templates and resources that the row group has; false where
// no row of it can match.
func (s *segmentSearch) judgeTemplates() bool {
	return s.judgePairs(func(a answer, template, class int) answer { return s.judge.pair(template, class) })
}

// judgeGroup answers for what that left open by what the group knows beside.
func (s *segmentSearch) judgeGroup() (bool, error) {
	s.judge.enter(s.group.index, s.group.scan)
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
	g, j := &s.group, s.judge
	shared, whole := g.scan.Templates(span.SpanLevel)
	classes := len(j.classes)
	if n := (len(shared) + 1) * classes; len(g.answers) != n {
		g.answers = cleared(g.answers, n)
	}
	present := uint64(0)
	resources, _ := g.scan.Resources()
	for _, id := range resources {
		if s.service[id] {
			present |= 1 << j.classOf[id]
		}
	}
	for code := range len(shared) + 1 {
		template := unbound
		if code < len(shared) {
			template = int(shared[code])
		}
		for class := range classes {
			a := &g.answers[code*classes+class]
			if present>>class&1 == 0 || template == unbound && whole || template != unbound && !g.fits[code] {
				*a = answerNo
				continue
			}
			*a = of(*a, template, class)
			may = may || *a != answerNo
		}
	}
	return may
}

// judgeRow answers for a row.
func (s *segmentSearch) judgeRow(row int, resource uint32) (answer, error) {
	g, j := &s.group, s.judge
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
	g, j := &s.group, s.judge
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
