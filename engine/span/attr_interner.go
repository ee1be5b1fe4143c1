package span

// AttrInterner adds attributes of spans to a batch's table so that equal ones nearly always get
// one id. It serves one goroutine; the zero AttrInterner is ready, for any batch that it alone
// adds to.
//
// It remembers, by the text of a value, who had it last, and of other values, by a hash, who had
// that last. Memory from batches before is never cleared: a place tells where an equal attribute
// may stand, and one that was not added since then does not. So which ids a batch gets depends on
// its attributes alone. The simpler way, a table that finds all, is as large as that of texts: it
// would be cleared for each batch, and be waited for at each attribute that comes once.
type AttrInterner struct {
	byText   []uint32 // by TextID
	byNumber [attrNumbers]uint32
}

// attrNumbers values that are no texts have a place: 4 KiB.
const attrNumbers = 1 << attrNumberBits

const attrNumberBits = 10

// ID gives the position of an attribute in b.Attrs, adding it when it seems new.
func (n *AttrInterner) ID(b *Batch, a Attr) uint32 {
	var at *uint32
	if a.Type.HasText() {
		if a.Value >= uint64(len(n.byText)) {
			n.byText = append(n.byText, make([]uint32, int(a.Value)+1-len(n.byText))...)
		}
		at = &n.byText[a.Value]
	} else {
		hash := (a.Value + uint64(a.Key)*0xff51afd7ed558ccd + uint64(a.Type)) * hashFactor
		at = &n.byNumber[hash>>(64-attrNumberBits)]
	}
	if id := *at; int(id) < len(b.Attrs) && b.Attrs[id] == a {
		return id
	}
	*at = uint32(len(b.Attrs))
	b.Attrs = append(b.Attrs, a)
	return *at
}

// MemoryBytes is what it holds beside itself, by capacity.
func (n *AttrInterner) MemoryBytes() int { return 4 * cap(n.byText) }
