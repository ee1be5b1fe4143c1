package otlp

import "github.com/stoadb/stoa/engine/span"

// groups finds the place of a span in the message at hand. Services of a trace take turns from
// span to span: were a resource written for each turn, as it was once, most of an answer would be
// resources.
type groups struct {
	batch     *span.Batch
	pairs     map[uint64]*grouped // by resource and scope of that batch
	resources map[uint64]int      // places in the assembly, by hash of content
	scopes    map[scopeKey]int
	most      int // entries that the maps had at once
}

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
	b, known := r.Batch, &e.groups
	if known.pairs == nil {
		known.forget()
	}
	if known.batch != b {
		known.enter(b)
	}
	pair := uint64(b.ResourceIDs[r.Pos])<<32 | uint64(b.ScopeIDs[r.Pos])
	g := known.pairs[pair]
	if g == nil {
		g = new(grouped)
		g.resource, g.scope = e.envelopes(r)
		known.pairs[pair] = g
	}
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

// enter goes on with rows of a batch.
func (k *groups) enter(b *span.Batch) {
	k.note()
	clear(k.pairs)
	k.batch = b
}

// forget begins a new message.
func (k *groups) forget() {
	if k.note(); k.most > groupsKeptMax {
		*k = groups{}
	}
	if k.batch = nil; k.pairs == nil {
		k.pairs, k.resources, k.scopes = map[uint64]*grouped{}, map[uint64]int{}, map[scopeKey]int{}
	}
	clear(k.pairs)
	clear(k.resources)
	clear(k.scopes)
}

// A map keeps the memory of the most entries that it ever had: of so many in all three, it is not
// used again.
const groupsKeptMax = 4096

// groupBytes is about what an entry takes, with what it points to.
const groupBytes = 64

func (k *groups) note() { k.most = max(k.most, len(k.pairs)+len(k.resources)+len(k.scopes)) }

func (k *groups) memoryBytes() int {
	k.note()
	return k.most * groupBytes
}
