package column

import "github.com/stoadb/stoa/internal/codec"

// Ints reads integers of one column where they stand: one value or a range decodes only
// the mini-blocks it touches. It keeps to the payload, which must not change, and serves
// any number of goroutines.
type Ints struct {
	n      int
	values []uint64 // decoded, where the payload stands in another form
	blocks blocks
}

// OpenInts opens n integers at r, and leaves r behind them. n comes from elsewhere in the
// file: the caller bounds it. Trouble stands in r.Err.
func OpenInts(r *codec.Reader, n int) (out Ints) {
	if n == 0 {
		return out
	}
	rest := *r
	if rest.Uint8() != intsBlocks || rest.Err() != nil {
		out = Ints{n: n, values: DecodeInts(nil, r, n)}
	} else {
		r.Uint8()
		out = Ints{n: n, blocks: openBlocks(r, n)}
	}
	if r.Err() != nil {
		return Ints{}
	}
	return out
}

// Len is the number of values.
func (c *Ints) Len() int { return c.n }

// At gives value i.
func (c *Ints) At(i int) (uint64, error) {
	if c.values != nil {
		return c.values[i], nil
	}
	var one [blockRows]uint64
	b := i / blockRows
	tag, base, body := c.blocks.tags[b], c.blocks.base(b), c.blocks.body(b)
	rows := min(c.n-b*blockRows, blockRows)
	if tag <= tagUp {
		return base + packedAt(body, rows, i%blockRows, uint(tag)), nil
	}
	if err := decodeBlock(one[:rows], tag, base, body); err != nil {
		return 0, err
	}
	return one[i%blockRows], nil
}

// Decode appends values [from, to) to dst, without touching the blocks of others.
func (c *Ints) Decode(dst []uint64, from, to int) ([]uint64, error) {
	if c.values != nil || from >= to {
		return append(dst, c.values[min(from, len(c.values)):min(to, len(c.values))]...), nil
	}
	var block [blockRows]uint64
	for b := from / blockRows; b*blockRows < to; b++ {
		first, rows := b*blockRows, min(c.n-b*blockRows, blockRows)
		if err := decodeBlock(block[:rows], c.blocks.tags[b], c.blocks.base(b), c.blocks.body(b)); err != nil {
			return dst, err
		}
		dst = append(dst, block[max(from-first, 0):min(to-first, rows)]...)
	}
	return dst, nil
}

// RowsBetween appends the positions of the values v with low <= v <= high to dst, in order.
// Blocks that cannot have one are not read, nor are blocks that have nothing else.
func (c *Ints) RowsBetween(dst []uint32, low, high uint64) ([]uint32, error) {
	if c.values != nil {
		return rowsBetween(dst, 0, c.values, low, high), nil
	}
	var block [blockRows]uint64
	for b, tag := range c.blocks.tags {
		first, rows := b*blockRows, min(c.n-b*blockRows, blockRows)
		base, body := c.blocks.base(b), c.blocks.body(b)
		least, most := zoneOf(tag, base, body, rows)
		switch {
		case most < low || least > high:
		case least >= low && most <= high && tag < tagDictionary:
			for row := first; row < first+rows; row++ {
				dst = append(dst, uint32(row))
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
