package engine

import (
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// node is a part of a compiled filter. All leaves are positive and each source is of one
// level: compiling turns negated leaves and unqualified references into these.
type node interface {
	holds(r *filterRun) bool
	judge(j *judge) answer // what holds is, as far as it is known without the row
	reads() levelSet
	cost() int // roughly, in looks at a value
}

// levelSet has a bit for each level whose values a node depends on.
type levelSet uint8

func only(level span.Level) levelSet { return 1 << level }

// truth is a node that depends on nothing.
type truth bool

func (n truth) holds(*filterRun) bool { return bool(n) }
func (n truth) judge(*judge) answer   { return answerOf(bool(n)) }
func (truth) reads() levelSet         { return 0 }
func (truth) cost() int               { return 0 }

// allOf and anyOf have their cheapest part first.
type (
	allOf []node
	anyOf []node
)

func (n allOf) holds(r *filterRun) bool {
	for _, part := range n {
		if !part.holds(r) {
			return false
		}
	}
	return true
}

func (n anyOf) holds(r *filterRun) bool {
	for _, part := range n {
		if part.holds(r) {
			return true
		}
	}
	return false
}

func (n allOf) judge(j *judge) answer {
	least := answerYes
	for _, part := range n {
		if least = min(least, part.judge(j)); least == answerNo {
			break
		}
	}
	return least
}

func (n anyOf) judge(j *judge) answer {
	most := answerNo
	for _, part := range n {
		if most = max(most, part.judge(j)); most == answerYes {
			break
		}
	}
	return most
}

func (n allOf) reads() levelSet { return readsOf(n) }
func (n anyOf) reads() levelSet { return readsOf(n) }
func (n allOf) cost() int       { return costOf(n) }
func (n anyOf) cost() int       { return costOf(n) }

func readsOf(parts []node) (set levelSet) {
	for _, part := range parts {
		set |= part.reads()
	}
	return set
}

func costOf(parts []node) (sum int) {
	for _, part := range parts {
		sum += part.cost()
	}
	return sum
}

// notNode holds where its part does not.
type notNode struct{ part node }

func (n notNode) holds(r *filterRun) bool { return !n.part.holds(r) }
func (n notNode) judge(j *judge) answer   { return answerYes - n.part.judge(j) }
func (n notNode) reads() levelSet         { return n.part.reads() }
func (n notNode) cost() int               { return n.part.cost() }

// someNode binds the elements of a level one after another.
type someNode struct {
	level span.Level
	part  node
	slot  uint32 // its number among what reads elements and columns
}

func (n someNode) holds(r *filterRun) bool {
	bound := &r.event
	if n.level == span.LinkLevel {
		bound = &r.link
	}
	begin, end := r.elements(n.level)
	found := false
	for i := begin; i < end && !found && r.effort.spend(1); i++ {
		*bound = int64(i)
		found = n.part.holds(r)
	}
	*bound = unbound
	return found
}

func (n someNode) judge(j *judge) answer {
	if j.at[span.EventLevel] != unbound || j.at[span.LinkLevel] != unbound {
		return answerOpen // inside another Some, where the row is not known
	}
	return j.ofElements(n, n.slot, n.level)
}

func (n someNode) element() node { return n.part }

func (n someNode) reads() levelSet { return n.part.reads() | only(n.level) }
func (n someNode) cost() int       { return 4 * n.part.cost() }

// testLeaf holds where one value of the source passes.
type testLeaf struct {
	source source
	test   valueTest
	slot   uint32
}

func (n *testLeaf) holds(r *filterRun) bool {
	begin, end := r.elements(n.source.level)
	for i := begin; i < end && r.effort.spend(1); i++ {
		var ok bool
		if r.tested, ok = r.value(&n.source, i, 0); ok && n.test.passes(r, &r.tested) {
			return true
		}
	}
	return false
}

func (n *testLeaf) judge(j *judge) answer {
	if j.overElements(n.source.level) {
		return j.ofElements(n, n.slot, n.source.level)
	}
	return j.ask(&n.source, n.slot, n.test)
}

func (n *testLeaf) element() node { return n }

// overElements reports whether a leaf on a level means any element, and the row is known.
func (j *judge) overElements(level span.Level) bool {
	return (level == span.EventLevel || level == span.LinkLevel) && j.at[span.EventLevel] == unbound && j.at[span.LinkLevel] == unbound
}

func (n *testLeaf) reads() levelSet { return n.source.reads() }
func (n *testLeaf) cost() int       { return n.source.cost() * n.test.cost() }

// reads is the level, and the span's where the field is counted from its start.
func (s *source) reads() levelSet {
	set := only(s.level)
	if s.field == span.EventTimeSinceStart {
		set |= only(span.SpanLevel)
	}
	return set
}

func (s *source) cost() int {
	cost := 1
	if s.field == span.NoField {
		cost = 4 // a list to look through
	}
	if s.level == span.EventLevel || s.level == span.LinkLevel {
		cost *= 4
	}
	return cost
}

// existsLeaf holds where the source has a value.
type existsLeaf struct {
	source source
	slot   uint32
}

func (n *existsLeaf) holds(r *filterRun) bool {
	begin, end := r.elements(n.source.level)
	for i := begin; i < end && r.effort.spend(1); i++ {
		if r.has(&n.source, i) {
			return true
		}
	}
	return false
}

func (n *existsLeaf) judge(j *judge) answer {
	if j.overElements(n.source.level) {
		return j.ofElements(n, n.slot, n.source.level)
	}
	return j.ask(&n.source, n.slot, nil)
}

func (n *existsLeaf) element() node { return n }

func (n *existsLeaf) reads() levelSet { return n.source.reads() }
func (n *existsLeaf) cost() int       { return n.source.cost() }

// pairLeaf holds where a value of the left source and one of the right are in the order
// asked.
type pairLeaf struct {
	op          span.Comparator // not NotEqual
	left, right source
}

func (n *pairLeaf) holds(r *filterRun) bool {
	begin, end := r.elements(n.left.level)
	for i := begin; i < end && r.effort.spend(1); i++ {
		if left, ok := r.value(&n.left, i, 0); ok && n.anyRight(r, &left) {
			return true
		}
	}
	return false
}

func (n *pairLeaf) anyRight(r *filterRun, left *filterValue) bool {
	begin, end := r.elements(n.right.level)
	for i := begin; i < end && r.effort.spend(1); i++ {
		right, ok := r.value(&n.right, i, 1)
		if !ok {
			continue
		}
		if n.op == span.Equal {
			if r.equalValues(left, &right) {
				return true
			}
		} else if order, meet := orderValues(left, &right); meet && inOrder(n.op, order) {
			return true
		}
	}
	return false
}

// judge leaves two values of a span to be read: few ask for that.
func (n *pairLeaf) judge(*judge) answer { return answerOpen }

func (n *pairLeaf) reads() levelSet { return n.left.reads() | n.right.reads() }
func (n *pairLeaf) cost() int       { return n.left.cost() * n.right.cost() }

// memoNode remembers what its part is for each resource, or for each scope: the part reads
// nothing else.
type memoNode struct {
	part    node
	slot    int
	byScope bool
}

func (n *memoNode) holds(r *filterRun) bool {
	ids := r.batch.ResourceIDs
	if n.byScope {
		ids = r.batch.ScopeIDs
	}
	id := ids[r.pos]
	known := &r.memos[n.slot][id]
	if *known == notYet {
		*known = holdsNot
		if n.part.holds(r) {
			*known = holdsTrue
		}
	}
	return *known == holdsTrue
}

func (n *memoNode) judge(j *judge) answer {
	if !n.byScope {
		if j.class == unbound || j.classes[j.class] == nil {
			return answerOpen
		}
		return answerOf(j.classes[j.class][n.slot])
	}
	if j.at[span.SpanLevel] == unbound {
		return answerOpen
	}
	run := j.runs[span.ScopeLevel]
	run.pos = int(j.templates[span.SpanLevel].ScopeIDs[j.at[span.SpanLevel]])
	return answerOf(n.holds(run))
}

func (n *memoNode) reads() levelSet { return n.part.reads() }
func (n *memoNode) cost() int       { return 0 }

// remembered wraps the largest parts of a tree that depend on the resource alone or the
// scope alone, and puts the cheapest parts first. It counts the memos.
func (f *compiledFilter) remembered(n node) node {
	reads := n.reads()
	if reads == only(span.ResourceLevel) || reads == only(span.ScopeLevel) {
		memo := &memoNode{part: n, slot: f.memos, byScope: reads == only(span.ScopeLevel)}
		f.memos++
		if !memo.byScope {
			f.onResource = append(f.onResource, memo)
		}
		return memo
	}
	switch n := n.(type) {
	case allOf:
		return allOf(f.rememberedParts(n))
	case anyOf:
		return anyOf(f.rememberedParts(n))
	case notNode:
		return notNode{f.remembered(n.part)}
	case someNode:
		return someNode{n.level, f.remembered(n.part), n.slot}
	}
	return n
}

func (f *compiledFilter) rememberedParts(parts []node) []node {
	parts = slices.Clone(parts)
	for i := range parts {
		parts[i] = f.remembered(parts[i])
	}
	slices.SortStableFunc(parts, func(a, b node) int { return a.cost() - b.cost() })
	return parts
}
