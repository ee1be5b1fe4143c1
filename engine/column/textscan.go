package column

import (
	"bytes"
	"slices"

	"github.com/stoadb/stoa/internal/codec"
)

// DecodeTexts reads the values [from, to): they go into the table, their positions in it to
// dst. An entry of a dictionary goes into the table once a call, and only if it is used.
func DecodeTexts[ID ~uint32 | ~uint64](dst []ID, table *Table, c *TextColumn, from, to int) ([]ID, error) {
	from, to = max(from, 0), min(to, c.n)
	if from >= to {
		return dst, nil
	}
	if c.codes.n > 0 {
		return decodeCodes(dst, table, c, from, to)
	}
	at := len(dst)
	dst = slices.Grow(dst, to-from)
	table.Ends = slices.Grow(table.Ends, to-from)
	for k := c.chunkOf(from); k < len(c.chunks) && c.chunks[k].first < to; k++ {
		first, end := c.rangeOf(k)
		before := uint32(len(table.Text))
		ends, base, err := table.appendChunk(c, k, max(from, first)-first, min(to, end)-first, to-from == c.n)
		if err != nil {
			return dst[:at], err
		}
		for _, end := range ends {
			if end += base; end == before {
				dst = append(dst, 0)
				continue
			}
			before = end
			table.Ends = append(table.Ends, end)
			dst = append(dst, ID(len(table.Ends)-1))
		}
	}
	return dst, nil
}

// appendChunk appends the texts of entries [from, to) of a chunk, and gives their ends, which
// count from base. Whoever reads all of a column has no use for its chunks afterwards: they
// go straight into the table.
func (t *Table) appendChunk(c *TextColumn, k, from, to int, all bool) (ends []uint32, base uint32, err error) {
	chunk := &c.chunks[k]
	if all && c.kind == textsAny && len(chunk.frame) < chunk.bytes && chunk.open.Load() == nil {
		if err := t.room(chunk.bytes); err != nil {
			return nil, 0, err
		}
		first, _ := c.rangeOf(k)
		open := openChunk{ends: t.ends[:0]}
		if err := c.appendEnds(&open, chunk, first+from, first+to); err != nil {
			return nil, 0, err
		}
		t.ends, base = open.ends, uint32(len(t.Text))
		text, err := c.appendRaw(t.Text, k)
		if err != nil {
			return nil, 0, err
		}
		t.Text = text
		return t.ends, base, nil
	}
	if c.readsInPart(k) {
		return t.appendPart(c, k, from, to)
	}
	open, err := c.openChunk(k)
	if err != nil {
		return nil, 0, err
	}
	begin := uint32(0)
	if from > 0 {
		begin = open.ends[from-1]
	}
	text := open.text[begin:open.ends[to-1]]
	if err := t.room(len(text)); err != nil {
		return nil, 0, err
	}
	base = uint32(len(t.Text)) - begin // wraps, and so does the sum
	t.Text = append(t.Text, text...)
	return open.ends[from:to], base, nil
}

// readsInPart reports a long chunk that is not open: to keep it for a few of its texts would
// push a hundred other pages out of the memory of who keeps columns.
func (c *TextColumn) readsInPart(k int) bool {
	chunk := &c.chunks[k]
	return c.kind == textsAny && chunk.bytes > chunkTrialBytes && chunk.bytes <= longChunkBytes &&
		len(chunk.frame) < chunk.bytes && chunk.open.Load() == nil
}

// appendPart is appendChunk of a long chunk, which it unpacks up to the part and does not keep.
func (t *Table) appendPart(c *TextColumn, k, from, to int) (ends []uint32, base uint32, err error) {
	chunk := &c.chunks[k]
	first, end := c.rangeOf(k)
	open := openChunk{ends: t.ends[:0]}
	if err := c.appendEnds(&open, chunk, first, end); err != nil {
		return nil, 0, err
	}
	t.ends = open.ends
	begin := uint32(0)
	if from > 0 {
		begin = t.ends[from-1]
	}
	last := t.ends[to-1]
	if err := t.room(int(last - begin)); err != nil {
		return nil, 0, err
	}
	base = uint32(len(t.Text)) - begin // wraps, and so does the sum
	t.Text, err = codec.DecodeZstdPart(t.Text, chunk.frame, chunk.bytes, int(begin), int(last))
	return t.ends[from:to], base, err
}

// room refuses what positions of 32 bits cannot tell.
func (t *Table) room(size int) error {
	if total := int64(len(t.Text)) + int64(size); total > textBytesMax { // int64: an int may have 32 bits
		return codec.Corrupt("texts of %d bytes in one table", total)
	}
	return nil
}

func decodeCodes[ID ~uint32 | ~uint64](dst []ID, table *Table, c *TextColumn, from, to int) (_ []ID, err error) {
	if table.scratch, err = c.codes.Decode(table.scratch[:0], from, to); err != nil {
		return dst, err
	}
	if len(table.seen) < c.entries {
		table.seen = make([]uint32, max(c.entries, 2*len(table.seen)))
	}
	at := len(dst)
	dst = slices.Grow(dst, to-from)[:at+to-from]
	ids, seen := dst[at:], table.seen[:c.entries]
	used := 0
	for i, code := range table.scratch[:len(ids)] {
		if code >= uint64(len(seen)) {
			err = codec.Corrupt("text code %d of %d", code, len(seen))
			break
		}
		id := seen[code]
		if id == 0 {
			if id, err = table.addEntry(c, int(code)); err != nil {
				break
			}
			seen[code] = id
		}
		ids[i] = ID(id - 1)
		used = i + 1
	}
	if len(seen) <= len(ids) {
		clear(seen)
	} else {
		for _, code := range table.scratch[:used] {
			seen[code] = 0
		}
	}
	if err != nil {
		return dst[:at], err
	}
	return dst, nil
}

// addEntry adds an entry of a dictionary and gives its position + 1.
func (t *Table) addEntry(c *TextColumn, entry int) (uint32, error) {
	text, err := c.entry(entry)
	if err == nil {
		err = t.room(len(text))
	}
	if err != nil {
		return 0, err
	}
	return t.Add(text) + 1, nil
}

// RowsEqual appends the positions of the values equal to one to dst, in order. It opens the
// chunks alone that have an entry of that length.
func (c *TextColumn) RowsEqual(dst []uint32, value []byte) ([]uint32, error) {
	entries := dst
	if c.codes.n > 0 {
		entries = nil
	}
	found, err := c.entriesEqual(entries, value)
	if err != nil || c.codes.n == 0 {
		return found, err
	}
	switch len(found) {
	case 0:
		return dst, nil
	case 1:
		return c.codes.RowsEqual(dst, uint64(found[0]))
	}
	is := make([]bool, c.entries) // a right page has no entry twice
	for _, entry := range found {
		is[entry] = true
	}
	return c.rowsOf(dst, is)
}

// entriesEqual appends the entries equal to a value.
func (c *TextColumn) entriesEqual(dst []uint32, value []byte) ([]uint32, error) {
	if c.kind == textsDecimal {
		if !isDecimal(value) {
			return dst, nil
		}
		return c.lengths.RowsEqual(dst, decimalOf(value))
	}
	raw, ok := packed(c.kind, value)
	if !ok || c.entries == 0 {
		return dst, nil
	}
	if c.kind == textsUUID {
		return c.uuidsEqual(dst, raw)
	}
	at := len(dst)
	dst, err := c.lengths.RowsEqual(dst, uint64(len(raw)))
	if err != nil || len(raw) == 0 {
		return dst, err
	}
	kept, k := dst[:at], 0
	for _, entry := range dst[at:] {
		for _, end := c.rangeOf(k); int(entry) >= end; _, end = c.rangeOf(k) {
			k++
		}
		open, err := c.openChunk(k)
		if err != nil {
			return dst[:at], err
		}
		if bytes.Equal(open.entry(int(entry)-c.chunks[k].first), value) {
			kept = append(kept, entry)
		}
	}
	return kept, nil
}

// uuidsEqual compares 16 bytes each, and writes no text.
func (c *TextColumn) uuidsEqual(dst []uint32, want []byte) ([]uint32, error) {
	at := len(dst)
	for k := range c.chunks {
		first, end := c.rangeOf(k)
		if c.chunks[k].bytes != (end-first)*uuidBytes {
			return dst[:at], codec.Corrupt("%d UUIDs in a chunk of %d bytes", end-first, c.chunks[k].bytes)
		}
		raw, err := c.appendRaw(nil, k)
		if err != nil {
			return dst[:at], err
		}
		for entry := first; entry < end; entry++ {
			if string(raw[:uuidBytes]) == string(want) {
				dst = append(dst, uint32(entry))
			}
			raw = raw[uuidBytes:]
		}
	}
	return dst, nil
}

// RowsWhere appends the positions of the values that match to dst, in order. match is asked
// once for each entry of a dictionary, else once for each value; it must not keep the slice.
func (c *TextColumn) RowsWhere(dst []uint32, match func([]byte) bool) ([]uint32, error) {
	at := len(dst)
	var is []bool
	if c.codes.n > 0 {
		is = make([]bool, c.entries)
	}
	matches := 0
	for k := range c.chunks {
		open, err := c.openChunk(k)
		if err != nil {
			return dst[:at], err
		}
		first, _ := c.rangeOf(k)
		for i := range open.ends {
			switch {
			case !match(open.entry(i)):
			case is != nil:
				is[first+i] = true
				matches++
			default:
				dst = append(dst, uint32(first+i))
			}
		}
	}
	if matches == 0 {
		return dst, nil
	}
	return c.rowsOf(dst, is)
}

// rowsOf appends the positions of the values whose entries are marked.
func (c *TextColumn) rowsOf(dst []uint32, is []bool) ([]uint32, error) {
	at := len(dst)
	var part [blockRows]uint64
	for first := 0; first < c.n; first += blockRows {
		codes, err := c.codes.Decode(part[:0], first, first+blockRows)
		if err != nil {
			return dst[:at], err
		}
		for i, code := range codes {
			if code >= uint64(len(is)) {
				return dst[:at], codec.Corrupt("text code %d of %d", code, len(is))
			}
			if is[code] {
				dst = append(dst, uint32(first+i))
			}
		}
	}
	return dst, nil
}
