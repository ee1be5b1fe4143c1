package engine

import (
	"context"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// rateCounter has spans counted by operation and step.
type rateCounter struct {
	operations
	query  span.RateQuery
	rates  *span.Rates
	series []rateSeries // by number
}

// rateSeries are the rates of one operation; those of the last step are at hand.
type rateSeries struct {
	step uint64
	rate *span.Rate
}

// Rates counts the distinct spans of the shard that are asked for into rates. See cells.go for
// what of that cells have counted already.
func (s *Shard) Rates(ctx context.Context, q span.RateQuery, rates *span.Rates) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close()
	t, err := newTally(ctx, v, &rateCounter{query: q, rates: rates}, timeRange{q.StartMin, q.StartMax})
	if err != nil {
		return err
	}
	if !q.Scan {
		t.kept, t.everything = &v.version.splitRates, &rateCounter{}
	}
	if err := t.countSegments(t.countRows); err != nil {
		return err
	}
	return t.countSplit()
}

// number gives that of an operation that is asked for.
func (c *rateCounter) number(service, name []byte, kind int32) uint32 {
	q := &c.query
	if !q.Counts(kind) || q.Service != "" && q.Service != string(service) || q.Name != "" && q.Name != string(name) {
		return 0
	}
	return c.of(service, name, kind)
}

func (c *rateCounter) cells(l *segment.Segment) (*segment.Cells, error) {
	if c.query.Scan {
		return nil, nil
	}
	return l.OperationCells()
}

// fits is true where each step stands within one that is asked for.
func (c *rateCounter) fits(step uint64, rows timeRange) bool {
	q := &c.query
	return q.Step == 0 || step > 0 && q.Step%step == 0 || q.StepOf(rows.min) == q.StepOf(rows.max)
}

// lines are the rows' operations.
func (c *rateCounter) lines(dst []line, rows []tallyRow) []line {
	for i := range rows {
		dst = append(dst, line{callee: rows[i].who})
	}
	return dst
}

func (c *rateCounter) sum(l line, start uint64) (sum, error) {
	for len(c.series) < len(c.list) {
		c.series = append(c.series, rateSeries{})
	}
	s, step := &c.series[l.callee], c.query.StepOf(start)
	if s.rate == nil || s.step != step {
		rate, err := c.rates.Of(c.list[l.callee], step)
		if err != nil {
			return sum{}, err
		}
		s.step, s.rate = step, rate
	}
	return sum{&s.rate.Spans, &s.rate.Errors, &s.rate.Durations}, nil
}
