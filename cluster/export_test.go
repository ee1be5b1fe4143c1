package cluster

import "github.com/stoadb/stoa/engine"

// In all tests of this package nothing is left of a form whose memory was given back: who still
// looks at it sees no form.
func init() {
	freeForm = func(p *engine.Part) {
		for i := range p.Form {
			p.Form[i] = 0xa5
		}
		p.FreeForm()
	}
}

// Held tells whether what is durable of a shard waits for a flush before it is applied.
func Held(s *Store, shard int) bool {
	s.groups.mu.Lock()
	defer s.groups.mu.Unlock()
	return s.groups.members[shard].held
}

// TakeWriterTurns takes all turns of requests to be walked, until free is called.
func TakeWriterTurns(s *Shared) (free func()) {
	for range cap(s.writers.all) {
		s.writers.all <- struct{}{}
	}
	return func() {
		for range cap(s.writers.all) {
			<-s.writers.all
		}
	}
}

// WriterTurns gives how many requests are walked at once beside questions, and without any.
func WriterTurns(s *Shared) (beside, all int) { return cap(s.writers.beside), cap(s.writers.all) }

// TakeTurnsBesideQuestions takes those that are left beside questions, until free is called.
func TakeTurnsBesideQuestions(s *Shared) (free func()) {
	for range cap(s.writers.beside) {
		s.writers.beside <- struct{}{}
	}
	return func() {
		for range cap(s.writers.beside) {
			<-s.writers.beside
		}
	}
}
