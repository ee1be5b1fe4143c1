package otlp

import (
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// walkers keeps working memory between requests: walkersHeldMax for good, or spans that are unlike
// each other, of which a part needs megabytes, would grow it anew after every other collection of garbage.
var walkers = codec.Held[walker]{New: func() *walker { return new(walker) }, Most: walkersHeldMax}

// walkersHeldMax is two requests at once that are cut for two shards: some 32 MiB where each is as large as is kept.
const walkersHeldMax = 4

// scratchBytesMax is the working memory above which a walker or encoder is not kept: one
// odd request must not make every later one hold its memory.
const scratchBytesMax = 8 << 20

// envelopeEntryBytes is about what one entry of walker.resources takes: a map keeps the
// memory of the most entries it ever had.
const envelopeEntryBytes = 64

// keyStateBytes is what one entry of walker.keys takes.
const keyStateBytes = 64

func newWalker(stubs *int) *walker {
	w := walkers.Get()
	b := &w.batch
	*b = span.Batch{
		Text: b.Text[:0], TextEnd: b.TextEnd[:0],
		Resources: b.Resources[:0], ResourceAttrs: b.ResourceAttrs[:0],
		Scopes: b.Scopes[:0], ScopeAttrs: b.ScopeAttrs[:0],
		TraceIDs: b.TraceIDs[:0], SpanIDs: b.SpanIDs[:0], ParentIDs: b.ParentIDs[:0],
		Starts: b.Starts[:0], Ends: b.Ends[:0], Names: b.Names[:0], Kinds: b.Kinds[:0],
		StatusCodes: b.StatusCodes[:0], StatusMessages: b.StatusMessages[:0], StatusPresent: b.StatusPresent[:0],
		TraceStates: b.TraceStates[:0], Flags: b.Flags[:0], DroppedAttrs: b.DroppedAttrs[:0],
		DroppedEvents: b.DroppedEvents[:0], DroppedLinks: b.DroppedLinks[:0],
		ResourceIDs: b.ResourceIDs[:0], ScopeIDs: b.ScopeIDs[:0],
		AttrEnds: b.AttrEnds[:0], EventEnds: b.EventEnds[:0], LinkEnds: b.LinkEnds[:0], Residues: b.Residues[:0],
		Attrs: b.Attrs[:0], AttrIDs: b.AttrIDs[:0], Events: b.Events[:0], EventAttrs: b.EventAttrs[:0],
		Links: b.Links[:0], LinkAttrs: b.LinkAttrs[:0],
	}
	w.texts.Reset(b)
	w.counts, w.stubs, w.lastName = Counts{}, stubs, 0
	w.resetKeys()
	w.lastRes, w.lastScope = lastEnvelope{}, lastEnvelope{}
	if w.resources == nil {
		w.resources, w.scopes = map[resourceKey]uint32{}, map[resourceKey]uint32{}
	}
	clear(w.resources)
	clear(w.scopes)
	return w
}

// release gives the working memory back. The walker must not be used any more.
func (w *walker) release() {
	w.lastRes, w.lastScope, w.stubs = lastEnvelope{}, lastEnvelope{}, nil // they hold the request's memory,
	clear(w.keys)                                                         // and so do these
	scratch := w.batch.MemoryBytes() + w.texts.MemoryBytes() + w.attrs.MemoryBytes() + cap(w.envelope) + cap(w.spanResidue) + cap(w.statusResidue) + cap(w.partResidue) +
		cap(w.keys)*keyStateBytes + cap(w.keyOf)*4 + (len(w.resources)+len(w.scopes))*envelopeEntryBytes
	if scratch <= scratchBytesMax {
		walkers.Put(w)
	}
}

// mark is a place to return to: see undo.
type mark struct {
	counts                                        Counts
	attrIDs, events, eventAttrs, links, linkAttrs int
}

func (w *walker) mark() mark {
	b := &w.batch
	return mark{w.counts, len(b.AttrIDs), len(b.Events), len(b.EventAttrs), len(b.Links), len(b.LinkAttrs)}
}

// undo forgets what a span that was not walked to its end left in the lists. Its texts and
// attributes stay in their tables.
func (w *walker) undo(m mark) {
	b := &w.batch
	w.counts = m.counts
	b.AttrIDs, b.Events, b.EventAttrs = b.AttrIDs[:m.attrIDs], b.Events[:m.events], b.EventAttrs[:m.eventAttrs]
	b.Links, b.LinkAttrs = b.Links[:m.links], b.LinkAttrs[:m.linkAttrs]
}
