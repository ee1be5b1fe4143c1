package span

import (
	"encoding/binary"
	"slices"

	"github.com/stoadb/stoa/internal/codec"
)

// The attributes of a span, an event or a link have a shape: level, and keys with types, in
// order. The form of a batch holds each shape once and a code for every list, 0 for an empty
// one. The values stand in columns, one for each (level, key, type):
//
//	shapes    v
//	each      3 * attributes + 0, 1, 2 for a span's, an event's, a link's, v, and for
//	          each attribute its column, v; one more than there are says that it is new:
//	          key v, type u8
//
// Shapes and columns are numbered as they first come. The search for a shape that is there
// already looks at few places of a table, so that no keys make it long; a shape that had no
// place there is written again. Reading does the same, and takes no other spelling.

// shape is one of a batch.
type shape struct {
	hash       uint64
	begin, end uint32 // in shapes.columns
	level      Level
	lists      uint32 // how many have it
	findable   bool   // it has a place in the table
	fresh      bool   // no list with one of its columns was filled yet: see formWriter.fillValues
}

// valueColumn is the values of one (level, key, type). It takes 32 bytes: every attribute
// looks at one.
type valueColumn struct {
	key    TextID
	level  Level
	kind   ValueType
	text   uint8 // 1 where kind has text
	texts  textColumn
	at     uint32 // where its next value stands
	first  uint32 // and its first one
	values uint32
	next   uint32 // another column of the key, its number plus 1
}

// shapes of a batch, and the columns that their attributes stand in.
type shapes struct {
	list    []shape // 0 is the empty one
	columns []uint32
	keys    []uint64 // beside columns: key and type of each
	table   []uint32 // a power of two of shapes by hash, 0 for none
	values  []valueColumn
	byKey   []uint32 // by TextID: the first of values with that key, its number plus 1
}

func (s *shapes) memoryBytes() int {
	return 32*cap(s.list) + 8*cap(s.keys) + 4*(cap(s.columns)+cap(s.table)+cap(s.byKey)) + 32*cap(s.values)
}

// probesMax is how many places of a table are looked at: nobody can make a search long.
const probesMax = 16

// tableSize is the size of a table for n things.
func tableSize(n int) int {
	size := 16
	for size < 2*n {
		size *= 2
	}
	return size
}

func (s *shapes) reset(lists, texts int) {
	s.list = append(s.list[:0], shape{findable: true})
	s.columns, s.keys, s.values = s.columns[:0], s.keys[:0], s.values[:0]
	s.table = cleared(s.table, tableSize(lists))
	s.byKey = cleared(s.byKey, texts+1)
}

const hashFactor = 0x9E3779B97F4A7C15 // 2^64 over the golden ratio

// keyOf is the key and type of an attribute.
func keyOf(a *Attr) uint64 { return uint64(a.Key)<<8 | uint64(a.Type) }

// hashKeys gives the hash of the shape with these keys. Each attribute is mixed with its place,
// and none waits for the one before.
func hashKeys(keys []uint64, level Level) uint64 {
	hash := uint64(level)
	for i, key := range keys {
		v := (key ^ uint64(i)<<44) * hashFactor
		hash += v ^ v>>32
	}
	return (hash ^ hash>>32) * hashFactor
}

// same reports whether shape i is that of the keys.
func (s *shapes) same(i uint32, level Level, keys []uint64) bool {
	sh := &s.list[i]
	return sh.level == level && slices.Equal(s.keys[sh.begin:sh.end], keys)
}

// code gives the shape of a list.
func (s *shapes) code(level Level, attrs []Attr) uint32 {
	if len(attrs) == 0 {
		return 0
	}
	keys := s.nextKeys(len(attrs))
	for i := range attrs {
		keys[i] = keyOf(&attrs[i])
	}
	return s.codeOf(level, keys)
}

// codeByIDs is code for a span's list.
func (s *shapes) codeByIDs(table []Attr, ids []uint32) uint32 {
	if len(ids) == 0 {
		return 0
	}
	keys := s.nextKeys(len(ids))
	for i, id := range ids {
		keys[i] = keyOf(&table[id])
	}
	return s.codeOf(SpanLevel, keys)
}

// nextKeys gives the place where n keys stand if they are those of a new shape.
func (s *shapes) nextKeys(n int) []uint64 {
	s.keys = slices.Grow(s.keys, n)
	return s.keys[len(s.keys) : len(s.keys)+n]
}

// codeOf gives the shape of keys that stand where nextKeys said.
func (s *shapes) codeOf(level Level, keys []uint64) uint32 {
	begin := len(s.keys)
	end := begin + len(keys)
	hash := hashKeys(keys, level)
	mask := uint32(len(s.table) - 1)
	at := uint32(hash>>32) & mask
	findable := false
	for range probesMax {
		i := s.table[at]
		if i == 0 {
			s.table[at] = uint32(len(s.list))
			findable = true
			break
		}
		if s.list[i].hash == hash && s.same(i, level, keys) {
			s.list[i].lists++
			return i
		}
		at = (at + 1) & mask
	}
	s.keys = s.keys[:end]
	s.columns = slices.Grow(s.columns, len(keys))[:end]
	known := len(s.values)
	s.fillColumns(s.columns[begin:], level, keys)
	s.list = append(s.list, shape{
		hash: hash, begin: uint32(begin), end: uint32(end), level: level, lists: 1, findable: findable, fresh: known < len(s.values),
	})
	return uint32(len(s.list) - 1)
}

// fillColumns gives the columns of a list's keys. Nearly all are the newest of their keys.
func (s *shapes) fillColumns(columns []uint32, level Level, keys []uint64) {
	keys = keys[:len(columns)]
	byKey, values := s.byKey, s.values
	for i := range columns {
		key, kind := TextID(keys[i]>>8), ValueType(keys[i])
		if c := byKey[key] - 1; int(c) < len(values) && values[c].kind == kind && values[c].level == level {
			columns[i] = c
			continue
		}
		columns[i] = s.column(level, key, kind)
		values = s.values
	}
}

// column gives the column of a (level, key, type), a new one where there is none.
func (s *shapes) column(level Level, key TextID, kind ValueType) uint32 {
	for c := s.byKey[key]; c != 0; c = s.values[c-1].next {
		if v := &s.values[c-1]; v.level == level && v.kind == kind {
			return c - 1
		}
	}
	s.values = append(s.values, valueColumn{key: key, level: level, kind: kind, next: s.byKey[key]})
	if kind.HasText() {
		s.values[len(s.values)-1].text = 1
	}
	s.byKey[key] = uint32(len(s.values))
	return uint32(len(s.values) - 1)
}

// place gives every column its room in one row of values, and says how many those are.
func (s *shapes) place() int {
	for i := range s.list {
		sh := &s.list[i]
		for _, c := range s.columns[sh.begin:sh.end] {
			s.values[c].values += sh.lists
		}
	}
	total := uint32(0)
	for i := range s.values {
		v := &s.values[i]
		v.at, v.first = total, total
		v.texts = textColumn{number: uint32(i) + formTextColumns}
		total += v.values
	}
	return int(total)
}

var levelCodes = [Levels]uint64{SpanLevel: 0, EventLevel: 1, LinkLevel: 2}

// append appends the shapes to dst.
func (s *shapes) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.list)-1))
	columns := uint32(0)
	for i := range s.list[1:] {
		sh := &s.list[i+1]
		dst = binary.AppendUvarint(dst, 3*uint64(sh.end-sh.begin)+levelCodes[sh.level])
		for _, c := range s.columns[sh.begin:sh.end] {
			dst = appendLength(dst, int(c))
			if c == columns {
				columns++
				v := &s.values[c]
				dst = append(binary.AppendUvarint(dst, uint64(v.key)), byte(v.kind))
			}
		}
	}
	return dst
}

// read reads what append wrote, of a batch of so many texts and lists.
func (s *shapes) read(r *codec.Reader, lists, texts int) {
	count := readCount(r, min(lists, r.Len()))
	s.reset(lists, texts)
	var attrs []Attr
	for range count {
		head := readUvarint(r)
		if head/3 > uint64(r.Len()) || head < 3 {
			r.Fail("a shape of %d attributes", head/3)
			return
		}
		level := [3]Level{SpanLevel, EventLevel, LinkLevel}[head%3]
		attrs = attrs[:0]
		for range head / 3 {
			a, ok := s.readColumn(r, level, texts)
			if !ok {
				return
			}
			attrs = append(attrs, a)
		}
		before := len(s.list)
		if s.code(level, attrs); len(s.list) == before {
			r.Fail("a shape twice")
			return
		}
		s.list[before].lists = 0 // nobody has it yet
	}
}

// readColumn reads the column of an attribute, as an attribute without a value.
func (s *shapes) readColumn(r *codec.Reader, level Level, texts int) (Attr, bool) {
	c := readUvarint(r)
	if c < uint64(len(s.values)) {
		v := &s.values[c]
		if v.level != level {
			r.Fail("a column of another level")
		}
		return Attr{Key: v.key, Type: v.kind}, r.Err() == nil
	}
	key, kind := readUvarint(r), ValueType(r.Uint8())
	if c != uint64(len(s.values)) || key > uint64(texts) || kind >= ValueTypes {
		r.Fail("column %d of key %d and type %d", c, key, kind)
		return Attr{}, false
	}
	if got := s.column(level, TextID(key), kind); uint64(got) != c {
		r.Fail("a column twice")
	}
	return Attr{Key: TextID(key), Type: kind}, r.Err() == nil
}

// use counts a list of a shape that was read, and gives the number of its attributes. The
// newest is the shape that came last for the first time.
func (s *shapes) use(r *codec.Reader, level Level, code uint64, newest *uint64) uint64 {
	if code == 0 {
		return 0
	}
	if code > *newest+1 || code >= uint64(len(s.list)) {
		r.Fail("shape %d behind shape %d of %d", code, *newest, len(s.list))
		return 0
	}
	sh := &s.list[code]
	if sh.level != level || code <= *newest && !sh.findable {
		r.Fail("shape %d is of another level, or cannot be found", code)
		return 0
	}
	*newest = max(*newest, code)
	sh.lists++
	return uint64(sh.end - sh.begin)
}
