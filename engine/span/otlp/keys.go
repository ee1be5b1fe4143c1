package otlp

import (
	"bytes"
	"unicode/utf8"

	"github.com/stoadb/stoa/engine/span"
)

// keyState is what the walker remembers of an attribute key. Spans of one program carry
// the same keys in the same order and often the same values: the key that followed
// last time is compared before any hash is taken, and so is the value it had. A value that
// came twice in a row is likely to come again: then the whole message is compared at once.
type keyState struct {
	text       span.TextID
	next       int32  // in keys: what followed last time, 0 unknown
	begin, end uint32 // where the key stands in the batch's text
	value      span.TextID
	badText    bool      // the last string value, which value is, is no UTF-8
	invalid    bool      // the key is no UTF-8
	attr       span.Attr // the last one of a plain message
	message    []byte    // that message, in the request's memory, if attr came twice; else nil
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
	if k == 0 || !bytes.Equal(w.batch.Text[w.keys[k].begin:w.keys[k].end], key) {
		k = w.lookUpKey(key)
		w.keys[w.before].next = k
	}
	if w.keys[k].invalid {
		w.counts.InvalidUTF8++
	}
	w.before = k
	return k
}

// lookUpKey finds a key through its text's id. What keyOf holds from batches before is
// told by the state it leads to, so it is never cleared.
func (w *walker) lookUpKey(key []byte) int32 {
	id := w.texts.Intern(key)
	if int(id) < len(w.keyOf) {
		if k := w.keyOf[id]; k >= firstKey && int(k) < len(w.keys) && w.keys[k].text == id {
			return k
		}
	} else {
		w.keyOf = append(w.keyOf, make([]int32, int(id)+1-len(w.keyOf))...)
	}
	k := int32(len(w.keys))
	state := keyState{text: id, invalid: !utf8.Valid(key)}
	if id > 0 {
		state.begin, state.end = w.batch.TextEnd[id-1], w.batch.TextEnd[id]
	}
	w.keys = append(w.keys, state)
	w.keyOf[id] = k
	return k
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

// plain appends an attribute of key k whose plain message is kv.
func (w *walker) plain(dst []span.Attr, k int32, a span.Attr, kv []byte) []span.Attr {
	state := &w.keys[k]
	switch {
	case state.attr != a:
		state.attr, state.message = a, nil
	case !state.invalid && !state.badText:
		state.message = kv
	}
	return append(dst, a)
}
