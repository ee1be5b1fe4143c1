package span

// AttrInterner adds attributes of spans to a batch's table so that equal ones nearly always get
// one id. It serves one goroutine; the zero AttrInterner is ready, for any batch that it alone
// adds to.
//
// It remembers, by the text of a value, which two had it last, and of other values, by a hash, which
// two had that last. Memory from batches before is never cleared: a place tells where an equal
// attribute may stand, and one that was not added since then does not. So which ids a batch gets
// depends on its attributes alone. The simpler way, a table that finds all, is as large as that of
// texts: it would be cleared for each batch, and be waited for at each attribute that comes once.
type AttrInterner struct {
	byText   []attrPlace // by TextID
	byNumber [attrNumbers]attrPlace
}

// attrPlace is the two attributes added last of those that share it.
type attrPlace struct{ last, before uint32 }

// attrNumbers places are there for values that are no texts: 8 KiB.
const attrNumbers = 1 << attrNumberBits

const attrNumberBits = 10

// ID gives the position of an attribute in b.Attrs, adding it when it seems new.
func (n *AttrInterner) ID(b *Batch, a Attr) uint32 {
	at := n.placeOf(a)
	if id := at.last; int(id) < len(b.Attrs) && b.Attrs[id] == a {
		return id
	}
	if id := at.before; int(id) < len(b.Attrs) && b.Attrs[id] == a {
		return id
	}
	return at.add(b, a)
}

// Add is ID for an attribute that is known to be new.
func (n *AttrInterner) Add(b *Batch, a Attr) uint32 { return n.placeOf(a).add(b, a) }

func (at *attrPlace) add(b *Batch, a Attr) uint32 {
	id := uint32(len(b.Attrs))
	at.last, at.before = id, at.last
	b.Attrs = append(b.Attrs, a)
	return id
}

func (n *AttrInterner) placeOf(a Attr) *attrPlace {
	if !a.Type.HasText() {
		hash := (a.Value + uint64(a.Key)*0xff51afd7ed558ccd + uint64(a.Type)) * hashFactor
		return &n.byNumber[hash>>(64-attrNumberBits)]
	}
	if a.Value >= uint64(len(n.byText)) {
		n.byText = append(n.byText, make([]attrPlace, int(a.Value)+1-len(n.byText))...)
	}
	return &n.byText[a.Value]
}

// MemoryBytes is what it holds beside itself, by capacity.
func (n *AttrInterner) MemoryBytes() int { return 8 * cap(n.byText) }
