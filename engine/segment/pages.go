package segment

import (
	"cmp"
	"container/list"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
)

// page is a page that was read, checked and opened: what reads of it begin with. What it
// says never changes; it grows by what reads made of it: texts unpacked, marks, how long spans last,
// their rows by template, templates written. It serves any number of goroutines.
type page struct {
	payload []byte // of fixed-width values
	ints    column.Ints
	texts   *column.TextColumn
	items   *items
	ends    []uint32 // of a column of counts: where each row's part ends
	filters []*index.Filter
	terms   *index.Terms
	cells   *Cells
	written *writtenBlock
	// Of no page of the file, but kept like one: see Remember.
	counters *KeyCounters
	bytes    int // what it holds; the shard's lock guards it once it is kept
}

// items are the codes of a level in one row group, with the templates that stand there.
type items struct {
	codes  []uint32
	local  *templateTable // the group's own, nil where there is none
	counts []uint32       // by code: how many items have it
	uses   []use          // attribute and map columns with values here, by column
	users  []uint32       // see usersOf

	marking sync.Once
	marks   []uint32 // see marksOf

	longest atomic.Pointer[[]uint64]   // of spans, see GroupScan.Longest
	byCode  atomic.Pointer[rowsByCode] // of spans, once somebody asked

	written []atomic.Pointer[writtenTemplate] // of local ones of spans
}

// use is how many values of a column a row group has.
type use struct {
	column uint32
	values int
	end    int // of its codes among the users; they begin at the end of the use before
}

// useAt compares a use with a column, for a binary search.
func useAt(u use, column uint32) int { return cmp.Compare(u.column, column) }

// Pages keeps opened pages of any number of segments, up to a number of bytes: the ones used
// last. A page is read, checked and unpacked once as long as it stays. The simpler way, a
// mapping of the files, would leave that to be done at each read, and turn a failing disk
// into a signal.
type Pages struct {
	shards [pageShards]pageShard
	asked  askedLately

	forgetsMade bool
}

type pageShard struct {
	mu       sync.Mutex
	number   int       // among the shards
	recent   list.List // of *pageEntry, see shrink
	bytes    int
	bytesMax int
}

// ownPages is what is kept of one segment, by shard of Pages and offset; each map is guarded by that
// shard's lock. What is kept of a segment that closes is found by it, however much is kept of others.
type ownPages struct {
	number uint64 // of the segment
	kept   [pageShards]map[int64]*list.Element
}

type pageKey struct {
	of     *ownPages
	offset int64
}

// pageEntry is a page, or something that was made: see Keep.
type pageEntry struct {
	key   pageKey
	page  *page
	made  any
	bytes int  // of what was made
	used  bool // since it came to the front
}

func (e *pageEntry) size() int {
	if e.page != nil {
		return e.page.bytes
	}
	return e.bytes
}

// pageShards spread the lock: a read takes one for a moment.
const pageShards = 16

// segmentNumber numbers the segments that are opened, so that no two share a page.
var segmentNumber atomic.Uint64

// NewPages keeps up to bytesMax bytes.
func NewPages(bytesMax int) *Pages {
	p := new(Pages)
	for i := range p.shards {
		p.shards[i].number, p.shards[i].bytesMax = i, bytesMax/pageShards
	}
	return p
}

// ForgetMade has each question make its answer anew: for who measures what that takes. It must be called
// before p is used.
func (p *Pages) ForgetMade() { p.forgetsMade = true }

func (p *Pages) shard(key pageKey) *pageShard {
	return &p.shards[(key.of.number*0x9e3779b97f4a7c15^uint64(key.offset)*0xff51afd7ed558ccd)>>60%pageShards]
}

// find gives what is kept, nil where nothing is. The shard's lock is held.
func (s *pageShard) find(key pageKey) *list.Element { return key.of.kept[s.number][key.offset] }

// use gives what is kept to who asks for it.
func (p *Pages) use(key pageKey) (opened *page, made any) {
	s := p.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(key)
	if e == nil {
		return nil, nil
	}
	entry := e.Value.(*pageEntry)
	entry.used = true
	return entry.page, entry.made
}

func (p *Pages) get(key pageKey) *page {
	opened, _ := p.use(key)
	return opened
}

// put keeps a page, and drops others not used for a long time.
func (p *Pages) put(key pageKey, opened *page) {
	s := p.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(key) == nil {
		s.add(&pageEntry{key: key, page: opened})
	}
}

// putMade is put for what was made, instead of what was before.
func (p *Pages) putMade(key pageKey, made any, bytes int) {
	s := p.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.find(key); e != nil {
		s.drop(e)
	}
	s.add(&pageEntry{key: key, made: made, bytes: bytes})
}

func (s *pageShard) add(entry *pageEntry) {
	if entry.size() > s.bytesMax {
		return
	}
	s.bytes += entry.size()
	s.shrink() // before it is among them: should all others be in use, it would be the one to go
	kept := &entry.key.of.kept[s.number]
	if *kept == nil {
		*kept = map[int64]*list.Element{}
	}
	(*kept)[entry.key.offset] = s.recent.PushFront(entry)
}

// grew counts what a page holds more than when it was put.
func (p *Pages) grew(key pageKey, opened *page, bytes int) {
	s := p.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(key)
	if e == nil || e.Value.(*pageEntry).page != opened {
		return
	}
	opened.bytes += bytes
	if s.bytes += bytes; opened.bytes > s.bytesMax {
		s.drop(e)
	}
	s.shrink()
}

// growsWritten counts a template that is to be kept with a page; false, with nothing counted, where that
// would make it too large a part of what is kept. Where the page itself is not kept, neither is this.
func (p *Pages) growsWritten(key pageKey, opened *page, bytes int) bool {
	s := p.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(key)
	if e == nil || e.Value.(*pageEntry).page != opened {
		return true
	}
	if opened.bytes+bytes > s.bytesMax/writtenPageShare {
		return bytes == 0
	}
	opened.bytes += bytes
	s.bytes += bytes
	s.shrink()
	return true
}

// shrink drops pages not used for a long time, where they are too many. What was used since it was
// looked at last stays for another round: that is nearly the order of last uses, and costs each use
// a note instead of a place in a list.
func (s *pageShard) shrink() {
	for s.bytes > s.bytesMax {
		last := s.recent.Back()
		if entry := last.Value.(*pageEntry); entry.used {
			entry.used = false
			s.recent.MoveToFront(last)
			continue
		}
		s.drop(last)
	}
}

func (s *pageShard) drop(e *list.Element) {
	gone := s.recent.Remove(e).(*pageEntry)
	delete(gone.key.of.kept[s.number], gone.key.offset)
	s.bytes -= gone.size()
}

// forget drops what is kept of a segment.
func (p *Pages) forget(of *ownPages) {
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		for _, e := range of.kept[i] {
			s.drop(e)
		}
		of.kept[i] = nil
		s.mu.Unlock()
	}
}

// opened gives a page, from those that are kept or from the file.
func (s *Segment) opened(ref sectionRef, open func(payload []byte) (*page, error)) (_ *page, kept bool, err error) {
	s.checkOpen()
	key := pageKey{&s.own, ref.offset}
	if s.pages != nil {
		if p := s.pages.get(key); p != nil {
			return p, true, nil
		}
	}
	payload, err := s.readPage(ref.offset, ref.length)
	if err != nil {
		return nil, false, err
	}
	p, err := open(payload)
	if err != nil {
		return nil, false, codec.At(err, s.info.Name, ref.offset)
	}
	p.bytes += pageOverheadBytes
	if s.pages == nil {
		return p, false, nil
	}
	if p.texts != nil {
		p.texts.Grows(func(bytes int) { s.pages.grew(key, p, bytes) })
	}
	s.pages.put(key, p)
	return p, false, nil
}

// openRaw opens a page of n values of a fixed width.
func openRaw(payload []byte, n, width int) (*page, error) {
	if len(payload) != n*width {
		return nil, codec.Corrupt("%d values of %d bytes in %d bytes", n, width, len(payload))
	}
	return &page{payload: payload, bytes: len(payload)}, nil
}

// openInts opens a page of n integers.
func openInts(payload []byte, n int) (*page, error) {
	r := codec.NewReader(payload)
	p := &page{ints: column.OpenInts(r, n)}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the column", r.Len())
	}
	p.bytes = p.ints.MemoryBytes()
	return p, r.Err()
}

// openTexts opens a page of n texts.
func openTexts(payload []byte, n int) (*page, error) {
	texts, err := column.OpenTexts(payload, n)
	if err != nil {
		return nil, err
	}
	return &page{texts: texts, bytes: texts.MemoryBytes()}, nil
}

// openEnds opens a page of counts, one a row.
func openEnds(payload []byte, rows int) (*page, error) {
	r := codec.NewReader(payload)
	counts := column.DecodeInts(nil, r, rows)
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the column", r.Len())
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	p, sum := &page{ends: make([]uint32, rows), bytes: 4 * rows}, uint64(0)
	for i, count := range counts {
		if sum += count; count > groupValuesMax || sum > groupValuesMax {
			return nil, codec.Corrupt("%d events or links in a row group", sum)
		}
		p.ends[i] = uint32(sum)
	}
	return p, nil
}

// openItems opens the page of templates of a level; n items stand in the group.
func (s *Segment) openItems(g *groupRef, level span.Level, payload []byte, n int) (*page, error) {
	r := codec.NewReader(payload)
	it := new(items)
	if local := int(g.local[level]); local > 0 {
		it.local = decodeTemplates(r, templateContext{level: level, kinds: s.slotKinds[level], scopes: len(s.scopes.Scopes), most: n})
		if r.Err() == nil && it.local.len() != local {
			r.Fail("%d templates of a row group's own, %d expected", it.local.len(), local)
		}
	}
	codes := column.DecodeInts(nil, r, n)
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the column", r.Len())
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	it.codes = make([]uint32, n)
	for i, code := range codes {
		if code >= uint64(g.codes(level)) {
			return nil, codec.Corrupt("template %d of %d", code, g.codes(level))
		}
		it.codes[i] = uint32(code)
	}
	return s.itemsPage(g, level, it)
}

// itemsPage counts what the codes use.
func (s *Segment) itemsPage(g *groupRef, level span.Level, it *items) (*page, error) {
	it.counts = make([]uint32, g.codes(level))
	for _, code := range it.codes {
		it.counts[code]++
	}
	at := make([]int32, colFixed+len(s.columns)) // by column: position in uses + 1
	total, slots := 0, 0
	err := s.eachOwnSlot(g, level, it, func(column, code uint32) {
		if at[column] == 0 {
			it.uses = append(it.uses, use{column: column})
			at[column] = int32(len(it.uses))
		}
		u := &it.uses[at[column]-1]
		u.values += int(it.counts[code])
		u.end++
		slots++
	}, &total)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(it.uses, func(a, b use) int { return cmp.Compare(a.column, b.column) })
	it.users = make([]uint32, slots)
	first := 0
	for i := range it.uses {
		u := &it.uses[i]
		at[u.column] = int32(i)
		u.end, first = first, first+u.end // where the next one of it goes
	}
	_ = s.eachOwnSlot(g, level, it, func(column, code uint32) { // as before: no error
		u := &it.uses[at[column]]
		it.users[u.end] = code
		u.end++
	}, new(int))
	marks := itemMarks * len(it.uses) // a read will ask for them
	p := &page{items: it, bytes: 4*(len(it.codes)+len(it.counts)+len(it.users)+marks) + 24*len(it.uses)}
	if level == span.SpanLevel {
		// A search will ask how long they last, and for the rows of each.
		p.bytes += 8*len(it.counts) + rowsByCodeBytes(len(it.codes), len(it.counts))
	}
	if it.local != nil {
		p.bytes += it.local.memoryBytes()
		if level == span.SpanLevel {
			it.written = make([]atomic.Pointer[writtenTemplate], it.local.len())
			p.bytes += 8 * len(it.written)
		}
	}
	return p, nil
}

// eachOwnSlot visits the slots whose values stand with the rows, of each template that some item
// has, and adds up the attributes of all items.
func (s *Segment) eachOwnSlot(g *groupRef, level span.Level, it *items, visit func(column, code uint32), total *int) error {
	for code, count := range it.counts {
		if count == 0 {
			continue
		}
		t, id := s.templateOf(g, level, it, uint32(code))
		if *total += int(count) * len(t.slotsOf(id)); *total > groupValuesMax {
			return codec.Corrupt("more than %d attributes in a row group", groupValuesMax)
		}
		for _, column := range t.ownOf(id) {
			visit(column, uint32(code))
		}
	}
	return nil
}

// usersOf gives the codes whose templates have a value of a column with each item, ascending and
// once for each slot; nil where there are none.
func (it *items) usersOf(column uint32) []uint32 {
	i, ok := slices.BinarySearchFunc(it.uses, column, useAt)
	if !ok {
		return nil
	}
	begin := 0
	if i > 0 {
		begin = it.uses[i-1].end
	}
	return it.users[begin:it.uses[i].end]
}

// itemMarks marks stand among the items of a level, one with the first of them.
const itemMarks = 64

// markBefore gives the last mark that stands before item i or with it, and the item it stands with.
func (it *items) markBefore(i int) (mark, item int) {
	each := (len(it.codes) + itemMarks - 1) / itemMarks
	return i / each, i / each * each
}

// marksOf gives how many values of each use the items before each mark have, all uses of a mark
// one after another. So a read counts few of the items before its own.
func (s *Segment) marksOf(g *groupRef, level span.Level, it *items) []uint32 {
	it.marking.Do(func() {
		uses := len(it.uses)
		at := make([]uint32, colFixed+len(s.columns)) // by column: its position in uses
		for i, u := range it.uses {
			at[u.column] = uint32(i)
		}
		marks, sums := make([]uint32, itemMarks*uses), make([]uint32, uses)
		for i, code := range it.codes {
			if mark, item := it.markBefore(i); item == i {
				copy(marks[mark*uses:], sums)
			}
			t, id := s.templateOf(g, level, it, code)
			for _, column := range t.ownOf(id) {
				sums[at[column]]++
			}
		}
		it.marks = marks
	})
	return it.marks
}

// codes is how many templates of a level a row group's codes tell apart.
func (g *groupRef) codes(level span.Level) int { return len(g.templates[level]) + int(g.local[level]) }

// templateOf gives the table and the number in it that a code stands for.
func (s *Segment) templateOf(g *groupRef, level span.Level, it *items, code uint32) (*templateTable, uint32) {
	if shared := uint32(len(g.templates[level])); code >= shared {
		return it.local, code - shared
	}
	return s.templates[level], g.templates[level][code]
}
