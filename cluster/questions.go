package cluster

import (
	"context"
	"sync"
	"time"
)

// Questions go first. Who answers them tells of each with Begin and End, and while any are in flight
// what can wait makes way:
//
//   - of the turns for walking requests half are left, and a round logs and applies with half of
//     the processors. A walk under way goes on to its end: it takes milliseconds.
//   - a flush or a merge pauses after each engine.StretchRows rows until no question is in flight,
//     but not for longer than pauseMax; a flush not at all while a write waits for one.
//
// So nothing that makes way waits for ever, however many questions there are, and a question that
// waits itself, for a slow reader or a flush, takes no more than that from others. While no question
// is in flight nothing is different. The simpler way, to let each request wait until it is quiet,
// needs a bound of time, after which all that waited begin at once.
//
// A nil Questions is never told of any.
type Questions struct {
	mu       sync.Mutex
	inFlight int
	quiet    chan struct{} // closed when none are in flight any more; nil where nobody waits for that
}

// NewQuestions gives the questions of a process: of all stores that shall give way to them.
func NewQuestions() *Questions { return new(Questions) }

// Begin tells that a question is in flight. End must be called once for it.
func (q *Questions) Begin() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inFlight++
}

// End tells that a question is in flight no more.
func (q *Questions) End() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.inFlight--; q.inFlight == 0 && q.quiet != nil {
		close(q.quiet)
		q.quiet = nil
	}
}

// areInFlight tells whether any are.
func (q *Questions) areInFlight() bool {
	if q == nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.inFlight > 0
}

// untilQuiet gives what is closed when no question is in flight any more; nil where none is now.
func (q *Questions) untilQuiet() <-chan struct{} {
	if q == nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.inFlight == 0 {
		return nil
	}
	if q.quiet == nil {
		q.quiet = make(chan struct{})
	}
	return q.quiet
}

// pause waits while questions are in flight, for pauseMax at most.
func (q *Questions) pause() {
	quiet := q.untilQuiet()
	if quiet == nil {
		return
	}
	enough := time.NewTimer(pauseMax)
	defer enough.Stop()
	select {
	case <-quiet:
	case <-enough.C:
	}
}

// besideQuestions gives how many of n turns or processors are left while questions are in flight.
func besideQuestions(n int) int { return max(1, n/2) }

// turns are those of requests to be walked.
type turns struct {
	all    chan struct{} // a slot for each that is walked
	beside chan struct{} // the same, of those whose turn came while questions were in flight
}

func newTurns(n int) turns {
	return turns{all: make(chan struct{}, n), beside: make(chan struct{}, besideQuestions(n))}
}

// take waits for a turn, until ctx ends, and returns how to end it.
func (t turns) take(ctx context.Context, q *Questions) (leave func(), err error) {
	beside := q.areInFlight()
	if beside {
		if err := enter(ctx, t.beside); err != nil {
			return nil, err
		}
	}
	if err := enter(ctx, t.all); err != nil {
		if beside {
			<-t.beside
		}
		return nil, err
	}
	return func() {
		<-t.all
		if beside {
			<-t.beside
		}
	}, nil
}

// enter takes a slot, which it waits for until ctx ends.
func enter(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
