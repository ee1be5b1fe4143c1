package otlp

import (
	"sync"

	"github.com/stoadb/stoa/engine/span"
)

// walkers keeps working memory between requests.
var walkers = sync.Pool{New: func() any { return new(walker) }}

// scratchBytesMax is the working memory above which a walker or encoder is not kept: one
// odd request must not make every later one hold its memory.
const scratchBytesMax = 8 << 20

// envelopeEntryBytes is about what one entry of walker.resources takes: a map keeps the
// memory of the most entries it ever had.
const envelopeEntryBytes = 64

// keyStateBytes is what one entry of walker.keys takes.
const keyStateBytes = 64

func newWalker(stubs *int) *walker {
	w := walkers.Get().(*walker)
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
		Attrs: b.Attrs[:0], Events: b.Events[:0], EventAttrs: b.EventAttrs[:0],
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
	scratch := w.batch.MemoryBytes() + cap(w.envelope) + cap(w.spanResidue) + cap(w.statusResidue) + cap(w.partResidue) +
		cap(w.keys)*keyStateBytes + cap(w.keyOf)*4 + (len(w.resources)+len(w.scopes))*envelopeEntryBytes
	if scratch <= scratchBytesMax {
		walkers.Put(w)
	}
}

// mark is a place to return to: see undo.
type mark struct {
	counts                                      Counts
	attrs, events, eventAttrs, links, linkAttrs int
}

func (w *walker) mark() mark {
	b := &w.batch
	return mark{w.counts, len(b.Attrs), len(b.Events), len(b.EventAttrs), len(b.Links), len(b.LinkAttrs)}
}

// undo forgets what a span that was not walked to its end left in the lists. Its texts
// stay in the table.
func (w *walker) undo(m mark) {
	b := &w.batch
	w.counts = m.counts
	b.Attrs, b.Events, b.EventAttrs = b.Attrs[:m.attrs], b.Events[:m.events], b.EventAttrs[:m.eventAttrs]
	b.Links, b.LinkAttrs = b.Links[:m.links], b.LinkAttrs[:m.linkAttrs]
}

// finish gives the batch in memory of exactly its size. Columns of one type share one
// allocation.
func (w *walker) finish() *span.Batch {
	b, rows := &w.batch, w.batch.Len()
	out := &span.Batch{
		Text: exact(b.Text), TextEnd: exact(b.TextEnd),
		Resources: exact(b.Resources), Scopes: exact(b.Scopes),
		TraceIDs: exact(b.TraceIDs), StatusPresent: exact(b.StatusPresent),
		Attrs: exact(b.Attrs), Events: exact(b.Events), Links: exact(b.Links),
	}
	ids := slab[span.SpanID]{make([]span.SpanID, 0, 2*rows)}
	out.SpanIDs, out.ParentIDs = ids.take(b.SpanIDs), ids.take(b.ParentIDs)
	times := slab[uint64]{make([]uint64, 0, 2*rows)}
	out.Starts, out.Ends = times.take(b.Starts), times.take(b.Ends)
	texts := slab[span.TextID]{make([]span.TextID, 0, 4*rows)}
	out.Names, out.StatusMessages = texts.take(b.Names), texts.take(b.StatusMessages)
	out.TraceStates, out.Residues = texts.take(b.TraceStates), texts.take(b.Residues)
	enums := slab[int32]{make([]int32, 0, 2*rows)}
	out.Kinds, out.StatusCodes = enums.take(b.Kinds), enums.take(b.StatusCodes)
	numbers := slab[uint32]{make([]uint32, 0, 9*rows)}
	out.Flags, out.DroppedAttrs = numbers.take(b.Flags), numbers.take(b.DroppedAttrs)
	out.DroppedEvents, out.DroppedLinks = numbers.take(b.DroppedEvents), numbers.take(b.DroppedLinks)
	out.ResourceIDs, out.ScopeIDs = numbers.take(b.ResourceIDs), numbers.take(b.ScopeIDs)
	out.AttrEnds, out.EventEnds, out.LinkEnds = numbers.take(b.AttrEnds), numbers.take(b.EventEnds), numbers.take(b.LinkEnds)
	attrs := slab[span.Attr]{make([]span.Attr, 0,
		len(b.EventAttrs)+len(b.LinkAttrs)+len(b.ResourceAttrs)+len(b.ScopeAttrs))}
	out.EventAttrs, out.LinkAttrs = attrs.take(b.EventAttrs), attrs.take(b.LinkAttrs)
	out.ResourceAttrs, out.ScopeAttrs = attrs.take(b.ResourceAttrs), attrs.take(b.ScopeAttrs)
	return out
}

// exact copies s to memory of its size.
func exact[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	out := make([]T, len(s)) // make and copy: this pair is compiled without clearing first
	copy(out, s)
	return out
}

// slab hands out copies from one allocation, each without room to grow.
type slab[T any] struct{ free []T }

func (s *slab[T]) take(from []T) []T {
	at := len(s.free)
	s.free = append(s.free, from...)
	return s.free[at:len(s.free):len(s.free)]
}
