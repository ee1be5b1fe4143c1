package engine

import (
	"context"
	"sync/atomic"
)

// Gate lets one flush and one merge run at a time for all shards that share it: both
// read and write much and hold much memory, and a node has few disks. One question at a time
// works out what split traces count, which takes several times what is kept of it. And what the
// shards' memtables hold together is bounded, where Options.RoomBytes says so. The zero Gate is
// not usable; see NewGate.
type Gate struct {
	flushes chan struct{}
	merges  chan struct{}
	cells   chan struct{}
	room    *memtableRoom
	held    atomic.Int32 // writes that wait for a flush
}

// NewGate gives the gate of one node.
func NewGate() *Gate {
	return &Gate{flushes: make(chan struct{}, 1), merges: make(chan struct{}, 1), cells: make(chan struct{}, 1), room: newRoom()}
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
