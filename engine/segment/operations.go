package segment

import (
	"bytes"
	"cmp"
	"slices"
	"sort"
)

// Which templates of spans have a name and a kind. Both stand in every template, whatever
// else stands with the row, so a template is of one operation; of how many services, only the
// catalog knows.

// sortOperations puts the templates in the order in which Named and OfOperation look.
func (t *Templates) sortOperations() {
	t.byOperation = make([]uint32, t.Len())
	for i := range t.byOperation {
		t.byOperation[i] = uint32(i)
	}
	slices.SortFunc(t.byOperation, func(a, b uint32) int {
		if t.Names[a] != t.Names[b] { // equal texts may have two numbers
			if c := bytes.Compare(t.Bytes(t.Names[a]), t.Bytes(t.Names[b])); c != 0 {
				return c
			}
		}
		return cmp.Or(cmp.Compare(t.Kinds[a], t.Kinds[b]), cmp.Compare(a, b))
	})
}

// Named gives the templates of spans that have a name, by kind and number. The slice is shared
// and not to be changed.
func (t *Templates) Named(name []byte) []uint32 {
	return t.between(func(i uint32) int { return bytes.Compare(t.Bytes(t.Names[i]), name) })
}

// OfOperation gives those of a kind among them, ascending.
func (t *Templates) OfOperation(name []byte, kind int32) []uint32 {
	return t.between(func(i uint32) int {
		if c := bytes.Compare(t.Bytes(t.Names[i]), name); c != 0 {
			return c
		}
		return cmp.Compare(t.Kinds[i], kind)
	})
}

// between gives the templates for which order says 0.
func (t *Templates) between(order func(i uint32) int) []uint32 {
	first := sort.Search(len(t.byOperation), func(k int) bool { return order(t.byOperation[k]) >= 0 })
	rest := t.byOperation[first:]
	return rest[:sort.Search(len(rest), func(k int) bool { return order(rest[k]) > 0 })]
}
