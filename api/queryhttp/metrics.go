package queryhttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

// metricsQuery asks for the series of some services. Times are in unix nanoseconds, durations in
// nanoseconds, all of them whole milliseconds.
type metricsQuery struct {
	services    []string // distinct
	kinds       []int32
	byOperation bool
	durations   bool // are to be counted
	end         uint64
	lookback    uint64
	step        uint64 // between two points
	window      uint64 // a point tells of the time of this length before it
}

func (h *handler) calls(r *http.Request) (any, error) {
	return h.metrics(r, "service_call_rate", "calls/sec, grouped by service", func(q *metricsQuery, c *counts) float64 {
		return float64(c.spans) / (float64(q.window) / 1e9)
	})
}

// errors are told as the share of calls that failed; of no calls there is none.
func (h *handler) errors(r *http.Request) (any, error) {
	const help = "error rate, computed as a fraction of errors/sec over calls/sec, grouped by service"
	return h.metrics(r, "service_error_rate", help, func(_ *metricsQuery, c *counts) float64 {
		return float64(c.errors) / float64(c.spans)
	})
}

// latencies are told in milliseconds; of no calls there is none.
func (h *handler) latencies(r *http.Request) (any, error) {
	p := h.parameters(r)
	quantile := p.quantile()
	if p.err != nil {
		return nil, p.err
	}
	return h.metrics(r, "service_latencies", fmt.Sprintf("%.2fth quantile latency, grouped by service", quantile), func(_ *metricsQuery, c *counts) float64 {
		if c.spans == 0 {
			return math.NaN()
		}
		return float64(c.durations.Quantile(quantile)) / 1e6
	})
}

// minStep tells the shortest step: what the parameter can say.
func (h *handler) minStep(*http.Request) (any, error) { return listing{Data: 1}, nil }

// metrics answers a family; value makes the value of a point of what its window counted.
func (h *handler) metrics(r *http.Request, name, help string, value func(q *metricsQuery, c *counts) float64) (any, error) {
	p := h.parameters(r)
	q := p.metrics()
	if p.err != nil {
		return nil, p.err
	}
	q.durations = strings.HasSuffix(name, "latencies")
	if q.byOperation {
		name, help = strings.Replace(name, "service", "service_operation", 1), help+" & operation"
	}
	grid, err := q.grid()
	if err != nil {
		return nil, err
	}
	s := &sliding{query: &q, grid: grid, value: value, now: grid.begin, known: map[seriesKey]*series{}}
	for _, service := range q.services {
		if err := s.count(r.Context(), h.store, service, grid.begin, grid.end); err != nil {
			return nil, err
		}
		s.finish()
	}
	return &family{name: name, help: help, first: grid.first, step: q.step, series: s.done}, nil
}

// grid is where the points of a question stand, and the ticks they are made of: a tick is the
// longest time that both step and window are whole multiples of.
//
// Points stand at multiples of the step, not at the range's start as Prometheus has them: the
// same time then has the same value whenever it is asked for, and the store's own steps, which
// begin at multiples too, are the ticks.
type grid struct {
	first, last uint64 // point
	begin, end  uint64 // ticks are counted in [begin, end)
	tick        uint64
}

func (q *metricsQuery) grid() (grid, error) {
	g := grid{tick: gcd(q.step, q.window), last: q.end - q.end%q.step}
	g.first = g.last
	if from := before(q.end, q.lookback); from < g.last {
		g.first = g.last - (g.last-from)/q.step*q.step
	}
	// There is no time before the first point at 0, and a window that would reach there is shorter.
	g.first = max(g.first, min(q.step, g.last))
	g.begin, g.end = before(g.first, q.window), g.last
	points, ticks := (g.last-g.first)/q.step+1, (g.end-g.begin)/g.tick
	switch {
	case points > seriesPointsMax:
		return g, fmt.Errorf("%w: %d points of a series, at most %d: ask for a longer step or a shorter lookback", span.ErrTooMuch, points, seriesPointsMax)
	case ticks > ticksMax:
		return g, fmt.Errorf("%w: step and ratePer are multiples of %d ms only, and %d of these are to be counted, at most %d: ask with a ratePer that is a multiple of the step",
			span.ErrTooMuch, g.tick/1e6, ticks, ticksMax)
	}
	return g, nil
}

func gcd(a, b uint64) uint64 {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// sliding goes through the ticks of one service after the other, and makes points.
type sliding struct {
	query  *metricsQuery
	grid   grid
	value  func(q *metricsQuery, c *counts) float64
	now    uint64 // the tick that comes next
	points int    // of each series of the service at hand
	known  map[seriesKey]*series
	done   []series // of the services before
	total  int      // points of all series
}

type seriesKey struct{ service, operation string }

// series is one line of points. Names are valid UTF-8.
type series struct {
	seriesKey
	hasOperation bool
	window       window
	values       []float64
}

// count asks the store for the ticks in [from, to) of a service and goes through them. Where they
// are too many rates at once it asks for one half after the other.
func (s *sliding) count(ctx context.Context, store Store, service string, from, to uint64) error {
	if from >= to {
		return nil
	}
	rates, err := store.Rates(ctx, span.RateQuery{StartMin: from, StartMax: to - 1, Service: service, Kinds: s.query.kinds, Step: s.grid.tick})
	if half := (to - from) / s.grid.tick / 2 * s.grid.tick; errors.Is(err, span.ErrTooMuch) && half > 0 {
		if err := s.count(ctx, store, service, from, from+half); err != nil {
			return err
		}
		return s.count(ctx, store, service, from+half, to)
	}
	if err != nil {
		return err
	}
	slices.SortFunc(rates, func(a, b *span.Rate) int { return cmp.Compare(a.Start, b.Start) })
	cells := map[seriesKey]*counts{}
	for at := 0; s.now < to; {
		clear(cells)
		for ; at < len(rates) && rates[at].Start <= s.now; at++ {
			if rate := rates[at]; rate.Service == service { // the store takes "" for every service
				s.add(cells, rate)
			}
		}
		if err := s.tick(cells); err != nil {
			return err
		}
		if s.now/s.grid.tick%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// add counts a rate in its series' cell.
func (s *sliding) add(cells map[seriesKey]*counts, rate *span.Rate) {
	key := seriesKey{service: wire.Text(rate.Service)}
	if s.query.byOperation {
		key.operation = wire.Text(rate.Name)
	}
	cell := cells[key]
	if cell == nil {
		cell = &counts{}
		cells[key] = cell
	}
	more := counts{spans: rate.Spans, errors: rate.Errors}
	if s.query.durations {
		more.durations = rate.Durations
	}
	cell.add(&more)
}

// tick goes on by a tick, whose counts are in cells, and makes the points that stand at its end.
func (s *sliding) tick(cells map[seriesKey]*counts) error {
	length := int(s.query.window / s.grid.tick)
	for key := range cells {
		if s.known[key] != nil {
			continue
		}
		// Of a series that begins late the points before are made now: they are counted first.
		if err := s.countPoints(s.points); err != nil {
			return err
		}
		line := &series{seriesKey: key, hasOperation: s.query.byOperation, window: window{length: length}}
		line.values = slices.Repeat([]float64{s.value(s.query, nothing)}, s.points)
		s.known[key] = line
		if len(s.known)*length > cellsMax {
			return fmt.Errorf("%w: %d series, each of a window of %d steps: ask for a longer step or a shorter ratePer", span.ErrTooMuch, len(s.known), length)
		}
	}
	for key, line := range s.known {
		line.window.push(cells[key])
	}
	s.now += s.grid.tick
	if s.now%s.query.step == 0 && s.now >= s.grid.first {
		return s.point()
	}
	return nil
}

// point makes a point of each series.
func (s *sliding) point() error {
	s.points++
	if err := s.countPoints(len(s.known)); err != nil {
		return err
	}
	for _, line := range s.known {
		total := line.window.total()
		line.values = append(line.values, s.value(s.query, &total))
	}
	return nil
}

// countPoints counts points that are about to be made.
func (s *sliding) countPoints(n int) error {
	if s.total += n; s.total > pointsMax {
		return fmt.Errorf("%w: more than %d points: ask for a longer step or a shorter lookback", span.ErrTooMuch, pointsMax)
	}
	return nil
}

// finish puts the series of a service in their order behind those before, and begins anew.
func (s *sliding) finish() {
	list := make([]series, 0, len(s.known))
	for _, line := range s.known {
		list = append(list, *line)
	}
	clear(s.known)
	slices.SortFunc(list, func(a, b series) int {
		return cmp.Or(cmp.Compare(a.service, b.service), cmp.Compare(a.operation, b.operation))
	})
	s.done = append(s.done, list...)
	s.now, s.points = s.grid.begin, 0
}
