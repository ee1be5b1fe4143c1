package span

import (
	"sync"
	"sync/atomic"
)

// Together is what the searches of several shards for one answer tell each other. A trace stands
// in one shard, so what all of them have found counts against one limit, and none need look at
// what starts before the last of it: else each shard would look for as many traces as the answer
// has. It serves any number of goroutines.
type Together struct {
	limit int
	floor atomic.Uint64

	mu   sync.Mutex
	keys [][]uint64 // by shard: of the newest traces that it has found, falling
}

// NewTogether is for one answer of so many traces from so many shards.
func NewTogether(limit, shards int) *Together {
	return &Together{limit: limit, keys: make([][]uint64, shards)}
}

// Floor gives a key that a trace must reach to be in the answer; it only rises. Traces with this
// very key may be.
func (t *Together) Floor() uint64 { return t.floor.Load() }

// Tell takes the newest traces that a shard has found so far, in the order of answers. Their keys
// may be told higher later, never lower.
func (t *Together) Tell(shard int, found []Found) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := t.keys[shard][:0]
	for i := range found {
		keys = append(keys, found[i].Start)
	}
	t.keys[shard] = keys
	t.floor.Store(max(t.floor.Load(), t.last()))
}

// last gives the key of the last trace of the answer if nothing more is found, 0 where it is not
// full. Shards are few: the greatest head is found by looking at all of them.
func (t *Together) last() (last uint64) {
	at := make([]int, len(t.keys))
	for range t.limit {
		next := -1
		for i, keys := range t.keys {
			if at[i] < len(keys) && (next < 0 || keys[at[i]] > t.keys[next][at[next]]) {
				next = i
			}
		}
		if next < 0 {
			return 0
		}
		last = t.keys[next][at[next]]
		at[next]++
	}
	return last
}
