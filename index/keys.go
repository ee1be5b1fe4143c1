package index

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
)

// KeyCount counts the values of one attribute key at one level and of one type.
type KeyCount struct {
	Level     span.Level
	Key       string
	Type      span.ValueType
	Values    uint64 // how many there are
	TextBytes uint64 // of them together, 0 where they are numbers
	Distinct  uint64 // how many differ, as KeyCounter tells
}

func compareKeyCounts(a, b KeyCount) int {
	return cmp.Or(cmp.Compare(a.Level, b.Level), strings.Compare(a.Key, b.Key), cmp.Compare(a.Type, b.Type))
}

// AppendKeyCounts sorts counts by (level, key, type), each of which may be there once, and
// appends them:
//
//	keys v
//	per key: level u8, type u8, key length v, key, values v, text bytes v, distinct v
//
// As with the catalog, too many keys are none: incompleteMark v stands alone, and the pages
// have to tell.
func AppendKeyCounts(dst []byte, counts []KeyCount) []byte {
	slices.SortFunc(counts, compareKeyCounts)
	textBytes := 0
	for i, c := range counts {
		invariant.Check(i == 0 || compareKeyCounts(counts[i-1], c) < 0, "key %q twice", c.Key)
		textBytes += len(c.Key)
	}
	if len(counts) > keysMax || textBytes > textBytesMax {
		return AppendNoKeyCounts(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(counts)))
	for _, c := range counts {
		dst = append(dst, byte(c.Level), byte(c.Type))
		dst = codec.AppendLengthBytes(dst, []byte(c.Key))
		dst = binary.AppendUvarint(dst, c.Values)
		dst = binary.AppendUvarint(dst, c.TextBytes)
		dst = binary.AppendUvarint(dst, c.Distinct)
	}
	return dst
}

// AppendNoKeyCounts appends that nothing is known, as where there are too many keys.
func AppendNoKeyCounts(dst []byte) []byte { return binary.AppendUvarint(dst, incompleteMark) }

// DecodeKeyCounts reads what AppendKeyCounts wrote; anything else is codec.ErrCorrupt. The
// list is incomplete, and empty, where there were too many keys, or nothing is known.
func DecodeKeyCounts(data []byte) (counts []KeyCount, complete bool, err error) {
	r := codec.NewReader(data)
	keys := r.Uvarint()
	complete = keys != incompleteMark
	if !complete {
		keys = 0
	}
	if keys > keysMax || keys > uint64(r.Len()/6) {
		r.Fail("%d keys in %d bytes", keys, r.Len())
		keys = 0
	}
	counts = make([]KeyCount, keys)
	for i := range counts {
		c := &counts[i]
		c.Level, c.Type = span.Level(r.Uint8()), span.ValueType(r.Uint8())
		c.Key = string(r.LengthBytes())
		c.Values, c.TextBytes, c.Distinct = r.Uvarint(), r.Uvarint(), r.Uvarint()
		if c.Level >= span.Levels || c.Type >= span.ValueTypes {
			r.Fail("key %q at level %d of type %d", c.Key, c.Level, c.Type)
		}
		if r.Err() == nil && i > 0 && compareKeyCounts(counts[i-1], *c) >= 0 {
			r.Fail("key %q out of order", c.Key)
		}
		if r.Err() != nil {
			break
		}
	}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the keys", r.Len())
	}
	if r.Err() != nil {
		return nil, false, r.Err()
	}
	return counts, complete, nil
}
