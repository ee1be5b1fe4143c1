package wire

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc/mem"
)

// buffers is where requests that came in pieces are put together, and where answers wait to
// be sent. grpc's pool clears each buffer before it hands it out, all of it and not just what
// is asked for; these are written over to the last byte by the one who gets them, see
// Unmarshal and NewMessage, so nothing of another message can be seen in them.
var buffers mem.BufferPool = &bufferPool{}

// Sizes of what the pool keeps, as powers of two: below 4 KiB the allocator is as quick,
// and a buffer of more than 1 MiB is too much to keep for who may not come again.
const (
	bufferBitsMin = 12
	bufferBitsMax = 20
)

// bufferPool keeps buffers by size, each a power of two.
type bufferPool struct {
	pools [bufferBitsMax - bufferBitsMin + 1]sync.Pool
}

// Get gives a buffer of that length, with anything in it.
func (p *bufferPool) Get(length int) *[]byte {
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

// Put takes a buffer back; what Get did not take from a pool is left to the collector.
func (p *bufferPool) Put(b *[]byte) {
	size := bits.Len(uint(cap(*b))) - 1
	if size < bufferBitsMin || size > bufferBitsMax || cap(*b) != 1<<size {
		return
	}
	p.pools[size-bufferBitsMin].Put(b)
}
