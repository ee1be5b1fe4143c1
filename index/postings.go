package index

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
)

// Postings are the templates of a term, ascending. They stand as
//
//	head v       2 * (templates - 1) for a list, 2 * bytes + 1 for a bitmap
//	list         the first template v; of each further one: difference to the one before - 1, v
//	bitmap       a roaring bitmap in its portable form
//
// whichever takes less, a list where both take the same: so one template takes two to four
// bytes, and bitmaps stand where many templates stand in runs or close together.
//
// Postings never change, so any number of goroutines may read them; operations give new ones.
// The zero Postings are empty.
type Postings struct {
	list   []uint32 // where it stood as a list
	bitmap *roaring.Bitmap
}

// Cardinality is how many templates there are.
func (p Postings) Cardinality() int {
	if p.bitmap != nil {
		return int(p.bitmap.GetCardinality())
	}
	return len(p.list)
}

// Contains tells whether a template is there.
func (p Postings) Contains(template uint32) bool {
	if p.bitmap != nil {
		return p.bitmap.Contains(template)
	}
	_, found := slices.BinarySearch(p.list, template)
	return found
}

// Each visits the templates, ascending, until visit returns false.
func (p Postings) Each(visit func(template uint32) bool) {
	if p.bitmap != nil {
		p.bitmap.Iterate(visit)
		return
	}
	for _, template := range p.list {
		if !visit(template) {
			return
		}
	}
}

// And gives the templates of both.
func (p Postings) And(q Postings) Postings {
	return Postings{bitmap: roaring.And(p.asBitmap(), q.asBitmap())}
}

// Or gives the templates of either.
func (p Postings) Or(q Postings) Postings {
	return Postings{bitmap: roaring.Or(p.asBitmap(), q.asBitmap())}
}

// AndNot gives the templates of p that are not q's.
func (p Postings) AndNot(q Postings) Postings {
	return Postings{bitmap: roaring.AndNot(p.asBitmap(), q.asBitmap())}
}

// Bits sets the bit of each template, bit t%64 of word t/64, and leaves the others as they
// are. It lengthens dst where it is too short.
func (p Postings) Bits(dst []uint64) []uint64 {
	p.Each(func(template uint32) bool {
		if missing := int(template/64) + 1 - len(dst); missing > 0 {
			dst = append(dst, make([]uint64, missing)...)
		}
		dst[template/64] |= 1 << (template % 64)
		return true
	})
	return dst
}

func (p Postings) asBitmap() *roaring.Bitmap {
	if p.bitmap != nil {
		return p.bitmap
	}
	bitmap := roaring.New()
	bitmap.AddMany(p.list)
	return bitmap
}

// appendPostings appends ascending, distinct templates, at least one.
func appendPostings(dst []byte, templates []uint32) []byte {
	at := len(dst)
	dst = binary.AppendUvarint(dst, uint64(len(templates)-1)*2)
	last := uint32(0)
	for i, template := range templates {
		if i > 0 {
			last++ // distinct: each is at least one more
		}
		dst = binary.AppendUvarint(dst, uint64(template-last))
		last = template
	}
	if len(dst)-at <= bitmapBytesMin {
		return dst
	}
	bitmap := roaring.New()
	bitmap.AddMany(templates)
	bitmap.RunOptimize()
	size := bitmap.GetSerializedSizeInBytes()
	if head := binary.AppendUvarint(nil, size*2+1); len(head)+int(size) < len(dst)-at {
		packed, err := bitmap.ToBytes()
		invariant.Check(err == nil, "a bitmap in memory: %v", err)
		dst = append(append(dst[:at], head...), packed...)
	}
	return dst
}

// skipPostings passes over what readPostings reads.
func skipPostings(r *codec.Reader) {
	head := r.Uvarint()
	if head&1 == 1 {
		r.Bytes(int(min(head/2, bitmapBytesMax+1)))
		return
	}
	for i := uint64(0); i <= head/2 && r.Err() == nil; i++ {
		r.Uvarint()
	}
}

// readPostings takes nothing on trust: all templates are below the number there are.
func readPostings(r *codec.Reader, templates int) Postings {
	head := r.Uvarint()
	if head&1 == 1 {
		return readBitmap(r, head/2, templates)
	}
	if head/2 >= uint64(r.Len()) {
		r.Fail("%d templates in %d bytes", head/2+1, r.Len())
		return Postings{}
	}
	list := make([]uint32, head/2+1)
	next := uint64(0)
	for i := range list {
		difference := r.Uvarint()
		if next += difference; difference >= uint64(templates) || next >= uint64(templates) {
			r.Fail("template %d of %d", next, templates)
			return Postings{}
		}
		list[i] = uint32(next)
		next++
	}
	if r.Err() != nil {
		return Postings{}
	}
	return Postings{list: list}
}

// readBitmap bounds the bytes before roaring reads them: so it takes no more than a
// container's memory, and checks no more runs than fit in these bytes. Validate then finds
// what would break an operation. It copies: the bitmap does not keep the file's bytes.
func readBitmap(r *codec.Reader, size uint64, templates int) Postings {
	if size > bitmapBytesMax {
		r.Fail("a bitmap of %d bytes", size)
		return Postings{}
	}
	data := r.Bytes(int(size))
	if r.Err() != nil {
		return Postings{}
	}
	if !oneContainer(data) {
		r.Fail("a bitmap beyond %d templates", TemplatesMax)
		return Postings{}
	}
	bitmap := roaring.New()
	read, err := bitmap.ReadFrom(bytes.NewReader(data))
	if err == nil {
		err = bitmap.Validate()
	}
	switch {
	case err != nil:
		r.Fail("bitmap: %v", err)
	case read != int64(size):
		r.Fail("bitmap of %d bytes in %d", read, size)
	case bitmap.IsEmpty() || uint64(bitmap.Maximum()) >= uint64(templates):
		r.Fail("bitmap of templates from %d on", templates)
	default:
		return Postings{bitmap: bitmap}
	}
	return Postings{}
}

// oneContainer tells whether a bitmap's header says that it has one container: the cookie
// 12347 has the number less one in its upper half, after the cookie 12346 it follows.
func oneContainer(data []byte) bool {
	if len(data) < 8 {
		return false
	}
	cookie, next := binary.LittleEndian.Uint32(data), binary.LittleEndian.Uint32(data[4:])
	return cookie == 12347 || cookie == 12346 && next == 1
}
