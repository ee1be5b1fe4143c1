package segment

import (
	"slices"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// templateWriter collects the templates of one level: those of a segment, or those of one
// row group that found no room among them. It keeps its memory.
type templateWriter struct {
	table  templateTable
	hashes []uint64 // of each template
	places []uint32 // open addressing by hash: template + 1, 0 is free
	texts  *templateTexts
	// remembered says that sources keep the ids of their texts in this table.
	remembered bool
}

// templateTexts are the texts of templates while they are collected: equal ones have one id.
// The levels of a segment share them, so that a source's texts are looked up once.
type templateTexts struct {
	batch    span.Batch
	interner *span.Interner
}

func newTemplateTexts() *templateTexts {
	t := new(templateTexts)
	t.interner = span.NewInterner(&t.batch)
	return t
}

func (t *templateTexts) reset() {
	t.batch.Text, t.batch.TextEnd = t.batch.Text[:0], t.batch.TextEnd[:0]
	t.interner.Reset(&t.batch)
}

func newTemplateWriter(level span.Level, texts *templateTexts) *templateWriter {
	return &templateWriter{table: templateTable{level: level}, places: make([]uint32, 256), texts: texts}
}

// reset forgets all templates, not the texts.
func (t *templateWriter) reset() {
	if len(t.hashes) == 0 {
		return
	}
	t.table.scalars, t.table.ends, t.table.slots = t.table.scalars[:0], t.table.ends[:0], t.table.slots[:0]
	t.table.rows, t.hashes = t.table.rows[:0], t.hashes[:0]
	clear(t.places)
}

// finished gives the table with the texts that its templates have, in order of first use:
// descriptions that were given up leave others behind.
func (t *templateWriter) finished(columns []columnKey) *templateTable {
	out := t.table
	out.texts, out.slots = column.NewTable(), slices.Clone(t.table.slots)
	ids := make([]uint64, max(len(t.texts.batch.TextEnd), 1))
	for i := range out.slots {
		s := &out.slots[i]
		if hasText, _ := slotOf(out.level, uint64(s.column), columns); !hasText || s.own || s.value == 0 {
			continue
		}
		if ids[s.value] == 0 {
			ids[s.value] = uint64(out.texts.Add(t.texts.batch.Bytes(span.TextID(s.value))))
		}
		s.value = ids[s.value]
	}
	return &out
}

// slotHash depends on the slot and its place alone, and a template's hash is the sum over its slots: so
// the hash that it would have with another slot is an addition away (choice.go).
// The place of the slot is part of it: senders that list their attributes in any order
// would all have one hash.
func slotHash(place int, s slot) uint64 {
	return codec.Mixed(s.value, uint64(place)<<33|uint64(s.column)<<1|uint64(flag(s.own)))
}

func templateHash(scalars []uint32, slots []slot) uint64 {
	hash := uint64(len(slots))
	for i, v := range scalars {
		hash += codec.Mixed(uint64(v), ^uint64(i))
	}
	for place, s := range slots {
		hash += slotHash(place, s)
	}
	return hash
}

// find gives the template with these scalars and slots, or the place for it.
func (t *templateWriter) find(hash uint64, scalars []uint32, slots []slot) (id uint32, place uint64, ok bool) {
	mask := uint64(len(t.places) - 1)
	for place = hash & mask; t.places[place] != 0; place = (place + 1) & mask {
		id = t.places[place] - 1
		if t.hashes[id] == hash && slices.Equal(t.table.slotsOf(id), slots) && slices.Equal(t.table.scalarsAt(id), scalars) {
			return id, place, true
		}
	}
	return 0, place, false
}

// add appends a template at the place that find gave.
func (t *templateWriter) add(hash, place uint64, scalars []uint32, slots []slot) uint32 {
	id := uint32(len(t.table.ends))
	t.table.scalars = append(t.table.scalars, scalars...)
	if n := len(t.table.slots); n+len(slots) > cap(t.table.slots) {
		t.table.slots = slices.Grow(t.table.slots, n+len(slots)) // twice as many: they are copied less often
	}
	t.table.slots = append(t.table.slots, slots...)
	t.table.ends = append(t.table.ends, uint32(len(t.table.slots)))
	t.hashes = append(t.hashes, hash)
	t.places[place] = id + 1
	if 2*len(t.hashes) >= len(t.places) {
		t.places = make([]uint32, 2*len(t.places))
		mask := uint64(len(t.places) - 1)
		for id, hash := range t.hashes {
			at := hash & mask
			for t.places[at] != 0 {
				at = (at + 1) & mask
			}
			t.places[at] = uint32(id + 1)
		}
	}
	return id
}

// folding is how a writer makes templates of one level: the segment's, those of the row
// group that did not fit, and which columns stand alone.
//
// Which columns are folded is chosen by what that costs (choice.go), at the end of the rehearsal
// and again where there are more templates than were expected. Where that does not help (names or
// lists of keys without end), templates go to the row group's own table, which is written with it
// and forgotten.
type folding struct {
	shared, local *templateWriter
	items         int    // spans, events or links so far
	expected      int    // as many there will be, about, by the rehearsal
	own           []bool // by column: stands alone
	version       int    // of own: what was decided by another is not true any more
	spoilt        int    // templates that no item will have any more since columns were taken out
	allowed       int    // templates there may be before the columns are weighed again
	locals        int    // items whose template is their row group's own
	pause         int    // until so many items a table that is full is not weighed again
	stuck         bool   // it is as large as it may get
	rehearsing    bool   // templates that find no room teach nothing more
	// Slots that items had so far, and what was looked at to weigh columns.
	described, weighed int
	owns               []templateOwn // by template of the segment, as far as items were noted (by_batch.go)

	scalars []uint32 // of the next item
	slots   []slot
}

func newFolding(level span.Level, shared *templateTexts) *folding {
	f := &folding{shared: newTemplateWriter(level, shared), local: newTemplateWriter(level, newTemplateTexts()), version: 1}
	f.shared.remembered = true
	return f
}

// standsAlone reports whether values of a column go to a page of their own.
func (f *folding) standsAlone(id uint32) bool { return int(id) < len(f.own) && f.own[id] }

// full reports whether one more template would be more than is allowed. A rehearsal takes any
// number: what they come to is weighed at its end.
func (f *folding) full() bool {
	if f.rehearsing {
		return f.crowded()
	}
	return len(f.shared.hashes)-f.spoilt >= max(templatesMin, f.allowed) || f.crowded()
}

// crowded reports whether the table is as large as it may get, whatever the items.
func (f *folding) crowded() bool {
	return len(f.shared.hashes) >= templatesMax || len(f.shared.table.slots) >= templateSlotsMax ||
		len(f.shared.texts.batch.Text) > templateTextBytesMax
}

// relieve makes room for templates, or says that there is none now.
func (f *folding) relieve() bool {
	f.stuck = f.stuck || f.crowded()
	if f.stuck || f.rehearsing || f.items < f.pause {
		return false
	}
	f.weigh(newChoice(f))
	return len(f.shared.hashes)-f.spoilt < f.allowed
}

func (f *folding) setAlone(id uint32) {
	for int(id) >= len(f.own) {
		f.own = append(f.own, false)
	}
	f.own[id] = true
	f.version++
}

// endGroup forgets the templates of one row group.
func (f *folding) endGroup() {
	if len(f.local.hashes) > 0 {
		f.local.reset()
		f.local.texts.reset()
	}
}

// code is the template of an item while its row group is open: the segment's, or one of the
// group's own.
type code uint64

func sharedCode(id uint32) code { return code(id) << 1 }
func localCode(id uint32) code  { return code(id)<<1 | 1 }

// open reports whether items may have templates of the segment.
func (f *folding) open() bool {
	return !f.stuck || len(f.shared.texts.batch.Text) <= templateTextBytesMax
}

// end gives the template of the item whose scalars and slots were set by describe, which
// is called again where a column was taken out.
func (f *folding) end(describe func(t *templateWriter)) code {
	if id, ok := f.share(describe); ok || f.rehearsing {
		return sharedCode(id)
	}
	f.locals++
	return f.endLocal(describe)
}

// share is end where the template finds room among those of the segment.
func (f *folding) share(describe func(t *templateWriter)) (id uint32, ok bool) {
	f.items++
	for f.open() {
		f.scalars, f.slots = f.scalars[:0], f.slots[:0]
		describe(f.shared)
		f.described += len(f.slots)
		hash := templateHash(f.scalars, f.slots)
		id, place, ok := f.shared.find(hash, f.scalars, f.slots)
		if !ok && f.full() {
			if f.relieve() {
				continue
			}
			break
		}
		if !ok {
			id = f.shared.add(hash, place, f.scalars, f.slots)
			f.shared.table.rows = append(f.shared.table.rows, 0)
		}
		f.shared.table.rows[id]++
		return id, true
	}
	return 0, false
}

// endLocal is end with a template of the row group's own.
func (f *folding) endLocal(describe func(t *templateWriter)) code {
	f.scalars, f.slots = f.scalars[:0], f.slots[:0]
	describe(f.local)
	hash := templateHash(f.scalars, f.slots)
	id, place, ok := f.local.find(hash, f.scalars, f.slots)
	if !ok {
		id = f.local.add(hash, place, f.scalars, f.slots)
	}
	return localCode(id)
}
