package cluster

import (
	"context"
	"sync"
	"time"
)

// Questions go first. Who answers them tells of each with Begin and End, and while any are in flight
// what can wait makes way:
//
//   - each question is left two processors: one works the answer out, one encodes and sends it. As many
//     requests are walked at once as there are others, one at least, and a round logs and applies with
//     as many. What is under way goes on to its end: it takes milliseconds.
//   - where that is one, a rest follows its work: after a walk, or the work of a round, of t the next walk
//     begins after restTimes t, or after restMax. So walks and rounds have a quarter of one processor,
//     however many questions there are. A rest goes on when the question ends: the next one of who asks
//     is near, and would meet all that had waited begin together.
//   - a flush or a merge pauses after each engine.StretchRows rows until no question is in flight,
//     but not for longer than pauseMax; a flush not at all while a write waits for one, a merge not
//     where segments pile up that none has met yet.
//
// Requests are walked in the order in which they came, so one waits for those before it, for each of
// them no longer than it takes to be applied, and restMax. So nothing that makes way waits for ever,
// however many questions there are, and a question that waits itself, for a flush, takes no more than
// that from others. Who waits for a slow peer tells of End, and of Begin when the peer has moved. After the last question, and a rest, nothing is different.
//
// A nil Questions is never told of any.
type Questions struct {
	mu       sync.Mutex
	inFlight int
	quiet    chan struct{} // closed when none are in flight any more; nil where nobody waits for that
	ended    time.Time     // when one ended last
	rested   time.Time     // when the rest after what was worked beside questions ends
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
	q.ended = time.Now()
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

// left gives how many of n turns or processors are left beside questions, and for how long a walk is to
// rest before it takes one: all of them and 0 where there are none and were none of late.
func (q *Questions) left(n int) (atOnce int, rest time.Duration) {
	if q == nil {
		return n, 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if atOnce = max(1, n-2*q.inFlight); atOnce > 1 && q.inFlight > 0 {
		return atOnce, 0
	}
	return atOnce, max(0, time.Until(q.rested))
}

// worked notes what was done since begin, for which the next walk rests if a question was in flight at
// any time of it.
func (q *Questions) worked(begin time.Time) {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.inFlight == 0 && !q.ended.After(begin) {
		return
	}
	now := time.Now()
	if q.rested.Before(now) {
		q.rested = now
	}
	q.rested = q.rested.Add(restTimes * now.Sub(begin))
	if latest := now.Add(restMax); q.rested.After(latest) {
		q.rested = latest
	}
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

// turns are those of requests to be walked, in the order in which they come: who is at the door waits
// until one is left for him, all others wait for the door.
type turns struct {
	n    int
	door chan struct{} // a slot for who is at it; a channel lets those who wait in by their order
	left chan struct{} // holds a token after a turn was left

	mu    sync.Mutex
	taken int
}

func newTurns(n int) *turns {
	return &turns{n: n, door: make(chan struct{}, 1), left: make(chan struct{}, 1)}
}

// take waits for a turn, until ctx ends, and returns how to leave it.
func (t *turns) take(ctx context.Context, q *Questions) (leave func(), err error) {
	select {
	case t.door <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-t.door }()
	for {
		atOnce, rest := q.left(t.n)
		if rest == 0 && t.begin(atOnce) {
			begin := time.Now()
			return func() {
				q.worked(begin)
				t.end()
			}, nil
		}
		if err := t.wait(ctx, q, rest); err != nil {
			return nil, err
		}
	}
}

// wait waits for rest, or where that is 0 until a turn may be left, or until ctx ends.
func (t *turns) wait(ctx context.Context, q *Questions, rest time.Duration) error {
	if rest > 0 {
		timer := time.NewTimer(rest)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-t.left:
		return nil
	case <-q.untilQuiet():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin takes a turn where fewer than atOnce are taken.
func (t *turns) begin(atOnce int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken >= atOnce {
		return false
	}
	t.taken++
	return true
}

// end leaves a turn, and tells who is at the door.
func (t *turns) end() {
	t.mu.Lock()
	t.taken--
	t.mu.Unlock()
	select {
	case t.left <- struct{}{}:
	default: // one token says all
	}
}
