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
//     begins after restTimes t, or after restMax. Rests add up, and what a timer wakes a walk too late is
//     taken off the next: so walks and rounds have a quarter of one processor, however short they are and
//     however many questions there are. A rest goes on when the last question ends: the next one of who
//     asks is near, and would meet all that had waited begin together.
//   - a flush or a merge pauses after each engine.StretchRows rows until no question is in flight,
//     but not for longer than pauseMax; a flush not at all while a write waits for one, a merge not
//     where segments pile up that none has met yet. Who reads tables after a start pauses before each
//     segment in the same way, but for up to tablesPauseMax: what a question needs it reads itself.
//
// Requests are walked in the order in which they came, so one waits for those before it, for each of
// them no longer than it takes to be applied, and restMax. So nothing that makes way waits for ever,
// however many questions there are. Who waits for a slow peer tells of End, and of Begin when the peer
// has moved. After the last question, and a rest, nothing is different.
//
// A nil Questions is never told of any.
type Questions struct {
	mu       sync.Mutex
	inFlight int
	quiet    chan struct{} // closed when none are in flight any more; nil where nobody waits for that
	more     chan struct{} // closed when more turns are left than were; nil where nobody waits for that
	scarce   bool          // one turn is left, or was beside the last question
	scarceAt time.Time     // when one turn was left last
	rested   time.Time     // when the rest after what was worked beside questions ends
	late     time.Duration // by which rests took longer than they had to; walks to come have it back
}

// NewQuestions gives the questions of a process: of all stores that shall give way to them.
func NewQuestions() *Questions { return new(Questions) }

// Begin tells that a question is in flight. End must be called once for it.
func (q *Questions) Begin() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inFlight++
	q.scarce = leftOf(processors, q.inFlight) == 1
}

// End tells that a question is in flight no more.
func (q *Questions) End() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.scarce {
		q.scarceAt = time.Now()
	}
	before := leftOf(processors, q.inFlight)
	q.inFlight--
	if q.inFlight == 0 {
		tell(&q.quiet)
	} else {
		q.scarce = leftOf(processors, q.inFlight) == 1
	}
	if leftOf(processors, q.inFlight) > before {
		tell(&q.more)
	}
}

// tell closes what somebody may wait for.
func tell(c *chan struct{}) {
	if *c != nil {
		close(*c)
		*c = nil
	}
}

// leftOf gives how many of n turns or processors are left beside so many questions.
func leftOf(n, questions int) int { return max(1, n-2*questions) }

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
// rest before it takes one: all of them and 0 where there are none and were none of late. more is closed
// when more of them are left.
func (q *Questions) left(n int) (atOnce int, rest time.Duration, more <-chan struct{}) {
	if q == nil {
		return n, 0, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.scarce {
		rest = max(0, time.Until(q.rested))
	}
	if q.inFlight > 0 && q.more == nil {
		q.more = make(chan struct{})
	}
	return leftOf(n, q.inFlight), rest, q.more
}

// woke tells that a walk rests no more. If it rested longer than it had to, as a timer may wake it after a
// thousand times that, the walks to come have it back.
func (q *Questions) woke() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.late = min(q.late+max(0, time.Since(q.rested)), restLateMax)
}

// worked notes what was done since begin, for which the next walk rests if one turn was left beside
// questions at any time of it. What is owed from before is no less for it.
func (q *Questions) worked(begin time.Time) {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !(q.scarce && q.inFlight > 0) && !q.scarceAt.After(begin) {
		return
	}
	now := time.Now()
	if q.rested.Before(begin) {
		q.rested = begin
	}
	q.rested = q.rested.Add((1 + restTimes) * now.Sub(begin))
	late := min(q.late, max(0, q.rested.Sub(now)))
	q.late -= late
	q.rested = q.rested.Add(-late)
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
func (q *Questions) pause() { q.pauseFor(context.Background(), pauseMax) }

// pauseFor is pause with another bound, and ends with ctx.
func (q *Questions) pauseFor(ctx context.Context, longest time.Duration) {
	quiet := q.untilQuiet()
	if quiet == nil {
		return
	}
	enough := time.NewTimer(longest)
	defer enough.Stop()
	select {
	case <-quiet:
	case <-enough.C:
	case <-ctx.Done():
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
		atOnce, rest, more := q.left(t.n)
		if rest == 0 && t.begin(atOnce) {
			begin := time.Now()
			return func() {
				q.worked(begin)
				t.end()
			}, nil
		}
		if err := t.wait(ctx, q, rest, more); err != nil {
			return nil, err
		}
	}
}

// wait waits for rest, or where that is 0 until a turn was left, until there are more of them, or until
// ctx ends.
func (t *turns) wait(ctx context.Context, q *Questions, rest time.Duration, more <-chan struct{}) error {
	left := t.left
	var rested <-chan time.Time
	if rest > 0 {
		timer := restTimer(rest)
		defer timer.Stop()
		defer q.woke()
		left, rested = nil, timer.C
	}
	select {
	case <-rested:
		return nil
	case <-left:
		return nil
	case <-more:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// restTimer makes the timer of a rest. Tests put a late one in its place.
var restTimer = time.NewTimer

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
