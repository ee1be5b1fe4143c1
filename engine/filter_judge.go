package engine

import (
	"cmp"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
)

// answer is what is known of a part of a filter before a row is read. The order makes an
// and the least of its parts, an or the greatest, and a not the other way round.
type answer uint8

const (
	answerNo answer = iota
	answerOpen
	answerYes
	answerUnasked
)

func answerOf(holds bool) answer {
	if holds {
		return answerYes
	}
	return answerNo
}

// judge answers a filter by what a segment knows without making rows. It knows more from
// stage to stage, and each stage asks only what the one before left open:
//
//  1. of a segment: the template of a span and the class of its resource, and whether any
//     template of events or links will do. The answer is remembered for each pair, and serves
//     all row groups;
//  2. of a row group: the templates of its events and links, the filters of its columns, its
//     ranges of time;
//  3. of a row, and of an event or a link of it: its times, which templates its events and
//     links have, and whether a value of it that stands in a column passes. Columns are asked
//     once for all rows of the group, see itemsOf and timesOf.
//
// What is open then is read. An answer is never wrong: a part of which something is not
// known is open, and so is what depends on it. It serves one goroutine.
type judge struct {
	filter    *compiledFilter
	l         *segment.Segment
	templates [span.Levels]*segment.Templates
	runs      [span.Levels]*filterRun // bound to what templates, resources and scopes have
	columns   map[columnTest]uint32   // positions in group.columns

	elements []answer // by slot, of parts over all elements of a level in the segment; nil until one is asked

	classOf []uint8  // by resource
	classes [][]bool // by class: what the parts that read the resource alone are, by memo slot
	known   []uint8  // by template and class: answer + 1, 0 where nobody asked yet
	stage   stage
	at      [span.Levels]int // the template that a level has, or unbound
	class   int              // of the resource, or unbound
	row     int
	item    int // ofItem: the event or link, by its number in the group
	group   groupJudge

	effort *effort
	err    error // of what was read
}

// stage is how much a judge may use.
type stage uint8

const (
	ofSegment stage = iota
	ofGroup
	ofRow
	ofItem // an event or a link of a row
)

// classesMax bounds the classes of resources: those beyond are one whose answers are open.
const classesMax = 64

// columnTest is a leaf on the values of a column.
type columnTest struct{ slot, column uint32 }

// newJudge readies a filter for a segment.
func newJudge(f *compiledFilter, e *effort, l *segment.Segment) (*judge, error) {
	j := &judge{filter: f, effort: e, l: l, class: unbound, columns: make(map[columnTest]uint32)}
	for _, level := range templateLevels {
		var err error
		if j.templates[level], err = l.Templates(level); err != nil {
			return nil, err
		}
		j.runs[level] = f.run(e)
		j.runs[level].bind(j.templates[level].Batch)
	}
	j.at = [span.Levels]int{unbound, unbound, unbound, unbound, unbound}
	resources, scopes := *l.Resources(), *l.Scopes()
	resources.ResourceIDs, scopes.ScopeIDs = counting(len(resources.Resources)), counting(len(scopes.Scopes))
	j.runs[span.ResourceLevel], j.runs[span.ScopeLevel] = f.run(e), f.run(e)
	j.runs[span.ResourceLevel].bind(&resources)
	j.runs[span.ScopeLevel].bind(&scopes)
	j.classify(len(resources.Resources))
	j.known = make([]uint8, j.templates[span.SpanLevel].Len()*len(j.classes))
	return j, j.failure()
}

// failure is why answers count for nothing, if they do.
func (j *judge) failure() error { return cmp.Or(j.err, j.effort.err) }

// counting gives 0 to n-1: each resource, or scope, as a row of its own.
func counting(n int) []uint32 {
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = uint32(i)
	}
	return ids
}

// classify puts the resources of which all parts of the filter say the same into one class:
// templates times resources would be many pairs, templates times classes are few.
func (j *judge) classify(resources int) {
	run := j.runs[span.ResourceLevel]
	j.classOf = make([]uint8, resources)
	byText := make(map[string]uint8)
	text := make([]byte, len(j.filter.onResource))
	for i := range j.classOf {
		run.pos = i
		for k, part := range j.filter.onResource {
			text[k] = byte(answerOf(part.holds(run)))
		}
		class, ok := byText[string(text)]
		if !ok && len(j.classes) == classesMax {
			class, ok = classesMax-1, true
			j.classes[class] = nil
		}
		if !ok {
			class = uint8(len(j.classes))
			byText[string(text)] = class
			says := make([]bool, j.filter.memos)
			for k, part := range j.filter.onResource {
				says[part.slot] = text[k] == byte(answerYes)
			}
			j.classes = append(j.classes, says)
		}
		j.classOf[i] = class
	}
}

// mayMatch reports whether any resource of the segment can have a span on which the filter
// holds.
func (j *judge) mayMatch() bool {
	j.stage, j.at[span.SpanLevel] = ofSegment, unbound
	for class := range j.classes {
		if j.class = class; j.filter.root.judge(j) != answerNo {
			return true
		}
	}
	return false
}

// mayBe reports whether the filter can hold on a span of a template, under some resource.
func (j *judge) mayBe(template int) bool {
	for class := range j.classes {
		if j.pair(template, class) != answerNo {
			return true
		}
	}
	return false
}

// pair answers for a template and a class; template unbound is one that is not known.
func (j *judge) pair(template, class int) answer {
	j.stage, j.at[span.SpanLevel], j.class = ofSegment, template, class
	if template == unbound {
		return j.filter.root.judge(j)
	}
	known := &j.known[template*len(j.classes)+class]
	if *known == 0 {
		*known = 1 + uint8(j.filter.root.judge(j))
	}
	return answer(*known - 1)
}

// ask answers a leaf on what its level has; test nil asks whether there is a value.
func (j *judge) ask(s *source, slot uint32, test valueTest) answer {
	if !j.effort.spend(1) {
		return answerOpen
	}
	if s.level == span.SpanLevel && (s.field == span.SpanStartTime || s.field == span.SpanEndTime || s.field == span.SpanDuration) {
		return j.askTime(s.field, slot, test)
	}
	at := j.at[s.level]
	if at == unbound {
		return answerOpen
	}
	if s.field != span.NoField {
		return j.askField(s.field, at, test)
	}
	t := j.templates[s.level]
	if t.Mapped[at] {
		return answerOpen
	}
	run := j.runs[s.level]
	ids := span.Row{Batch: t.Batch, Pos: at}.AttrIDs()
	for i := len(ids) - 1; i >= 0; i-- {
		a := t.Attrs[ids[i]]
		if !run.isKey(a.Key, s.key) {
			continue
		}
		switch {
		case test == nil:
			return answerYes
		case a.Type < span.ValueTypes:
			run.tested = attrValue(t.Batch, a)
			return answerOf(test.passes(run, &run.tested))
		}
		return j.askColumn(s.level, ids[:i], a, slot, test)
	}
	return answerNo
}

// isKey reports whether a text is a key of the filter.
func (r *filterRun) isKey(id span.TextID, key uint16) bool {
	state := r.keyOf[id]
	if state == keyUnasked {
		state = r.learnKey(id)
	}
	return state == keyInUse+key
}

// askField answers for a field that is no time of the span.
func (j *judge) askField(f span.Field, at int, test valueTest) answer {
	level := f.Level()
	t, run := j.templates[level], j.runs[level]
	switch f {
	case span.SpanName, span.SpanKind, span.SpanStatus:
	case span.SpanStatusMessage:
		if t.OpenMessage[at] {
			return answerOpen
		}
	case span.SpanTraceState:
		if t.OpenState[at] {
			return answerOpen
		}
	case span.EventName:
		return asked(test, run, filterValue{kind: textKind, text: t.Bytes(t.Names[at])})
	case span.LinkTraceState:
		if test != nil && t.OpenState[at] {
			return answerOpen
		}
		return asked(test, run, filterValue{kind: textKind, text: t.Bytes(t.TraceStates[at])})
	case span.SpanParentSpanID:
		return answerOpen
	default: // ids and times: always there, and never in a template
		if test == nil {
			return answerYes
		}
		if j.stage == ofItem && (f == span.EventTime || f == span.EventTimeSinceStart) {
			return j.askEventTime(f, test)
		}
		return answerOpen
	}
	run.pos = at
	v, ok := run.fieldValue(f, 0, 0)
	if !ok {
		return answerNo
	}
	return asked(test, run, v)
}

func asked(test valueTest, run *filterRun, v filterValue) answer {
	run.tested = v
	return answerOf(test == nil || test.passes(run, &run.tested))
}

// askColumn answers for the value of an attribute that stands in a column: a is the attribute of
// the template, before those that stand in front of it.
func (j *judge) askColumn(level span.Level, before []uint32, a span.Attr, slot uint32, test valueTest) answer {
	column := uint32(a.Value)
	kind := j.l.ColumnType(column)
	if !mayPass(test, kind) {
		return answerNo
	}
	if j.stage == ofSegment {
		return answerOpen
	}
	c := j.columnOf(slot, column)
	if c.inGroup == 0 {
		c.inGroup = 1 + uint8(answerOpen)
		if equal, isEqual := test.(*equalTest); isEqual && a.Type == segment.OpenFiltered {
			c.inGroup = 1 + uint8(j.inFilters(column, kind, equal))
		}
	}
	if j.stage == ofGroup || answer(c.inGroup-1) == answerNo {
		return answer(c.inGroup - 1)
	}
	at := j.row
	if j.stage == ofItem {
		at = j.item
	}
	items := j.itemsOf(c, level, column, kind, test)
	switch {
	case items == nil:
		return answerOpen
	case !hasBit(items, at):
		return answerNo
	case slices.ContainsFunc(before, func(id uint32) bool { return j.templates[level].Attrs[id] == a }):
		return answerOpen // the value may be of the one before, which does not count
	}
	return answerYes
}

// mayPass reports whether a value of a column's type can pass at all.
func mayPass(test valueTest, kind span.ValueType) bool {
	switch test := test.(type) {
	case *equalTest:
		switch kind {
		case span.StringValue:
			return len(test.texts.list) > 0
		case span.IntValue:
			return len(test.ints.list) > 0
		case span.BoolValue:
			return test.bools[0] || test.bools[1]
		case span.DoubleValue:
			return len(test.doubles.list) > 0 || test.isTag
		}
	case regexTest, *wordsTest:
		return kind == span.StringValue || kind == span.RawValue || kind == span.RawAttribute
	}
	return true
}

// inFilters asks the filters of the group whether a column can have one of the constants.
func (j *judge) inFilters(column uint32, kind span.ValueType, test *equalTest) answer {
	filters, known, err := j.l.Filters(column)
	if err != nil {
		j.err = err
	}
	if err != nil || !known {
		return answerOpen
	}
	filter := filters[j.group.index]
	if filter == nil {
		return answerNo // the group has no value of the column
	}
	j.effort.spend(len(test.ints.list) + len(test.texts.list))
	if kind == span.IntValue {
		for _, v := range test.ints.list {
			if filter.MayContain(index.HashText(appendInt(j.group.text[:0], v))) {
				return answerOpen
			}
		}
		return answerNo
	}
	for _, text := range test.texts.list {
		if len(text) > segment.FilteredBytesMax || filter.MayContain(index.HashText([]byte(text))) {
			return answerOpen
		}
	}
	return answerNo
}
