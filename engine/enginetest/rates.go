package enginetest

import "github.com/stoadb/stoa/engine/span"

// RateOf is the operation and step that spans are counted under.
type RateOf struct {
	Operation span.Operation
	Start     uint64
}

// Rated is what was counted there, each duration by itself.
type Rated struct {
	Spans, Errors uint64
	Durations     []uint64
}

func (r *Rated) add(row span.Row) {
	r.Spans++
	if row.StatusCode() == span.StatusError {
		r.Errors++
	}
	duration := uint64(0)
	if start, end := row.Start(), row.End(); end > start && end-start < 1<<63 {
		duration = end - start
	}
	r.Durations = append(r.Durations, duration)
}

// Rates counts the distinct spans that a query asks for.
func (m *Model) Rates(q span.RateQuery) map[RateOf]Rated {
	rates := make(map[RateOf]Rated)
	for id := range m.traces {
		for _, row := range m.Trace(id) {
			of := RateOf{span.Operation{Service: string(row.Service()), Name: string(row.Name()), Kind: row.Kind()}, q.StartMin}
			if q.Step > 0 {
				of.Start = row.Start() / q.Step * q.Step
			}
			kind := len(q.Kinds) == 0
			for _, asked := range q.Kinds {
				kind = kind || asked == row.Kind()
			}
			if !kind || row.Start() < q.StartMin || row.Start() > q.StartMax ||
				q.Service != "" && q.Service != of.Operation.Service || q.Name != "" && q.Name != of.Operation.Name {
				continue
			}
			r := rates[of]
			r.add(row)
			rates[of] = r
		}
	}
	return rates
}

// RateQuery gives a query that some spans of the model may answer.
func (g *Generator) RateQuery(m *Model) span.RateQuery {
	base := g.Query(m)
	q := span.RateQuery{StartMin: base.StartMin, StartMax: base.StartMax, Service: base.Service, Name: base.Name}
	q.Step = []uint64{0, 1, 1000, 1e9, 60e9, 1 << 62}[g.rand.IntN(6)]
	if g.rand.IntN(2) == 0 {
		q.Kinds = []int32{int32(g.rand.IntN(6)), int32(g.rand.IntN(6))}
	}
	return q
}
