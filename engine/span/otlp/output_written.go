package otlp

import (
	"unsafe" // for the size of a place alone

	"github.com/stoadb/stoa/engine/span"
)

// written knows where attributes of spans stand in the buffer that they are written to. Spans of
// one place in the code have most of theirs in common, under the same ids and in the same order:
// those are copied, as many at once as follow each other in both, instead of being
// written again. It is for whole spans, one batch at a time, and a buffer that only grows; forget
// and enter see to that.
type written struct {
	batch  *span.Batch
	round  uint32 // places of other rounds count for nothing
	places []place
	ends   []uint32 // in the buffer: for each span where its attributes begin, then the end of each
}

// place is an attribute that stands in the buffer.
type place struct {
	at, end uint32 // in the batch's AttrIDs: its own, and where those of its span end
	note    uint32 // in ends: where it begins, before its end
	round   uint32
}

// 1 << writtenBits attributes are known at most: a new one takes the place of an old one. They are
// those of some hundred places in the code, and 64 KiB. notesMax attributes, and spans, are noted
// before all begins anew: 256 KiB.
const (
	writtenBits = 12
	notesMax    = 1 << 16
)

// forget begins a new buffer.
func (w *written) forget() {
	w.batch, w.ends = nil, w.ends[:0]
	if w.round++; w.round == 0 { // places of four billion rounds ago would count again
		clear(w.places)
		w.round = 1
	}
}

// enter goes on with n attributes of a batch; false where they are too many.
func (w *written) enter(b *span.Batch, n int) bool {
	if w.batch != b || len(w.ends)+n >= notesMax {
		w.forget()
		w.batch = b
	}
	if w.places == nil {
		w.places = make([]place, 1<<writtenBits)
	}
	return n < notesMax
}

// placeOf gives the place where an attribute is noted, if it is.
func (w *written) placeOf(id uint32) *place { return &w.places[id&(1<<writtenBits-1)] }

func (w *written) memoryBytes() int {
	return cap(w.places)*int(unsafe.Sizeof(place{})) + 4*cap(w.ends)
}

// appendAttrs appends the attributes of a row, as appendAttr does, whose bytes may stand in dst
// already.
func (w *written) appendAttrs(o form, dst []byte, r span.Row) []byte {
	b, all := r.Batch, r.Batch.AttrIDs
	end := b.AttrEnds[r.Pos]
	at := end - uint32(len(r.AttrIDs()))
	if !w.enter(b, int(end-at)) {
		for _, id := range all[at:end] {
			dst = o.appendAttr(dst, tagSpanAttr, b, b.Attrs[id])
		}
		return dst
	}
	w.ends = append(w.ends, uint32(len(dst)))
	var like place // what most probably equals the next attribute
	for at < end {
		if like.at == like.end || all[like.at] != all[at] {
			p := w.placeOf(all[at])
			if p.round != w.round || all[p.at] != all[at] {
				*p = place{at, end, uint32(len(w.ends) - 1), w.round}
				dst = o.appendAttr(dst, tagSpanAttr, b, b.Attrs[all[at]])
				w.ends = append(w.ends, uint32(len(dst)))
				at++
				if like.at < like.end { // one may differ and the next one not
					like.at++
					like.note++
				}
				continue
			}
			like = *p
		}
		n, most := uint32(1), min(end-at, like.end-like.at, uint32(len(w.ends))-1-like.note)
		for n < most && all[like.at+n] == all[at+n] {
			n++
		}
		from := w.ends[like.note]
		further := uint32(len(dst)) - from
		for _, e := range w.ends[like.note+1 : like.note+1+n] {
			w.ends = append(w.ends, e+further)
		}
		dst = append(dst, dst[from:w.ends[like.note+n]]...)
		at, like.at, like.note = at+n, like.at+n, like.note+n
	}
	return dst
}
