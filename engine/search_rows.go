package engine

import (
	"math"
	"math/bits"
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// What a search asks of the rows of a row group that may match: the cheapest first, until what is
// left must be read.

// byCode leaves in left the rows whose template is asked, whose length can be in range and that
// have the values of the tags that nothing but values can satisfy, and reports whether there are
// any. Where many rows have the templates, values are looked at before these, unless there is a length
// to ask first, which leaves few rows.
func (s *segmentSearch) byCode() (any bool, err error) {
	g := s.group
	rows := s.l.Group(g.index).Rows
	g.left = sized(g.left, (rows+63)/64)
	g.foundOf, g.valuesOf = cleared(g.foundOf, len(s.tags)), cleared(g.valuesOf, len(s.tags))
	if more := len(s.tags) - len(g.found); more > 0 {
		g.found = append(g.found, make([][]uint64, more)...)
	}
	g.leftRows, g.spansKnown = g.askedRows, false
	isFew, valuesFirst := g.askedRows*sparseShare < rows, g.must != 0 && s.query.DurationMin == 0
	switch {
	case isFew:
		clear(g.left)
		if err := g.scan.MarkCodes(g.left, g.asked); err != nil {
			return false, err
		}
	case g.askedRows < rows && !valuesFirst:
		g.tellAsked()
		g.markAsked()
	default:
		for i := range g.left {
			g.left[i] = ^uint64(0)
		}
		if rows%64 != 0 {
			g.left[len(g.left)-1] = 1<<(rows%64) - 1
		}
		g.leftRows = rows
	}
	if s.query.DurationMin > 0 {
		byLength := s.byLength
		if isFew {
			byLength = s.byLengthOfFew
		}
		if any, err := byLength(); err != nil || !any {
			return false, err
		}
	}
	if g.must == 0 {
		return true, nil
	}
	if any, err := s.byValues(); err != nil || !any || !valuesFirst || isFew {
		return any, err
	}
	g.tellAsked()
	return g.dropUnasked(), nil
}

// tellAsked notes the codes that are asked as a table.
func (g *groupSearch) tellAsked() {
	g.isAsked = cleared(g.isAsked, len(g.fits)+len(g.own))
	for _, code := range g.asked {
		g.isAsked[code] = true
	}
}

// markAsked sets in left the rows of templates that are asked.
func (g *groupSearch) markAsked() {
	asked := g.isAsked
	for word := range g.left {
		set := uint64(0)
		for i, code := range g.items[word*64 : min(word*64+64, len(g.items))] {
			if asked[code] {
				set |= 1 << i
			}
		}
		g.left[word] = set
	}
}

// dropUnasked takes the rows of other templates out of left, and reports whether any row is.
func (g *groupSearch) dropUnasked() (any bool) {
	for word, left := range g.left {
		for ; left != 0; left &= left - 1 {
			if !g.isAsked[g.items[word*64+bits.TrailingZeros64(left)]] {
				g.left[word] &^= left & -left
			}
		}
		any = any || g.left[word] != 0
	}
	return any
}

// byValues leaves in left the rows that have the values of the tags that nothing but values can
// satisfy: mostly few.
func (s *segmentSearch) byValues() (any bool, err error) {
	g := s.group
	for must := g.must; must != 0; must &= must - 1 {
		rows, err := s.rowsWith(bits.TrailingZeros64(must))
		if err != nil {
			return false, err
		}
		g.leftRows = 0
		for i := range g.left {
			g.left[i] &= rows[i]
			g.leftRows += bits.OnesCount64(g.left[i])
		}
	}
	return g.leftRows > 0, nil
}

// sparseShare: where fewer than one row in so many has a template that is asked, their rows are taken
// from the list of those of each template, and lengths are looked at row by row.
const sparseShare = 8

// byLength leaves in left the rows whose length can be in range, by the zone maps of lengths, and
// reports whether there are any.
func (s *segmentSearch) byLength() (any bool, err error) {
	g := s.group
	if g.lengths, err = g.scan.LengthsBetween(g.lengths[:0], s.query.DurationMin, s.lengthMax()); err != nil {
		return false, err
	}
	g.decided, g.leftRows = cleared(g.decided, len(g.left)), 0
	for _, row := range g.lengths {
		g.decided[row/64] |= 1 << (row % 64)
	}
	for i := range g.left {
		g.left[i] &= g.decided[i]
		g.leftRows += bits.OnesCount64(g.left[i])
	}
	return g.leftRows > 0, nil
}

// byLengthOfFew is byLength where few rows are left: it looks at theirs.
func (s *segmentSearch) byLengthOfFew() (any bool, err error) {
	g, least, most := s.group, s.query.DurationMin, s.lengthMax()
	if g.spans, err = g.scan.Lengths(g.spans, g.left); err != nil {
		return false, err
	}
	g.spansKnown = true
	for word, left := range g.left {
		for ; left != 0; left &= left - 1 {
			if length := g.spans[word*64+bits.TrailingZeros64(left)]; length < least || length > most {
				g.left[word] &^= left & -left
				g.leftRows--
			}
		}
	}
	return g.leftRows > 0, nil
}

// lengthMax bounds end - start. Rows that end before they start count as 0 long; those whose
// length only looks right, because their end wrapped around, fail later.
func (s *segmentSearch) lengthMax() uint64 {
	if s.query.DurationMax > 0 {
		return min(math.MaxInt64, s.query.DurationMax)
	}
	return math.MaxInt64
}

// visitRows goes over the rows that are left, the dearest knowledge last: template and resource,
// columns, times, the filter, and for what is still open the rows themselves.
func (s *segmentSearch) visitRows(least uint64, visit, filtered visitor) error {
	g := s.group
	var err error
	if s.judge != nil { // it may ask for the times of any row that is left
		if g.starts, err = g.scan.Starts(g.starts, g.left); err != nil {
			return err
		}
	}
	if err := s.narrow(); err != nil || !slices.ContainsFunc(g.left, func(word uint64) bool { return word != 0 }) {
		return err
	}
	if s.judge == nil {
		if g.starts, err = g.scan.Starts(g.starts, g.left); err != nil {
			return err
		}
	}
	lengths, err := s.lengths()
	if err != nil {
		return err
	}
	g.read = g.read[:0]
	trace, traceEnd := 0, 0 // that the last row decided for is of, and where its rows end
	resources, _ := g.scan.Resources()
	for word, left := range g.left {
		for ; left != 0; left &= left - 1 {
			row := word*64 + bits.TrailingZeros64(left)
			start := g.starts[row]
			if start < least || start < s.query.StartMin || start > s.query.StartMax {
				continue
			}
			if lengths != nil && !s.lengthFits(start, lengths[row]) {
				continue
			}
			decided, may := hasBit(g.decided, row), true
			if s.judge != nil {
				a, err := s.judgeRow(row, resources[g.codes[row]])
				if err != nil {
					return err
				}
				decided, may = decided && a == answerYes, a != answerNo
			}
			switch {
			case !may:
			case decided && !s.wantRows:
				s.explain.RowsByTemplate.Add(1)
				if g.first+row >= traceEnd {
					trace = s.l.TraceAtRow(g.first + row)
					first, rows := s.l.TraceRows(trace)
					traceEnd = first + rows
				}
				if err := visit(hit{id: s.l.TraceID(trace), start: start}); err != nil {
					return err
				}
			default:
				g.read = append(g.read, row)
			}
		}
	}
	return s.readRows(filtered)
}

// narrow takes out of left the rows that cannot match by their template, resource and values,
// and leaves in decided those that are certain to have service, name and tags.
func (s *segmentSearch) narrow() (err error) {
	g := s.group
	if g.codes, err = g.scan.ResourceCodes(g.codes, g.left); err != nil {
		return err
	}
	g.decided = cleared(g.decided, len(g.left))
	resources, _ := g.scan.Resources()
	g.inService = cleared(g.inService, len(resources))
	for _, c := range g.served {
		g.inService[c.code] = true
	}
	for word, left := range g.left {
		kept, certain := uint64(0), uint64(0)
		for ; left != 0; left &= left - 1 {
			row := word*64 + bits.TrailingZeros64(left)
			resource := g.codes[row]
			if !g.inService[resource] {
				continue
			}
			decided, may, err := s.decide(row, s.ofResource(resources[resource]))
			if err != nil {
				return err
			}
			if may {
				kept |= left & -left
			}
			if decided {
				certain |= left & -left
			}
		}
		g.left[word], g.decided[word] = kept, certain
	}
	return nil
}

// lengths gives the lengths where the query asks for durations.
func (s *segmentSearch) lengths() ([]uint64, error) {
	if s.query.DurationMin == 0 && s.query.DurationMax == 0 {
		return nil, nil
	}
	g := s.group
	if g.spansKnown {
		return g.spans, nil
	}
	var err error
	g.spans, err = g.scan.Lengths(g.spans, g.left)
	return g.spans, err
}

func (s *segmentSearch) lengthFits(start, length uint64) bool {
	duration := span.Duration(start, start+length)
	return duration >= s.query.DurationMin && (s.query.DurationMax == 0 || duration <= s.query.DurationMax)
}

// decide tells whether a row may match but for length, start and filter, and whether that is
// certain: where its template and resource have all tags, or columns of spans the values of those
// that are missing.
func (s *segmentSearch) decide(row int, resource uint64) (decided, may bool, err error) {
	g := s.group
	code := int(g.items[row])
	if code >= len(g.fits) { // a template of the group's own
		return false, g.local[span.SpanLevel]|s.scopes|g.beside|resource == s.all, nil
	}
	if !g.fits[code] {
		return false, false, nil
	}
	missing := s.all &^ (g.holds[code] | resource)
	if missing == 0 {
		return true, true, nil
	}
	if missing&^g.may[code] != 0 {
		return false, false, nil
	}
	decided = true
	for ; missing != 0; missing &= missing - 1 {
		j := bits.TrailingZeros64(missing)
		rows, err := s.rowsWith(j)
		if err != nil || !hasBit(rows, row) {
			return false, false, err
		}
		decided = decided && g.exact[code]>>j&1 != 0 && hasBit(g.valuesOf[j], row)
	}
	return decided, true, nil
}

// rowsWith gives the rows that may satisfy a tag by something beside their template and
// resource, as bits. Where few rows are left, only of these is it told.
func (s *segmentSearch) rowsWith(j int) ([]uint64, error) {
	g := s.group
	if g.foundOf[j] != nil {
		return g.foundOf[j], nil
	}
	words := len(g.left)
	g.found[j] = cleared(g.found[j], 2*words)
	rows, values := g.found[j][:words], g.found[j][words:]
	bit := uint64(1) << j
	for _, level := range templateLevels {
		if err := s.markTemplates(rows, level, bit); err != nil {
			return nil, err
		}
		if g.filtered[level]&bit == 0 {
			continue
		}
		for _, id := range s.columns[j].byLevel[level] {
			if err := s.markValues(rows, j, level, id); err != nil {
				return nil, err
			}
		}
		if level == span.SpanLevel {
			copy(values, rows)
		}
	}
	g.foundOf[j], g.valuesOf[j] = rows, values
	return rows, nil
}

// valuesOfFew: of so many rows or fewer each is looked at for its value.
const valuesOfFew = 32

// markValues marks the rows that have a tag's value in a column.
func (s *segmentSearch) markValues(rows []uint64, j int, level span.Level, id uint32) error {
	g, t := s.group, &s.tags[j]
	text, number := t.bytes, uint64(0)
	switch s.l.ColumnType(id) {
	case span.StringValue:
	case span.IntValue:
		if !t.isInt {
			return nil
		}
		text, number = nil, uint64(t.intValue)
	default:
		return nil
	}
	if level == span.SpanLevel && g.leftRows <= valuesOfFew {
		return g.scan.MarkValuesAmong(rows, g.left, id, text, number)
	}
	return g.scan.MarkValues(rows, id, text, number)
}

// markTemplates marks the rows that may satisfy a tag by a template of their events or links, or
// by what their own leaves open.
func (s *segmentSearch) markTemplates(rows []uint64, level span.Level, bit uint64) error {
	shared, whole := s.group.scan.Templates(level)
	t := &s.levels[level]
	if whole && t.open&bit == 0 {
		return nil
	}
	asked := make([]bool, len(shared))
	for _, c := range s.group.common[level] {
		tags := &t.tags[c.at]
		asked[c.code] = tags.other&bit != 0 || level != span.SpanLevel && tags.holds&bit != 0
	}
	return s.group.scan.MarkTemplates(rows, level, func(code int) bool {
		if code >= len(shared) {
			return s.group.local[level]&bit != 0
		}
		return asked[code]
	})
}

// fewRows are read one by one; more are read with all between them.
const fewRows = 8

// readRows reads the rows that are still open and visits those that match.
func (s *segmentSearch) readRows(visit visitor) error {
	g := s.group
	p := s.projection()
	p.Pages = &g.opened
	for left := g.read; len(left) > 0; {
		from, n := left[0], 1
		if len(left) > fewRows {
			n = len(left)
		}
		batch, err := s.l.ReadRows(g.index, from, left[n-1]+1, p)
		if err != nil {
			return err
		}
		s.bind(&g.rows, batch)
		s.explain.RowsRead.Add(int64(n))
		for _, row := range left[:n] {
			pos := row - from
			if !g.rows.inRange(pos) || !g.rows.matches(pos) {
				continue
			}
			if err := visit(hit{batch.TraceIDs[pos], batch.Starts[pos], span.Row{Batch: batch, Pos: pos}}); err != nil {
				return err
			}
		}
		left = left[n:]
	}
	return nil
}
