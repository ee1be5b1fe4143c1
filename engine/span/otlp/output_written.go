package otlp

import (
	"unsafe" // for the size of a place alone

	"github.com/stoadb/stoa/engine/span"
)

// written knows where attributes of spans stand in the buffer that they are written to. Spans of
// one place in the code have most of theirs in common, under the same numbers of texts: those are
// copied instead of being written again. It is for whole spans, one batch at a time, and a buffer
// that only grows; forget and enter see to that.
type written struct {
	batch  *span.Batch
	round  uint32 // places of other rounds count for nothing
	places []place
}

// place is where an attribute stands.
type place struct {
	value  uint64
	key    span.TextID
	at     uint32
	round  uint32
	length uint16
	kind   span.ValueType
}

// 1 << writtenBits attributes are known at most: a new one takes the place of an old one. They are
// those of some hundred places in the code, and 96 KiB.
const writtenBits = 12

// forget begins a new buffer.
func (w *written) forget() {
	w.batch = nil
	if w.round++; w.round == 0 { // places of four billion rounds ago would count again
		clear(w.places)
		w.round = 1
	}
}

// enter goes on with rows of a batch.
func (w *written) enter(b *span.Batch) {
	if w.batch != b {
		w.forget()
		w.batch = b
	}
}

func (w *written) memoryBytes() int { return cap(w.places) * int(unsafe.Sizeof(place{})) }

// appendAgain is appendAttr of a span's attribute, whose bytes may stand in dst already.
func (o form) appendAgain(dst []byte, b *span.Batch, a span.Attr) []byte {
	w := o.written
	if w.places == nil {
		w.places = make([]place, 1<<writtenBits)
	}
	hash := (a.Value + uint64(a.Key)*0xff51afd7ed558ccd) * 0x9e3779b97f4a7c15
	p := &w.places[hash>>(64-writtenBits)]
	if p.round == w.round && p.value == a.Value && p.key == a.Key && p.kind == a.Type {
		return append(dst, dst[p.at:p.at+uint32(p.length)]...)
	}
	at := len(dst)
	dst = o.appendAttr(dst, tagSpanAttr, b, a)
	if length := len(dst) - at; length <= 1<<16-1 {
		*p = place{a.Value, a.Key, uint32(at), w.round, uint16(length), a.Type}
	}
	return dst
}
