package otlp

import (
	"bytes"

	"github.com/stoadb/stoa/internal/codec"
)

// cleaned are envelopes in output form, found by what they were made of: traces name the same
// resources again and again, and to look through their texts for what is no UTF-8 takes longer than
// to write them. They stand in their own memory, and stay from answer to answer.
type cleaned struct {
	outputs map[cleanedKey]*output
	marked  map[[2]uint64][2]*output // both of a row by their marks, none that is not among the outputs
	bytes   int

	forgotten int // how often all were
}

// cleanedKey is the hash of an envelope as it was received, and how long it may be.
type cleanedKey struct {
	hash  uint64
	kind  schema
	limit int
}

// cleanedMax and cleanedBytesMax bound what is kept while an answer is made, cleanedKeptBytesMax
// from one answer to the next: a trace has some dozens of services, of some hundred bytes each.
const (
	cleanedMax          = 256
	cleanedBytesMax     = 8 << 20
	cleanedKeptBytesMax = 512 << 10
)

// markedMax pairs of marks are known, of markedBytes each about: segments have the same resources
// each under marks of its own.
const (
	markedMax   = 2048
	markedBytes = 64
)

// cleanedEntryBytes is about what an entry takes beside its bytes, with its part of the map.
const cleanedEntryBytes = 256

// output gives an envelope in output form, of at most limit bytes.
func (c *cleaned) output(e envelope, s schema, limit int) *output {
	key := cleanedKey{e.hash(), s, limit}
	if known := c.outputs[key]; known != nil && known.isOf(&e) {
		return known
	}
	out := new(output)
	*out = outputEnvelope(e, s, limit)
	out.own(&e)
	out.hash = out.envelope.hash()
	if c.outputs == nil {
		c.outputs = map[cleanedKey]*output{}
	}
	if len(c.outputs) >= cleanedMax || c.bytes+out.memoryBytes() > cleanedBytesMax {
		c.forget()
	}
	if before := c.outputs[key]; before != nil {
		c.forget() // two of one hash take turns, which marks do not know
	}
	c.outputs[key] = out
	c.bytes += out.memoryBytes()
	return out
}

// own puts the envelope into memory of its own, and notes what it was made of.
func (out *output) own(e *envelope) {
	out.from.present = e.present
	if out.isCut {
		out.cutOf = hashesOf(e)
		out.message, out.schemaURL = bytes.Clone(out.message), bytes.Clone(out.schemaURL)
		return
	}
	out.from.message, out.from.schemaURL = bytes.Clone(e.message), bytes.Clone(e.schemaURL)
	for _, text := range []struct {
		from []byte
		out  *[]byte
	}{{out.from.message, &out.message}, {out.from.schemaURL, &out.schemaURL}} {
		if bytes.Equal(*text.out, text.from) {
			*text.out = text.from
		} else {
			*text.out = bytes.Clone(*text.out)
		}
	}
}

// isOf reports whether the envelope was made of this one.
func (out *output) isOf(e *envelope) bool {
	if out.isCut {
		return out.from.present == e.present && out.cutOf == hashesOf(e)
	}
	return out.from.equal(e)
}

func hashesOf(e *envelope) [2]codec.Hash {
	return [2]codec.Hash{codec.HashBytes(e.message), codec.HashBytes(e.schemaURL)}
}

// memoryBytes counts a message twice that stands there once: it is a bound.
func (out *output) memoryBytes() int {
	return len(out.message) + len(out.schemaURL) + len(out.from.message) + len(out.from.schemaURL) + cleanedEntryBytes
}

// mark notes what was found for two marks.
func (c *cleaned) mark(marks [2]uint64, resource, scope *output) {
	if c.marked == nil {
		c.marked = map[[2]uint64][2]*output{}
	}
	if len(c.marked) >= markedMax {
		c.bytes -= len(c.marked) * markedBytes
		clear(c.marked)
	}
	c.marked[marks] = [2]*output{resource, scope}
	c.bytes += markedBytes
}

func (c *cleaned) forget() {
	clear(c.outputs)
	clear(c.marked)
	c.bytes = 0
	c.forgotten++
}

// endAnswer forgets what is too much to keep for the next one.
func (c *cleaned) endAnswer() {
	if c.bytes > cleanedKeptBytesMax {
		c.forget()
	}
}
