package cluster

import (
	"runtime"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/wal"
)

// Shared is what stores of one process may share: the turns for work that reads, writes and
// holds much, and the room of memtables. Many stores then cost a node what one does. Data and what is kept of it, such
// as opened pages, are never shared.
type Shared struct {
	gate      *engine.Gate  // one flush, one merge, one making of cells, one reading of tables at a time
	readers   chan struct{} // a slot for each shard that is being read
	leisurely chan struct{} // half as many: a place for each of them that is read at leisure
	writers   *turns        // of requests to be walked
}

// NewShared gives the turns of one node.
func NewShared() *Shared {
	return &Shared{
		gate: engine.NewGate(), readers: make(chan struct{}, 2*processors), leisurely: make(chan struct{}, processors), writers: newTurns(processors),
	}
}

// processors is how many there are for this process when it starts. It may let the Go runtime use
// more threads after that, as cmd/stoa does.
var processors = runtime.GOMAXPROCS(0)

// Divided gives the options of one of n stores that together take what one store with o
// takes: of memory, of the log, and of the disk where that has a budget.
func (o Options) Divided(n int) Options {
	o = o.withDefaults()
	if o.Log.FileBytes == 0 {
		o.Log.FileBytes = wal.FileBytesDefault
	}
	o.Log.FileBytes = max(o.Log.FileBytes/int64(n), dividedFileBytesMin)
	o.LogBytesMax = max(o.LogBytesMax/int64(n), 2*o.Log.FileBytes)
	o.MemtableBytes /= int64(n)
	if o.MemtableBytesMax > 0 {
		o.MemtableBytesMax = max(o.MemtableBytesMax/int64(n), 1)
	}
	o.PagesBytesMax /= n
	o.SplitCellsBytesMax = max(o.SplitCellsBytesMax/n, 1)
	if o.DiskBudget > 0 {
		o.DiskBudget = max(o.DiskBudget/int64(n), 1)
	}
	return o
}
