package api

import (
	"sync/atomic"
	"time"
)

// budget hands out an amount up to a limit, without waiting: who gets none is refused
// at once and told to come again, since a queue in memory is what overload is made of.
type budget struct {
	used  atomic.Int64
	limit int64
}

// take reports whether n more fit. An empty budget admits any n, so that a request
// larger than the whole budget is served alone rather than never.
func (b *budget) take(n int64) bool {
	for {
		used := b.used.Load()
		if used > 0 && used+n > b.limit {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// give returns what take took.
func (b *budget) give(n int64) { b.used.Add(-n) }

// grow raises what one holder took from have to want; the holder's own part does not
// count against it.
func (b *budget) grow(have, want int64) bool {
	for {
		used := b.used.Load()
		if others := used - have; others > 0 && others+want > b.limit {
			return false
		}
		if b.used.CompareAndSwap(used, used-have+want) {
			return true
		}
	}
}

// admitQuestion reports whether there is room for one more question, and tells Questions of it;
// then questionEnded must be called once.
func (p *process) admitQuestion() bool {
	if !p.queries.take(1) {
		return false
	}
	p.questionGoesOn()
	return true
}

// questionEnded ends what admitQuestion began.
func (p *process) questionEnded() {
	p.questionRests()
	p.queries.give(1)
}

// questionRests tells Questions that no processor works for one now; then questionGoesOn must be
// called once, or questionEnded does not end it.
func (p *process) questionRests() {
	if p.options.Questions != nil {
		p.options.Questions.End()
	}
}

// questionGoesOn ends what questionRests began.
func (p *process) questionGoesOn() {
	if p.options.Questions != nil {
		p.options.Questions.Begin()
	}
}

// restsWhileSlow tells that a question rests once its peer has taken quickPeerTime, until the
// function that it returns is called.
func (p *process) restsWhileSlow() (goOn func()) {
	rests := make(chan struct{})
	slow := time.AfterFunc(quickPeerTime, func() {
		p.questionRests()
		close(rests)
	})
	return func() {
		if !slow.Stop() {
			<-rests
			p.questionGoesOn()
		}
	}
}
