package segment

import (
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
)

// group checks one row group, and counts what it has.
func (v *verifier) group(i int) {
	b, err := v.s.ReadGroup(i, Projection{All: true})
	if err != nil {
		v.damages = append(v.damages, err)
		return
	}
	g := &v.s.groups[i]
	v.ranges(g, b)
	v.traceOrder(g, b)
	v.cells.group(g, b)
	for row := 0; row < b.Len() && v.s.catalog.Complete(); row++ {
		r := span.Row{Batch: b, Pos: row}
		v.operations[span.Operation{Service: string(r.Service()), Name: string(r.Name()), Kind: r.Kind()}]++
	}
	scan := v.s.Scan(i)
	v.resourceCodes(scan, b)
	for _, level := range levels {
		v.level(scan, i, level, b)
	}
	if scan.err != nil {
		v.damages = append(v.damages, scan.err)
	}
}

// ranges compares what the directory says of starts and durations.
func (v *verifier) ranges(g *groupRef, b *span.Batch) {
	minStart, maxStart := b.Bounds()
	maxDuration := uint64(0)
	for pos, start := range b.Starts {
		maxDuration = max(maxDuration, span.Duration(start, b.Ends[pos]))
	}
	if minStart != g.MinStart || maxStart != g.MaxStart || maxDuration != g.MaxDuration {
		v.damage(g.offset, "rows start from %d to %d and last %d, the directory says %d, %d, %d",
			minStart, maxStart, maxDuration, g.MinStart, g.MaxStart, g.MaxDuration)
	}
	most := &v.maxima
	if g.FirstRow == 0 {
		most.MinStart, most.MaxStart = minStart, maxStart
	}
	most.MinStart, most.MaxStart = min(most.MinStart, minStart), max(most.MaxStart, maxStart)
	most.MaxDuration = max(most.MaxDuration, maxDuration)
}

// traceOrder checks that rows of a trace stand by start, and traces by start and id.
func (v *verifier) traceOrder(g *groupRef, b *span.Batch) {
	for pos, start := range b.Starts {
		row := g.FirstRow + pos
		if pos > 0 && b.TraceIDs[pos] == b.TraceIDs[pos-1] && start < b.Starts[pos-1] {
			v.damage(g.offset, "row %d starts before the one before it", row)
		}
		if first, _ := v.s.TraceRows(v.s.TraceAtRow(row)); first != row {
			continue
		}
		key := traceKey{start, b.TraceIDs[pos]}
		if row > 0 && (key.start < v.order.start || key.start == v.order.start && key.id.Compare(v.order.id) <= 0) {
			v.damage(g.offset, "trace %s comes after %s", key.id, v.order.id)
		}
		v.order = key
	}
}

// resourceCodes checks that the group's list of resources has those of its rows, no others,
// and that the longest row of each lasts as the list says.
func (v *verifier) resourceCodes(scan *GroupScan, b *span.Batch) {
	codes, err := scan.ResourceCodes(nil, nil)
	if err != nil {
		return // scan.err says it
	}
	used, longest := make([]bool, len(scan.group.resources)), make([]uint64, len(scan.group.resources))
	for row, code := range codes {
		used[code] = true
		longest[code] = max(longest[code], span.Duration(b.Starts[row], b.Ends[row]))
	}
	for code, id := range scan.group.resources {
		v.resources[id] = v.resources[id] || used[code]
		if !used[code] {
			v.damage(scan.group.offset, "row group without rows of its resource %d", id)
		}
		if longest[code] != scan.group.longest[code] {
			v.damage(scan.group.offset, "rows of resource %d last %d, the directory says %d", id, longest[code], scan.group.longest[code])
		}
	}
}

// level checks the templates and filters of a level, and counts who has what.
func (v *verifier) level(scan *GroupScan, group int, level span.Level, b *span.Batch) {
	it, _ := scan.open(level)
	if it == nil {
		if listed := scan.group.codes(level); scan.err == nil && listed > 0 {
			v.damage(scan.group.offset, "row group with %d templates of level %d and nothing of it", listed, level)
		}
		return
	}
	for code, count := range it.items.counts {
		if count == 0 {
			v.damage(scan.group.offset, "row group without rows of its template %d of level %d", code, level)
			continue
		}
		t, id := v.s.templateOf(scan.group, level, it.items, uint32(code))
		if t == v.s.templates[level] {
			v.used[level][id] += uint64(count)
		}
		if level == span.SpanLevel {
			v.scopes[t.scalarsAt(id)[scalarScope]] = true
		}
	}
	at := 0 // of the attributes of all items, one after another
	for row, code := range it.items.codes {
		t, id := v.s.templateOf(scan.group, level, it.items, code)
		if level == span.SpanLevel && t != it.items.local {
			v.standing.value(ServiceColumn, span.Row{Batch: b, Pos: row}.Service(), id)
		}
		for _, s := range t.slotsOf(id) {
			switch {
			case s.column >= colFixed:
				v.value(group, s.own || t == it.items.local, s.column, b, attrAt(level, b, at))
				if s.own && t != it.items.local {
					v.standing.value(s.column, v.text, id)
				}
				at++
			case isMapped(level, s.column):
				at++
			}
		}
	}
}

// attrAt gives an attribute of those of all items of a level.
func attrAt(level span.Level, b *span.Batch, at int) span.Attr {
	switch level {
	case span.EventLevel:
		return b.EventAttrs[at]
	case span.LinkLevel:
		return b.LinkAttrs[at]
	default:
		return b.Attrs[b.AttrIDs[at]]
	}
}

// value counts a value of an attribute column, and asks the filter for it where it is one of
// those that are filtered.
func (v *verifier) value(group int, filtered bool, column uint32, b *span.Batch, a span.Attr) {
	stats := &v.keys[column-colFixed]
	stats.Values++
	if a.Type.HasText() {
		v.text = append(v.text[:0], b.Bytes(span.TextID(a.Value))...)
		stats.TextBytes += uint64(len(v.text))
	} else {
		v.text = appendNumber(v.text[:0], a.Type, a.Value)
	}
	hash := index.HashText(v.text)
	stats.counter.Add(hash)
	if !filtered || !hasFilter(a.Type) || len(v.text) > FilteredBytesMax {
		return
	}
	c := v.filters[column]
	if c == nil {
		c = new(knownFilters)
		v.filters[column] = c
		var err error
		if c.filters, c.known, err = v.s.Filters(column); err != nil {
			v.damages = append(v.damages, err)
		}
	}
	if c.known && (c.filters[group] == nil || !c.filters[group].MayContain(hash)) {
		v.damage(v.s.groups[group].offset, "the filter of column %d denies a value of row group %d", column, group)
	}
}
