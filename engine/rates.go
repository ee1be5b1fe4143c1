package engine

import (
	"context"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// rateCounter counts spans by operation and step. Operations are numbers to it.
type rateCounter struct {
	*tally
	query  span.RateQuery
	rates  *span.Rates
	covers []cover // by segment

	numbers map[span.Operation]uint32
	series  []rateSeries
}

// rateSeries are the rates of one operation; those of the last step are at hand.
type rateSeries struct {
	operation span.Operation
	step      uint64
	rate      *span.Rate
}

// unwanted is the number of all operations that nobody asks for.
const unwanted = 0

// Rates counts the distinct spans of the shard that are asked for into rates. See cells.go for
// what of that cells have counted already.
func (s *Shard) Rates(ctx context.Context, q span.RateQuery, rates *span.Rates) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close()
	c := &rateCounter{
		query: q, rates: rates, covers: make([]cover, len(v.segments)), numbers: map[span.Operation]uint32{}, series: make([]rateSeries, 1),
	}
	c.tally = newTally(ctx, v, c.operation)
	asked := timeRange{q.StartMin, q.StartMax}
	for i, l := range v.segments {
		info := l.Info()
		if info.MaxStart < q.StartMin || info.MinStart > q.StartMax {
			continue
		}
		if err := c.segment(i, l, asked); err != nil {
			return err
		}
	}
	for trace := range c.split.all() {
		if !c.split.reaches(trace, asked) {
			continue
		}
		parts, whole, err := c.assemble(trace)
		if err != nil {
			return err
		}
		for i := range parts {
			if err := c.takeBack(&parts[i]); err != nil {
				return err
			}
		}
		for i := range whole {
			if asked.has(whole[i].start) {
				if err := c.count(&whole[i]); err != nil {
					return err
				}
			}
		}
	}
	return ctx.Err()
}

// segment counts the segment's spans whose traces are not split, and with them, in cells, those
// whose are.
func (c *rateCounter) segment(i int, l *liveSegment, asked timeRange) error {
	cells, err := c.cellsOf(l)
	if err != nil {
		return err
	}
	cover := coverOf(cells, l.Info(), asked)
	c.covers[i] = cover
	if cover.from < cover.to {
		if err := c.addCells(cells, cover, l.Info()); err != nil {
			return err
		}
	}
	for g := 0; g < l.Groups() && len(cover.rest) > 0; g++ {
		if group := l.Group(g); cover.wants(group) {
			if err := c.group(i, g, cover); err != nil {
				return err
			}
		}
	}
	return nil
}

// cellsOf gives the cells of a segment where each of their steps stands within one that is
// asked for; nil where not.
func (c *rateCounter) cellsOf(l *liveSegment) (*segment.Cells, error) {
	if c.query.Scan {
		return nil, nil
	}
	cells, err := l.OperationCells()
	if cells == nil || err != nil {
		return nil, err
	}
	info, step := l.Info(), c.query.Step
	if step == 0 || cells.Step > 0 && step%cells.Step == 0 || c.query.StepOf(info.MinStart) == c.query.StepOf(info.MaxStart) {
		return cells, nil
	}
	return nil, nil
}

// addCells adds cells up.
func (c *rateCounter) addCells(cells *segment.Cells, cover cover, info segment.Info) error {
	numbers := make([]uint32, len(cells.Operations))
	for i, o := range cells.Operations {
		numbers[i] = c.operation([]byte(o.Service), []byte(o.Name), o.Kind)
	}
	for i := cover.from; i < cover.to; i++ {
		cell := cells.At(i)
		if numbers[cell.Callee] == unwanted {
			continue
		}
		rate, err := c.rate(numbers[cell.Callee], max(cell.Start, info.MinStart))
		if err != nil {
			return err
		}
		rate.Spans += cell.Spans
		rate.Errors += cell.Errors
		cells.AddTo(&rate.Durations, i)
	}
	return nil
}

// takeBack takes the spans of a split trace, as it stands in a segment, from its cells.
func (c *rateCounter) takeBack(part *tallyPart) error {
	if part.segment < 0 || c.covers[part.segment].from == c.covers[part.segment].to {
		return nil
	}
	cells := c.covers[part.segment].cells
	for i := range part.rows {
		row := &part.rows[i]
		if row.who == unwanted || !cells.has(row.start) {
			continue
		}
		rate, err := c.rate(row.who, row.start)
		if err != nil {
			return err
		}
		if !rate.Durations.Take(row.duration) || row.failed && rate.Errors == 0 {
			return wrongCells(c.view.segments[part.segment])
		}
		rate.Spans--
		if row.failed {
			rate.Errors--
		}
	}
	return nil
}

// group counts the rows of a row group that cells do not tell of.
func (c *rateCounter) group(i, g int, cover cover) error {
	l := c.view.segments[i]
	f, err := c.reader(i).read(g, false)
	if err != nil {
		return err
	}
	group := l.Group(g)
	for row := group.FirstRow; row < group.FirstRow+group.Rows; {
		trace := l.TraceAtRow(row)
		first, n := l.TraceRows(trace)
		end := min(first+n, group.FirstRow+group.Rows)
		if c.split.has(l.TraceID(trace)) {
			row = end
		}
		for ; row < end; row++ {
			if counted := f.row(row - group.FirstRow); cover.asks(counted.start) {
				if err := c.count(&counted); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// count adds one span.
func (c *rateCounter) count(row *tallyRow) error {
	if row.who == unwanted {
		return nil
	}
	rate, err := c.rate(row.who, row.start)
	if err != nil {
		return err
	}
	rate.Spans++
	if row.failed {
		rate.Errors++
	}
	rate.Durations.Add(row.duration, 1)
	return nil
}

// rate gives the rate of the step that a time stands in.
func (c *rateCounter) rate(number uint32, start uint64) (*span.Rate, error) {
	s, step := &c.series[number], c.query.StepOf(start)
	if s.rate != nil && s.step == step {
		return s.rate, nil
	}
	rate, err := c.rates.Of(s.operation, step)
	if err != nil {
		return nil, err
	}
	s.step, s.rate = step, rate
	return rate, nil
}

// operation gives the number of an operation.
func (c *rateCounter) operation(service, name []byte, kind int32) uint32 {
	q := &c.query
	if !q.Counts(kind) || q.Service != "" && q.Service != string(service) || q.Name != "" && q.Name != string(name) {
		return unwanted
	}
	o := span.Operation{Service: string(service), Name: string(name), Kind: kind}
	n, ok := c.numbers[o]
	if !ok {
		n = uint32(len(c.series))
		c.series = append(c.series, rateSeries{operation: o})
		c.numbers[o] = n
	}
	return n
}
