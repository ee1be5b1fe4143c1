package engine

import (
	"context"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// ratesProjection is what rates read of a row group.
var ratesProjection = segment.Projection{Times: true, Names: true, Identity: true}

// rateCounter counts rows. What a batch's numbers stand for it looks up once a batch.
type rateCounter struct {
	query  span.RateQuery
	rates  *span.Rates
	batch  *span.Batch
	series map[batchOperation]*rateSeries
}

// rateSeries are the rates of one operation of a batch; those of the last step are at hand.
// An operation that nobody asks for has none.
type rateSeries struct {
	operation span.Operation
	wanted    bool
	step      uint64
	rate      *span.Rate
}

// Rates counts the distinct spans of the shard that are asked for into rates.
func (s *Shard) Rates(ctx context.Context, q span.RateQuery, rates *span.Rates) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close()
	c := &rateCounter{query: q, rates: rates, series: map[batchOperation]*rateSeries{}}
	split := v.splitTraces()
	for _, l := range v.segments {
		for g := range l.Groups() {
			group := l.Group(g)
			if group.MaxStart < q.StartMin || group.MinStart > q.StartMax {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			batch, err := l.ReadGroup(g, ratesProjection)
			if err != nil {
				return err
			}
			for pos := range batch.Len() {
				if row := (span.Row{Batch: batch, Pos: pos}); c.asksFor(row) && !split[row.TraceID()] {
					if err := c.count(row); err != nil {
						return err
					}
				}
			}
		}
	}
	for _, id := range v.inRowOrder(split) {
		err := mergeRows(ctx, v.sources(id, ratesProjection), func(row span.Row) error {
			if !c.asksFor(row) {
				return nil
			}
			return c.count(row)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// asksFor tells by time and kind, which cost nothing.
func (c *rateCounter) asksFor(row span.Row) bool {
	start := row.Start()
	return start >= c.query.StartMin && start <= c.query.StartMax && c.query.Counts(row.Kind())
}

func (c *rateCounter) count(row span.Row) error {
	if c.batch != row.Batch {
		clear(c.series)
		c.batch = row.Batch
	}
	key := batchOperation{row.Batch.ResourceIDs[row.Pos], row.Batch.Names[row.Pos], row.Kind()}
	s := c.series[key]
	if s == nil {
		s = &rateSeries{operation: span.Operation{Service: string(row.Service()), Name: string(row.Name()), Kind: row.Kind()}}
		s.wanted = (c.query.Service == "" || c.query.Service == s.operation.Service) && (c.query.Name == "" || c.query.Name == s.operation.Name)
		c.series[key] = s
	}
	if !s.wanted {
		return nil
	}
	if step := c.query.StepOf(row.Start()); s.rate == nil || s.step != step {
		rate, err := c.rates.Of(s.operation, step)
		if err != nil {
			return err
		}
		s.step, s.rate = step, rate
	}
	s.rate.Spans++
	if row.StatusCode() == span.StatusError {
		s.rate.Errors++
	}
	s.rate.Durations.Add(row.Duration(), 1)
	return nil
}
