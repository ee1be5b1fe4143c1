package segment

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"
	"sort"

	"github.com/stoadb/stoa/index"
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
	t.names = t.tellNames()
}

// nameTable finds names among the templates in their order: looking for one by halves would touch a
// dozen places in memory, each far from the last.
type nameTable struct {
	firsts []uint32 // of each name: its first place in byOperation, and the end
	slots  []uint32 // by hash: the number of a name + 1, 0 is none; at least half of them are
}

func (n *nameTable) memoryBytes() int { return 4 * (cap(n.firsts) + cap(n.slots)) }

func (t *Templates) tellNames() (n nameTable) {
	for k, i := range t.byOperation {
		if k == 0 || !bytes.Equal(t.Bytes(t.Names[i]), t.Bytes(t.Names[t.byOperation[k-1]])) {
			n.firsts = append(n.firsts, uint32(k))
		}
	}
	n.slots = make([]uint32, 2<<bits.Len(uint(len(n.firsts))))
	for number, first := range n.firsts {
		at := index.HashText(t.Bytes(t.Names[t.byOperation[first]]))
		for ; n.slots[at%uint64(len(n.slots))] != 0; at++ {
		}
		n.slots[at%uint64(len(n.slots))] = uint32(number + 1)
	}
	n.firsts = append(n.firsts, uint32(len(t.byOperation)))
	return n
}

// Named gives the templates of spans that have a name, by kind and number. The slice is shared
// and not to be changed.
func (t *Templates) Named(name []byte) []uint32 {
	n := &t.names
	if len(n.slots) == 0 { // not of spans
		return nil
	}
	for at := index.HashText(name); ; at++ {
		number := n.slots[at%uint64(len(n.slots))]
		if number == 0 {
			return nil
		}
		first := n.firsts[number-1]
		if bytes.Equal(t.Bytes(t.Names[t.byOperation[first]]), name) {
			return t.byOperation[first:n.firsts[number]]
		}
	}
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
