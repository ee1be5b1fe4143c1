package span

import "unsafe" // for the size of values alone

// Most columns of most batches are all 0: nobody sets flags, or drops anything. Those of batches
// that stay in memory are one array for all of them.

// zeroRowsMax is the most rows whose columns of zeros are shared: 64 Ki rows are more than a
// part has, unless its spans are next to nothing. The arrays take 832 KiB of addresses, and memory
// only as far as it is looked at.
const zeroRowsMax = 64 << 10

var (
	zeroTexts   [zeroRowsMax]TextID
	zeroEnums   [zeroRowsMax]int32
	zeroNumbers [zeroRowsMax]uint32
	zeroFlags   [zeroRowsMax]bool
)

// isShared reports whether a column is the one that batches share.
func isShared[T any](zeros, column []T) bool {
	return len(column) > 0 && len(zeros) > 0 && &column[0] == &zeros[0]
}

// ownBytes is what columns take that are not shared.
func ownBytes[T any](zeros []T, columns ...[]T) (bytes int) {
	for _, c := range columns {
		if !isShared(zeros, c) {
			var value T
			bytes += cap(c) * int(unsafe.Sizeof(value))
		}
	}
	return bytes
}

// Compact gives the batch in memory of exactly its size, none of which it shares with b. Columns
// of one type stand in one allocation, those of zeros are shared with other batches.
func (b *Batch) Compact() *Batch {
	out := *b
	out.Origin = nil
	out.Text, out.TextEnd = exact(b.Text), exact(b.TextEnd)
	out.Resources, out.Scopes = exact(b.Resources), exact(b.Scopes)
	out.TraceIDs = exact(b.TraceIDs)
	compact(nil, &out.SpanIDs, &out.ParentIDs)
	compact(nil, &out.Starts, &out.Ends)
	compact(zeroTexts[:], &out.Names, &out.StatusMessages, &out.TraceStates, &out.Residues)
	compact(zeroEnums[:], &out.Kinds, &out.StatusCodes)
	compact(zeroFlags[:], &out.StatusPresent)
	compact(zeroNumbers[:], &out.Flags, &out.DroppedAttrs, &out.DroppedEvents, &out.DroppedLinks,
		&out.ResourceIDs, &out.ScopeIDs, &out.AttrEnds, &out.EventEnds, &out.LinkEnds)
	out.Attrs, out.AttrIDs = exact(b.Attrs), exact(b.AttrIDs)
	out.Events, out.Links = exact(b.Events), exact(b.Links)
	compact(nil, &out.EventAttrs, &out.LinkAttrs, &out.ResourceAttrs, &out.ScopeAttrs)
	return &out
}

// compact copies columns to one allocation, each without room to grow; those of zeros become
// parts of zeros, as far as that has so many.
func compact[T comparable](zeros []T, columns ...*[]T) {
	total := 0
	for _, c := range columns {
		if n := len(*c); n <= len(zeros) && allZero(*c) {
			*c = zeros[:n:n]
		} else {
			total += n
		}
	}
	all := slab[T]{make([]T, total)}
	for _, c := range columns {
		if from := *c; !isShared(zeros, from) {
			*c = all.take(len(from))
			copy(*c, from)
		}
	}
}

// exact copies s to memory of its size.
func exact[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	out := make([]T, len(s)) // make and copy: this pair is compiled without clearing first
	copy(out, s)
	return out
}

// slab hands out parts of one allocation, each without room to grow.
type slab[T any] struct{ free []T }

func (s *slab[T]) take(n int) []T {
	part := s.free[:n:n]
	s.free = s.free[n:]
	return part
}

// rowColumn is a column of rows to be made, by its number in the form.
type rowColumn[T any] struct {
	number int
	to     *[]T
}

// makeColumns makes those columns that are there in one allocation; the others become parts of
// zeros, as far as that has so many.
func makeColumns[T any](zeros []T, rows int, there uint64, columns ...rowColumn[T]) {
	isZero := func(c rowColumn[T]) bool { return there>>c.number&1 == 0 && rows <= len(zeros) }
	total := 0
	for _, c := range columns {
		if !isZero(c) {
			total += rows
		}
	}
	all := slab[T]{made[T](total)}
	for _, c := range columns {
		if isZero(c) {
			*c.to = zeros[:rows:rows]
		} else {
			*c.to = all.take(rows)
		}
	}
}
