package otlp

import (
	"bytes"
	"unicode/utf8"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// keyState is what the walker remembers of an attribute key. Spans of one program carry
// the same keys in the same order and often the same values: the key that followed
// last time is compared before any hash is taken, and so is the value it had.
type keyState struct {
	text    span.TextID
	next    int32       // in keys: what followed last time, 0 unknown
	value   span.TextID // the last string value
	invalid bool        // the key is no UTF-8
	badText bool        // the value is no UTF-8
}

// The first states stand for the begin of an attribute list, one per level, so that each
// level predicts its own first key.
const (
	beforeSpan int32 = iota + 1 // 0 is no state
	beforeEvent
	beforeLink
	beforeResource
	beforeScope
	firstKey
)

const (
	keySlotsMin = 64      // a program's spans carry some dozens of keys
	keySlotsMax = 1 << 14 // a larger table is not kept for the next batch
)

func (w *walker) resetKeys() {
	if len(w.keySlots) < keySlotsMin || len(w.keySlots) > keySlotsMax {
		w.keySlots = make([]int32, keySlotsMin)
		w.keys = nil
	}
	clear(w.keySlots)
	w.keys = append(w.keys[:0], make([]keyState, firstKey)...)
}

// key gives the state of an attribute's key and notes that it followed the one before.
func (w *walker) key(key []byte) int32 {
	k := w.keys[w.before].next
	if k == 0 || !bytes.Equal(w.batch.Bytes(w.keys[k].text), key) {
		k = w.lookUpKey(key)
		w.keys[w.before].next = k
	}
	if w.keys[k].invalid {
		w.counts.InvalidUTF8++
	}
	w.before = k
	return k
}

func (w *walker) lookUpKey(key []byte) int32 {
	if len(w.keys)*2 >= len(w.keySlots) {
		w.growKeys()
	}
	mask := uint64(len(w.keySlots) - 1)
	at := codec.Hash64(key, 0) & mask
	for ; w.keySlots[at] != 0; at = (at + 1) & mask {
		if k := w.keySlots[at]; bytes.Equal(w.batch.Bytes(w.keys[k].text), key) {
			return k
		}
	}
	k := int32(len(w.keys))
	w.keys = append(w.keys, keyState{text: w.texts.Intern(key), invalid: !utf8.Valid(key)})
	w.keySlots[at] = k
	return k
}

func (w *walker) growKeys() {
	w.keySlots = make([]int32, 2*len(w.keySlots))
	mask := uint64(len(w.keySlots) - 1)
	for k := firstKey; int(k) < len(w.keys); k++ {
		at := codec.Hash64(w.batch.Bytes(w.keys[k].text), 0) & mask
		for w.keySlots[at] != 0 {
			at = (at + 1) & mask
		}
		w.keySlots[at] = k
	}
}

// stringOf interns a string value of key k.
func (w *walker) stringOf(k int32, text []byte) span.TextID {
	state := &w.keys[k]
	if !bytes.Equal(w.batch.Bytes(state.value), text) {
		state.value = w.texts.Intern(text)
		state.badText = !utf8.Valid(text)
	}
	if state.badText {
		w.counts.InvalidUTF8++
	}
	return state.value
}
