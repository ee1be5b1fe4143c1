package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/engine/span"
)

// Class is one kind of question, asked through the storage API, one after the other.
type Class struct {
	Name string
	// Ask asks question i and gives how many traces, or other things, answered it.
	Ask func(ctx context.Context, c *client.Client, i int) (answers int, err error)
	// Check compares the last answer, to question i, with the truth; the error says how
	// they differ. It runs outside of the time measured. Without it any answer but an
	// empty one is right.
	Check func(i int) error
}

// Measured is what the questions of one class took.
type Measured struct {
	Times
	Wrong      int   // answers that differ from the truth
	FirstWrong error // how the first of them differs
}

// GetClass asks for whole traces by id.
func GetClass(name string, ids []span.TraceID) Class {
	return Class{Name: name, Ask: func(ctx context.Context, c *client.Client, i int) (int, error) {
		chunks := 0
		err := c.GetTraces(ctx, ids[i%len(ids):][:1], func([]byte) error { chunks++; return nil })
		return min(chunks, 1), err
	}}
}

// FindClass asks one search for whole traces.
func FindClass(name string, q span.Query) Class {
	return Class{Name: name, Ask: func(ctx context.Context, c *client.Client, _ int) (int, error) {
		seen := 0
		err := c.FindTraces(ctx, q, func([]byte) error { seen++; return nil })
		return seen, err
	}}
}

// SummaryClass asks one search for summaries.
func SummaryClass(name string, q span.Query) Class {
	return Class{Name: name, Ask: func(ctx context.Context, c *client.Client, _ int) (int, error) {
		found, err := c.Summaries(ctx, q)
		return len(found), err
	}}
}

// Measure asks a class n times of the server at address, one question after the other.
// What is timed is the call until its last byte is here, as bytes where they are spans;
// comparing comes after the clock is read. Warm means that warmQuestions more were asked
// before, on the same connection: gRPC grows its windows and buffers with the first ones.
// An answer that differs from the truth, or an
// empty one where there is no truth, is counted as wrong, a warming one too: a fast wrong
// answer counts as none.
func Measure(ctx context.Context, address string, class Class, n int) (Measured, error) {
	c, err := client.Dial(ctx, address)
	if err != nil {
		return Measured{}, err
	}
	defer func() { _ = c.Close() }() // nothing is in flight any more
	// The asker's own garbage, much of it after a load, is not collected on the server's
	// cores while a question is timed.
	runtime.GC()
	measured := Measured{Times: make(Times, 0, n)}
	for i := range warmQuestions + n {
		begin := time.Now()
		answers, err := class.Ask(ctx, c, i)
		took := time.Since(begin)
		if err != nil {
			return Measured{}, fmt.Errorf("%s: %w", class.Name, err)
		}
		if i >= warmQuestions {
			measured.Times = append(measured.Times, took)
		}
		var wrong error
		switch {
		case class.Check != nil:
			wrong = class.Check(i)
		case answers == 0:
			wrong = errors.New("no answer")
		}
		if wrong != nil {
			measured.Wrong++
			if measured.FirstWrong == nil {
				measured.FirstWrong = fmt.Errorf("%s, question %d: %w", class.Name, i, wrong)
			}
		}
	}
	return measured, nil
}
