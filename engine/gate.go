package engine

import (
	"context"
	"sync"
	"sync/atomic"
)

// Gate lets one flush and one merge run at a time for all shards that share it: both
// read and write much and hold much memory, and a node has few disks. One question at a time
// works out what split traces count, which takes several times what is kept of it, and the tables of one segment
// at a time are read that no question asked for. And what the
// shards' memtables hold together is bounded, where Options.RoomBytes says so. The zero Gate is
// not usable; see NewGate.
type Gate struct {
	flushes chan struct{}
	merges  chan struct{}
	cells   chan struct{}
	tables  chan struct{}
	room    *memtableRoom
	held    atomic.Int32 // writes that wait for a flush

	mu      sync.Mutex
	waiting map[*Shard]int // merges of each shard that wait for their place
}

// NewGate gives the gate of one node.
func NewGate() *Gate {
	return &Gate{
		flushes: make(chan struct{}, 1), merges: make(chan struct{}, 1), cells: make(chan struct{}, 1),
		tables: make(chan struct{}, 1), room: newRoom(),
		waiting: make(map[*Shard]int),
	}
}

// enter waits for a place and returns how to leave it.
func enter(ctx context.Context, places chan struct{}) (leave func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// tryEnter takes a place where one is free, and returns how to leave it.
func tryEnter(places chan struct{}) (leave func(), ok bool) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, true
	default:
		return nil, false
	}
}

// enterMerges waits for the place of a merge of that shard and returns how to leave it.
func (g *Gate) enterMerges(ctx context.Context, s *Shard) (leave func(), err error) {
	g.mu.Lock()
	g.waiting[s]++
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.waiting[s]--; g.waiting[s] == 0 {
			delete(g.waiting, s)
		}
	}()
	return enter(ctx, g.merges)
}

// pilesUp tells whether segments pile up in a shard of which a merge waits for its place.
func (g *Gate) pilesUp() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for s := range g.waiting {
		if s.pilesUp() {
			return true
		}
	}
	return false
}
