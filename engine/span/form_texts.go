package span

// Texts of a batch are numbered as they first come, and a batch is gone through in that
// order: row by row its attributes, those of its events and links, then what a row has of
// its own. So most texts are either the next one, which nothing has named before, or one
// that the same column has had. A column of texts is written as codes:
//
//	0      the empty text
//	1      the next text: the least that is above all texts named so far
//	2 + i  the i-th text that was new to this column (from 0)
//	2 + n  where n were new to the column: another text, new to it. Its id stands among the
//	       strays, as next text less id, zigzag
//
// A column whose values never repeat is codes of 1 alone, and takes two bytes; one of few
// values takes few bits a value, wherever in the table they stand.
//
// The keys of a list are known before its values (they are its shape's), and so are the
// resource and scope of a row: they move the next text on.

// textPlace says which column has a text, and as which of its texts: a column is its number
// plus 1 in the upper half, 0 is none.
type textPlace uint64

func placeOf(column, index uint32) textPlace { return textPlace(column)<<32 | textPlace(index) }

func (p textPlace) column() uint32 { return uint32(p >> 32) }

func (p textPlace) index() uint32 { return uint32(p) }

// code is that of a text which stands there.
func (p textPlace) code() uint64 { return uint64(p.index()) + 2 }

// textOrder is what both sides know of the texts named so far.
type textOrder struct {
	next              uint32
	last, before      []textPlace // by TextID: the two that had it last; the latter is seldom looked at
	resources, scopes uint32      // passed
	strays            []uint64
}

func (o *textOrder) reset(texts int) {
	o.next, o.resources, o.scopes = 1, 0, 0
	o.last, o.before = cleared(o.last, texts+1), cleared(o.before, texts+1)
}

// passEnvelopes moves the next text behind those of the resources and scopes up to a row's.
func (o *textOrder) passEnvelopes(b *Batch, resource, scope uint32) {
	for ; o.resources <= resource; o.resources++ {
		e := &b.Resources[o.resources]
		o.pass(max(e.Message, e.SchemaURL, e.Service))
		o.passAttrs(b.ResourceAttrsOf(o.resources))
	}
	for ; o.scopes <= scope; o.scopes++ {
		e := &b.Scopes[o.scopes]
		o.pass(max(e.Message, e.SchemaURL, e.Name, e.Version))
		o.passAttrs(b.ScopeAttrsOf(o.scopes))
	}
}

func (o *textOrder) passAttrs(attrs []Attr) {
	for _, a := range attrs {
		o.pass(a.Key)
		if a.Type.HasText() {
			o.pass(TextID(a.Value))
		}
	}
}

// pass moves the next text behind id.
func (o *textOrder) pass(id TextID) { o.next = max(o.next, uint32(id)+1) }

// index gives the place of a text among those of a column.
func (o *textOrder) index(column uint32, id TextID) (index uint32, ok bool) {
	if p := o.last[id]; p.column() == column {
		return p.index(), true
	}
	p := o.before[id]
	return p.index(), p.column() == column
}

// note says that the text is now the index-th of a column.
func (o *textOrder) note(column, index uint32, id TextID) {
	o.last[id], o.before[id] = placeOf(column, index), o.last[id]
}

// textColumn is a column of texts on the way: its number plus 1 and how many texts were new
// to it.
type textColumn struct{ number, texts uint32 }

// code gives the code of a text; what it leaves open goes to the strays.
func (o *textOrder) code(c *textColumn, id TextID) uint64 {
	if code := o.known(c, id); code != 0 {
		return code
	}
	return o.otherCode(c, id)
}

// known gives the code of a text that this column had last, as most are; else 0.
func (o *textOrder) known(c *textColumn, id TextID) uint64 {
	if p := o.last[id]; p.column() == c.number {
		return p.code()
	}
	return 0
}

// otherCode is code for a text that another column had last, or none.
func (o *textOrder) otherCode(c *textColumn, id TextID) uint64 {
	if id == 0 {
		return 0
	}
	if uint32(id) == o.next {
		o.next++
		o.note(c.number, c.texts, id)
		c.texts++
		return 1
	}
	if index, ok := o.index(c.number, id); ok {
		return uint64(index) + 2
	}
	o.strays = append(o.strays, zigzag(uint64(o.next)-uint64(id)))
	o.note(c.number, c.texts, id)
	c.texts++
	o.pass(id)
	return uint64(c.texts) + 1
}

// textReader gives the texts of codes. It fails once and for all on what code does not give.
type textReader struct {
	textOrder
	used  int      // of the strays
	texts uint32   // of the table
	known []TextID // by column, from its first on: its texts
	bad   bool
}

// start begins with a batch of so many texts and codes. The strays are there already.
func (t *textReader) start(texts, codes int) {
	t.reset(texts)
	t.used, t.texts, t.bad = 0, uint32(texts), false
	t.known = sized(t.known, codes)
}

// text reads a code of a column whose texts stand from first on in known, which has room for
// as many as the column has values.
func (t *textReader) text(c *textColumn, first uint32, code uint64) TextID {
	if code == 0 {
		return 0
	}
	if code >= 2 && code < uint64(c.texts)+2 {
		id := t.known[first+uint32(code)-2]
		if index, ok := t.index(c.number, id); !ok || uint64(index)+2 != code {
			t.bad = true // code names it otherwise
		}
		return id
	}
	id := TextID(t.next)
	switch {
	case code == 1:
		if t.next > t.texts {
			t.bad = true
			return 0
		}
	case code != uint64(c.texts)+2 || t.used == len(t.strays):
		t.bad = true
		return 0
	default:
		stray := uint64(t.next) - unzigzag(t.strays[t.used])
		t.used++
		if stray == 0 || stray > uint64(t.texts) || stray == uint64(t.next) {
			t.bad = true
			return 0
		}
		id = TextID(stray)
		if _, ok := t.index(c.number, id); ok {
			t.bad = true
		}
	}
	t.known[first+c.texts] = id
	t.note(c.number, c.texts, id)
	c.texts++
	t.pass(id)
	return id
}

// cleared gives n zeros, in s where it has the room.
func cleared[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// sized gives n values of anything, in s where it has the room.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
