package codec

import (
	"math/bits"
	"sync"
)

// Sizes of what a pool keeps: below 4 KiB the allocator is as quick, and a buffer of more than
// 8 MiB is too much to keep for who may not come again. Between, each power of two and three
// steps to the next, so that a buffer is at most a quarter longer than what was asked for.
const (
	bufferBitsMin = 12
	bufferBitsMax = 23
	bufferSteps   = 4
)

// heldBytesMax is what a pool holds for good. More is left to sync.Pool, which the collector
// empties: memory that comes back fresh from the system costs a fault for each page, more than
// all that is then copied into it.
const heldBytesMax = 16 << 20

// Buffers is the pool of messages: requests that are put together, and answers that are about to be sent.
var Buffers BufferPool

// BufferPool keeps byte buffers for those who come again soon, by size.
// A buffer comes with anything in it: who gets one writes it over to its last byte. The zero
// BufferPool is ready; it serves any number of goroutines.
type BufferPool struct {
	more [(bufferBitsMax-bufferBitsMin)*bufferSteps + 1]sync.Pool

	mu        sync.Mutex
	held      [(bufferBitsMax-bufferBitsMin)*bufferSteps + 1][]*[]byte
	heldBytes int
}

// bufferClass gives the smallest class of buffers that hold length bytes, and their size.
func bufferClass(length int) (class, size int) {
	if length <= 1<<bufferBitsMin {
		return 0, 1 << bufferBitsMin
	}
	power := bits.Len(uint(length-1)) - 1 // 1<<power < length <= 2<<power
	step := 1 << power / bufferSteps
	steps := (length - 1<<power + step - 1) / step
	return (power-bufferBitsMin)*bufferSteps + steps, 1<<power + steps*step
}

// Get gives a buffer of that length, with anything in it.
func (p *BufferPool) Get(length int) *[]byte {
	if length > 1<<bufferBitsMax {
		b := make([]byte, length)
		return &b
	}
	class, size := bufferClass(length)
	if b := p.take(class); b != nil {
		*b = (*b)[:length]
		return b
	}
	if b, ok := p.more[class].Get().(*[]byte); ok {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, size)
	return &b
}

// take gives a buffer that is held, nil where there is none.
func (p *BufferPool) take(class int) *[]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.held[class])
	if n == 0 {
		return nil
	}
	b := p.held[class][n-1]
	p.held[class] = p.held[class][:n-1]
	p.heldBytes -= cap(*b)
	return b
}

// Put takes a buffer back that nobody looks at any more; what no pool made is left to the
// collector.
func (p *BufferPool) Put(b *[]byte) {
	if cap(*b) > 1<<bufferBitsMax {
		return
	}
	class, size := bufferClass(cap(*b))
	if size != cap(*b) {
		return
	}
	p.mu.Lock()
	holds := p.heldBytes+size <= heldBytesMax
	if holds {
		p.held[class] = append(p.held[class], b)
		p.heldBytes += size
	}
	p.mu.Unlock()
	if !holds {
		p.more[class].Put(b)
	}
}
