package engine

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/index"
)

// What attributes there are, and their values, counted as they are stored: by row for
// memtables, by the counts of segments where they have them, else by their pages. Shards
// count into one place, so that a value that stands in several of them is one.

// KeyCounter counts attribute keys over any number of shards at once.
type KeyCounter struct {
	mu   sync.Mutex
	keys map[keyID]*keyTally
	cut  bool
}

type keyID struct {
	level span.Level
	kind  span.ValueType
	key   string
}

// keyTally is what is known of a key. Values that are seen go to the counter; of those that
// only a segment's own count tells, the counts stand apart, since nobody knows how many of
// them are the same.
type keyTally struct {
	values, textBytes uint64
	seen              index.KeyCounter
	apart, apartMost  uint64
}

// NewKeyCounter has counted nothing.
func NewKeyCounter() *KeyCounter { return &KeyCounter{keys: make(map[keyID]*keyTally)} }

// Keys gives what was counted.
func (k *KeyCounter) Keys() span.AttributeKeys {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := span.AttributeKeys{Keys: make([]span.AttributeKey, 0, len(k.keys)), Cut: k.cut}
	for id, t := range k.keys {
		seen := t.seen.Distinct()
		out.Keys = append(out.Keys, span.AttributeKey{
			Level: id.level, Key: id.key, Type: id.kind, Values: t.values, TextBytes: t.textBytes,
			DistinctMin: max(seen, t.apartMost), DistinctMax: seen + t.apart,
		})
	}
	slices.SortFunc(out.Keys, func(a, b span.AttributeKey) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), strings.Compare(a.Key, b.Key), cmp.Compare(a.Type, b.Type))
	})
	return out
}

// tally gives the tally of a key; nil where there are too many keys. k.mu is held.
func (k *KeyCounter) tally(level span.Level, key []byte, kind span.ValueType) *keyTally {
	t := k.keys[keyID{level, kind, string(key)}]
	if t == nil {
		if len(k.keys) == keysCountedMax {
			k.cut = true
			return nil
		}
		t = new(keyTally)
		k.keys[keyID{level, kind, string(key)}] = t
	}
	return t
}

// see counts n items with a value.
func (t *keyTally) see(text []byte, number, n uint64, hasText bool) {
	if t == nil || n == 0 {
		return
	}
	t.values += n
	if hasText {
		t.textBytes += n * uint64(len(text))
		t.seen.Add(index.HashText(text))
		return
	}
	var digits [20]byte
	t.seen.Add(index.HashText(strconv.AppendUint(digits[:0], number, 10)))
}

// attr counts n items with an attribute of a batch. k.mu is held.
func (k *KeyCounter) attr(level span.Level, b *span.Batch, a span.Attr, n uint64) {
	if n == 0 {
		return
	}
	t := k.tally(level, b.Bytes(a.Key), a.Type)
	if a.Type.HasText() {
		t.see(b.Bytes(span.TextID(a.Value)), 0, n, true)
	} else {
		t.see(nil, a.Value, n, false)
	}
}

// Keys counts the attribute keys of the shard into k.
func (s *Shard) Keys(ctx context.Context, k *KeyCounter) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close()
	for _, t := range v.tables {
		for i := range t.count {
			if err := ctx.Err(); err != nil {
				return err
			}
			b := t.at(i).batch
			k.mu.Lock()
			eachAttr(b, func(level span.Level, a span.Attr, n uint64) { k.attr(level, b, a, n) })
			k.mu.Unlock()
		}
	}
	for _, l := range v.segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		opened, err := l.Segment()
		if err == nil {
			err = k.addSegment(ctx, opened)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// eachAttr visits all attributes of a batch's rows; those of a resource, a scope or the batch's
// table once, with the number of rows that have it.
func eachAttr(b *span.Batch, visit func(level span.Level, a span.Attr, n uint64)) {
	rows := make([]uint64, len(b.Resources))
	for _, id := range b.ResourceIDs {
		rows[id]++
	}
	eachTableAttr(rows, b.ResourceAttrsOf, func(a span.Attr, n uint64) { visit(span.ResourceLevel, a, n) })
	rows = make([]uint64, len(b.Scopes))
	for _, id := range b.ScopeIDs {
		rows[id]++
	}
	eachTableAttr(rows, b.ScopeAttrsOf, func(a span.Attr, n uint64) { visit(span.ScopeLevel, a, n) })
	rows = make([]uint64, len(b.Attrs))
	for _, id := range b.AttrIDs {
		rows[id]++
	}
	for id, n := range rows {
		if n > 0 {
			visit(span.SpanLevel, b.Attrs[id], n)
		}
	}
	for _, a := range b.EventAttrs {
		visit(span.EventLevel, a, 1)
	}
	for _, a := range b.LinkAttrs {
		visit(span.LinkLevel, a, 1)
	}
}

func eachTableAttr(rows []uint64, attrsOf func(i uint32) []span.Attr, visit func(a span.Attr, n uint64)) {
	for i, n := range rows {
		if n == 0 {
			continue
		}
		for _, a := range attrsOf(uint32(i)) {
			visit(a, n)
		}
	}
}

// addSegment counts a segment: its own counts say how many values there are; values that all
// stand in templates are seen besides.
func (k *KeyCounter) addSegment(ctx context.Context, s *segment.Segment) error {
	counts, complete, err := s.KeyCounts()
	if err != nil {
		return err
	}
	resources, err := s.ResourceRows(ctx.Err)
	if err != nil {
		return err
	}
	scopes, err := s.ScopeRows(ctx.Err)
	if err != nil {
		return err
	}
	k.addTables(s, resources, scopes)
	if !complete {
		err = k.addColumns(ctx, s)
	} else {
		k.addCounts(s, counts)
	}
	for i := 0; i < s.Groups() && err == nil; i++ {
		for _, level := range templateLevels {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = s.EachMapped(i, level, nil, func(b *span.Batch, a span.Attr) { k.mapped(level, b, a) })
			}
		}
	}
	return err
}

// addTables counts the attributes of resources and scopes that so many rows have.
func (k *KeyCounter) addTables(s *segment.Segment, resources, scopes []uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	eachTableAttr(resources, s.Resources().ResourceAttrsOf, func(a span.Attr, n uint64) { k.attr(span.ResourceLevel, s.Resources(), a, n) })
	eachTableAttr(scopes, s.Scopes().ScopeAttrsOf, func(a span.Attr, n uint64) { k.attr(span.ScopeLevel, s.Scopes(), a, n) })
}

// mapped counts an attribute in a map column.
func (k *KeyCounter) mapped(level span.Level, b *span.Batch, a span.Attr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.attr(level, b, a, 1)
}

// addCounts counts by what the segment knows.
func (k *KeyCounter) addCounts(s *segment.Segment, counts []index.KeyCount) {
	k.mu.Lock()
	defer k.mu.Unlock()
	folded := foldedItems(s)
	whole := make(map[uint32]*keyTally) // columns whose values all stand in templates
	for i := range counts {
		c := &counts[i]
		t := k.tally(c.Level, []byte(c.Key), c.Type)
		if t == nil {
			continue
		}
		id, ok := columnOf(s, c.Level, c.Key, c.Type)
		if ok && folded[id] == c.Values {
			whole[id] = t
			continue
		}
		t.values += c.Values
		t.textBytes += c.TextBytes
		t.apart += c.Distinct
		t.apartMost = max(t.apartMost, c.Distinct)
	}
	for _, level := range templateLevels {
		s.EachFolded(level, func(id uint32, text []byte, number, items uint64) {
			whole[id].see(text, number, items, s.ColumnType(id).HasText())
		})
	}
}

// addColumns counts by the pages, where a segment has too many keys to count them itself.
func (k *KeyCounter) addColumns(ctx context.Context, s *segment.Segment) error {
	tallyOf := func(id uint32) (t *keyTally, hasText bool) {
		level, key, kind := s.Column(id)
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.tally(level, []byte(key), kind), kind.HasText()
	}
	see := func(t *keyTally, text []byte, number, items uint64, hasText bool) {
		k.mu.Lock()
		defer k.mu.Unlock()
		t.see(text, number, items, hasText)
	}
	for _, level := range templateLevels {
		s.EachFolded(level, func(id uint32, text []byte, number, items uint64) {
			t, hasText := tallyOf(id)
			see(t, text, number, items, hasText)
		})
	}
	for i := range s.Groups() {
		for _, id := range s.AttributeColumns() { // up to 4,096, with a read for each
			if err := ctx.Err(); err != nil {
				return err
			}
			t, hasText := tallyOf(id)
			err := s.EachOwn(i, id, func(text []byte, number, items uint64) { see(t, text, number, items, hasText) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// foldedItems gives, by column, how many values stand in the templates that row groups share.
func foldedItems(s *segment.Segment) map[uint32]uint64 {
	folded := make(map[uint32]uint64)
	for _, level := range templateLevels {
		s.EachFolded(level, func(id uint32, _ []byte, _, items uint64) { folded[id] += items })
	}
	return folded
}

func columnOf(s *segment.Segment, level span.Level, key string, kind span.ValueType) (id uint32, ok bool) {
	for _, id := range s.ColumnsOf(level, key) {
		if s.ColumnType(id) == kind {
			return id, true
		}
	}
	return 0, false
}

// ValueCounter counts the values of one key over any number of shards at once.
type ValueCounter struct {
	key    string
	levels [span.Levels]bool

	mu     sync.Mutex
	counts map[valueID]uint64
	bytes  int
	total  uint64
	cut    bool
	batch  span.Batch // holds a text that is to be spelled
	text   []byte
}

type valueID struct {
	level span.Level
	kind  span.ValueType
	text  string
}

// NewValueCounter counts values of key on these levels, on all where none is given.
func NewValueCounter(key string, levels ...span.Level) *ValueCounter {
	c := &ValueCounter{key: key, counts: make(map[valueID]uint64)}
	for level := range c.levels {
		c.levels[level] = len(levels) == 0
	}
	for _, level := range levels {
		c.levels[level] = true
	}
	return c
}

// Values gives at most limit values, most frequent first; equally frequent ones by level, type
// and text.
func (c *ValueCounter) Values(limit int) span.AttributeValues {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := span.AttributeValues{Distinct: uint64(len(c.counts)), Total: c.total, Cut: c.cut, Values: make([]span.AttributeValue, 0, len(c.counts))}
	for _, id := range slices.Collect(maps.Keys(c.counts)) {
		out.Values = append(out.Values, span.AttributeValue{Level: id.level, Type: id.kind, Text: id.text, Count: c.counts[id]})
	}
	slices.SortFunc(out.Values, func(a, b span.AttributeValue) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Level, b.Level), cmp.Compare(a.Type, b.Type), strings.Compare(a.Text, b.Text))
	})
	out.Values = slices.Clip(out.Values[:min(len(out.Values), max(limit, 0))])
	return out
}

// value counts n items with a value.
func (c *ValueCounter) value(level span.Level, kind span.ValueType, text []byte, number, n uint64) {
	if n == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := span.Attr{Type: kind, Value: number}
	switch {
	case kind == span.StringValue:
		c.text = append(c.text[:0], text...)
	case kind.HasText():
		c.batch.Text, c.batch.TextEnd = text, append(c.batch.TextEnd[:0], 0, uint32(len(text)))
		a.Value = 1
		fallthrough
	default:
		c.text = otlp.AppendText(c.text[:0], &c.batch, a)
	}
	c.total += n
	if _, known := c.counts[valueID{level, kind, string(c.text)}]; !known {
		if len(c.counts) == valuesCountedMax || c.bytes+len(c.text) > valueBytesCountedMax {
			c.cut = true
			return
		}
		c.bytes += len(c.text)
	}
	c.counts[valueID{level, kind, string(c.text)}] += n
}

// attr counts n items with an attribute of a batch, where it is of the key.
func (c *ValueCounter) attr(level span.Level, b *span.Batch, a span.Attr, n uint64) {
	if !c.levels[level] || string(b.Bytes(a.Key)) != c.key {
		return
	}
	if a.Type.HasText() {
		c.value(level, a.Type, b.Bytes(span.TextID(a.Value)), 0, n)
	} else {
		c.value(level, a.Type, nil, a.Value, n)
	}
}

// Values counts the values of c's key in the shard.
func (s *Shard) Values(ctx context.Context, c *ValueCounter) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close()
	for _, t := range v.tables {
		for i := range t.count {
			if err := ctx.Err(); err != nil {
				return err
			}
			b := t.at(i).batch
			eachAttr(b, func(level span.Level, a span.Attr, n uint64) { c.attr(level, b, a, n) })
		}
	}
	for _, l := range v.segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		opened, err := l.Segment()
		if err == nil {
			err = c.addSegment(ctx, opened)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addSegment counts a segment: values of templates by how many items these have, others by the
// pages of the key.
func (c *ValueCounter) addSegment(ctx context.Context, s *segment.Segment) error {
	if c.levels[span.ResourceLevel] && c.isAmong(s.Resources(), s.Resources().ResourceAttrs) {
		rows, err := s.ResourceRows(ctx.Err)
		if err != nil {
			return err
		}
		eachTableAttr(rows, s.Resources().ResourceAttrsOf, func(a span.Attr, n uint64) { c.attr(span.ResourceLevel, s.Resources(), a, n) })
	}
	if c.levels[span.ScopeLevel] && c.isAmong(s.Scopes(), s.Scopes().ScopeAttrs) {
		rows, err := s.ScopeRows(ctx.Err)
		if err != nil {
			return err
		}
		eachTableAttr(rows, s.Scopes().ScopeAttrsOf, func(a span.Attr, n uint64) { c.attr(span.ScopeLevel, s.Scopes(), a, n) })
	}
	for _, level := range templateLevels {
		if !c.levels[level] {
			continue
		}
		if err := c.addLevel(ctx, s, level); err != nil {
			return err
		}
	}
	return nil
}

// isAmong reports whether a table has the key: only then its rows are counted.
func (c *ValueCounter) isAmong(b *span.Batch, attrs []span.Attr) bool {
	return slices.ContainsFunc(attrs, func(a span.Attr) bool { return string(b.Bytes(a.Key)) == c.key })
}

func (c *ValueCounter) addLevel(ctx context.Context, s *segment.Segment, level span.Level) error {
	ids := s.ColumnsOf(level, c.key)
	if len(ids) > 0 {
		s.EachFolded(level, func(id uint32, text []byte, number, items uint64) {
			if slices.Contains(ids, id) {
				c.value(level, s.ColumnType(id), text, number, items)
			}
		})
	}
	for i := range s.Groups() {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, id := range ids {
			kind := s.ColumnType(id)
			err := s.EachOwn(i, id, func(text []byte, number, items uint64) { c.value(level, kind, text, number, items) })
			if err != nil {
				return err
			}
		}
		err := s.EachMapped(i, level, map[string]bool{c.key: true}, func(b *span.Batch, a span.Attr) { c.attr(level, b, a, 1) })
		if err != nil {
			return err
		}
	}
	return nil
}
