package span

// AttrWriter writes attributes of spans as answers have them. It belongs to who makes answers, and
// is handed down to where rows are read, which has many rows' attributes before it in one piece. It
// serves any number of goroutines; what it writes follows from its arguments alone.
type AttrWriter interface {
	// AppendKey appends to dst what AppendAttr wants to be told of a key. ok is false, and nothing
	// appended, where attributes with this key cannot be written.
	AppendKey(dst, key []byte) (_ []byte, ok bool)
	// AppendAttr appends an attribute with its frame to dst: number and text are what Attr.Value
	// says. ok is false, and nothing appended, where how it is written depends on the rest of the
	// span, or where it does not tell the attribute exactly. Neither key nor text is kept.
	AppendAttr(dst, key []byte, kind ValueType, number uint64, text []byte) (_ []byte, ok bool)
}

// WrittenAttrs gives the attributes of the span as an AttrWriter wrote them, as a slice of the
// batch; ok is false where the batch has them as a list.
func (r Row) WrittenAttrs() (written []byte, ok bool) {
	ends := r.Batch.WrittenEnds
	if ends == nil {
		return nil, false
	}
	return r.Batch.Written[from(ends, r.Pos):ends[r.Pos]], true
}
