package otlp

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/stoadb/stoa/engine/span"
)

// keyState is what the walker remembers of an attribute key. Spans of one program carry
// the same keys in the same order and often the same values: of the key that followed last
// time its last message is compared whole, then the key alone, then its last value, before any
// hash is taken.
type keyState struct {
	next     int32     // in keys: what followed last time, 0 unknown
	begin    uint32    // where the key stands in the batch's text
	bytes    uint16    // and how long it is, see KeyBytesMax
	badText  bool      // the value of attr is no UTF-8
	invalid  bool      // the key is no UTF-8
	id       uint32    // of attr among the attributes of spans, plus 1; 0 is not known
	from, to uint32    // where the value of attr stands in the batch's text, if it is a string
	attr     span.Attr // the last one of a plain message; its Key is always set
	message  []byte    // that message in its frame, in the request's memory; nil where each must be counted
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

func (w *walker) resetKeys() {
	w.keys = append(w.keys[:0], make([]keyState, firstKey)...)
}

// key gives the state of an attribute's key and notes that it followed the one before.
func (w *walker) key(key []byte) int32 {
	k := w.keys[w.before].next
	if !w.isKey(k, key) {
		k = w.lookUpKey(key)
		w.keys[w.before].next = k
	}
	if w.keys[k].invalid {
		w.counts.InvalidUTF8++
	}
	w.before = k
	return k
}

// lookUpKey finds a key where it is likely to stand, else through its text's id. What keyAt and
// keyOf hold from batches before is told by the state it leads to, so they are never cleared.
func (w *walker) lookUpKey(key []byte) int32 {
	at := &w.keyAt[placeOfKey(key)]
	if k := *at; int(k) < len(w.keys) && w.isKey(k, key) {
		return k
	}
	*at = w.internKey(key)
	return *at
}

// isKey reports whether a state is that of the key; of an empty key none is.
func (w *walker) isKey(k int32, key []byte) bool {
	state := &w.keys[k]
	return len(key) > 0 && string(w.batch.Text[state.begin:state.begin+uint32(state.bytes)]) == string(key)
}

// placeOfKey gives a place of keyAt. Keys differ in their ends.
func placeOfKey(key []byte) uint8 {
	if len(key) >= 8 {
		const factor = 0x9E3779B97F4A7C15 // 2^64 over the golden ratio
		return uint8((binary.LittleEndian.Uint64(key[len(key)-8:]) + uint64(len(key))) * factor >> 56)
	}
	hash := uint8(0)
	for _, c := range key {
		hash = hash*31 + c
	}
	return hash
}

func (w *walker) internKey(key []byte) int32 {
	id := w.texts.Intern(key)
	if int(id) < len(w.keyOf) {
		if k := w.keyOf[id]; k >= firstKey && int(k) < len(w.keys) && w.keys[k].attr.Key == id {
			return k
		}
	} else {
		w.keyOf = append(w.keyOf, make([]int32, int(id)+1-len(w.keyOf))...)
	}
	k := int32(len(w.keys))
	state := keyState{attr: span.Attr{Key: id}, invalid: !utf8.Valid(key)}
	if id > 0 {
		state.begin, state.bytes = w.batch.TextEnd[id-1], uint16(len(key))
	}
	w.keys = append(w.keys, state)
	w.keyOf[id] = k
	return k
}

// stringAttr makes the attribute of key k one whose value is a text, and whose plain message stands
// in the frame.
func (w *walker) stringAttr(k int32, text, frame []byte) {
	state, b := &w.keys[k], &w.batch
	if state.attr.Type != span.StringValue || string(b.Text[state.from:state.to]) != string(text) {
		id := w.texts.Intern(text)
		state.attr.Type, state.attr.Value = span.StringValue, uint64(id)
		state.from, state.to = b.TextEnd[max(id, 1)-1], b.TextEnd[id]
		state.badText = !validUTF8(text)
		state.id = 0
	}
	if state.badText {
		w.counts.InvalidUTF8++
	}
	state.remember(frame)
}

// numberAttr is stringAttr for a value of another type, which is all of a but the key.
func (w *walker) numberAttr(k int32, a span.Attr, frame []byte) {
	state := &w.keys[k]
	if a.Key = state.attr.Key; state.attr != a {
		state.attr, state.id = a, 0
	}
	state.badText = false
	state.remember(frame)
}

// attrID gives the id of the attribute of key k.
func (w *walker) attrID(k int32) uint32 {
	state := &w.keys[k]
	if state.id == 0 {
		state.id = w.attrs.ID(&w.batch, state.attr) + 1
	}
	return state.id - 1
}

// remember notes the message of attr, unless each that comes must be counted.
func (state *keyState) remember(frame []byte) {
	state.message = frame
	if state.invalid || state.badText {
		state.message = nil
	}
}
