package segment

import "github.com/stoadb/stoa/engine/span"

// itemBuffers is the working memory of an itemReader: a read of few rows would else spend a third
// of its time on memory. Readers of one read come one after another, and each begins with forget.
type itemBuffers struct {
	within   []uint32 // by code: how many of the items have it
	compiled []uint32 // by code: its place in templates + 1
	codes    []uint32 // those that some of the items has
	tables   []compiledTemplate
	slots    []compiledSlot // of all of them

	own     []ownColumn // columns that are asked for and have values of the items
	ownAt   []uint32    // by column: its place in own + 1
	ownUsed []uint32
	values  []uint64 // of all of them

	attrs span.AttrInterner // of templates of spans

	// Of rows that are read bare: places in own of a template's slots, and by code where they end.
	places, placeEnds []uint32

	written []*writtenTemplate // by place of a code, while attributes are written
	blocks  [writtenBlocksKnown]knownBlock

	outlined []outline // by place of a code, then

	folded     []span.TextID // by text of the templates' table, then of the group's own: its name in the batch + 1
	foldedUsed []uint32
}

// forget begins anew. What is by a number is all 0 again.
func (m *itemBuffers) forget() {
	for _, code := range m.codes {
		m.within[code], m.compiled[code] = 0, 0
	}
	for _, col := range m.ownUsed {
		m.ownAt[col] = 0
	}
	for _, text := range m.foldedUsed {
		m.folded[text] = 0
	}
	clear(m.tables) // they and these point into a segment's memory
	clear(m.own)
	clear(m.written)
	m.blocks = [writtenBlocksKnown]knownBlock{}
	m.codes, m.tables, m.slots = m.codes[:0], m.tables[:0], m.slots[:0]
	m.written, m.outlined = m.written[:0], m.outlined[:0]
	m.own, m.ownUsed, m.values, m.foldedUsed = m.own[:0], m.ownUsed[:0], m.values[:0], m.foldedUsed[:0]
}

func (m *itemBuffers) memoryBytes() int {
	return 4*(cap(m.within)+cap(m.compiled)+cap(m.codes)+cap(m.ownAt)+cap(m.ownUsed)+cap(m.places)+cap(m.placeEnds)+cap(m.folded)+cap(m.foldedUsed)) + 8*cap(m.values) +
		8*cap(m.written) + 56*cap(m.outlined) + 48*cap(m.tables) + 40*cap(m.slots) + 80*cap(m.own) + m.attrs.MemoryBytes()
}

// zeros gives s with n entries at least, new ones 0.
func zeros[T ~uint32](s []T, n int) []T {
	if n > len(s) {
		s = append(s, make([]T, n-len(s))...)
	}
	return s
}

// foldedText gives the name in the batch of a text of a template: templates have many in common.
func (it *itemReader) foldedText(t *templateTable, text uint64) span.TextID {
	if text == 0 {
		return 0
	}
	at := uint32(text)
	if t == it.items.local {
		at += uint32(len(it.s.templates[it.level].texts.Ends))
	}
	if it.folded = zeros(it.folded, int(at)+1); it.folded[at] == 0 {
		it.folded[at] = it.addText(t.text(text)) + 1
		it.foldedUsed = append(it.foldedUsed, at)
	}
	return it.folded[at] - 1
}
