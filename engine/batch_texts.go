package engine

import (
	"encoding/base64"
	"math/bits"
	"strconv"
	"strings"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// batchTexts tells of a memtable's batch which texts it may have, and of which types its
// attributes are: enough to pass most batches over where something rare is looked for. It is
// made by the first search that asks, and kept with the batch: a text takes two to four bytes.
type batchTexts struct {
	words []uint64 // four bits of one word for each text; a power of two
	types uint16   // a bit for each span.ValueType of the attributes of all levels
}

// textsKnown gives what is known of the batch's texts. Two who ask first both work it out.
func (b *memBatch) textsKnown() *batchTexts {
	if known := b.texts.Load(); known != nil {
		return known
	}
	known := newBatchTexts(b.batch)
	b.texts.Store(known)
	return known
}

func newBatchTexts(b *span.Batch) *batchTexts {
	t := &batchTexts{words: make([]uint64, 1<<bits.Len(uint(len(b.TextEnd)/textsAWord)))}
	for id := 1; id < len(b.TextEnd); id++ {
		word, mask := t.placeOf(b.Bytes(span.TextID(id)))
		*word |= mask
	}
	for _, list := range [...][]span.Attr{b.Attrs, b.EventAttrs, b.LinkAttrs, b.ResourceAttrs, b.ScopeAttrs} {
		for i := range list {
			t.types |= 1 << list[i].Type
		}
	}
	return t
}

// textsAWord texts share a word of 64 bits: of texts that a batch does not have, about one of
// a hundred is taken for one that it has.
const textsAWord = 4

func (t *batchTexts) placeOf(text []byte) (word *uint64, mask uint64) {
	hash := codec.Hash64(text, 0)
	mask = 1<<(hash>>58) | 1<<(hash>>52&63) | 1<<(hash>>46&63) | 1<<(hash>>40&63)
	return &t.words[hash&uint64(len(t.words)-1)], mask
}

// may reports whether the batch may have a text; the empty one it always has.
func (t *batchTexts) may(text string) bool {
	if text == "" {
		return true
	}
	word, mask := t.placeOf([]byte(text))
	return *word&mask == mask
}

func (t *batchTexts) has(types uint16) bool { return t.types&types != 0 }

// asksTexts reports whether the query asks for something that batchTexts can deny.
func (m *matcher) asksTexts() bool {
	return len(m.tags) > 0 || m.query.Service != "" || m.query.Name != ""
}

// mayMatch reports whether a row of the batch may match: not where the service, the name, or the
// key or the value of a tag is nowhere in it.
func (m *matcher) mayMatch(t *batchTexts) bool {
	if !t.may(m.query.Service) || !t.may(m.query.Name) {
		return false
	}
	for i := range m.tags {
		tag := &m.tags[i]
		if tag.special != plain {
			continue // it has a meaning beside attributes
		}
		if !t.may(tag.key) && !(tag.prefixed && t.may(tag.resourceKey)) {
			return false
		}
		if !t.may(tag.value) && !t.has(tag.otherTypes) {
			return false
		}
	}
	return true
}

// typesWritten gives the value types other than string whose values may be written as value.
func typesWritten(t *tagTest) (types uint16) {
	add := func(kind span.ValueType, holds bool) {
		if holds {
			types |= 1 << kind
		}
	}
	add(span.RawValue, true)
	add(span.RawAttribute, true)
	add(span.IntValue, t.isInt)
	add(span.BoolValue, t.isBool)
	_, err := strconv.ParseFloat(t.value, 64)
	add(span.DoubleValue, err == nil)
	_, err = base64.StdEncoding.DecodeString(t.value)
	add(span.BytesValue, err == nil)
	add(span.ArrayValue, strings.HasPrefix(t.value, "["))
	add(span.MapValue, strings.HasPrefix(t.value, "{"))
	return types
}
