package column

import (
	"encoding/binary"
	"sort"
	"sync/atomic"

	"github.com/stoadb/stoa/internal/codec"
)

// The payload of texts. Entries are the distinct texts in order of first use where there is a
// dictionary, else the values. They stand in chunks that are cut between entries, each under
// zstd by itself: whoever reads one value pays for its chunk.
//
//	form      1  1 dictionary, + what all entries are: see textkinds.go
//	count     v  entries; only with a dictionary
//	codes        integers: of each value its entry; only with a dictionary
//	lengths      integers: of each entry its bytes in a chunk; not of UUIDs
//	             of decimal numbers: the numbers, and here the payload ends
//	chunks    v
//	    entries v  of each chunk, not of the last one, which has those that are left
//	    bytes   v  of its entries
//	    frame   v  bytes that it takes here; not of the last one, which takes all that are left
//	chunks       one after another: as they are where frame is bytes, else a zstd frame
//
// A chunk takes entries up to 16 KiB; a longer entry is a chunk of its own. Where texts repeat
// over a longer way than that (log lines that quote the same list each time), such chunks would
// cost several times as much: then they take up to 4 MiB. docs/decisions/0007-text-chunks.md
// has the numbers.
const textsDictionary = 1

// AppendPage appends the page of the values; nothing where there are none.
func (t *Texts) AppendPage(dst []byte, p *Pages) []byte {
	if len(t.codes) == 0 {
		return dst
	}
	start := len(dst)
	dst = t.appendPayload(append(dst, 0, 0, 0, 0, formRaw), p)
	binary.LittleEndian.PutUint32(dst[start:], codec.CRC(dst[start+4:]))
	return dst
}

func (t *Texts) appendPayload(dst []byte, p *Pages) []byte {
	form := byte(0)
	if len(t.ends)*dictionaryShare <= len(t.codes) {
		form = textsDictionary
	}
	at := len(dst)
	dst = append(dst, form)
	if form == textsDictionary {
		dst = p.appendLighter(binary.AppendUvarint(dst, uint64(len(t.ends))), t.codes)
	}
	text := t.entries(p, form)
	kind := p.pack(text)
	if kind == textsDecimal {
		if out, ok := p.appendDecimals(dst, text); ok {
			out[at] |= textsDecimal
			return out
		}
		kind = textsAny
	}
	dst[at] |= kind
	if kind == textsUUID || kind == textsHex {
		text = p.packed
	}
	if kind != textsUUID {
		dst = p.appendLighter(dst, p.lengths)
	}
	return p.appendChunks(dst, text)
}

// entries gives the entries one after another, and p their lengths.
func (t *Texts) entries(p *Pages, form byte) []byte {
	p.text, p.lengths = p.text[:0], p.lengths[:0]
	if form == textsDictionary || len(t.ends) == len(t.codes) { // as they stand here
		begin := uint32(0)
		for _, end := range t.ends {
			p.lengths = append(p.lengths, uint64(end-begin))
			begin = end
		}
		return t.text
	}
	for _, code := range t.codes {
		value := t.Value(code)
		p.text = append(p.text, value...)
		p.lengths = append(p.lengths, uint64(len(value)))
	}
	return p.text
}

// appendChunks appends text, whose entries have the lengths p.lengths, with its directory.
func (p *Pages) appendChunks(dst, text []byte) []byte {
	at := len(dst)
	if len(text) <= chunkTrialBytes {
		dst, _ = p.appendChunksOf(dst, text, chunkBytes, len(text)+len(text)/2)
		return dst
	}
	dst, _ = p.appendChunksOf(dst, text, longChunkBytes, 2*len(text))
	long := len(dst) - at
	out, ok := p.appendChunksOf(dst, text, chunkBytes, long+long/chunksCost)
	if !ok {
		return dst
	}
	return append(out[:at], out[at+long:]...)
}

// appendChunksOf appends chunks of up to so many bytes, and gives up where they come to more
// than most: then dst stands as it was.
func (p *Pages) appendChunksOf(dst, text []byte, chunk, most int) (_ []byte, ok bool) {
	p.payload, p.trial = p.payload[:0], p.trial[:0] // the frames, and the directory
	at, chunks := len(dst), 0
	for lengths := p.lengths; len(lengths) > 0 || chunks == 0; chunks++ {
		entries, size := 0, 0
		for entries < len(lengths) && (entries == 0 || size+int(lengths[entries]) <= chunk) {
			size += int(lengths[entries])
			entries++
		}
		raw, before := text[:size], len(p.payload)
		if size >= compressBytesMin {
			p.payload = codec.AppendZstdText(p.payload, raw)
		}
		if frame := len(p.payload) - before; frame == 0 || frame >= size {
			p.payload = append(p.payload[:before], raw...)
		}
		if len(p.payload) > most {
			return dst[:at], false
		}
		text, lengths = text[size:], lengths[entries:]
		if len(lengths) > 0 {
			p.trial = binary.AppendUvarint(p.trial, uint64(entries))
		}
		p.trial = binary.AppendUvarint(p.trial, uint64(size))
		if len(lengths) > 0 {
			p.trial = binary.AppendUvarint(p.trial, uint64(len(p.payload)-before))
		}
	}
	dst = binary.AppendUvarint(dst, uint64(chunks))
	return append(append(dst, p.trial...), p.payload...), true
}

// TextColumn reads texts of one column where they stand: a value or a range decodes only the
// chunks it touches, which then stay. It keeps to the payload, which must not change, and
// serves any number of goroutines: two that open a chunk at once do it twice, and share what
// the first one has put in place.
type TextColumn struct {
	n       int
	entries int
	kind    byte
	codes   Ints // of each value; none without a dictionary
	lengths Ints // of each entry; of decimal numbers these themselves; none of UUIDs
	chunks  []textChunk
	memory  atomic.Int64
	grows   func(bytes int)
}

type textChunk struct {
	first int // entry
	bytes int
	frame []byte
	open  atomic.Pointer[openChunk]
}

// openChunk is a chunk as texts.
type openChunk struct {
	text []byte
	ends []uint32 // of each entry
}

// OpenTexts opens the n texts of a payload. n comes from elsewhere in the file: the caller
// bounds it.
func OpenTexts(payload []byte, n int) (*TextColumn, error) {
	c := &TextColumn{n: n, entries: n}
	if n == 0 && len(payload) == 0 {
		return c, nil
	}
	r := codec.NewReader(payload)
	form := r.Uint8()
	c.kind = form &^ textsDictionary
	if c.kind >= textsKinds || n <= 0 {
		r.Fail("text form %d of %d values", form, n)
	}
	if form&textsDictionary != 0 && r.Err() == nil {
		count := r.Uvarint()
		if count == 0 || count > uint64(n) {
			r.Fail("%d distinct texts for %d values", count, n)
			return nil, r.Err()
		}
		c.entries = int(count)
		c.codes = OpenInts(r, n)
	}
	if c.kind != textsUUID && r.Err() == nil {
		c.lengths = OpenInts(r, c.entries)
	}
	if c.kind == textsDecimal {
		c.openDecimals(r)
	} else {
		c.openChunks(r)
	}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the texts", r.Len())
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	c.count(len(payload))
	return c, nil
}

// openDecimals cuts numbers into chunks by their count, so that what a number costs as text
// is bounded as well.
func (c *TextColumn) openDecimals(r *codec.Reader) {
	if r.Err() != nil {
		return
	}
	c.chunks = make([]textChunk, (c.entries+decimalsInChunk-1)/decimalsInChunk)
	for k := range c.chunks {
		c.chunks[k].first = k * decimalsInChunk
	}
}

// openChunks reads the directory.
func (c *TextColumn) openChunks(r *codec.Reader) {
	count := r.Uvarint()
	if count == 0 || count > uint64(c.entries) || count-1 > uint64(r.Len()/3) { // all but the last take 3 bytes here
		r.Fail("%d chunks of %d texts in %d bytes", count, c.entries, r.Len())
	}
	if r.Err() != nil {
		return
	}
	chunks := int(count)
	c.chunks = make([]textChunk, chunks)
	frames := make([]uint64, chunks)
	left, total := c.entries, uint64(0)
	for k := range c.chunks {
		count, last := uint64(left), k == chunks-1
		if !last {
			count = r.Uvarint()
		}
		size := r.Uvarint()
		if !last {
			frames[k] = r.Uvarint()
		}
		if total += size; size > PageBytesMax || total > PageBytesMax || count > 1 && size > longChunkBytes {
			r.Fail("chunk %d: %d texts of %d bytes", k, count, size)
		}
		if count == 0 || count > uint64(left-(chunks-1-k)) {
			r.Fail("chunk %d: %d texts, %d left", k, count, left)
		}
		if r.Err() != nil {
			return
		}
		c.chunks[k].first, c.chunks[k].bytes = c.entries-left, int(size)
		left -= int(count)
	}
	frames[chunks-1] = uint64(r.Len())
	for _, frame := range frames[:chunks-1] {
		frames[chunks-1] -= min(frame, frames[chunks-1])
	}
	for k := range c.chunks {
		chunk := &c.chunks[k]
		if frames[k] > uint64(chunk.bytes) {
			r.Fail("chunk %d: %d bytes in %d", k, chunk.bytes, frames[k])
		}
		chunk.frame = r.Bytes(int(min(frames[k], uint64(r.Len()+1))))
	}
}

// count notes what the column holds with no chunk open.
func (c *TextColumn) count(payload int) {
	c.memory.Store(int64(payload + c.codes.ownBytes() + c.lengths.ownBytes() + len(c.chunks)*chunkEntryBytes))
}

// Len is the number of values.
func (c *TextColumn) Len() int { return c.n }

// MemoryBytes is what the column holds now, the payload with it.
func (c *TextColumn) MemoryBytes() int { return int(c.memory.Load()) }

// Grows asks to be told, each time that a chunk is opened and stays, by how many bytes
// MemoryBytes grew. It is set before the column is shared.
func (c *TextColumn) Grows(tell func(bytes int)) { c.grows = tell }

// Value gives value i, which stays good as long as the column does.
func (c *TextColumn) Value(i int) ([]byte, error) {
	if c.codes.n > 0 {
		code, err := c.codes.At(i)
		if err != nil {
			return nil, err
		}
		if code >= uint64(c.entries) {
			return nil, codec.Corrupt("text code %d of %d", code, c.entries)
		}
		i = int(code)
	}
	return c.entry(i)
}

func (c *TextColumn) entry(i int) ([]byte, error) {
	k := c.chunkOf(i)
	open, err := c.openChunk(k)
	if err != nil {
		return nil, err
	}
	return open.entry(i - c.chunks[k].first), nil
}

func (o *openChunk) entry(i int) []byte {
	begin := uint32(0)
	if i > 0 {
		begin = o.ends[i-1]
	}
	return o.text[begin:o.ends[i]:o.ends[i]]
}

// chunkOf gives the chunk of an entry.
func (c *TextColumn) chunkOf(i int) int {
	if len(c.chunks) == 1 {
		return 0
	}
	return sort.Search(len(c.chunks), func(k int) bool { return c.chunks[k].first > i }) - 1
}

// rangeOf gives the entries of a chunk.
func (c *TextColumn) rangeOf(k int) (first, end int) {
	if k+1 < len(c.chunks) {
		return c.chunks[k].first, c.chunks[k+1].first
	}
	return c.chunks[k].first, c.entries
}

// openChunk gives a chunk as texts.
func (c *TextColumn) openChunk(k int) (*openChunk, error) {
	chunk := &c.chunks[k]
	if open := chunk.open.Load(); open != nil {
		return open, nil
	}
	first, end := c.rangeOf(k)
	open := &openChunk{ends: make([]uint32, 0, end-first)}
	if c.kind == textsDecimal {
		if err := c.openNumbers(open, first, end); err != nil {
			return nil, err
		}
	} else {
		if err := c.appendEnds(open, chunk, first, end); err != nil {
			return nil, err
		}
		raw, err := c.appendRaw(nil, k)
		if err != nil {
			return nil, err
		}
		open.render(c.kind, raw)
	}
	if !chunk.open.CompareAndSwap(nil, open) {
		return chunk.open.Load(), nil
	}
	bytes := 4 * cap(open.ends)
	if c.kind != textsAny || len(chunk.frame) < chunk.bytes { // else its text is the payload's
		bytes += cap(open.text)
	}
	c.memory.Add(int64(bytes))
	if c.grows != nil {
		c.grows(bytes)
	}
	return open, nil
}

// openNumbers writes decimal numbers as texts.
func (c *TextColumn) openNumbers(open *openChunk, first, end int) error {
	var part [blockRows]uint64
	for ; first < end; first += blockRows {
		numbers, err := c.lengths.Decode(part[:0], first, min(first+blockRows, end))
		if err != nil {
			return err
		}
		for _, v := range numbers {
			if v>>63 != 0 {
				return codec.Corrupt("decimal number %d", v)
			}
			open.text = appendDecimal(open.text, v)
			open.ends = append(open.ends, uint32(len(open.text)))
		}
	}
	return nil
}

// appendEnds adds up the lengths of a chunk, which must come to what the directory says.
func (c *TextColumn) appendEnds(open *openChunk, chunk *textChunk, first, end int) error {
	var part [blockRows]uint64
	total, size := uint64(0), uint64(chunk.bytes)
	for ; first < end; first += blockRows {
		lengths := part[:min(end-first, blockRows)]
		if c.kind == textsUUID {
			for i := range lengths {
				lengths[i] = uuidBytes
			}
		} else if _, err := c.lengths.Decode(part[:0], first, first+len(lengths)); err != nil {
			return err
		}
		for _, length := range lengths {
			if total += length; length > size || total > size {
				return codec.Corrupt("texts of %d bytes in a chunk of %d", total, size)
			}
			open.ends = append(open.ends, uint32(total))
		}
	}
	if total != size {
		return codec.Corrupt("texts of %d bytes in a chunk of %d", total, size)
	}
	return nil
}

// appendRaw appends the bytes of a chunk; to nil they may be those of the payload.
func (c *TextColumn) appendRaw(dst []byte, k int) ([]byte, error) {
	chunk := &c.chunks[k]
	switch {
	case len(chunk.frame) < chunk.bytes:
		return codec.DecodeZstd(dst, chunk.frame, chunk.bytes)
	case dst == nil:
		return chunk.frame, nil
	default:
		return append(dst, chunk.frame...), nil
	}
}

// render turns bytes with ends into texts.
func (o *openChunk) render(kind byte, raw []byte) {
	o.text = raw
	switch kind {
	case textsUUID:
		o.text = make([]byte, 0, uuidTextBytes*len(o.ends))
		for i := range o.ends {
			o.text = appendUUID(o.text, raw[i*uuidBytes:])
			o.ends[i] = uint32(len(o.text))
		}
	case textsHex:
		o.text = appendHexText(make([]byte, 0, 2*len(raw)), raw)
		for i := range o.ends {
			o.ends[i] *= 2
		}
	}
}
