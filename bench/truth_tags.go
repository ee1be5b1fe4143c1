package bench

import (
	"strconv"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// tagReader says which of some tags hold on the spans of one batch: where the span's own
// attributes, its resource's, its scope's, those of one event or of one link have the
// key with that text, the last one of a key where a list has it twice.
type tagReader struct {
	tags      []span.Tag
	batch     *span.Batch
	keys      []uint64 // by TextID: the tags with this key
	resources []uint64 // by resource: the tags that it satisfies
	scopes    []uint64
	errors    uint64      // the tags error=true
	attrs     []span.Attr // of the row under way
}

func newTagReader(tags []span.Tag, batch *span.Batch) *tagReader {
	r := &tagReader{tags: tags, batch: batch, keys: make([]uint64, len(batch.TextEnd)+1)}
	byKey := make(map[string]uint64)
	for i, tag := range tags {
		byKey[tag.Key] |= 1 << i
		if tag == (span.Tag{Key: "error", Value: "true"}) {
			r.errors |= 1 << i
		}
	}
	for id := range batch.TextEnd {
		r.keys[id] = byKey[string(batch.Bytes(span.TextID(id)))]
	}
	for i := range batch.Resources {
		r.resources = append(r.resources, r.list(batch.ResourceAttrsOf(uint32(i))))
	}
	for i := range batch.Scopes {
		r.scopes = append(r.scopes, r.list(batch.ScopeAttrsOf(uint32(i))))
	}
	return r
}

// row gives a bit for each tag that holds on row pos.
func (r *tagReader) row(pos int) uint64 {
	row := span.Row{Batch: r.batch, Pos: pos}
	got := r.resources[r.batch.ResourceIDs[pos]] | r.scopes[r.batch.ScopeIDs[pos]] | r.list(r.attrsOf(row))
	if row.StatusCode() == span.StatusError {
		got |= r.errors
	}
	for begin, end := row.EventRange(); begin < end; begin++ {
		got |= r.list(r.batch.EventAttrsOf(begin))
	}
	for begin, end := row.LinkRange(); begin < end; begin++ {
		got |= r.list(r.batch.LinkAttrsOf(begin))
	}
	return got
}

// attrsOf gives the attributes of a row, until the next call.
func (r *tagReader) attrsOf(row span.Row) []span.Attr {
	r.attrs = row.AppendAttrs(r.attrs[:0])
	return r.attrs
}

// list gives a bit for each tag that one list of attributes satisfies. A later value of
// a key takes away what an earlier one gave.
func (r *tagReader) list(attrs []span.Attr) (got uint64) {
	for _, attr := range attrs {
		asked := r.keys[attr.Key]
		if asked == 0 {
			continue
		}
		got &^= asked
		text := r.value(attr)
		for i, tag := range r.tags {
			if asked&(1<<i) != 0 && tag.Value == text {
				got |= 1 << i
			}
		}
	}
	return got
}

// value is an attribute's value as text. What the recordings hold in numbers is written
// here; the rare types are left to the one who defines their text.
func (r *tagReader) value(attr span.Attr) string {
	switch attr.Type {
	case span.StringValue:
		return r.batch.String(span.TextID(attr.Value))
	case span.IntValue:
		return strconv.FormatInt(int64(attr.Value), 10)
	case span.BoolValue:
		return strconv.FormatBool(attr.Value != 0)
	}
	return string(otlp.AppendText(nil, r.batch, attr))
}

// RareTags gives up to n tags of key that hold in at least one and at most tracesMax
// traces of the requests at span or event level, in the order in which they came first.
func RareTags(requests [][]byte, key string, tracesMax, n int) ([]span.Tag, error) {
	traces := make(map[string]map[span.TraceID]bool)
	var values []string
	for _, request := range requests {
		batch, _, err := otlp.Walk(request)
		if err != nil {
			return nil, err
		}
		r := newTagReader(nil, batch)
		for pos := range batch.Len() {
			row := span.Row{Batch: batch, Pos: pos}
			note := func(attrs []span.Attr) {
				for _, attr := range attrs {
					if string(batch.Bytes(attr.Key)) != key {
						continue
					}
					value := r.value(attr)
					if traces[value] == nil {
						traces[value] = make(map[span.TraceID]bool)
						values = append(values, value)
					}
					traces[value][row.TraceID()] = true
				}
			}
			note(r.attrsOf(row))
			for begin, end := row.EventRange(); begin < end; begin++ {
				note(batch.EventAttrsOf(begin))
			}
		}
	}
	var tags []span.Tag
	step := max(1, len(values)/max(1, 2*n)) // from all of the recording, not its first seconds
	for i := 0; i < len(values) && len(tags) < n; i += step {
		if len(traces[values[i]]) <= tracesMax {
			tags = append(tags, span.Tag{Key: key, Value: values[i]})
		}
	}
	return tags, nil
}
