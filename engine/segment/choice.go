package segment

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// Which columns are folded is a matter of bytes, and of searches a little. A folded column costs the templates that
// differ by its values alone; a column that stands alone costs the bits that tell its values
// apart, in each item. Both are worked out for all items that will come, from those seen so
// far. Values that follow from the name (a route, a table, a host) make no templates and are
// folded whatever their number; those of a user or an order make one for each item.
//
// Columns may go together: a user's country, currency and plan tell the same users apart, and
// to take out one of them alone saves nothing. So columns are taken out one after the other,
// that with the least cost first, until hardly a template less would be left, and then as
// many of them as together cost the least.

// choice is the columns of a level's templates being weighed.
type choice struct {
	items, weight int
	hashes        []uint64 // by template, as it would be without what was taken out
	rows          []uint64 // by template: its items
	least         counted  // templates there would be if every column stood alone
	columns       []*weighedColumn
	following     []*weighedColumn // whose values follow from the name and the list of keys
	endless       int              // how many of columns are
	seen          tally
	changed       []uint64
	looked        int
}

// counted is how many templates there are, how many of them one item has, and two, and how many endless columns
// are folded in them.
type counted struct{ made, once, twice, endless int }

// weighedColumn is a folded column whose values alone make templates differ.
type weighedColumn struct {
	id        uint32
	values    int
	once      int // of these, how many one item has
	makes     int // so many templates more, if all others stood alone
	endless   bool
	items     uint64
	templates []uint32 // that have it, one entry a slot
	deltas    []uint64 // what each of these slots adds to the hash when it stands alone
}

// weigh takes out the columns that cost less that way, and says how many templates there may
// be.
func (f *folding) weigh(c *choice) {
	out, left := c.cheapest(weighedSlotsMin + weighedSlotsEach*f.described - f.weighed)
	f.weighed += c.looked
	for _, column := range out {
		f.setAlone(column.id)
	}
	f.spoilt = len(f.shared.hashes) - left.made
	most := max(templatesMin, c.weight/sharedByMin)
	if f.items >= RehearsalRowsMax && left.once+f.locals > f.items/4*3 {
		most = templatesMin // hardly any item shares its template
	}
	f.allowed = max(templatesMin, min(most, c.grown(left)*(growthShare+1)/growthShare))
	if left.made >= f.allowed {
		f.pause = 2 * f.items
	}
}

// cheapest gives the columns to take out, and what templates are left then. Few templates are
// fine whatever they cost. It looks at so many slots and templates, and one round more.
func (c *choice) cheapest(lookedMax int) (out []*weighedColumn, left counted) {
	now := c.count(c.hashes)
	left = now
	least, alone, best := c.cost(now), 0, 0
	for len(c.columns) > 0 && c.grown(now) > templatesMin && now.made > c.least.made+c.least.made/leastShare && c.looked < lookedMax {
		next := c.next()
		c.takeOut(next)
		out = append(out, next)
		alone += c.own(next)
		now = c.count(c.hashes)
		if cost := c.cost(now) + alone; cost < least {
			least, best, left = cost, len(out), now
		}
	}
	return out[:best], left
}

func newChoice(f *folding) *choice {
	t := &f.shared.table
	c := &choice{items: max(1, f.items), weight: max(f.items, f.expected), hashes: slices.Clone(f.shared.hashes), rows: t.rows}
	c.seen.reset()
	folded := c.foldedColumns(f)
	for i := range c.hashes {
		for place, s := range t.slotsOf(uint32(i)) {
			if !weighs(s) {
				continue
			}
			delta := slotHash(place, slot{column: s.column, own: true}) - slotHash(place, s)
			column := folded[s.column]
			if column == nil {
				c.hashes[i] += delta
				continue
			}
			once := c.seen.once
			if c.seen.add(slotHash(0, s), c.rows[i]) {
				column.values++
			}
			column.once += c.seen.once - once
			column.items += c.rows[i]
			column.templates, column.deltas = append(column.templates, uint32(i)), append(column.deltas, delta)
		}
	}
	c.looked += len(t.slots)
	c.leaveOutFollowing()
	return c
}

// weighs reports whether a slot may be taken out of its template: searches by name go by template.
func weighs(s slot) bool { return !s.own && s.column != colName && s.column != colEventName }

// foldedColumns lists the columns of the templates that may be taken out, and gives them by id,
// with room for their slots.
func (c *choice) foldedColumns(f *folding) []*weighedColumn {
	var slots []int // by column
	total := 0
	for _, s := range f.shared.table.slots {
		if !weighs(s) || f.standsAlone(s.column) {
			continue
		}
		if more := int(s.column) + 1 - len(slots); more > 0 {
			slots = append(slots, make([]int, more)...)
		}
		slots[s.column]++
		total++
	}
	folded := make([]*weighedColumn, max(len(slots), len(f.own)))
	templates, deltas := make([]uint32, total), make([]uint64, total)
	for id, n := range slots {
		if n > 0 {
			folded[id] = &weighedColumn{id: uint32(id), templates: templates[:0:n], deltas: deltas[:0:n]}
			templates, deltas = templates[n:], deltas[n:]
			c.columns = append(c.columns, folded[id])
		}
	}
	return folded
}

// leaveOutFollowing sets the columns apart whose values follow from the name and the list of
// keys, and puts those first that follow least.
func (c *choice) leaveOutFollowing() {
	alone := slices.Clone(c.hashes)
	for _, column := range c.columns {
		column.change(alone)
	}
	c.least = c.count(alone)
	all := c.columns
	c.columns = nil
	for _, column := range all {
		if column.makes = c.makes(column, alone); column.makes > 0 {
			c.columns = append(c.columns, column)
			if column.isEndless() {
				column.endless = true
				c.endless++
			}
		} else {
			c.following = append(c.following, column)
		}
	}
	slices.SortFunc(c.columns, func(a, b *weighedColumn) int { return cmp.Or(cmp.Compare(b.makes, a.makes), cmp.Compare(a.id, b.id)) })
}

// makes gives how many templates more there would be by a column's values, if all other columns
// stood alone. It looks at the templates that have the column: those with the same name and keys
// have it too, but for values too long for templates.
func (c *choice) makes(column *weighedColumn, alone []uint64) int {
	c.looked += len(column.templates)
	c.seen.reset()
	for _, template := range column.templates {
		c.seen.add(alone[template], 1)
	}
	least := c.seen.made
	c.seen.reset()
	for i := 0; i < len(column.templates); {
		template := column.templates[i]
		hash := alone[template]
		for ; i < len(column.templates) && column.templates[i] == template; i++ {
			hash -= column.deltas[i]
		}
		c.seen.add(hash, 1)
	}
	return c.seen.made - least
}

// count gives what templates the hashes make.
func (c *choice) count(hashes []uint64) counted {
	c.looked += len(hashes)
	c.seen.reset()
	for i, hash := range hashes {
		c.seen.add(hash, c.rows[i])
	}
	now := c.seen.counted
	now.endless = c.endless
	return now
}

// next gives the column to take out that leaves the least cost.
func (c *choice) next() (next *weighedColumn) {
	least := 0
	for _, column := range c.columns[:min(len(c.columns), takeOutCandidatesMax)] {
		c.changed = append(c.changed[:0], c.hashes...)
		column.change(c.changed)
		left := c.count(c.changed)
		if column.endless {
			left.endless--
		}
		if cost := c.cost(left) + c.own(column); next == nil || cost < least {
			next, least = column, cost
		}
	}
	return next
}

func (c *choice) takeOut(column *weighedColumn) {
	column.change(c.hashes)
	if column.endless {
		c.endless--
	}
	c.columns = slices.DeleteFunc(c.columns, func(other *weighedColumn) bool { return other == column })
}

// change makes of the templates' hashes those that they have where the column stands alone.
func (w *weighedColumn) change(hashes []uint64) {
	for i, template := range w.templates {
		hashes[template] += w.deltas[i]
	}
}

// varies reports whether a column has values without end. Where most names come once, values
// that came once with them do not follow from them.
func (c *choice) varies(column *weighedColumn) bool {
	if c.least.once > c.items/2 {
		return uint64(column.values*4) > column.items*3
	}
	return uint64(column.makes*variesShare) > column.items
}

// cost is what so many templates come to in the end, in bits.
func (c *choice) cost(now counted) int { return c.grown(now) * templateBytes * 8 }

// own is what a column costs that stands alone, in bits: what tells its values apart, and some. Searches ask
// for one of a few values (a status, a flag) that many items share, and templates tell which items have it.
func (c *choice) own(column *weighedColumn) int {
	each := bits.Len(uint(column.values-1)) + ownBitsMore
	if column.values <= searchedValuesMax {
		each += searchedBitsMore
	}
	seen := int(column.items) * each
	return int(float64(seen) * float64(c.weight) / float64(c.items)) // one rounding, the same everywhere
}

// isEndless reports whether a column's values seem to have no end, in however few items they are: most of them
// came once.
func (w *weighedColumn) isEndless() bool { return w.values > searchedValuesMax && 2*w.once > w.values }

// grown gives how many templates there will be: with an endless column among them as many as come with no
// end; else between those and the fewest, and as little is known of where, as many times the fewest as the
// others are times it.
func (c *choice) grown(now counted) int {
	if now.endless > 0 {
		return c.most(now)
	}
	return int(math.Sqrt(float64(c.fewest(now)) * float64(c.most(now))))
}

// most gives how many templates there will be if they come with no end. As many as one item has so
// far, out of all of them, is how likely another item is to have a new one (I. J. Good, The
// population frequencies of species, 1953), and their share in all templates is taken to stay: so it is for
// names and lists of keys, while the tuples of a few values end, and are fewer.
func (c *choice) most(now counted) int {
	made, once, items := now.made, now.once, c.items
	for ; 2*items <= c.weight && once > 0; items *= 2 {
		made, once = made+once, once+once*once/made
	}
	return min(c.weight, made+once*(c.weight-items)/items)
}

// fewest gives how many templates there will be if they end soon: those that were not met are once^2/(2 twice) or more
// (A. Chao, Nonparametric estimation of the number of classes, 1984), and of these come the fewer the fewer are left.
func (c *choice) fewest(now counted) int {
	unmet := now.once * (now.once - 1) / (2 * (now.twice + 1))
	come := now.once * (c.weight - c.items) / c.items // if none of them came twice
	return now.made + unmet*come/max(1, unmet+come)
}

// tally counts keys in open addressing; it keeps its memory. It is as large as the keys need: they
// are fewer than what is counted, and stay near the processor.
type tally struct {
	slots []tallied
	spare []tallied
	counted
}

type tallied struct{ key, count uint64 }

// reset forgets all, and makes room for as many keys as there were.
func (t *tally) reset() {
	t.size(max(tallySlotsMin, 1<<bits.Len(uint(2*t.made))))
	t.counted = counted{}
}

// size makes the table empty, with n slots.
func (t *tally) size(n int) {
	if n > cap(t.slots) {
		t.slots = make([]tallied, n)
		return
	}
	t.slots = t.slots[:n]
	clear(t.slots)
}

func (t *tally) grow() {
	old := t.slots
	t.slots, t.spare = t.spare, old
	t.size(2 * len(old))
	mask := uint64(len(t.slots) - 1)
	for _, slot := range old {
		if slot.count == 0 {
			continue
		}
		at := (slot.key >> 1) & mask
		for t.slots[at].count > 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = slot
	}
}

// note notes that more or fewer keys have a count.
func (c *counted) note(count uint64, more int) {
	switch count {
	case 1:
		c.once += more
	case 2:
		c.twice += more
	}
}

// add counts a key, and reports whether it is new.
func (t *tally) add(key, count uint64) bool {
	mask := uint64(len(t.slots) - 1)
	key |= 1 // 0 is a free slot
	at := (key >> 1) & mask
	for t.slots[at].count > 0 && t.slots[at].key != key {
		at = (at + 1) & mask
	}
	slot := &t.slots[at]
	fresh := slot.count == 0
	t.note(slot.count, -1)
	slot.key = key
	slot.count += count
	t.note(slot.count, 1)
	if fresh {
		if t.made++; 2*t.made > len(t.slots) {
			t.grow()
		}
	}
	return fresh
}

// endRehearsal takes out the columns that vary most, weighs the others, and forgets the
// templates. The items were those of rows out of total.
func (f *folding) endRehearsal(rows, total int) {
	f.expected = int(min(int64(f.items)*int64(total)/int64(max(1, rows)), math.MaxInt32))
	c := newChoice(f)
	for _, column := range slices.Concat(c.columns, c.following) {
		if column.values >= variesMin && c.varies(column) {
			f.setAlone(column.id)
			c.takeOut(column)
		}
	}
	if f.weigh(c); f.pause > 0 {
		f.pause = f.expected / 2
	}
	f.rehearsing, f.stuck = false, false
	f.shared.reset()
	f.endGroup()
	f.items, f.locals, f.spoilt, f.described, f.weighed = 0, 0, 0, 0, 0
}
