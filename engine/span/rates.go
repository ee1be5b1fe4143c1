package span

import (
	"cmp"
	"fmt"
	"slices"
)

// RateQuery asks how many spans there were, how many of them failed and how long they took,
// by operation and time.
type RateQuery struct {
	// StartMin and StartMax bound the span's start, inclusive, in unix nanoseconds.
	StartMin, StartMax uint64
	// Service and Name are those of the spans; empty is any.
	Service, Name string
	// Kinds are the kinds to count, as OTLP numbers; none is all of them.
	Kinds []int32
	// Step is the length of a step of time in nanoseconds, which begin at its multiples; 0
	// takes the whole range as one.
	Step uint64
	// Scan reads every row in the range and no cells. It is slow, and what cells are compared
	// with.
	Scan bool
}

// RatesMax bounds the rates of one answer: operations times steps.
const RatesMax = 50_000

// StepOf gives the start of the step that a time stands in.
func (q *RateQuery) StepOf(start uint64) uint64 {
	if q.Step == 0 {
		return q.StartMin
	}
	return start - start%q.Step
}

// Counts reports whether spans of a kind are asked for.
func (q *RateQuery) Counts(kind int32) bool {
	return len(q.Kinds) == 0 || slices.Contains(q.Kinds, kind)
}

// Rate is what was counted of one operation in one step.
type Rate struct {
	Operation
	Start     uint64 // of the step, unix nanoseconds
	Spans     uint64
	Errors    uint64 // of them with status Error
	Durations Durations
}

// Rates gathers rates. The zero value is not ready; see NewRates.
type Rates struct {
	rates map[rateKey]*Rate
}

type rateKey struct {
	Operation
	start uint64
}

// NewRates has no rate.
func NewRates() *Rates { return &Rates{map[rateKey]*Rate{}} }

// Of gives the rate of an operation in a step, a new one where there was none. More than
// RatesMax are ErrTooMuch.
func (r *Rates) Of(o Operation, start uint64) (*Rate, error) {
	key := rateKey{o, start}
	if rate := r.rates[key]; rate != nil {
		return rate, nil
	}
	if len(r.rates) == RatesMax {
		return nil, fmt.Errorf("%w: more than %d operations and steps: ask for longer steps, a shorter range or one service", ErrTooMuch, RatesMax)
	}
	rate := &Rate{Operation: o, Start: start}
	r.rates[key] = rate
	return rate, nil
}

// AddAll adds what another counted.
func (r *Rates) AddAll(other *Rates) error {
	for key, more := range other.rates {
		rate, err := r.Of(key.Operation, key.start)
		if err != nil {
			return err
		}
		rate.Spans += more.Spans
		rate.Errors += more.Errors
		rate.Durations.AddAll(&more.Durations)
	}
	return nil
}

// Sorted gives the rates by service, name, kind and start.
func (r *Rates) Sorted() []*Rate {
	list := make([]*Rate, 0, len(r.rates))
	for _, rate := range r.rates {
		list = append(list, rate)
	}
	slices.SortFunc(list, func(a, b *Rate) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Start, b.Start))
	})
	return list
}
