package engine

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
)

// memtable is what was applied since the last seal: batches as the walker made them, in
// the order applied. One goroutine at a time adds (Shard.Apply); any number reads.
//
// Readers that scan take no lock: the batches stand in slabs that never move, and one
// atomic count, raised after an entry's batches are in place, says how many of them
// exist. A published batch is never changed. The simpler way, a slice under a lock, made
// each query stop the writer. By-id lookups have a table with a short lock of its own, names
// a catalog that those who ask fill; a reader drops what lies beyond the count it took.
type memtable struct {
	count atomic.Uint32
	slabs [slabCount]atomic.Pointer[[]memBatch] // slab i holds slabFirst<<i batches

	mu      sync.RWMutex
	byTrace traceHeads
	refs    []memRef

	naming  sync.Mutex // held by who asks for names; writers do not wait for that
	catalog *index.Catalog
	counted uint32 // batches that the catalog has

	// What the sealing rule and the flush need; the adder's alone until the memtable is
	// frozen.
	bytes         int64 // of parts, and overhead
	rows          int
	firstSeq      uint64
	lastSeq       uint64
	window        int64
	firstReceived int64
	minReceived   int64
	maxReceived   int64
	hashes        []seenHash
}

// memBatch is one published batch with what a search needs to skip it.
type memBatch struct {
	batch       *span.Batch
	minStart    uint64
	maxStart    uint64
	maxDuration uint64
	texts       atomic.Pointer[batchTexts] // once a search asked
}

// memRef is one row of a trace.
type memRef struct {
	batch, row uint32
	previous   int32 // the trace's ref before this one, -1 for none
}

const (
	slabFirst = 64
	slabCount = 24
)

func newMemtable() *memtable {
	return &memtable{catalog: index.NewCatalog()}
}

// slabOf gives the slab of batch i and its place there.
func slabOf(i uint32) (slab int, at uint32) {
	size := uint32(slabFirst)
	for i >= size {
		i -= size
		size <<= 1
		slab++
	}
	return slab, i
}

// at gives batch i, which the reader's count must cover.
func (m *memtable) at(i uint32) *memBatch {
	slab, at := slabOf(i)
	return &(*m.slabs[slab].Load())[at]
}

// add puts a batch in place without publishing it; see publish.
func (m *memtable) add(pos uint32, b *span.Batch) {
	slab, at := slabOf(pos)
	if at == 0 && m.slabs[slab].Load() == nil {
		s := make([]memBatch, slabFirst<<slab)
		m.slabs[slab].Store(&s)
	}
	mb := &(*m.slabs[slab].Load())[at]
	mb.batch, mb.maxDuration = b, 0
	mb.minStart, mb.maxStart = b.Bounds()
	for i, start := range b.Starts {
		mb.maxDuration = max(mb.maxDuration, span.Duration(start, b.Ends[i]))
	}
	m.rows += b.Len()
	m.indexRows(pos, b)
}

// indexRows adds a batch to the refs of its traces: a run of rows of one trace at once.
func (m *memtable) indexRows(pos uint32, b *span.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := b.TraceIDs
	for begin, end := 0, 0; begin < len(ids); begin = end {
		for end = begin + 1; end < len(ids) && ids[end] == ids[begin]; end++ {
		}
		at := int32(len(m.refs))
		previous := m.byTrace.replace(&ids[begin], at+int32(end-begin)-1)
		for row := begin; row < end; row++ {
			m.refs = append(m.refs, memRef{pos, uint32(row), previous})
			previous, at = at, at+1
		}
	}
}

// countOperations brings the catalog up to the first count batches. Who asks for names
// pays for the batches since somebody asked before him, and not each write for a question
// that may never come. m.naming is held.
func (m *memtable) countOperations(count uint32) {
	for ; m.counted < count; m.counted++ {
		b := m.at(m.counted).batch
		eachOperation(b, func(service string, o batchOperation, spans uint64) {
			m.catalog.Add(service, b.String(o.name), o.kind, spans)
		})
	}
}

// services gives the services of the first count batches at least; complete is false where
// the catalog lists none.
func (m *memtable) services(count uint32) (services []string, complete bool) {
	m.naming.Lock()
	defer m.naming.Unlock()
	m.countOperations(count)
	return m.catalog.Services(), m.catalog.Complete()
}

// operations is the same for the operations of one service, or of all for "".
func (m *memtable) operations(count uint32, service string) (operations []span.Operation, complete bool) {
	m.naming.Lock()
	defer m.naming.Unlock()
	m.countOperations(count)
	return m.catalog.Operations(service), m.catalog.Complete()
}

// publish makes the first count batches visible.
func (m *memtable) publish(count uint32) { m.count.Store(count) }

// trace appends the rows of one trace among the first count batches, in the order of
// span.Compare and distinct.
func (m *memtable) trace(dst []span.Row, id span.TraceID, count uint32) []span.Row {
	from := len(dst)
	m.mu.RLock()
	for at := m.byTrace.last(id); at >= 0; at = m.refs[at].previous {
		if ref := m.refs[at]; ref.batch < count {
			dst = append(dst, span.Row{Batch: m.at(ref.batch).batch, Pos: int(ref.row)})
		}
	}
	m.mu.RUnlock()
	slices.SortFunc(dst[from:], span.Compare)
	distinct := slices.CompactFunc(dst[from:], func(a, b span.Row) bool { return span.Compare(a, b) == 0 })
	return dst[:from+len(distinct)]
}

// holds reports whether the trace has a row among the first count batches.
func (m *memtable) holds(id span.TraceID, count uint32) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for at := m.byTrace.last(id); at >= 0; at = m.refs[at].previous {
		if m.refs[at].batch < count {
			return true
		}
	}
	return false
}

// eachTrace visits the ids of the traces among the first count batches, in no order.
func (m *memtable) eachTrace(count uint32, visit func(id span.TraceID)) {
	var last span.TraceID
	for i := range count {
		for row, id := range m.at(i).batch.TraceIDs {
			if row == 0 || id != last {
				visit(id)
			}
			last = id
		}
	}
}

// note records an applied part for the footer and the sealing rule.
func (m *memtable) note(hash codec.Hash, received int64, bytes int) {
	m.hashes = append(m.hashes, seenHash{hash, received})
	m.bytes += int64(bytes) + partOverheadBytes
}

// begin sets what the first entry of a memtable decides, and widens the rest.
func (m *memtable) begin(seq uint64, received int64) {
	if m.firstSeq == 0 {
		m.firstSeq, m.firstReceived, m.window = seq, received, segment.WindowOf(received)
		m.minReceived, m.maxReceived = received, received
	}
	m.minReceived, m.maxReceived = min(m.minReceived, received), max(m.maxReceived, received)
}

// empty reports that nothing was applied but ticks.
func (m *memtable) empty() bool { return m.firstSeq == 0 }
