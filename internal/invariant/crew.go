package invariant

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// Panic is one that was caught in a goroutine, for another to panic with or to tell of.
type Panic struct {
	Cause any    // what the code panicked with
	Stack string // where
}

// Error says both.
func (p *Panic) Error() string { return fmt.Sprintf("%v\n%s", p.Cause, p.Stack) }

// Caught runs work and gives its panic, nil where it returns.
func Caught(work func()) (caught *Panic) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case *Panic: // caught once before: its stack is the one to know
			caught = cause
		default:
			caught = &Panic{Cause: cause, Stack: string(debug.Stack())}
		}
	}()
	work()
	return nil
}

// Again panics with what was caught, if anything was.
func (p *Panic) Again() {
	if p != nil {
		panic(p)
	}
}

// Crew is work done at once, by goroutines of its own and by who waits for them. A panic in a goroutine
// would end the process, whoever it works for: it is brought to who waits, and goes on there. The zero
// Crew has nothing to do yet.
type Crew struct {
	all   sync.WaitGroup
	mu    sync.Mutex
	first *Panic
}

// Go begins work in a goroutine.
func (c *Crew) Go(work func()) { c.all.Go(func() { c.Do(work) }) }

// Do does work here. Its panic waits for Wait too, which must be called.
func (c *Crew) Do(work func()) {
	caught := Caught(work)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first == nil {
		c.first = caught
	}
}

// Wait waits for all work, and panics with the first panic of it.
func (c *Crew) Wait() {
	c.all.Wait()
	c.first.Again()
}
