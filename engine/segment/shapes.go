package segment

import (
	"encoding/binary"
	"slices"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/internal/codec"
)

// shapeWriter collects the shapes of one level in one row group: the ordered list of
// columns of each list of attributes. It restores order and duplicates, and says which
// values are absent, without a bitmap a column.
type shapeWriter struct {
	next   []uint32 // the list that is being collected
	lists  []uint32 // all distinct lists, one after another
	ends   []uint32
	codes  []uint64 // of each list
	byHash map[uint64]uint32
	filled bool
}

// end ends one list.
func (s *shapeWriter) end() {
	s.filled = s.filled || len(s.next) > 0
	hash := uint64(len(s.next))
	for _, id := range s.next {
		hash = (hash ^ uint64(id)) * 0x9e3779b97f4a7c15
		hash ^= hash >> 29
	}
	if s.byHash == nil {
		s.byHash = map[uint64]uint32{}
	}
	for ; ; hash++ {
		code, ok := s.byHash[hash]
		if !ok {
			code = uint32(len(s.ends))
			s.byHash[hash] = code
			s.lists = append(s.lists, s.next...)
			s.ends = append(s.ends, uint32(len(s.lists)))
		} else if !slices.Equal(s.list(code), s.next) {
			continue
		}
		s.codes = append(s.codes, uint64(code))
		s.next = s.next[:0]
		return
	}
}

func (s *shapeWriter) list(code uint32) []uint32 {
	begin := uint32(0)
	if code > 0 {
		begin = s.ends[code-1]
	}
	return s.lists[begin:s.ends[code]]
}

// appendTo appends the head of the payload and gives the codes, nothing where no list has
// an attribute:
//
//	shapes v; per shape: columns v + each v; a code per list, as integers
func (s *shapeWriter) appendTo(dst []byte) (_ []byte, codes []uint64) {
	if !s.filled {
		return dst, nil
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.ends)))
	for code := range s.ends {
		list := s.list(uint32(code))
		dst = binary.AppendUvarint(dst, uint64(len(list)))
		for _, id := range list {
			dst = binary.AppendUvarint(dst, uint64(id))
		}
	}
	return dst, s.codes
}

func (s *shapeWriter) reset() {
	s.lists, s.ends, s.codes, s.filled = s.lists[:0], s.ends[:0], s.codes[:0], false
	clear(s.byHash)
}

// shapes are the decoded shapes of one level of a row group.
type shapes struct {
	lists [][]uint32
	codes []uint64
}

// decodeShapes reads the shapes of n lists; columns is the first id that is none.
func decodeShapes(payload []byte, n int, columns uint32) (shapes, error) {
	r := codec.NewReader(payload)
	s := shapes{lists: make([][]uint32, r.Count(1))}
	for i := range s.lists {
		list := make([]uint32, r.Count(1))
		for k := range list {
			id := r.Uvarint()
			if id >= uint64(columns) {
				r.Fail("column %d of %d in a shape", id, columns)
			}
			list[k] = uint32(id)
		}
		s.lists[i] = list
	}
	s.codes = column.DecodeInts(nil, r, n)
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the shapes", r.Len())
	}
	for _, code := range s.codes {
		if code >= uint64(len(s.lists)) {
			r.Fail("shape %d of %d", code, len(s.lists))
			break
		}
	}
	return s, r.Err()
}

// uses counts the values of each column, by id; false where they are more than a row
// group can hold.
func (s *shapes) uses(columns uint32) ([]int, bool) {
	perShape := make([]int, len(s.lists))
	for _, code := range s.codes {
		perShape[code]++
	}
	counts, total := make([]int, columns), 0
	for i, list := range s.lists {
		for _, id := range list {
			counts[id] += perShape[i]
		}
		if total += perShape[i] * len(list); total > groupValuesMax {
			return nil, false
		}
	}
	return counts, true
}
