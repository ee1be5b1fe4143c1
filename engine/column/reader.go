package column

import (
	"bytes"

	"github.com/stoadb/stoa/internal/codec"
)

// Ints reads integers of one column where they stand: one value or a range decodes only
// the mini-blocks it touches, or the bytes. It keeps to the payload, which must not change,
// and serves any number of goroutines.
type Ints struct {
	n      int
	blocks blocks
	planes []byte   // width bytes a value, all lowest ones first, above low
	values []uint64 // decoded, where they can be read front to back alone
	low    uint64   // the only value where there is nothing else
	width  int
	own    int // bytes of planes that stand outside of the payload
}

// OpenInts opens n integers at r, and leaves r behind them. n comes from elsewhere in the
// file: the caller bounds it. Trouble stands in r.Err.
func OpenInts(r *codec.Reader, n int) (out Ints) {
	if n == 0 {
		return out
	}
	peek := *r
	switch form := peek.Uint8(); {
	case peek.Err() == nil && form == intsBlocks:
		r.Uint8()
		out = Ints{n: n, blocks: openBlocks(r, n)}
	case peek.Err() == nil && form == intsZstd:
		r.Uint8()
		if inner := openZstd(r, n); inner != nil {
			out = OpenInts(inner, n) // once: the forms in a frame are none of these two
			out.own = len(out.planes)
			whole(r, inner)
		}
	case peek.Err() == nil && form == intsConstant:
		r.Uint8()
		out = Ints{n: n, low: r.Uvarint()}
	case peek.Err() == nil && form == intsPlanes:
		r.Uint8()
		out = openPlanes(r, n)
	default:
		out = Ints{n: n, values: DecodeInts(nil, r, n)}
	}
	if r.Err() != nil {
		return Ints{}
	}
	return out
}

func openPlanes(r *codec.Reader, n int) Ints {
	width := int(r.Uint8())
	low := r.Uvarint()
	if width < 1 || width > 8 {
		r.Fail("integers of %d bytes", width)
	}
	if r.Err() == nil && n > r.Len()/width {
		r.Fail("%d integers in %d bytes", n, r.Len())
	}
	return Ints{n: n, low: low, width: width, planes: r.Bytes(n * width)}
}

// Len is the number of values.
func (c *Ints) Len() int { return c.n }

// MemoryBytes is what it holds, with its part of the payload.
func (c *Ints) MemoryBytes() int {
	b := &c.blocks
	return c.ownBytes() + len(c.planes) - c.own + len(b.tags) + len(b.bases) + len(b.bodies)
}

// ownBytes is what it holds beside the payload.
func (c *Ints) ownBytes() int { return c.own + 8*cap(c.values) + 4*cap(c.blocks.offsets) }

// At gives value i.
func (c *Ints) At(i int) (uint64, error) {
	if len(c.blocks.tags) == 0 {
		return c.byteAt(i), nil
	}
	var one [1]uint64
	b := i / blockRows
	err := c.decodePart(one[:], b, i-b*blockRows)
	return one[0], err
}

// byteAt is At for values that do not stand in mini-blocks.
func (c *Ints) byteAt(i int) uint64 {
	if c.values != nil {
		return c.values[i]
	}
	v := c.low
	for k := range c.width {
		v += uint64(c.planes[k*c.n+i]) << (8 * k)
	}
	return v
}

// decodePart fills dst with the values of a mini-block from one on, with no more work than
// its kind asks for.
func (c *Ints) decodePart(dst []uint64, b, from int) error {
	tag, base, body := c.blocks.tags[b], c.blocks.base(b), c.blocks.body(b)
	rows := min(c.n-b*blockRows, blockRows)
	few := len(dst) <= partRowsMax
	switch {
	case len(dst) == rows:
		return decodeBlock(dst, tag, base, body)
	case few && tag <= tagUp:
		for i := range dst {
			dst[i] = base + packedAt(body, rows, from+i, uint(tag))
		}
		return nil
	case len(dst) == 1 && tag == tagPatched:
		var err error
		dst[0], err = patchedAt(rows, from, base, body)
		return err
	case few && tag == tagDictionary:
		entries, width := int(body[0]), uint(body[1])
		split := 2 + packedBytes(entries, width)
		for i := range dst {
			code := packedAt(body[split:], rows, from+i, codeWidth(entries))
			if code >= uint64(entries) {
				return codec.Corrupt("code %d of %d in a mini-block", code, entries)
			}
			dst[i] = base + packedAt(body[2:split], entries, int(code), width)
		}
		return nil
	}
	var block [blockRows]uint64
	if err := decodeBlock(block[:rows], tag, base, body); err != nil {
		return err
	}
	copy(dst, block[from:])
	return nil
}

// Decode appends values [from, to) to dst, without touching the blocks of others.
func (c *Ints) Decode(dst []uint64, from, to int) ([]uint64, error) {
	from, to = max(from, 0), min(to, c.n)
	if from >= to {
		return dst, nil
	}
	if c.values != nil {
		return append(dst, c.values[from:to]...), nil
	}
	at := len(dst)
	dst = grown(dst, to-from)
	if len(c.blocks.tags) == 0 {
		c.decodeBytes(dst[at:], from)
		return dst, nil
	}
	for b := from / blockRows; b*blockRows < to; b++ {
		first := b * blockRows
		begin, end := max(from, first), min(to, first+blockRows)
		if err := c.decodePart(dst[at:at+end-begin], b, begin-first); err != nil {
			return dst[:at], err
		}
		at += end - begin
	}
	return dst, nil
}

// decodeBytes fills dst with values from one on that stand in planes, or are all the same.
func (c *Ints) decodeBytes(dst []uint64, from int) {
	if c.width == 0 {
		for i := range dst {
			dst[i] = c.low
		}
		return
	}
	for i, v := range c.planes[from:][:len(dst)] {
		dst[i] = c.low + uint64(v)
	}
	for k := 1; k < c.width; k++ {
		for i, v := range c.planes[k*c.n+from:][:len(dst)] {
			dst[i] += uint64(v) << (8 * k)
		}
	}
}

// grown lengthens dst by n values, whatever they are.
func grown(dst []uint64, n int) []uint64 {
	if cap(dst)-len(dst) < n {
		dst = append(make([]uint64, 0, max(len(dst)+n, 2*cap(dst))), dst...)
	}
	return dst[:len(dst)+n]
}

// SumBefore is the sum of the values before i; it wraps.
func (c *Ints) SumBefore(i int) (uint64, error) {
	sum := uint64(0)
	if len(c.blocks.tags) == 0 {
		return c.sumBytes(min(i, c.n)), nil
	}
	var block [blockRows]uint64
	for b := 0; b*blockRows < min(i, c.n); b++ {
		rows := min(i-b*blockRows, c.n-b*blockRows, blockRows)
		if c.blocks.tags[b] == 0 {
			sum += c.blocks.base(b) * uint64(rows)
			continue
		}
		if err := c.decodePart(block[:rows], b, 0); err != nil {
			return 0, err
		}
		for _, v := range block[:rows] {
			sum += v
		}
	}
	return sum, nil
}

func (c *Ints) sumBytes(n int) uint64 {
	sum := c.low * uint64(n)
	for _, v := range c.values[:min(n, len(c.values))] {
		sum += v // low is 0 here
	}
	for k := range c.width {
		part := uint64(0)
		for _, v := range c.planes[k*c.n:][:n] {
			part += uint64(v)
		}
		sum += part << (8 * k)
	}
	return sum
}

// RowsBetween appends the positions of the values v with low <= v <= high to dst, in order.
// Blocks that cannot have one are not read, nor are blocks that have nothing else.
func (c *Ints) RowsBetween(dst []uint32, low, high uint64) ([]uint32, error) {
	if c.values != nil {
		return rowsBetween(dst, 0, c.values, low, high), nil
	}
	var block [blockRows]uint64
	if len(c.blocks.tags) == 0 {
		for first := 0; first < c.n; first += blockRows {
			part := block[:min(c.n-first, blockRows)]
			c.decodeBytes(part, first)
			dst = rowsBetween(dst, uint32(first), part, low, high)
		}
		return dst, nil
	}
	for b, tag := range c.blocks.tags {
		first, rows := b*blockRows, min(c.n-b*blockRows, blockRows)
		base, body := c.blocks.base(b), c.blocks.body(b)
		least, most := zoneOf(tag, base, body, rows)
		switch {
		case most < low || least > high:
		case least >= low && most <= high && tag < tagDictionary:
			dst = appendRange(dst, first, first+rows)
		case tag == tagPatched && low > base && low-base > mask(uint(body[0])):
			var err error
			if dst, err = patchesBetween(dst, first, rows, base, body, low, high); err != nil {
				return dst, err
			}
		default:
			if err := decodeBlock(block[:rows], tag, base, body); err != nil {
				return dst, err
			}
			dst = rowsBetween(dst, uint32(first), block[:rows], low, high)
		}
	}
	return dst, nil
}

// patchesBetween is rowsBetween where only patched values reach low: how a search for the
// few that last long goes over all others.
func patchesBetween(dst []uint32, first, rows int, base uint64, body []byte, low, high uint64) ([]uint32, error) {
	width, above, patches := uint(body[0]), uint(body[1]), int(body[2])
	split := 3 + patches + packedBytes(patches, above)
	last := -1
	for i, place := range body[3 : 3+patches] {
		at := int(place)
		if at <= last || at >= rows {
			return dst, codec.Corrupt("patch of value %d after %d, of %d", at, last, rows)
		}
		last = at
		v := base + packedAt(body[split:], rows, at, width) + packedAt(body[3+patches:split], patches, i, above)<<width
		if v >= low && v <= high {
			dst = append(dst, uint32(first+at))
		}
	}
	return dst, nil
}

// RowsEqual is RowsBetween(dst, v, v). A dictionary is asked for the value before its codes
// are read, runs are compared one by one, and of whole bytes the lowest ones are searched.
func (c *Ints) RowsEqual(dst []uint32, v uint64) ([]uint32, error) {
	if c.values != nil {
		return rowsBetween(dst, 0, c.values, v, v), nil
	}
	if len(c.blocks.tags) == 0 {
		return c.bytesEqual(dst, v), nil
	}
	var block [blockRows]uint64
	for b, tag := range c.blocks.tags {
		first, rows := b*blockRows, min(c.n-b*blockRows, blockRows)
		base, body := c.blocks.base(b), c.blocks.body(b)
		if least, most := zoneOf(tag, base, body, rows); most < v || least > v {
			continue
		}
		want, err := v, error(nil)
		switch tag {
		case 0:
			dst = appendRange(dst, first, first+rows)
			continue
		case tagRuns:
			if dst, err = runsEqual(dst, first, rows, v-base, body); err != nil {
				return dst, err
			}
			continue
		case tagDictionary:
			code, found := findEntry(v, base, body)
			if !found {
				continue
			}
			want = uint64(code)
			entries := int(body[0])
			unpack(block[:rows], body[2+packedBytes(entries, uint(body[1])):], codeWidth(entries), 0)
		default:
			if err := decodeBlock(block[:rows], tag, base, body); err != nil {
				return dst, err
			}
		}
		dst = rowsBetween(dst, uint32(first), block[:rows], want, want)
	}
	return dst, nil
}

// findEntry gives the code of v in the dictionary of a mini-block. Entries ascend, or the
// block is damaged: then any answer will do, but not two.
func findEntry(v, base uint64, body []byte) (code int, found bool) {
	entries, width := int(body[0]), uint(body[1])
	packed := body[2 : 2+packedBytes(entries, width)]
	for code < entries && base+packedAt(packed, entries, code, width) != v {
		code++
	}
	return code, code < entries
}

func runsEqual(dst []uint32, first, rows int, v uint64, body []byte) ([]uint32, error) {
	runs, width := int(body[0]), uint(body[1])
	packed, row := body[2+runs:], 0
	for i, length := range body[2 : 2+runs] {
		end := row + int(length) + 1
		if end > rows {
			return dst, codec.Corrupt("run of %d values, %d left", int(length)+1, rows-row)
		}
		if packedAt(packed, runs, i, width) == v {
			dst = appendRange(dst, first+row, first+end)
		}
		row = end
	}
	return dst, nil
}

// bytesEqual finds v among planes, or values that are all the same.
func (c *Ints) bytesEqual(dst []uint32, v uint64) []uint32 {
	if c.width == 0 {
		if v == c.low {
			dst = appendRange(dst, 0, c.n)
		}
		return dst
	}
	v -= c.low
	if c.width < 8 && v>>(8*c.width) != 0 {
		return dst
	}
	lowest := c.planes[:c.n]
next:
	for at := 0; ; at++ {
		k := bytes.IndexByte(lowest[at:], byte(v))
		if k < 0 {
			return dst
		}
		at += k
		for plane := 1; plane < c.width; plane++ {
			if c.planes[plane*c.n+at] != byte(v>>(8*plane)) {
				continue next
			}
		}
		dst = append(dst, uint32(at))
	}
}

func appendRange(dst []uint32, from, to int) []uint32 {
	for row := from; row < to; row++ {
		dst = append(dst, uint32(row))
	}
	return dst
}

// rowsBetween is a plain function over plain slices: the compiler keeps all in registers.
func rowsBetween(dst []uint32, first uint32, values []uint64, low, high uint64) []uint32 {
	for i, v := range values {
		if v >= low && v <= high {
			dst = append(dst, first+uint32(i))
		}
	}
	return dst
}

// blocks is a directory with the place of every body.
type blocks struct {
	head
	bodies  []byte
	offsets []uint32 // of each body, and the end
}

func (b *blocks) body(i int) []byte { return b.bodies[b.offsets[i]:b.offsets[i+1]] }

// openBlocks finds every body: what it allocates is four times what it has read, or less.
func openBlocks(r *codec.Reader, n int) (b blocks) {
	b.head = openHead(r, n)
	if r.Err() != nil {
		return b
	}
	count := len(b.tags)
	b.offsets = make([]uint32, count+1)
	rest := *r
	b.bodies = rest.Bytes(rest.Len())
	at := 0
	for i, tag := range b.tags {
		size := bodyBytes(tag, b.bodies[at:], min(n-i*blockRows, blockRows))
		if size < 0 || size > len(b.bodies)-at {
			r.Fail("mini-block %d, tag %d, at %d of %d bytes", i, tag, at, len(b.bodies))
			return b
		}
		at += size
		b.offsets[i+1] = uint32(at)
	}
	b.bodies = r.Bytes(at)
	return b
}
