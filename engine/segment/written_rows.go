package segment

import (
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// outline is what a template says of its spans besides their attributes. A read tells it as its batch
// does, scope and texts.
type outline struct {
	texts                [textsMax]span.TextID // name, status message, trace state
	own                  [textsMax]uint32      // columns of those that stand with the rows, then places in own + 1
	kind, status         int32
	scope, flags         uint32
	attrs, events, links uint32 // dropped
	hasStatus            bool
}

func outlineOf(scalars []uint32) outline {
	return outline{
		kind: int32(scalars[scalarKind]), status: int32(scalars[scalarStatusCode]), hasStatus: scalars[scalarStatusPresent] != 0,
		scope: scalars[scalarScope], flags: scalars[scalarFlags],
		attrs: scalars[scalarDroppedAttrs], events: scalars[scalarDroppedEvents], links: scalars[scalarDroppedLinks],
	}
}

// The texts of an outline.
const (
	outlineName = iota
	outlineMessage
	outlineState
)

// addText takes the text of a slot that is no attribute.
func (w *writtenTemplate) addText(t *templateTable, s slot) {
	at := outlineState
	switch s.column {
	case colName:
		at = outlineName
	case colStatusMessage:
		at = outlineMessage
	}
	if s.own {
		w.outline.own[at] = s.column
	} else {
		w.texts[at] = t.text(s.value)
	}
}

// outlines fills what stands in templates of spans besides attributes, for reads of everything.
func (it *itemReader) outlines() {
	b, rows := it.b, it.to-it.from
	texts, numbers, enums := make([]span.TextID, 3*rows), make([]uint32, 5*rows), make([]int32, 2*rows)
	b.Names, b.StatusMessages, b.TraceStates = part(texts, 0, rows), part(texts, 1, rows), part(texts, 2, rows)
	b.ScopeIDs, b.Flags = part(numbers, 0, rows), part(numbers, 1, rows)
	b.DroppedAttrs, b.DroppedEvents, b.DroppedLinks = part(numbers, 2, rows), part(numbers, 3, rows), part(numbers, 4, rows)
	b.Kinds, b.StatusCodes, b.StatusPresent = part(enums, 0, rows), part(enums, 1, rows), make([]bool, rows)
	it.outlined = slices.Grow(it.outlined, len(it.written))
	for _, w := range it.written {
		it.outlined = append(it.outlined, it.outline(w))
	}
	for i, code := range it.items.codes[it.from:it.to] {
		o := &it.outlined[it.compiled[code]-1]
		b.Names[i], b.StatusMessages[i], b.TraceStates[i] = o.texts[outlineName], o.texts[outlineMessage], o.texts[outlineState]
		if own := o.own[outlineMessage]; own > 0 {
			b.StatusMessages[i] = it.nextText(own)
		}
		if own := o.own[outlineState]; own > 0 {
			b.TraceStates[i] = it.nextText(own)
		}
		b.ScopeIDs[i], b.Flags[i] = o.scope, o.flags
		b.DroppedAttrs[i], b.DroppedEvents[i], b.DroppedLinks[i] = o.attrs, o.events, o.links
		b.Kinds[i], b.StatusCodes[i], b.StatusPresent[i] = o.kind, o.status, o.hasStatus
	}
}

// outline gives a template's as this batch tells it.
func (it *itemReader) outline(w *writtenTemplate) outline {
	o := w.outline
	o.scope = it.scopeIn(o.scope)
	for i, text := range w.texts {
		if o.texts[i] = it.addText(text); o.own[i] > 0 {
			o.own[i] = uint32(it.ownOf(o.own[i])) + 1
		}
	}
	return o
}

// part gives the k-th part of n entries, which nobody can make longer.
func part[T any](list []T, k, n int) []T { return list[k*n : (k+1)*n : (k+1)*n] }

// nextText gives the next text of a column that stands with the rows.
func (it *itemReader) nextText(own uint32) span.TextID {
	c := &it.own[own-1]
	c.at++
	return span.TextID(it.values[c.first+c.at-1])
}
