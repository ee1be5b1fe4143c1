package engine

import (
	"cmp"

	"github.com/stoadb/stoa/engine/span"
)

// elementsAnswer is what is known of a leaf, or a Some, over events or links.
type elementsAnswer struct {
	known   bool
	best    answer   // over the templates that the group has
	answers []answer // by code of a template
	rests   []node   // by code, what is open of the part for elements of it; nil where nothing is
	yes     []uint64 // bits of the rows with an element for which it holds; nil until a row asks
	may     []uint64
}

// columnAnswer is what is known of a leaf on the values of a column.
type columnAnswer struct {
	inGroup uint8 // answer + 1, 0 where nobody asked yet
	tried   bool
	items   []uint64 // bits of the spans, events or links with a value that passes; nil where they were not looked for
}

// markedMax is how many constants are looked for one by one in a column; with more, each
// value is looked at.
const markedMax = 16

// elementPart is a node that asks something of the elements of a level.
type elementPart interface {
	// element is the part that is asked of each element, whose template j.at has then.
	element() node
}

// ofElements answers a part over all elements of a level.
func (j *judge) ofElements(part elementPart, slot uint32, level span.Level) answer {
	if j.stage == ofSegment {
		return j.inSegment(part, slot, level)
	}
	e := &j.group.elements[slot]
	if !e.known {
		j.learnElements(e, part.element(), level)
	}
	switch {
	case e.best == answerNo:
		return answerNo
	case j.stage == ofGroup:
		return answerOpen
	}
	if e.yes == nil {
		j.markElements(e, level)
	}
	switch {
	case hasBit(e.yes, j.row):
		return answerYes
	case hasBit(e.may, j.row):
		return answerOpen
	}
	return answerNo
}

// inSegment answers a part over all elements of a level for the whole segment: no, where none of
// the templates of the level can satisfy it.
func (j *judge) inSegment(part elementPart, slot uint32, level span.Level) answer {
	if j.elements == nil {
		j.elements = make([]answer, j.filter.slots)
		for i := range j.elements {
			j.elements[i] = answerUnasked
		}
	}
	if j.elements[slot] != answerUnasked {
		return j.elements[slot]
	}
	best := answerNo
	if !j.l.TemplatesWhole()[level] {
		best = answerOpen
	}
	before, class := j.at, j.class
	j.at = [span.Levels]int{unbound, unbound, unbound, unbound, unbound}
	j.class = unbound
	for template := 0; template < j.templates[level].Len() && best == answerNo; template++ {
		j.at[level] = template
		best = min(part.element().judge(j), answerOpen) // which spans have such an element is not known
	}
	j.at, j.class = before, class
	j.elements[slot] = best
	return best
}

// learnElements asks each template of the level that the group has. What else the row has is
// not known then.
func (j *judge) learnElements(e *elementsAnswer, part node, level span.Level) {
	before, class, stage := j.at, j.class, j.stage
	shared, whole := j.group.scan.Templates(level)
	*e = elementsAnswer{known: true, answers: make([]answer, len(shared)), rests: make([]node, len(shared))}
	if !whole {
		e.best = answerOpen
	}
	j.at = [span.Levels]int{unbound, unbound, unbound, unbound, unbound}
	j.class, j.stage = unbound, ofGroup
	for code, template := range shared {
		j.at[level] = int(template)
		e.answers[code] = part.judge(j)
		if e.best = max(e.best, e.answers[code]); e.answers[code] == answerOpen {
			e.rests[code] = j.restOf(part)
		}
	}
	j.at, j.class, j.stage = before, class, stage
}

// markElements finds the rows that have an element for which the part holds, and those where
// that is open: each element is asked by its template, its time and its values in columns.
func (j *judge) markElements(e *elementsAnswer, level span.Level) {
	words := (j.group.info.Rows + 63) / 64
	e.yes, e.may = make([]uint64, words), make([]uint64, words)
	codes, err := j.group.scan.Items(level)
	ends, endsErr := j.group.scan.Ends(level)
	if err != nil || endsErr != nil {
		j.err = cmp.Or(err, endsErr)
		return
	}
	before, class, row := j.at, j.class, j.row
	shared, _ := j.group.scan.Templates(level)
	j.at = [span.Levels]int{unbound, unbound, unbound, unbound, unbound}
	j.class, j.stage, j.row = unbound, ofItem, 0
	for item, code := range codes {
		a := answerOpen // a template of the group's own
		if int(code) < len(e.answers) {
			a = e.answers[code]
		}
		if a == answerNo {
			continue
		}
		for ends[j.row] <= uint32(item) {
			j.row++
		}
		if a == answerOpen && int(code) < len(e.answers) && !hasBit(e.yes, j.row) {
			j.at[level], j.item = int(shared[code]), item
			a = e.rests[code].judge(j)
		}
		switch bit := uint64(1) << (j.row % 64); a {
		case answerYes:
			e.yes[j.row/64] |= bit
		case answerOpen:
			e.may[j.row/64] |= bit
		}
	}
	j.at, j.class, j.stage, j.row = before, class, ofRow, row
}

// askEventTime answers a leaf on the time of an event.
func (j *judge) askEventTime(f span.Field, test valueTest) answer {
	g := &j.group
	if g.offsets == nil {
		codes, err := g.scan.Items(span.EventLevel)
		if err == nil {
			g.offsets, err = g.scan.EventOffsets(len(codes))
		}
		if err != nil {
			j.err = err
			return answerOpen
		}
	}
	start := g.starts[j.row]
	v := filterValue{kind: instantKind, bits: start + g.offsets[j.item]}
	if f == span.EventTimeSinceStart {
		v = filterValue{kind: durationKind, bits: uint64(sinceStart(v.bits, start))}
	}
	return asked(test, j.runs[span.EventLevel], v)
}

func (j *judge) columnOf(slot, column uint32) *columnAnswer {
	key := columnTest{slot, column}
	at, ok := j.columns[key]
	if !ok {
		at = uint32(len(j.columns))
		j.columns[key] = at
	}
	for int(at) >= len(j.group.columns) {
		j.group.columns = append(j.group.columns, columnAnswer{})
	}
	return &j.group.columns[at]
}

// itemsOf gives the spans, events or links of the group with a value in a column that passes;
// nil where the type of its values is not compared here. The column is looked through once,
// where it stands packed, and a text that stands there for many rows is asked once.
func (j *judge) itemsOf(c *columnAnswer, level span.Level, column uint32, kind span.ValueType, test valueTest) []uint64 {
	if c.tried {
		return c.items
	}
	c.tried = true
	g := &j.group
	var found []uint32
	var err error
	equal, isEqual := test.(*equalTest)
	run := j.runs[level]
	passes := func(v filterValue) bool {
		if !j.effort.spend(1) {
			return false
		}
		run.tested = v
		return test.passes(run, &run.tested)
	}
	text := func(text []byte) bool { return passes(filterValue{kind: textKind, text: text}) }
	number := func(kind valueKind) func(uint64) bool {
		return func(bits uint64) bool { return passes(filterValue{kind: kind, bits: bits}) }
	}
	switch isFew := g.isFew; {
	case isEqual && kind == span.StringValue && len(equal.texts.list) <= markedMax:
		for _, text := range equal.texts.list {
			if found, err = g.scan.ItemsEqual(found, column, []byte(text), 0); err != nil {
				break
			}
		}
	case isEqual && kind == span.IntValue && len(equal.ints.list) <= markedMax:
		for _, v := range equal.ints.list {
			if found, err = g.scan.ItemsEqual(found, column, nil, uint64(v)); err != nil {
				break
			}
		}
	case isFew:
		return nil
	case kind == span.StringValue:
		found, err = g.scan.ItemsWhere(nil, column, text, nil)
	case kind == span.IntValue:
		found, err = g.scan.ItemsWhere(nil, column, nil, number(intKind))
	case kind == span.DoubleValue:
		found, err = g.scan.ItemsWhere(nil, column, nil, func(bits uint64) bool {
			return passes(filterValue{kind: doubleKind, bits: bits, attr: span.Attr{Type: span.DoubleValue, Value: bits}})
		})
	case kind == span.BoolValue:
		found, err = g.scan.ItemsWhere(nil, column, nil, number(boolKind))
	default:
		return nil
	}
	codes, itemsErr := g.scan.Items(level)
	if j.err = cmp.Or(j.err, err, itemsErr); j.failure() != nil {
		return nil
	}
	c.items = make([]uint64, (len(codes)+63)/64)
	for _, item := range found {
		c.items[item/64] |= 1 << (item % 64)
	}
	return c.items
}
