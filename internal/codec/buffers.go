package codec

import (
	"math/bits"
	"sync"
)

// Sizes of what a pool keeps, as powers of two: below 4 KiB the allocator is as quick, and a
// buffer of more than 1 MiB is too much to keep for who may not come again.
const (
	bufferBitsMin = 12
	bufferBitsMax = 20
)

// BufferPool keeps byte buffers for those who come again soon, by size, each a power of two.
// A buffer comes with anything in it: who gets one writes it over to its last byte. The zero
// BufferPool is ready; it serves any number of goroutines.
type BufferPool struct {
	pools [bufferBitsMax - bufferBitsMin + 1]sync.Pool
}

// Get gives a buffer of that length, with anything in it.
func (p *BufferPool) Get(length int) *[]byte {
	size := max(bits.Len(uint(max(length, 1)-1)), bufferBitsMin)
	if size > bufferBitsMax {
		b := make([]byte, length)
		return &b
	}
	if b, ok := p.pools[size-bufferBitsMin].Get().(*[]byte); ok {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, 1<<size)
	return &b
}

// Put takes a buffer back that nobody looks at any more; what no pool made is left to the
// collector.
func (p *BufferPool) Put(b *[]byte) {
	size := bits.Len(uint(cap(*b))) - 1
	if size < bufferBitsMin || size > bufferBitsMax || cap(*b) != 1<<size {
		return
	}
	p.pools[size-bufferBitsMin].Put(b)
}
