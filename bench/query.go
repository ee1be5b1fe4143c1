package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/engine/span"
)

// Ask asks question i and gives how many traces, or other things, answered it, where that
// is not left to Check.
type Ask func(ctx context.Context, c Asker, i int) (answers int, err error)

// Check compares the last answer, to question i, with the truth; wrong says how they
// differ. It gives how many traces, or other things, there were. It runs outside of the
// time measured, and so does what it reads of the answer.
type Check func(i int) (answers int, wrong error)

// Class is one kind of question, asked over an API, one after the other.
type Class struct {
	Name      string
	Questions int // how many differ; question i is question i modulo that
	Ask       Ask
	// Check is nil where there is no truth: any answer but an empty one is right then.
	Check Check

	another func() (Ask, Check) // for one more client, with memory of its own
	// served, where not nil, tells whether the server takes such questions at all, once the
	// first answer of a client was empty: see ErrNotServed. It is not timed.
	served func(ctx context.Context, c Asker) error
}

// newClass is a class that several clients may ask at once.
func newClass(name string, questions int, another func() (Ask, Check)) Class {
	ask, check := another()
	return Class{Name: name, Questions: questions, Ask: ask, Check: check, another: another}
}

// Measured is what the questions of one class took.
type Measured struct {
	Times            // of right answers, but to warming questions
	Wrong      int   // answers that differ from the truth, and refusals
	FirstWrong error // how the first of them differs, or what the server said
	Asked      int   // questions, warming ones too
	Answers    int   // traces or other things, of all answers that Times has
}

// GetClass asks for whole traces by id.
func GetClass(name string, ids []span.TraceID) Class {
	return Class{Name: name, Questions: len(ids), Ask: func(ctx context.Context, c Asker, i int) (int, error) {
		chunks := 0
		err := c.GetTraces(ctx, ids[i%len(ids):][:1], func([]byte) error { chunks++; return nil })
		return min(chunks, 1), err
	}}
}

// FindClass asks one search for whole traces.
func FindClass(name string, q span.Query) Class {
	return Class{Name: name, Questions: 1, Ask: func(ctx context.Context, c Asker, _ int) (int, error) {
		seen := 0
		err := c.FindTraces(ctx, q, func([]byte) error { seen++; return nil })
		return seen, err
	}}
}

// SummaryClass asks one search for summaries.
func SummaryClass(name string, q span.Query) Class {
	return Class{Name: name, Questions: 1, Ask: func(ctx context.Context, c Asker, _ int) (int, error) {
		found, err := c.Summaries(ctx, q)
		return len(found), err
	}}
}

// Measure asks a class n times of the server at address, one question after the other,
// warm, over Jaeger's storage API.
func Measure(ctx context.Context, address string, class Class, n int) (Measured, error) {
	return Measuring{Address: address, Clients: 1, Questions: n, Warm: WarmQuestions}.Class(ctx, class)
}

// Measuring says how a class is asked.
type Measuring struct {
	API       API // "" is StorageGRPC
	Address   string
	Clients   int // each over a connection of its own, one question at a time
	Questions int // of all clients together
	// Warm is how many questions each client asks before the clock counts: gRPC grows its
	// windows and buffers with the first ones.
	Warm int
	// Time is after how long a client asks no more, however many questions are left; 0 is
	// never. Three are asked in any case. The warming ones have as long for themselves.
	Time time.Duration
}

// Class asks. What is timed is the call until its last byte is here, as bytes where they
// are spans; comparing comes after the clock is read. An answer that differs from the
// truth, or an empty one where there is no truth, is counted as wrong, a warming one too, and
// so is a refusal by a server that lives: see refused. A fast wrong answer counts as none, so
// its time is none of those kept. Where the server does not serve the first question of all, the
// class is not served, which is the error; after it that is a wrong answer too. A connection
// that fails is an error.
func (m Measuring) Class(ctx context.Context, class Class) (Measured, error) {
	if m.Clients > 1 && class.another == nil {
		return Measured{}, fmt.Errorf("%s is asked by one client only", class.Name)
	}
	// The asker's own garbage, much of it after a load, is not collected on the server's
	// cores while a question is timed.
	runtime.GC()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parts := make([]Measured, m.Clients)
	var group sync.WaitGroup
	for i := range parts {
		own := class
		if i > 0 {
			own.Ask, own.Check = class.another()
		}
		group.Go(func() {
			var err error
			if parts[i], err = m.client(ctx, own, i); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return Measured{}, err
	}
	all := parts[0]
	for _, part := range parts[1:] {
		all.Times = append(all.Times, part.Times...)
		all.Wrong += part.Wrong
		all.Answers += part.Answers
		all.Asked += part.Asked
		if all.FirstWrong == nil {
			all.FirstWrong = part.FirstWrong
		}
	}
	return all, nil
}

// client asks its share: every question whose number is its own modulo the clients.
func (m Measuring) client(ctx context.Context, class Class, first int) (Measured, error) {
	c, err := m.API.Dial(ctx, m.Address)
	if err != nil {
		return Measured{}, err
	}
	defer func() { _ = c.Close() }() // nothing is in flight any more
	var measured Measured
	started, timed := time.Now(), 0 // questions, those with wrong answers too
	for i := first; i < m.Clients*m.Warm+m.Questions; i += m.Clients {
		warming := i < m.Clients*m.Warm
		if !warming && timed == 0 {
			started = time.Now()
		}
		if m.Time > 0 && time.Since(started) > m.Time {
			if warming {
				continue
			}
			if timed >= timedQuestionsMin {
				break
			}
		}
		begin := time.Now()
		answers, err := class.Ask(ctx, c.Asker, i)
		took := time.Since(begin)
		// The class's first answer tells whether it is served: what is not served later is wrong.
		if err != nil && !refused(err) && (i == 0 || !notServed(err)) {
			return Measured{}, fmt.Errorf("%s: %w", class.Name, err)
		}
		measured.Asked++
		wrong := err
		switch {
		case err != nil:
		case class.Check != nil:
			answers, wrong = class.Check(i)
		case answers == 0:
			wrong = errors.New("no answer")
		}
		if err == nil && answers == 0 && i == first && class.served != nil {
			if err := class.served(ctx, c.Asker); err != nil {
				return Measured{}, fmt.Errorf("%s: %w", class.Name, err)
			}
		}
		if !warming {
			timed++
		}
		switch {
		case wrong != nil:
			measured.Wrong++
			if measured.FirstWrong == nil {
				measured.FirstWrong = fmt.Errorf("%s, question %d: %w", class.Name, i, wrong)
			}
		case !warming:
			measured.Times = append(measured.Times, took)
			measured.Answers += answers
		}
	}
	return measured, nil
}

// notServed tells whether a server said that it does not take a question.
func notServed(err error) bool {
	return errors.Is(err, ErrNotServed) || status.Code(err) == codes.Unimplemented
}

// refused tells whether a server that lives refused a question which it takes: the answer was more
// than it gives, or than a client takes, took it too long, or it asks to come again.
func refused(err error) bool {
	_, again := client.RetryAfter(err)
	switch status.Code(err) {
	case codes.ResourceExhausted:
		return true
	case codes.Unavailable:
		return again
	}
	return errors.Is(err, errRefused)
}

// record is what was measured of a class. Where no answer was right there are no figures.
func (m Measuring) record(class Class, state string, measured Measured) QueryRecord {
	q := QueryRecord{
		Class: class.Name, State: state, Clients: m.Clients, Asked: measured.Asked, Wrong: measured.Wrong, MS: SpreadOf(measured.Times),
	}
	if measured.FirstWrong != nil {
		q.FirstWrong = measured.FirstWrong.Error()
	}
	right := float64(len(measured.Times))
	if right == 0 {
		return q
	}
	busy := 0.0
	for _, took := range measured.Times {
		busy += took.Seconds()
	}
	q.Answers = float64(measured.Answers) / right
	// As many as the clients would ask if comparing took no time.
	q.ASecond = right / max(busy, 1e-9) * float64(m.Clients)
	return q
}
