package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/engine/span"
)

// Class is one kind of question, asked through the storage API, one after the other.
type Class struct {
	Name string
	// Ask asks question i and gives how many traces answered it.
	Ask func(ctx context.Context, c *client.Client, i int) (traces int, err error)
}

// GetClass asks for whole traces by id.
func GetClass(name string, ids []span.TraceID) Class {
	return Class{name, func(ctx context.Context, c *client.Client, i int) (int, error) {
		chunks := 0
		err := c.GetTraces(ctx, ids[i%len(ids):][:1], func([]byte) error { chunks++; return nil })
		return min(chunks, 1), err
	}}
}

// FindClass asks one search for whole traces.
func FindClass(name string, q span.Query) Class {
	return Class{name, func(ctx context.Context, c *client.Client, _ int) (int, error) {
		seen := 0
		err := c.FindTraces(ctx, q, func([]byte) error { seen++; return nil })
		return seen, err
	}}
}

// SummaryClass asks one search for summaries.
func SummaryClass(name string, q span.Query) Class {
	return Class{name, func(ctx context.Context, c *client.Client, _ int) (int, error) {
		found, err := c.Summaries(ctx, q)
		return len(found), err
	}}
}

// Measure asks a class n times of the server at address. A question without an answer
// is an error: a fast nothing counts as none.
func Measure(ctx context.Context, address string, class Class, n int) (Times, error) {
	c, err := client.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // nothing is in flight any more
	times := make(Times, 0, n)
	for i := range n {
		begin := time.Now()
		traces, err := class.Ask(ctx, c, i)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", class.Name, err)
		}
		if traces == 0 {
			return nil, fmt.Errorf("%s: no answer", class.Name)
		}
		times = append(times, time.Since(begin))
	}
	return times, nil
}
