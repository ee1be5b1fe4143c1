package otlp

import "bytes"

// cleaned are envelopes in output form, found by what they were made of: traces name the same
// resources again and again, and to look through their texts for what is no UTF-8 takes longer than
// to write them. They stand in their own memory, and stay from answer to answer.
type cleaned struct {
	outputs map[cleanedKey]*output
	bytes   int
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

// cleanedEntryBytes is about what an entry takes beside its bytes, with its part of the map.
const cleanedEntryBytes = 256

// output gives an envelope in output form, of at most limit bytes.
func (c *cleaned) output(e envelope, s schema, limit int) *output {
	key := cleanedKey{e.hash(), s, limit}
	if known := c.outputs[key]; known != nil && known.from.equal(&e) {
		return known
	}
	own := envelope{message: bytes.Clone(e.message), schemaURL: bytes.Clone(e.schemaURL), present: e.present}
	out := new(output)
	*out = outputEnvelope(own, s, limit)
	out.from = own
	out.hash = out.envelope.hash()
	if bytes.Equal(out.message, own.message) {
		out.message = own.message
	}
	if c.outputs == nil {
		c.outputs = map[cleanedKey]*output{}
	}
	if len(c.outputs) >= cleanedMax || c.bytes+out.memoryBytes() > cleanedBytesMax {
		c.forget()
	}
	if before := c.outputs[key]; before != nil {
		c.bytes -= before.memoryBytes()
	}
	c.outputs[key] = out
	c.bytes += out.memoryBytes()
	return out
}

// memoryBytes counts a message twice that stands there once: it is a bound.
func (out *output) memoryBytes() int {
	return len(out.message) + len(out.schemaURL) + len(out.from.message) + len(out.from.schemaURL) + cleanedEntryBytes
}

func (c *cleaned) forget() {
	clear(c.outputs)
	c.bytes = 0
}

// endAnswer forgets what is too much to keep for the next one.
func (c *cleaned) endAnswer() {
	if c.bytes > cleanedKeptBytesMax {
		c.forget()
	}
}
