package otlp

import "github.com/stoadb/stoa/engine/span"

// Meaning gives what an attribute says, also where it is kept raw: one of the types up to
// span.MapValue, and its bits or its bytes as span.Attr has them. The bytes belong to the
// batch.
func Meaning(b *span.Batch, a span.Attr) (t span.ValueType, bits uint64, data []byte) {
	v := value{kind: a.Type, bits: a.Value}
	if a.Type.HasText() {
		v.data = b.Bytes(span.TextID(a.Value))
	}
	v = v.effective()
	return v.kind, v.bits, v.data
}
