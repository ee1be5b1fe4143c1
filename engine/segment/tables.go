package segment

import (
	"bytes"
	"encoding/binary"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// envelope is a resource or a scope, told alike: the texts of its fields (with the name or
// service first), whether its message was there, its flattened attributes.
type envelope struct {
	texts   [4]span.TextID
	present bool
	attrs   []span.Attr
}

func resourceOf(b *span.Batch, i uint32) envelope {
	r := &b.Resources[i]
	return envelope{[4]span.TextID{r.Service, r.Message, r.SchemaURL}, r.Present, b.ResourceAttrsOf(i)}
}

func scopeOf(b *span.Batch, i uint32) envelope {
	s := &b.Scopes[i]
	return envelope{[4]span.TextID{s.Name, s.Message, s.SchemaURL, s.Version}, s.Present, b.ScopeAttrsOf(i)}
}

// addResource and addScope append an envelope, its texts already named in b.
func addResource(b *span.Batch, e envelope) {
	b.ResourceAttrs = append(b.ResourceAttrs, e.attrs...)
	b.Resources = append(b.Resources, span.Resource{
		Service: e.texts[0], Message: e.texts[1], SchemaURL: e.texts[2],
		AttrEnd: uint32(len(b.ResourceAttrs)), Present: e.present,
	})
}

func addScope(b *span.Batch, e envelope) {
	b.ScopeAttrs = append(b.ScopeAttrs, e.attrs...)
	b.Scopes = append(b.Scopes, span.Scope{
		Name: e.texts[0], Message: e.texts[1], SchemaURL: e.texts[2], Version: e.texts[3],
		AttrEnd: uint32(len(b.ScopeAttrs)), Present: e.present,
	})
}

// copied gives e with its texts named by add, which is handed the bytes of each.
func (e envelope) copied(from *span.Batch, add func([]byte) span.TextID) envelope {
	out := envelope{present: e.present, attrs: make([]span.Attr, len(e.attrs))}
	for i, id := range e.texts {
		out.texts[i] = add(from.Bytes(id))
	}
	for i, a := range e.attrs {
		a.Key = add(from.Bytes(a.Key))
		if a.Type.HasText() {
			a.Value = uint64(add(from.Bytes(span.TextID(a.Value))))
		}
		out.attrs[i] = a
	}
	return out
}

// hash is of the texts, the message among them, from which the attributes follow mostly.
func (e envelope) hash(b *span.Batch) (hash uint64) {
	for _, id := range e.texts {
		hash = codec.Hash64(b.Bytes(id), hash)
	}
	return hash
}

// equal reports whether an envelope of b and one of another batch say the same.
func (e envelope) equal(b *span.Batch, other envelope, of *span.Batch) bool {
	if e.present != other.present || len(e.attrs) != len(other.attrs) {
		return false
	}
	same := func(id, otherID span.TextID) bool { return bytes.Equal(b.Bytes(id), of.Bytes(otherID)) }
	for i, id := range e.texts {
		if !same(id, other.texts[i]) {
			return false
		}
	}
	for i, a := range e.attrs {
		o := other.attrs[i]
		if a.Type != o.Type || !same(a.Key, o.Key) {
			return false
		}
		if a.Type.HasText() && !same(span.TextID(a.Value), span.TextID(o.Value)) || !a.Type.HasText() && a.Value != o.Value {
			return false
		}
	}
	return true
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// dictionary is the distinct resources, or scopes, of a segment while it is written.
type dictionary struct {
	batch    *span.Batch
	interner *span.Interner
	ids      map[uint64][]uint32
	of       func(*span.Batch, uint32) envelope
	add      func(*span.Batch, envelope)
}

func newDictionary(of func(*span.Batch, uint32) envelope, add func(*span.Batch, envelope)) *dictionary {
	b := new(span.Batch)
	return &dictionary{batch: b, interner: span.NewInterner(b), ids: map[uint64][]uint32{}, of: of, add: add}
}

// id gives the segment's id of entry i of b. The hash finds, the bytes decide.
func (d *dictionary) id(b *span.Batch, i uint32) uint32 {
	e := d.of(b, i)
	hash := e.hash(b)
	for _, id := range d.ids[hash] {
		if e.equal(b, d.of(d.batch, id), d.batch) {
			return id
		}
	}
	id := uint32(max(len(d.batch.Resources), len(d.batch.Scopes)))
	d.add(d.batch, e.copied(b, d.interner.Intern))
	d.ids[hash] = append(d.ids[hash], id)
	return id
}

// appendTables appends the rowless batch of a dictionary:
//
//	texts v, their lengths as integers of package column, their bytes
//	resources v, scopes v; per one: present 1, 4 text ids v, attributes v
//	                       per attribute: type 1, key v, value v
func appendTables(dst []byte, b *span.Batch) []byte {
	lengths := make([]uint64, max(len(b.TextEnd), 1)-1)
	for i := range lengths {
		lengths[i] = uint64(len(b.Bytes(span.TextID(i + 1))))
	}
	dst = binary.AppendUvarint(dst, uint64(len(lengths)))
	dst = append(column.AppendInts(dst, lengths), b.Text...)
	put := func(e envelope) {
		dst = append(dst, flag(e.present))
		for _, id := range e.texts {
			dst = binary.AppendUvarint(dst, uint64(id))
		}
		dst = binary.AppendUvarint(dst, uint64(len(e.attrs)))
		for _, a := range e.attrs {
			dst = binary.AppendUvarint(append(dst, byte(a.Type)), uint64(a.Key))
			dst = binary.AppendUvarint(dst, a.Value)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Resources)))
	dst = binary.AppendUvarint(dst, uint64(len(b.Scopes)))
	for i := range b.Resources {
		put(resourceOf(b, uint32(i)))
	}
	for i := range b.Scopes {
		put(scopeOf(b, uint32(i)))
	}
	return dst
}

func decodeTables(payload []byte) (*span.Batch, error) {
	r := codec.NewReader(payload)
	b := new(span.Batch)
	b.AddText(nil)
	texts := r.Uvarint()
	if texts > uint64(len(payload)) {
		r.Fail("%d texts in %d bytes", texts, len(payload))
	}
	var lengths []uint64
	if r.Err() == nil {
		lengths = column.DecodeInts(nil, r, int(texts))
	}
	end := uint64(0)
	for _, length := range lengths {
		if end += length; length > uint64(r.Len()) || end > uint64(r.Len()) {
			r.Fail("texts of %d bytes, %d left", end, r.Len())
			break
		}
		b.TextEnd = append(b.TextEnd, uint32(end))
	}
	b.Text = bytes.Clone(r.Bytes(int(end)))
	text := func() span.TextID {
		id := r.Uvarint()
		if id >= uint64(len(b.TextEnd)) {
			r.Fail("text %d of %d", id, len(b.TextEnd))
			return 0
		}
		return span.TextID(id)
	}
	get := func() envelope {
		e := envelope{present: r.Uint8() != 0}
		for i := range e.texts {
			e.texts[i] = text()
		}
		e.attrs = make([]span.Attr, r.Count(3))
		for i := range e.attrs {
			a := span.Attr{Type: span.ValueType(r.Uint8())}
			a.Key = text()
			switch {
			case a.Type >= span.ValueTypes:
				r.Fail("attribute type %d", a.Type)
			case a.Type.HasText():
				a.Value = uint64(text())
			default:
				a.Value = r.Uvarint()
			}
			e.attrs[i] = a
		}
		return e
	}
	resources, scopes := r.Uvarint(), r.Uvarint()
	if left := uint64(r.Len()); resources > left || scopes > left {
		r.Fail("%d resources, %d scopes, %d bytes left", resources, scopes, left)
	}
	for ; resources > 0 && r.Err() == nil; resources-- {
		addResource(b, get())
	}
	for ; scopes > 0 && r.Err() == nil; scopes-- {
		addScope(b, get())
	}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the table", r.Len())
	}
	return b, r.Err()
}
