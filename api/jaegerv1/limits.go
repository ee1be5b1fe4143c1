package jaegerv1

import "github.com/stoadb/stoa/engine/span/otlp"

const (
	// partsMax is how many messages and list items a span may hold: tags, logs and their
	// fields, references, warnings. Jaeger's clients send tens, a log storm thousands; as Go
	// values each takes partBytes, which for the shortest is a hundred times its wire form.
	partsMax = 64 << 10

	// partBytes is what one of them takes in memory: the struct of a tag, its pointer and
	// the rounding of the allocator.
	partBytes = 176

	// restBytesMax is the longest rest: the store cuts an attribute's value beyond it.
	restBytesMax = otlp.ValueBytesMax
)
