package segment

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// A template is what many spans (events, links) have in common: their list of attributes in
// order, with the values of those that hardly vary from one to the next, and the small
// numbers. A row then is the number of its template, and what stands in columns of its own.
//
// Whether a slot's value stands in the template or in its column is said slot by slot, so a
// file may hold both for one key: the writer's choice (choice.go) may change while it goes,
// and no reader depends on it.
type templateTable struct {
	level   span.Level
	scalars []uint32 // scalarsOf(level) of each template
	ends    []uint32 // of each template's slots
	slots   []slot
	own     []uint32 // columns of the slots whose values stand there; nil while a segment is written
	ownEnds []uint32 // of each template's
	rows    []uint64 // spans, events or links that have it; nil in the table of one row group
	texts   column.Table
}

// slot is one attribute of a template, or one of the texts that a row has besides (its
// name, its status message, its trace state): those come first, and only where they are
// not empty.
type slot struct {
	column uint32
	own    bool   // the value stands in the column
	value  uint64 // else the value: a number, or a text of the table
}

// The scalars of a span's template.
const (
	scalarKind = iota
	scalarStatusCode
	scalarStatusPresent
	scalarFlags
	scalarDroppedAttrs
	scalarDroppedEvents
	scalarDroppedLinks
	scalarScope
	scalarsSpan
)

// The scalars of an event's and of a link's template.
const (
	scalarEventDropped = iota
	scalarsEvent
	scalarLinkDropped = iota - 2
	scalarLinkFlags
	scalarsLink
)

// scalarsOf is how many scalars a template of a level has.
func scalarsOf(level span.Level) int {
	switch level {
	case span.EventLevel:
		return scalarsEvent
	case span.LinkLevel:
		return scalarsLink
	default:
		return scalarsSpan
	}
}

func (t *templateTable) len() int { return len(t.ends) }

// slotsOf gives the slots of template i.
func (t *templateTable) slotsOf(i uint32) []slot {
	begin := uint32(0)
	if i > 0 {
		begin = t.ends[i-1]
	}
	return t.slots[begin:t.ends[i]]
}

// ownOf gives the columns of the slots of template i whose values stand there.
func (t *templateTable) ownOf(i uint32) []uint32 {
	begin := uint32(0)
	if i > 0 {
		begin = t.ownEnds[i-1]
	}
	return t.own[begin:t.ownEnds[i]]
}

// scalarsAt gives the scalars of template i.
func (t *templateTable) scalarsAt(i uint32) []uint32 {
	n := uint32(scalarsOf(t.level))
	return t.scalars[i*n : (i+1)*n]
}

// text gives a text of the table; 0 is the empty one.
func (t *templateTable) text(id uint64) []byte {
	if id == 0 {
		return nil
	}
	return t.texts.Text[t.texts.Ends[id-1]:t.texts.Ends[id]]
}

// nameOf gives the name of a span's template.
func (t *templateTable) nameOf(i uint32) (name []byte) {
	for _, s := range t.slotsOf(i) {
		if s.column == colName {
			name = t.text(s.value)
		}
	}
	return name
}

func (t *templateTable) memoryBytes() int {
	return 4*(cap(t.scalars)+cap(t.ends)+cap(t.own)+cap(t.ownEnds)+cap(t.texts.Ends)) + slotBytes*cap(t.slots) + 8*cap(t.rows) + cap(t.texts.Text)
}

// appendTo appends the table; a list of one kind after another, because equal things beside
// each other are what zstd lives on:
//
//	texts v, their lengths as integers, their bytes
//	templates v; where there are any:
//	  of each: slots v, and of each slot: column * 2 + own v
//	  values of the slots that are not own, as integers
//	  scalars, kind after kind, each as integers over the templates
//	  rows of each, as integers; only in the segment's table
func (t *templateTable) appendTo(dst []byte) []byte {
	lengths := make([]uint64, max(len(t.texts.Ends), 1)-1)
	for i := range lengths {
		lengths[i] = uint64(t.texts.Ends[i+1] - t.texts.Ends[i])
	}
	dst = column.AppendBytewise(binary.AppendUvarint(dst, uint64(len(lengths))), lengths)
	dst = append(dst, t.texts.Text...)
	dst = binary.AppendUvarint(dst, uint64(t.len()))
	if t.len() == 0 {
		return dst
	}
	var values []uint64
	for i := range t.ends {
		slots := t.slotsOf(uint32(i))
		dst = binary.AppendUvarint(dst, uint64(len(slots)))
		for _, s := range slots {
			dst = binary.AppendUvarint(dst, uint64(s.column)<<1|uint64(flag(s.own)))
			if !s.own {
				values = append(values, s.value)
			}
		}
	}
	dst = column.AppendBytewise(dst, values)
	n, one := scalarsOf(t.level), make([]uint64, t.len())
	for scalar := range n {
		for i := range one {
			one[i] = uint64(t.scalars[i*n+scalar])
		}
		dst = column.AppendBytewise(dst, one)
	}
	if t.rows != nil {
		dst = column.AppendBytewise(dst, t.rows)
	}
	return dst
}

// templateContext is what a table refers to.
type templateContext struct {
	level   span.Level
	kinds   []slotKind // slotKindsOf the level
	scopes  int
	most    int      // how many templates there may be
	counted bool     // rows of each follow
	wide    []uint64 // memory for integers on their way
}

// decodeTemplates reads a table; what is not of the form stands in r.Err.
func decodeTemplates(r *codec.Reader, c templateContext) *templateTable {
	wide := wideLists.Get().(*[]uint64)
	c.wide = *wide
	defer func() {
		if *wide = c.wide; 8*cap(c.wide) <= keptBytesMax {
			wideLists.Put(wide)
		}
	}()
	t := &templateTable{level: c.level, texts: column.NewTable()}
	t.decodeTexts(r, &c)
	n := r.Count(1)
	if n > c.most {
		r.Fail("%d templates, at most %d", n, c.most)
	}
	if r.Err() != nil || n == 0 {
		return t
	}
	t.decodeSlots(r, n, &c)
	t.decodeScalars(r, n, &c)
	if c.counted && r.Err() == nil {
		t.rows = column.DecodeInts(nil, r, n)
	}
	return t
}

// ints reads n integers, which are there until the next call.
func (c *templateContext) ints(r *codec.Reader, n int) []uint64 {
	c.wide = column.DecodeInts(c.wide[:0], r, n)
	return c.wide
}

func (t *templateTable) decodeTexts(r *codec.Reader, c *templateContext) {
	texts := r.Count(1) // none is empty, so each has a byte
	lengths, end := c.ints(r, texts), uint64(0)
	if r.Err() != nil {
		return
	}
	t.texts.Ends = slices.Grow(t.texts.Ends, texts)
	for _, length := range lengths {
		if end += length; length == 0 || length > uint64(r.Len()) || end > uint64(r.Len()) {
			r.Fail("text of %d bytes in a template table, %d left", length, r.Len())
			return
		}
		t.texts.Ends = append(t.texts.Ends, uint32(end))
	}
	t.texts.Text = append([]byte(nil), r.Bytes(int(end))...)
}

// slotBytes is the size of a slot in memory.
const slotBytes = 16

// slotLists are where the slots of a table are read before it is known how many there are.
var slotLists = sync.Pool{New: func() any { return new([]slot) }}

func (t *templateTable) decodeSlots(r *codec.Reader, n int, c *templateContext) {
	scratch := slotLists.Get().(*[]slot)
	list := (*scratch)[:0]
	defer func() {
		if *scratch = list; slotBytes*cap(list) <= keptBytesMax {
			slotLists.Put(scratch)
		}
	}()
	t.ends, t.ownEnds = make([]uint32, 0, n), make([]uint32, 0, n)
	folded := 0
	for range n {
		slots := r.Count(1)
		c.wide = slices.Grow(c.wide[:0], slots)[:slots]
		if r.Uvarints(c.wide); r.Err() != nil {
			return
		}
		text, behind := uint64(0), false // the last slot that is no attribute; whether attributes have begun
		for _, ref := range c.wide {
			column, own := ref>>1, ref&1 != 0
			if column >= uint64(len(c.kinds)) || !c.kinds[column].may(own) {
				r.Fail("column %d in a template of level %d", column, t.level)
				return
			}
			if c.kinds[column]&slotAttr != 0 {
				behind = true
			} else if behind || column <= text {
				r.Fail("column %d out of order in a template", column)
				return
			} else {
				text = column
			}
			if !own {
				folded++
			}
			list = append(list, slot{column: uint32(column), own: own})
		}
		t.ends, t.ownEnds = append(t.ends, uint32(len(list))), append(t.ownEnds, uint32(len(list)-folded))
	}
	t.slots, t.own = slices.Clone(list), make([]uint32, 0, len(list)-folded)
	values := c.ints(r, folded)
	if r.Err() != nil {
		return
	}
	for i := range t.slots {
		s := &t.slots[i]
		if s.own {
			t.own = append(t.own, s.column)
			continue
		}
		s.value, values = values[0], values[1:]
		if s.value >= uint64(len(t.texts.Ends)) && c.kinds[s.column]&slotText != 0 {
			r.Fail("text %d of %d in a template", s.value, len(t.texts.Ends))
			return
		}
	}
}

func (t *templateTable) decodeScalars(r *codec.Reader, n int, c *templateContext) {
	scalars := scalarsOf(t.level)
	t.scalars = make([]uint32, scalars*n)
	for scalar := range scalars {
		for i, v := range c.ints(r, n) {
			if v>>32 != 0 {
				r.Fail("number %d of a template is %d", scalar, v)
			}
			t.scalars[i*scalars+scalar] = uint32(v)
		}
		if r.Err() != nil {
			return
		}
	}
	for i := range n {
		if t.level != span.SpanLevel {
			return
		}
		if scope := t.scalars[i*scalars+scalarScope]; int(scope) >= c.scopes {
			r.Fail("scope %d of %d in a template", scope, c.scopes)
			return
		}
	}
}

// slotKind tells what slots a template may have of a column: bits.
type slotKind uint8

const (
	slotOwn    slotKind = 1 << iota // whose values stand in the column
	slotFolded                      // whose values stand in the template
	slotText                        // values are texts
	slotAttr                        // it is an attribute, and not of the texts in front
)

// may reports whether there may be a slot of the column, its value in the column or not.
func (k slotKind) may(own bool) bool { return own && k&slotOwn != 0 || !own && k&slotFolded != 0 }

// slotKindsOf gives the kind of each column for templates of a level: reading a table asks for each
// of its slots.
func slotKindsOf(level span.Level, columns []columnKey) []slotKind {
	kinds := make([]slotKind, colFixed+len(columns))
	for id := range kinds {
		hasText, ok := slotOf(level, uint64(id), columns)
		switch mapped := isMapped(level, uint32(id)); {
		case !ok:
			continue
		case mapped:
			kinds[id] = slotOwn
		case id == colName || id == colEventName:
			kinds[id] = slotFolded
		default:
			kinds[id] = slotOwn | slotFolded
		}
		if hasText {
			kinds[id] |= slotText
		}
		if id >= colFixed || isMapped(level, uint32(id)) {
			kinds[id] |= slotAttr
		}
	}
	return kinds
}

// slotOf tells whether a template of a level may have a slot of a column, and whether its
// values are texts.
func slotOf(level span.Level, id uint64, columns []columnKey) (hasText, ok bool) {
	if id >= colFixed {
		if id -= colFixed; id >= uint64(len(columns)) {
			return false, false
		}
		return columns[id].kind.HasText(), columns[id].level == level
	}
	switch id {
	case colName, colStatusMessage, colTraceState:
		return true, level == span.SpanLevel
	case colEventName:
		return true, level == span.EventLevel
	case colLinkTraceState:
		return true, level == span.LinkLevel
	}
	return false, isMapped(level, uint32(id))
}

// isMapped tells the slot that stands for an attribute in the level's map column.
func isMapped(level span.Level, id uint32) bool { return id == columnsOf(level).first }
