package segment

import (
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// A merge reads row groups and writes their rows again. Rows of one template there have one
// template here as well, as long as every value that stood with the row does so again: then
// a row is carried over by its number, and only its own values are looked at. The first row
// of a template goes the long way, and what it came to holds for the others.

// origin is what a segment leaves in a batch of a whole row group.
type origin struct {
	s      *Segment
	group  *groupRef
	number int // of the group
	levels [span.Levels]*items
	bare   [span.Levels]*bareValues // where the rows were read bare

	resources, scopes []uint32 // of the segment, by their positions in the batch
}

// carried is what a template of the source came to.
type carried struct {
	version int // of the folding that decided; 0 is not known yet
	id      uint32
	texts   int32 // slots that are no attributes, in front
	attrs   int32 // the others
	own     []carriedSlot
}

// carriedSlot is a slot whose value stands with the row.
type carriedSlot struct {
	column uint32
	at     int32 // among the slots
	from   int32 // among the values that stand with the row there; -1 is in the template
}

// carriedAt gives where to find, or to remember, what the template of an item came to; nil
// where the batch does not come from a row group. What is told of a template that row groups share
// is told for all of them.
func (s *source) carriedAt(level span.Level, pos int) *carried {
	if s.origin == nil || s.origin.levels[level] == nil {
		return nil
	}
	code, shared := s.origin.levels[level].codes[pos], s.origin.group.templates[level]
	if int(code) < len(shared) {
		return &s.foreign.carried[level][shared[code]]
	}
	if s.carried[level] == nil {
		s.carried[level] = make([]carried, s.origin.group.local[level])
	}
	return &s.carried[level][int(code)-len(shared)]
}

// carry remembers what the item at pos came to, unless another row of its template might come
// to something else: where a value that stood with the row there is in the template here,
// or stands alone here for its length only, or stood in the map column, where the key differs
// too. So carrying is a short cut and changes no byte. It rests on columns: those of a key
// never change while a segment is written.
func (s *source) carry(c *carried, level span.Level, pos, attrs int, fold *folding, code code) {
	if code&1 != 0 {
		return // the row group's own, which the next group does not have
	}
	t, id := s.templateAt(level, pos)
	slots := t.slotsOf(id)
	if len(slots) != len(fold.slots) {
		return
	}
	own, standing := slices.Grow(c.own[:0], len(t.ownOf(id))), int32(0)
	for i, here := range fold.slots {
		there := slots[i]
		if isMapped(level, there.column) || there.own && !here.own || here.own && !fold.standsAlone(here.column) {
			return
		}
		slot := carriedSlot{column: here.column, at: int32(i), from: -1}
		if there.own {
			slot.from = standing
			standing++
		}
		if here.own {
			own = append(own, slot)
		}
	}
	*c = carried{version: fold.version, id: uint32(code >> 1), texts: int32(len(fold.slots) - attrs), attrs: int32(attrs), own: own}
}

// templateAt gives the template there of an item of a row group.
func (s *source) templateAt(level span.Level, pos int) (*templateTable, uint32) {
	it := s.origin.levels[level]
	return s.origin.s.templateOf(s.origin.group, level, it, it.codes[pos])
}

// again counts one more item of a template.
func (f *folding) again(id uint32) { f.more(id, 1) }

// more counts n more items of a template.
func (f *folding) more(id uint32, n int) {
	f.items += n
	f.described += n * len(f.shared.table.slotsOf(id))
	f.shared.table.rows[id] += uint64(n)
}
