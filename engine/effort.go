package engine

import "context"

// effort counts what a filter has done, in looks at a value, and asks now and then whether
// anybody still waits for the answer: one row may have a million events and a filter a
// thousand patterns. Once the question has ended every part of a filter gives up, and what it
// says then counts for nothing; err tells. It serves one goroutine.
type effort struct {
	ctx  context.Context
	done int
	err  error
}

// spend counts n looks more, and reports whether to go on.
func (e *effort) spend(n int) bool {
	if e.done += n; e.done >= effortStep {
		e.done = 0
		if e.err == nil {
			e.err = e.ctx.Err()
		}
	}
	return e.err == nil
}

// spendBytes is spend for going over text once.
func (e *effort) spendBytes(n int) bool { return e.spend(1 + n/bytesALook) }
