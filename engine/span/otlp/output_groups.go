package otlp

import (
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// groups finds the place of a span in the message at hand. Services of a trace take turns from
// span to span: were a resource written for each turn, as it was once, most of an answer would be
// resources.
type groups struct {
	batches   [groupBatches]groupBatch // rows of some sources take turns
	oldest    int                      // of the batches: the place of the next one
	last      int                      // the one asked for last: rows of a source often follow each other
	list      []grouped
	resources map[uint64]int // places in the assembly, by hash of content
	scopes    map[scopeKey]int
	most      int // entries that the maps had at once
}

// groupBatch knows the groups of a batch by the numbers of resource and scope: few of each make a
// table, many a map.
type groupBatch struct {
	batch  *span.Batch
	scopes uint32            // how many it has
	table  []uint32          // by resource, then by scope: place in the list + 1
	places map[uint64]uint32 // the same, without a table
}

// groupBatches batches are known at once: as many segments as a merge takes may each have a part of a
// trace, and memtables beside them.
const groupBatches = 20

// groupTableMax pairs of a resource and a scope make a table, of 16 KiB.
const groupTableMax = 4096

// scopeKey is a scope's hash, and the place of its resource.
type scopeKey struct {
	hash     uint64
	resource int
}

// grouped is a resource and a scope, and their places in the assembly, 0 where they are not there
// yet.
type grouped struct {
	resource, scope     *output
	resourceAt, scopeAt int
}

// sizeWith bounds what a span of n bytes adds to a message, with what it brings of its envelopes.
func (g *grouped) sizeWith(n int) int {
	n += frameBytesMax
	if g.resourceAt == 0 {
		n += g.resource.size()
	}
	if g.scopeAt == 0 {
		n += g.scope.size()
	}
	return n
}

// group gives the group of a row. Within a batch it goes by numbers; the same content under other
// numbers, in this batch or another one, is one group.
func (e *Encoder) group(r span.Row) *grouped {
	known, resource, scope := &e.groups, r.Batch.ResourceIDs[r.Pos], r.Batch.ScopeIDs[r.Pos]
	if known.resources == nil {
		known.forget()
	}
	of := known.of(r.Batch)
	place := of.place(resource, scope)
	if place == 0 {
		g := grouped{}
		g.resource, g.scope = e.envelopes(r)
		known.list = append(known.list, g)
		place = uint32(len(known.list))
		of.put(resource, scope, place)
	}
	g := &known.list[place-1]
	if g.scopeAt > 0 {
		return g
	}
	at := known.resources[g.resource.hash]
	if at == 0 || !e.assembly.resources[at-1].equal(&g.resource.envelope) {
		return g
	}
	g.resourceAt = at
	at = known.scopes[scopeKey{g.scope.hash, g.resourceAt}]
	if at > 0 && e.assembly.scopes[at-1].equal(&g.scope.envelope) {
		g.scopeAt = at
	}
	return g
}

// of gives what is known of a batch.
func (k *groups) of(b *span.Batch) *groupBatch {
	if known := &k.batches[k.last]; known.batch == b {
		return known
	}
	for i := range k.batches {
		if k.batches[i].batch == b {
			k.last = i
			return &k.batches[i]
		}
	}
	known := &k.batches[k.oldest]
	k.last = k.oldest
	k.oldest = (k.oldest + 1) % groupBatches
	k.note()
	known.batch, known.scopes, known.table = b, uint32(len(b.Scopes)), known.table[:0]
	clear(known.places)
	if n := len(b.Resources) * len(b.Scopes); n <= groupTableMax {
		known.table = slices.Grow(known.table, n)[:n]
		clear(known.table)
	}
	return known
}

// place gives the place in the list of a resource and a scope + 1, 0 where they have none yet.
func (g *groupBatch) place(resource, scope uint32) uint32 {
	if len(g.table) > 0 {
		return g.table[resource*g.scopes+scope]
	}
	return g.places[uint64(resource)<<32|uint64(scope)]
}

func (g *groupBatch) put(resource, scope, place uint32) {
	if len(g.table) > 0 {
		g.table[resource*g.scopes+scope] = place
		return
	}
	if g.places == nil {
		g.places = map[uint64]uint32{}
	}
	g.places[uint64(resource)<<32|uint64(scope)] = place
}

// forget begins a new message.
func (k *groups) forget() {
	if k.note(); k.most > groupsKeptMax {
		*k = groups{}
	}
	for i := range k.batches {
		k.batches[i].batch = nil
	}
	if k.oldest = 0; k.resources == nil {
		k.resources, k.scopes = map[uint64]int{}, map[scopeKey]int{}
	}
	clear(k.list)
	k.list = k.list[:0]
	clear(k.resources)
	clear(k.scopes)
}

// A map keeps the memory of the most entries that it ever had: of so many in all three, it is not
// used again.
const groupsKeptMax = 4096

// groupBytes is about what an entry takes, with what it points to.
const groupBytes = 64

func (k *groups) note() {
	entries := len(k.list) + len(k.resources) + len(k.scopes)
	for i := range k.batches {
		entries += len(k.batches[i].places)
	}
	k.most = max(k.most, entries)
}

func (k *groups) memoryBytes() int {
	k.note()
	bytes := k.most * groupBytes
	for i := range k.batches {
		bytes += 4 * cap(k.batches[i].table)
	}
	return bytes
}
