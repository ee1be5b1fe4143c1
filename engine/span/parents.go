package span

// What ResolveParents answers where a row has no parent row.
const (
	NoParent int32 = -1 // a root: the span names no parent
	Orphan   int32 = -2 // the span names a parent that is not in the trace
)

// ResolveParents finds the parent of each row of one whole trace, whose rows are
// distinct and in the order of Compare. The answer for row i goes to dst[i]: a row
// position, NoParent or Orphan. dst is grown as needed and returned.
//
// Zipkin's shared ids give one span id to a CLIENT and a SERVER half: the SERVER half's
// parent is the first CLIENT half of its id, and a child of that id belongs to the first
// SERVER half. Else the parent is the first row with the parent id. No row is its own
// parent.
func ResolveParents(dst []int32, spanIDs, parentIDs []SpanID, kinds []int32) []int32 {
	type halves struct{ first, server, client int32 }
	byID := make(map[SpanID]halves, len(spanIDs))
	for i, id := range spanIDs {
		h, seen := byID[id]
		if !seen {
			h = halves{int32(i), -1, -1}
		}
		if kinds[i] == KindServer && h.server < 0 {
			h.server = int32(i)
		}
		if kinds[i] == KindClient && h.client < 0 {
			h.client = int32(i)
		}
		byID[id] = h
	}
	dst = dst[:0]
	for i, id := range spanIDs {
		if kinds[i] == KindServer {
			if client := byID[id].client; client >= 0 {
				dst = append(dst, client)
				continue
			}
		}
		if parentIDs[i].IsZero() {
			dst = append(dst, NoParent)
			continue
		}
		parent := Orphan
		if h, ok := byID[parentIDs[i]]; ok {
			parent = h.first
			if h.server >= 0 {
				parent = h.server
			}
			if parent == int32(i) {
				parent = Orphan
			}
		}
		dst = append(dst, parent)
	}
	return dst
}
