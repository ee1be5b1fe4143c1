package column

import (
	"slices"

	"github.com/stoadb/stoa/internal/codec"
)

// What a search asks of a few values of a column, whose positions it knows: of those alone.

// AppendEqual appends to dst those of the ascending positions at whose value is v.
func (c *Ints) AppendEqual(dst, at []uint32, v uint64) ([]uint32, error) {
	begin := len(dst)
	for _, i := range at {
		value, err := c.At(int(i))
		if err != nil {
			return dst[:begin], err
		}
		if value == v {
			dst = append(dst, i)
		}
	}
	return dst, nil
}

// AppendEqual appends to dst those of the ascending positions at whose value is equal to one. Values
// that stand in no dictionary are looked at as RowsEqual does, all of them.
func (c *TextColumn) AppendEqual(dst, at []uint32, value []byte) ([]uint32, error) {
	begin := len(dst)
	if c.codes.n == 0 {
		equal, err := c.RowsEqual(nil, value)
		if err != nil {
			return dst, err
		}
		for _, i := range equal {
			for len(at) > 0 && at[0] < i {
				at = at[1:]
			}
			if len(at) > 0 && at[0] == i {
				dst = append(dst, i)
			}
		}
		return dst, nil
	}
	var room [1]uint32 // a right page has no entry twice
	entries, err := c.entriesEqual(room[:0], value)
	if err != nil || len(entries) == 0 {
		return dst, err
	}
	for _, i := range at {
		code, err := c.codes.At(int(i))
		if err != nil {
			return dst[:begin], err
		}
		if code >= uint64(c.entries) {
			return dst[:begin], codec.Corrupt("text code %d of %d", code, c.entries)
		}
		if slices.Contains(entries, uint32(code)) {
			dst = append(dst, i)
		}
	}
	return dst, nil
}

// patchedAt gives value i of the rows of a patched mini-block, and unpacks no other.
func patchedAt(rows, i int, base uint64, body []byte) (uint64, error) {
	width, above, patches := uint(body[0]), uint(body[1]), int(body[2])
	split := 3 + patches + packedBytes(patches, above)
	v, last := packedAt(body[split:], rows, i, width), -1
	for k, place := range body[3 : 3+patches] {
		at := int(place)
		if at <= last || at >= rows {
			return 0, codec.Corrupt("patch of value %d after %d, of %d", at, last, rows)
		}
		if last = at; at == i {
			v += packedAt(body[3+patches:split], patches, k, above) << width
		}
	}
	return base + v, nil
}
